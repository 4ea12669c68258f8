"""EXECUTOR=kubernetes: each stale stage a Job of its image, side by side where the graph allows (docs/kubernetes.md).

The manifests are in k8s/. What the Jobs make is taken from DVC's remote by hash, verified, without running it here.
"""

from collections.abc import Sequence

from stages.lib.errors import BadInput


def run(stages: Sequence[str]) -> int:
    """Submit what is stale among `stages` (or all) and upstream of them, and take the results. Returns the exit status
    of the first stage that failed, or 0; 130 when interrupted. Killed, the same call attaches to what runs."""
    from executors.kubernetes import jobs, submit

    return submit.run(stages, jobs.load_settings())


def enter(stage: str, words: Sequence[str]) -> None:
    """A single stage asked for through `dvc` would be computed here."""
    raise BadInput(
        f"{stage}: under EXECUTOR=kubernetes a stage runs as a Job, and DVC would run it here; "
        "`EXECUTOR=kubernetes make` submits what is stale and fetches the results"
    )
