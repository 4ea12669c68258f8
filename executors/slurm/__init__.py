"""EXECUTOR=slurm: each stale stage runs as a job of a Slurm cluster, in parallel where the graph allows.

slurm/ holds the settings and the job's script (docs/slurm.md). Results come from DVC's remote by hash and are verified;
nothing runs here.
"""

from collections.abc import Sequence

from stages.lib.errors import BadInput


def run(stages: Sequence[str]) -> int:
    """Submit the stale ones of `stages` (or all) and of everything upstream, and fetch the results. Returns 0, the exit
    status of the first stage that failed, or 130 when interrupted. After a kill, the same call attaches to what
    runs."""
    from executors.slurm import jobs, submit

    return submit.run(stages, jobs.load_settings())


def enter(stage: str, words: Sequence[str]) -> None:
    """Raise `BadInput`: a stage started through `dvc` would run here."""
    raise BadInput(
        f"{stage}: under EXECUTOR=slurm stages run as jobs, but DVC would run this one here; use "
        "`EXECUTOR=slurm make`, which submits stale stages and fetches the results"
    )
