"""Does one piece of work after another in as many processes as there are cores, and gives the results in order."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # pieces per process that are begun before their results are asked for
WATCH_S = 1.0
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_NONE: Any = object()
_work: Callable[[Any], Any]


def results(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int | None, alone: int = 0
) -> Iterator[Result]:
    """`work` of each item, in the items' order; `processes` None: one per core, 1: none but this one, which does the
    first `alone` items in any case.

    `work` is sent to each process once, and may keep what it makes there; it, the items and the results must be
    picklable. What it raises is raised here. When the caller stops early, pieces that are begun are still done.
    """
    count = processes or cores()
    items = iter(items)
    yield from map(work, items if count == 1 else islice(items, alone))
    if count == 1 or (first := next(items, _NONE)) is _NONE:
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (work, os.getpid())) as pool:
        try:
            for item in chain([first], items):
                waiting.append(pool.submit(_do, item))
                if len(waiting) == AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def cores() -> int:
    """The cores that this process may use: its affinity, and its container's quota."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _QUOTA.read_text().partition(" ") if _QUOTA.is_file() else ("max", "", "")
    return known if quota == "max" else max(1, min(known, int(quota) // int(period)))


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    for one in signal.SIGTERM, signal.SIGINT:  # the parent decides; a signal to the group reaches us too
        signal.signal(one, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Nobody else ends us when the parent is killed."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)
