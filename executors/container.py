"""Runs a stage in its image: EXECUTOR=container, and the check of which image a stage runs in.

The engine (podman, otherwise docker; ENGINE overrides) replaces this process, so that signals, output and exit status
are the stage's own. Rootless podman dies of a signal before its container does, so it runs as a child instead. Inside
the image, stages/run runs again, takes the lock and does the work.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from executors import local, needs
from executors.progress import report
from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.models import weights

LOCK = Path("containers/images.lock.yaml")
STAGES = needs.STAGES
CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
CACHE = "/var/cache/tidemill"  # where a container finds weights
HOME = "/tmp"  # in every image
UNLOCKED = "unlocked"
KINDS = ("cpu", "gpu", "score")


def run(stages: Sequence[str]) -> int:
    """As `local`, but each stage enters its image."""
    return local.run(stages)


def enter(stage: str, words: Sequence[str]) -> NoReturn:
    """Become the engine that runs `stage` (NAME or NAME@KEY) with `words` in its image, the workspace mounted.

    Raises `BadInput` if there is no engine or image, the image is not the locked one, there is no GPU
    where params.yaml asks for one, or weights cannot be had.
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
    """The engine's command line for `stage` in `image` (its id): no capabilities, nothing writable but the workspace
    and /tmp, the caller's own uid."""
    name = _name(stage)
    uid, gid = os.getuid(), os.getgid()
    network = "host" if _entry(stage)["network"] else "none"
    environment = {
        "TIDEMILL_IMAGE": image,
        "TIDEMILL_PROCESS": f"container {name}",
        # Python cannot write next to its modules there. One cache per image: all files of an image share one mtime.
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
        *(word for path, inside in _sources(stage) for word in ("--volume", f"{path}:{inside}:ro")),
        *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
        *(word for variable in _key_variables(stage) for word in ("--env", variable)),
        *(word for variable in (report.FOLDER, report.LEVEL) if variable in os.environ for word in ("--env", variable)),
        *(("--device", "nvidia.com/gpu=all") if kind == "gpu" else ()),
        *os.environ.get("TIDEMILL_CONTAINER_OPTIONS", "").split(),
        *(image, stage),
    ]


def named_weights(stage: str) -> set[str]:
    """The weights (`weights:NAME`) that `stage` loads by params.yaml."""
    values = params.merged()
    return weights.named_in(
        [params.completed(values, name) for name in _entry(stage).get("models", ()) if name in values]
    )


def _mount_weights() -> tuple[str, ...]:
    """The host's weights, which are whole before the container starts: it fetches none, and writes none."""
    here = weights.cache() / weights.FOLDER
    return "--volume", f"{here}:{CACHE}/{weights.FOLDER}:ro", "--env", f"{weights.CACHE}={CACHE}"


def _sources(stage: str) -> list[tuple[Path, str]]:
    """What the stage reads outside the workspace, and where its parameters look for it in the container."""
    sections, here, found = params.merged(), Path.cwd(), dict[str, Path]()
    for source in (one for name in _entry(stage).get("sources", ()) for one in sections[name]["sources"]):
        word = str(source.get("path") or source.get("repository") or "")
        path = Path(os.path.normpath(here / Path(word).expanduser()))
        if path.exists() and not path.is_relative_to(here):
            found[os.path.normpath(Path("/workspace", re.sub("^~", HOME, word)))] = path.resolve()
    return [(path, inside) for inside, path in found.items()]


def _name(stage: str) -> str:
    return f"tidemill-{stage.replace('@', '-')}-{os.getpid()}"


def _is_rootless(engine: str) -> bool:
    return Path(engine).name == "podman" and os.getuid() != 0


