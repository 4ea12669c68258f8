"""Rows until enough of them pass: along the coreset's order, until a target is reached.

What a round holds depends on that order alone. Rows are counted one after the other, and the first at which a target is
reached is the last. They are asked about in groups, of no more rows than are still wanted, or than may be in flight; an
answer beyond the last row stays in the journal, for a run with a higher target.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, model_validator

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.methods.assignment import Assignment
from stages.lib.records import Row
from stages.lib.teacher import Answer

ALL = "rows"  # the one group where `per` is null
LOOK_AHEAD = 8  # rows looked at for each that is wanted: a rare group must not make a whole coreset ready


class Until(params.Section):
    """Targets over all rounds, whichever is reached first; null: none. `passing`: rows that pass checks, tests and
    judge; `candidates`: rows that the teacher was asked about and answered; `usd`: what these cost, US dollars. `per`:
    `passing` is shared among the tasks, as generate.mix has it, or equally among the languages."""

    passing: int | None = Field(default=None, gt=0)
    candidates: int | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)
    per: Literal["task", "language"] | None = None

    @model_validator(mode="after")
    def _has_a_target(self) -> "Until":
        if self.passing is None and self.candidates is None and self.usd is None:
            raise ValueError("give passing, candidates or usd, or set generate.until to null")
        if self.per is not None and self.passing is None:
            raise ValueError("`per` shares out `passing`, which is null")
        return self


@dataclass
class Tally:
    """What has been reached: rows that pass, by group, candidates, and US dollars."""

    passing: Counter[str] = field(default_factory=Counter)
    candidates: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of a row: the teacher's answer (None where none is asked), the candidate (None for a dead letter),
    whether that passes, and what it cost with its judges, US dollars."""

    answer: Answer | None
    candidate: Row | None
    passes: bool
    usd: float


