"""stages/run: the lock, signals and exit codes that every executor relies on."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from workspace import REPOSITORY, Workspace

from executors import runner
from stages.lib import checkpoint


def test_unknown_stage_is_bad_input(workspace: Workspace) -> None:
    ran = workspace.run("fliter")
    assert ran.returncode == 3
    assert "no stage 'fliter'; choose one of assemble, collect" in ran.stderr


def test_misspelt_key_is_bad_input_and_loses_nothing(workspace: Workspace) -> None:
    workspace.set("filter.min_lenght", 3)
    ran = workspace.run("filter")
    assert ran.returncode == 3
    assert "filter.min_lenght: unknown key" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert Path(".tidemill/run/filter.json").read_text().endswith('"status": 3}\n')
    assert not Path("data").exists()


def test_missing_input_names_the_repair(workspace: Workspace) -> None:
    ran = workspace.run("filter")
    assert ran.returncode == 3
    assert "data/functions is missing; get it with `dvc pull data/functions`" in ran.stderr


def test_a_second_run_is_refused_naming_the_first(workspace: Workspace) -> None:
    state = workspace.path / ".tidemill/run"
    state.mkdir(parents=True)
    with (state / "filter.lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4242")
        lock.flush()
        ran = workspace.run("filter")
    assert ran.returncode == 3
    assert "filter is already running as process 4242" in ran.stderr


def test_the_shell_door_works_from_any_folder(tmp_path: Path) -> None:
    ran = subprocess.run(
        [REPOSITORY / "stages/run", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0
    assert "75 preempted" in ran.stdout


def test_a_full_disk_is_said_plainly(workspace: Workspace) -> None:
    """A real full file system: a tmpfs of 64 KiB in a mount namespace of its own."""
    small = workspace.path / "small"
    small.mkdir()
    (small / "params.yaml").write_text((workspace.path / "params.yaml").read_text())
    program = (
        "from executors import runner\n"
        "from stages.lib import artifacts\n"
        "import sys, types\n"
        "def main():\n"
        "    with artifacts.create('data/functions', stage='collect') as out:\n"
        "        (out / 'big.bin').write_bytes(bytes(1 << 20))\n"
        "sys.modules['stages.collect'] = types.SimpleNamespace(main=main)\n"
        "sys.argv = ['run', 'collect']\n"
        "sys.exit(runner.main(sys.argv[1:]))\n"
    )
    if not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) is not here, so no file system can be made small")
    script = f'mount -t tmpfs -o size=64k tmpfs {small} && cd {small} && exec {sys.executable} -c "$PROGRAM"'
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=workspace.environment(PROGRAM=program, TIDEMILL_PARAMS_CHECKED="1"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "unshare" in ran.stderr:
        pytest.skip(f"no mount namespace here: {ran.stderr.strip()}")
    assert ran.returncode == 1, ran.stderr
    assert "the disk is full" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_environment_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    shutil.copy(REPOSITORY / "stages/run", tmp_path / "stages/run")
    stub = tmp_path / "bin/python3"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nexit 1\n")  # a Python without our packages
    stub.chmod(0o755)
    path = {"PATH": f"{stub.parent}:{os.defpath}"}
    ran = subprocess.run([tmp_path / "stages/run", "collect"], env=path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 3
    assert ran.stderr == "stages/run: there is no environment here; run `make setup`\n"


def test_a_missing_package_is_said_plainly(workspace: Workspace) -> None:
    hidden = workspace.path / "hidden/pyarrow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('gone', name='pyarrow')")
    ran = workspace.run("filter", PYTHONPATH=f"{hidden.parent}:{REPOSITORY}")
    assert ran.returncode == 3 and "the package pyarrow is not installed in " in ran.stderr
    assert "make setup" in ran.stderr and "Traceback" not in ran.stderr


def test_a_read_only_workspace_is_said_plainly(workspace: Workspace) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) is not here, so no file system can be mounted")
    small = workspace.path / "small"
    small.mkdir()
    fill = f"mount -t tmpfs tmpfs {small} && cp {workspace.path}/params.yaml {small} && mount -o remount,ro {small}"
    script = f"{fill} && cd {small} && exec {sys.executable} -m executors.runner collect"
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "unshare" in ran.stderr:
        pytest.skip(f"no mount namespace here: {ran.stderr.strip()}")
    assert ran.returncode == 3 and "Read-only file system; make it writable" in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr


def test_two_sigterm_at_once_are_one_and_a_later_one_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm sends it to every process of a job, and the program that started the stage passes it on."""
    now = [0.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoint, "_stop_requested", False)
    before = signal.getsignal(signal.SIGTERM)
    try:
        runner._stop_on_sigterm()
        for now[0] in (5.0, 5.1, 5.9):
            signal.raise_signal(signal.SIGTERM)
            assert checkpoint.stop_requested()
        now[0] = 8.0
        with pytest.raises(checkpoint.Preempted, match="stopped at once by a second SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_git_sees_nothing_that_a_run_makes(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for folder in ("data", "models", "report", "metrics", "plots", "dvc_plots", "journal", ".tidemill"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("x")
    (tmp_path / ".venv").symlink_to("/elsewhere")
    listed = ["git", "-C", str(tmp_path), "status", "--porcelain"]
    assert subprocess.run(listed, check=True, capture_output=True, text=True).stdout == "?? .gitignore\n"


def test_make_leaves_out_what_dvc_says_after_every_stage(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: echo x > out, outs: [out]}}")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    program = "from executors.tracking import repro; raise SystemExit(repro.run([]))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0 and "Running stage 'one'" in ran.stdout
    assert "To track the changes" not in ran.stdout + ran.stderr and "dvc push" not in ran.stdout
