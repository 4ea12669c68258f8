"""Runs one stage: the lock, the pid, signals and exit codes that every executor relies on.

    stages/run STAGE[@KEY]       run it (dvc.yaml calls exactly this)
    stages/run STAGE --help      what it reads, writes and does
    stages/run STAGE --shard 1/4 make one shard's saves, no artifact (collect, filter, embed, coreset, sample, score)

EXECUTOR chooses where (executors/__init__.py): local (the default) or container (in its image, docs/containers.md). For
clusters, use `EXECUTOR=kubernetes make` or `EXECUTOR=slurm make` (docs/kubernetes.md, docs/slurm.md).

Exit status: 0 done and sealed; 3 bad input or configuration (never retried); 75 preempted with progress saved (retried
at no cost); anything else is a crash.
"""

import contextlib
import errno
import fcntl
import importlib
import json
import logging
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import IO, cast

import executors
from executors import container, parameters
from executors.progress import report
from stages.lib import shards
from stages.lib.checkpoint import Preempted, stop_on_sigterm
from stages.lib.errors import BAD_INPUT, CRASHED, DONE, INTERRUPTED, PREEMPTED, BadInput
from stages.lib.processes import Lost

STATE = Path(".tidemill/run")
BEGAN = time.monotonic()
# Library settings, read when the libraries are imported, long after this module.
LIBRARIES = {
    "TQDM_DISABLE": "1",  # stages log their own progress
    "OMP_WAIT_POLICY": "passive",  # spinning threads make a stage several times slower on a busy machine
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own pool keeps freed memory: 18 MB on top of a teacher's 120
}

log = logging.getLogger("tidemill")


def main(arguments: list[str]) -> int:
    """Run the stage that `arguments` names and return its exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    for client in ("httpx", "httpx2"):  # the hub's client brings the second
        logging.getLogger(client).setLevel(logging.WARNING)
    logging.getLogger("tidemill").setLevel(os.environ.get(report.LEVEL, "info").upper())
    # peft calls something that transformers will rename; users cannot act on that.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
    for name, value in LIBRARIES.items():
        os.environ.setdefault(name, value)
    stage = arguments[0] if arguments else "stages/run"
    try:
        return _run(arguments)
    except BadInput as error:
        return _fail(stage, BAD_INPUT, str(error))
    except Preempted as error:
        return _fail(stage, PREEMPTED, str(error))
    except Lost as error:
        return _fail(stage, CRASHED, str(error))
    except KeyboardInterrupt:
        return _fail(stage, INTERRUPTED, "interrupted; run it again to resume from the last save")
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in ("stages", "executors"):
            raise
        return _fail(stage, BAD_INPUT, f"the package {error.name} is not installed in {sys.prefix}; run `make setup`")
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            advice = "make it writable; nothing was changed"
            return _fail(stage, BAD_INPUT, f"{error.filename or 'the workspace'}: {error.strerror}; {advice}")
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or "the workspace"
        advice = "free some space and run it again; no sealed artifact is lost"
        return _fail(stage, CRASHED, f"the disk is full at {where}: {advice}")


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return DONE if arguments else BAD_INPUT
    name, _, key = arguments[0].partition("@")
    _check_name(name)
    if {"-h", "--help"} & set(arguments[1:]):
        print(importlib.import_module(f"stages.{name}").__doc__)
        return DONE
    _take_shard(arguments[1:])
    if not shards.is_one() and "LOCAL_RANK" not in os.environ:
        STATE.mkdir(parents=True, exist_ok=True)  # where a refusal is recorded
        parameters.check()
    executors.chosen().enter(arguments[0], arguments[1:])
    container.check_image()
    module = importlib.import_module(f"stages.{name}")
    stage: Callable[..., None] = module.main
    if shards.is_one() and "shards" not in vars(module):  # every stage that shards imports `shards`
        raise BadInput(f"{name} cannot be sharded; collect, filter, embed, coreset, sample and score can")
    with _lock(arguments[0], fcntl.LOCK_SH) if shards.is_one() else nullcontext(), _lock(_process(arguments[0])):
        (STATE / f"{_process(arguments[0])}.json").unlink(missing_ok=True)
        _stop_on_sigterm()
        with report.reporting(arguments[0]):
            stage(key) if key else stage()
        _record(_process(arguments[0]), DONE)
    return DONE


def _stop_on_sigterm() -> None:
    """`stop_on_sigterm`, where two SIGTERM within a second are one: Slurm sends it to every process of a job, and
    whatever started the stage passes it on as well."""
    stop_on_sigterm()
    stop = cast(Callable[[int, FrameType | None], None], signal.getsignal(signal.SIGTERM))
    last = -math.inf

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > 1:
            stop(number, frame)

    signal.signal(signal.SIGTERM, handle)


def _take_shard(words: list[str]) -> None:
    """Tell `stages.lib.shards` what follows the stage's name: nothing, or --shard INDEX/COUNT."""
    os.environ.pop(shards.VARIABLE, None)
    if not words:
        return
    if words[0] != "--shard" or len(words) != 2:
        raise BadInput(f"stages/run takes one stage and --shard INDEX/COUNT; remove {words[0]!r}")
    shards.parse(words[1])
    os.environ[shards.VARIABLE] = words[1]


def _process(stage: str) -> str:
    """The stage's name, or if it runs in several processes, this process's: a shard, a torchrun rank, or the launcher
    of the ranks on a node other than the first."""
    if shards.is_one():
        return f"{stage}.shard{os.environ[shards.VARIABLE].replace('/', 'of')}"
    if "LOCAL_RANK" in os.environ:
        return f"{stage}.rank{os.environ.get('RANK', os.environ['LOCAL_RANK'])}"
    node = os.environ.get("PET_NODE_RANK", "0")
    return stage if node == "0" else f"{stage}.node{node}"


def _check_name(name: str) -> None:
    known = parameters.stage_names()
    if name not in known:
        raise BadInput(f"no stage {name!r}; choose one of {', '.join(known)}")


def _lock(stage: str, how: int = fcntl.LOCK_EX) -> IO[str]:
    """Hold STAGE.lock until this process ends; a stage's shards share it. The kernel releases it however the process
    ends: a stage that outlives its killed `dvc` still refuses a second run, and a dead one never blocks."""
    STATE.mkdir(parents=True, exist_ok=True)
    lock = (STATE / f"{stage}.lock").open("a+")
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise BadInput(
            f"{stage} is already running as {lock.read().strip() or 'process ?'}; wait for it or stop it"
        ) from None
    lock.truncate(0)
    lock.write(os.environ.get("TIDEMILL_PROCESS") or f"process {os.getpid()}")
    lock.flush()
    return lock


def _record(stage: str, status: int) -> None:
    """Record the exit status in a file, because `dvc` turns every failure into 255; and the seconds."""
    record = {"pid": os.getpid(), "seconds": round(time.monotonic() - BEGAN, 1), "status": status}
    (STATE / f"{stage}.json").write_text(json.dumps(record) + "\n")


def _fail(stage: str, status: int, message: str) -> int:
    if STATE.is_dir() and "/" not in stage:
        with contextlib.suppress(OSError):  # a full disk must not hide the original error
            _record(_process(stage), status)
    print(f"{stage}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
