"""A stand-in for the API server and one kubelet, over real HTTP: objects are kept, Jobs become pods, pods become
processes, podFailurePolicy and backoffLimit are followed. Faults are put in by the tests.

It checks no schema (tests/test_manifests.py does) and isolates nothing.
"""

import contextlib
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


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away, killed by a test, is no news."""


class ApiServer:
    """`with ApiServer(folder) as server:` serves; `server.kubeconfig` is what a client needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[tuple[str, str], Object] = {}
        self.logs: dict[str, bytes] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[str] = []  # the Job of every pod that was ever started
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.token = "first"
        self.unschedulable = ""
        self.no_image = False
        self.changed = threading.Condition()
        self.version = 100
        self.closed = False
        self.node_answers = True  # logs come from the node: without its kubelet there are none

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
        for process in list(self.processes.values()):
            if process.poll() is None:
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
        if fault and not fault.after:
            return self.fail(request, fault)
        names = parts.path.strip("/").split("/")
        where = names.index("namespaces") + 2 if "namespaces" in names else len(names) - 1
        kind, name, sub = (*names[where:], "", "", "")[:3]
        if sub == "log":
            return self.send_log(request, name, fault)
        if query.get("watch") == "true":
            return self.send_watch(request, kind, query, fault)
        status, answer = self.act(method, kind, name, query, body)
        if fault:
            return self.fail(request, fault)
        return self.answer(request, status, answer)

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
                if key in self.objects:
                    return 409, {"reason": "AlreadyExists", "message": f"{key[1]} already exists"}
                created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                body["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": created}
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
            if method == "DELETE":
                gone = self.objects[kind, name]
                self.delete(kind, name)
                status = {"kind": "Status", "status": "Success"}
                return 200, gone if kind == "persistentvolumeclaims" else status  # as the real one does
            return 200, self.objects[kind, name]

    def select(self, kind: str, query: dict[str, str]) -> list[Object]:
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
        found = [thing for (of, _), thing in self.objects.items() if of == kind]
        return [thing for thing in found if wanted.items() <= thing["metadata"].get("labels", {}).items()]

    def keep(self, kind: str, thing: Object) -> None:
        with self.changed:
            self.version += 1
            thing["metadata"]["resourceVersion"] = str(self.version)
            self.objects[kind, thing["metadata"]["name"]] = thing
            self.changed.notify_all()

    def update(self, kind: str, thing: Object) -> None:
        """Keep a controller's word on a Job or its pod, unless the Job was deleted meanwhile."""
        with self.changed:
            if ("jobs", thing["metadata"]["name"] if kind == "jobs" else thing["job"]) in self.objects:
                self.keep(kind, thing)

    def delete(self, kind: str, name: str) -> None:
        with self.changed:
            self.objects.pop((kind, name), None)
            if kind == "jobs":
                for pod in [key for key, thing in self.objects.items() if key[0] == "pods" and thing["job"] == name]:
                    process = self.processes.get(pod[1])
                    if process and process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
                    self.objects.pop(pod)
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

    def send_log(self, request: BaseHTTPRequestHandler, pod: str, fault: Fault | None) -> None:
        if not self.node_answers:
            return self.answer(request, 502, {"message": "the node's kubelet does not answer"})
        self.open_stream(request)
        sent = 0
        while not self.closed:
            if not self.node_answers:
                return self.fail_stream(request)
            with self.changed:
                text = self.logs.get(pod, b"")
                over = ("pods", pod) not in self.objects or self.objects["pods", pod]["status"]["phase"] in (
                    "Succeeded",
                    "Failed",
                )
                if len(text) == sent and not over:
                    self.changed.wait(0.5)
                    continue
            try:
                if fault:  # half of what there is, cut in the middle of a line
                    self.chunk(request, text[: max(1, len(text) // 2 - 1)])
                    return self.fail_stream(request)
                if len(text) > sent:
                    self.chunk(request, text[sent:])
                sent = len(text)
                if over:
                    return self.chunk(request, b"")
            except OSError:
                return None
        return None

    # --- the kubelet and the Job controller ---

    def run_job(self, job: Object) -> None:
        """Each index (one without a number in an ordinary Job) until it succeeds, or one of them ends the Job."""
        spec = job["spec"]
        indexed = spec.get("completionMode") == "Indexed"
        failures: list[int] = []
        threads = [
            threading.Thread(target=self.run_index, args=(job, index, failures), daemon=True)
            for index in (range(spec["completions"]) if indexed else [None])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if "conditions" not in job.get("status", {}) and ("jobs", job["metadata"]["name"]) in self.objects:
            self.conclude(job, "Complete", "CompletionsReached", "")

    def run_index(self, job: Object, index: int | None, failures: list[int]) -> None:
        """The pods of one index, one after the other; `failures` are those of the whole Job."""
        spec, own = job["spec"], 0
        limits = spec.get("backoffLimit", 6), spec.get("backoffLimitPerIndex", 1 << 31)
        while ("jobs", job["metadata"]["name"]) in self.objects and not self.closed:
            status, disrupted = self.run_pod(job, index)
            over = ("jobs", job["metadata"]["name"]) not in self.objects or "conditions" in job.get("status", {})
            if over or status == 0:
                return
            action = self.action(job, status, disrupted)
            if action == "FailJob":
                self.conclude(job, "Failed", "PodFailurePolicy", f"container stage failed with exit code {status}")
                return
            if action != "Ignore":
                failures.append(status)
                own += 1
            if len(failures) > limits[0] or own > limits[1]:
                self.conclude(job, "Failed", "BackoffLimitExceeded", "Job has reached the backoff limit")
                return

    def action(self, job: Object, status: int, disrupted: bool) -> str:
        for rule in job["spec"].get("podFailurePolicy", {}).get("rules", []):
            if status in rule.get("onExitCodes", {}).get("values", []):
                return str(rule["action"])
            if disrupted and rule.get("onPodConditions"):
                return str(rule["action"])
        return "Count"

    def conclude(self, job: Object, kind: str, reason: str, message: str) -> None:
        job["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}
        self.update("jobs", job)
        for (of, name), pod in list(self.objects.items()):
            process = self.processes.get(name)
            if of == "pods" and pod["job"] == job["metadata"]["name"] and process and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def run_pod(self, job: Object, index: int | None = None) -> tuple[int, bool]:
        job_name = job["metadata"]["name"]
        name = "-".join([job_name, *([] if index is None else [str(index)]), uuid.uuid4().hex[:5]])
        pod: Object = {
            "job": job_name,
            "metadata": {
                "name": name,
                "labels": {"batch.kubernetes.io/job-name": job_name},
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "status": {"phase": "Pending", "conditions": []},
        }
        self.update("pods", pod)
        while self.unschedulable and not self.closed and ("jobs", job_name) in self.objects:
            condition = {"type": "PodScheduled", "status": "False", "message": self.unschedulable}
            if pod["status"]["conditions"] != [condition]:
                pod["status"]["conditions"] = [condition]
                self.update("pods", pod)
            time.sleep(0.05)
        if ("jobs", job_name) not in self.objects:
            return 1, False
        container = job["spec"]["template"]["spec"]["containers"][0]
        if self.no_image:
            waiting = {"reason": "ImagePullBackOff", "message": "not found"}
            self.state(pod, "Pending", {"waiting": waiting}, container["image"])
            with self.changed:
                self.changed.wait_for(lambda: ("jobs", job_name) not in self.objects or self.closed, 60)
            return 1, False
        process = self.start(job, container, name, index)
        self.processes[name] = process
        if "conditions" in job.get("status", {}):  # it ended while this one started
            os.killpg(process.pid, signal.SIGKILL)
        self.started.append(job_name)
        self.state(pod, "Running", {"running": {}}, container["image"])
        assert process.stdout
        for line in process.stdout:
            with self.changed:
                self.logs[name] = self.logs.get(name, b"") + line
                self.changed.notify_all()
        status = process.wait()
        shutil.rmtree(self.folder / "ephemeral" / name, ignore_errors=True)
        status = 128 - status if status < 0 else status
        disrupted = bool(pod.get("disrupted"))
        if disrupted:
            pod["status"]["conditions"] = [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
            ]
        if ("pods", name) in self.objects:
            self.state(
                pod, "Failed" if status else "Succeeded", {"terminated": {"exitCode": status}}, container["image"]
            )
        return status, disrupted

    def state(self, pod: Object, phase: str, state: Object, image: str) -> None:
        container = {"name": "stage", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": state}
        pod["status"] |= {"phase": phase, "containerStatuses": [container]}
        self.update("pods", pod)

    def start(self, job: Object, container: Object, pod: str, index: int | None) -> "subprocess.Popen[bytes]":
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self.folder)}
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
                program = self.wait_for("configmaps", volume["configMap"]["name"])["data"]["pod.py"]
                (self.folder / "pod.py").write_text(program)
                command = [word.replace("/opt/pod/pod.py", str(self.folder / "pod.py")) for word in command]
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
            if not self.changed.wait_for(lambda: (kind, name) in self.objects or self.closed, 60):
                raise AssertionError(f"the Job waits for {kind} {name}, which nobody creates")
            return self.objects[kind, name]

    def pod_of(self, job: str, timeout: float = 60) -> tuple[Object, "subprocess.Popen[bytes]"]:
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
