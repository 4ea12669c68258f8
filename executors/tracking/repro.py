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
UP_TO_DATE = "Data and pipelines are up to date."
# The lines by which DVC says how a stage stands.
RUNNING = re.compile(r"Running stage '(?P<stage>[^']+)':")
UNCHANGED = re.compile(r"Stage '(?P<stage>[^']+)' (?:didn't change, skipping|is cached - skipping run, .*)")
FINISHED = re.compile(r"Stage '(?P<stage>[^']+)' is done")  # ours
ECHO = re.compile(r"> stages/run .*|(?:Generating|Updating) lock file 'dvc\.lock'")


def unchanged(stage: str) -> str:
    """What DVC says of a stage that has nothing to do."""
    return f"Stage '{stage}' didn't change, skipping"


def finished(stage: str) -> str:
    """The line for a stage that is up to date now."""
    return f"Stage '{stage}' is done"


def run(stages: Sequence[str], *options: str) -> int:
    """Bring `stages` (all if none is named) up to date and return DVC's exit status."""
    from dvc.cli import main as dvc

    for name, level in CHATTER.items():
        logging.getLogger(name).setLevel(level)
    with _without(ADVICE):
        return int(dvc(["repro", *options, *stages]))


def run_one(stage: str) -> int:
    """Bring `stage` up to date, whatever is upstream, beside others that do the same; returns DVC's exit status.

    Only one at a time has the repository's lock, and the others wait for it. DVC gives it back while a command runs.
    """
    from dvc.cli import main as dvc

    for name, level in CHATTER.items():
        logging.getLogger(name).setLevel(level)
    with _without(ADVICE, UP_TO_DATE):
        return int(dvc(["--wait-for-lock", "repro", "--single-item", stage]))


@contextmanager
def _without(*lines: str) -> Iterator[None]:
    """`dvc repro` prints its advice by `ui.write`, whatever the level of its logs."""
    from dvc.ui import ui

    write = ui.write

    def without(*words: Any, **how: Any) -> None:
        if not (len(words) == 1 and words[0] in lines):
            write(*words, **how)

    ui.write = without
    try:
        yield
    finally:
        ui.write = write


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
