"""Submits to a real Slurm jobs that run a small program of a test's in place of k8s/base/pod.py."""

import threading
from pathlib import Path
from typing import Any

import pytest
from slurmcluster import SlurmCluster
from waiting import until
from workspace import REPOSITORY

from executors.slurm import jobs, submit
from executors.slurm.controller import Controller
from executors.slurm.jobs import Settings
from executors.walk import Plan
from stages.lib import params

PLAN = Plan("embed", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
TRAIN = Plan("train", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
NAME = PLAN.name
# Parts of programs.
SAVES = """
def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm may tell it twice, as every process of a job
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
"""
ONCE = 'first = not os.environ.get("SLURM_RESTART_COUNT")\n'
SHARDED = {"shards": 3}
SHARD = "print(*sys.argv[1:], os.environ['JOB_COMPLETION_INDEX'], os.environ.get('SHARDS'), flush=True)\n"


class Courier:
    """A remote that holds nothing."""

    def result(self, _key: str) -> None:
        return None


class Bench:
    """Submits jobs that run a program of the test's, and keeps what is said of them."""

    def __init__(self, cluster: SlurmCluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.folder, self.said = cluster, folder, list[str]()
        self.program, self.go = folder / "pod.py", folder / "go"
        self.values = params.read(REPOSITORY / jobs.FILE)["cluster"]
        self.values |= {"folder": str(folder / "shared"), "poll": 0.2, "retries": 1, "grace": 20}
        self.values["resources"] = {"default": {"cpus": 1, "memory": "100M"}}
        monkeypatch.chdir(REPOSITORY)
        monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
        monkeypatch.setattr(jobs, "PROGRAM", self.program)
        monkeypatch.setattr(submit, "say", self.said.append)
        monkeypatch.setattr(submit.container, "named_weights", lambda _stage: [])

    def waits(self) -> str:
        """Part of a program: wait until the test makes the file `go`."""
        return f"[time.sleep(0.1) for _ in iter(lambda: os.path.exists({str(self.go)!r}), True)]"

    def settings(self, **of_embed: Any) -> Settings:
        wanted = {**self.values["resources"]["default"], **of_embed}
        return Settings.model_validate({**self.values, "resources": {"default": wanted}})

    def run(self, program: str, plan: Plan = PLAN, **of_embed: Any) -> int:
        """The status that the submitter ends with."""
        self.program.write_text(f"import os, signal, sys, time\n{program}\n")
        submitter = submit.Submitter(Controller(patience=5), self.settings(**of_embed), Courier())  # type: ignore[arg-type]
        return submitter.submit(plan)

    def start(self, program: str, plan: Plan = PLAN, **of_embed: Any) -> "Running":
        return Running(lambda: self.run(program, plan, **of_embed))

    def logged(self) -> list[str]:
        return [line.partition(" | ")[2] for line in self.said if " | " in line]

    def heard(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def until(self, words: str) -> None:
        until(lambda: self.heard(words), lambda: "\n".join(self.said))

    def until_queued_again(self, restarts: int = 1) -> None:
        """Wait until the job is back in the queue, and start it soon."""
        self.cluster.hasten(lambda: "\n".join(self.said), restarts)


class Running:
    """A submitter in a thread."""

    def __init__(self, function: Any) -> None:
        self.found: list[int] = []
        self.thread = threading.Thread(target=lambda: self.found.append(function()), daemon=True)
        self.thread.start()

    def status(self) -> int:
        self.thread.join(120)
        assert self.found, "the submitter has not ended"
        return self.found[0]
