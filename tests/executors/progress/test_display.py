"""The live display, on a terminal of its own: what a person sees of a run by DVC."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import IMPORTABLE

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUN = "import sys; from executors import local; sys.exit(local.run([]))"
STAGE = """
import sys, time
from executors.progress import report
from executors import runner
from stages.lib import progress

name, count = sys.argv[1], int(sys.argv[2])
with report.reporting(name):
    print("a line of the stage's own", file=sys.stderr, flush=True)
    with progress.work("counting", count, "sheep") as work:
        for number in range(count):
            time.sleep(0.2)
            work.add()
            work.note(awake="3 of 4", last=f"sheep number {number}")
runner._record(name, 0)
"""
DVC = """
stages:
  first:
    cmd: {python} stage.py first 12 && echo x > first
    deps: [stage.py]
    outs: [first]
  second:
    cmd: {python} stage.py second 4 && echo x > second
    deps: [first]
    outs: [second]
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / ".tidemill/run").mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text(DVC.format(python=sys.executable))
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(IMPORTABLE), "TERM": "xterm-256color", **more}


def watch(folder: Path, act: Callable[[int, str, int], None] = lambda *_: None, **more: str) -> tuple[int, str]:
    """Run the pipeline on a terminal of 100 columns; `act` gets its descriptor, what it has printed, and the process's
    id. Returns the exit status and all that was printed."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may ignore it
        os.execve(sys.executable, [sys.executable, "-c", RUN], environment(**more))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    said, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            said += part
        act(terminal, said.decode(errors="replace"), process)
    else:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    return status, said.decode()


def plain(text: str) -> str:
    return ESCAPES.sub("", text).replace("\r", "")


def test_a_person_sees_the_street_the_bar_and_where_the_time_went(pipeline: Path) -> None:
    status, said = watch(pipeline)
    seen = plain(said)
    assert status == 0, seen
    assert "▶ first  · second" in seen and re.search(r"✓ first \d+ s  ▶ second", seen)
    assert re.search(r"first  counting\n━+.* \d\d% \d+ s left", seen)
    assert re.search(r"[1-9]\d? of 12 sheep · [\d.]+ sheep/s · awake 3 of 4", seen) and "sheep number" in seen
    assert "a line of the stage's own\n" in seen, "whole, above the display"
    assert "Running stage" not in seen and "Use `dvc push`" not in seen and "To track the changes" not in seen
    last = plain(said[said.rindex("\x1b[?25h") :])  # the cursor is back, and the display gone
    assert re.fullmatch(r"\nwhere the time went\n( +\S.* +\d+ s +\d+%\n){3}  all +\d+ s\n", "\n" + last.lstrip("\n")), (
        last
    )

    assert not list(pipeline.glob(".tidemill/run/progress-*"))

    status, said = watch(pipeline)
    assert status == 0 and "where the time went" not in said and "up to date" in said


def test_what_runs_side_by_side_is_shown_together(pipeline: Path) -> None:
    run = f"cmd: {sys.executable} stage.py"
    text = (pipeline / "dvc.yaml").read_text().replace("deps: [first]", "deps: [stage.py]")
    text = text.replace(f"{run} first 12", f"{run.replace(': ', ': touch begun; ')} first 40")
    text = text.replace(f"{run} second", f"{run.replace(': ', ': until [ -e begun ]; do sleep 0.1; done; ')} second")
    (pipeline / "dvc.yaml").write_text(text)
    (pipeline / "containers").mkdir()
    (pipeline / "containers/stages.yaml").write_text("{first: {memory: [0, 0]}, second: {memory: [0, 0]}}")
    (pipeline / "params.yaml").write_text("{}")
    status, said = watch(pipeline)
    seen = plain(said)
    assert status == 0, seen
    assert "▶ first  ▶ second" in seen and re.search(r"▶ first  ✓ second \d+ s", seen)
    assert re.search(r"first  counting\n(.*\n)(.*\n)(.*\n)second  counting\n━", seen), "each with its bar"
    assert seen.count("a line of the stage's own\n") == 2 and "is done" not in seen


def test_without_a_terminal_nothing_moves(pipeline: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", RUN], cwd=pipeline, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr and "Running stage 'first'" in ran.stdout
    assert re.search(r"where the time went\n  first +\d+ s +\d+%\n  second +\d+ s", ran.stdout)
    assert not list(pipeline.glob(".tidemill/run/progress-*"))


def test_a_failing_stage_is_seen_whole(pipeline: Path) -> None:
    (pipeline / "stage.py").write_text("raise SystemExit('what is wrong, and what to do')")
    status, said = watch(pipeline)
    seen = plain(said)
    assert status == 255 and seen.count("what is wrong, and what to do\n") == 1, "run once"
    assert "failed to reproduce 'first'" in seen
    assert "where the time went" not in seen and said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM"])
def test_an_interrupted_run_gives_the_terminal_back(pipeline: Path, how: str) -> None:
    done = []

    def act(terminal: int, said: str, process: int) -> None:
        if not done and "of 12 sheep" in plain(said):
            done.append(os.write(terminal, b"\x03") if how == "ctrl-c" else os.kill(process, signal.SIGTERM))

    status, said = watch(pipeline, act)
    assert done and status != 0 and "second" in plain(said)
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l"), "the cursor is shown again"


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(pipeline: Path) -> None:
    status, said = watch(pipeline, TERM="dumb")
    assert status == 0 and "\x1b[?25l" not in said and "Running stage 'first'" in said
