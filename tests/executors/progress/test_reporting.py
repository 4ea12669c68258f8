"""A stage's own side of progress: a file for the display, or a line every ten seconds."""

import re
import time
from pathlib import Path

import pytest
from workspace import REPOSITORY, Workspace

from executors import container
from executors.progress import report
from stages.lib import progress

LINE = re.compile(
    r"judge@1: asking: [1-9] of 10 rows, 1 in flight, the oldest for 0 s, \d+ rows/s, passed 50%, "
    r"(?:no estimate yet|\d s left)"
)


def work_a_little() -> None:
    with progress.work("asking", 10, "rows") as work:
        for number in range(10):
            work.begin(number)
            time.sleep(0.05)
            work.end(number)
            work.note(passed="50%", last="a row that only the display shows")
            work.begin(number + 1)


def test_without_a_display_there_are_lines_and_not_too_many(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(report.FOLDER, raising=False)
    monkeypatch.setattr(report, "TICK_S", 0.02)
    monkeypatch.setattr(report, "EVERY_S", 0.2)
    caplog.set_level("INFO")
    with report.reporting("judge@1"):
        work_a_little()
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 2 and all(LINE.fullmatch(line) for line in lines), lines


def test_for_the_display_there_is_a_file_and_no_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv(report.FOLDER, str(tmp_path))
    monkeypatch.setattr(report, "TICK_S", 0.02)
    monkeypatch.setattr(report, "EVERY_S", 0.1)
    caplog.set_level("INFO")
    with report.reporting("judge@1"):
        work_a_little()
    assert not caplog.records
    state = report.read(tmp_path / "judge@1.json")
    assert state and state.total == 10 and state.done >= 8 and state.facts["last"].startswith("a row")
    assert state.left is not None and state.left < 2


def test_progress_changes_no_byte(workspace: Workspace, tmp_path: Path) -> None:
    tree = workspace.path / "tree"
    tree.mkdir()
    functions = [f"def add_{n}(a, b):\n    c = a * {n}\n    return c + b\n" for n in range(50)]
    (tree / "code.py").write_text("\n\n".join(functions))
    workspace.set("collect.sources", [{"kind": "tree", "name": "own", "path": "tree"}])
    (tmp_path / "told").mkdir()
    made = []
    for environment in ({}, {report.FOLDER: str(tmp_path / "told"), report.LEVEL: "debug"}):
        ran = workspace.run("collect", **environment)
        assert ran.returncode == 0, ran.stderr
        made.append({file: file.read_bytes() for file in Path("data/functions").iterdir()})
    assert made[0] == made[1] and "own: 50 functions" in ran.stderr


def test_a_stage_in_a_container_writes_to_the_same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    words = container.command("podman", "collect", "cpu", "sha256:0")
    assert report.FOLDER not in words, "a log of its own"
    monkeypatch.setenv(report.FOLDER, ".tidemill/run/progress")  # relative: the workspace is mounted
    words = container.command("podman", "collect", "cpu", "sha256:0")
    assert words[words.index(report.FOLDER) - 1] == "--env"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1:00 min"), (125, "2:05 min"), (3600, "1:00 h"), (7500, "2:05 h")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert report.duration(seconds) == words
