"""filter: not written yet."""
