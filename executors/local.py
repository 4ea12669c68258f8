"""EXECUTOR=local: a stage runs in the process that `dvc repro` starts, in this environment."""

from collections.abc import Sequence

from executors.tracking import recover, repro


def run(stages: Sequence[str]) -> int:
    """`dvc repro`; retried once if it failed on DVC files that a kill had damaged and `recover` could repair."""
    status = repro.run(stages)
    return repro.run(stages) if status and recover.main() else status


def enter(stage: str, words: Sequence[str]) -> None:
    """Nothing to do: the stage runs in this process."""
