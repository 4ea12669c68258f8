"""`dvc repro` of one stage in a process of its own, forked from one that has loaded DVC: Python's forkserver.

Loading DVC takes half a second, which so is spent once in a run.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from executors.tracking import repro

if TYPE_CHECKING:
    import psutil

# What a run of DVC imports, much of it when it is first needed.
LOADED = [
    *("executors.tracking.single", "dvc.cli.parser", "dvc.commands.repro", "dvc.repo.reproduce", "dvc.repo.graph"),
    *("dvc.parsing", "dvc.parsing.interpolate", "dvc.dependency.param", "dvc.output", "dvc.cachemgr", "dvc.data_cloud"),
    *("dvc.stage.cache", "dvc.stage.serialize", "dvc.utils.strictyaml", "dvc.scm", "dvc.repo.index", "pyparsing"),
    *("dvc_data.hashfile.build", "dvc_data.hashfile.checkout", "dvc.lock", "dvc.rwlock", "dvc_render"),
    *("dulwich.worktree", "flatten_dict", "platformdirs", "psutil", "ruamel.yaml"),
]


class Single:
    """A process that brings `stage` up to date. It shares our process group, and so Ctrl-C."""

    def __init__(self, stage: str, niceness: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        reading, writing = context.Pipe(duplex=False)
        held, self._hold = context.Pipe(duplex=False)
        # The one that is forked from has the environment of the first.
        words = (stage, niceness, dict(os.environ), writing, held)
        self._process = context.Process(target=_work, args=words, name=stage)
        self._process.start()
        writing.close()
        held.close()
        self.lines = os.fdopen(os.dup(reading.fileno()), encoding="utf-8", errors="replace")
        reading.close()

    def wait(self) -> int:
        """DVC's exit status, once it has ended; negative if a signal has ended it."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def stop(self) -> None:
        """End the stage's command by SIGTERM: it saves its progress. Our own end does the same."""
        self._hold.close()


def _work(stage: str, niceness: int, environment: dict[str, str], out: Connection, held: Connection) -> None:
    for number in (1, 2):
        os.dup2(out.fileno(), number)
    out.close()
    os.environ.clear()
    os.environ.update(environment)
    os.nice(niceness)
    signal.signal(signal.SIGTERM, lambda *_: None)  # one for the whole process group is the stage's to answer
    threading.Thread(target=_stop_at_end, args=(held,), daemon=True).start()
    sys.exit(repro.run_one(stage))


def _stop_at_end(held: Connection) -> None:
    """When `held` ends, send SIGTERM to the stage's command, as soon as DVC has started it."""
    held.poll(None)
    while not (commands := _commands()):
        time.sleep(0.1)
    for command in commands:
        command.terminate()


def _commands() -> "list[psutil.Process]":
    """What DVC has started. `sh -c COMMAND` becomes the command in bash; in dash it goes on, with that as its child."""
    import psutil

    found: list[psutil.Process] = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            found += process.children() if process.cmdline()[-2:-1] == ["-c"] else [process]
    return found
