"""make replay: what may differ from the commit when a run is recorded. tests/test_pipeline.py replays a whole one."""

import json
import zipfile
from pathlib import Path

import pytest

from commands.replay import drawn, notice
from commands.replay.recording import travels


@pytest.mark.parametrize("line", [" M params.yaml", " M profile.yaml", "?? examples/", "?? examples/x/", "?? dvc.lock"])
def test_params_examples_and_what_clones_share_travel(line: str) -> None:
    assert travels(line)


@pytest.mark.parametrize("line", ["?? stages/new.py", " M stages/judge.py", " M dvc.yaml"])
def test_changed_and_new_code_does_not(line: str) -> None:
    assert not travels(line)


def test_the_notice_has_each_packages_licence_texts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "one": {
            "one/a.py": "",
            "one/LICENSE": "ours",
            "two/LICENSE": "not above a row",
            "one-1.dist-info/NOTICE": "by us",
        },
        "two": {"two/b.py": "", "LICENSE.txt": "ours\n", "two/license.py": "no text"},
    }
    for name, held in files.items():
        with zipfile.ZipFile(tmp_path / f"{name}.whl", "w") as wheel:
            for path, text in held.items():
                wheel.writestr(path, text)
    package = {"kind": "package", "registry": "pip", "version": "1", "sha256": "0" * 64}
    sources = [{**package, "name": name} for name in files]
    monkeypatch.setattr("stages.lib.params.merged", lambda: {"collect": {"sources": sources}})
    monkeypatch.setattr("stages.lib.corpus.reader.fetch", lambda source: tmp_path / f"{source.name}.whl")
    rows = [("one==1", "one/a.py"), ("two==1", "two/b.py"), ("two==1", "two/b.py"), ("mine", "c.py")]
    split = tmp_path / "train.jsonl"
    split.write_text("\n".join(json.dumps({"source": name, "path": path, "license": "MIT"}) for name, path in rows))

    notice.write(tmp_path / "NOTICE", [split, tmp_path / "validation.jsonl"])

    said = (tmp_path / "NOTICE").read_text()
    assert "mine: MIT (it carries no text); 1 row\n" in said
    assert "one==1: MIT (text 1, 2); 1 row\n" in said and "two==1: MIT (text 1); 2 rows" in said
    assert "Text 1: one==1, one/LICENSE; two==1, LICENSE.txt" in said and said.endswith("\n\nby us")
    assert "not above a row" not in said and "no text\n" not in said


def test_ten_rows_are_drawn_by_hash_whatever_their_order(tmp_path: Path) -> None:
    parts = {"task": "code repair", "language": "Go", "source": "s==1", "path": "a.go", "license": "MIT", "round": 1}
    rows = [
        {**parts, "id": f"{number:064}", "instruction": f"Fix {number}.", "input": "```", "output": "x", "tests": []}
        for number in range(30)
    ]
    pages = set()
    for place, held in enumerate((rows, rows[::-1])):
        split = tmp_path / f"{place}.jsonl"
        split.write_text("".join(json.dumps(row) + "\n" for row in held))
        drawn.write(tmp_path / "rows.md", [split, tmp_path / "none.jsonl"])
        pages.add((tmp_path / "rows.md").read_text())
    (page,) = pages
    assert page.startswith("# 10 of 30 rows") and page.count("**Instruction**") == 10 and "**Tests**" not in page
    assert page.count("````\n```\n````") == 10
