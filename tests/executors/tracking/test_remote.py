"""DVC's remote: a real S3 server (rclone), what is damaged or missing in it or in the cache found, named and healed."""

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import s3fs
import s3server
import sshserver
from clones import Street
from wire import Wire
from workspace import REPOSITORY

from executors.tracking import transfer

pytestmark = pytest.mark.timeout(600)
LARGE = 12 << 20  # bytes: all else that goes over a connection in these tests is far less


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """A repository whose two stages have run, with no remote yet."""
    street = Street(tmp_path_factory.mktemp("made") / "host", "")
    ran = street.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    street.commit()
    return street


@pytest.fixture
def pushed(made: Street, s3: tuple[str, Path], credentials: None) -> tuple[Street, Path]:
    """The repository with everything pushed to S3, under a path of its own, and where its objects lie."""
    name = f"store-{random.randrange(1 << 40)}"
    ran = made.run("commands", "remote", f"s3://bucket/{name}", s3[0])
    assert ran.returncode == 0, ran.stderr
    assert f"s3://bucket/{name} is the default remote" in ran.stdout
    made.commit()
    ran = made.dvc("push", "--quiet")
    assert ran.returncode == 0, ran.stderr
    return made, s3[1] / "bucket" / name / "files/md5"


def verify(street: Street) -> subprocess.CompletedProcess[str]:
    return street.run("commands", "verify", "--remote")


def push(street: Street, *targets: str) -> subprocess.CompletedProcess[str]:
    return street.run("commands", "push", "--quiet", *(targets or ("filter", "collect")))


def test_a_fresh_clone_pulls_by_tag_and_verifies(pushed: tuple[Street, Path], tmp_path: Path) -> None:
    street, _ = pushed
    street.git("tag", "--force", "v1")
    other = street.clone(tmp_path / "clone")
    assert other.dvc("pull", "--quiet").returncode == 0
    ran = verify(other)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.rstrip().endswith("0 damaged")
    got = other.run("dvc", "get", str(street.path), "data/corpus", "--rev", "v1", "--out", "elsewhere")
    assert got.returncode == 0, got.stderr
    assert (other.path / "elsewhere/artifact.json").is_file()


@pytest.mark.slow
def test_a_flipped_byte_in_any_object_of_the_remote_is_named_and_healed(pushed: tuple[Street, Path]) -> None:
    street, store = pushed
    objects = sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size)
    assert len(objects) >= 6
    for damaged in random.Random(6).sample(objects, 2):
        oid = damaged.parent.name + damaged.name
        flip(damaged)
        found = verify(street)
        assert found.returncode == 3
        command = named(found.stdout, oid)
        assert street.run(*command).returncode == 0
        assert not damaged.exists()
        assert push(street).returncode == 0
        healed = verify(street)
        assert healed.returncode == 0, healed.stdout


@pytest.mark.slow
def test_a_missing_object_of_the_remote_is_named_and_healed(pushed: tuple[Street, Path], s3: tuple[str, Path]) -> None:
    street, store = pushed
    listed = {entry["md5"] for listing in store.rglob("*.dir") for entry in json.loads(listing.read_text())}
    gone = min(path for path in store.rglob("*") if path.is_file() and path.parent.name + path.name in listed)
    server = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=s3[0])
    server.rm(gone.relative_to(s3[1]).as_posix())
    oid = gone.parent.name + gone.name
    found = verify(street)
    assert found.returncode == 3
    assert f"object {oid} is not in the remote" in " ".join(found.stdout.split())
    assert "run `make push`" in found.stdout
    assert street.dvc("push", "--quiet").returncode == 0 and not gone.exists(), "or DVC copes by itself now"
    ran = push(street)
    assert ran.returncode == 0 and "folder listings without all of their files" in ran.stderr
    assert verify(street).returncode == 0


