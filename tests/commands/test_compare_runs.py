"""Two small runs on one page."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Browser
from finished import Built
from workspace import Workspace

from commands.compare_runs import comparison, main, sides
from commands.compare_runs.sides import Side
from stages.lib import statistics
from stages.lib.errors import BadInput
from stages.lib.report import packing

Row = dict[str, Any]
DVC = Path(sys.executable).with_name("dvc")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs whose judges differ: the second fails what is in Java."""
    found = []
    for name, wanted in (("one", {}), ("two", {"lost": "Java"})):
        folder = tmp_path_factory.mktemp(name)
        with chdir(folder):
            workspace = Workspace(folder)
            Built(**wanted)
            ran = workspace.run("report")
        assert ran.returncode == 0, ran.stderr
        found.append(folder)
    return found[0], found[1]


@pytest.fixture
def both(runs: tuple[Path, Path]) -> tuple[Side, Side]:
    return sides.read("A", str(runs[0])), sides.read("B", str(runs[1]))


def test_figures_stand_side_by_side_with_their_difference(both: tuple[Side, Side]) -> None:
    lines = {line.name: line for line in comparison.gather(*both)["lines"]}
    passed = [
        sum(row["outcome"] in ("in the dataset", "dropped by assemble") for row in side.rows.values()) for side in both
    ]
    stood = both[0].figures["passed the checks"]["hits"]
    judged = lines["of these passed by the judge"]
    assert passed[0] > passed[1]
    assert judged.difference == pytest.approx((passed[1] - passed[0]) / stood)
    assert list(judged.interval or ()) == statistics.difference(passed[1], stood, passed[0], stood)
    assert lines["functions collected"].difference == 0 and lines["functions collected"].interval is None
    assert lines["training loss, last"].a == lines["training loss, last"].b
    assert lines["pass@1, tuned"].interval == (0.0, 0.0), "the same problems, solved alike"


def test_every_row_is_there_once_with_both_verdicts(both: tuple[Side, Side]) -> None:
    a, b = both
    only = dict(list(a.rows.items())[3:])
    fewer = Side("A", "a", {**a.data, "rows": list(only.values())})
    rows = {row["id"]: row for row in comparison.merge(fewer, b)}
    assert rows.keys() == a.rows.keys() | b.rows.keys()
    for row_id, row in rows.items():
        if row_id not in only:
            assert row["run"] == "only in B" and "then" not in row
        elif a.rows[row_id]["outcome"] == b.rows[row_id]["outcome"]:
            assert row["run"] == "in both, same verdict"
        else:
            assert row["run"] == "in both, other verdict" and f"In B: {b.rows[row_id]['outcome']}" in row["then"]
    moved = comparison.gather(a, b)["moved"]
    assert sum(count for *_, count in moved) == len(a.rows)
    assert {one for one, other, _ in moved if one != other} == {"in the dataset"}


def test_problems_that_differ_are_not_compared(both: tuple[Side, Side]) -> None:
    a, b = both
    fewer = {model: dict(list(solved.items())[1:]) for model, solved in b.data["problems"].items()}
    facts = comparison.gather(a, Side("B", "b", {**b.data, "problems": fewer}))
    assert facts["examined"] is None
    assert next(line for line in facts["lines"] if line.name == "pass@1, tuned").interval is None


def test_what_differs_is_named(both: tuple[Side, Side]) -> None:
    a, b = both
    facts = comparison.gather(a, b)
    assert facts["parameters"] == []
    assert {"data/corpus", "data/coreset", "models/tuned"} - set(facts["same"]) == {"models/tuned"}
    known = {**b.data["parameters"], "models/tuned": {"learning_rate": 2e-4}}
    facts = comparison.gather(a, Side("B", "b", {**b.data, "parameters": known}))
    assert facts["parameters"][0] == ("models/tuned", "learning_rate", "0.0001", "0.0002")


def test_a_page_alone_is_enough(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mailed = shutil.copy(runs[1] / "report/index.html", tmp_path / "mailed.html")
    out = tmp_path / "out/comparison.html"
    main([str(runs[0]), str(mailed), "--out", str(out)])
    told = capsys.readouterr().out
    assert "in both, other verdict" in told and told.endswith(f"{out}\n")
    first = out.read_bytes()
    main([str(runs[0]), str(mailed), "--out", str(out)])
    assert out.read_bytes() == first, "the same pages give the same bytes"


def test_a_revision_is_read_from_dvcs_cache(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs[0] / "report", tmp_path / "report")
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    own = ["-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (
        ["git", "init", "--quiet"],
        [str(DVC), "init", "--quiet"],
        [str(DVC), "add", "--quiet", "report"],
        ["git", "add", "."],
        ["git", *own, "commit", "--quiet", "-m", "a run"],
    ):
        subprocess.run(words, check=True, env=environment, capture_output=True)
    shutil.rmtree("report")
    main(["HEAD", str(runs[1])])
    assert "in both, other verdict" in capsys.readouterr().out
    assert packing.read(Path(".tidemill/comparison.html"))["rows"]
    with pytest.raises(BadInput, match="nowhere is neither a folder or page here nor a git revision"):
        main(["nowhere", "HEAD"])
    shutil.rmtree(".dvc/cache")
    with pytest.raises(BadInput, match="of HEAD is neither in DVC's cache nor on the remote"):
        main(["HEAD", str(runs[1])])


def test_what_is_no_report_is_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="A is missing: make compare-runs A=… B=…"):
        main(["", str(runs[0])])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty has no report/index\.html"):
        main([str(tmp_path / "empty"), str(runs[0])])
    old = tmp_path / "old.html"
    old.write_text("<html></html>")
    with pytest.raises(BadInput, match=r"old\.html is no report, or one of an older Tidemill"):
        main([str(old), str(runs[0])])
    shutil.copytree(runs[0] / "report", tmp_path / "edited/report")
    with (tmp_path / "edited/report/index.html").open("a") as page:
        page.write("<!-- -->")
    with pytest.raises(BadInput, match="was changed after it was sealed"):
        main([str(tmp_path / "edited"), str(runs[0])])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium.start(tmp_path) as running:
        yield running


@pytest.mark.slow
def test_the_page_filters_by_run(runs: tuple[Path, Path], tmp_path: Path, browser: Browser) -> None:
    out = tmp_path / "comparison.html"
    main([str(runs[0]), str(runs[1]), "--out", str(out)])
    browser.open(out, "#rows?run=in+both%2C+other+verdict")
    moved = [row for row in packing.read(out)["rows"] if row["run"] == "in both, other verdict"]
    assert browser.texts(".count") == [f"{len(moved)} of {len(packing.read(out)['rows'])} rows"]
    browser.click(".line")
    assert "In A: in the dataset. In B: failed the" in browser.texts(".chain")[0]
    browser.resize(390, 844)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
