"""A hub of datasets on this machine: as much of the hub's HTTP API as reading a dataset at a revision asks for."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REVISION = "c0ffee" * 6 + "beef"


@dataclass
class Hub:
    """The datasets in `folder` (OWNER/NAME/files), each at REVISION alone; `sent` is how much of each file was sent.

    `breaks` is a path whose connection breaks off, until it is "".
    """

    folder: Path
    address: str = ""
    sent: dict[str, int] = field(default_factory=dict)
    breaks: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """What points a client at it."""
        quick = {"HF_HUB_DOWNLOAD_TIMEOUT": "5", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {"HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", **quick}

    def describe(self, file: Path, dataset: Path) -> dict[str, Any]:
        """A file or a folder as the API lists it."""
        if file.is_dir():
            return {"type": "directory", "path": file.relative_to(dataset).as_posix(), "oid": "0" * 40}
        data = file.read_bytes()
        oid = hashlib.sha1(data).hexdigest()
        return {"type": "file", "path": file.relative_to(dataset).as_posix(), "size": len(data), "oid": oid}


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """A running hub."""
    hub = Hub(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        is_api = words[0] == "api"
        words = words[1 + is_api :]
        dataset = self.hub.folder.joinpath(*words[:2])
        if not dataset.is_dir():
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return
        what, *rest = words[2:] or ["info"]
        if rest and rest[0] not in (REVISION, "main"):
            self._answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        elif what == "resolve":
            self._send(dataset, "/".join(rest[1:]))
        else:
            self._answer(200, self._api(dataset, what, "/".join(rest[1:])))

    def _api(self, dataset: Path, what: str, inside: str) -> Any:
        if what == "tree":
            below = dataset / inside
            deep = "recursive=true" in self.path.lower()
            return [self.hub.describe(file, dataset) for file in sorted(below.rglob("*") if deep else below.glob("*"))]
        if what == "paths-info":
            from urllib.parse import parse_qs

            asked = self.body.decode()
            paths = json.loads(asked)["paths"] if asked.startswith("{") else parse_qs(asked).get("paths", [])
            return [self.hub.describe(dataset / path, dataset) for path in paths if (dataset / path).exists()]
        name = dataset.relative_to(self.hub.folder).as_posix()
        found = (file for file in sorted(dataset.rglob("*")) if file.is_file())
        siblings = [{"rfilename": file.relative_to(dataset).as_posix()} for file in found]
        return {"id": name, "sha": REVISION, "private": False, "gated": False, "tags": [], "siblings": siblings}

    def _send(self, dataset: Path, inside: str) -> None:
        file = dataset / inside
        if not file.is_file():
            self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        data = file.read_bytes()
        start, end, status = 0, len(data) - 1, 200
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(end, int(last or end)), 206
        data = data[start : end + 1]
        self.send_response(status)
        etag = hashlib.sha1(file.read_bytes()).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end}/{file.stat().st_size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if inside == self.hub.breaks:
            self.close_connection = True
            data = data[: len(data) // 2]
        self.hub.sent[inside] = self.hub.sent.get(inside, 0) + len(data)
        self.wfile.write(data)

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        said = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, one in (said | (headers or {})).items():
            self.send_header(name, one)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
