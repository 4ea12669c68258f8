"""`dvc repro`, in this process."""

import logging
from collections.abc import Sequence

# After every stage: which files git should track; and that a killed run had left its locks, which DVC has just removed.
CHATTER = {"dvc.repo.scm_context": logging.WARNING, "dvc.rwlock": logging.ERROR}


def run(stages: Sequence[str], *options: str) -> int:
    """Bring `stages` (all if none is named) up to date and return DVC's exit status."""
    from dvc.cli import main as dvc

    for name, level in CHATTER.items():
        logging.getLogger(name).setLevel(level)
    return int(dvc(["repro", *options, *stages]))
