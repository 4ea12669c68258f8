"""Talks to Slurm through its own commands, and turns what they say into plain words.

A command that cannot reach the controller is tried again for `patience` seconds; running jobs go on without it.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from executors.slurm.jobs import FILE
from stages.lib.errors import BadInput

PATIENCE = 300.0  # seconds without an answer from the controller before we give up; jobs go on meanwhile
AWAY = re.compile("unable to contact slurm|connection refused|timed out|zero bytes|connect failure|backup mode", re.I)
UNKNOWN = re.compile("invalid job id", re.IGNORECASE)
ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL"),
    *("DEADLINE", "REVOKED"),
}
# What to do about a refusal (slurm_errno.c), by what it says.
REFUSALS = {
    "invalid partition": "set cluster.partition or the stage's to one of `sinfo --summarize`",
    "invalid account": "set cluster.account to one of yours (`sacctmgr show associations user=$USER`)",
    "invalid qos": 'set cluster.qos to one of yours, or ""',
    "time limit": "set cluster.time or the stage's to what the partition allows (`sinfo --format='%P %l'`)",
    "node configuration": "no node of the partition has so many cpus or gpus, or so much memory: lower resources",
    "memory specification": "no node of the partition has so much memory: lower resources",
    "node count": "the partition has fewer nodes: lower resources",
    "gres": "the cluster does not know `gpu`, which `gpus` asks for: see `sinfo --format='%P %G'`",
    "array": "the cluster allows no array of so many shards (`scontrol show config | grep MaxArraySize`)",
    "policy": "you have reached a limit of your account or QOS",
    "not available": "the partition is down or drained (`sinfo`)",
}
# Why a job waits (slurm.h, job_state_reason), where something can be done about it.
WAITS = {
    "Resources": "until nodes are free",
    "Priority": "for jobs ahead of it",
    "BeginTime": "a moment in the queue, as every job that goes back to it (two minutes)",
    "PartitionTimeLimit": "for ever: its time is more than the partition allows (time in slurm/params.yaml)",
    "PartitionNodeLimit": "for ever: the partition has fewer nodes (resources in slurm/params.yaml)",
    "PartitionConfig": "for ever: no node of the partition has so much (resources in slurm/params.yaml)",
    "PartitionDown": "for its partition, which is down",
    "PartitionInactive": "for its partition, which is inactive",
    "JobHeldUser": "until you release it: `scontrol release`",
    "JobHeldAdmin": "until an administrator releases it",
    "BadConstraints": "for ever: no node fits its options and resources",
    "launch_failed_requeued_held": "until it is released: it could not be started (`scontrol release`)",
}


@dataclass(frozen=True)
class Record:
    """What the controller knows of a job, or of one task of an array ("" if it is no array)."""

    task: str
    state: str
    reason: str
    node: str
    restarts: int
    exit: int  # the batch script's status, 0 if a signal ended it


class Controller:
    """The cluster whose commands are on this machine."""

    def __init__(self, patience: float = PATIENCE) -> None:
        if not shutil.which("sbatch"):
            raise BadInput("no Slurm: sbatch is not on this machine; log in to the cluster, or use EXECUTOR=local")
        self.patience = patience

    def submit(self, script: str, after: str = "") -> str:
        """Submit a job, to start after the job `after` has succeeded; returns its number.

        Raises `BadInput` for what the cluster refuses, and `Away` without an answer: the job may be there all the same.
        """
        done = self._ask(["sbatch", "--parsable", *([f"--dependency=afterok:{after}"] if after else [])], script)
        if done.returncode:
            said = _said(done)
            advice = next((advice for words, advice in REFUSALS.items() if words in said.lower()), "")
            raise BadInput(f"Slurm refuses the job: {said}{f'; {advice} ({FILE})' if advice else ''}")
        return done.stdout.strip().partition(";")[0]

    def alive(self, names: Sequence[str]) -> dict[str, str]:
        """The jobs of these names that have not ended: the oldest one's number, by name."""
        done = self._call(["squeue", "--noheader", f"--name={','.join(names)}", "--format=%F %j"])
        found = sorted((line.split() for line in done.stdout.splitlines()), key=lambda pair: int(pair[0]))
        return {name: number for number, name in reversed(found)}

    def records(self, number: str) -> list[Record]:
        """What the controller knows of a job and its tasks; nothing once it has forgotten it. Raises `Away`."""
        done = self._ask(["scontrol", "--oneliner", "show", "job", number])
        if done.returncode:
            if UNKNOWN.search(_said(done)):
                return []
            raise BadInput(f"Slurm does not tell of job {number}: {_said(done)}")
        lines = (dict(word.split("=", 1) for word in line.split() if "=" in word) for line in done.stdout.splitlines())
        return [
            Record(
                line.get("ArrayTaskId", ""),
                line["JobState"],
                line.get("Reason", "None"),
                line.get("NodeList", "(null)"),
                int(line.get("Restarts", 0)),
                int(line.get("ExitCode", "0:0").partition(":")[0]),
            )
            for line in lines
            if "JobState" in line
        ]

    def cancel(self, names: Sequence[str]) -> list[str]:
        """Cancel the jobs of these names and return those there were. Raises `BadInput` if it may not."""
        found = self.alive(names)
        for number in found.values():
            done = self._call(["scancel", number])
            if done.returncode:
                raise BadInput(f"Slurm does not cancel job {number}: {_said(done)}")
        return sorted(found)

    def _call(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        """`_ask`, again until there is an answer."""
        give_up, wait = time.monotonic() + self.patience, 0.5
        while True:
            try:
                return self._ask(words)
            except Away as error:
                if time.monotonic() > give_up:
                    raise self.no_answer(str(error)) from None
            time.sleep(wait)
            wait = min(wait * 2, 10)

    def _ask(self, words: list[str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
        # These would override what the script says, or hide jobs from us.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SQUEUE_"))}
        done = subprocess.run(words, input=stdin, env=environment, capture_output=True, text=True, check=False)
        if done.returncode and AWAY.search(_said(done)):
            raise Away(_said(done))
        return done

    def no_answer(self, said: str) -> BadInput:
        """The error of a controller that has been away for too long."""
        return BadInput(
            f"no Slurm: its controller does not answer ({said}); `scontrol ping` asks it. Running jobs go on, and the "
            "same command attaches to them"
        )


class Away(Exception):
    """The controller gave no answer."""


def waits(record: Record) -> str:
    """Why a job waits, in plain words."""
    if record.reason.startswith(("ReqNodeNotAvail", "Nodes_required")):
        return "for nodes that are down or reserved"
    if record.reason.startswith(("QOS", "Assoc")):
        return f"for a limit of your account or QOS ({record.reason})"
    return WAITS.get(record.reason, f"({record.reason})")


def end(record: Record) -> str:
    """How a job ended without an exit status of its stage, in plain words."""
    return {
        "CANCELLED": "was cancelled; what it saved is kept",
        "TIMEOUT": f"ran into its time limit and had not saved in time ({FILE}: cluster.grace, or a longer time)",
        "OUT_OF_MEMORY": f"ran out of memory ({FILE}: resources)",
        "NODE_FAIL": f"lost its node {record.node}",
        "BOOT_FAIL": f"could not start: its node {record.node} did not boot",
        "PREEMPTED": "made way for another job",
        "DEADLINE": "was not started in time",
    }.get(record.state, f"was killed on node {record.node}, or could not write there to the folder of {FILE}")


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [re.sub(r"^\w+: (error: )?", "", line) for line in done.stderr.strip().splitlines()]
    return "; ".join(dict.fromkeys(lines))
