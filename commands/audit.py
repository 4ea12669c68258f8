"""Compares a reader's marks with the verdicts: `make audit MARKS=marks.json`.

The marks come from the report's page: open rows, mark them right or wrong, export. Two comparisons, each over all tasks
and by task: with the whole verdict (checks and judge), and with the judge alone, on the rows that it ruled on. Marks
survive a new judge: rows are matched by id, and a row whose text is another now is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.lib import artifacts, params, statistics
from stages.lib.errors import BadInput
from stages.lib.records import Row
from stages.lib.report import tables
from stages.lib.report.inputs import VERDICTS
from stages.lib.report.rendering import percent, plural
from stages.lib.report.rows import fingerprint

Pair = tuple[bool, bool]  # whether the reader says right, and whether the verdict is a pass

DRAWS, SEED = 20_000, 0
HEAD = (
    ("", "", "right,", "right,", "wrong,", "wrong,", "", ""),  # the reader's mark
    ("", "rows", "passed", "failed", "passed", "failed", "agreement", "Cohen's kappa"),
)


class Mark(params.Section):
    """One mark of an exported file; `blind`: made while the page hid the verdicts."""

    id: str
    mark: Literal["right", "wrong"]
    fingerprint: str
    task: str = ""
    why: str = ""
    blind: bool = False


class Marks(params.Section):
    """An exported file: the dataset's root hash and the marks."""

    dataset: str
    marks: list[Mark]


@dataclass(frozen=True)
class Compared:
    """A mark with the verdict on its row."""

    mark: Mark
    verdict: Row

    @property
    def whole(self) -> Pair:
        """The mark, and the verdict of checks and judge."""
        return self.mark.mark == "right", self.verdict["passed"]

    @property
    def judge(self) -> Pair | None:
        """The mark, and whether the judge passed the row; None if it did not rule on it."""
        ruled = [one["passed"] for one in self.verdict["rulings"] if one["kind"] == "judge"]
        return (self.mark.mark == "right", all(ruled)) if ruled else None


def main(arguments: list[str]) -> None:
    """Print the comparison. Raises `BadInput` if the file holds no marks of rows in this workspace."""
    if len(arguments) != 1:
        raise BadInput("name the file of marks that the report's page exported: make audit MARKS=marks.json")
    file = Path(arguments[0])
    marks = read(file)
    dataset = artifacts.open("data/dataset")
    found, lost, changed = match(marks.marks, read_verdicts(dataset))
    if not found:
        marked = plural(len(marks.marks), "mark")
        raise BadInput(f"{file}: of its {marked}, none is of a row that this workspace has with the same text")
    print("\n".join(describe(found, lost, changed)))
    if marks.dataset != dataset.root:
        print("\nThe marks were made on another dataset: the same rows, but maybe under other verdicts.")


def read(file: Path) -> Marks:
    """The exported marks. Raises `BadInput`, naming file and key."""
    try:
        values = artifacts.read_json(file)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}; export it from the report's page") from None
    except ValueError as error:
        raise BadInput(f"{file} is not JSON ({error}); export it from the report's page again") from None
    return params.parse(values, Marks, file)


def read_verdicts(dataset: artifacts.Artifact) -> dict[str, Row]:
    """Every verdict behind the dataset, by row id."""
    rounds = [artifacts.open(one["name"]) for one in dataset.inputs if one["name"].startswith(VERDICTS)]
    return {row["id"]: row for one in rounds for row in tables.read(one, "verdicts.parquet")}


def match(marks: Sequence[Mark], verdicts: dict[str, Row]) -> tuple[list[Compared], int, int]:
    """Each mark with its verdict; and how many marks are of rows without one, or of rows whose text has changed."""
    known = [Compared(mark, verdicts[mark.id]) for mark in marks if mark.id in verdicts]
    same = [one for one in known if fingerprint(one.verdict) == one.mark.fingerprint]
    return same, len(marks) - len(known), len(known) - len(same)


def describe(found: Sequence[Compared], lost: int, changed: int) -> list[str]:
    """The report's lines."""
    blind = sum(one.mark.blind for one in found)
    judged = [one for one in found if one.judge]
    return [
        f"{plural(len(found), 'mark')} compared, {blind} of them made with the verdicts hidden",
        *([f"{plural(lost, 'mark')} of rows that have no verdict here"] if lost else []),
        *([f"{plural(changed, 'mark')} of rows whose text is another now"] if changed else []),
        "",
        "Your marks and the verdict of checks and judge",
        *_tabulate(found, lambda one: one.whole),
        *(["", "Your marks and the judge alone", *_tabulate(judged, lambda one: one.judge)] if judged else []),
        "",
        "In brackets: 95% intervals.",
        *_disagreements(found),
    ]


def kappa_interval(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The 95% interval of Cohen's kappa, for at least one pair.

    The middle 95% of kappa's posterior: the four cells' shares are drawn from a Dirichlet distribution with Jeffreys'
    prior, 1/2 a cell. It is widened to hold kappa itself, which lies at the end where all agree; the usual normal
    approximation (Fleiss, Cohen and Everitt 1969) shrinks to a point there.
    """
    import numpy as np

    cells = [pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))]
    shares = np.random.default_rng(SEED).dirichlet([cell + 0.5 for cell in cells], size=DRAWS)
    both, mine, other, neither = shares.T
    chance = (both + mine) * (both + other) + (other + neither) * (mine + neither)
    low, high = np.quantile((both + neither - chance) / (1 - chance), (0.025, 0.975))
    kappa = statistics.kappa(pairs)
    return (float(low), float(high)) if kappa is None else (min(float(low), kappa), max(float(high), kappa))


def _tabulate(found: Sequence[Compared], of: Callable[[Compared], Pair | None]) -> list[str]:
    groups = {"all tasks": found}
    for task in sorted({one.verdict["task"] for one in found}):
        groups[task] = [one for one in found if one.verdict["task"] == task]
    body = [[name, *_cells([pair for one in group if (pair := of(one))])] for name, group in groups.items()]
    cells = [*HEAD, *body]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD[0]))]
    return ["  ".join(_pad(text, widths[column], column) for column, text in enumerate(row)).rstrip() for row in cells]


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)


def _cells(pairs: list[Pair]) -> list[str]:
    counts = [pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))]
    agreed = counts[0] + counts[3]
    low, high = statistics.wilson(agreed / len(pairs), len(pairs))
    kappa = statistics.kappa(pairs)
    below, above = kappa_interval(pairs)
    said = "undefined" if kappa is None else f"{kappa:.2f}"
    return [
        str(len(pairs)),
        *map(str, counts),
        f"{percent(agreed / len(pairs))} ({low:.0%} to {high:.0%})",
        f"{said} ({below:.2f} to {above:.2f})",
    ]


def _disagreements(found: Sequence[Compared]) -> list[str]:
    apart = [one for one in found if one.whole[0] != one.whole[1]]
    if not apart:
        return []
    lines = [
        f"  {one.verdict['id'][:16]}  {one.mark.mark}, but {'passed' if one.verdict['passed'] else 'failed'}  "
        f"{one.verdict['task']}{f': {one.mark.why}' if one.mark.why else ''}"
        for one in sorted(apart, key=lambda one: (one.verdict["passed"], one.verdict["task"], one.verdict["id"]))
    ]
    return ["", "Where you and the verdict differ (make trace ID=…):", *lines]
