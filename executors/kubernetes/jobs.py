"""A stage as Kubernetes objects: which Jobs, in which order, named after the stage's inputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from executors import container, needs
from executors.kubernetes import kustomize
from executors.kubernetes.kustomize import Manifest
from executors.walk import Plan, word
from stages.lib import params
from stages.lib.artifacts import canonical, digest

FOLDER = Path("k8s")
FILE = FOLDER / "params.yaml"
APP = {"app.kubernetes.io/name": "tidemill"}
STAGE_LABEL, KEY_LABEL = "tidemill/stage", "tidemill/key"


class Resources(params.Section):
    """What a stage's pod requests from a node, and how many pods work on the stage at once."""

    cpu: str
    memory: str
    gpus: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)


class Settings(params.Section):
    """The section `cluster` of k8s/params.yaml."""

    namespace: str
    repository: str
    remote: str
    endpoint: str
    secret: str
    registry: str
    pull_secret: str
    storage: str
    storage_class: str
    shared_storage_class: str
    grace: int = Field(ge=1)
    deadline: int = Field(ge=1)
    retries: int = Field(ge=0)
    keep: int = Field(ge=60)
    priority_class: str
    runtime_class: str
    queue: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    resources: dict[str, Resources]

    def of(self, stage: str) -> Resources:
        """The resources of `stage` (NAME or NAME@KEY)."""
        return self.resources.get(stage.partition("@")[0], self.resources["default"])


def load_settings() -> Settings:
    """k8s/params.yaml. Raises `BadInput` for an unknown key or a value of the wrong type."""
    return params.load("cluster", Settings, FILE)


@dataclass(frozen=True)
class Step:
    """One Job of a stage: its name's suffix ("" for none), and its pods' phases (k8s/base/pod.py).

    `shards` and `nodes` are 0 if its pods are neither; `offline` pods have no network and no Secret. Pods that fetch
    and then work alone have their own temporary workspace; the others share the stage's.
    """

    ending: str
    phases: tuple[str, ...]
    shards: int = 0
    nodes: int = 0
    offline: bool = False

    @property
    def alone(self) -> bool:
        """Whether each pod has its own workspace."""
        return "fetch" in self.phases and ("take" in self.phases or self.shards > 0)


def steps(stage: str, wanted: Resources) -> list[Step]:
    """The Jobs of a stage, in order.

    Raises `BadInput` for shards or nodes of a stage that does not support them.
    """
    container.check_split(stage, wanted.shards, wanted.nodes, FILE)
    offline = bool(needs.entry(stage).get("isolated"))
    shards = wanted.shards if wanted.shards > 1 else 0
    nodes = wanted.nodes if wanted.nodes > 1 else 0
    if not offline and not nodes:
        whole = Step("", ("fetch", "run", "deliver"))
        return [Step("-shards", ("fetch", "shard"), shards=shards), whole] if shards else [whole]
    shared = [Step("-shards", ("shard",), shards=shards, offline=offline)] if shards else []
    run = Step("-run", ("run",), nodes=nodes, offline=offline)
    return [Step("-fetch", ("fetch",)), *shared, run, Step("-deliver", ("fetch", "take", "deliver"))]


def render(plan: Plan, settings: Settings) -> tuple[list[Manifest], list[Manifest]]:
    """What a stage's Jobs need (settings, program, volume), and the Jobs, to run in this order."""
    wanted = settings.of(plan.stage)
    manifests = kustomize.build(FOLDER / ("overlays/gpu" if wanted.gpus else "base"))
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    program = by_name["ConfigMap", "tidemill-pod"]["data"]
    pod_name = f"tidemill-pod-{digest(program)[:16]}"
    planned = steps(plan.stage, wanted)
    shared = any(step.nodes or (step.shards and not step.alone) for step in planned)
    objects = [
        _config_map(pod_name, program, settings, APP),
        _config_map(plan.name, _told(plan), settings, _labels(plan)),
        _volume(by_name["PersistentVolumeClaim", "tidemill-scratch"], plan, settings, shared),
    ]
    if any(step.nodes for step in planned):
        objects.append(_names(plan, settings))
    return objects, [_job(by_name["Job", "tidemill-stage"], plan, settings, pod_name, step) for step in planned]


def static(settings: Settings) -> list[Manifest]:
    """The namespace, the account and the network policies, needed once."""
    found = kustomize.build(FOLDER / "setup")
    for manifest in found:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = settings.namespace
        else:
            manifest["metadata"]["namespace"] = settings.namespace
    return found


def image(stage: str, settings: Settings) -> str:
    """The image for `stage`'s Jobs. Raises `BadInput` as `container.reference` does."""
    return container.reference(stage, settings.of(stage).gpus, settings.registry, FILE)


