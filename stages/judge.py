"""judge: not written yet."""
