"""stages/run: the lock, signals and exit codes that every executor relies on."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import REPOSITORY, Workspace


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
