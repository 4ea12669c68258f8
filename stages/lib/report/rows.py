"""Every row of the run with its whole chain, as the page holds it: what the reader filters, searches and marks."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest
from typing import Any

from stages.lib.artifacts import digest
from stages.lib.report import exchanges, judging, tables
from stages.lib.report.inputs import CANDIDATES, VERDICTS, Run
from stages.lib.report.rendering import clip
from stages.lib.report.tables import Row

IN_DATASET, DROPPED, DEAD, ASIDE = "in the dataset", "dropped by assemble", "dead letter", "set aside"
OUTCOMES = (IN_DATASET, DROPPED, judging.BY_JUDGE, judging.BY_CHECKS, DEAD, ASIDE)
SOURCES = "sources.parquet"
FUNCTION = ("name", "code", "docstring", "imports", "source", "path", "line", "license")


def entries(run: Run) -> list[Row]:
    """Every candidate, dead letter and function set aside: `outcome`, `stopped` (the rules that stopped it, or why it
    was set aside) and its `record`."""
    found = [_judged(run, row) for row in run.verdicts]
    for key in run.rounds:
        candidates = run[CANDIDATES + key]
        for file, outcome in (("dead_letters.jsonl", DEAD), ("set_aside.jsonl", ASIDE)):
            lines = tables.lines(candidates, file)
            found += [_entry({**row, "round": int(key)}, row["id"], outcome, [row["reason"]]) for row in lines]
        found += _unjudged(run, key)
    return found


def choose(found: Iterable[Row], most: int) -> list[Row]:
    """`most` entries: every task and outcome in turn gives its next row by id, which is a hash, and nobody picks."""
    groups: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for entry in sorted(found, key=lambda entry: str(entry["record"]["id"])):
        groups[OUTCOMES.index(entry["outcome"]), entry["task"]].append(entry)
    turns = chain.from_iterable(zip_longest(*(groups[key] for key in sorted(groups))))
    return list(islice((entry for entry in turns if entry), most))


def whole(run: Run, chosen: list[Row]) -> list[Row]:
    """The chosen entries as rows of the page, without what is empty."""
    functions = made_from(run, {entry["function_id"] for entry in chosen})
    records = [entry["record"] for entry in chosen]
    asked = _exchanges(run, CANDIDATES, "exchanges.parquet", (one.get("request", "") for one in records))
    judged = _exchanges(run, VERDICTS, "exchanges.parquet", (one.get("judge_request", "") for one in records))
    panel = _panel(run, {one["id"] for one in records})
    found = []
    for entry, record in zip(chosen, records, strict=True):
        said = {
            "asked": asked.get(record.get("request", "")),
            "judged": judged.get(record.get("judge_request", "")),
            "panel": panel.get(record["id"]),
        }
        found.append(_slim(_text(entry, functions.get(entry["function_id"], {}), run.split_of) | said))
    return found


def fingerprint(record: Row) -> str:
    """Tells whether a row's text is still the one that a reader marked: 12 hex digits of its hash."""
    return digest([record.get(name, "") for name in ("instruction", "information", "solution")])[:12]


def made_from(run: Run, ids: Iterable[str]) -> dict[str, Row]:
    """The functions with these ids, by id, or what the generation method used instead."""
    ids = set(ids)
    found = tables.with_ids(run["data/corpus"], "corpus.parquet", ids)
    for key in run.rounds:
        if run[CANDIDATES + key].has(SOURCES):
            found |= tables.with_ids(run[CANDIDATES + key], SOURCES, ids)
    return found


def _judged(run: Run, row: Row) -> Row:
    """A verdict. Where `assemble.judge` is false, rows that failed are in the dataset too."""
    stopped = [ruling["rule"] for ruling in row["rulings"] if not ruling["passed"]]
    if row["id"] in run.split_of:
        return _entry(row, row["function_id"], IN_DATASET, stopped)
    if row["passed"] or row["id"] in run.dropped_by:
        return _entry(row, row["function_id"], DROPPED, [run.dropped_by.get(row["id"], "no rule is recorded")])
    return _entry(row, row["function_id"], judging.outcome(row), stopped)


