"""The API server, through the official client: calls that are tried again, Jobs that are watched to their end.

Errors in plain words: no cluster, no permission (which verb on which resource), no such image, unschedulable.
"""

import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from k8s.kustomize import Manifest
from stages.lib.errors import BadInput

PATIENCE = 300.0  # seconds without an answer from the API server before we give up; the Job goes on without us
BUSY = {429, 500, 502, 503, 504}
FATAL_WAITING = {
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImagePullBackOff",
    "ErrImagePull",
    "CreateContainerConfigError",
}
LOST = (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)

log = logging.getLogger("tidemill.k8s")


@dataclass
class Outcome:
    """How a Job ended: the exit status of its last pod (0: succeeded), and why in words."""

    status: int
    reason: str = ""


@dataclass
class Cluster:
    """A namespace of the cluster that the kubeconfig names."""

    namespace: str
    patience: float = PATIENCE
    _said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connect()

    def _connect(self) -> None:
        try:
            # Read at every connection: the client library looks at KUBECONFIG only when it is imported.
            named = os.environ.get("KUBECONFIG")
            if named is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config()
            else:
                config.load_kube_config(config_file=named)
        except config.ConfigException as error:
            raise BadInput(f"no cluster: {error}; set KUBECONFIG, or run here with EXECUTOR=local") from None
        self.batch, self.core, self.networking = client.BatchV1Api(), client.CoreV1Api(), client.NetworkingV1Api()
        self._host = self.core.api_client.configuration.host

    def call(self, verb: str, resource: str, function: str, *arguments: Any, **more: Any) -> Any:
        """One API call by the client's method name, tried again while the server is busy or away.

        Raises `BadInput` where permission or the cluster is missing, `ApiException` for anything else it says.
        """
        give_up = time.monotonic() + self.patience
        renewed = False
        for attempt in range(1_000_000):
            api = self.batch if "job" in function else self.networking if "network" in function else self.core
            try:
                return getattr(api, function)(*arguments, _request_timeout=(10, 60), **more)
            except ApiException as error:
                if error.status == 401 and not renewed:  # an expired token: the kubeconfig may bring a new one
                    renewed = True
                    self._connect()
                    continue
                if error.status in (401, 403):
                    raise BadInput(_no_permission(verb, resource, self.namespace, error)) from None
                if error.status not in BUSY:
                    raise
                if time.monotonic() > give_up:
                    raise BadInput(f"no cluster: {self._host} answers {error.status} ({error.reason}) only") from None
                wait = float((error.headers or {}).get("Retry-After") or _pause(attempt))
            except LOST as error:
                if time.monotonic() > give_up:
                    raise BadInput(
                        f"no cluster: {self._host} does not answer ({type(error).__name__}); what runs there goes on, "
                        "and the same command attaches to it"
                    ) from None
                wait = _pause(attempt)
            time.sleep(min(wait, 30))
        raise AssertionError

    def create(self, manifest: Manifest) -> bool:
        """Create an object; False if one of that name is there (a lost answer may have been a yes)."""
        kind = re.sub(r"(?<!^)([A-Z])", r"_\1", manifest["kind"]).lower()
        arguments = (manifest,) if kind == "namespace" else (self.namespace, manifest)
        function = f"create_{kind}" if kind == "namespace" else f"create_namespaced_{kind}"
        try:
            self.call("create", f"{kind.replace('_', '')}s", function, *arguments)
        except ApiException as error:
            if error.status == 409:
                return False
            if error.status == 404:
                raise BadInput(f"there is no namespace {self.namespace}: `make k8s-setup` makes it") from None
            if error.status == 422:
                name = manifest["metadata"]["name"]
                raise BadInput(f"{manifest['kind']} {name} is not taken: {_message(error)}") from None
            raise
        return True

    def replace(self, manifest: Manifest) -> None:
        """Put a NetworkPolicy in the place of the one of its name."""
        name = manifest["metadata"]["name"]
        self.call("update", "networkpolicies", "replace_namespaced_network_policy", name, self.namespace, manifest)

    def job(self, name: str) -> Any:
        """The Job, or None."""
        return self._find("jobs", "read_namespaced_job", name)

    def jobs(self, selector: str) -> list[Any]:
        """The Jobs with these labels."""
        found = self.call("list", "jobs", "list_namespaced_job", self.namespace, label_selector=selector)
        return list(found.items)

    def pods(self, job: str) -> list[Any]:
        """A Job's pods, the oldest first."""
        selector = f"batch.kubernetes.io/job-name={job}"
        found = self.call("list", "pods", "list_namespaced_pod", self.namespace, label_selector=selector)
        return sorted(found.items, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name))

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods, and wait until both are gone."""
        try:
            self.call("delete", "jobs", "delete_namespaced_job", name, self.namespace, propagation_policy="Foreground")
        except ApiException as error:
            if error.status != 404:
                raise
        while self.job(name) is not None:
            time.sleep(0.5)

    def delete_needs(self, name: str, service: bool) -> None:
        """Delete a stage's workspace, its settings and, where it has one, its Service; they may be gone already."""
        kinds = [
            ("delete_namespaced_persistent_volume_claim", "persistentvolumeclaims"),
            ("delete_namespaced_config_map", "configmaps"),
        ]
        for function, resource in [*kinds, *([("delete_namespaced_service", "services")] if service else [])]:
            try:
                self.call("delete", resource, function, name, self.namespace)
            except ApiException as error:
                if error.status != 404:
                    raise

    def wait_for_volume(self, name: str) -> None:
        """Wait until a workspace that was deleted is gone: no pod could be given one that is on its way.

        Raises `BadInput` if it is still there after `patience` seconds.
        """
        until = time.monotonic() + self.patience
        while self._find("persistentvolumeclaims", "read_namespaced_persistent_volume_claim", name) is not None:
            if time.monotonic() > until:
                raise BadInput(
                    f"the volume {name} was deleted {self.patience:.0f} s ago and is still there; "
                    f"`kubectl --namespace {self.namespace} describe pvc {name}` names the pod that holds it"
                )
            time.sleep(0.5)

    def _find(self, resource: str, function: str, name: str) -> Any:
        """The object of that name, or None."""
        try:
            return self.call("get", resource, function, name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def follow(self, name: str, say: Callable[[str], None]) -> Outcome:
        """Watch the Job to its end, saying each pod's log lines and each change of state."""
        readers: dict[str, threading.Thread] = {}
        for _ in self._changes(name):
            job = self.job(name)
            if job is None:
                return Outcome(1, f"Job {name} was deleted while it was watched")
            pods = self.pods(name)
            if job.spec.suspend and self._said.get(name) != "suspended":
                self._said[name] = "suspended"
                queue = (job.metadata.labels or {}).get("kueue.x-k8s.io/queue-name", "?")
                say(f"{name}: suspended until Kueue's queue {queue} lets it start")
            if not pods and not job.spec.suspend:
                self._say_warnings(name, say)
            for pod in pods:
                self._look_at(pod, readers, say)
                if stuck := _stuck(pod):
                    self.delete_job(name)
                    return Outcome(3, stuck)
            if _state(job, "Complete") or _state(job, "Failed"):
                for reader in readers.values():
                    reader.join(timeout=30)
                return _outcome(job, pods)
        raise AssertionError

    def _say_warnings(self, name: str, say: Callable[[str], None]) -> None:
        """Why a Job has no pods: a quota, a ServiceAccount that is missing. Who may not read events goes without."""
        selector = f"involvedObject.name={name},type=Warning"
        with suppress(BadInput):
            found = self.call("list", "events", "list_namespaced_event", self.namespace, field_selector=selector)
            for words in dict.fromkeys(event.message or event.reason for event in found.items):
                if self._said.get(f"{name} {words}") is None:
                    self._said[f"{name} {words}"] = ""
                    missing = re.search("service ?account .*not found", words, re.IGNORECASE)
                    say(f"{name}: no pod: {words}{' (`make k8s-setup` makes it)' if missing else ''}")

    def _changes(self, name: str) -> Iterator[None]:
        """Returns on every change of the Job's pods, and at least every ten seconds; never ends by itself."""
        selector = f"batch.kubernetes.io/job-name={name}"
        version = None
        while True:
            yield
            try:
                stream = watch.Watch().stream(
                    self.core.list_namespaced_pod,
                    self.namespace,
                    label_selector=selector,
                    resource_version=version,
                    timeout_seconds=10,
                    _request_timeout=(10, 20),
                )
                for event in stream:
                    if event["type"] == "ERROR":
                        break
                    version = event["object"].metadata.resource_version
                    yield
            except ApiException as error:
                version = None  # 410: too old a version; whatever else it was, look again from now
                if error.status == 401:
                    self._connect()
                time.sleep(0.2 if error.status == 410 else 1)
            except LOST:
                version = None
                time.sleep(0.5)

    def _look_at(self, pod: Any, readers: dict[str, threading.Thread], say: Callable[[str], None]) -> None:
        name = pod.metadata.name
        words = describe(pod)
        if self._said.get(name) != words:
            self._said[name] = words
            say(f"{name}: {words}")
        if pod.status.phase != "Pending" and name not in readers:
            readers[name] = threading.Thread(target=self._read_log, args=(name, say), daemon=True)
            readers[name].start()

    def _read_log(self, pod: str, say: Callable[[str], None]) -> None:
        """A pod's log to its end; after a dropped stream on from the last line that arrived whole."""
        seen = 0
        for attempt in range(20):
            try:
                response = self.core.read_namespaced_pod_log(
                    pod,
                    self.namespace,
                    container="stage",
                    follow=True,
                    _preload_content=False,
                    _request_timeout=(10, 600),
                )
                lines = _whole_lines(response)
                for number, line in enumerate(lines):
                    if number >= seen:
                        seen = number + 1
                        attempt = 0
                        say(f"{pod} | {line}")
                return
            except (ApiException, *LOST) as error:
                if isinstance(error, ApiException) and error.status == 404:
                    return
                time.sleep(_pause(attempt))


def describe(pod: Any) -> str:
    """A pod's state in plain words."""
    restarts = sum(status.restart_count or 0 for status in pod.status.container_statuses or [])
    again = f", restarted {restarts} times" if restarts else ""
    for status in pod.status.container_statuses or []:
        if ended := status.state.terminated:
            why = ": out of memory (resources in k8s/params.yaml)" if ended.reason == "OOMKilled" else ""
            return f"ended with status {ended.exit_code}{why}{again}"
        if status.state.waiting and pod.status.phase == "Pending" and status.state.waiting.reason:
            return f"pending: {_waiting(status.state.waiting, status.image)}{again}"
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"pending: {unschedulable(condition.message or condition.reason or '')}"
        if condition.type == "DisruptionTarget" and condition.status == "True":
            why = f"{condition.reason}: {condition.message}" if condition.message else condition.reason
            return f"evicted ({why}): another pod takes over, at no cost"
    return {"Pending": "pending", "Running": "running", "Succeeded": "succeeded", "Failed": "failed"}.get(
        pod.status.phase, str(pod.status.phase)
    ) + again


def unschedulable(message: str) -> str:
    """The scheduler's message in plain words: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."."""
    total = re.match(r"0/(\d+) nodes are available", message)
    if not total:
        return message
    of = total[1]
    reasons = []
    for lacking in re.findall(r"\d+ Insufficient ([\w./-]+?)[,.](?:\s|$)", message):
        reasons.append(f"0 of {of} nodes have a free {lacking}" if "/" in lacking else f"too little free {lacking}")
    for count, taint in re.findall(r"(\d+) node\(s\) had untolerated taint \{([^}:]+)", message):
        reasons.append(f"{count} of {of} nodes are kept for {taint.strip()} (cluster.tolerations in k8s/params.yaml)")
    for count in re.findall(r"(\d+) node\(s\) didn't match Pod's node affinity/selector", message):
        reasons.append(f"{count} of {of} nodes have not the labels that cluster.node_selector asks for")
    if "unbound immediate PersistentVolumeClaims" in message:
        reasons.append(
            "no volume is offered for its workspace (storage_class, or shared_storage_class, in k8s/params.yaml)"
        )
    return "; ".join(reasons) or message


def _waiting(waiting: Any, image: str) -> str:
    if waiting.reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        advice = "" if "/" in image else "; `make images-push REGISTRY=…`, or load it into every node"
        return f"no such image: {image} cannot be pulled ({waiting.message or waiting.reason}){advice}"
    if waiting.reason == "CreateContainerConfigError":
        return f"a Secret or ConfigMap is missing: {waiting.message}"
    return str(waiting.reason)


def _stuck(pod: Any) -> str:
    """Why the pod will never start, or "". ErrImagePull alone may be a passing fault of the registry."""
    for status in pod.status.container_statuses or []:
        waiting = status.state.waiting
        if waiting and waiting.reason in FATAL_WAITING - {"ErrImagePull"}:
            return f"{pod.metadata.name}: {_waiting(waiting, status.image)}"
    return ""


def _state(job: Any, kind: str) -> Any:
    conditions = job.status.conditions or []
    return next((found for found in conditions if found.type == kind and found.status == "True"), None)


def _outcome(job: Any, pods: list[Any]) -> Outcome:
    if _state(job, "Complete"):
        return Outcome(0)
    failed = _state(job, "Failed")
    codes = [
        status.state.terminated.exit_code
        for pod in pods
        for status in pod.status.container_statuses or []
        if status.state.terminated
    ]
    reason = f"{failed.reason}: {failed.message}"
    if failed.reason == "DeadlineExceeded":
        reason += " (cluster.deadline in k8s/params.yaml)"
    failures = [code for code in codes if code]
    # Of several pods one may have ended the Job, and the others with it.
    return Outcome(3 if 3 in failures else failures[-1] if failures else 1, reason)


def finished(job: Any) -> str:
    """ "Complete", "Failed" or ""."""
    return "Complete" if _state(job, "Complete") else "Failed" if _state(job, "Failed") else ""


def _whole_lines(response: Any) -> Iterator[str]:
    """Lines that end; a last half line is given too, once the stream has ended properly."""
    rest = b""
    for piece in response.stream(4096):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _pause(attempt: int) -> float:
    return min(0.2 * 2 ** min(attempt, 6), 10) * random.uniform(0.5, 1)


def _message(error: ApiException) -> str:
    """What the API server says of an error, in its own words."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _no_permission(verb: str, resource: str, namespace: str, error: ApiException) -> str:
    if error.status == 401:
        return "no permission: the API server does not know you (401); log in to the cluster again"
    if "exceeded quota" in (said := _message(error)) or "violates PodSecurity" in said:
        return f"the cluster refuses: {said}"
    return (
        f"no permission: you may not {verb} {resource} in namespace {namespace} "
        f"(`kubectl auth can-i {verb} {resource} -n {namespace}`); ask for a role that may"
    )
