"""DVC and git. No other package uses them, so that seals and records can be read without either."""
