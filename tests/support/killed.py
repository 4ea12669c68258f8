"""DVC, or `make push`, killed inside one window: `python tests/support/killed.py WINDOW POINT REPORT repro --quiet`.

The windows are the running stage, hashing (of dependencies and outputs, and their way into the cache and the run
cache), writing dvc.lock, writing DVC's own lock file, a push, and within a push DVC's lists of what to push. POINT is
the second of the stage, or the number of the interpreter's event (a call or a return, of Python or of C) inside the
window, at which the whole process group gets SIGKILL: the same moment on a fast and on a slow machine. With POINT 0
nothing is killed, and the length of the window is left in REPORT. (tests/soak/soak_kills.py draws the points.)
"""

import itertools
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WINDOWS = ("stage", "hashing", "lock", "rwlock", "push", "lists")
PUSHES = ("push", "lists")


class Window:
    """Counts what happens inside, and kills when `point` is reached."""

    def __init__(self, point: float, timed: bool) -> None:
        self.point, self.timed = point, timed
        self.length = 0.0
        self.events = itertools.count(1)

    @contextmanager
    def open(self) -> Iterator[None]:
        started = time.monotonic()
        timer = threading.Timer(max(0.0, self.point - self.length), kill)
        if self.timed and self.point:
            timer.start()
        elif not self.timed:
            threading.setprofile(self.step)
            sys.setprofile(self.step)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
            timer.cancel()
            if self.timed:
                self.length += time.monotonic() - started

    def step(self, *_: Any) -> None:
        self.length = next(self.events)
        if self.length == self.point:
            kill()

    def around(self, holder: Any, name: str) -> None:
        """Open the window while `holder.name` runs."""
        inner: Callable[..., Any] = getattr(holder, name)

        def outer(*words: Any, **more: Any) -> Any:
            with self.open():
                return inner(*words, **more)

        setattr(holder, name, outer)


def kill() -> None:
    os.killpg(0, signal.SIGKILL)


def main(name: str, point: float, report: Path, words: list[str]) -> int:
    import json

    from dvc import rwlock
    from dvc.cli import main as dvc
    from dvc.dvcfile import Lockfile
    from dvc.repo import index
    from dvc.stage import Stage
    from dvc_data.index import collect

    sys.path.insert(0, "")
    from executors.tracking import transfer

    rwlock.json = types.SimpleNamespace(**vars(json))  # what others write by it is another window
    window = Window(point, timed=name == "stage")
    holders: dict[str, list[tuple[Any, str]]] = {
        "stage": [(Stage, "_run_stage")],
        "hashing": [(Stage, "save"), (Stage, "commit")],
        "lock": [(Lockfile, "dump_stages")],
        "rwlock": [(rwlock.json, "dump")],
        "push": [(transfer, "main")],
        "lists": [(index, "_load_data_from_outs"), (collect, "_collect_from_index")],
    }
    for holder, function in holders[name]:
        window.around(holder, function)
    status = transfer.main(words) if name in PUSHES else dvc(words)
    report.write_text(str(window.length))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
