"""embed: not written yet."""
