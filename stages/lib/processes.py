"""The processes that run one stage together: how many there are, each one's place, who starts them, how they talk.

With one, that is this process. `launch` starts several on this machine, like torchrun and with its environment
variables (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT;
https://docs.pytorch.org/docs/stable/elastic/run.html), but it keeps what torchrun loses: the stage's exit status, and
time to save on SIGTERM. For several machines, start the stage on each with torchrun's PET_NNODES, PET_NODE_RANK,
PET_MASTER_ADDR and PET_MASTER_PORT, as k8s/overlays/nodes does. They may share a workspace. `together` connects those
of a stage without a trainer that does it.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from stages.lib import checkpoint
from stages.lib.errors import BAD_INPUT, PREEMPTED, BadInput

GRACE_S = 30.0  # how long the other processes may take to end once one has failed
# How long to wait for a process that says nothing: long enough for the first to hash the inputs. One that has died is
# noticed at once, unless its machine went without closing the connection.
SILENCE = timedelta(hours=2)
PART_S = 10.0  # how long to wait for the others at the end
LOGS = Path(".tidemill/run")

log = logging.getLogger("tidemill.processes")
Result = TypeVar("Result")


class Lost(Exception):
    """A process that works with others has failed, and with it the stage. The message says where to look."""


@dataclass(frozen=True)
class World:
    """All processes of a run, and which one this is, also among those of its machine (`local`)."""

    rank: int
    size: int
    local: int = 0

    @property
    def group(self) -> Any:
        """torch.distributed's group, within `together`; None for one process. Nothing may keep it: the threads of gloo
        end with the last reference, and a thread that is left when the process ends aborts it."""
        if self.size == 1:
            return None
        import torch.distributed

        return torch.distributed.group.WORLD

    @property
    def leads(self) -> bool:
        """Whether this is the process that logs, saves and seals."""
        return self.rank == 0

    def first(self, work: Callable[[], Result]) -> Result:
        """What `work` returns in the first process, given to all; it runs in no other.

        `BadInput` and `OSError` are raised in all of them.
        """
        if self.size == 1:
            return work()
        import torch.distributed

        outcome: list[Any] = [None, None]
        if self.leads:
            try:
                outcome = [work(), None]
            except (BadInput, OSError) as error:
                outcome = [None, error]
        torch.distributed.broadcast_object_list(outcome, src=0, group=self.group)
        found, wrong = outcome
        del outcome
        try:
            if wrong:
                raise wrong
            return found
        finally:
            del wrong  # which holds this frame by now


def here() -> World:
    """This process's place by torchrun's environment variables; alone without them."""
    return World(_number("RANK", 0), _number("WORLD_SIZE", 1), _number("LOCAL_RANK", 0))


def is_started() -> bool:
    """Whether this process is one that torchrun or `launch` has started."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def machines() -> int:
    """The machines of the run: torchrun's PET_NNODES, 1 without it."""
    return _number("PET_NNODES", 1)


@contextmanager
def together() -> Iterator[World]:
    """This process's place, connected with all others by gloo: what travels are objects of the host, with GPUs too.

    Only the first process logs. Raises `Lost` in those that are left when one fails, and `Preempted` on SIGTERM while
    waiting for the others to start.
    """
    world = here()
    if world.size == 1:
        yield world
        return
    import torch.distributed

    if not world.leads:
        logging.getLogger("tidemill").setLevel(logging.WARNING)
    store, lost = _meet(world), False
    try:
        torch.distributed.init_process_group(
            "gloo", store=store, rank=world.rank, world_size=world.size, timeout=SILENCE
        )
        yield world
    except RuntimeError as error:
        if "gloo" not in str(error) and not isinstance(error, torch.distributed.DistError):
            raise
        lost = True
        raise Lost(
            f"another of the {world.size} processes has ended, and its own log says why; run it again, all go on from "
            "the last save"
        ) from error
    finally:
        if not lost:
            _part(world, store)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _part(world: World, store: Any) -> None:
    """Wait until all are done with one another: who leaves first cuts off what others are still reading of him.

    Not for long, since some may wait for what will not come any more.
    """
    from torch.distributed import DistError

    deadline = time.monotonic() + PART_S
    with suppress(DistError):  # the first process, whose store it is, has gone
        store.set_timeout(timedelta(seconds=PART_S))
        store.set(f"left/{world.rank}", "")
        while time.monotonic() < deadline and not store.check([f"left/{rank}" for rank in range(world.size)]):
            time.sleep(0.02)


def _meet(world: World) -> Any:
    """The store through which the processes connect, when all of them are there.

    Looks again and again, since a process that waits inside torch would not hear of SIGTERM.
    """
    from torch.distributed import DistError, TCPStore

    where, port = os.environ["MASTER_ADDR"], _number("MASTER_PORT", 0)
    log.info("meeting %d other processes at %s:%d", world.size - 1, where, port)
    serves = world.leads and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # torchrun has one already
    missing = [f"here/{rank}" for rank in range(world.size)]
    store: Any = None
    deadline = time.monotonic() + SILENCE.total_seconds()
    while missing:
        try:
            if store is None:
                store = TCPStore(where, port, None, serves, timeout=timedelta(seconds=5), wait_for_workers=False)
                store.set(f"here/{world.rank}", "")
            missing = [key for key in missing if not store.check([key])]
        except DistError as error:
            if serves:
                raise Lost(f"cannot listen on port {port} for the other processes: {error}") from None
            store = None  # the first process is not there yet, or has gone and will come again
        checkpoint.raise_if_stop_requested()
        if time.monotonic() > deadline:
            waited = "the first process" if store is None else f"processes {', '.join(key[5:] for key in missing)}"
            raise Lost(f"waited {SILENCE} at {where}:{port} for {waited}; do all nodes run, and reach that address?")
        time.sleep(0.1 if missing else 0)
    store.set_timeout(SILENCE)
    return store


def launch(stage: str, processes: int) -> None:
    """Run `stage` in `processes` processes on this machine and wait for them.

    SIGTERM is passed on, and they get the time they need to save. If one fails, the others are stopped. Raises
    `BadInput` or `Preempted` if they ended with that, `Lost` if one crashed.
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
    statuses = [_status(process.returncode) for process in started]
    failed = next((rank for status in (BAD_INPUT, None, PREEMPTED) for rank, s in _failures(statuses, status)), None)
    if failed is None:
        return
    if statuses[failed] == PREEMPTED:
        raise checkpoint.Preempted("stopped by SIGTERM; run it again to resume from the last save")
    file = _log_of(stage, first + failed)
    said = "above" if failed == 0 else f"{file}:\n{_tail(file)}"
    if statuses[failed] == BAD_INPUT:
        raise BadInput(f"process {failed} of {processes} reported what is wrong, {said}")
    raise Lost(f"process {failed} of {processes} ended with status {statuses[failed]}, {said}")


def _status(code: int) -> int:
    """A process's exit status; told to stop before it could hear of it, it had nothing to save."""
    return PREEMPTED if code == -signal.SIGTERM and checkpoint.stop_requested() else code


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
