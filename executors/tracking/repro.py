"""`dvc repro`, in this process, without what DVC says of git and of `dvc push` after every run.

python -m executors.tracking.repro [OPTION …] [STAGE …]     as `make report` does
"""

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# After every stage: which files git should track; and that a killed run had left its locks, which DVC has just removed.
CHATTER = {"dvc.repo.scm_context": logging.WARNING, "dvc.rwlock": logging.ERROR}
ADVICE = "Use `dvc push` to send your updates to remote storage."
# The lines by which DVC says how a stage stands.
RUNNING = re.compile(r"Running stage '(?P<stage>[^']+)':")
UNCHANGED = re.compile(r"Stage '(?P<stage>[^']+)' (?:didn't change, skipping|is cached - skipping run, .*)")
ECHO = re.compile(r"> stages/run .*|(?:Generating|Updating) lock file 'dvc\.lock'")


def run(stages: Sequence[str], *options: str) -> int:
    """Bring `stages` (all if none is named) up to date and return DVC's exit status."""
    from dvc.cli import main as dvc

    for name, level in CHATTER.items():
        logging.getLogger(name).setLevel(level)
    with _without_advice():
        return int(dvc(["repro", *options, *stages]))


@contextmanager
def _without_advice() -> Iterator[None]:
    """`dvc repro` prints its advice by `ui.write`, whatever the level of its logs."""
    from dvc.ui import ui

    write = ui.write

    def without(*words: Any, **how: Any) -> None:
        if words != (ADVICE,):
            write(*words, **how)

    ui.write = without
    try:
        yield
    finally:
        ui.write = write


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
