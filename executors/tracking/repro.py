"""`dvc repro`, in this process."""

from collections.abc import Sequence


def run(stages: Sequence[str], *options: str) -> int:
    """Bring `stages` (all if none is named) up to date and return DVC's exit status."""
    from dvc.cli import main as dvc

    return int(dvc(["repro", *options, *stages]))
