"""`dvc repro` of one stage in a process of its own: python -m executors.tracking.single

It loads DVC, which takes half a second, and then waits for "NICENESS STAGE" on its input. So a run starts it ahead of
time. When its input ends, because the run wants so or is dead, the stage's command gets SIGTERM, saves, and ends.
"""

import os
import signal
import sys
import threading
import time
from typing import TextIO

from executors.tracking import repro


def main() -> int:
    """Wait for the order, carry it out, and return DVC's exit status."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those at work
    orders = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the stage reads no orders
    _load()
    niceness, _, stage = orders.readline().strip().partition(" ")
    if not stage:
        return 0
    os.nice(int(niceness))
    signal.signal(signal.SIGINT, before)
    threading.Thread(target=_stop_at_end, args=(orders,), daemon=True).start()
    return repro.run_one(stage)


def _load() -> None:
    import dvc.cli
    import dvc.commands.repro
    import dvc.repo.reproduce  # noqa: F401


def _stop_at_end(orders: TextIO) -> None:
    """When `orders` end, send SIGTERM to the stage's command, as soon as DVC has started it."""
    import psutil

    orders.read()
    while not (commands := psutil.Process().children()):
        time.sleep(0.1)
    for command in commands:
        command.terminate()


if __name__ == "__main__":
    sys.exit(main())
