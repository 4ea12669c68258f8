"""coreset: not written yet."""
