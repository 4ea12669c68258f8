"""Tells how far the stage in this process is: to a file for the live display, otherwise in a line every ten seconds.

The display sets TIDEMILL_PROGRESS to a folder of the workspace. It reaches a stage in a container too, whose workspace
is mounted; a pod has no display, so its log gets the lines.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from executors.progress.estimate import Countdown, seconds_left
from stages.lib import progress
from stages.lib.progress import Work

FOLDER = "TIDEMILL_PROGRESS"
LEVEL = "TIDEMILL_LOG"  # debug: a line for every save and every training step too
TICK_S, EVERY_S = 0.5, 10.0
FEW = 4  # pieces of work

log = logging.getLogger("tidemill.progress")


@dataclass(frozen=True)
class State:
    """One look at a stage. Times are in seconds; `oldest` is the age of the oldest item in flight."""

    stage: str
    doing: str
    unit: str
    done: int
    total: int
    even: bool  # whether the time left can be told
    elapsed: float
    left: float | None
    in_flight: int
    oldest: float
    free: str  # items done at no cost, in words
    rate: float  # items a second, without those that cost nothing
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The part that is done, 0 if there is no count."""
        return self.done / self.total if self.total else 0.0

    @property
    def words(self) -> list[str]:
        """The state in words, without the last row."""
        unit = f" {self.unit}" if self.unit else ""
        said = [f"{self.done:,} of {self.total:,}{unit}"] if self.total else [f"{duration(self.elapsed)} so far"]
        said += [f"{self.in_flight} in flight, the oldest for {self.oldest:.0f} s"] if self.in_flight else []
        said += [self.free] if self.free else []
        said += [rate(self.rate, self.unit)] if self.rate else []
        said += [f"{name} {value}" for name, value in self.facts.items() if name != "last"]
        return said

    @property
    def line(self) -> str:
        """The state as a line of a log."""
        return f"{self.stage}: {self.doing}: {', '.join([*self.words, *filter(None, [self.time_left])])}"

    @property
    def time_left(self) -> str:
        """The time left in words, "" where it cannot be told."""
        if not self.total or not self.even:
            return ""
        return "no estimate yet" if self.left is None else f"{duration(self.left)} left"


class Watch:
    """Looks at a stage's work again and again."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._work: Work | None = None
        self._countdown = Countdown()

    def look(self, work: Work, now: float) -> State:
        """The state of `work` at the time `now` (monotonic)."""
        if work is not self._work:
            self._work, self._countdown = work, Countdown()
        ages = [now - began for began in list(work.in_flight.values())]
        done, free, elapsed = work.done, work.free, now - work.began
        estimate = _estimate(work, ages, now) if work.total and work.even else None
        return State(
            stage=self.stage,
            doing=work.doing,
            unit=work.unit,
            done=done,
            total=work.total,
            even=work.even,
            elapsed=elapsed,
            left=self._countdown.update(now, estimate, (done - free) / max(1, work.total - free)),
            in_flight=len(ages),
            oldest=max(ages, default=0.0),
            free=f"{free:,} {work.freely}" if free else "",
            rate=(done - free) / elapsed if work.total and work.even and elapsed > 0 else 0.0,
            facts=dict(work.facts),
        )


@contextmanager
def reporting(stage: str) -> Iterator[None]:
    """Tell how far `stage` is, from a thread of this process, until the context ends."""
    over = threading.Event()
    folder = os.environ.get(FOLDER)
    thread = threading.Thread(target=_write if folder else _log, args=(stage, over, folder), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read(file: Path) -> State | None:
    """The state in `file`, None if there is none yet."""
    try:
        return State(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def duration(seconds: float) -> str:
    """A time such as 8 s, 1:05 min or 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    first, second = divmod(whole if whole < 3600 else whole // 60, 60)
    return f"{first}:{second:02d} {'min' if whole < 3600 else 'h'}"


def rate(per_second: float, unit: str) -> str:
    """Items a second or, where that is less than one, a minute."""
    amount, time_unit = (per_second, "s") if per_second >= 1 else (per_second * 60, "min")
    return f"{amount:,.0f} {unit}/{time_unit}" if amount >= 10 else f"{amount:.1f} {unit}/{time_unit}"


def _estimate(work: Work, ages: list[float], now: float) -> float | None:
    if work.left is not None:
        return work.left
    if work.took or ages:
        return seconds_left(list(work.took), ages, work.total - work.done - len(ages), work.at_once)
    return _steady(work, now)


def _steady(work: Work, now: float) -> float | None:
    """Seconds left of work that is done piece by piece, at the speed of the latest pieces. The very first, which also
    warms caches, counts only while there are few."""
    pieces = list(work.pieces)
    if not pieces:
        return None
    then, before = pieces[0] if len(pieces) >= FEW else (work.began, 0.0)
    last, weight = pieces[-1]
    if weight <= before:
        return None
    return max(0.0, (work.weight - weight) * (last - then) / (weight - before) - (now - last))


def _write(stage: str, over: threading.Event, folder: str) -> None:
    """Keep `folder`/STAGE.json up to date for the display."""
    watch, file = Watch(stage), Path(folder) / f"{stage}.json"
    part = file.with_suffix(".part")
    while not over.wait(TICK_S):
        if (work := progress.current()) is not None:
            with suppress(OSError):  # a full disk is the stage's to report
                part.write_text(json.dumps(asdict(watch.look(work, time.monotonic()))))
                part.replace(file)


def _log(stage: str, over: threading.Event, _folder: None) -> None:
    """Log a line every `EVERY_S` seconds."""
    watch, said = Watch(stage), time.monotonic()
    while not over.wait(TICK_S):
        now, work = time.monotonic(), progress.current()
        state = watch.look(work, now) if work else None
        if state and now - said >= EVERY_S:
            said = now
            log.info("%s", state.line)
