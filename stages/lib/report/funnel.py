"""The funnel: rows in and out of each stage and dropped by each rule, with examples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from stages.lib.artifacts import Artifact
from stages.lib.report import judging, tables
from stages.lib.report.inputs import CANDIDATES, VERDICTS, Run
from stages.lib.report.rows import DEAD, OUTCOMES, made_from
from stages.lib.report.tables import Row

NO_ANSWER = "no usable answer"


@dataclass
class Drop:
    """Rows that one rule of one stage dropped."""

    rule: str
    rows: int
    share: float  # of the rows that came into the stage
    examples: list["Example"] = field(default_factory=list)
    link: str = ""  # to these rows, if the page has them


@dataclass
class Step:
    """One stage of the funnel; `unit` names what its rows are."""

    stage: str
    unit: str
    rows_in: int
    rows_out: int
    drops: list[Drop] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of rows kept; 0 if none came in."""
        return self.rows_out / self.rows_in if self.rows_in else 0.0


@dataclass
class Example:
    """A dropped row: its origin, what the rule found, its text."""

    about: str
    reason: str
    text: str


def steps(run: Run, examples: int) -> list[Step]:
    """Every stage that drops rows, in pipeline order, with up to `examples` rows per rule."""
    found = [_collect(run, examples), _filter(run, examples), _coreset(run)]
    for key in run.rounds:
        found += [_generate(run, key, examples), _judge(run, key, examples)]
    return [*found, _assemble(run, examples)]


def _collect(run: Run, examples: int) -> Step:
    functions = run["data/functions"]
    aside = tables.lines(functions, "set_aside.jsonl")
    rows, bad = tables.rows_in(functions, "functions.parquet"), sum(entry["rows"] for entry in aside)
    shown = [Example(f"{e['source']}, {e['file']}, line {e['line']}", e["reason"], "") for e in aside[:examples]]
    return _step("collect", "rows read", rows + bad, rows, {"unreadable": (bad, shown)})


def _filter(run: Run, examples: int) -> Step:
    corpus = run["data/corpus"]
    kept = tables.rows_in(corpus, "corpus.parquet")
    drops = _by_rule(corpus, run.metrics["filter"]["dropped"], examples, _function)
    return _step("filter", "functions", kept + tables.rows_in(corpus, "dropped.parquet"), kept, drops)


def _coreset(run: Run) -> Step:
    rows = tables.rows_in(run["data/corpus"], "corpus.parquet")
    return Step("coreset", "functions", rows, tables.rows_in(run["data/coreset"], "coreset.parquet"))


def _generate(run: Run, key: str, examples: int) -> Step:
    candidates = run[CANDIDATES + key]
    aside, dead = (tables.lines(candidates, file) for file in ("set_aside.jsonl", "dead_letters.jsonl"))
    groups = {reason: [e for e in aside if e["reason"] == reason] for reason in sorted({e["reason"] for e in aside})}
    groups[NO_ANSWER] = dead
    chosen = {name: sorted(rows, key=_id)[:examples] for name, rows in groups.items()}
    ids = [_id(entry) for entries in chosen.values() for entry in entries]
    functions = made_from(run, ids)
    drops = {
        name: (len(groups[name]), [_read(e, functions.get(e["id"])) for e in entries])
        for name, entries in chosen.items()
    }
    made = tables.rows_in(candidates, "candidates.parquet")
    unit = "rows of the file" if "foreign" in candidates.params else "functions read"
    return _step(f"generate@{key}", unit, made + len(aside) + len(dead), made, drops)


def _read(entry: Row, function: Row | None) -> Example:
    return _function(function, _why(entry)) if function else Example(entry["id"], _why(entry), "")


def _why(entry: Row) -> str:
    return f"about {entry['tokens']} tokens" if "tokens" in entry else str(entry["reason"])


def _judge(run: Run, key: str, examples: int) -> Step:
    verdicts = [row for row in run.verdicts if str(row["round"]) == key]
    dead = tables.lines(run[VERDICTS + key], "dead_letters.jsonl")
    drops: dict[str, tuple[int, list[Example]]] = {}
    for name in (judging.BY_CHECKS, judging.BY_JUDGE):
        rows = [row for row in verdicts if judging.outcome(row) == name]
        drops[name] = len(rows), [_candidate(row) for row in sorted(rows, key=_id)[:examples]]
    drops[NO_ANSWER] = len(dead), [Example(e["id"], e["reason"], "") for e in sorted(dead, key=_id)[:examples]]
    passed = sum(row["passed"] for row in verdicts)
    return _step(f"judge@{key}", "candidates", len(verdicts) + len(dead), passed, drops)


def _assemble(run: Run, examples: int) -> Step:
    dataset, kept = run["data/dataset"], run.splits().total()
    drops = _by_rule(dataset, run.metrics["assemble"]["dropped"], examples, _instance)
    unit = "rows that passed" if dataset.params.get("judge", True) else "candidates"
    return _step("assemble", unit, kept + tables.rows_in(dataset, "dropped.parquet"), kept, drops)


def _by_rule(
    artifact: Artifact, rules: dict[str, int], examples: int, show: Callable[[Row, str], Example]
) -> dict[str, tuple[int, list[Example]]]:
    """The rows of `dropped.parquet` by rule, in rule order; then those of `rules` that dropped nothing."""
    file = "dropped.parquet"
    ids, named = (tables.column(artifact, file, name) if artifact.has(file) else [] for name in ("id", "rule"))
    found = {}
    for rule in [*dict.fromkeys(named), *(rule for rule in rules if rule not in named)]:
        members = [id for id, dropped_by in zip(ids, named, strict=True) if dropped_by == rule]
        chosen = tables.lowest(members, examples)
        rows = tables.with_ids(artifact, file, chosen) if chosen else {}
        found[rule] = len(members), [show(rows[id], rows[id]["reason"]) for id in chosen]
    return found


def _step(stage: str, unit: str, rows_in: int, rows_out: int, drops: dict[str, tuple[int, list[Example]]]) -> Step:
    listed = [
        Drop(rule, rows, rows / rows_in if rows_in else 0.0, shown, _link(stage, rule) if rows else "")
        for rule, (rows, shown) in drops.items()
    ]
    return Step(stage, unit, rows_in, rows_out, listed)


def _link(stage: str, rule: str) -> str:
    if stage in ("collect", "filter"):
        return ""
    if rule == NO_ANSWER:
        return f"#rows?{urlencode({'outcome': DEAD})}"
    return f"#rows?{urlencode({'outcome' if rule in OUTCOMES else 'rule': rule})}"


def _function(row: Row, reason: str) -> Example:
    about = f"{row['language']}, {row['source']}, {row['path']}, line {row['line']}"
    return Example(about, reason, row["code"])


def _instance(row: Row, reason: str) -> Example:
    return Example(f"{row['task']}, {row['language']}", reason, f"{row['instruction']}\n\n{row['output']}")


def _candidate(row: Row) -> Example:
    ruling = next(ruling for ruling in row["rulings"] if not ruling["passed"])
    reason = f"{ruling['rule'].replace('_', ' ')}: {ruling['reason']}"
    return Example(f"{row['task']}, {row['language']}", reason, f"{row['instruction']}\n\n{row['solution']}")


def _id(entry: Row) -> str:
    return str(entry["id"])
