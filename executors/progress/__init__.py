"""How progress reaches a person: `report` in a stage's process, `display` in the one that `make` starts."""
