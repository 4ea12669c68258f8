"""sample: not written yet."""
