"""EXECUTOR=local: a stage runs in the process that `dvc repro` starts, in this environment."""

from collections.abc import Sequence

from executors.tracking import recover, repro


def run(stages: Sequence[str]) -> int:
    """`dvc repro`; once more if the first try met files of DVC's that a kill had damaged and that could be repaired."""
    status = repro.run(stages)
    return repro.run(stages) if status and recover.main() else status


def enter(stage: str, words: Sequence[str]) -> None:
    """The stage runs in this very process."""
