"""What a pod, or a job of Slurm (slurm/job.sh), does for a stage: `pod.py fetch run deliver`, or some of these phases.

fetch    checks out the exact commit, pulls the stage's inputs by hash, and the saves its shards have sent
shard    makes one shard's saves; after a fetch, in its own workspace, sends each to the remote
run      runs the stage through `dvc repro --single-item`; on several nodes the first does, the others join
take     after a fetch, takes another pod's results from HANDOVER: only data, none of it is executed
deliver  pushes outputs, then DVC's run cache, then the result record KEY.json

Settings come from the environment (a ConfigMap): STAGE, KEY, COMMIT, REPOSITORY ("" for a bundle on the remote), LOCK
(sha256 of the dvc.lock on the remote), REMOTE (its DVC configuration, JSON), WORKSPACE; JOURNAL (nonempty for a stage
that asks models); HANDOVER (another pod's workspace); in an Indexed Job JOB_COMPLETION_INDEX, and SHARDS or
PET_NODE_RANK; SIGNALS (nonempty where SIGTERM reaches every process, not only this one). The program is self-contained,
because it starts before the code is checked out. Exit status: the stage's own; 3 for what no other pod could do either.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

BAD_INPUT, CRASHED, PREEMPTED = 3, 1, 75
SEND_EVERY_S = 10.0  # how often a shard's new saves are sent
STAGE = os.environ["STAGE"]
SAVES = Path(".tidemill/checkpoints", STAGE)
COMMIT = os.environ["COMMIT"]
WORKSPACE = Path(os.environ.get("WORKSPACE", "/workspace"))
DVC = [sys.executable, "-m", "dvc"]
SIGNALS = bool(os.environ.get("SIGNALS"))


def first(phases: list[str]) -> int:
    """Run `main` in a child, so that the container's first process can reap orphans. Without that, a program killed
    with its parent would count among its user's processes until the pod ends."""
    child = 0

    def stop(_signum: int, _frame: FrameType | None) -> None:
        if not child:  # in the child, until `main` installs its own handler
            sys.exit(PREEMPTED)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    child = os.fork()
    if not child:
        return main(phases)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(phases: list[str]) -> int:
    """Run the phases in turn; the first nonzero status is the pod's."""
    # Before the stage runs there is nothing to save. A first process of a container that set no handler would not even
    # hear of it, and its node would wait out the grace period; nor may a transfer's threads be waited for.
    signal.signal(signal.SIGTERM, lambda _signum, _frame: os._exit(PREEMPTED))
    os.environ.update(DVC_NO_ANALYTICS="true", DVC_GLOBAL_CONFIG_DIR="/nonexistent", DVC_SITE_CACHE_DIR=_site())
    # The image has no bytecode; without any, every start of DVC would take seconds more. This process writes it too.
    sys.pycache_prefix, sys.dont_write_bytecode = _site(), False
    os.environ.update(PYTHONPYCACHEPREFIX=sys.pycache_prefix, PYTHONDONTWRITEBYTECODE="")
    WORKSPACE.mkdir(parents=True, exist_ok=True)
    if not os.access(WORKSPACE, os.W_OK | os.X_OK):
        return _refuse(
            f"user {os.getuid()}, groups {os.getgroups()}, may not write to the volume at {WORKSPACE}: its storage "
            "class ignores fsGroup (hostPath, some NFS); set another storage_class in k8s/params.yaml"
        )
    os.chdir(WORKSPACE)
    if phases == ["fetch"]:  # for another pod, which runs foreign code there, perhaps already has
        _empty_workspace()
    sys.path.append(str(WORKSPACE))  # the checked-out commit's stages.lib; last, so that it shadows no package
    _trust_workspace()
    acts: dict[str, Callable[[], int]] = {
        "fetch": fetch,
        "shard": lambda: shard(send="fetch" in phases),
        "take": take,
        "run": run if os.environ.get("PET_NODE_RANK", "0") == "0" else join,
        "deliver": deliver,
    }
    for phase in phases:
        status = acts[phase]()
        if status:
            return status
    return 0


