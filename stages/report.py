"""report: one page with the run's results and how far to trust them.

Reads   every artifact of the pipeline, metrics/*.json, plots/coreset.csv
Writes  report/index.html    one self-contained file that loads nothing else
        report/summary.txt   the short table that `make` prints at the end

Every artifact is verified first. Figures are counted from the sealed rows; what no artifact holds (benchmarks that
were not checked, pass@k) comes from the stages' metrics.
"""

from typing import Any

from pydantic import Field

from stages.lib import artifacts, params
from stages.lib.report import (
    comparable,
    coverage,
    evaluation,
    funnel,
    headline,
    inputs,
    judging,
    losses,
    mix,
    packing,
    rendering,
    rows,
    training,
)

SECTIONS = [
    ("run", "This run"),
    ("funnel", "The funnel"),
    ("mix", "Languages and tasks"),
    ("coverage", "Coverage"),
    ("judge", "The judge"),
    ("rows", "The rows"),
    ("training", "Training"),
    ("evaluation", "Before and after"),
    ("unchecked", "What was not checked"),
    ("provenance", "Provenance"),
]


class Params(params.Section):
    """The `report` section of params.yaml."""

    rows: int = Field(ge=0)
    examples_per_drop: int = Field(ge=0)


def main() -> None:
    knobs = params.load("report", Params)
    found = inputs.load()
    facts = gather(found, knobs)
    facts |= pack(found, knobs, facts)
    with artifacts.create("report", stage="report", inputs=list(found.artifacts.values()), params=knobs.result) as out:
        html = rendering.render("page.html.j2", sections=SECTIONS, script=rendering.script(), **facts)
        (out / "index.html").write_text(html, encoding="utf-8")
        summary = rendering.render("summary.txt.j2", lines=headline.summary(facts))
        (out / "summary.txt").write_text(summary, encoding="utf-8")


def gather(found: inputs.Run, knobs: Params) -> dict[str, Any]:
    """The templates' variables."""
    facts: dict[str, Any] = {
        "about": headline.about(found),
        "counts": headline.count(found),
        "funnel": funnel.steps(found, knobs.examples_per_drop),
        "languages": mix.languages(found),
        "tasks": mix.tasks(found),
        "wording": mix.wording(found),
        "coverage": coverage.read(found),
        "judging": judging.summarize(found.verdicts),
        "trial": judging.trial(found),
        "training": training.read(found["models/tuned"]),
        "evaluation": evaluation.read(found),
        "unchecked": headline.unchecked(found),
        "provenance": list(found.artifacts.values()),
        "paper": rendering.paper(),
    }
    return facts | {"headline": headline.numbers(facts), "on_trial": headline.on_trial(facts["trial"])}


def pack(found: inputs.Run, knobs: Params, facts: dict[str, Any]) -> dict[str, Any]:
    """The rows and the figures as the page's data element, and what was lost on the way."""
    entries = rows.entries(found)
    whole = rows.whole(found, rows.choose(entries, knobs.rows))
    about = {"dataset": found["data/dataset"].root, "outcomes": rows.OUTCOMES}
    packed, shown = packing.pack(about | comparable.figures(found, facts), whole)
    return {
        "packed": packed,
        "rows": {"shown": shown, "total": len(entries)},
        "losses": losses.read(found, entries),
    }
