"""The processes that train together: how many there are, each one's share of a batch, and who starts them.

One process drives one device. With one device, that is this process. With more, `launch` starts one per device of this
machine, like torchrun and with its environment variables (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT;
https://docs.pytorch.org/docs/stable/elastic/run.html), but it keeps what torchrun loses: the stage's exit status, and
time to save on SIGTERM. For several machines, start the stage on each with torchrun's PET_NNODES, PET_NODE_RANK,
PET_MASTER_ADDR and PET_MASTER_PORT, as k8s/overlays/nodes does. They may share a workspace.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.lib import checkpoint
from stages.lib.errors import BadInput

BAD_INPUT, PREEMPTED = 3, 75  # exit statuses of a stage (executors/runner.py)
GRACE_S = 30.0  # how long the other processes may take to end once one has failed
LOGS = Path(".tidemill/run")

log = logging.getLogger("tidemill.train")


@dataclass(frozen=True)
class World:
    """All processes of a run, and which one this is."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this is the process that logs, saves and seals."""
        return self.rank == 0


def here() -> World:
    """This process's place by torchrun's environment variables; alone without them."""
    return World(_number("RANK", 0), _number("WORLD_SIZE", 1))


def is_started() -> bool:
    """Whether this process is one that torchrun or `launch` has started."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def on_this_machine(processes: int | Literal["auto"], device: str) -> int:
    """The number of processes to start here: one per GPU, or `processes`.

    Raises `BadInput` for more than there are GPUs.
    """
    import torch

    found = torch.cuda.device_count() if device == "cuda" else 1
    if processes == "auto":
        return found
    if device == "cuda" and processes > found:
        raise BadInput(f"params.yaml: train.processes: {processes}, but this machine has {found} GPUs; set it to auto")
    return processes


def machines() -> int:
    """The machines of the run: torchrun's PET_NNODES, 1 without it."""
    return _number("PET_NNODES", 1)


def accumulation(batch_rows: int, micro_batch_rows: int, replicas: int) -> int:
    """Micro-batches per step on each replica of the model, so that a step is exactly `batch_rows`.

    Raises `BadInput` if the batch is no whole number of them.
    """
    together = micro_batch_rows * replicas
    if batch_rows % together:
        fitting = [n for n in range(1, batch_rows + 1) if batch_rows % (n * replicas) == 0]
        advice = f"set train.micro_batch_rows to one of {fitting}" if fitting else "use another number of devices"
        raise BadInput(
            f"params.yaml: train.batch_rows: {batch_rows} rows cannot be split into micro-batches of {micro_batch_rows}"
            f"{f' on {replicas} devices' if replicas > 1 else ''}; {advice}"
        )
    return batch_rows // together


def check_sharding(sharding: str, devices: int) -> None:
    """Raise `BadInput` for FSDP on one device."""
    if sharding == "fsdp" and devices == 1:
        raise BadInput(
            "params.yaml: train.sharding: fsdp shares a model among devices, but there is only one; set it to none"
        )


def launch(stage: str, processes: int) -> None:
    """Run `stage` in `processes` processes on this machine and wait for them.

    SIGTERM is passed on, and they get the time they need to save. If one fails, the others are stopped. Raises
    `BadInput` or `Preempted` if they ended with that, `RuntimeError` if one crashed.
    """
    nodes, node = machines(), _number("PET_NODE_RANK", 0)
    meeting = {
        "MASTER_ADDR": os.environ.get("PET_MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": os.environ.get("PET_MASTER_PORT") or str(_free_port()),
        "WORLD_SIZE": str(nodes * processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    if nodes > 1 and "PET_MASTER_ADDR" not in os.environ:
        raise BadInput("PET_NNODES is set and PET_MASTER_ADDR is not: name the machine of PET_NODE_RANK 0")
    LOGS.mkdir(parents=True, exist_ok=True)
    started, first = [], node * processes
    try:
        for local in range(processes):
            place = {"RANK": str(first + local), "LOCAL_RANK": str(local)}
            started.append(_start(stage, {**os.environ, **meeting, **place}, first, local))
        _wait(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    statuses = [process.returncode for process in started]
    failed = next((rank for status in (BAD_INPUT, None, PREEMPTED) for rank, s in _failures(statuses, status)), None)
    if failed is None:
        return
    if statuses[failed] == PREEMPTED:
        raise checkpoint.Preempted("stopped by SIGTERM; run it again to resume from the last save")
    file = _log_of(stage, first + failed)
    said = "above" if failed == 0 else f"{file}:\n{_tail(file)}"
    if statuses[failed] == BAD_INPUT:
        raise BadInput(f"process {failed} of {processes} reported what is wrong, {said}")
    raise RuntimeError(f"process {failed} of {processes} ended with status {statuses[failed]}, {said}")


def _failures(statuses: list[int], wanted: int | None) -> list[tuple[int, int]]:
    """Ranks that ended with `wanted`, or for None with any other failure than bad input and preemption."""
    return [
        (rank, status)
        for rank, status in enumerate(statuses)
        if status != 0 and (status == wanted if wanted else status not in (BAD_INPUT, PREEMPTED))
    ]


def _start(stage: str, environment: dict[str, str], first: int, local: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "executors.runner", stage]
    if local == 0:
        return subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent)
    with _log_of(stage, first + local).open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent
        )


def _wait(started: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended, or one has failed and the others' grace period is over."""
    told, deadline = False, None
    while any(process.poll() is None for process in started):
        if checkpoint.stop_requested() and not told:
            told = True
            for process in started:
                process.send_signal(signal.SIGTERM)
        if deadline is None and any(process.returncode for process in started):
            deadline = time.monotonic() + GRACE_S
        if deadline and time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it dies (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _log_of(stage: str, rank: int) -> Path:
    return LOGS / f"{stage}.rank{rank}.log"


def _tail(file: Path) -> str:
    return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdigit():
        raise BadInput(f"the environment variable {name} is {value!r}, not a number")
    return int(value)
