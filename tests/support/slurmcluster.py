"""A real Slurm on this machine: munged, slurmctld and a slurmd for each of two nodes, in a folder of the test's own.

`with SlurmCluster(folder):` starts it, and SLURM_CONF makes Slurm's commands find it. It takes Debian's packages
slurmctld, slurmd, slurm-client and munge, and root. Nothing of the machine's own Slurm is touched.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from waiting import until

NODES = ("n1", "n2")
MISSING = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
CONF = """\
ClusterName=tidemill
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
SlurmdTimeout={node_timeout}
MessageTimeout=5
KillWait=5
MinJobAge={forgets}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=n1,n2 PriorityTier=9 PreemptMode=OFF
PartitionName=short Nodes=n1,n2 MaxTime=1
PartitionName=closed Nodes=n1,n2 State=DOWN
"""


class SlurmCluster:
    """A controller and two nodes of 4 CPUs and 8 GB; `forgets`: seconds after which an ended job is forgotten."""

    def __init__(self, folder: Path, forgets: int = 300, node_timeout: int = 300) -> None:
        self.folder = folder
        folder.mkdir(parents=True, mode=0o755)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        ports = free_ports(1 + len(NODES))
        lines = [
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        told = {"controller": ports[0], "folder": folder, "nodes": "\n".join(lines)}
        self.conf = folder / "slurm.conf"
        self.conf.write_text(CONF.format(**told, forgets=forgets, node_timeout=node_timeout))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "SlurmCluster":
        try:
            self._start_munge()
            for name in ("slurmctld", *NODES):
                self.start(name)
            until(lambda: self.sinfo() == dict.fromkeys(NODES, "idle"), self.sinfo)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # or jobs would outlive the test
            self.call("scancel", "--signal=KILL", "--full", "--user=root", check=False)
            until(lambda: not self.call("squeue", "--noheader", check=False), seconds=20)
        for process in self.processes.values():
            process.kill()
            process.wait(60)
        for stepd in self.stepds():
            with contextlib.suppress(ProcessLookupError):
                os.kill(stepd, signal.SIGKILL)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def start(self, name: str) -> None:
        """Start the controller, or the node of that name."""
        words = ["slurmctld", "-D"] if name == "slurmctld" else ["slurmd", "-D", "-N", name]
        self._spawn(name, words)

    def kill(self, name: str) -> None:
        """End a daemon; what a node's daemon has started lives on. The controller saves its state first: one that lost
        it would give the same numbers to other jobs, and drain the nodes that know them."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM if name == "slurmctld" else signal.SIGKILL)
        process.wait(60)

    def sinfo(self) -> dict[str, str]:
        said = self.call("sinfo", "--noheader", "--Node", "--format=%N %T", "--partition=main", check=False)
        return dict(line.split() for line in said.splitlines())

    def call(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=check, cwd=self.folder
        )
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """What the controller knows of every job, an array's tasks apart."""
        lines = self.call("scontrol", "--oneliner", "show", "job", check=False).splitlines()
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines if "JobId=" in line]

    def hasten(self, what: Callable[[], object], restarts: int = 1) -> None:
        """Wait until a job is back in the queue, and spare it the two minutes that Slurm leaves it there. (Started in
        the second of its end, a node would not know it for another.)"""

        def queued() -> list[str]:
            found = [job for job in self.jobs() if job["JobState"] == "PENDING" and int(job["Restarts"]) >= restarts]
            tasks = [(job.get("ArrayJobId", job["JobId"]), job.get("ArrayTaskId")) for job in found]
            return [f"{number}_{task}" if task else number for number, task in tasks]  # 5 alone is all of array 5

        until(queued, what, seconds=240)
        for number in queued():
            self.call("scontrol", "update", f"JobId={number}", "StartTime=now+2")

    def stepds(self) -> list[int]:
        """The processes of this cluster's nodes that hold a job's."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "comm").read_text() == "slurmstepd\n" and self._is_ours(process):
                    found.append(int(process.name))
        return found

    def _is_ours(self, process: Path) -> bool:
        opened = (str(file.readlink()) for file in (process / "fd").iterdir())
        return any(name.startswith(f"{self.folder}/") for name in opened)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key, "socket": self.folder / "munge.socket", "log-file": self.folder / "munged.log"}
        files |= {"pid-file": self.folder / "munged.pid", "seed-file": self.folder / "munge.seed"}
        words = [f"--{name}={path}" for name, path in files.items()]
        self._spawn("munged", ["munged", "--foreground", "--force", *words])
        until(lambda: files["socket"].exists())

    def _spawn(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                words, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
