"""A budget for a whole matrix: no run starts that could overshoot it."""

from pathlib import Path
from typing import Any

from stages.lib import artifacts, params
from stages.lib.errors import BadInput
from stages.lib.teacher import journal

ASKING = ("generate", "judge")


def check(name: str, budget: float, values: dict[str, Any], state: Path) -> float:
    """US dollars that the journal gained since this matrix began, where the next run fits the rest of the budget.

    Each stage has a cap over the journal's life (`teacher.budget_usd`), which it never oversteps; what those caps
    still leave is the most that a run can spend. Raises `BadInput` where that is more than the rest of `budget`.
    """
    spent = spend_by_label()
    if not state.is_file():
        artifacts.write_json(state, {"spent_before": sum(spent.values())})
    gone = sum(spent.values()) - float(artifacts.read_json(state)["spent_before"])
    open_caps = most(values, spent)
    if open_caps and gone + open_caps > budget:
        raise BadInput(
            f"{name}: {gone:.4f} of its budget_usd of {budget:.4f} US dollars are spent, and by the budget_usd of its "
            f"stages it may spend {open_caps:.4f} more; raise the matrix's, or lower generate.teacher.budget_usd and "
            "judge.teacher.budget_usd; nothing is paid twice"
        )
    return gone


def most(values: dict[str, Any], spent: dict[str, float]) -> float:
    """The most that a run with the params `values` can spend, US dollars."""
    total = 0.0
    for stage in ASKING:
        first = params.completed(values, stage)["teacher"]
        panel = [first, *({**first, **one} for one in values[stage].get("panel", []))]
        for number in range(1, values["generate"]["rounds"] + 1):
            for place, settings in enumerate(panel):
                label = f"{stage}@{number}" + (f", judge {place + 1}" if place else "")
                if not settings["free"]:
                    total += max(0.0, settings["budget_usd"] - spent.get(label, 0.0))
    return total


def spend_by_label(folder: Path = journal.FOLDER) -> dict[str, float]:
    """US dollars of all journaled answers, by the stage that asked."""
    file = folder / "exchanges.log"
    spent: dict[str, float] = {}
    if file.is_file():
        for record in journal.records(file):
            if record is not None:
                spent[record["label"]] = spent.get(record["label"], 0.0) + record["cost"]
    return spent
