"""Talks to the API server through the official client: retries calls and watches Jobs to their end.

Turns errors into plain words: no cluster, no permission (which verb on which resource), no such image, unschedulable.
"""

import json
import logging
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from executors.kubernetes.kustomize import Manifest
from stages.lib.errors import BAD_INPUT, PREEMPTED, BadInput

PATIENCE = 300.0  # seconds without an answer from the API server before we give up; the Job continues without us
LATE_LOGS = 60.0  # seconds that all logs together get to arrive after their Job's end
SILENCE = 30.0  # seconds without a pod or an event before we report a Job
BUSY = {429, 500, 502, 503, 504}
NO_IMAGE = {"ErrImageNeverPull", "InvalidImageName", "ErrImagePull", "ImagePullBackOff"}
# Permanent errors of a registry or kubelet; others (a timeout, too many requests) may pass. Image errors come twice, as
# ErrImagePull and then as ImagePullBackOff.
HOPELESS = re.compile(
    r"ErrImageNeverPull|InvalidImageName|ImagePullBackOff.*(not ?found|unknown|denied|unauthori|forbidden|no match for "
    r'platform|no such host)|CreateContainerConfigError (secret "[^"]*" not found|couldn.t find key|.*runAsNonRoot)',
    re.IGNORECASE | re.DOTALL,
)
# kubelet's pkg/kubelet/kuberuntime/logs: RFC 3339 with nanoseconds, then the line
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) (.*)", re.DOTALL)
NO_LOG = "unable to retrieve container logs"  # the kubelet's text instead of a log, when the container is gone
LOST = (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)

log = logging.getLogger("tidemill.k8s")


@dataclass
class Outcome:
    """How a Job ended: its last pod's exit status (0: succeeded) and the reason."""

    status: int
    reason: str = ""


@dataclass
class Followed:
    """A Job's pods: the threads that read their logs, which pods have ended, and whether all have."""

    readers: dict[str, threading.Thread] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    over: bool = False
    _speaking: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def speak(self, say: Callable[[str], None], words: str) -> None:
        """`say` the words of a reader, unless `close` was called."""
        with self._speaking:
            if not self._closed:
                say(words)

    def close(self, wait: float) -> None:
        """Give the readers `wait` seconds, all together, then silence them: a thread that prints while the interpreter
        ends aborts the process."""
        deadline = time.monotonic() + wait
        for reader in self.readers.values():
            reader.join(timeout=max(0.0, deadline - time.monotonic()))
        with self._speaking:
            self._closed = True


