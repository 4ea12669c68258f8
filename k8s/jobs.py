"""A stage as Kubernetes objects: which Jobs, in which order, under names made of what goes into the stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from k8s import kustomize
from k8s.kustomize import Manifest
from stages.lib import container, params
from stages.lib.artifacts import canonical, digest
from stages.lib.errors import BadInput

FOLDER = Path("k8s")
FILE = FOLDER / "params.yaml"
APP = {"app.kubernetes.io/name": "tidemill"}
STAGE_LABEL, KEY_LABEL = "tidemill/stage", "tidemill/key"


class Resources(params.Section):
    """What a stage asks of a node."""

    cpu: str
    memory: str
    gpus: int = Field(default=0, ge=0)


class Settings(params.Section):
    """The section `cluster` of k8s/params.yaml."""

    namespace: str
    repository: str
    remote: str
    secret: str
    registry: str
    storage: str
    storage_class: str
    grace: int = Field(ge=1)
    deadline: int = Field(ge=1)
    retries: int = Field(ge=0)
    keep: int = Field(ge=60)
    priority_class: str
    queue: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    resources: dict[str, Resources]

    def of(self, stage: str) -> Resources:
        """The resources of `stage` (NAME or NAME@KEY)."""
        return self.resources.get(stage.partition("@")[0], self.resources["default"])


@dataclass(frozen=True)
class Plan:
    """One stage to be run: `inputs` is all that its result depends on; `lock` the sha256 of dvc.lock on the remote."""

    stage: str
    inputs: dict[str, Any]
    commit: str
    lock: str
    remote: dict[str, str]

    @property
    def key(self) -> str:
        """The same for everybody who would run the same stage on the same inputs."""
        return digest({"stage": self.stage, "inputs": self.inputs})[:16]

    @property
    def name(self) -> str:
        """The name of its Jobs, its volume and its settings."""
        return f"tidemill-{self.stage.replace('@', '-')}-{self.key}"


def load_settings() -> Settings:
    """k8s/params.yaml. Raises `BadInput` for an unknown key or a value of the wrong type."""
    return params.load("cluster", Settings, FILE)


def render(plan: Plan, settings: Settings) -> tuple[list[Manifest], list[Manifest]]:
    """What the Jobs of a stage need (settings, program, volume), and the Jobs, to be run one after the other."""
    isolated = not params.read(container.STAGES).get(plan.stage.partition("@")[0], {}).get("network", True)
    needs, job = _base(settings.of(plan.stage).gpus > 0, isolated)
    program = next(need for need in needs if need["metadata"]["name"] == "tidemill-pod")
    pod_name = f"tidemill-pod-{digest(program['data'])[:16]}"
    volume = next(need for need in needs if need["kind"] == "PersistentVolumeClaim")
    objects = [
        _config_map(pod_name, program["data"], settings, APP),
        _config_map(plan.name, _told(plan), settings, _labels(plan)),
        _volume(volume, plan, settings),
    ]
    phases = [["fetch"], ["run"], ["deliver"]] if isolated else [["fetch", "run", "deliver"]]
    jobs = [_job(job, plan, settings, pod_name, phase, isolated) for phase in phases]
    return objects, jobs


def static(settings: Settings) -> list[Manifest]:
    """What a namespace needs once: itself, the account, the network policies."""
    kinds = {"Namespace", "ServiceAccount", "NetworkPolicy"}
    found = [manifest for manifest in kustomize.build(FOLDER / "base") if manifest["kind"] in kinds]
    for manifest in found:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = settings.namespace
        else:
            manifest["metadata"]["namespace"] = settings.namespace
    return found


def image(stage: str, settings: Settings) -> str:
    """The image that a Job of `stage` names: the locked digest, or a tag where nothing is locked.

    Raises `BadInput` for a locked image that no registry has, a GPU that params ask for and k8s/params.yaml does
    not give.
    """
    name = stage.partition("@")[0]
    entry = params.read(container.STAGES).get(name)
    if not entry:
        raise BadInput(f"{container.STAGES} does not say which image runs {name}; add a line for it")
    kind = entry["image"]
    gpus = settings.of(stage).gpus
    if kind == "cpu or gpu":
        device = params.read().get(name, {}).get("device", "auto")
        if device not in ("auto", "cpu") and not gpus:
            raise BadInput(f"params.yaml: {name}.device is {device}; {FILE}: give resources.{name} a line `gpus: 1`")
        kind = "gpu" if gpus else "cpu"
    lock = container.read_lock()
    if reference := lock["references"].get(kind):
        return str(reference)
    if lock[kind] != container.UNLOCKED:
        raise BadInput(f"{container.LOCK} locks {kind}, and no registry has it: `make images-push REGISTRY=…`")
    return f"{settings.registry.rstrip('/')}/tidemill-{kind}" if settings.registry else f"tidemill-{kind}"


def _base(gpu: bool, isolated: bool) -> tuple[list[Manifest], Manifest]:
    """The kustomized manifests: GPU nodes are an overlay; so is a pod without a network, for the run alone."""
    manifests = kustomize.build(FOLDER / ("overlays/gpu" if gpu else "base"))
    job = next(manifest for manifest in manifests if manifest["kind"] == "Job")
    return [manifest for manifest in manifests if manifest is not job], job


def _job(base: Manifest, plan: Plan, settings: Settings, program: str, phases: list[str], isolated: bool) -> Manifest:
    name = f"{plan.name}-{phases[0]}" if isolated else plan.name
    job = kustomize.merge(base, _patch(plan, settings, program, name))
    if isolated and phases == ["run"]:
        (patch,) = kustomize.read(FOLDER / "overlays/isolated/job.yaml")
        job = kustomize.merge(job, {"spec": {"template": {"metadata": patch["spec"]["template"]["metadata"]}}})
    if settings.queue:
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = settings.queue
        job["spec"]["suspend"] = True
    pod = job["spec"]["template"]["spec"]
    pod["nodeSelector"] = {**pod.get("nodeSelector", {}), **settings.node_selector}
    pod["tolerations"] = [*pod.get("tolerations", []), *settings.tolerations]
    if settings.priority_class:
        pod["priorityClassName"] = settings.priority_class
    pod["containers"][0]["args"] = phases
    if settings.secret and phases != ["run"]:
        pod["containers"][0]["envFrom"].append({"secretRef": {"name": settings.secret}})
    return dict(job)


def _patch(plan: Plan, settings: Settings, program: str, name: str) -> dict[str, Any]:
    wanted = settings.of(plan.stage)
    reference = image(plan.stage, settings)
    limits = {"memory": wanted.memory} | ({"nvidia.com/gpu": str(wanted.gpus)} if wanted.gpus else {})
    stage = {
        "name": "stage",
        "image": reference,
        "envFrom": [{"configMapRef": {"name": plan.name}}],
        "env": [{"name": "TIDEMILL_IMAGE", "value": reference}],
        "resources": {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": limits},
    }
    volumes = [
        {"name": "workspace", "persistentVolumeClaim": {"claimName": plan.name}},
        {"name": "pod", "configMap": {"name": program}},
    ]
    return {
        "metadata": {"name": name, "namespace": settings.namespace, "labels": _labels(plan)},
        "spec": {
            "backoffLimit": settings.retries,
            "activeDeadlineSeconds": settings.deadline,
            "ttlSecondsAfterFinished": settings.keep,
            "template": {
                "metadata": {"labels": _labels(plan)},
                "spec": {
                    "terminationGracePeriodSeconds": settings.grace,
                    "containers": [stage],
                    "volumes": volumes,
                },
            },
        },
    }


def _told(plan: Plan) -> dict[str, str]:
    return {
        "STAGE": plan.stage,
        "KEY": plan.key,
        "COMMIT": plan.commit,
        "REPOSITORY": load_settings().repository,
        "LOCK": plan.lock,
        "REMOTE": canonical(plan.remote),
    }


def _labels(plan: Plan) -> dict[str, str]:
    return {**APP, STAGE_LABEL: plan.stage.replace("@", "-"), KEY_LABEL: plan.key}


def _volume(base: Manifest, plan: Plan, settings: Settings) -> Manifest:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": settings.storage}}}
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    metadata = {"name": plan.name, "namespace": settings.namespace, "labels": _labels(plan)}
    return dict(kustomize.merge(base, {"metadata": metadata, "spec": spec}))


def _config_map(name: str, data: dict[str, str], settings: Settings, labels: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": settings.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
