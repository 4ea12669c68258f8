"""Fixtures that tests of several folders use. What they are made of is in tests/support."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from workspace import REPOSITORY, SHARED, UNPACKED, Workspace

if TYPE_CHECKING:
    from apiserver import ApiServer

__all__ = ["REPOSITORY", "UNPACKED"]  # tests import them from here too
# In the background of a shell Ctrl-C is ignored, by pytest and by all that it starts, unless somebody says otherwise.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take long, the longest first: one that starts last keeps the other workers waiting.
LONGEST = (
    "test_pipeline.py",
    "test_containers.py",
    "test_hostile.py",
    "test_submit.py",
    "test_remote.py",
    "test_train_devices.py",
    "test_coreset_nodes.py",
    "test_train_parts.py",
    "test_sample.py",
    "test_train.py",
    "test_benchmarks.py",
    "test_embed.py",
    "test_sandbox.py",
    "test_shards.py",
    "test_kcenter.py",
    "test_teacher_sharing.py",
    "test_kills.py",
    "test_evolve.py",
    "test_report.py",
    "test_report_page.py",
    "test_score.py",
    "test_judge.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first. Workers take whole files (--dist loadfile), in this order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a test, or a stage that it runs in this process, puts into the environment goes with it."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["ApiServer"]:
    """A stand-in cluster that KUBECONFIG names."""
    from apiserver import ApiServer

    with ApiServer(tmp_path / "cluster") as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        yield running


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The endpoint of an S3 server that checks credentials, and the folder that it serves."""
    import s3server

    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    port = s3server.free_port()
    with s3server.serve(folder, port):
        yield f"http://127.0.0.1:{port}", folder


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny causal language model (tests/support/tiny.py)."""
    from tiny import save

    path = tmp_path_factory.mktemp("tiny")
    save(path)
    return path


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A file of the benchmark data that no repository holds; the test skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"{name} is not in {SHARED / 'data'} (set TIDEMILL_SHARED to where it is)")
        return path

    return find
