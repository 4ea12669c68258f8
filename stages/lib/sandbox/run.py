"""First plain version: one bubblewrap a run."""

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from stages.lib.errors import BadInput
from stages.lib.sandbox.program import Limits, Outcome, Program


def isolation(allow_weak: bool = False) -> str:
    """The isolation in use; BadInput where there is none and none was allowed."""
    if shutil.which("bwrap"):
        return "bubblewrap"
    if allow_weak:
        return "none"
    raise BadInput("no isolation for foreign code; install bubblewrap or set score.allow_weak_isolation: true")


def run_all(
    programs: Iterable[Program], limits: Limits, workers: int, allow_weak: bool = False
) -> Iterator[Outcome]:
    """Run each program; outcomes come in the order of the programs."""
    wall = isolation(allow_weak)
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda program: _run(program, limits, wall), programs)


def _run(program: Program, limits: Limits, wall: str) -> Outcome:
    secret = secrets.token_hex(16)
    text = f"{program.candidate}\n{program.tests}\ncheck({program.entry_point})\nprint({secret!r})\n"
    box = (
        "bwrap --unshare-all --unshare-user --disable-userns --cap-drop ALL --ro-bind / / --dev /dev --tmpfs /tmp "
        "--clearenv --die-with-parent --new-session --"
    ).split()
    started = time.monotonic()
    try:
        done = subprocess.run(
            [*(box if wall == "bubblewrap" else []), sys.executable, "-I", "-"],
            input=text, capture_output=True, text=True, timeout=limits.wall_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome("timed out", f"after {limits.wall_s:g} s", time.monotonic() - started)
    seconds = time.monotonic() - started
    if done.stdout.endswith(secret + "\n"):
        return Outcome("passed", "", seconds)
    last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return Outcome("wrong answer" if last[0].startswith("AssertionError") else "exception", last[0], seconds)
