"""A stage in its image: EXECUTOR=container, and the check of which image a stage runs in.

The engine (podman, else docker; ENGINE names another) replaces this process, so that signals, output and the
exit status are the stage's own; podman without root, which dies of signals before its container, stays beneath it.
Inside the image stages/run runs again, holds the lock and does the work.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from executors import local
from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.models import weights

LOCK = Path("containers/images.lock.yaml")
STAGES = Path("containers/stages.yaml")
CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
CACHE = "/var/cache/tidemill"  # where a container finds weights
UNLOCKED = "unlocked"
KINDS = ("cpu", "gpu", "score")


def run(stages: Sequence[str]) -> int:
    """As `local`: `dvc repro`, whose stages each enter their image."""
    return local.run(stages)


def enter(stage: str, words: Sequence[str]) -> NoReturn:
    """Become the engine that runs `stage` (NAME or NAME@KEY), and `words`, in its image, the workspace mounted.

    Raises `BadInput` where there is no engine, no such image, another image than the locked one, no GPU
    where params.yaml asks for one, or weights that cannot be had.
    """
    engine = find_engine()
    kind = image_kind(stage)
    image = find_image(engine, kind)
    for name in sorted(named_weights(stage)):
        weights.fetch(name)
    called = [*command(engine, stage, kind, image), *words]
    if _is_rootless(engine):
        raise SystemExit(_stay(engine, called, _name(stage)))
    os.execvp(called[0], called)


def command(engine: str, stage: str, kind: str, image: str) -> list[str]:
    """The engine's command line for `stage` in `image` (its id): no capability, nothing writable but the workspace
    and /tmp, the caller's own uid."""
    name = _name(stage)
    uid, gid = os.getuid(), os.getgid()
    network = "host" if _entry(stage)["network"] else "none"
    environment = {
        "TIDEMILL_IMAGE": image,
        "TIDEMILL_PROCESS": f"container {name}",
        # Python may not write beside its modules there; by image, because all of an image's files have one time.
        "PYTHONPYCACHEPREFIX": f"/workspace/.tidemill/bytecode/{image.removeprefix('sha256:')[:16]}",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    return [
        *(engine, "run", "--rm", "--name", name, "--pull=never"),
        *("--read-only", "--tmpfs", "/tmp:rw,exec,mode=1777", "--shm-size", "1g", "--pids-limit", "8192"),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
        *_for_engine(engine, stage),
        *("--user", f"{uid}:{gid}", "--network", network),
        *("--volume", f"{Path.cwd()}:/workspace", "--workdir", "/workspace"),
        *(_mount_weights() if named_weights(stage) else ()),
        *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
        *(word for variable in _key_variables(stage) for word in ("--env", variable)),
        *(("--device", "nvidia.com/gpu=all") if kind == "gpu" else ()),
        *os.environ.get("TIDEMILL_CONTAINER_OPTIONS", "").split(),
        *(image, stage),
    ]


def named_weights(stage: str) -> set[str]:
    """The weights (`weights:NAME`) that `stage` loads by params.yaml."""
    sections = params.read()
    return weights.named_in([sections.get(name) for name in _entry(stage).get("models", ())])


def _mount_weights() -> tuple[str, ...]:
    """The host's weights, which are whole before the container starts: it fetches none, and writes none."""
    here = weights.cache() / weights.FOLDER
    return "--volume", f"{here}:{CACHE}/{weights.FOLDER}:ro", "--env", f"{weights.CACHE}={CACHE}"


def _name(stage: str) -> str:
    return f"tidemill-{stage.replace('@', '-')}-{os.getpid()}"


def _is_rootless(engine: str) -> bool:
    return Path(engine).name == "podman" and os.getuid() != 0


def _stay(engine: str, words: list[str], name: str) -> int:
    """Run the engine in a session of its own, hand SIGINT and SIGTERM to its container, and return the exit status.

    Podman without root (seen in 4.3.1) is two processes. The outer one ends with status 1 at a signal, and the
    container, still at its last save, gets two more.
    """
    process = subprocess.Popen(words, start_new_session=True)

    def forward(number: int, _frame: FrameType | None) -> None:
        kill = [engine, "kill", "--signal", str(number), name]
        # It takes a while before there is a container; afterwards there is none to hear it.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if subprocess.run(kill, capture_output=True, check=False, start_new_session=True).returncode == 0:
                return
            time.sleep(0.1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    return process.wait()


def find_engine() -> str:
    """The path of the container engine. Raises `BadInput` where there is none."""
    named = os.environ.get("ENGINE")
    for candidate in [named] if named else ["podman", "docker"]:
        if path := shutil.which(candidate):
            return path
    missing = f"ENGINE={named} is not installed" if named else "neither podman nor docker is installed"
    raise BadInput(f"EXECUTOR=container: {missing}; install one (`apt-get install podman`) or use EXECUTOR=local")


def image_kind(stage: str) -> str:
    """Which of KINDS runs `stage` here. Raises `BadInput` where params ask for a GPU that is not here."""
    kind = str(_entry(stage)["image"])
    if kind != "cpu or gpu":
        return kind
    name = stage.partition("@")[0]
    device = params.read().get(name, {}).get("device", "auto")
    if device == "cpu" or (device == "auto" and not has_gpu()):
        return "cpu"
    if not has_gpu():
        raise BadInput(
            f"params.yaml: {name}.device is {device}, and no GPU is offered to containers here (no CDI specification "
            f"in {CDI[0]}: `nvidia-ctk cdi generate` writes it); `EXECUTOR=kubernetes make` runs it on a cluster"
        )
    return "gpu"


def has_gpu() -> bool:
    """Whether a CDI specification of an NVIDIA GPU is installed, which is how an engine is given one."""
    return any(file.name.startswith("nvidia") for folder in CDI if folder.is_dir() for file in folder.iterdir())


def find_image(engine: str, kind: str) -> str:
    """The id of the local image of `kind`, the locked one. Raises `BadInput` if it is not here or another."""
    locked = read_lock()[kind]
    found = inspect_id(engine, locked if locked != UNLOCKED else f"tidemill-{kind}")
    if found is None and locked == UNLOCKED:
        raise BadInput(f"there is no image tidemill-{kind} on this machine: `make images IMAGES={kind}` builds it")
    if found is None:
        reference = read_lock()["references"].get(kind)
        fetch = f"`{Path(engine).name} pull {reference}` fetches it" if reference else f"`make images IMAGES={kind}`"
        raise BadInput(
            f"{LOCK} locks {kind} to {locked}, which is not on this machine; {fetch}, or `make images-lock` locks what "
            "is here and runs its stages again"
        )
    return found


def inspect_id(engine: str, image: str) -> str | None:
    """The id (sha256:…, the hash of its configuration) of the local `image`, or None."""
    words = [engine, "image", "inspect", "--format", "{{.Id}}", image]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "sha256:" + done.stdout.strip().removeprefix("sha256:")
    if "no such image" in done.stderr.lower() or "not known" in done.stderr.lower():
        return None
    raise BadInput(f"{Path(engine).name} does not answer: {done.stderr.strip()}")


def check_image() -> None:
    """Inside an image: raise `BadInput` unless it is the locked one. TIDEMILL_IMAGE is set by who started it (an id
    by the container executor, a reference by digest in a Job); the kind by the image itself."""
    kind = os.environ.get("TIDEMILL_IMAGE_KIND")
    if kind is None or not LOCK.is_file():
        return
    lock = read_lock()
    allowed = {lock.get(kind), lock["references"].get(kind)}
    running = os.environ.get("TIDEMILL_IMAGE", "an image that nobody named (TIDEMILL_IMAGE is not set)")
    if lock.get(kind) != UNLOCKED and running not in allowed:
        raise BadInput(
            f"this is {running}, but {LOCK} locks {kind} to {lock.get(kind)}: what it made could not be told from what "
            "the locked image makes; run it in that one, or lock this one (`make images-lock`)"
        )


def read_lock() -> dict[str, Any]:
    """containers/images.lock.yaml. Raises `BadInput` for an entry that is neither `unlocked` nor an image id."""
    lock = params.read(LOCK)
    for kind in KINDS:
        value = lock.get(kind)
        if value != UNLOCKED and not (isinstance(value, str) and value.startswith("sha256:")):
            raise BadInput(f"{LOCK}: {kind} is {value!r}; it takes `unlocked` or an image id, sha256:…")
    return {"references": {}, **lock}


def _entry(stage: str) -> dict[str, Any]:
    name = stage.partition("@")[0]
    entry = params.read(STAGES).get(name)
    if not entry:
        raise BadInput(f"{STAGES} does not say which image runs {name}; add a line for it")
    return dict(entry)


def _for_engine(engine: str, stage: str) -> list[str]:
    podman = Path(engine).name == "podman"
    options = ["--log-driver", "none"]
    if _is_rootless(engine):
        options += ["--userns", "keep-id"]
    if _entry(stage)["image"] == "score":  # its sandbox builds namespaces of its own, with a /proc of their own
        options += ["--security-opt", "unmask=ALL" if podman else "systempaths=unconfined"]
        options += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
        if os.getuid() == 0:  # it builds its walls as nobody: has to become that, and to stop what nobody runs
            options += ["--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "KILL"]
    return options


def _key_variables(stage: str) -> list[str]:
    """The environment variables in which the stage's section says that keys are: passed by name, never by value."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update(str(name) for key, name in value.items() if key.endswith("_key_env") and name)
            for inner in value.values():
                walk(inner)

    walk(params.read().get(stage.partition("@")[0], {}))
    return sorted(found & set(os.environ))
