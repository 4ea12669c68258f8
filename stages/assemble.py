"""assemble: not written yet."""
