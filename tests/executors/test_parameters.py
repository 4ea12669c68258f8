"""Every section of params.yaml is checked before any stage runs, and the rounds against dvc.yaml."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workspace import REPOSITORY, Workspace

from executors import parameters
from executors.tracking import rounds
from stages.lib import params
from stages.lib.errors import BadInput


def run(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=workspace.path, env=workspace.environment(), capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "words",
    [("-m", "executors"), ("-m", "commands", "plan"), ("-m", "executors.runner", "collect")],
    ids=["make", "make plan", "dvc repro's first stage"],
)
def test_a_typo_in_a_late_section_is_said_before_collect_runs(workspace: Workspace, words: tuple[str, ...]) -> None:
    workspace.set("train.epoch", 3)
    workspace.set("judge.teacher.temprature", 0.5)
    ran = run(workspace, *words)
    assert ran.returncode == 3, ran.stderr
    assert "train.epoch: unknown key; did you mean 'epochs'?" in ran.stderr
    assert "judge.teacher.temprature: unknown key; did you mean 'temperature'?" in ran.stderr
    assert "Traceback" not in ran.stderr and not Path("data").exists()


def test_the_files_of_the_repository_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv(parameters.CHECKED, "")  # undone after the test
    monkeypatch.delenv(parameters.CHECKED)
    parameters.check()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("teacher.free", "yes", "teacher.free: Input should be a valid boolean"),
        ("generate.mix", {"code reveiw": 1.0}, "no task 'code reveiw'"),
        ("generate.method", "self-instuct", "no method 'self-instuct'"),
        ("generate.tests.languages", ["Ruby"], "'Ruby' cannot be run"),
        ("measure.metrics", ["vendi"], "unknown metric 'vendi'"),
        ("sample.temperature", 2.5, "sample.temperature: Input should be less than or equal to 2"),
        ("sample.benchmark", "humanevil", "sample.benchmark: no benchmark 'humanevil'"),
    ],
)
def test_values_that_a_stage_refuses_are_refused_at_the_start(
    workspace: Workspace, key: str, value: Any, message: str
) -> None:
    workspace.set(key, value)
    with pytest.raises(BadInput, match=message) as raised:
        parameters.check()
    assert str(raised.value).count(message) == 1, "a key that three stages share is named once"


def test_a_section_that_no_stage_reads_is_named(workspace: Workspace) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text + "\ntrian: {epochs: 3}\n")
    with pytest.raises(BadInput, match="trian: no stage reads this section; did you mean 'train'"):
        parameters.check()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generate.rounds", 3, "generate.rounds: 3 rounds, but dvc.yaml has 2"),
        ("generate.rounds", 1, "generate.rounds: 1 rounds, but dvc.yaml has 2"),
        ("assemble.rounds", [1], r"assemble.rounds: \[1\], but dvc.yaml has the rounds \[1, 2\]"),
        ("assemble.rounds", [1, 2, 3], r"assemble.rounds: \[1, 2, 3\], but dvc.yaml has"),
    ],
)
def test_rounds_other_than_dvcs_are_refused(workspace: Workspace, key: str, value: Any, message: str) -> None:
    Path("dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    assert rounds.mistakes(params.read()) == []
    workspace.set(key, value)
    with pytest.raises(BadInput, match=message):
        parameters.check()


def test_a_round_that_one_stage_of_dvc_yaml_lacks_is_named(workspace: Workspace) -> None:
    text = (REPOSITORY / "dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("foreach: [1, 2]", "foreach: [1]"))
    with pytest.raises(BadInput, match=r"rounds \[1, 2\] for generate, but \[1\] for judge"):
        parameters.check()
