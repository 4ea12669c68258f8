"""A sample of the kill series (tests/soak), other moments each time, with the seed
printed; what a kill leaves of DVC's own files; SIGTERM to a pod.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed
import pytest
import soak_cluster
from clones import Street
from workspace import REPOSITORY

KILLS = os.environ.get("TIDEMILL_DEPLOY_KILLS", "1")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("series", "option", "choice"),
    [("soak_kills.py", "--windows", killed.WINDOWS), ("soak_cluster.py", "--victims", soak_cluster.VICTIMS)],
)
def test_killed_at_random_moments_the_result_is_the_same(series: str, option: str, choice: tuple[str, ...]) -> None:
    """One window, one victim, drawn each time."""
    words = [str(REPOSITORY / "tests/soak" / series), "--kills", KILLS, "--seed", str(random.randrange(1 << 32))]
    command = [sys.executable, *words, option, random.choice(choice)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=880)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}\n{ran.stderr}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """A repository in which everything is made, and dvc.lock committed."""
    street = Street(tmp_path_factory.mktemp("made") / "host", "", ("collect",))
    assert street.dvc("repro").returncode == 0
    street.commit()
    return street


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2].rstrip() + b": [")


def empty_run_cache(street: Street) -> None:
    """As it is when a kill came between an entry's folder and the entry; and the stage is stale, so that it matters."""
    for entry in (street.path / ".dvc/cache/runs").glob("??/*/*"):
        entry.unlink()
    (street.path / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda street: cut(street.path / "dvc.lock"), "dvc.lock was cut short"),
        (lambda street: (street.path / ".dvc/tmp/rwlock").write_text(""), "rwlock, which was cut short"),
        (empty_run_cache, "an empty entry of DVC's run cache"),
    ],
    ids=["dvc.lock", "rwlock", "run cache"],
)
def test_what_a_kill_leaves_of_dvcs_files_is_put_right(made: Street, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    before = (made.path / "dvc.lock").read_text()
    damage(made)
    assert made.dvc("repro", "--force" if "rwlock" in said else "--quiet").returncode, "or DVC copes by itself now"
    ran = made.run("executors.tracking.recover")
    assert ran.returncode == 0 and said in ran.stderr
    assert made.dvc("repro").returncode == 0
    assert (made.path / "dvc.lock").read_text() == before
    assert made.run("executors.tracking.recover").returncode == 1, "nothing is damaged any more"


def test_a_conflict_in_dvc_lock_is_a_persons_to_resolve(made: Street) -> None:
    lock = made.path / "dvc.lock"
    before = lock.read_text()
    lock.write_text(before + "\n<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    assert made.run("executors.tracking.recover").returncode == 1
    assert "<<<<<<< ours" in lock.read_text()
    lock.write_text(before)


def test_sigterm_before_the_stage_runs_costs_no_attempt(made: Street) -> None:
    """And reaches nobody else: the process that the last pod's stage was is another one in this pod."""
    (made.path / "dvc.lock").unlink()
    shutil.rmtree(made.path / ".dvc/cache/runs")
    run = made.path / "stages/run"
    text = run.read_text()
    run.write_text("#!/bin/sh\ntouch here\nexec sleep 600\n")  # it never comes to hold its lock
    bystander = subprocess.Popen(["sleep", "600"])
    lock = made.path / ".tidemill/run/collect.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(f"process {bystander.pid}")
    environment = made.env(STAGE="collect", COMMIT="HEAD", WORKSPACE=str(made.path))
    command = [sys.executable, str(made.path / "k8s/base/pod.py"), "run"]
    pod = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        while not (made.path / "here").exists():
            assert pod.poll() is None
            time.sleep(0.05)
        pod.send_signal(signal.SIGTERM)
        assert pod.wait(60) == 75
        assert bystander.poll() is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pod.pid, signal.SIGKILL)
        bystander.kill()
        bystander.wait()
        run.write_text(text)
