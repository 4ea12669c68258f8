"""What is measured of a dataset; docs/metrics.md has each figure's formula and source, catalog.yaml its words."""
