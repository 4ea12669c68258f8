"""What a stage is at and how far it is, for whoever watches.

    with progress.work("encoding", len(texts), "functions") as work:
        for batch in batches:
            ...
            work.add(len(batch))

A stage only counts. Who runs it (executors/progress) looks at `current()` now and then, estimates the time left and
shows it. Nothing of this reaches an artifact.
"""

import time
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

REMEMBERED = 200  # finished items whose seconds are kept: more would hide that the machine has got slower
PIECES = 32  # the latest, by which the speed is judged

_open: list["Work"] = []


class Work:
    """A piece of work: what is done of how much, what is in flight, and facts for people (`note`)."""

    def __init__(self, doing: str, total: int = 0, unit: str = "", weight: float = 0, even: bool = True) -> None:
        """`total` items (0: not known) of some `unit`; their `weight` if their sizes tell their time better; not `even`
        if nothing tells it."""
        self.doing, self.unit, self.total, self.even = doing, unit, total, even
        self.began = time.monotonic()
        self.done = 0
        self.free = 0  # of these, done at no cost
        self.freely = "saved before"  # how
        self.weight, self.weight_done = weight or float(total), 0.0
        self.pieces: deque[tuple[float, float]] = deque(maxlen=PIECES)  # when each was done, and the weight by then
        self.took: deque[float] = deque(maxlen=REMEMBERED)  # seconds of what was begun and is done
        self.in_flight: dict[Hashable, float] = {}  # when each was begun
        self.at_once = 1  # how many are in flight together, at most
        self.left: float | None = None  # seconds left, where the work itself knows better than its counts
        self.facts: dict[str, str] = {}

    def restart(self) -> None:
        """Forget the time so far: it went into something else."""
        self.began = time.monotonic()

    def add(self, count: int = 1, weight: float | None = None) -> None:
        """`count` more items are done."""
        self.done += count
        self.weight_done += count if weight is None else weight
        self.pieces.append((time.monotonic(), self.weight_done))

    def skip(self, count: int = 1, weight: float | None = None) -> None:
        """`count` items need not be done again: the time left is not judged by them."""
        self.done += count
        self.free += count
        self.weight -= count if weight is None else weight

    def begin(self, key: Hashable) -> None:
        """An item is in flight, if it was not before."""
        self.in_flight.setdefault(key, time.monotonic())

    def end(self, key: Hashable) -> None:
        """An item is done; one that was never begun cost nothing."""
        began = self.in_flight.pop(key, None)
        if began is None:
            self.skip()
        else:
            self.took.append(time.monotonic() - began)
            self.add()

    def note(self, **facts: str) -> None:
        """Facts to show beside the counts, each as `name value`; `last` is the last row that was written."""
        self.facts |= facts


class Share:
    """How many of those seen so far are good, in words."""

    def __init__(self) -> None:
        self.good = self.seen = 0

    def add(self, good: bool) -> str:
        """Count one more."""
        self.good += good
        self.seen += 1
        return f"{self.good:,} of {self.seen:,} ({self.good / self.seen:.0%})"


@contextmanager
def work(doing: str, total: int = 0, unit: str = "", weight: float = 0, even: bool = True) -> Iterator[Work]:
    """Count a piece of work while it lasts."""
    one = Work(doing, total, unit, weight, even)
    _open.append(one)
    try:
        yield one
    finally:
        _open.remove(one)


def note(**facts: str) -> None:
    """Facts to show beside the current work's counts, if there is any."""
    if _open:
        _open[-1].note(**facts)


def tell(done: int, left: float | None, **facts: str) -> None:
    """Set how much of the current work, if there is any, is done, and the seconds left by its own estimate."""
    if _open:
        _open[-1].done, _open[-1].left = done, left
        _open[-1].note(**facts)


def current() -> Work | None:
    """What this process is at: the innermost piece of work."""
    return _open[-1] if _open else None
