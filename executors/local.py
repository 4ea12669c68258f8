"""EXECUTOR=local: a stage runs in the process that `dvc repro` starts, in this environment."""

import time
from collections.abc import Sequence

from executors.progress import display
from executors.tracking import graph, recover, repro
from stages.lib.errors import DONE

SIGNS: display.Signs = ((repro.RUNNING, "running"), (repro.UNCHANGED, "unchanged"), (repro.ECHO, None))


def run(stages: Sequence[str]) -> int:
    """`dvc repro`; retried once if it failed on DVC files that a kill had damaged and `recover` could repair."""
    began = time.time()
    with display.live(lambda: graph.names(stages), SIGNS):
        status = repro.run(stages)
        if status and recover.main() == DONE:
            status = repro.run(stages)
    if not status:
        display.tell_times(display.recorded_seconds(began), time.time() - began, rest="DVC, and starting")
    return status


def enter(stage: str, words: Sequence[str]) -> None:
    """Nothing to do: the stage runs in this process."""
