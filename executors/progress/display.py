"""The live display of `make` on a terminal, and at the end of every run where the time went.

While it is on, everything that DVC and the stages print goes through a pipe and appears above it. Stages write their
state to files (`report`), which it reads a few times a second.
"""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from executors.progress import report
from executors.progress.report import State, duration

RUNS = Path(".tidemill/run")
PER_SECOND = 4  # redraws
GRACE_S = 2.0  # for the last lines of a process that outlives the run
BAR = 40  # columns
SHOW_CURSOR = b"\x1b[?25h"

Standing = Literal["waiting", "running", "done", "unchanged"]
Signs = Sequence[tuple[re.Pattern[str], Standing | None]]
MARKS: dict[Standing, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "running": ("▶", "bold cyan"),
    "done": ("✓", "green"),
    "unchanged": ("=", "dim green"),
}


@dataclass
class Step:
    """A stage on the street. Times are monotonic seconds."""

    standing: Standing = "waiting"
    began: float = 0.0
    seconds: float = 0.0


class Street:
    """The stages in their order, and how each stands; rich draws it."""

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self.steps = {name: Step() for name in names}
        self.folder = folder
        self.began = time.monotonic()

    def enter(self, name: str, standing: Standing) -> None:
        """`name` now stands like this. What did not run is not done, but unchanged."""
        now, step = time.monotonic(), self.steps.setdefault(name, Step())
        if standing != "done":
            self.steps[name] = Step(standing, now)
        elif step.standing == "running":
            step.standing, step.seconds = "done", now - step.began

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [self._line()]
        for name, step in self.steps.items():
            if step.standing == "running":
                parts += self._running(name, time.monotonic() - step.began)
        return Group(*parts)

    def _line(self) -> Text:
        line = Text()
        for name, step in self.steps.items():
            mark, style = MARKS[step.standing]
            took = f" {duration(step.seconds)}" if step.standing == "done" else ""
            line.append(f"{mark} {name}{took}", style).append("  ")
        return line.append(duration(time.monotonic() - self.began), "dim")

    def _running(self, name: str, seconds: float) -> Iterator[RenderableType]:
        state = report.read(self.folder / f"{name}.json")
        if state is None:
            yield Text(f"{name}: {duration(seconds)} so far", "cyan", no_wrap=True)
            return
        yield Text.assemble((state.stage, "bold"), f"  {state.doing}", no_wrap=True, overflow="ellipsis")
        if state.total:
            yield _bar(state)
        yield Text(" · ".join(state.words), "cyan")
        if last := state.facts.get("last"):
            yield Text(" ".join(last.split()), "dim", no_wrap=True, overflow="ellipsis")


def _bar(state: State) -> Table:
    """Bar, share and time left in one row."""
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=state.total, completed=state.done, width=BAR)
    row.add_row(bar, Text(f"{state.share:.0%}"), Text(state.time_left, "bold", no_wrap=True))
    return row


class Output:
    """What this process and its children print, caught in a pipe, and the terminal that it does not reach."""

    def __init__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = os.dup(1), os.dup(2)
        self.terminal = os.fdopen(os.dup(2), "w", encoding="utf-8")
        reading, writing = os.pipe()
        self.lines = os.fdopen(reading, encoding="utf-8", errors="replace")
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)

    def release(self) -> None:
        """Print to the terminal again."""
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in enumerate(self._kept, start=1):
            os.dup2(kept, number)
            os.close(kept)


def fits() -> bool:
    """Whether a live display can be drawn: both outputs are a terminal that can move its cursor."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def live(names: Callable[[], Sequence[str]], signs: Signs) -> Iterator[None]:
    """Show the street of the stages `names()` while this process runs them. `signs` are the lines by which the run says
    how a stage (the group `stage`) stands; the display swallows them. Without a terminal, nothing is shown or changed.
    """
    folder = _make_folder() if fits() else None
    if folder is None:
        yield
        return
    os.environ[report.FOLDER] = str(folder)
    street, output = Street(names(), folder), Output()
    shown = Live(
        street,
        console=Console(file=output.terminal),
        refresh_per_second=PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    reader = threading.Thread(target=_follow, args=(output.lines, street, shown, signs), daemon=True)
    with shown, _cursor_back(output.terminal.fileno()):
        reader.start()
        try:
            yield
        finally:
            output.release()
            reader.join(GRACE_S)
            del os.environ[report.FOLDER]
            shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> Path | None:
    """A folder of this run's own, in which stages keep their states; None where none can be written."""
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
        return RUNS / Path(tempfile.mkdtemp(prefix="progress-", dir=RUNS)).name  # relative, as containers need it
    except OSError:
        return None


def _follow(lines: Iterable[str], street: Street, shown: Live, signs: Signs) -> None:
    """Print every line above the display, except those that the street shows."""
    for line in lines:
        text = line.rstrip("\n")
        if text.strip() and not _is_sign(text, street, signs):
            shown.console.print(Text.from_ansi(text), soft_wrap=True)


def _is_sign(text: str, street: Street, signs: Signs) -> bool:
    for pattern, standing in signs:
        if found := pattern.fullmatch(text):
            if standing:
                street.enter(found["stage"], standing)
            return True
    return False


@contextmanager
def _cursor_back(terminal: int) -> Iterator[None]:
    """Show the cursor again if a SIGTERM ends this process."""

    def end(number: int, _frame: FrameType | None) -> None:
        os.write(terminal, SHOW_CURSOR)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def recorded(since: float, runs: Path = RUNS) -> dict[str, tuple[float, float]]:
    """When each stage that `stages/run` has finished since that time began and ended (seconds since 1970), in order."""
    found = [(file.stat().st_mtime, file) for file in runs.glob("*.json") if "." not in file.stem]  # no shard or rank
    ended = {file: at for at, file in sorted(found) if at >= since}
    return {file.stem: (at - json.loads(file.read_text()).get("seconds", 0.0), at) for file, at in ended.items()}


def uncovered(spans: Mapping[str, tuple[float, float]], began: float, ended: float) -> float:
    """The seconds from `began` to `ended` in which nothing of `spans` ran."""
    left, covered = 0.0, began
    for start, end in sorted(spans.values()):
        left += max(0.0, start - covered)
        covered = max(covered, end)
    return left + max(0.0, ended - covered)


def tell_times(took: Mapping[str, float], total: float) -> None:
    """Print where the `total` seconds of a run went."""
    if not took:
        return
    beside = ", some stages beside others" if sum(took.values()) > 1.01 * total else ""
    print(f"where the time went{beside}")
    for name, seconds in took.items():
        print(f"  {name:<17}{duration(seconds):>10}{seconds / total:>6.0%}")
    print(f"  {'all':<17}{duration(total):>10}", flush=True)
