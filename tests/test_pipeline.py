"""The whole street through DVC, on the smoke profile: run, run again, changed, damaged, killed."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import REPOSITORY, UNPACKED

from stages.lib import params

DVC = Path(sys.executable).with_name("dvc")
# A test here runs the whole pipeline, on whatever else the machine is doing.
pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TIDEMILL_KILLS", "4"))


class Clone:
    """A clone of this working tree with the smoke profile laid over its params, committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        listed = self._git("ls-files", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY).splitlines()
        for name in filter(lambda name: (REPOSITORY / name).is_file(), listed):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, path / name)
        (path / "dvc.lock").unlink(missing_ok=True)
        (path / ".venv").symlink_to(Path(sys.prefix))
        (path / ".tidemill").mkdir()
        (path / ".tidemill/models").symlink_to(UNPACKED)
        downloads = REPOSITORY / ".tidemill/downloads"
        if downloads.is_dir():  # the pinned archives, checked against their hashes once more
            shutil.copytree(downloads, path / ".tidemill/downloads")
        self._git("init", "--quiet")
        laid = self.make("profile", "smoke")
        assert laid.returncode == 0, laid.stderr
        self.commit()

    def _git(self, *arguments: str, cwd: Path | None = None) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        return subprocess.check_output(["git", *identity, *arguments], cwd=cwd or self.path, text=True)

    def commit(self) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "as it is")

    def command(self, *arguments: str | Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=self.path, capture_output=True, text=True, timeout=timeout)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command(DVC, *arguments)

    def make(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What `make NAME` runs."""
        return self.command(sys.executable, "-m", "commands", name, *arguments)

    def set(self, old: str, new: str) -> None:
        params = self.path / "params.yaml"
        text = params.read_text()
        assert len(re.findall(old, text)) == 1, f"{old} must name one line of params.yaml"
        params.write_text(re.sub(old, new, text))

    def roots(self) -> dict[str, str]:
        seals = sorted(self.path.rglob("artifact.json"))
        found = {str(seal.parent.relative_to(self.path)): json.loads(seal.read_text())["root"] for seal in seals}
        return {name: root for name, root in found.items() if not name.startswith((".", "examples/"))}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("undisturbed"))
    ran = clone.dvc("repro")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    yield clone
    shutil.rmtree(clone.path)


def test_a_published_run_is_made_again_elsewhere_from_its_journal_alone(undisturbed: Clone, tmp_path: Path) -> None:
    recorded = undisturbed.make("replay", "ours", "--record")
    assert recorded.returncode == 0, recorded.stderr
    undisturbed.commit()
    elsewhere = object.__new__(Clone)
    elsewhere.path = tmp_path / "elsewhere"
    subprocess.run(["git", "clone", "--quiet", str(undisturbed.path), str(elsewhere.path)], check=True)
    (elsewhere.path / ".venv").symlink_to(Path(sys.prefix))
    shutil.copytree(undisturbed.path / ".tidemill/downloads", elsewhere.path / ".tidemill/downloads")
    (elsewhere.path / ".tidemill/models").symlink_to(UNPACKED)
    (segment,) = (elsewhere.path / "examples/ours/journal").iterdir()
    aside = segment.rename(tmp_path / segment.name)

    without = elsewhere.make("replay", "ours")
    assert without.returncode == 3, without.stdout
    assert "generate@1 has a request that the journal does not answer" in without.stdout + without.stderr

    aside.rename(segment)
    again = elsewhere.make("replay", "ours")
    assert again.returncode == 0, again.stdout[-4000:] + again.stderr[-4000:]
    assert undisturbed.roots()["data/dataset"] in again.stdout and "without asking a model" in again.stdout
    assert not list((elsewhere.path / "journal").iterdir())

    unknown = elsewhere.make("replay", "evenin")
    names = sorted(file.parent.name for file in elsewhere.path.glob("examples/*/run.yaml"))
    assert unknown.returncode == 3 and "ours" in names and f"choose one of {', '.join(names)}\n" in unknown.stderr


def ran_by_repro(clone: Clone) -> set[str]:
    ran = clone.dvc("repro")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    return set(re.findall(r"Running stage '([^']+)'", ran.stdout))


def test_every_output_is_there_and_verifies(undisturbed: Clone) -> None:
    stages = params.read(undisturbed.path / "dvc.lock")["stages"].values()
    folders = {out["path"] for stage in stages for out in stage["outs"] if out["md5"].endswith(".dir")}
    assert undisturbed.roots().keys() == folders >= {"data/dataset", "models/tuned", "report"}
    ran = undisturbed.make("verify")
    assert ran.returncode == 0, ran.stdout
    assert "0 damaged" in ran.stdout
    assert "rows" in (undisturbed.path / "report/summary.txt").read_text()


def test_a_second_run_does_nothing(undisturbed: Clone) -> None:
    assert ran_by_repro(undisturbed) == set()


def test_a_changed_value_runs_what_depends_on_it_and_nothing_else(undisturbed: Clone) -> None:
    params, roots = (undisturbed.path / "params.yaml").read_text(), undisturbed.roots()
    undisturbed.set(r"learning_rate: \S+", "learning_rate: 3.0e-4")
    assert ran_by_repro(undisturbed) == {"train", "sample@tuned", "score@tuned", "report"}
    assert undisturbed.roots()["models/tuned"] != roots["models/tuned"]
    (undisturbed.path / "params.yaml").write_text(params)
    assert ran_by_repro(undisturbed) == set()  # taken from the run cache
    assert undisturbed.roots() == roots


def test_metrics_and_plots_show(undisturbed: Clone) -> None:
    shown = json.loads(undisturbed.dvc("metrics", "show", "--json").stdout)
    files = set(shown[""]["data"])
    assert {"metrics/filter.json", "metrics/judge-1.json", "metrics/train.json", "metrics/score-tuned.json"} <= files
    ran = undisturbed.dvc("plots", "show", "--out", ".tidemill/plots")
    assert ran.returncode == 0, ran.stderr
    assert (undisturbed.path / ".tidemill/plots/index.html").is_file()


def test_a_row_is_traced_to_its_function(undisturbed: Clone) -> None:
    rows = (undisturbed.path / "data/dataset/train.jsonl").read_text().splitlines()
    row = json.loads(rows[0])
    ran = undisturbed.make("trace", row["id"][:20])
    assert ran.returncode == 0, ran.stderr
    for place in ("data/dataset", "data/verdicts", "data/candidates", "data/coreset", "data/corpus", "data/functions"):
        assert place in ran.stdout
    assert row["path"] in ran.stdout
    nobody = undisturbed.make("trace", "ffffffffffff0000")
    assert nobody.returncode == 3
    assert "no row" in nobody.stderr


def test_a_flipped_byte_stops_the_next_stage_and_the_printed_command_heals_it(undisturbed: Clone) -> None:
    file = undisturbed.path / "data/corpus/corpus.parquet"
    before = file.stat()
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    ran = undisturbed.command("stages/run", "embed")
    assert ran.returncode == 3
    assert "data/corpus/corpus.parquet was changed: sealed as " in ran.stderr
    assert undisturbed.make("verify").returncode == 3
    restore = re.search(r"`(rm -r data/corpus) && dvc (checkout data/corpus)`", ran.stderr)
    assert restore
    assert undisturbed.command(*restore[1].split()).returncode == 0
    assert undisturbed.dvc(*restore[2].split()).returncode == 0
    assert undisturbed.make("verify").returncode == 0


def test_push_pull_and_a_damaged_remote(undisturbed: Clone, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    assert undisturbed.dvc("remote", "add", "--default", "--force", "there", str(remote)).returncode == 0
    assert undisturbed.dvc("push").returncode == 0
    assert undisturbed.make("verify", "--remote").returncode == 0
    shutil.rmtree(undisturbed.path / "data/dataset")
    shutil.move(undisturbed.path / ".dvc/cache", tmp_path / "cache")
    pulled = undisturbed.dvc("pull", "data/dataset")
    assert pulled.returncode == 0, pulled.stderr
    shutil.rmtree(undisturbed.path / ".dvc/cache")
    shutil.move(tmp_path / "cache", undisturbed.path / ".dvc/cache")
    assert undisturbed.make("verify").returncode == 0
    victim = max((path for path in remote.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    victim.chmod(0o644)
    with victim.open("r+b") as stream:
        stream.write(b"\x00damaged\x00")
    ran = undisturbed.make("verify", "--remote")
    assert ran.returncode == 3
    assert victim.name in ran.stdout
    undisturbed.dvc("remote", "remove", "there")


def test_killed_anywhere_it_ends_with_the_same_roots(undisturbed: Clone, tmp_path: Path) -> None:
    """SIGKILL of dvc and its stage together, at random moments of the whole run."""
    clone = Clone(tmp_path)
    seed = int(os.environ.get("TIDEMILL_SEED", "0")) or random.randrange(1, 10**6)
    print(f"TIDEMILL_SEED={seed}")
    moments = random.Random(seed)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [DVC, "repro"], cwd=clone.path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(2 + 18 * moments.random())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ran = clone.dvc("repro")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert clone.roots() == undisturbed.roots()