def _stay(engine: str, words: list[str], name: str) -> int:
    """Run the engine in its own session, pass SIGINT and SIGTERM to its container, and return the exit status.

    Rootless podman (seen in 4.3.1) is two processes. At a signal the outer one ends with status 1, and the container,
    still saving, gets two more signals.
    """
    process = subprocess.Popen(words, start_new_session=True)

    def forward(number: int, _frame: FrameType | None) -> None:
        kill = [engine, "kill", "--signal", str(number), name]
        # Early on there is no container yet, and later none any more.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if subprocess.run(kill, capture_output=True, check=False, start_new_session=True).returncode == 0:
                return
            time.sleep(0.1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    return process.wait()


def find_engine() -> str:
    """The path of the container engine. Raises `BadInput` if there is none."""
    named = os.environ.get("ENGINE")
    for candidate in [named] if named else ["podman", "docker"]:
        if path := shutil.which(candidate):
            return path
    missing = f"ENGINE={named} is not installed" if named else "neither podman nor docker is installed"
    raise BadInput(f"EXECUTOR=container: {missing}; install one (`apt-get install podman`) or use EXECUTOR=local")


def image_kind(stage: str) -> str:
    """Which of KINDS runs `stage` here. Raises `BadInput` if params ask for a GPU that is not here."""
    kind = str(_entry(stage)["image"])
    if kind != "cpu or gpu":
        return kind
    name = stage.partition("@")[0]
    device = params.merged().get(name, {}).get("device", "auto")
    if device == "cpu" or (device == "auto" and not has_gpu()):
        return "cpu"
    if not has_gpu():
        raise BadInput(
            f"params.yaml: {name}.device is {device}, but containers here get no GPU (no CDI file in {CDI[0]}; "
            "`nvidia-ctk cdi generate` writes it); `EXECUTOR=kubernetes make` runs the stage on a cluster"
        )
    return "gpu"


def cluster_kind(stage: str, gpus: int, file: Path) -> str:
    """Which of KINDS runs `stage` on a cluster whose settings `file` give it `gpus`.

    Raises `BadInput` if params.yaml requires a GPU and `file` gives none.
    """
    kind, name = str(_entry(stage)["image"]), stage.partition("@")[0]
    if kind != "cpu or gpu":
        return kind
    device = params.merged().get(name, {}).get("device", "auto")
    if device not in ("auto", "cpu") and not gpus:
        raise BadInput(f"params.yaml: {name}.device is {device}; {file}: give resources.{name} a line `gpus: 1`")
    return "gpu" if gpus else "cpu"


def reference(stage: str, gpus: int, registry: str, file: Path) -> str:
    """The image for `stage` as a cluster pulls it: the locked digest, or a tag of `registry` if nothing is locked.

    Raises `BadInput` for a locked image that no registry has, and as `cluster_kind` does.
    """
    kind, lock = cluster_kind(stage, gpus, file), read_lock()
    if locked := lock["references"].get(kind):
        return str(locked)
    if lock[kind] != UNLOCKED:
        raise BadInput(f"{LOCK} locks {kind}, but no registry has it; run `make images-push REGISTRY=…`")
    return f"{registry.rstrip('/')}/tidemill-{kind}" if registry else f"tidemill-{kind}"


def check_split(stage: str, shards: int, nodes: int, file: Path) -> None:
    """Raise `BadInput` if settings `file` give `stage` several shards or nodes and it cannot use them, or both."""
    table, name = params.read(STAGES), stage.partition("@")[0]
    for count, what in (shards, "shards"), (nodes, "nodes"):
        if count > 1 and not table.get(name, {}).get(what):
            able = ", ".join(other for other, one in table.items() if one.get(what))
            raise BadInput(f"{file}: resources: {name} cannot use {count} {what}; only these can: {able}")
    if shards > 1 and nodes > 1:
        raise BadInput(f"{file}: resources: {name}: shards and nodes do not go together; remove one of them")


def asks_models(stage: str) -> bool:
    """Whether the answers that `stage` pays for are kept in the journal, which jobs share through the remote."""
    return bool(needs.entry(stage).get("journal"))


def has_gpu() -> bool:
    """Whether a CDI specification for an NVIDIA GPU is installed; engines need it to pass the GPU on."""
    return any(file.name.startswith("nvidia") for folder in CDI if folder.is_dir() for file in folder.iterdir())


def find_image(engine: str, kind: str) -> str:
    """The id of the local image of `kind`. Raises `BadInput` if it is missing or not the locked one."""
    locked = read_lock()[kind]
    found = inspect_id(engine, locked if locked != UNLOCKED else f"tidemill-{kind}")
    if found is None and locked == UNLOCKED:
        raise BadInput(f"this machine has no image tidemill-{kind}; `make images IMAGES={kind}` builds it")
    if found is None:
        reference = read_lock()["references"].get(kind)
        fetch = f"`{Path(engine).name} pull {reference}` fetches it" if reference else f"`make images IMAGES={kind}`"
        raise BadInput(
            f"{LOCK} locks {kind} to {locked}, which is not on this machine; {fetch}, or `make images-lock` locks the "
            "image that is here and makes its stages run again"
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
    """Inside an image: raise `BadInput` unless it is the locked one. Whoever started it sets TIDEMILL_IMAGE (the
    container executor an id, a Job a reference by digest); the image itself sets its kind."""
    kind = os.environ.get("TIDEMILL_IMAGE_KIND")
    if kind is None or not LOCK.is_file():
        return
    lock = read_lock()
    allowed = {lock.get(kind), lock["references"].get(kind)}
    running = os.environ.get("TIDEMILL_IMAGE", "an unknown image (TIDEMILL_IMAGE is not set)")
    if lock.get(kind) != UNLOCKED and running not in allowed:
        raise BadInput(
            f"this is {running}, but {LOCK} locks {kind} to {lock.get(kind)}; results must come from the locked image: "
            "run the stage in that one, or lock this one (`make images-lock`)"
        )


def read_lock() -> dict[str, Any]:
    """containers/images.lock.yaml. Raises `BadInput` for an entry that is neither `unlocked` nor an image id."""
    lock = params.read(LOCK)
    for kind in KINDS:
        value = lock.get(kind)
        if value != UNLOCKED and not (isinstance(value, str) and value.startswith("sha256:")):
            raise BadInput(f"{LOCK}: {kind} is {value!r}; use `unlocked` or an image id, sha256:…")
    return {"references": {}, **lock}


def _entry(stage: str) -> dict[str, Any]:
    entry = needs.entry(stage)
    if not entry:
        raise BadInput(f"{STAGES} does not say which image runs {stage.partition('@')[0]}; add a line for it")
    return entry


def _for_engine(engine: str, stage: str) -> list[str]:
    podman = Path(engine).name == "podman"
    options = ["--log-driver", "none"]
    if _is_rootless(engine):
        options += ["--userns", "keep-id"]
    if _entry(stage).get("sandbox"):  # it creates namespaces, each with its own /proc
        options += ["--security-opt", "unmask=ALL" if podman else "systempaths=unconfined"]
        options += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
        if os.getuid() == 0:  # as root, the sandbox switches to nobody and must be able to kill nobody's processes
            options += ["--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "KILL"]
    return options


def _key_variables(stage: str) -> list[str]:
    """The environment variables that the stage's section names for API keys; passed by name, never by value."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update(str(name) for key, name in value.items() if key.endswith("_key_env") and name)
            for inner in value.values():
                walk(inner)

    values = params.merged()
    name = stage.partition("@")[0]
    walk(params.completed(values, name) if name in values else {})
    return sorted(found & set(os.environ))
