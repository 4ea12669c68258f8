"""A budget for a whole matrix: no run starts that could exceed it."""

from pathlib import Path
from typing import Any

from stages.lib import artifacts, params
from stages.lib.errors import BadInput
from stages.lib.teacher import journal

ASKING = ("generate", "judge")


def check(name: str, budget: float, values: dict[str, Any], state: Path) -> float:
    """US dollars spent since this matrix began.

    No stage exceeds its own cap over the journal's life (`teacher.budget_usd`), so what those caps leave is the most a
    run can spend. Raises `BadInput` if that is more than what is left of `budget`.
    """
    spent = spend_by_label()
    if not state.is_file():
        artifacts.write_json(state, {"spent_before": sum(spent.values())})
    gone = sum(spent.values()) - float(artifacts.read_json(state)["spent_before"])
    open_caps = most(values, spent)
    if open_caps and gone + open_caps > budget:
        raise BadInput(
            f"{name}: {gone:.4f} of its budget_usd of {budget:.4f} US dollars are spent, and its stages' budget_usd "
            f"allow {open_caps:.4f} more; raise the matrix's budget_usd, or lower generate.teacher.budget_usd and "
            "judge.teacher.budget_usd; nothing is paid twice"
        )
    return gone


def most(values: dict[str, Any], spent: dict[str, float]) -> float:
    """The most a run with the params `values` can spend, in US dollars."""
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
    """US dollars of all journaled answers, by stage."""
    file = folder / "exchanges.log"
    spent: dict[str, float] = {}
    if file.is_file():
        for record in journal.records(file):
            if record is not None:
                spent[record["label"]] = spent.get(record["label"], 0.0) + record["cost"]
    return spent