@pytest.mark.slow
def test_what_a_killed_push_listed_is_not_taken_for_all_there_is(made: Street, tmp_path: Path) -> None:
    report = tmp_path / "length"

    def killed(remote: str, point: float) -> int:
        assert made.run("commands", "remote", str(tmp_path / remote)).returncode == 0
        command = [
            sys.executable,
            str(REPOSITORY / "tests/support/killed.py"),
            "lists",
            str(point),
            str(report),
            "push",
        ]
        return subprocess.run(command, cwd=made.path, env=made.env(), start_new_session=True).returncode

    assert killed("whole", 0) == 0
    late = int(0.95 * float(report.read_text()))
    assert killed("ours", late) == -signal.SIGKILL
    assert push(made).returncode == 0
    assert verify(made).returncode == 0

    assert killed("theirs", late) == -signal.SIGKILL
    assert made.dvc("push", "--quiet").returncode == 0
    found = verify(made)
    assert found.returncode == 3 and "is not in the remote; run `make push`" in found.stdout, "or DVC copes now"
    assert push(made).returncode == 0
    assert verify(made).returncode == 0


@pytest.mark.slow
def test_what_dvc_knows_of_finished_runs_is_sent_when_their_objects_are_there(made: Street, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert made.run("commands", "remote", str(store)).returncode == 0
    store.mkdir(exist_ok=True)
    (store / "runs").write_text("where the run cache belongs")
    ran = made.run("commands", "push", "--quiet", "--run-cache")
    assert ran.returncode == 1 and "run cache entries are still not in the remote" in ran.stderr
    assert verify(made).returncode == 0, "every object is there"
    (store / "runs").unlink()
    assert made.run("commands", "push", "--quiet", "--run-cache").returncode == 0
    known = {path.name for path in (made.path / ".dvc/cache/runs").rglob("*") if path.is_file()}
    assert known and {path.name for path in (store / "runs").rglob("*") if path.is_file()} == known


@pytest.mark.slow
def test_what_is_neither_here_nor_in_the_remote_is_said(made: Street, tmp_path: Path) -> None:
    assert made.run("commands", "remote", str(tmp_path / "store")).returncode == 0
    cache = made.path / ".dvc/cache/files/md5"
    lost = min(path for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".dir"))
    lost.rename(tmp_path / "lost")
    ran = push(made)
    assert ran.returncode == 3
    assert "are still not in the remote; run `dvc repro` for those not in the cache either" in ran.stderr
    assert f"{lost.parent.name}{lost.name} of " in ran.stderr
    (tmp_path / "lost").rename(lost)
    assert push(made).returncode == 0
    assert verify(made).returncode == 0


