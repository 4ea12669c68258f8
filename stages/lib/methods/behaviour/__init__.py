"""What functions do, observed: each is run in the sandbox, with many arguments, and what it returns becomes its tests.

The raw code is taken as correct. A function with candidates for its planted bug is run beside them, on the same
arguments, so that a bug is known to change a result. Everything is drawn by a function's id and run several times,
under three hash seeds or in another order: only what never changes is used, so that two runs, and two machines, get the
same tests. What depends on the language is in python/ and javascript/.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stages.lib import sandbox
from stages.lib.errors import BadInput
from stages.lib.methods.behaviour import javascript, python
from stages.lib.sandbox import Execution
from stages.lib.tasks import unit_tests
from stages.lib.tasks.bugs import Bug


class Language(Protocol):
    """What a language's module has; python/ says what each is for."""

    HASH_SEEDS: tuple[int, ...]
    RAISES: str
    UNTOLD: tuple[str, ...]

    def calls(self, identity: str, code: str, name: str, docstring: str, most: int) -> list[str]: ...
    def program(self, codes: Sequence[str], name: str, called: Sequence[str]) -> sandbox.Program: ...
    def spoken(self, literals: str) -> str: ...


LANGUAGES: dict[str, Language] = {"Python": python, "JavaScript": javascript}
CALLS = 64  # argument lists a function is called with
BUGS = 8  # candidates that are tried for the bug of a function
CPU_S = 2.0  # for all calls of all versions of a function; most take a tenth of a second
HARMLESS = 3  # the rank of a bug that changes nothing that was seen
SHORT = 40  # characters of a call that a person is told

Ending = tuple[str, str]  # what came of a call: "value" or "items" and the text, "raises" and the type, "none" and why
Endings = list[list[Ending]]  # by version of a function, and by call
NOTHING: Ending = ("none", "unsteady")


