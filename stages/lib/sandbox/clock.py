"""The clock of a run: it stops while the run waits for a CPU, so that no verdict depends on the machine's load.

A run that wants a CPU and gets a tenth of one ages a tenth of a second each second. A run that sleeps, or has a CPU to
itself, ages at full speed. Linux keeps no such count (schedstat adds a wait only once it is over), so the supervisor
looks at the run's threads several times a second.
"""

import select
import time
from collections.abc import Callable

from stages.lib.sandbox import processes

LOOK_S = 0.1  # between two looks
STRETCH = 20  # a run may take so many times its limit on the real clock


class Clock:
    """Seconds that a run has lived; `roots` gives the processes below which all of the run lives."""

    def __init__(self, roots: Callable[[], list[int]]) -> None:
        self.roots = roots
        self.started = time.monotonic()
        self.begin()

    def begin(self) -> None:
        """Set it to zero: another part of the run begins, with limits of its own."""
        self.began = self.looked = time.monotonic()
        self.aged = 0.0
        self.used: dict[int, float] | None = None

    def left(self, limit_s: float) -> float:
        """Seconds of `limit_s` that the run still has; none once it has had STRETCH times as many on the real clock."""
        now = time.monotonic()
        if now - self.looked >= LOOK_S or self.aged + now - self.looked >= limit_s:
            self._look(now)
        return min(limit_s - self.aged - (now - self.looked), STRETCH * limit_s - (now - self.began))

    def until_look(self, left: float) -> float:
        """How long to wait for news of a run that has so much left."""
        return max(0.001, min(left, LOOK_S + self.looked - time.monotonic()))

    def wait(self, fd: int, seconds: float) -> bool:
        """True as soon as `fd` can be read, False after so many seconds of the run."""
        self.begin()
        while (left := self.left(seconds)) > 0:
            if select.select([fd], [], [], self.until_look(left))[0]:
                return True
        return False

    def _look(self, now: float) -> None:
        ready, used = processes.activity(self.roots())
        passed = min(now - self.looked, 2 * LOOK_S)  # looks come late where the supervisor itself waits for a CPU
        if ready and self.used is not None:
            spent = sum(seconds - self.used.get(thread, 0.0) for thread, seconds in used.items())
            passed = min(now - self.looked, spent)
        self.aged += passed
        self.used, self.looked = used, now
