"""One render's story, from a checked job to the bytes of a picture. Knows nothing of HTTP."""
