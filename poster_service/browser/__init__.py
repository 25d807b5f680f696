"""Chromes, started ahead and given out one lease at a time."""