@pytest.mark.slow
def test_each_output_that_is_nowhere_is_named_also_of_two_that_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = Street(tmp_path / "equal", str(tmp_path / "store"), kept=())
    for name in ("one", "other"):
        (street.path / name).write_text("the same")
        assert street.dvc("add", "--quiet", name).returncode == 0
    monkeypatch.chdir(street.path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", street.env()["DVC_SITE_CACHE_DIR"])
    assert transfer.nowhere(["one", "other"]) == set()
    shutil.rmtree(street.path / ".dvc/cache")
    assert transfer.nowhere(["one", "other"]) == {"one", "other"}


@pytest.fixture
def large(tmp_path: Path) -> Street:
    """A repository with a folder of one large object and one small one, and no remote yet."""
    street = Street(tmp_path / "large", "", kept=())
    (street.path / "data/bulk").mkdir(parents=True)
    (street.path / "data/bulk/large").write_bytes(random.Random(6).randbytes(LARGE))
    (street.path / "data/bulk/small").write_bytes(b"small")
    (street.path / ".gitignore").write_text("/data/bulk\n")
    added = street.dvc("add", "--quiet", "data/bulk")
    assert added.returncode == 0, added.stderr
    street.commit()
    return street


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "how"), [("s3", "killed"), ("ssh", "killed"), ("ssh", "cut")])
def test_an_upload_that_stops_half_way_leaves_nothing_that_is_believed(
    large: Street, tmp_path: Path, kind: str, how: str, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = s3server.free_port()
    home = tmp_path / "home"
    with ExitStack() as stack:
        if kind == "ssh":
            pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed: `pip install dvc-ssh`")
            monkeypatch.setenv("HOME", str(home))
            stack.enter_context(sshserver.serve(home, port))
        else:
            (tmp_path / "served/bucket").mkdir(parents=True)
            stack.enter_context(s3server.serve(tmp_path / "served", port))
        wire = stack.enter_context(Wire(port))
        store = tmp_path / ("store" if kind == "ssh" else "served/bucket/store")
        address = f"ssh://127.0.0.1:{wire.port}{store}" if kind == "ssh" else "s3://bucket/store"
        endpoint = [] if kind == "ssh" else [f"http://127.0.0.1:{wire.port}"]
        ran = large.run("commands", "remote", address, *endpoint)
        assert ran.returncode == 0, ran.stderr
        large.commit()

        wire.let(LARGE // 3, cut=how == "cut")
        pushing = large.start("commands", "push", "--quiet")
        assert wire.reached.wait(120), pushing.communicate(timeout=10)
        if how == "killed":
            pushing.kill()
        else:
            wire.free.set()
        status = pushing.wait(300)
        wire.free.set()
        assert status == -signal.SIGKILL or how == "cut"
        assert not unsound(store)

        assert large.run("commands", "push", "--quiet").returncode == 0
        assert not unsound(store)
        found = verify(large)
        assert found.returncode == 0 and found.stdout.rstrip().endswith("0 damaged"), found.stdout
        for part in re.findall(r"is an upload, in progress .* `make forget OBJECT=(\S+)`", found.stdout):
            assert large.run("commands", "forget", part).returncode == 0
        assert not list(store.rglob("*.tmp"))


@pytest.mark.slow
def test_a_server_that_dies_in_an_upload_and_comes_back_gets_it_whole(
    large: Street, tmp_path: Path, credentials: None
) -> None:
    (tmp_path / "served/bucket").mkdir(parents=True)
    port = s3server.free_port()
    with Wire(port) as wire:
        with s3server.serve(tmp_path / "served", port):
            ran = large.run("commands", "remote", "s3://bucket/store", f"http://127.0.0.1:{wire.port}")
            assert ran.returncode == 0, ran.stderr
            wire.let(LARGE // 3)
            pushing = large.start("commands", "push", "--quiet")
            assert wire.reached.wait(120)
        wire.free.set()
        assert not unsound(tmp_path / "served/bucket/store")
        with s3server.serve(tmp_path / "served", port):
            pushing.wait(300)
            again = push(large, "data/bulk")
            assert again.returncode == 0, again.stderr
            assert not unsound(tmp_path / "served/bucket/store")
            assert verify(large).returncode == 0


@pytest.mark.slow
def test_half_an_object_under_its_own_name_is_sent_again(pushed: tuple[Street, Path], s3: tuple[str, Path]) -> None:
    street, store = pushed
    half = max((path for path in store.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    whole = half.read_bytes()
    server = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=s3[0])
    server.pipe_file(half.relative_to(s3[1]).as_posix(), whole[: len(whole) // 2])
    assert street.dvc("push", "--quiet").returncode == 0
    assert half.read_bytes() != whole, "or DVC copes by itself now"
    ran = push(street)
    assert ran.returncode == 0 and "is incomplete in the remote; sending it again" in ran.stderr, ran.stderr
    assert half.read_bytes() == whole
    assert verify(street).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_a_damaged_object_of_the_cache_is_never_sent(made: Street, tmp_path: Path, there: bool) -> None:
    assert made.run("commands", "remote", str(tmp_path / "store")).returncode == 0
    if there:
        assert push(made).returncode == 0
    cache = made.path / ".dvc/cache/files/md5"
    damaged = min(path for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".dir"))
    oid = damaged.parent.name + damaged.name
    sound = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(sound[:-1] if there else bytes([sound[0] ^ 1]) + sound[1:])
    ran = push(made)
    assert ran.returncode == 3
    wrong = hashlib.md5(damaged.read_bytes()).hexdigest()
    assert f"{damaged} has the hash {wrong}, not {oid}, and is not sent" in ran.stderr
    assert not unsound(tmp_path / "store")
    assert made.run(*named(ran.stderr, oid)).returncode == 0
    assert made.dvc("commit", "--quiet").returncode == 0
    assert damaged.read_bytes() == sound
    assert push(made).returncode == 0
    assert verify(made).returncode == 0


def test_a_remote_that_is_away_is_said(made: Street, credentials: None) -> None:
    config = made.path / ".dvc/config"
    before = config.read_text()
    made.dvc("remote", "add", "--force", "--default", "gone", "s3://bucket/store")
    made.dvc("remote", "modify", "gone", "endpointurl", f"http://127.0.0.1:{s3server.free_port()}")
    ran = push(made)
    config.write_text(before)
    assert ran.returncode == 1
    assert "push: bucket/store/files/md5 does not answer (" in ran.stderr and "Traceback" not in ran.stderr


def test_a_flipped_byte_in_the_cache_is_named_and_healed_and_not_spread(pushed: tuple[Street, Path]) -> None:
    street, _ = pushed
    cache = street.path / ".dvc/cache/files/md5"
    damaged = min(path for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".dir"))
    flip(damaged)
    oid = damaged.parent.name + damaged.name
    found = verify(street)
    assert found.returncode == 3
    assert street.run(*named(found.stdout, oid)).returncode == 0
    assert street.run("commands", "pull", "--quiet").returncode == 0
    healed = verify(street)
    assert healed.returncode == 0, healed.stdout


@pytest.mark.slow
def test_a_damaged_object_is_never_pulled(pushed: tuple[Street, Path], tmp_path: Path) -> None:
    street, store = pushed
    damaged = min(path for path in store.rglob("*") if path.is_file() and not path.name.endswith(".dir"))
    good = damaged.read_bytes()
    flip(damaged)
    other = street.clone(tmp_path / "clone")
    ran = other.dvc("pull")
    assert ran.returncode != 0
    bad = damaged.read_bytes()
    everything = [path for path in other.path.rglob("*") if path.is_file()]
    assert not [path for path in everything if path.stat().st_size == len(bad) and path.read_bytes() == bad]
    damaged.write_bytes(good)


def test_forgetting_leaves_what_is_sound(pushed: tuple[Street, Path]) -> None:
    street, store = pushed
    sound = min(path for path in store.rglob("*") if path.is_file())
    ran = street.run("commands", "forget", sound.parent.name + sound.name)
    assert ran.returncode == 0 and "remote: object" in ran.stdout and "is intact and stays" in ran.stdout
    assert sound.exists()


@pytest.mark.slow
def test_wrong_credentials_keep_the_old_remote(
    pushed: tuple[Street, Path], s3: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    street, _ = pushed
    before = (street.path / ".dvc/config").read_text()
    ran = street.run("commands", "remote", "s3://bucket/other", s3[0], AWS_SECRET_ACCESS_KEY="wrong")
    assert ran.returncode == 3
    assert "cannot write and read s3://bucket/other" in ran.stderr and "AWS_SECRET_ACCESS_KEY" in ran.stderr
    assert (street.path / ".dvc/config").read_text() == before


def test_a_url_with_a_password_is_not_committed(made: Street) -> None:
    ran = made.run("commands", "remote", "ssh://me:secret@host/path")
    assert ran.returncode == 3
    assert "the URL contains a password" in ran.stderr


def test_a_folder_is_a_remote(made: Street, tmp_path: Path) -> None:
    ran = made.run("commands", "remote", str(tmp_path / "store"))
    assert ran.returncode == 0, ran.stderr
    assert made.dvc("push", "--quiet").returncode == 0
    assert verify(made).returncode == 0


def unsound(store: Path) -> list[str]:
    """The objects of a store whose bytes are not what their names say."""
    files = [path for path in store.glob("files/md5/??/*") if not path.name.startswith(".")]
    hashes = {path: hashlib.md5(path.read_bytes()).hexdigest() for path in files}
    return [str(path) for path, found in hashes.items() if path.parent.name + path.stem != found]


def flip(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def named(output: str, oid: str) -> list[str]:
    """The command that verify prints, as its words after `make` stand for."""
    found = re.search(r"`make forget OBJECT=([0-9a-f.dir]+)`", output)
    assert found and found[1] == oid, output
    return ["commands", "forget", oid]
