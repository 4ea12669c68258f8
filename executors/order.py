"""The order of a run: every stage starts as soon as everything upstream of it is done. Executors share this loop; what
is done with a stage, and whether it may start beside others, is theirs.
"""

import concurrent.futures
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

_printing = threading.Lock()


class Stage(Protocol):
    """What the loop looks at: `upstream` are names; `fresh`, there is nothing to do."""

    @property
    def upstream(self) -> frozenset[str]: ...

    @property
    def fresh(self) -> bool: ...


StageType = TypeVar("StageType", bound=Stage)


def through(
    names: Sequence[str],
    look: Callable[[], Mapping[str, StageType]],
    one: Callable[[StageType], int],
    admits: Callable[[str, Collection[str]], bool] = lambda name, running: True,
) -> int:
    """Do `one` with each of `names` (upstream first), in a thread of its own. `look` gives the stages as they now are,
    `admits` says whether a stage may start beside those that run; alone each may.

    Returns 0 or the status of the first failure, after which nothing starts and what runs is waited for.
    """
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(len(names), 1))
    running: dict[concurrent.futures.Future[int], str] = {}
    done: set[str] = set()
    started: set[str] = set()
    status = 0
    while True:
        stages = look()
        done |= {name for name in names if stages[name].fresh} - started
        ready = [name for name in names if name not in done | started and stages[name].upstream <= done]
        for name in ready if not status else []:
            if not running or admits(name, running.values()):
                started.add(name)
                running[pool.submit(one, stages[name])] = name
        if not running:
            return status
        finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        for future in finished:
            name = running.pop(future)
            if result := future.result():
                status = status or result
            else:
                done.add(name)


def say(line: str) -> None:
    """Print a line whole, from any thread."""
    with _printing:
        print(line, flush=True)
