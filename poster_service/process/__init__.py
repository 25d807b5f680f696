"""Process groups that end for certain: shim, spawn, census. Knows no Chrome."""