@dataclass(frozen=True)
class Subject:
    """A function to observe: its `code`, with the imports that it needs, is right, and one of `bugs` is to be
    planted in it, if there are any."""

    id: str
    language: str
    code: str
    docstring: str
    bugs: list[Bug] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A bug, and what a person is told that was seen of it."""

    bug: Bug
    seen: str


@dataclass(frozen=True)
class Observed:
    """`tests` hold of the function, and one of them fails with each of the bugs `shown`, of which the best comes first.
    Where `ran` and there were bugs to choose from, but none is `shown`, none of them changed a result. Not `ran`: too
    little came of the calls to tell."""

    ran: bool = False
    tests: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    @property
    def bug(self) -> Bug | None:
        """The best bug, if any is shown."""
        return self.shown[0].bug if self.shown else None


def observe(subjects: Sequence[Subject], count: int, knobs: Execution) -> list[Observed]:
    """What is seen of each subject, with at most `count` tests. Raises `BadInput` where foreign code, or a language of
    the subjects, cannot be run."""
    trials = {n: trial for n, one in enumerate(subjects) if (trial := _trial(one)) is not None}
    _require({trial.subject.language for trial in trials.values()})
    for seed in python.HASH_SEEDS:
        going = [trial for trial in trials.values() if not trial.given_up and seed in trial.language.HASH_SEEDS]
        for trial, told in zip(going, _run([trial.program() for trial in going], seed, knobs), strict=True):
            trial.take(told)
        _untangle([trial for trial in going if trial.given_up and seed == python.HASH_SEEDS[0]], seed, knobs)
    return [trials[n].conclude(count) if n in trials else Observed() for n in range(len(subjects))]


def _require(languages: set[str]) -> None:
    """Raises `BadInput` where one of these cannot be run: a machine that leaves tests out would make other rows."""
    for language in sorted(languages):
        if lacking := sandbox.missing(unit_tests.languages()[language]["sandbox"]):
            raise BadInput(
                f"generate.tests.languages: {language} functions cannot be run here ({lacking}): "
                f"install what is missing, or take {language} out of generate.tests.languages"
            )


@dataclass
class _Trial:
    """A subject with its calls and the bugs that are still tried; what came of it in each run so far."""

    subject: Subject
    name: str
    calls: list[str]
    bugs: list[Bug]
    runs: list[Endings] = field(default_factory=list)
    given_up: bool = False

    @property
    def language(self) -> Language:
        return LANGUAGES[self.subject.language]

    def program(self, bugs: Sequence[Bug] | None = None) -> sandbox.Program:
        """All versions, or the right one with those `bugs`, on all calls."""
        codes = [self.subject.code, *(bug.code for bug in (self.bugs if bugs is None else bugs))]
        return self.language.program(codes, self.name, self.calls)

    def take(self, told: Endings) -> None:
        """What a run told; nothing if it did not get to its end."""
        self.given_up = not told
        self.runs += [told] if told else []

    def conclude(self, count: int) -> Observed:
        """What all runs show."""
        return Observed() if self.given_up else _conclude(self, _steady(self.runs), count)


def _trial(subject: Subject) -> _Trial | None:
    """How the subject is observed; None if it cannot be."""
    language = LANGUAGES.get(subject.language)
    name = unit_tests.entry_point(subject.code, subject.language) if language else ""
    if language is None or not name:
        return None
    calls = language.calls(subject.id, subject.code, name, subject.docstring, CALLS)
    return _Trial(subject, name, calls, subject.bugs[:BUGS]) if calls else None


def _untangle(trials: list[_Trial], seed: int, knobs: Execution) -> None:
    """Give the trials that did not end another chance without the bug that was at fault: each is tried by itself."""
    pairs = [(trial, bugs) for trial in trials if trial.bugs for bugs in ([], *([bug] for bug in trial.bugs))]
    told = _run([trial.program(bugs) for trial, bugs in pairs], seed, knobs)
    for trial in trials:
        own = [(bugs, ends) for (other, bugs), ends in zip(pairs, told, strict=True) if other is trial]
        if own and own[0][1]:
            trial.bugs = [bugs[0] for bugs, ends in own[1:] if ends]
            trial.take([own[0][1][0], *(ends[1] for _, ends in own[1:] if ends)])


def _run(programs: list[sandbox.Program], seed: int, knobs: Execution) -> list[Endings]:
    """Of each program what came of it; nothing where it did not get to its end."""
    if not programs:
        return []
    limits = knobs.limits.model_copy(update={"cpu_s": min(CPU_S, knobs.limits.cpu_s)})
    ran = sandbox.run_all(programs, limits, knobs.workers, knobs.allow_weak_isolation, False, seed)
    return [_endings(outcome.detail) if outcome.verdict == "passed" else [] for outcome in ran]


def _endings(told: str) -> Endings:
    """What stands in the last line; nothing if that is not it."""
    try:
        last = told.rpartition("\n")[2]
        return [[(str(kind), str(text)) for kind, text in version] for version in json.loads(last)]
    except (ValueError, TypeError):  # the function has printed, or worse
        return []


def _steady(runs: list[Endings]) -> Endings:
    """What came of the calls where it was the same in all runs."""
    versions = zip(*runs, strict=True)
    return [
        [ends[0] if len(set(ends)) == 1 else NOTHING for ends in zip(*version, strict=True)] for version in versions
    ]


def _conclude(trial: _Trial, endings: Endings, count: int) -> Observed:
    calls, (right, *others) = trial.calls, endings
    untold = trial.language.UNTOLD
    usable = [place for place, (kind, text) in enumerate(right) if kind in ("value", "items") and text not in untold]
    if len({right[place] for place in usable}) < unit_tests.LEAST:
        return Observed()
    ranked = sorted((_rank(usable, right, other), number) for number, other in enumerate(others))
    if not ranked or ranked[0][0] == HARMLESS:
        return Observed(True, _tests(calls, right, _diverse(usable, right, [], count)))
    best = ranked[0][1]
    told = _wrong_calls(usable, right, others[best], calls)[0]
    chosen = _diverse(usable, right, [told], count)
    shown = [_shown(trial, best, told, endings)]
    tests = _tests(calls, right, chosen)
    tested = [place for place in chosen if _test(calls, right, place) in tests]
    for rank, number in ranked[1:]:
        wrong = _wrong_calls(tested, right, others[number], calls)
        if rank == 0 and wrong:  # further bugs are those that the same tests find
            shown.append(_shown(trial, number, wrong[0], endings))
    return Observed(True, tests, shown)


def _wrong_calls(places: list[int], right: list[Ending], other: list[Ending], calls: list[str]) -> list[int]:
    """The calls of which something else came, those first of which a person is best told."""
    wrong = [place for place in places if _differs(right[place], other[place])]
    return sorted(
        wrong, key=lambda place: (other[place][0] not in ("value", "items"), len(calls[place]) > SHORT, place)
    )


def _shown(trial: _Trial, number: int, place: int, endings: Endings) -> Shown:
    call = f"{trial.name}({trial.language.spoken(trial.calls[place])})"
    return Shown(trial.bugs[number], _tell(trial.language, call, endings[0][place], endings[number + 1][place]))


def _differs(right: Ending, other: Ending) -> bool:
    return other != NOTHING and other[1] != right[1]


def _rank(usable: list[int], right: list[Ending], other: list[Ending]) -> int:
    """How good a bug is: 0 if results are wrong or some calls fail; 1 if all fail, or nothing can be told of the
    results; 2 if it only never ends; HARMLESS if nothing differs."""
    wrong = [other[place] for place in usable if _differs(right[place], other[place])]
    if not wrong:
        return HARMLESS
    kinds = {kind for kind, _ in wrong}
    if kinds & {"value", "items"} or ("raises" in kinds and len(wrong) < len(usable)):
        return 0
    return 2 if all(why == "endless" for _, why in wrong) else 1


def _diverse(usable: list[int], right: list[Ending], first: list[int], count: int) -> list[int]:
    """At most `count` of the `usable` calls with `first` among them: results that are not there yet come first, then in
    the order of the calls, in which the documentation's are at the beginning."""
    chosen = list(first)
    for again in (False, True):
        for place in usable:
            known = {right[one] for one in chosen}
            if len(chosen) < count and place not in chosen and (again or right[place] not in known):
                chosen.append(place)
    return sorted(chosen)


def _tests(calls: list[str], right: list[Ending], chosen: list[int]) -> list[str]:
    """The asserts of the chosen calls."""
    lines = [_test(calls, right, place) for place in chosen]
    lines = [line for line in lines if not unit_tests.fault_of(line)]
    return lines if len(lines) >= unit_tests.LEAST else []


def _test(calls: list[str], right: list[Ending], place: int) -> str:
    forms = {"value": "assert candidate({}) == {}", "items": "assert list(candidate({})) == {}"}
    return forms[right[place][0]].format(calls[place], right[place][1])


def _tell(language: Language, call: str, right: Ending, other: Ending) -> str:
    due = language.spoken(right[1])
    if other[0] in ("value", "items"):
        return f"{call} returns {language.spoken(other[1])} instead of {due}."
    if other[0] == "raises":
        return f"{call} {language.RAISES} {other[1]} instead of returning {due}."
    if other[1] == "endless":
        return f"{call} does not end; it should return {due}."
    return f"{call} no longer returns {due}."
