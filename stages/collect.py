"""collect: not written yet."""
