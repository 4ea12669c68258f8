"""generate: not written yet."""
