"""A stage as jobs of Slurm: which parts, in which order, each the script that `sbatch` reads, named after the stage's
inputs."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from executors import container
from executors.walk import Plan
from stages.lib import params
from stages.lib.artifacts import canonical
from stages.lib.models import weights

FILE, SCRIPT = Path("slurm/params.yaml"), Path("slurm/job.sh")
PROGRAM = Path("k8s/base/pod.py")  # what a job runs, as a pod does
PORTION = r"\d+[KMGT]?"


class Resources(params.Section):
    """What a stage's job requests of each node, and how many work on the stage at once."""

    cpus: int = Field(ge=1)
    memory: str = Field(pattern=f"^{PORTION}$")
    gpus: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    partition: str = ""
    time: str = ""
    options: list[str] = Field(default=[])


class Settings(params.Section):
    """The section `cluster` of slurm/params.yaml."""

    folder: str = Field(min_length=1)
    repository: str
    remote: str
    endpoint: str
    container: Literal["", "apptainer", "podman"]
    registry: str
    mounts: list[str]
    modules: list[str]
    python: str
    partition: str
    account: str
    qos: str
    time: str
    options: list[str]
    grace: int = Field(ge=1)
    retries: int = Field(ge=0)
    poll: float = Field(gt=0)
    resources: dict[str, Resources]

    def of(self, stage: str) -> Resources:
        """The resources of `stage` (NAME or NAME@KEY)."""
        return self.resources.get(stage.partition("@")[0], self.resources["default"])

    def place(self, plan: Plan) -> Path:
        """The folder of a stage's workspace, scripts and logs."""
        return Path(self.folder).expanduser().absolute() / plan.name


def load_settings() -> Settings:
    """slurm/params.yaml. Raises `BadInput` for an unknown key or a value of the wrong type."""
    return params.load("cluster", Settings, FILE)


@dataclass(frozen=True)
class Part:
    """One job of a stage, or an array of `shards` jobs: what it is called, and its phases (k8s/base/pod.py)."""

    word: str
    phases: tuple[str, ...]
    shards: int = 0
    nodes: int = 1

    def name(self, plan: Plan) -> str:
        """The job's name, the same for everyone who runs the same stage on the same inputs."""
        return plan.name if self.word == "stage" else f"{plan.name}-{self.word}"


def parts(stage: str, wanted: Resources) -> list[Part]:
    """The jobs of a stage, in order; they share its workspace.

    Raises `BadInput` for shards or nodes of a stage that does not support them.
    """
    container.check_split(stage, wanted.shards, wanted.nodes, FILE)
    if wanted.shards > 1:
        shards = Part("shards", ("shard",), shards=wanted.shards)
        return [Part("fetch", ("fetch",)), shards, Part("stage", ("run", "deliver"))]
    return [Part("stage", ("fetch", "run", "deliver"), nodes=wanted.nodes)]


def image(stage: str, settings: Settings) -> str:
    """The image for `stage`'s jobs, "" if they run in an environment of the nodes. Raises `BadInput` as
    `container.reference` does."""
    gpus = settings.of(stage).gpus
    if not settings.container:
        container.cluster_kind(stage, gpus, FILE)
        return ""
    if settings.container == "apptainer" and settings.registry.startswith("/"):
        return f"{settings.registry.rstrip('/')}/tidemill-{container.cluster_kind(stage, gpus, FILE)}.sif"
    found = container.reference(stage, gpus, settings.registry, FILE)
    return f"docker://{found}" if settings.container == "apptainer" else found


def render(plan: Plan, part: Part, settings: Settings) -> str:
    """The script that `sbatch` reads."""
    shell = "#!/bin/bash -l" if settings.modules else "#!/bin/bash"  # a login shell has `module`
    options = [f"#SBATCH {option}" for option in _options(plan, part, settings)]
    told = [f"export {name}={shlex.quote(value)}" for name, value in _told(plan, part, settings).items()]
    lists = {"PHASES": list(part.phases), "MODULES": settings.modules, "ENTER": _enter(plan, part, settings)}
    arrays = [f"{name}=({shlex.join(words)})" for name, words in lists.items()]
    return "\n".join([shell, *options, *told, *arrays, SCRIPT.read_text()])


def _options(plan: Plan, part: Part, settings: Settings) -> list[str]:
    wanted, place = settings.of(plan.stage), settings.place(plan)
    named = {
        "job-name": part.name(plan),
        "chdir": str(place),
        "output": str(place / f"{part.word}.{'%A_%a' if part.shards else '%j'}.log"),
        "open-mode": "append",  # a job that is requeued goes on in its log
        "signal": f"B:USR1@{settings.grace}",
        "kill-on-invalid-dep": "yes",
        "array": f"0-{part.shards - 1}" if part.shards else "",
        "nodes": str(part.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(wanted.cpus),
        "mem": wanted.memory,
        "gres": f"gpu:{wanted.gpus}" if wanted.gpus and part.word != "fetch" else "",
        "partition": wanted.partition or settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": wanted.time or settings.time,
    }
    return [
        "--requeue",
        *(f"--{name}={value}" for name, value in named.items() if value),
        *settings.options,
        *wanted.options,
    ]


def _told(plan: Plan, part: Part, settings: Settings) -> dict[str, str]:
    place = settings.place(plan)
    told = {
        "STAGE": plan.stage,
        "KEY": plan.key,
        "COMMIT": plan.commit,
        "REPOSITORY": settings.repository,
        "LOCK": plan.lock,
        "REMOTE": canonical(plan.remote),
        "JOURNAL": "shared" if container.asks_models(plan.stage) else "",
        "SIGNALS": "everybody",
        "WORKSPACE": str(place / "workspace"),
        "FOLDER": str(place),
        "NAME": part.name(plan),
        "PART": part.word,
        "NODES": str(part.nodes),
        "RETRIES": str(settings.retries),
        "CONTAINER": settings.container,
        weights.CACHE: str(weights.cache().absolute()),
    }
    if part.shards:
        told["SHARDS"] = str(part.shards)
    if settings.container:
        return {**told, "PYTHON": "python3", "TIDEMILL_IMAGE": image(plan.stage, settings).removeprefix("docker://")}
    python = settings.python or sys.executable
    return {**told, "PYTHON": python, "TIDEMILL_PYTHON": python}


def _enter(plan: Plan, part: Part, settings: Settings) -> list[str]:
    """The words before a command that runs in the stage's image."""
    if not settings.container:
        return []
    seen = [str(settings.place(plan)), str(weights.cache().absolute()), *settings.mounts]
    if plan.remote.get("url", "").startswith("/"):
        seen.append(plan.remote["url"])
    gpu = settings.of(plan.stage).gpus > 0
    reference = image(plan.stage, settings)
    if settings.container == "apptainer":
        binds = [word for path in seen for word in ("--bind", path)]
        return ["apptainer", "exec", *(["--nv"] if gpu else []), *binds, reference]
    volumes = [word for path in seen for word in ("--volume", f"{path}:{path}")]
    device = ["--device", "nvidia.com/gpu=all"] if gpu else []
    named = ["--rm", "--replace", "--env-host", "--network", "host"]
    return ["podman", "run", *named, *volumes, *device, reference]
