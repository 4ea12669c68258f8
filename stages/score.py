"""score: not written yet."""
