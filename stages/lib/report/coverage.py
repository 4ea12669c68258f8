"""How well the picks cover the corpus."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.lib.artifacts import Artifact
from stages.lib.report import figures, tables
from stages.lib.report.inputs import Run
from stages.lib.report.tables import Row

SERIES = Path("plots/coreset.csv")
NAMES = {"k-center": "k-center greedy", "random": "this random selection", "clusters": "cluster centres"}
DRAWN = 6000  # at most this many functions on the map; more only make the page heavy


@dataclass(frozen=True)
class Coverage:
    """The covering radius after the last pick, and the two plots."""

    picks: int
    radius: float
    method: str
    bound: float | None
    random: float | None
    curve: str
    map: str
    drawn: int
    dimensions: int
    languages: list[Row]


def read(run: Run) -> Coverage:
    """From the coreset and its series of radii."""
    coreset = run["data/coreset"]
    radii = tables.column(coreset, "coreset.parquet", "radius")
    random = _random(SERIES)
    method = coreset.params["method"]
    # After k picks, greedy's radius is at most twice that of the best k rows (Gonzalez 1985).
    halves = [radius / 2 for radius in radii] if method == "k-center" else []
    points, order = _projection(coreset)
    picked = order >= 0
    rest = points[~picked]
    rest = rest[:: max(1, -(-len(rest) // DRAWN))]
    return Coverage(
        picks=len(radii),
        radius=radii[-1],
        method=method,
        bound=halves[-1] if halves else None,
        random=dict(zip(*random, strict=True)).get(len(radii)),
        curve=figures.covering_radius(radii, random, (range(1, len(halves) + 1), halves), NAMES[method]),
        map=figures.projection(rest, points[picked]),
        drawn=len(rest) + int(picked.sum()),
        dimensions=run.metrics["coreset"]["dimension"],
        languages=tables.read(coreset, "coverage.parquet"),
    )


def _projection(coreset: Artifact) -> tuple[np.ndarray, np.ndarray]:
    x, y, order = (np.array(tables.column(coreset, "projection.parquet", name)) for name in ("x", "y", "order"))
    return np.stack([x, y], axis=1), order


def _random(series: Path) -> tuple[list[int], list[float]]:
    """Sizes and radii of random selections, from the column whose name starts with "random"; cells may be blank."""
    with series.open(newline="") as stream:
        reader = csv.DictReader(stream)
        name = next((field for field in reader.fieldnames or [] if field.startswith("random")), None)
        found = [(int(row["centres"]), float(row[name])) for row in reader if name and row[name]]
    return [size for size, _ in found], [radius for _, radius in found]
