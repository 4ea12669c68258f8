"""What the canonical solutions of HumanEval+ and MBPP+ answer: computed once a problem, in the sandbox, and kept.

EvalPlus's files hold inputs without expected outputs. Each problem's outputs are saved in .tidemill/expected, under a
hash of the problem, of the code that computes and compares them, and of Python's version; the file carries its own
hash. The time and memory that the canonical solution took set the limits of the programs that are scored.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from stages.lib import artifacts, sandbox
from stages.lib.benchmarks import extraction
from stages.lib.benchmarks.suites import Benchmark, Problem
from stages.lib.errors import BadInput

ROOT = Path(".tidemill/expected")
CHECKER = Path(__file__).parent / "plus_check.py"
INSIDE = Path(sandbox.__file__).parent / "inside"
LIMITS = sandbox.Limits(cpu_s=300, wall_s=600, memory_mb=4096)  # of a canonical solution; Mbpp/255 takes 1.1 GiB
FACTOR = 4  # a program may take as many times what the canonical solution took (EvalPlus's gt_time_limit_factor)
# Asked of the canonical solution's process after its last answer: seconds of CPU, MiB at the most.
USED = """

def tidemill_used():
    import resource
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [used.ru_utime + used.ru_stime, used.ru_maxrss >> 10]
"""

log = logging.getLogger("tidemill.expected")


@dataclass(frozen=True)
class Expected:
    """`packed`: the answers to a problem's inputs (plus_check.pack); what computing them took."""

    packed: str
    cpu_s: float
    memory_mb: int

    def limits(self, limits: sandbox.Limits) -> sandbox.Limits:
        """`limits`, raised where the canonical solution itself comes near them."""
        cpu_s = max(limits.cpu_s, ceil(FACTOR * self.cpu_s))
        raised = {
            "cpu_s": cpu_s,
            "wall_s": max(limits.wall_s, 2.0 * cpu_s if cpu_s > limits.cpu_s else 0),
            "memory_mb": max(limits.memory_mb, FACTOR * self.memory_mb),
        }
        return limits.model_copy(update=raised)


def tests(problem: Problem, expected: Expected) -> str:
    """Tests for the sandbox that compare a candidate's answers with these."""
    return _script(problem, f"    check_all(candidate, SPEC, unpack({expected.packed!r}))\n")


def find(benchmark: Benchmark, problems: Sequence[Problem], workers: int, allow_weak: bool) -> dict[str, Expected]:
    """By task id, for those problems that have an oracle; what is not saved yet is computed.

    Raises `BadInput` for a canonical solution that does not run.
    """
    files = {problem.task_id: ROOT / f"{_key(problem)}.json" for problem in problems if problem.oracle}
    saved = {task_id: _read(file) for task_id, file in files.items()}
    fresh = [problem for problem in problems if problem.oracle and saved[problem.task_id] is None]
    if fresh:
        log.info("computing the expected outputs of %d problems of %s, once", len(fresh), benchmark.name)
    programs = [_program(benchmark, problem) for problem in fresh]
    for problem, outcome in zip(fresh, sandbox.run_all(programs, LIMITS, workers, allow_weak), strict=True):
        if outcome.verdict != "passed":
            raise BadInput(
                f"{benchmark.name}: the canonical solution of {problem.task_id} did not run, so there is nothing to "
                f"compare answers with: {outcome.verdict} ({outcome.detail}); it may take {LIMITS.memory_mb} MiB"
            )
        found = Expected(**json.loads(outcome.detail))
        artifacts.write_json(files[problem.task_id], {**asdict(found), "sha256": artifacts.digest(asdict(found))})
        saved[problem.task_id] = found
    return {task_id: found for task_id, found in saved.items() if found is not None}


def _program(benchmark: Benchmark, problem: Problem) -> sandbox.Program:
    reference = extraction.finish(benchmark, problem, problem.prompt + problem.canonical_solution, "repaired")
    report = """    packed = pack(record(candidate, SPEC))
    cpu_s, memory_mb = tidemill_used()
    return json.dumps({"packed": packed, "cpu_s": cpu_s, "memory_mb": memory_mb})
"""
    return sandbox.Program(benchmark.language, reference + USED, _script(problem, report), problem.entry_point)


def _script(problem: Problem, body: str) -> str:
    return f"{CHECKER.read_text()}\nSPEC = load({problem.oracle!r})\n\n\ndef check(candidate):\n{body}"


def _key(problem: Problem) -> str:
    code = [file.read_text() for file in (CHECKER, INSIDE / "digest.py", INSIDE / "wire.py")]
    asked = [problem.prompt, problem.canonical_solution, problem.entry_point, problem.oracle]
    return artifacts.digest([*asked, *code, USED, sys.version])[:32]


def _read(file: Path) -> Expected | None:
    """What is saved; None for what is not there or damaged."""
    if not file.is_file():
        return None
    try:
        saved = artifacts.read_json(file)
        sha256 = saved.pop("sha256")
        if artifacts.digest(saved) == sha256:
            return Expected(**saved)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    log.warning("%s is damaged and is made again", file)
    return None
