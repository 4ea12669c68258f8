"""The stage sample, run to its end, and the completions that it left."""

from typing import Any

from workspace import Workspace

from stages.lib import artifacts, records


def run(workspace: Workspace, stage: str = "sample@base") -> list[dict[str, Any]]:
    done = workspace.run(stage)
    assert done.returncode == 0, done.stderr
    path = artifacts.open(f"data/completions/{stage.partition('@')[2]}").file("completions.parquet")
    return records.read(path, records.COMPLETION).to_pylist()
