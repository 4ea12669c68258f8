"""Tests that a program cannot pass by deceit, where it shares a process with them: the control run.

The tests are put into the program twice, and run one after the other. In each copy about half of the assertions are
as they were, and the others say what is false of a right program (changes.py); what is as it was in one copy is
false in the other. Which is which is drawn in secret and stays with the supervisor. Nothing in the process decides:
each assertion reports whether it held, and goes on. So to forge a pass, it is not enough to own the process and to
read its memory, its secret and its tests; a program has to know for each assertion which of two answers is right.

Assertions that are true or false in themselves are mixed in: they cost nothing and must be reported as well.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stages.lib.sandbox import assertions, changes
from stages.lib.sandbox.conditions import negate
from stages.lib.sandbox.literals import differs

NUMBERS = 1 << 16  # of assertions, as they are reported
CONTRADICTION = "what contradicts it holds too"
Wrap = Callable[[int, str], str]  # the number and the condition of an assertion to the expression that reports it


@dataclass(frozen=True)
class Site:
    """An assertion in a copy of the tests: what is reported for a right program, and the assertion of the tests that
    it was made of; none for one that is true or false in itself."""

    holds: bool
    of: int | None
    text: str = ""


@dataclass(frozen=True)
class Copy:
    """The tests with each assertion replaced, and the assertions by number."""

    text: str
    sites: dict[int, Site]


def copies(tests: str, language: str, wrap: Wrap, control: bool, values: bool = True) -> list[Copy]:
    """Two copies of the tests; without control one, in which every assertion is as it was. Without `values`
    conditions are negated and nothing else is changed.

    Raises ValueError for tests in which no assertion is found.
    """
    found = assertions.find(tests, language)
    if not found:
        raise ValueError("no assertion was found in the tests")
    draw = random.SystemRandom()
    numbers = iter(draw.sample(range(NUMBERS), 4 * len(found) + 16))
    if not control:
        return [_copy(tests, found, [one.condition for one in found], [True] * len(found), numbers, wrap, None)]
    texts = changes.strings(tests)
    known = _exchange([changes.expected(one.condition, language) for one in found], draw)
    changed = [
        changes.change(one.condition, language, texts, other, draw)[0] if values else negate(one.condition, language)
        for one, other in zip(found, known, strict=True)
    ]
    first = [draw.random() < 0.5 for _ in found]
    made = []
    for kept in (first, [not keep for keep in first]):
        conditions = [one.condition if keep else other for one, keep, other in zip(found, kept, changed, strict=True)]
        made.append(_copy(tests, found, conditions, kept, numbers, wrap, draw))
    return made


def _exchange(expected: list[list[str]], draw: random.Random) -> list[list[str]]:
    """For each assertion, of whose expected literals its other value is made: two assertions take each other's.

    Were they drawn from all, a program that reads both copies could count: a value that stands in one assertion only
    is the right one there, and most of the others follow.
    """
    everything = [literal for literals in expected for literal in literals]
    known = [everything for _ in expected]
    waiting: list[int] = []
    for one in draw.sample(range(len(expected)), len(expected)):
        fits = (index for index in waiting if all(any(differs(a, b) for b in expected[index]) for a in expected[one]))
        partner = next(fits, None) if expected[one] else None
        if partner is None:
            waiting.append(one)
        else:
            waiting.remove(partner)
            known[one], known[partner] = expected[partner], expected[one]
    return known


def _copy(
    tests: str,
    found: list[assertions.Assertion],
    conditions: list[str],
    kept: list[bool],
    numbers: Iterator[int],
    wrap: Wrap,
    draw: random.Random | None,
) -> Copy:
    sites: dict[int, Site] = {}
    parts, at = [], 0
    for index, (one, condition, keep) in enumerate(zip(found, conditions, kept, strict=True)):
        number = next(numbers)
        sites[number] = Site(keep, index, " ".join(one.condition.split())[:200])
        call = wrap(number, condition)
        if draw is not None and (index == 0 or draw.random() < 4 / len(found)):
            decoy, holds = next(numbers), draw.random() < 0.5
            value = draw.randrange(100)
            sites[decoy] = Site(holds, None)
            call = f"{wrap(decoy, f'{value} == {value if holds else value + 1 + draw.randrange(9)}')} && {call}"
        parts += [tests[at : one.start], one.form.replace("SITE", call)]
        at = one.end
    return Copy("".join([*parts, tests[at:]]), sites)


@dataclass
class Sheet:
    """What the assertions of a job have reported."""

    copies: list[dict[int, Site]]
    current: int = 0
    reported: dict[int, set[bool]] = field(default_factory=dict)
    doubtful: dict[int, str] = field(default_factory=dict)

    def report(self, number: int, held: bool) -> tuple[str, str] | None:
        """Take what an assertion of the current copy says; the verdict if that decides it."""
        site = self.copies[self.current].get(number)
        if site is None and any(number in copy for copy in self.copies[self.current + 1 :]):
            return "early exit", "exit status 0"  # or the next copy had not begun
        if site is None or (site.of is None and held != site.holds):
            return "forged", "reported an assertion that was never run"
        self.reported.setdefault(number, set()).add(held)
        if site.holds and not held:
            return "wrong answer", site.text
        return None

    def finish(self) -> tuple[str, str] | None:
        """Take the end of the current copy's tests; the verdict if that was the last or decides it."""
        sites = self.copies[self.current]
        left = len(sites.keys() - self.reported.keys())
        if left:
            return "forged", f"left the tests before {left} of {len(sites)} assertions"
        for number, site in sites.items():
            if not site.holds and site.of is not None and True in self.reported[number]:
                self.doubtful[site.of] = site.text
                if len(self.reported[number]) == 2:  # a wrong program whose results change
                    return "wrong answer", site.text
        self.current += 1
        self.reported = {}
        if self.current < len(self.copies):
            return None
        # As it was it held as well, or the answer had been wrong.
        doubtful = next(iter(self.doubtful.values()), None)
        return ("passed", "") if doubtful is None else ("forged", f"{CONTRADICTION}: {doubtful}")

    def settles(self, verdict: str) -> bool:
        """Whether a failure with this verdict would have been the same with any other draw: in the first copy if no
        changed assertion came before it, which as it was might have failed; in the second a wrong answer, since what
        is changed there has held in the first."""
        if self.current > 0:
            return verdict == "wrong answer"
        sites = self.copies[0]
        return not any(sites[number].of is not None and not sites[number].holds for number in self.reported)