def _unjudged(run: Run, key: str) -> Iterator[Row]:
    """Candidates of round `key` for which no judge gave a usable answer."""
    dead = {entry["id"]: entry for entry in tables.lines(run[VERDICTS + key], "dead_letters.jsonl")}
    for row in tables.with_ids(run[CANDIDATES + key], "candidates.parquet", dead).values():
        entry = dead[row["id"]]
        yield _entry({**row, "attempts": entry["attempts"]}, row["function_id"], DEAD, [entry["reason"]])


def _entry(record: Row, function_id: str, outcome: str, stopped: list[str]) -> Row:
    task = record.get("task", "")
    return {"record": record, "function_id": function_id, "task": task, "outcome": outcome, "stopped": stopped}


def _text(entry: Row, function: Row, splits: dict[str, str]) -> Row:
    record = entry["record"]
    written = set(json.loads(record.get("answer") or "{}"))
    texts = {"input": "information", "output": "solution"}
    return {
        "id": record["id"],
        "outcome": entry["outcome"],
        "stopped": entry["stopped"],
        "task": entry["task"],
        "language": record.get("language") or function.get("language", ""),
        "target": record.get("target_language", ""),
        "split": splits.get(record["id"]),
        "round": record["round"],
        "style": record.get("style", ""),
        "instruction": record.get("instruction", ""),
        **{name: record.get(field, "") for name, field in texts.items()},
        "taken": [name for name, field in texts.items() if record.get(field) and field not in written],
        "fingerprint": fingerprint(record) if "instruction" in record else "",
        "rulings": _rulings(record),
        "tests": list(record.get("tests", [])),
        "execution": record.get("execution", ""),
        "attempts": [[one["fault"], one.get("response", "")] for one in record.get("attempts", [])],
        "function": {"id": entry["function_id"], **{name: _cut(function.get(name)) for name in FUNCTION}},
    }


def _exchanges(run: Run, folder: str, file: str, requests: Iterable[str]) -> dict[str, Row]:
    """The exchanges of these requests, by request, from every round that has `file`."""
    wanted = set(requests) - {""}
    artifacts = [run[folder + key] for key in run.rounds if run[folder + key].has(file)]
    found = (row for one in artifacts for row in tables.with_values(one, file, "request", wanted))
    return {row["request"]: exchanges.shown(row) for row in found}


def _panel(run: Run, ids: set[str]) -> dict[str, list[Row]]:
    """Each panel judge's ballots on these rows, by row; from the second judge on with its exchange, since the first
    one's is the row's."""
    ballots = [
        row
        for key in run.rounds
        if run[VERDICTS + key].has("ballots.parquet")
        for row in tables.with_values(run[VERDICTS + key], "ballots.parquet", "id", ids)
    ]
    said: dict[str, list[Row]] = defaultdict(list)
    for number in sorted({row["judge"] for row in ballots}):
        own = [row for row in ballots if row["judge"] == number]
        requests = (row["request"] for row in own if number > 1)
        asked = _exchanges(run, VERDICTS, f"judge-{number}/exchanges.parquet", requests)
        for row in own:
            ballot = {"model": row["model"], "rulings": _rulings(row), "asked": asked.get(row["request"])}
            said[row["id"]].append(_slim(ballot))
    return said


def _cut(value: Any) -> Any:
    return clip(value) if isinstance(value, str) else value


def _rulings(record: Row) -> list[list[Any]]:
    return [[one["rule"], one["kind"], one["passed"], one["reason"]] for one in record.get("rulings", [])]


def _slim(row: Row) -> dict[str, Any]:
    return {name: _slim(value) if isinstance(value, dict) else value for name, value in row.items() if _says(value)}


def _says(value: Any) -> bool:
    return value not in (None, "", []) and value != {}
