"""A stand-in for the API server and one kubelet, over real HTTP: objects are kept, Jobs become pods, pods become
processes, podFailurePolicy and backoffLimit are followed. Faults are put in by the tests.

What the submitter relies on is as in Kubernetes 1.36: a Job that is deleted in the foreground stays until its pods have
ended, what it owns goes with it, a volume stays while a pod names it, nothing can be made under the name of what is
being deleted; a Job has SuccessCriteriaMet or FailureTarget before it is Complete or Failed; a log stream that breaks
at the node ends like any other; a watch from too old a version gets an ERROR event. It makes the next pod at once
(there is no back-off), checks no schema (tests/executors/kubernetes/test_manifests.py does) and isolates nothing.
"""

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]


@dataclass
class Fault:
    """What happens instead of the next answer whose `METHOD path` matches: a status, or a connection that breaks.

    `after`: the request has its effect first. `times`: how often.
    """

    match: str
    status: int = 0  # 0: the connection breaks
    after: bool = False
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "a fault of the test"
    clean: bool = False  # a stream that breaks seems to have ended


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away, killed by a test, is no news."""


class ApiServer:
    """`with ApiServer(folder) as server:` serves; `server.kubeconfig` is what a client needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[tuple[str, str], Object] = {}
        self.logs: dict[str, list[bytes]] = {}
        self.rotated: dict[str, int] = {}  # how many lines of a pod's log are in an older file, which nobody is sent
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[str] = []  # the Job of every pod that was ever started
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.watches: list[dict[str, str]] = []  # what was asked of each
        self.token = "first"
        self.unschedulable = ""
        self.no_image = ""  # why no node can pull it
        self.changed = threading.Condition()
        self.version = 100
        self.closed = False
        self.node_answers = True  # logs come from the node: without its kubelet there are none
        self.may: set[str] | None = None  # "VERB RESOURCE" of what the client may do; None: everything
        self.collector = threading.Event()  # the garbage collector runs while it is set
        self.collector.set()
        self.controller = threading.Event()  # Jobs get their pods while it is set
        self.controller.set()

    def __enter__(self) -> "ApiServer":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.handle(self, "GET")

            def do_POST(self) -> None:
                outer.handle(self, "POST")

            def do_PUT(self) -> None:
                outer.handle(self, "PUT")

            def do_PATCH(self) -> None:
                outer.handle(self, "PATCH")

            def do_DELETE(self) -> None:
                outer.handle(self, "DELETE")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.write_kubeconfig()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self.collector.set()
        self.controller.set()
        for process in list(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):  # another thread may reap it first
                os.killpg(process.pid, signal.SIGKILL)
        self.http.shutdown()
        self.http.server_close()

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def write_kubeconfig(self) -> None:
        cluster = {"server": f"http://127.0.0.1:{self.http.server_port}"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kubeconfig.write_text(json.dumps(content))

    # --- HTTP ---

    def handle(self, request: BaseHTTPRequestHandler, method: str) -> None:
        parts = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        what = f"{method} {parts.path}" + (" watch" if query.get("watch") == "true" else "")
        self.requests.append(what)
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length) or b"null")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.answer(request, 401, {"message": "Unauthorized"})
        fault = self.fault(what)
        in_stream = fault and fault.status == 410 and what.endswith(" watch")
        if fault and not fault.after and not in_stream:
            return self.fail(request, fault)
        names = parts.path.strip("/").split("/")
        where = names.index("namespaces") + 2 if "namespaces" in names else len(names) - 1
        kind, name, sub = (*names[where:], "", "", "")[:3]
        if refused := self.refuses(method, kind, name, sub, query):
            return self.answer(request, 403, {"reason": "Forbidden", "message": refused})
        if sub == "log":
            return self.send_log(request, name, query, fault)
        if query.get("watch") == "true":
            return self.send_watch(request, kind, query, fault)
        status, answer = self.act(method, kind, name, query, body)
        if fault:
            return self.fail(request, fault)
        return self.answer(request, status, answer)

    def refuses(self, method: str, kind: str, name: str, sub: str, query: dict[str, str]) -> str:
        """Why the client may not do this, or ""."""
        verbs = {"GET": "get" if name else "list", "POST": "create", "PUT": "update"}
        verb = "watch" if query.get("watch") == "true" else verbs.get(method, method.lower())
        resource = f"{kind}/{sub}" if sub else kind
        if self.may is None or f"{verb} {resource}" in self.may:
            return ""
        return f'{kind} is forbidden: User "test" cannot {verb} resource "{resource}" in the namespace "tidemill"'

    def fault(self, what: str) -> Fault | None:
        for fault in self.faults:
            if re.search(fault.match, what) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def fail(self, request: BaseHTTPRequestHandler, fault: Fault) -> None:
        if fault.status:
            return self.answer(request, fault.status, {"message": fault.message}, fault.headers)
        request.close_connection = True
        return request.connection.close()

    def answer(
        self, request: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        if status >= 400:
            body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, **body}
        raw = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(raw)))
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(raw)

    def act(self, method: str, kind: str, name: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        with self.changed:
            if method == "POST":
                key = (kind, body["metadata"]["name"])
                if there := self.objects.get(key):
                    leaving = "object is being deleted: " if "deletionTimestamp" in there["metadata"] else ""
                    return 409, {"reason": "AlreadyExists", "message": f'{leaving}{kind} "{key[1]}" already exists'}
                body["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
                self.keep(kind, body)
                if kind == "jobs":
                    body.setdefault("status", {})
                    threading.Thread(target=self.run_job, args=(body,), daemon=True).start()
                return 201, body
            if not name:
                return 200, {"items": self.select(kind, query), "metadata": {"resourceVersion": str(self.version)}}
            if (kind, name) not in self.objects:
                return 404, {"reason": "NotFound", "message": f"{kind} {name} not found"}
            if method == "PUT":
                self.keep(kind, body)
                return 200, body
            there = self.objects[kind, name]
            if method == "PATCH":
                for change in body:
                    assert (change["op"], change["path"]) == ("add", "/metadata/ownerReferences")
                    there["metadata"]["ownerReferences"] = change["value"]
                self.keep(kind, there)
            if method == "DELETE":
                self.remove(kind, name, query.get("propagationPolicy", ""))
                if kind != "persistentvolumeclaims":  # as the real one does
                    return 200, {"kind": "Status", "status": "Success"}
            return 200, there

    def select(self, kind: str, query: dict[str, str]) -> list[Object]:
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        fields = dict(pair.split("=") for pair in query.get("fieldSelector", "").split(",") if pair)
        found = [thing for (of, _), thing in self.objects.items() if of == kind]
        found = [thing for thing in found if wanted.items() <= thing["metadata"].get("labels", {}).items()]
        return [thing for thing in found if all(value_at(thing, path) == value for path, value in fields.items())]

    def keep(self, kind: str, thing: Object) -> None:
        with self.changed:
            self.version += 1
            thing["metadata"]["resourceVersion"] = str(self.version)
            self.objects[kind, thing["metadata"]["name"]] = thing
            self.changed.notify_all()

    def update(self, kind: str, thing: Object) -> None:
        """Keep a controller's or a kubelet's word on an object, unless it was deleted meanwhile."""
        with self.changed:
            if self.objects.get((kind, thing["metadata"]["name"])) is thing:
                self.keep(kind, thing)

    def alive(self, job: Object) -> bool:
        """Whether the Job is there, nobody is deleting it, and it has not ended."""
        there = self.objects.get(("jobs", job["metadata"]["name"])) is job
        return there and "deletionTimestamp" not in job["metadata"] and "conditions" not in job.get("status", {})

    # --- deletion ---

    def remove(self, kind: str, name: str, policy: str) -> None:
        """What DELETE does. A Job's pods are left to themselves where no policy is named (batch/v1's default)."""
        thing = self.objects[kind, name]
        if "deletionTimestamp" in thing["metadata"]:
            return
        if kind == "jobs" and policy == "Foreground":
            thing["metadata"] |= {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
            self.keep(kind, thing)
            threading.Thread(target=self.remove_job, args=(thing,), daemon=True).start()
        elif kind == "persistentvolumeclaims":
            thing["metadata"] |= {"deletionTimestamp": now(), "finalizers": ["kubernetes.io/pvc-protection"]}
            self.keep(kind, thing)
            self.protect_volumes()
        else:
            self.objects.pop((kind, name))
            self.changed.notify_all()

    def remove_job(self, job: Object) -> None:
        self.collect(job)
        self.end_pods(job, self.pods_of(job))
        with self.changed:
            self.objects.pop(("jobs", job["metadata"]["name"]), None)
            self.changed.notify_all()
        self.collect(job)

    def collect(self, owner: Object) -> None:
        """The garbage collector: what a Job owns goes with it, unless another Job owns it by now."""
        self.collector.wait()
        with self.changed:
            for (kind, name), thing in list(self.objects.items()):
                owners = {reference["uid"] for reference in thing["metadata"].get("ownerReferences", [])}
                if owners == {owner["metadata"]["uid"]} and kind != "pods":
                    self.remove(kind, name, "Background")

    def pods_of(self, job: Object) -> list[Object]:
        uid = job["metadata"].get("uid")
        return [thing for (kind, _), thing in list(self.objects.items()) if kind == "pods" and thing["owner"] == uid]

    def end_pods(self, job: Object, pods: list[Object]) -> None:
        """SIGTERM, the grace period, SIGKILL, and the pods are gone."""
        grace = job["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        until = time.monotonic() + grace
        running = {pod["metadata"]["name"]: self.running(pod["metadata"]["name"]) for pod in pods}
        for pod in pods:
            pod["metadata"]["deletionTimestamp"] = now()
            self.update("pods", pod)
            if process := running[pod["metadata"]["name"]]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
        for name, process in running.items():
            while process and process.poll() is None and time.monotonic() < until and not self.closed:
                time.sleep(0.02)
            with self.changed, contextlib.suppress(ProcessLookupError):
                if process:  # what is left of it: a kernel does that where a container's first process has ended
                    os.killpg(process.pid, signal.SIGKILL)
            with self.changed:
                self.objects.pop(("pods", name), None)
                self.protect_volumes()

    def running(self, pod: str) -> "subprocess.Popen[bytes] | None":
        process = self.processes.get(pod)
        return process if process and process.poll() is None else None

    def protect_volumes(self) -> None:
        """A volume that was deleted goes when no pod names it any more, whether or not the pod has ended."""
        named = {
            volume["persistentVolumeClaim"]["claimName"]
            for (kind, _), pod in self.objects.items()
            if kind == "pods" and pod["spec"].get("nodeName")
            for volume in pod["spec"].get("volumes", [])
            if volume.get("persistentVolumeClaim")
        }
        for (kind, name), thing in list(self.objects.items()):
            leaving = kind == "persistentvolumeclaims" and "deletionTimestamp" in thing["metadata"]
            if leaving and name not in named:
                self.objects.pop((kind, name))
        self.changed.notify_all()

    def delete(self, kind: str, name: str) -> None:
        """Away with it and its pods, at once: what a test takes away."""
        with self.changed:
            gone = self.objects.pop((kind, name), None)
            for pod in self.pods_of(gone) if gone and kind == "jobs" else []:
                if process := self.running(pod["metadata"]["name"]):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                self.objects.pop(("pods", pod["metadata"]["name"]))
            self.changed.notify_all()

    def chunk(self, request: BaseHTTPRequestHandler, raw: bytes) -> None:
        request.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        request.wfile.flush()

    def open_stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()

    def send_watch(
        self, request: BaseHTTPRequestHandler, kind: str, query: dict[str, str], fault: Fault | None
    ) -> None:
        self.open_stream(request)
        self.watches.append(query)
        if fault and fault.status:  # a watch that cannot go on says so in its stream, after a 200
            gone = {"kind": "Status", "code": fault.status, "reason": "Expired", "message": "too old resource version"}
            self.chunk(request, json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return self.chunk(request, b"")
        until = time.monotonic() + float(query.get("timeoutSeconds", 10))
        seen = int(query.get("resourceVersion") or 0)
        while time.monotonic() < until and not self.closed:
            with self.changed:
                fresh = [t for t in self.select(kind, query) if int(t["metadata"]["resourceVersion"]) > seen]
                lines = [json.dumps({"type": "MODIFIED", "object": thing}).encode() + b"\n" for thing in fresh]
                if not lines:
                    self.changed.wait(0.5)
                seen = max([seen, *(int(thing["metadata"]["resourceVersion"]) for thing in fresh)])
            try:
                for line in lines:
                    self.chunk(request, line)
                    if fault:
                        return self.fail_stream(request)
            except OSError:
                return None
        with contextlib.suppress(OSError):  # whoever watched has gone
            self.chunk(request, b"")
        return None

    def fail_stream(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.connection.close()

    def send_log(self, request: BaseHTTPRequestHandler, pod: str, query: dict[str, str], fault: Fault | None) -> None:
        if not self.node_answers:
            return self.answer(request, 502, {"message": "the node's kubelet does not answer"})
        if ("pods", pod) not in self.objects:
            return self.answer(request, 404, {"reason": "NotFound", "message": f'pods "{pod}" not found'})
        if pod not in self.processes:
            message = f'container "stage" in pod "{pod}" is waiting to start: ContainerCreating'
            return self.answer(request, 400, {"reason": "BadRequest", "message": message})
        self.open_stream(request)
        sent, stamped = self.rotated.get(pod, 0), query.get("timestamps") == "true"
        while not self.closed:
            with self.changed:
                # Beyond the node's kubelet the API server cannot tell a broken stream from one that has ended.
                over = not self.node_answers or self.ended(pod)
                lines = list(enumerate(self.logs.get(pod, [])))
                if len(lines) == sent and not over:
                    self.changed.wait(0.5)
                    continue
            text = b"".join((stamp(number) if stamped else b"") + line for number, line in lines[sent:])
            try:
                if fault:  # half of what there is, cut in the middle of a line
                    self.chunk(request, text[: max(1, len(text) // 2 - 1)])
                    return self.chunk(request, b"") if fault.clean else self.fail_stream(request)
                if text and self.node_answers:
                    self.chunk(request, text)
                sent = len(lines)
                if over:
                    return self.chunk(request, b"")
            except OSError:
                return None
        return None

    def ended(self, pod: str) -> bool:
        there = self.objects.get(("pods", pod))
        return there is None or there["status"]["phase"] in ("Succeeded", "Failed")

    # --- the kubelet and the Job controller ---

    def run_job(self, job: Object) -> None:
        """Each index (one without a number in an ordinary Job) until it succeeds, or one of them ends the Job."""
        self.controller.wait()
        spec = job["spec"]
        indexed = spec.get("completionMode") == "Indexed"
        failures: list[int] = []
        lost: list[int | None] = []
        threads = [
            threading.Thread(target=self.run_index, args=(job, index, failures, lost), daemon=True)
            for index in (range(spec["completions"]) if indexed else [None])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if lost:
            self.conclude(job, "Failed", "FailedIndexes", "Job has failed indexes")
        self.conclude(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")

    def run_index(self, job: Object, index: int | None, failures: list[int], lost: list[int | None]) -> None:
        """The pods of one index, one after the other; `failures` are those of the whole Job, `lost` the indexes that
        have failed for good: the others go on."""
        spec, own = job["spec"], 0
        limits = spec.get("backoffLimit", 6), spec.get("backoffLimitPerIndex", 1 << 31)
        while self.alive(job) and not self.closed:
            status, disrupted = self.run_pod(job, index)
            if status == 0 or not self.alive(job):
                return
            action = self.action(job, status, disrupted)
            if action == "FailJob":
                self.conclude(job, "Failed", "PodFailurePolicy", f"container stage failed with exit code {status}")
                return
            if action != "Ignore":
                failures.append(status)
                own += 1
            if len(failures) > limits[0]:
                words = "Job has reached the specified backoff limit"
                self.conclude(job, "Failed", "BackoffLimitExceeded", words)
                return
            if own > limits[1]:
                lost.append(index)
                return

    def action(self, job: Object, status: int, disrupted: bool) -> str:
        for rule in job["spec"].get("podFailurePolicy", {}).get("rules", []):
            if status in rule.get("onExitCodes", {}).get("values", []):
                return str(rule["action"])
            if disrupted and rule.get("onPodConditions"):
                return str(rule["action"])
        return "Count"

    def conclude(self, job: Object, kind: str, reason: str, message: str) -> None:
        """The Job has ended: said at once, and for good when the pods that still ran are gone."""
        with self.changed:
            if not self.alive(job):
                return
            interim = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
            words = {"status": "True", "reason": reason, "message": message}
            job["status"] = {"conditions": [{"type": interim, **words}]}
            self.update("jobs", job)
            running = [pod for pod in self.pods_of(job) if not self.ended(pod["metadata"]["name"])]
        self.end_pods(job, running)
        job["status"]["conditions"].append({"type": kind, **words})
        self.update("jobs", job)

    def run_pod(self, job: Object, index: int | None = None) -> tuple[int, bool]:
        job_name = job["metadata"]["name"]
        name = "-".join([job_name, *([] if index is None else [str(index)]), uuid.uuid4().hex[:5]])
        pod: Object = {
            "job": job_name,
            "owner": job["metadata"]["uid"],
            "metadata": {
                "name": name,
                "labels": {"batch.kubernetes.io/job-name": job_name},
                "creationTimestamp": now(),
            },
            "spec": copy.deepcopy(job["spec"]["template"]["spec"]),
            "status": {"phase": "Pending", "conditions": []},
        }
        with self.changed:
            if not self.alive(job):
                return 1, False
            self.keep("pods", pod)
        while (message := self.unschedulable or self.lacks_volume(pod)) and not self.closed and self.alive(job):
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            if pod["status"]["conditions"] != [condition]:
                pod["status"]["conditions"] = [condition]
                self.update("pods", pod)
            time.sleep(0.05)
        if not self.alive(job):
            return 1, False
        pod["spec"]["nodeName"] = "node"
        pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        container = job["spec"]["template"]["spec"]["containers"][0]
        if self.no_image:
            waiting = {"reason": "ImagePullBackOff", "message": self.no_image}
            self.state(pod, "Pending", {"waiting": waiting}, container["image"])
            with self.changed:
                self.changed.wait_for(lambda: not self.alive(job) or self.closed or not self.no_image, 60)
            if not self.alive(job):
                return 1, False
        while (lacking := self.lacks_settings(container)) and self.alive(job) and not self.closed:
            waiting = {"reason": "CreateContainerConfigError", "message": lacking}
            self.state(pod, "Pending", {"waiting": waiting}, container["image"])
            with self.changed:
                self.changed.wait(0.5)
        with self.changed:
            if not self.alive(job):  # it ended before this one started
                return 1, False
            process = self.start(job, container, name, index)
            self.processes[name] = process
        self.started.append(job_name)
        self.state(pod, "Running", {"running": {}}, container["image"])
        assert process.stdout
        for line in process.stdout:
            with self.changed:
                self.logs.setdefault(name, []).append(line)
                self.changed.notify_all()
        status = process.wait()
        shutil.rmtree(self.folder / "ephemeral" / name, ignore_errors=True)
        status = 128 - status if status < 0 else status
        disrupted = bool(pod.get("disrupted"))
        if disrupted:
            pod["status"]["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            ]
        self.state(pod, "Failed" if status else "Succeeded", {"terminated": {"exitCode": status}}, container["image"])
        return status, disrupted

    def lacks_volume(self, pod: Object) -> str:
        """What the scheduler says of a pod whose volume is not there, or is being deleted."""
        for volume in pod["spec"].get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                there = self.objects.get(("persistentvolumeclaims", claim["claimName"]))
                if there is None or "deletionTimestamp" in there["metadata"]:
                    how = "is being deleted" if there else "not found"
                    return f'0/1 nodes are available: persistentvolumeclaim "{claim["claimName"]}" {how}.'
        return ""

    def lacks_settings(self, container: Object) -> str:
        """What the kubelet says of a container whose environment is not there."""
        for source in container.get("envFrom", []):
            name = source.get("configMapRef", {}).get("name")
            if name and ("configmaps", name) not in self.objects:
                return f'configmap "{name}" not found'
        return ""

    def state(self, pod: Object, phase: str, state: Object, image: str) -> None:
        container = {"name": "stage", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": state}
        pod["status"] |= {"phase": phase, "containerStatuses": [container]}
        self.update("pods", pod)

    def start(self, job: Object, container: Object, pod: str, index: int | None) -> "subprocess.Popen[bytes]":
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self.folder)}
        environment["TIDEMILL_LOG"] = "debug"  # a line for every save, for the tests
        for source in container.get("envFrom", []):
            if reference := source.get("configMapRef"):
                environment |= self.wait_for("configmaps", reference["name"])["data"]
        environment |= {entry["name"]: entry.get("value", str(index)) for entry in container.get("env", [])}
        if index is not None:
            environment["JOB_COMPLETION_INDEX"] = str(index)
        environment |= {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        command = [*container["command"], *container.get("args", [])]
        for volume in job["spec"]["template"]["spec"].get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                self.wait_for("persistentvolumeclaims", claim["claimName"])
                variable = "HANDOVER" if volume["name"] == "handover" else "WORKSPACE"
                environment[variable] = str(self.folder / "volumes" / claim["claimName"])
            if "ephemeral" in volume:  # it goes with its pod
                environment["WORKSPACE"] = str(self.folder / "ephemeral" / pod)
            if volume["name"] == "pod":
                program = self.folder / f"{pod}.py"  # its own: one that another pod reads must not be written
                program.write_text(self.wait_for("configmaps", volume["configMap"]["name"])["data"]["pod.py"])
                command = [word.replace("/opt/pod/pod.py", str(program)) for word in command]
        return self.spawn(command, environment, pod)

    def spawn(self, command: list[str], environment: dict[str, str], pod: str) -> "subprocess.Popen[bytes]":
        """The pod's first process, in a session of its own."""
        return subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(self, kind: str, name: str) -> Object:
        with self.changed:
            if not self.changed.wait_for(lambda: (kind, name) in self.objects or self.closed, 240):
                raise AssertionError(f"the Job waits for {kind} {name}, which nobody creates")
            return self.objects[kind, name]

    def pod_of(self, job: str, timeout: float = 240) -> tuple[Object, "subprocess.Popen[bytes]"]:
        """The newest pod of a Job that has a process."""
        give_up = time.monotonic() + timeout
        while time.monotonic() < give_up:
            for (kind, name), pod in reversed(list(self.objects.items())):
                if kind == "pods" and pod["job"].startswith(job) and name in self.processes:
                    return pod, self.processes[name]
            time.sleep(0.02)
        raise AssertionError(f"no pod of {job} started")

    def evict(self, job: str) -> None:
        """As a drained node does it: SIGTERM to the pod's first process, and the reason in its conditions."""
        pod, process = self.pod_of(job)
        pod["disrupted"] = True
        os.kill(process.pid, signal.SIGTERM)


def now() -> str:
    """The time as objects have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(number: int) -> bytes:
    """A time for the line of that number, as the kubelet writes it: later ones have later times."""
    return f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}.{number // 3600:09}Z ".encode()


def value_at(thing: Object, path: str) -> Any:
    """The field that a field selector names."""
    for name in path.split("."):
        thing = thing.get(name, {})
    return thing