def fetch() -> int:
    """Bring the commit, the lock and the inputs to WORKSPACE; an earlier pod's saves stay."""
    if not _checkout():
        return BAD_INPUT
    _add_remote()
    if wanted := os.environ.get("LOCK"):
        _get(f"tidemill/locks/{wanted}", Path("dvc.lock"))
        found = hashlib.sha256(Path("dvc.lock").read_bytes()).hexdigest()
        if found != wanted:
            return _refuse(f"dvc.lock on the remote has the hash {found}, not {wanted}; submit the stage again")
    inputs = _inputs()
    _say(f"pulling {', '.join(inputs) or 'nothing'}")
    if inputs and _transfer("pull", "--quiet", *inputs):
        _say(
            "an input is missing or damaged on the remote; run `make verify REMOTE=1` where you submitted, it names it"
        )
        return CRASHED
    _get_saves()
    return _share_journal("bring")


def shard(send: bool) -> int:
    """Make one shard's saves. Those already sent are not made again, whichever pod takes over."""
    mine = f"{os.environ['JOB_COMPLETION_INDEX']}/{os.environ['SHARDS']}"
    if _git("diff", "--quiet", COMMIT, "--", ".", ":!dvc.lock"):
        return _refuse(f"shard {mine} is of commit {COMMIT}, and {WORKSPACE} holds other code; submit the stage again")
    process = _start_stage("--shard", mine)
    sent = _seals()
    while True:
        try:
            status = process.wait(SEND_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            _send_saves(send, sent)
    if not _send_saves(send, sent):
        return status or CRASHED
    _say(f"shard {mine} ended with status {status}")
    return status


def join() -> int:
    """Run the stage on a node other than the first, without DVC; the first one seals."""
    return _start_stage().wait()


def run() -> int:
    """Run the stage by `dvc repro`. That turns every failure into 255; the true status is in .tidemill/run."""
    record, lock = Path(f".tidemill/run/{STAGE}.json"), Path(f".tidemill/run/{STAGE}.lock")
    record.unlink(missing_ok=True)
    if lock.is_file():  # left by a lost pod; its process number is meaningless here
        lock.write_text("")
    _recover()
    words, environment = [*DVC, "repro", "--single-item", STAGE], {**os.environ, "EXECUTOR": "local"}
    process = subprocess.Popen(words, env=environment, preexec_fn=_deaf if SIGNALS else None)
    early = False

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal early
        if record.is_file():
            return  # the stage has ended; use the time to deliver
        found = re.search(r"process (\d+)", lock.read_text()) if lock.is_file() else None
        early = not found
        with suppress(ProcessLookupError):  # DVC does not pass SIGTERM on to the stage
            if found:
                os.kill(int(found[1]), signal.SIGTERM)
            else:
                os.kill(process.pid, signal.SIGKILL if SIGNALS else signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    status = process.wait()
    _deaf()
    shared = _share_journal("publish")  # however it ended: answers are paid for
    if status and record.is_file():
        return int(json.loads(record.read_text())["status"]) or CRASHED
    if status:
        return PREEMPTED if early else CRASHED
    return shared


def take() -> int:
    """Take only the stage's outputs from the pod that ran it, and recreate DVC's entries for them. Foreign code may
    have run there, so a pod with credentials trusts nothing else in that workspace."""
    handover = Path(os.environ["HANDOVER"])
    for out in _outs():
        source, target = handover / out, Path(out)
        strange = [
            one for one in [source, *source.rglob("*")] if one.is_symlink() or not (one.is_file() or one.is_dir())
        ]
        if strange:
            return _refuse(f"{strange[0]} is neither a file nor a directory, or is missing")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    return CRASHED if _dvc("commit", "--quiet", "--force", STAGE) else 0


def deliver() -> int:
    """Push objects before the run cache that names them, so that a kill in between points nobody to missing objects."""
    _deaf()
    if _transfer("push", "--quiet", "--run-cache", STAGE):
        return CRASHED
    record = json.dumps(_result(), indent=1, sort_keys=True)
    file = Path(tempfile.mkdtemp()) / "result.json"
    file.write_text(record + "\n")
    _put(file, f"tidemill/results/{os.environ['KEY']}.json")
    _say(f"delivered {record}")
    _remove_saves()
    return 0


def _recover() -> None:
    """Repair what a killed pod can leave of DVC's own files in this workspace."""
    from executors.tracking import recover

    recover.main()


def _deaf() -> None:
    """Ignore SIGTERM from here on: use the grace period to deliver."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _start_stage(*words: str) -> "subprocess.Popen[bytes]":
    """Run `stages/run` and pass SIGTERM on to it."""
    process = subprocess.Popen(["stages/run", STAGE, *words], env={**os.environ, "EXECUTOR": "local"})
    signal.signal(signal.SIGTERM, lambda _signum, _frame: process.send_signal(signal.SIGTERM))
    return process


def _get_saves() -> None:
    """Fetch the sealed saves sent by shards of these inputs: files first, then the seal that validates them."""
    fs, root = _remote()
    there = fs.join(root, "tidemill", "saves", os.environ["KEY"])
    found = [fs.relpath(path, there) for path in fs.find(there)]
    sealed = {name.rpartition("/")[0] for name in found if name.endswith("/checkpoint.json")}
    for name in sorted(found, key=lambda name: name.endswith("/checkpoint.json")):
        target = SAVES / name
        if name.rpartition("/")[0] in sealed and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _get(f"tidemill/saves/{os.environ['KEY']}/{name}", target)
    if sealed:
        _say(f"fetched {len(sealed)} saves")


def _seals() -> set[tuple[Path, int]]:
    """All saves' seals and their times; a damaged save is made again under the same name."""
    return {(seal, seal.stat().st_mtime_ns) for seal in SAVES.rglob("checkpoint.json")}


def _send_saves(send: bool, sent: set[tuple[Path, int]]) -> bool:
    """Send the saves not `sent` yet, each one's seal last. False if the remote fails."""
    for seal, when in sorted(_seals() - sent) if send else []:
        try:
            for file in sorted(seal.parent.iterdir(), key=lambda file: file == seal):
                _put(file, f"tidemill/saves/{os.environ['KEY']}/{file.relative_to(SAVES).as_posix()}")
        except Exception as error:  # each backend has errors of its own
            _say(f"cannot send {seal.parent}: {type(error).__name__}: {error}")
            return False
        sent.add((seal, when))
    return True


def _remove_saves() -> None:
    """Remove a delivered stage's saves from the remote, if that is permitted."""
    fs, root = _remote()
    there = fs.join(root, "tidemill", "saves", os.environ["KEY"])
    try:
        if fs.exists(there):
            fs.rm(there, recursive=True)
    except Exception as error:  # each backend has errors of its own
        _say(f"cannot remove {there}: {type(error).__name__}: {error}")


def _result() -> dict[str, Any]:
    outs = _outs()
    seals = {out: Path(out) / "artifact.json" for out in outs}
    roots = {out: json.loads(seal.read_text())["root"] for out, seal in seals.items() if seal.is_file()}
    return {"stage": STAGE, "key": os.environ["KEY"], "outs": outs, "roots": roots}


def _share_journal(how: str) -> int:
    """Exchange models' answers with the remote if the stage asks models (executors/tracking/journal.py)."""
    if not os.environ.get("JOURNAL"):
        return 0
    return subprocess.run([sys.executable, "-m", "commands", "journal-share", how], check=False).returncode


def _checkout() -> bool:
    """Check out exactly COMMIT in WORKSPACE; if that fails, print why and return False."""
    shutil.rmtree(".dvc/tmp", ignore_errors=True)  # a killed pod's locks
    _git("init", "--quiet")
    if _git("cat-file", "-e", f"{COMMIT}^{{commit}}", quiet=True):
        repository = os.environ.get("REPOSITORY")
        if repository:
            status = _git("fetch", "--quiet", "--depth", "1", repository, COMMIT)
            where = f"{repository}: push it there (`git push`)"
        else:
            _get(f"tidemill/bundles/{COMMIT}.bundle", Path(".git/submitted.bundle"))
            status = _git("fetch", "--quiet", ".git/submitted.bundle", "HEAD")
            where = "the bundle on the remote: submit the stage again"
        if status or _git("cat-file", "-e", f"{COMMIT}^{{commit}}", quiet=True):
            _refuse(f"commit {COMMIT} cannot be fetched from {where}")
            return False
    return _git("checkout", "--quiet", "--force", "--detach", COMMIT) == 0


def _empty_workspace() -> None:
    """Remove everything but the saves: an earlier run's foreign code may have left anything in the volume."""
    for path in Path().iterdir():
        if path.name == ".tidemill" and not path.is_symlink():
            for inner in path.iterdir():
                if inner.name != "checkpoints" or inner.is_symlink():
                    _remove(inner)
        else:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=path.name == "lost+found")  # the file system's own
    else:
        path.unlink()


def _inputs() -> list[str]:
    """The stage's inputs that other stages make."""
    from dvc.repo import Repo

    with Repo() as repo:
        made = {out.fs_path for out in repo.index.outs}
        (stage,) = repo.stage.collect(STAGE)
        return sorted(repo.fs.relpath(dep.fs_path) for dep in stage.deps if dep.fs_path in made)


def _outs() -> dict[str, str]:
    from dvc.repo import Repo

    with Repo() as repo:
        (stage,) = repo.stage.collect(STAGE)
        return {repo.fs.relpath(out.fs_path): out.hash_info.value for out in stage.outs}


def _add_remote() -> None:
    """Make REMOTE the default, with every read verified, so that no damaged object passes unnoticed."""
    from dvc.config import Config

    with Config(".dvc", validate=False).edit("local") as local:
        local["remote"] = {"pod": {"verify": "true", **json.loads(os.environ["REMOTE"])}}
        local["core"] = {"remote": "pod"}


@cache
def _remote() -> Any:
    """(file system, path) of the remote; works before the repository exists."""
    from dvc.fs import parse_external_url

    options = json.loads(os.environ["REMOTE"])
    return parse_external_url(options.pop("url"), options)


def _get(name: str, target: Path) -> None:
    fs, root = _remote()
    fs.get_file(fs.join(root, *name.split("/")), str(target))


def _put(source: Path, name: str) -> None:
    """Upload atomically: on a file system, a killed pod would leave half a file under the final name."""
    fs, root = _remote()
    path, partial = fs.join(root, *name.split("/")), fs.join(root, "tidemill", "partial", uuid.uuid4().hex)
    for one in path, partial:
        fs.makedirs(fs.parent(one), exist_ok=True)
    fs.put_file(str(source), partial)
    if fs.exists(path):
        fs.remove(path)
    fs.move(partial, path)


def _transfer(*words: str) -> int:
    """Run DVC in this process, which has it loaded: starting another would take longer than most transfers."""
    from executors.tracking import transfer

    return int(transfer.main(list(words)))


def _dvc(*words: str) -> int:
    return subprocess.run([*DVC, *words], check=False).returncode


def _git(*words: str, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(["git", *words], check=False, stdout=output, stderr=output).returncode


def _trust_workspace() -> None:
    """Make git trust the volume, which belongs to its file system's owner."""
    home = Path(tempfile.mkdtemp())
    (home / "gitconfig").write_text("[safe]\n\tdirectory = *\n[user]\n\tname = pod\n\temail = pod@localhost\n")
    os.environ["GIT_CONFIG_GLOBAL"] = str(home / "gitconfig")


def _site() -> str:
    return tempfile.mkdtemp()


def _say(message: str) -> None:
    print(f"{'job' if 'SLURM_JOB_ID' in os.environ else 'pod'}: {message}", file=sys.stderr, flush=True)


def _refuse(message: str) -> int:
    _say(message)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit((first if os.getpid() == 1 else main)(sys.argv[1:]))
