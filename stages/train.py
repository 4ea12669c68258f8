"""train: not written yet."""
