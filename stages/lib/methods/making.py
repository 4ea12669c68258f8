"""Makes a round's candidates: of all its functions, or of as many as it takes to reach a target."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from stages.lib import artifacts, progress, records, teacher
from stages.lib.errors import BadInput
from stages.lib.judging import ruling
from stages.lib.methods import answering, bringing, goal, material, planting, test_writing, writing
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.method import Method, load_method
from stages.lib.records import Row
from stages.lib.tasks.definitions import TaskName
from stages.lib.tasks.pool import Case
from stages.lib.teacher.budget import Prices

BLOCK = 64  # functions made ready together, where nobody knows how many are needed


class Making(material.Rows):
    """The keys of the section `generate` that decide what is asked about a function."""

    mix: dict[TaskName, float]
    tasks_per_function: int = Field(gt=0)
    answers: int = Field(default=1, gt=0, exclude_if=lambda value: value == 1)
    keep_reasoning: bool = Field(default=False, exclude_if=lambda value: not value)
    max_dead_share: float = Field(ge=0, le=1)
    repair: planting.Repair
    tests: planting.Tests
    teacher: teacher.Settings

    @model_validator(mode="after")
    def _can_show_bugs(self) -> Self:
        if not self.repair.extra:
            return self
        if load_method(self.method).made_from != "functions":
            raise ValueError(
                f"repair.extra: rows of the method {self.method} are made from no functions; set it to false"
            )
        if self.tests.origin != "observed" or not self.tests.languages:
            raise ValueError("repair.extra: set tests.from: observed and tests.languages, since a run shows the bugs")
        return self


@dataclass(frozen=True)
class Round:
    """Round `number`: how its functions are turned into candidates."""

    number: int
    knobs: Making
    method: Method
    pool: Sequence[Case]
    wording: Wording

    def prepare(self, functions: Sequence[Row]) -> planting.Ready:
        """The rows to ask about, of all `functions`."""
        drawn_by = self.knobs.seed, self.knobs.mix, self.wording
        most, method = self.knobs.tasks_per_function, self.method
        each = [Assignment.draw_each(most, method, one, self.pool, *drawn_by) for one in functions]
        if repairs := int(self.knobs.repair.extra):
            each = [planting.with_repairs(rows, repairs, self.pool, drawn_by) for rows in each]
        rows = list(chain.from_iterable(each))
        if self.knobs.answers > 1 and not any(row.writes_solution for row in rows):
            tasks = ", ".join(sorted({row.task.name for row in rows}))
            raise BadInput(
                f"generate.answers: {self.knobs.answers}, but the raw code is the solution of {tasks}: set "
                "generate.method: inspired, where the teacher writes it, or answers: 1"
            )
        return planting.prepare(rows, self.pool, drawn_by, self.knobs.repair, self.knobs.tests)

    def ask(self, ready: planting.Ready, out: Path) -> tuple[list[Row], dict[str, Any]]:
        """A candidate for each row the teacher answered, in order, and further answers to it if that is asked for; and
        the cost. Exchanges go to `out`."""
        knobs, tests, told = self.knobs, self.knobs.tests, dict[str, Any]()
        with self._teacher() as model:
            with model.ledger(out) as ledger:
                how = knobs.documentation, knobs.keep_reasoning
                candidates = list(writing.write_candidates(model, ledger, ready.rows, self.number, *how))
                if tests.languages and tests.origin == "teacher":
                    candidates, told = test_writing.add_tests(model, candidates, tests.languages, tests.count, out)
                elif tests.languages:
                    candidates = planting.with_tests(candidates, ready.tests, tests.languages)
                    told = {"rows_with_tests": sum(bool(row["tests"]) for row in candidates)}
                if knobs.answers > 1:
                    rest = knobs.answers, knobs.keep_reasoning
                    candidates = answering.add(model, ledger, candidates, ready.rows, *rest)
            ledger.check(knobs.max_dead_share)
        return candidates, ledger.metrics() | ({"tests": told} if told else {})

    def ask_until(self, way: "Way", judge: ruling.Judging, out: Path) -> tuple[list[Row], dict[str, Any]]:
        """As `ask`, of as many rows as it takes to reach a target of `way`; the judges are asked about them at once."""
        candidates: list[Row] = []
        with ExitStack() as stack:
            model = stack.enter_context(self._teacher())
            ledger = stack.enter_context(model.ledger(out))
            bench = ruling.Bench(judge, self.number, stack)
            shown = {case.id: case for case in self.pool}
            for row, outcome in way.goal.walk(way.rows(self), lambda some: self._try(some, way, model, bench, shown)):
                way.used.append(row.function["id"])
                if outcome.answer is not None:
                    ledger.add(outcome.answer)
                if outcome.candidate is not None:
                    candidates.append(outcome.candidate)
        ledger.check(self.knobs.max_dead_share)
        reached = way.goal.reached
        told = {"ended_by": way.goal.ended_by(), "candidates": reached.candidates, "usd": round(reached.usd, 6)}
        spent = ledger.metrics() | {"until": {**told, "passing": dict(sorted(reached.passing.items()))}}
        return candidates, spent

    def _try(
        self,
        rows: Sequence[Assignment],
        way: "Way",
        model: teacher.Teacher,
        bench: ruling.Bench,
        shown: Mapping[str, Case],
    ) -> list[goal.Outcome]:
        """What comes of `rows`: each asked about, tested, checked and judged."""
        answers = list(writing.ask_each(model, rows, self.knobs.documentation))
        made = [
            writing.read_answer(row, answer, self.number, self.knobs.keep_reasoning)
            for row, answer in zip(rows, answers, strict=True)
        ]
        found = [one for one in made if one is not None]
        tested = {one["id"]: one for one in planting.with_tests(found, way.tests, self.knobs.tests.languages)}
        passing, cost = bench.rule(list(tested.values()), shown)
        progress.note(passing=str(sum(way.goal.reached.passing.values()) + len(passing)))
        return [
            goal.Outcome(
                answer=answer,
                candidate=None if one is None else tested[one["id"]],
                passes=one is not None and one["id"] in passing,
                usd=(model.cost(answer) if answer else 0.0) + (cost.get(one["id"], 0.0) if one else 0.0),
            )
            for answer, one in zip(answers, made, strict=True)
        ]

    def _teacher(self) -> Any:
        return teacher.connect(self.knobs.teacher, label=f"generate@{self.number}", seed=self.knobs.seed)


class Way:
    """The functions on the way to a goal, made ready a block at a time; `used`: those whose rows counted."""

    def __init__(self, target: goal.Goal, functions: Sequence[Row]) -> None:
        self.goal = target
        self.used: list[str] = []
        self.tests: dict[str, list[str]] = {}
        self.set_aside: list[Row] = []
        self._functions = functions

    def rows(self, round_: Round) -> Iterator[Assignment]:
        """The rows of the functions, in order."""
        functions = iter(self._functions)
        while block := list(islice(functions, BLOCK)):
            ready = round_.prepare(block)
            self.tests |= ready.tests
            self.set_aside += ready.set_aside
            yield from ready.rows

    def passed_by(self, set_aside: Sequence[Row], order: Mapping[str, int]) -> list[Row]:
        """Those of `set_aside`, and of the functions set aside on the way, that lie before the last one used."""
        last = max((order[one] for one in self.used), default=-1)
        return [row for row in [*set_aside, *self.set_aside] if order[row["id"]] < last]


def bring(knobs: Making, entries: Sequence[bringing.Entry], number: int, out: Path) -> tuple[list[Row], dict[str, Any]]:
    """The candidates of round `number` among rows that another tool wrote, and the cost: only of tests, where the
    teacher is to write those that a row lacks. Rows with a fault are dead letters, with the row as it stands there."""
    made = [{**one.candidate, "round": number} for one in entries if one.candidate]
    tests, told = knobs.tests, dict[str, Any]()
    with teacher.connect(knobs.teacher, label=f"generate@{number}", seed=knobs.seed) as model:
        with model.ledger(out) as ledger:
            for one in entries:
                if not one.repeats:
                    ledger.add(one.answer)
        if tests.languages and tests.origin == "teacher":
            without = [row for row in made if not row["tests"]]
            added, told = test_writing.add_tests(model, without, tests.languages, tests.count, out)
            by_id = {row["id"]: row for row in added}
            made = [by_id.get(row["id"], row) for row in made]
    return made, ledger.metrics() | {"tests": told | {"rows_with_tests": sum(bool(row["tests"]) for row in made)}}


def start(knobs: Making, judge: ruling.Judging, functions: Sequence[Row], number: int) -> Way:
    """The way from what the rounds before `number` reached. Raises `BadInput` for a target that makes no sense with the
    other parameters, or that is reached already."""
    until = knobs.until
    assert until is not None
    if knobs.tests.languages and knobs.tests.origin == "teacher":
        raise BadInput(
            "generate.until counts rows that pass their tests, and takes them from functions: set "
            "generate.tests.from: observed, or generate.until: null"
        )
    if knobs.answers > 1:
        raise BadInput("generate.until counts one answer a row: set generate.answers: 1, or generate.until: null")
    if until.usd is not None and knobs.teacher.free and judge.teacher.free:
        raise BadInput("generate.until.usd: the teacher and the judge are free; take it out, or give their prices")
    languages = sorted({row["language"] for row in functions})
    quotas = goal.share_out(until, knobs.mix, languages)
    reached = tally(knobs, judge, number)
    target = goal.Goal(until, quotas, reached, knobs.teacher.concurrency)
    if target.ended_by():
        raise BadInput(
            f"generate.until: the rounds before already reach {target.ended_by()}, with {target.describe()}; raise the "
            "target, or lower generate.rows_per_round"
        )
    return Way(target, functions)


def tally(knobs: Making, judge: ruling.Judging, number: int) -> goal.Tally:
    """What the rounds before `number` reached, at the prices of now."""
    found = goal.Tally()
    for earlier in range(1, number):
        made, ruled = (artifacts.open(f"data/{kind}/{earlier}") for kind in ("candidates", "verdicts"))
        verdicts = records.read(ruled.file("verdicts.parquet"), records.VERDICT).to_pylist()
        per = {"task": "task", "language": "language"}.get(knobs.until.per or "" if knobs.until else "")
        found.passing += Counter(row[per] if per else goal.ALL for row in verdicts if row["passed"])
        found.candidates += records.read(made.file("candidates.parquet"), records.CANDIDATE).num_rows
        folders = [made.path, ruled.path, *(ruled.path / f"judge-{place + 2}" for place in range(len(judge.panel)))]
        for folder, settings in zip(folders, [knobs.teacher, *judge.judges], strict=True):
            table = records.read(folder / "exchanges.parquet", records.EXCHANGE)
            tokens = (sum(table[name].to_pylist()) for name in ("prompt_tokens", "completion_tokens"))
            found.usd += Prices(settings).cost(*tokens)
    return found