class Goal:
    """The way to the targets of `until`, from what earlier rounds `reached`. `quotas`: rows that must pass, by group;
    `at_once`: requests that may be in flight."""

    def __init__(self, until: Until, quotas: Mapping[str, int], reached: Tally, at_once: int) -> None:
        self.reached = reached
        self._until, self._quotas, self._at_once = until, quotas, at_once

    def group(self, row: Assignment) -> str:
        """The group whose quota `row` counts for."""
        if self._until.per is None:
            return ALL
        return row.task.name if self._until.per == "task" else str(row.function["language"])

    def ended_by(self) -> str:
        """The target that is reached: "passing", "candidates" or "usd"; "" for none."""
        until = self._until
        if until.passing is not None and all(map(self._is_full, self._quotas)):
            return "passing"
        if until.candidates is not None and self.reached.candidates >= until.candidates:
            return "candidates"
        return "usd" if until.usd is not None and self.reached.usd >= until.usd else ""

    def walk(
        self, rows: Iterator[Assignment], ask: Callable[[list[Assignment]], Sequence[Outcome]]
    ) -> Iterator[tuple[Assignment, Outcome]]:
        """Each of `rows` that counts, with its outcome, until a target is reached. `ask` is given several rows at once.

        A row whose group is full does not count. Raises `BadInput` if the rows are used up before.
        """
        ahead: list[Assignment] = []  # seen, and not counted yet
        known: dict[str, Outcome] = {}
        while not self.ended_by():
            if not ahead or (self._counts(ahead[0]) and _key(ahead[0]) not in known):
                wanted = self._wanted(ahead, rows, known)
                if not wanted:
                    raise BadInput(self._exhausted())
                known |= dict(zip(map(_key, wanted), ask(wanted), strict=True))
            row = ahead.pop(0)
            outcome = known.pop(_key(row), None)
            if outcome is None or not self._counts(row):
                continue
            self.reached.candidates += outcome.candidate is not None
            self.reached.passing[self.group(row)] += outcome.passes
            self.reached.usd += outcome.usd
            yield row, outcome

    def _wanted(
        self, ahead: list[Assignment], rows: Iterator[Assignment], known: Mapping[str, Outcome]
    ) -> list[Assignment]:
        """The next rows to ask about, of each group as many as it still wants; `ahead` grows by what is looked at."""
        left = self._most_at_once()
        open_groups = [group for group in self._quotas if not self._is_full(group)] or [ALL]
        least = max(1, self._at_once // max(1, len(self._quotas)))  # overshoots by no more than what is in flight
        waiting, passing = Counter[str](), Counter[str]()  # of the rows ahead whose outcome is known, by group
        for row in ahead:
            if (outcome := known.get(_key(row))) is not None:
                waiting[self.group(row)] += 1
                passing[self.group(row)] += outcome.passes
        wants = {one: max(self._lack(one) - passing[one], least - waiting[one], 0) for one in open_groups}
        if ahead:  # the next one to be counted
            wants[self.group(ahead[0])] = max(1, wants[self.group(ahead[0])])
        wanted: list[Assignment] = []
        most_looked_at = LOOK_AHEAD * sum(wants.values())
        for looked_at, row in enumerate(_through(ahead, rows)):
            if wanted and looked_at > most_looked_at:
                break
            group = self.group(row)
            if _key(row) in known or not self._counts(row) or not wants.get(group, 0):
                continue
            wanted.append(row)
            wants[group] -= 1
            left -= 1
            if not left or not any(wants.values()):
                break
        return wanted

    def _most_at_once(self) -> int:
        """Rows that the targets of candidates and money allow to ask about now, by the cost of those so far."""
        until, reached, most = self._until, self.reached, 10**9
        if until.candidates is not None:
            most = max(1, until.candidates - reached.candidates)
        if until.usd is not None:
            each = reached.usd / reached.candidates if reached.candidates else math.inf
            affordable = int((until.usd - reached.usd) / each / 2) if each else most
            most = min(most, max(self._at_once, affordable))
        return most

    def _counts(self, row: Assignment) -> bool:
        return self._until.passing is None or not self._is_full(self.group(row))

    def _is_full(self, group: str) -> bool:
        return self.reached.passing[group] >= self._quotas.get(group, 0)

    def _lack(self, group: str) -> int:
        return self._quotas.get(group, 10**9) - self.reached.passing[group]

    def _exhausted(self) -> str:
        lacking = [
            f"{group} {self.reached.passing[group]} of {quota}"
            for group, quota in self._quotas.items()
            if not self._is_full(group)
        ]
        return (
            f"generate.until cannot be reached: the coreset's functions are used up with {self.describe()}"
            + (f"; passing: {', '.join(lacking)}" if lacking else "")
            + "; raise coreset.k, loosen what sets functions aside, or lower the target; the answers are in the journal"
        )

    def describe(self) -> str:
        """What is reached, in words."""
        passing, reached = sum(self.reached.passing.values()), self.reached
        return f"{passing} rows passing of {reached.candidates} candidates, for {reached.usd:.4f} US dollars"


def share_out(until: Until, mix: Mapping[str, float], languages: Sequence[str]) -> dict[str, int]:
    """The rows that must pass, by group: by the largest remainders of the mix's shares, or of equal ones."""
    if until.passing is None:
        return {}
    if until.per is None:
        return {ALL: until.passing}
    found = dict(mix) if until.per == "task" else dict.fromkeys(languages, 1.0)
    found = {group: share for group, share in found.items() if share}
    exact = {group: until.passing * share / sum(found.values()) for group, share in found.items()}
    quotas = {group: int(number) for group, number in exact.items()}
    rest = until.passing - sum(quotas.values())
    for group in sorted(exact, key=lambda one: quotas[one] - exact[one])[:rest]:
        quotas[group] += 1
    return quotas


def _key(row: Assignment) -> str:
    return f"{row.function['id']} {row.task.name}"


def _through(ahead: list[Assignment], rows: Iterator[Assignment]) -> Iterator[Assignment]:
    """`ahead`, then `rows`, which `ahead` takes in one by one."""
    yield from list(ahead)
    for row in rows:
        ahead.append(row)
        yield row
