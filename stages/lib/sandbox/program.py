"""What is run, within which limits, and what came of it."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from stages.lib import params

Verdict = Literal[
    "passed",
    "wrong answer",
    "exception",
    "early exit",
    "compile error",
    "crash",
    "timed out",
    "out of memory",
    "output limit",
    "violation",
    "forged",
]


@dataclass(frozen=True)
class Program:
    """A candidate, which is not trusted, and the tests that it has to pass, which are.

    language: one of `languages.LANGUAGES`.
    candidate: the whole program text that defines `entry_point`.
    tests: Python: program text that defines `check(candidate)`, as HumanEval's `test` does. The other languages:
        what stands after the candidate in HumanEvalPack's `test` (harness.py).
    entry_point: the name of the function that `check` is given.
    helpers: trusted text that is run before the tests, in their process, such as HumanEval's prompt. A name that
        the tests use and that neither tests nor helpers define is taken from the candidate, which may then lie
        about it: HumanEval/32, 38 and 50 call poly, encode_cyclic and encode_shift of the prompt.
    limits: its own, where they are not those of the whole run.
    tells: not Python: once it has passed, its outcome's detail is all that it has printed. Then no control run guards
        what it says: it is a program that observes, and whoever asks for that takes it for what it is.
    """

    language: str
    candidate: str
    tests: str
    entry_point: str
    helpers: str = ""
    limits: "Limits | None" = None
    tells: bool = False


class Limits(params.Section):
    """What one run may use; a run that wants more is stopped."""

    cpu_s: float = Field(default=5.0, gt=0, description="CPU seconds of one process, rounded up to whole seconds")
    wall_s: float = Field(default=10.0, gt=0, description="seconds on the clock, the whole run")
    memory_mb: int = Field(default=1024, ge=128, description="MiB of all processes together, files in memory included")
    processes: int = Field(default=16, ge=4, description="processes and threads at once")
    file_mb: int = Field(default=16, ge=1, description="MiB that the run's temporary folder holds, in memory")
    output_kb: int = Field(default=1024, ge=1, description="KiB on standard output and standard error together")


class Execution(params.Section):
    """How a stage runs programs: within which limits, how many at a time, and whether with limits alone where there is
    no isolation."""

    limits: Limits
    workers: int = Field(ge=1, exclude=True)
    allow_weak_isolation: bool = Field(exclude=True)


@dataclass(frozen=True)
class Outcome:
    """What happened: `detail` is one line for a person, `seconds` the time on the clock, `output` the end of what the
    program printed on standard output and standard error (500 bytes at most)."""

    verdict: Verdict
    detail: str
    seconds: float
    output: str = ""