@dataclass
class Cluster:
    """A namespace of the cluster that the kubeconfig names."""

    namespace: str
    patience: float = PATIENCE
    _said: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)  # since when a pod or Job has been waiting

    def __post_init__(self) -> None:
        self._connect()

    def _connect(self) -> None:
        try:
            # Pass KUBECONFIG explicitly: the client library reads it only on import.
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
        """One API call by the client's method name, retried while the server is busy or unreachable.

        Raises `BadInput` without permission or a cluster, `ApiException` for any other error.
        """
        give_up = time.monotonic() + self.patience
        renewed = False
        for attempt in range(1_000_000):
            api = self.batch if "job" in function else self.networking if "network" in function else self.core
            try:
                return getattr(api, function)(*arguments, _request_timeout=(10, 60), **more)
            except ApiException as error:
                if error.status == 401 and not renewed:  # an expired token; the kubeconfig may have a new one
                    renewed = True
                    self._connect()
                    continue
                if error.status in (401, 403):
                    raise BadInput(_no_permission(verb, resource, self.namespace, error)) from None
                if error.status not in BUSY:
                    raise
                if time.monotonic() > give_up:
                    raise BadInput(
                        f"no cluster: {self._host} keeps answering {error.status} ({_message(error)})"
                    ) from None
                wait = float((error.headers or {}).get("Retry-After") or _pause(attempt))
            except LOST as error:
                if time.monotonic() > give_up:
                    raise BadInput(
                        f"no cluster: {self._host} does not answer ({type(error).__name__}); running Jobs go on, and "
                        "the same command attaches to them"
                    ) from None
                wait = _pause(attempt)
            time.sleep(min(wait, 30))
        raise AssertionError

    def create(self, manifest: Manifest) -> bool:
        """Create an object; False if one of that name exists (the answer to an earlier try may have been lost).

        Waits for one that is being deleted; `BadInput` if it still exists after `patience` seconds.
        """
        kind = re.sub(r"(?<!^)([A-Z])", r"_\1", manifest["kind"]).lower()
        arguments = (manifest,) if kind == "namespace" else (self.namespace, manifest)
        function = f"create_{kind}" if kind == "namespace" else f"create_namespaced_{kind}"
        name, until = manifest["metadata"]["name"], time.monotonic() + self.patience
        while True:
            try:
                self.call("create", f"{kind.replace('_', '')}s", function, *arguments)
                return True
            except ApiException as error:
                said = _message(error)
                if error.status == 409 and "already exists" in said and "being deleted" not in said:
                    return False
                if error.status == 404:
                    raise BadInput(f"there is no namespace {self.namespace}; `make k8s-setup` creates it") from None
                if error.status in (400, 422):
                    raise BadInput(f"the cluster rejects {manifest['kind']} {name}: {said}") from None
                if error.status != 409:
                    raise
                # Being deleted; or two requests raced for one quota, and this one lost.
                if time.monotonic() > until:
                    raise self._still_there(kind.replace("_", ""), name, self.patience) from None
                time.sleep(0.5)

    def provide(self, manifest: Manifest) -> None:
        """Create an object, or hand an existing one to the owner in `manifest`: an earlier Job of the same name would
        take it along when deleted."""
        owners = manifest["metadata"].get("ownerReferences")
        while not self.create(manifest):
            if not owners or self._own(manifest["kind"], manifest["metadata"]["name"], owners):
                return

    def release(self, volume: str) -> None:
        """Let the workspace outlast the Job that owns it."""
        self._own("PersistentVolumeClaim", volume, [])

    def _own(self, kind: str, name: str, owners: list[dict[str, str]]) -> bool:
        """Whether the object existed and now belongs to `owners`; one already being deleted goes whoever owns it."""
        snake = {"ConfigMap": "config_map", "PersistentVolumeClaim": "persistent_volume_claim"}[kind]
        change = [{"op": "add", "path": "/metadata/ownerReferences", "value": owners}]
        try:
            owned = self.call("patch", f"{kind.lower()}s", f"patch_namespaced_{snake}", name, self.namespace, change)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return owned.metadata.deletion_timestamp is None

    def _still_there(self, resource: str, name: str, seconds: float) -> BadInput:
        holder = {"persistentvolumeclaim": "the pod that holds it", "job": "its pods"}.get(resource, "what holds it")
        what = {"persistentvolumeclaim": "volume", "job": "Job"}.get(resource, resource)
        lost = "; pods on a lost node go when that node is back or removed" if resource == "job" else ""
        return BadInput(
            f"the {what} {name} was deleted {seconds:.0f} s ago but still exists; "
            f"`kubectl --namespace {self.namespace} describe {resource} {name}` names {holder}{lost}"
        )

    def replace(self, manifest: Manifest) -> None:
        """Replace the NetworkPolicy of the same name."""
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
        """Delete a Job and its pods, and wait until both are gone.

        Raises `BadInput` if it still exists `patience` seconds after its pods' grace period.
        """
        there = self.job(name)
        if there is None:
            return
        try:
            self.call("delete", "jobs", "delete_namespaced_job", name, self.namespace, propagation_policy="Foreground")
        except ApiException as error:
            if error.status != 404:
                raise
        grace = there.spec.template.spec.termination_grace_period_seconds or 30
        until = time.monotonic() + grace + self.patience
        while (now := self.job(name)) is not None and now.metadata.uid == there.metadata.uid:
            if time.monotonic() > until:
                raise self._still_there("job", name, grace + self.patience)
            time.sleep(0.5)

    def delete_settings(self, name: str) -> None:
        """Delete a stage's settings, if they exist."""
        self._delete("configmaps", "delete_namespaced_config_map", name)

    def delete_needs(self, name: str, service: bool) -> None:
        """Delete a stage's workspace, settings and Service, if they exist."""
        self._delete("persistentvolumeclaims", "delete_namespaced_persistent_volume_claim", name)
        self.delete_settings(name)
        if service:
            self._delete("services", "delete_namespaced_service", name)

    def _delete(self, resource: str, function: str, name: str) -> None:
        try:
            self.call("delete", resource, function, name, self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise

    def _find(self, resource: str, function: str, name: str) -> Any:
        """The object of that name, or None."""
        try:
            return self.call("get", resource, function, name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def follow(self, name: str, say: Callable[[str], None]) -> Outcome:
        """Watch the Job to its end and print each pod's log lines and state changes."""
        followed = Followed()
        try:
            outcome = self._follow(name, followed, say)
            followed.close(wait=LATE_LOGS)
            return outcome
        finally:
            followed.close(wait=0)

    def _follow(self, name: str, followed: Followed, say: Callable[[str], None]) -> Outcome:
        for _ in self._changes(name, followed):
            job = self.job(name)
            if job is None:
                return Outcome(1, f"Job {name} was deleted while we watched it")
            pods = self.pods(name)
            queue = (job.metadata.labels or {}).get("kueue.x-k8s.io/queue-name", "?")
            held = f"suspended until Kueue's queue {queue} admits it" if job.spec.suspend else ""
            if self._said.get(name, "") != held:
                self._said[name] = held
                say(f"{name}: {held or 'started by its queue'}")
            if not pods and not job.spec.suspend:
                self._say_warnings(job, say)
            followed.ended |= {pod.metadata.name for pod in pods if pod.status.phase in ("Succeeded", "Failed")}
            followed.over = bool(pods) and all(pod.metadata.name in followed.ended for pod in pods)
            for pod in pods:
                self._look_at(pod, followed, say, what_follows(job, pods, pod))
                if stuck := self._stuck(pod):
                    self.delete_job(name)
                    return Outcome(3, stuck)
            if finished(job):
                return _outcome(job, pods)
        raise AssertionError

    def _say_warnings(self, job: Any, say: Callable[[str], None]) -> None:
        """Print why a Job has no pods: a quota, a missing ServiceAccount, or no known reason."""
        uid, found = job.metadata.uid, self._warnings(job)  # by uid: an earlier Job had the same name
        since = self._waiting.setdefault(uid, time.monotonic())
        if not found and time.monotonic() - since > SILENCE:
            found = ["no event says why; does the cluster's Job controller run?"]
        for words in found:
            if self._said.get(f"{uid} {words}") is None:
                self._said[f"{uid} {words}"] = ""
                missing = re.search("service ?account .*not found", words, re.IGNORECASE)
                say(f"{job.metadata.name}: no pod: {words}{' (`make k8s-setup` makes it)' if missing else ''}")

    def _warnings(self, job: Any) -> list[str]:
        """The cluster's warning events about the Job; none without permission to read them."""
        selector = f"involvedObject.uid={job.metadata.uid},type=Warning"  # not of an earlier Job of that name
        try:
            found = self.call("list", "events", "list_namespaced_event", self.namespace, field_selector=selector)
        except BadInput:
            return []
        return list(dict.fromkeys(event.message or event.reason for event in found.items))

    def _changes(self, name: str, followed: Followed) -> Iterator[None]:
        """Yield on every change of the Job's pods, and at least every ten seconds; every second once all pods have
        ended, because the Job's own end follows theirs. Never stops."""
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
                    timeout_seconds=1 if followed.over else 10,
                    _request_timeout=(10, 20),
                )
                for event in stream:
                    if event["type"] == "ERROR":
                        break
                    version = event["object"].metadata.resource_version
                    yield
                    if followed.over:
                        break
            except ApiException as error:
                version = None  # 410: the version is too old; in any case, start again from now
                if error.status == 401:
                    self._connect()
                time.sleep(0.2 if error.status == 410 else 1)
            except LOST:
                version = None
                time.sleep(0.5)

    def _look_at(self, pod: Any, followed: Followed, say: Callable[[str], None], next_step: str) -> None:
        name = pod.metadata.name
        words = describe(pod)
        if self._said.get(name) != words:
            self._said[name] = words
            say(f"{name}: {words}{next_step}")
        states = [status.state for status in pod.status.container_statuses or []]
        if name not in followed.readers and any(state.running or state.terminated for state in states):
            reader = threading.Thread(target=self._read_log, args=(name, followed, say), daemon=True)
            followed.readers[name] = reader
            reader.start()

    def _read_log(self, pod: str, followed: Followed, say: Callable[[str], None]) -> None:
        """Print a pod's log to its end. A stream may be cut by the node or the API server; only one begun after the
        pod's end is sure to be whole. Lines are matched by timestamp: counts break when the kubelet rotates the
        file."""
        last, untimed, attempt, left = (0.0, ""), set[str](), 0, 20
        while left:
            over = pod in followed.ended
            try:
                response = self.core.read_namespaced_pod_log(
                    pod,
                    self.namespace,
                    container="stage",
                    follow=True,
                    timestamps=True,
                    _preload_content=False,
                    _request_timeout=(10, 600),
                )
                for line, whole in _lines(response):
                    when, text = _stamped(line)
                    if not when and text.startswith(NO_LOG):
                        continue
                    if (whole or over) and (when > last if when else text not in untimed):
                        last, attempt = when or last, 0
                        followed.speak(say, f"{pod} | {text}")
                        untimed |= set() if when else {text}
                if over:
                    return
            except (ApiException, *LOST) as error:
                status = error.status if isinstance(error, ApiException) else 0
                if status == 403 or attempt == 5:
                    why = _message(error) if isinstance(error, ApiException) else type(error).__name__
                    followed.speak(say, f"{pod}: cannot read its log ({why}); {_log_advice(status)}")
                if status in (403, 404):
                    return
                left -= over
            time.sleep(_pause(attempt))
            attempt += 1

    def _stuck(self, pod: Any) -> str:
        """Why the pod will never start, or "". Errors that may pass (a failing registry, settings that have not arrived
        yet) get `patience` seconds."""
        for status in pod.status.container_statuses or []:
            waiting = status.state.waiting
            if waiting and waiting.reason in NO_IMAGE | {"CreateContainerConfigError"}:
                since = self._waiting.setdefault(pod.metadata.name, time.monotonic())
                if HOPELESS.search(f"{waiting.reason} {waiting.message}") or time.monotonic() - since > self.patience:
                    return f"{pod.metadata.name}: {_waiting(waiting, status.image)}"
        return ""


def describe(pod: Any) -> str:
    """A pod's state in plain words."""
    restarts = sum(status.restart_count or 0 for status in pod.status.container_statuses or [])
    again = f", restarted {restarts} times" if restarts else ""
    # The kubelet's word on the whole pod: evicted for its disk use, no free device on the node, …
    told = " ".join(filter(None, [pod.status.reason, pod.status.message and f"({pod.status.message.strip()})"]))
    for status in pod.status.container_statuses or []:
        if ended := status.state.terminated:
            return f"ended with status {ended.exit_code}{_why_ended(ended, told)}{again}"
        if status.state.waiting and pod.status.phase == "Pending" and status.state.waiting.reason:
            return f"pending: {_waiting(status.state.waiting, status.image)}{again}"
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"pending: {unschedulable(condition.message or condition.reason or '')}"
        if condition.type == "DisruptionTarget" and condition.status == "True":
            why = f"{condition.reason}: {condition.message}" if condition.message else condition.reason
            if condition.reason == "DeletionByTaintManager":
                return f"its node is lost ({why}): another pod takes over when the node is back or removed"
            return f"evicted ({why}): another pod takes over, at no cost"
    return f"{str(pod.status.phase).lower()}{told and f': {told}'}{again}"


def what_follows(job: Any, pods: list[Any], pod: Any) -> str:
    """Whether another pod takes a failed one's place, and how many retries the Job then has left; "" for a pod that has
    not failed, and for one whose failure is told with its state."""
    if finished(job) or not _counts(pod):
        return ""
    of_its_shard = [one for one in pods if _counts(one) and _shard(one) == _shard(pod)]
    limit = job.spec.backoff_limit_per_index if job.spec.backoff_limit_per_index is not None else job.spec.backoff_limit
    left = limit - len(of_its_shard)
    return "; no retry is left" if left < 0 else f"; another pod follows, and {left} of {limit} retries are left then"


def _counts(pod: Any) -> bool:
    """Whether a pod's end is a failure that costs a retry (k8s/base/job.yaml says which don't)."""
    codes = {
        status.state.terminated.exit_code for status in pod.status.container_statuses or [] if status.state.terminated
    }
    spared = any(one.type == "DisruptionTarget" and one.status == "True" for one in pod.status.conditions or [])
    return pod.status.phase == "Failed" and not spared and not codes & {BAD_INPUT, PREEMPTED}


def _shard(pod: Any) -> str:
    return str((pod.metadata.annotations or {}).get("batch.kubernetes.io/job-completion-index", ""))


def _why_ended(ended: Any, told: str) -> str:
    if ended.reason == "OOMKilled":
        return ": out of memory (resources in k8s/params.yaml)"
    if ended.exit_code == PREEMPTED:
        return ": stopped by SIGTERM, its progress saved; another pod goes on from there, at no cost"
    if ended.exit_code == 128 + signal.SIGKILL and not told:
        return ": killed by SIGKILL, as the kubelet does after the grace period and the kernel when memory runs out"
    return f": {told}" if told else ""


def _log_advice(status: int) -> str:
    if status == 403:
        return "the Role of `make k8s-setup` allows it"
    return (
        "the node may be out of reach; `kubectl logs` shows it once the node is back, and the stage goes on meanwhile"
    )


def unschedulable(message: str) -> str:
    """The scheduler's message in plain words, without its part about preemption; unknown messages stay as they are.
    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu. preemption: …"."""
    total = re.match(r"0/(\d+) nodes are available: ", message)
    if not total:
        return message
    said = re.split(r"\.? (?:no new claims to deallocate, )?preemption: ", message[total.end() :])[0].rstrip(".")
    return "; ".join(_lacking(reason, total[1]) for reason in sorted(said.split(", "), key=_by_resource))


def _by_resource(reason: str) -> bool:
    return " Insufficient " not in reason  # show these first


def _lacking(reason: str, of: str) -> str:
    """One of the scheduler's reasons (texts from pkg/scheduler/framework/plugins) in plain words."""
    if lacking := re.fullmatch(r"\d+ Insufficient (\S+)", reason):
        return f"0 of {of} nodes have a free {lacking[1]}" if "/" in lacking[1] else f"too little free {lacking[1]}"
    if cordoned := re.fullmatch(
        r"(\d+) node\(s\) (?:were unschedulable|had untolerated taint \{node\.kubernetes\.io/unschedulable.*)", reason
    ):
        return f"{cordoned[1]} of {of} nodes are cordoned (`kubectl uncordon NODE` when they may be used again)"
    if unfit := re.fullmatch(r"(\d+) node\(s\) had untolerated taint \{node\.kubernetes\.io/([^}:]+).*", reason):
        return f"{unfit[1]} of {of} nodes are {unfit[2].replace('-', ' ').strip()} (`kubectl describe node` says why)"
    if tainted := re.fullmatch(r"(\d+) node\(s\) had untolerated taint(?:\(s\)| \{([^}:]+).*)", reason):
        for_whom = f" for {tainted[2].strip()}" if tainted[2] else " by taints"
        return f"{tainted[1]} of {of} nodes are reserved{for_whom} (cluster.tolerations in k8s/params.yaml)"
    if unlike := re.fullmatch(r"(\d+) node\(s\) didn't match Pod's node affinity/selector", reason):
        return f"{unlike[1]} of {of} nodes lack the labels in cluster.node_selector"
    if "unbound immediate PersistentVolumeClaims" in reason:
        return "no volume for its workspace (check storage_class or shared_storage_class in k8s/params.yaml)"
    return reason


def _waiting(waiting: Any, image: str) -> str:
    if waiting.reason in NO_IMAGE:
        advice = "" if "/" in image else "; run `make images-push REGISTRY=…`, or load it into every node"
        return f"no such image: {image} cannot be pulled ({waiting.message or waiting.reason}){advice}"
    if waiting.reason == "CreateContainerConfigError":
        return f"a Secret or ConfigMap is missing: {waiting.message}"
    return f"{waiting.reason}: {waiting.message}" if waiting.message else str(waiting.reason)


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
    # One of several pods may have ended the Job, and the others with it.
    return Outcome(3 if 3 in failures else failures[-1] if failures else 1, reason)


def finished(job: Any) -> str:
    """ "Complete", "Failed" or ""."""
    return "Complete" if _state(job, "Complete") else "Failed" if _state(job, "Failed") else ""


def _lines(response: Any) -> Iterator[tuple[str, bool]]:
    """The stream's lines, each with whether it is complete; the last may not be."""
    rest = b""
    for piece in response.stream(4096):
        *lines, rest = (rest + piece).split(b"\n")
        yield from ((line.decode(errors="replace"), True) for line in lines)
    if rest:
        yield rest.decode(errors="replace"), False


def _stamped(line: str) -> tuple[tuple[float, str] | None, str]:
    """A log line's time (seconds, nanoseconds) and text; the kubelet's own messages have no time."""
    found = STAMP.fullmatch(line)
    if not found:
        return None, line
    day, fraction, zone, text = found.groups()
    return (datetime.fromisoformat(f"{day}{zone}").timestamp(), (fraction or "").ljust(9, "0")), text


def _pause(attempt: int) -> float:
    return min(0.2 * 2 ** min(attempt, 6), 10) * random.uniform(0.5, 1)


def _message(error: ApiException) -> str:
    """The API server's own error message."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _no_permission(verb: str, resource: str, namespace: str, error: ApiException) -> str:
    if error.status == 401:
        return "no permission: the API server does not know you (401); log in to the cluster again"
    said = _message(error)
    if " cannot " not in said:  # an authorizer says it (apiserver's responsewriters/errors.go); admission does not
        return f"the cluster refuses: {said}"
    return (
        f"no permission: you may not {verb} {resource} in namespace {namespace} "
        f"(`kubectl auth can-i {verb} {resource} -n {namespace}`); ask for a role that may"
    )