def _job(base: Manifest, plan: Plan, settings: Settings, program: str, step: Step) -> Manifest:
    job = base
    overlays = {
        "indexed": step.shards,
        "nodes": step.nodes,
        "isolated": step.offline,
        "handover": "take" in step.phases,
    }
    for overlay, wanted in overlays.items():
        if wanted:
            (patch,) = kustomize.read(FOLDER / "overlays" / overlay / "job.yaml")
            job = kustomize.merge(job, patch)
    job = kustomize.merge(job, _patch(plan, settings, program, step))
    job = kustomize.merge(job, _several(plan, settings, step))
    if settings.queue:
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = settings.queue
        job["spec"]["suspend"] = True
    pod = job["spec"]["template"]["spec"]
    pod["nodeSelector"] = {**pod.get("nodeSelector", {}), **settings.node_selector}
    pod["tolerations"] = [*pod.get("tolerations", []), *settings.tolerations]
    if settings.priority_class:
        pod["priorityClassName"] = settings.priority_class
    if settings.runtime_class and settings.of(plan.stage).gpus:
        pod["runtimeClassName"] = settings.runtime_class
    if settings.pull_secret:
        pod["imagePullSecrets"] = [{"name": settings.pull_secret}]
    if settings.secret and not step.offline:
        pod["containers"][0]["envFrom"].append({"secretRef": {"name": settings.secret}})
    return dict(job)


def _several(plan: Plan, settings: Settings, step: Step) -> dict[str, Any]:
    """An Indexed Job's settings: number of pods, allowed failures, and how pods find each other."""
    pods = step.shards or step.nodes
    if not pods:
        return {}
    spec = {"completions": pods, "parallelism": pods, "backoffLimit": settings.retries * pods}
    if step.shards:
        container = {"name": "stage", "env": [{"name": "SHARDS", "value": str(pods)}]}
        return {
            "spec": {
                **spec,
                "backoffLimitPerIndex": settings.retries,
                "template": {"spec": {"containers": [container]}},
            }
        }
    first = f"{plan.name}{step.ending}-0.{plan.name}"
    env = [{"name": "PET_NNODES", "value": str(pods)}, {"name": "PET_MASTER_ADDR", "value": first}]
    containers = [{"name": "stage", "env": env}]
    return {"spec": {**spec, "template": {"spec": {"subdomain": plan.name, "containers": containers}}}}


def _names(plan: Plan, settings: Settings) -> Manifest:
    """The headless Service through which the pods of a multi-node run find the first one."""
    (service,) = kustomize.read(FOLDER / "overlays/nodes/service.yaml")
    metadata = {"name": plan.name, "namespace": settings.namespace, "labels": _labels(plan)}
    return dict(kustomize.merge(service, {"metadata": metadata, "spec": {"selector": {KEY_LABEL: plan.key}}}))


def _patch(plan: Plan, settings: Settings, program: str, step: Step) -> dict[str, Any]:
    wanted = settings.of(plan.stage)
    reference = image(plan.stage, settings)
    limits = {"memory": wanted.memory} | ({"nvidia.com/gpu": str(wanted.gpus)} if wanted.gpus else {})
    stage = {
        "name": "stage",
        "image": reference,
        "imagePullPolicy": _pull(reference),
        "args": list(step.phases),
        "envFrom": [{"configMapRef": {"name": plan.name}}],
        "env": [{"name": "TIDEMILL_IMAGE", "value": reference}],
        "resources": {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": limits},
    }
    workspace: dict[str, Any] = {"persistentVolumeClaim": {"claimName": plan.name}, "ephemeral": None}
    if step.alone:
        claim = {"accessModes": ["ReadWriteOnce"], **_storage(settings, settings.storage_class)}
        workspace = {"persistentVolumeClaim": None, "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
    volumes = [
        {"name": "workspace", **workspace},
        {"name": "pod", "configMap": {"name": program}},
    ]
    if "take" in step.phases:
        volumes.append({"name": "handover", "persistentVolumeClaim": {"claimName": plan.name, "readOnly": True}})
    return {
        "metadata": {"name": f"{plan.name}{step.ending}", "namespace": settings.namespace, "labels": _labels(plan)},
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


def _pull(reference: str) -> str:
    """The pull policy: a digest cannot change; a tag may have moved; a bare name, or podman's `localhost/`, is in no
    registry, only on the nodes."""
    if "@sha256:" in reference:
        return "IfNotPresent"
    return "Always" if "/" in reference and not reference.startswith("localhost/") else "Never"


def _told(plan: Plan) -> dict[str, str]:
    return {
        "STAGE": plan.stage,
        "KEY": plan.key,
        "COMMIT": plan.commit,
        "REPOSITORY": load_settings().repository,
        "LOCK": plan.lock,
        "REMOTE": canonical(plan.remote),
        "JOURNAL": "shared" if container.asks_models(plan.stage) else "",
    }


def _labels(plan: Plan) -> dict[str, str]:
    return {**APP, STAGE_LABEL: word(plan.stage), KEY_LABEL: plan.key}


def _volume(base: Manifest, plan: Plan, settings: Settings, shared: bool) -> Manifest:
    spec = _storage(settings, settings.shared_storage_class if shared else settings.storage_class)
    if shared:
        spec["accessModes"] = ["ReadWriteMany"]
    metadata = {"name": plan.name, "namespace": settings.namespace, "labels": _labels(plan)}
    return dict(kustomize.merge(base, {"metadata": metadata, "spec": spec}))


def _storage(settings: Settings, storage_class: str) -> dict[str, Any]:
    of_class = {"storageClassName": storage_class} if storage_class else {}
    return {"resources": {"requests": {"storage": settings.storage}}, **of_class}


def _config_map(name: str, data: dict[str, str], settings: Settings, labels: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": settings.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
