"""A dataset's measures; docs/metrics.md has each figure's formula and source, catalog.yaml its title."""
