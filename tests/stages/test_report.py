"""The report on a small finished run."""

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from finished import MODEL, NASTY, SYSTEM, TASKS, Built, sha
from workspace import Workspace

from stages.lib import artifacts
from stages.lib.judging import rates
from stages.lib.report import evaluation, exchanges, losses, mix, packing, rendering

Row = dict[str, Any]


class Page(HTMLParser):
    """The report's elements and text; balanced tags are asserted while it is read."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self.open}:
            self.words.append(data)


@pytest.fixture
def report(workspace: Workspace) -> Callable[..., tuple[Built, Page]]:
    def make(**wanted: Any) -> tuple[Built, Page]:
        built = Built(**wanted)
        ran = workspace.run("report")
        assert ran.returncode == 0, ran.stderr
        return built, Page(Path("report/index.html").read_text())

    return make


def summary() -> dict[str, str]:
    lines = Path("report/summary.txt").read_text().splitlines()
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in lines)


def test_the_page_holds_the_numbers_of_its_artifacts(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report()
    verdicts = built.verdicts[1] + built.verdicts[2]
    passed = sum(row["passed"] for row in verdicts)
    assert f"From {len(built.functions)} functions to {len(built.split['train'])} training rows" in page.text
    assert f"judge passed {passed} of these" in page.text
    assert f"{built.radii[-1]:.4g}" in page.text
    assert f"{built.losses[0]:.3f} → {built.losses[-1]:.3f}" in page.text
    assert "The first 10 of 164 problems of HumanEval: 1 completion each, greedy, of at most 96 tokens" in page.text
    assert "1 of 10 completions, 95% interval 1.2% to 45.7%" in page.text
    assert "on the held-out rows to 1.875" in page.text
    for rule in ("length", "syntax"):
        rows = sum(row["rule"] == rule for row in built.dropped)
        assert f"{rule} {rows} rows, {100 * rows / len(built.functions):.1f}%" in page.text
    for artifact in artifacts.find_all():
        if artifact.name != "report":
            assert artifacts.open(artifact).root in page.text


@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp", "humanevalfix-go"])
def test_the_page_names_the_benchmark_that_was_run(report: Callable[..., tuple[Built, Page]], benchmark: str) -> None:
    _, page = report(benchmark=benchmark)
    assert f"Only one benchmark was run: {benchmark}." in page.text
    assert "MBPP and HumanEvalPack" not in page.text


def plant(kind: str, number: int, check: bool, judge: bool | None, drawn: bool = True) -> Row:
    """A plant with the rulings of a check and, unless `judge` is None, of two rules of the judge."""
    rulings = [{"rule": "solution_parses", "kind": "check", "passed": check, "reason": ""}]
    if judge is not None:
        said = {"is_clear": True, "overall": judge}
        rulings += [{"rule": rule, "kind": "judge", "passed": passed, "reason": ""} for rule, passed in said.items()]
    breaks = {"good": [], "wrong language": ["solution_parses", "overall"], "mutated code": ["overall"]}[kind]
    fields = {"task": "code repair", "kind": kind, "breaks": breaks, "rulings": rulings, "drawn": drawn}
    return {"id": sha(kind, number), "origin": "seed", **fields}


def planted(caught: int, alarms: int) -> tuple[Row, ...]:
    """30 instances: 8 good ones, 12 spoiled ones that a check fails, 10 that the judge alone can fail."""
    return (
        *(plant("good", n, True, n >= alarms) for n in range(8)),
        *(plant("wrong language", n, False, None, drawn=n < 5) for n in range(12)),
        *(plant("mutated code", n, True, n >= caught) for n in range(10)),
    )


def test_a_judge_that_was_not_on_trial(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report()
    assert page.text.count("The judge was not put on trial in this run") == 2
    assert "planted faults caught not tried" in page.text and "not on trial" in page.text
    assert summary()["judge on trial"] == "not held; nobody knows how many bad rows it passes"


@pytest.mark.parametrize("audited", [(1,), (1, 2)])
def test_the_judge_on_trial(report: Callable[..., tuple[Built, Page]], audited: tuple[int, ...]) -> None:
    _, page = report(planted=planted(caught=9, alarms=1), audited=audited)
    times = len(audited)
    both, alone, good = (f"{hits * times} of {of * times}" for hits, of in ((14, 15), (9, 10), (1, 8)))
    assert page.text.count(f"On trial, checks and judge together caught {both} (") == 2
    assert f"the judge alone caught {alone} (" in page.text
    assert f"planted faults caught {both} the judge alone {alone}" in page.text
    assert f"good instances failed {good} by the judge alone {good}" in page.text
    assert f"{30 * times} instances of known quality were planted" in page.text
    assert f"{23 * times} were drawn" in page.text and f"the judge was asked about {18 * times} of them" in page.text
    checks = f"{12 * times} of {22 * times}"
    assert f"the checks, on all {checks}" in page.text
    assert f"On trial: caught {12 * times} of {12 * times}, failed 0 of {8 * times} good ones" in page.text
    assert "On trial: not tried: no spoiled instance that breaks it" in page.text, "is_clear"
    said = f"{both} planted faults caught, {good} good ones failed; the judge alone {alone} and {good}"
    assert summary()["judge on trial"] == said
    if times == 1:
        intervals = [rates.interval(14, 15), rates.interval(1, 8), rates.interval(9, 10)]
        for bounds in intervals:
            assert bounds and f"({bounds[0]:.0%} to {bounds[1]:.0%})" in page.text


@pytest.mark.parametrize(
    ("caught", "alarms", "word"),
    [(9, 1, "better than chance"), (3, 2, "cannot be told from chance"), (0, 8, "worse than chance")],
)
def test_a_rule_that_is_not_worth_believing_says_so(
    report: Callable[..., tuple[Built, Page]], caught: int, alarms: int, word: str
) -> None:
    _, page = report(planted=planted(caught, alarms), judge_rule="overall")
    assert f"On trial: caught {caught} of 10, failed {alarms} of 8 good ones; {word}" in page.text
    assert f"the judge alone caught {caught} of 10" in page.text
    assert f": {word}." in page.text


def test_two_plants_are_too_few_to_tell_anything(report: Callable[..., tuple[Built, Page]]) -> None:
    rows = (plant("good", 0, True, True), plant("mutated code", 0, True, False))
    _, page = report(planted=rows, audited=(1,), judge_rule="overall")
    assert "caught 1 of 1, failed 0 of 1 good ones; too few plants to tell it from chance" in page.text


def test_checks_and_judge_have_a_figure_each(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report()
    rows = [row for rows in built.verdicts.values() for row in rows]
    stood = sum(all(one["passed"] for one in row["rulings"] if one["kind"] == "check") for row in rows)
    passed = sum(row["passed"] for row in rows)
    assert 0 < passed < stood < len(rows)
    share, own = 100 * stood / len(rows), 100 * passed / stood
    assert f"{stood} of {len(rows)} candidates passed them ({share:.1f}%)" in page.text
    assert f"the judge passed {passed} of these {stood} ({own:.1f}%)" in page.text
    assert f"passed the checks {stood} of {len(rows)} {share:.1f}% of the candidates" in page.text
    assert f"passed by the judge {passed} of these {stood} {own:.1f}%" in page.text
    assert "pass rate" not in page.text
    assert summary()["checks"] == f"{stood} of {len(rows)} candidates passed ({share:.1f}%)"
    assert summary()["judge"] == f"{passed} of these {stood} passed ({own:.1f}%)"


def test_no_model_is_called_weak_by_its_name(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report(planted=planted(caught=9, alarms=0))
    assert MODEL in page.text and "weak" not in page.text.lower()


def test_how_alike_the_instructions_are(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report()
    rows = sum(len(rows) for rows in built.split.values())
    assert f"Of the dataset’s {rows} instructions, 80.0% begin with five words of their own" in page.text
    assert "from 1 to 2, 30.0%, 65.0% are different" in page.text
    kept = [row for rows in built.split.values() for row in rows]
    own = sum(row["task"] == TASKS[0] for row in kept)
    assert f"{TASKS[0]} {own} 40.0%" in page.text
    _, page = report(instructions=None)
    assert "begin with five words" not in page.text, "measure.metrics left it out"


def test_the_summary_holds_the_same_numbers(report: Callable[..., tuple[Built, Page]]) -> None:
    built, _ = report()
    lines = summary()
    passed = sum(row["passed"] for rows in built.verdicts.values() for row in rows)
    metrics = {model: artifacts.read_json(Path(f"metrics/score-{model}.json")) for model in ("base", "tuned")}
    coverage = artifacts.read_json(Path("metrics/coreset.json"))
    assert lines["filter"] == f"{len(built.corpus)} of {len(built.functions)} functions"
    kept = sum(len(rows) for rows in built.split.values())
    assert lines["assemble"] == f"{kept} of {passed} rows that passed"
    assert not any("pass rate" in label for label in lines), "two figures, named what they are"
    assert lines["covering radius"].startswith(f"{coverage['radius_last']:.4g} after {len(built.picks)} picks")
    assert lines["training loss"] == f"{built.losses[0]:.3f} first, {built.losses[-1]:.3f} last"
    for model, values in metrics.items():
        counts = f"({len(built.solved[model])} of 10 completions"
        assert lines[f"pass@1, {model}"].startswith(f"{100 * values['pass@1']:.1f}% {counts}")
    assert lines["report"] == "report/index.html"


def test_the_page_loads_nothing(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report()
    html = Path("report/index.html").read_text()
    assert not [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object", "embed", "image"}]
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(html) < 2_000_000


def test_every_link_and_label_has_its_target(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report()
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {
        (attributes.get(name) or "").lstrip("#").partition("?")[0]
        for _, attributes in page.tags
        for name in ("href", "xlink:href", "aria-labelledby")
        if name in attributes
    }
    assert wanted <= set(ids)
    svgs = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(svgs) == 3
    assert all(svg["aria-label"] and svg["role"] == "img" for svg in svgs)


def test_what_comes_from_models_and_corpora_is_escaped(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report(nasty=NASTY)
    html = Path("report/index.html").read_text()
    assert html.count("<script") == 2, "the data and the program"
    assert "<b>" not in html
    assert page.text.count(NASTY) >= 2, "a filter's reason, a judge's"


def test_the_same_artifacts_give_the_same_bytes(
    report: Callable[..., tuple[Built, Page]], workspace: Workspace
) -> None:
    report()
    first = artifacts.open("report").root
    assert workspace.run("report", PYTHONHASHSEED="7", TZ="Asia/Tokyo").returncode == 0
    assert artifacts.open("report").root == first


@pytest.mark.parametrize(
    "file", ["data/corpus/dropped.parquet", "data/verdicts/2/verdicts.parquet", "data/scores/tuned/scores.parquet"]
)
def test_a_damaged_artifact_stops_it_by_name(workspace: Workspace, file: str) -> None:
    Built()
    data = bytearray(Path(file).read_bytes())
    data[len(data) // 2] ^= 1
    Path(file).write_bytes(data)
    ran = workspace.run("report")
    assert ran.returncode == 3
    assert f"{file} was changed" in ran.stderr
    assert not Path("report/artifact.json").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "metrics/filter.json is missing; run `dvc repro --force filter`"),
        (lambda file: file.write_text("{"), "metrics/filter.json is not JSON"),
        (lambda file: file.write_text("[]"), "metrics/filter.json is not a JSON object"),
    ],
)
def test_missing_metrics_stop_it_by_name(workspace: Workspace, damage: Callable[[Path], None], message: str) -> None:
    Built()
    damage(Path("metrics/filter.json"))
    ran = workspace.run("report")
    assert ran.returncode == 3
    assert message in ran.stderr


def test_a_model_tuned_on_ones_own_rows_is_reported_with_these(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report(own=True)
    assert "tuned on 41 rows of mine.jsonl, with 7 held out for validation, and on no row of this dataset" in page.text
    assert "of mine.jsonl, not of this dataset" in page.text
    assert summary()["trained on"] == "41 rows of mine.jsonl, 7 for validation"


def test_rows_of_another_tool_are_reported_as_such(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report(foreign={"file": "mine.jsonl", "sha256": "0ab1"})
    assert "Another tool wrote the rows: mine.jsonl , sha256 0ab1" in page.text and "A teacher wrote" not in page.text
    assert "Teacher another tool" in page.text and "generate@1 rows of the file" in page.text
    assert summary()["generate@1"].endswith("rows of the file")


def test_a_run_without_drops_or_validation_or_a_row_that_passed(report: Callable[..., tuple[Built, Page]]) -> None:
    _, page = report(drops=False, validation=False, passing=False)
    assert "It dropped nothing in this run." in page.text
    assert "There is no validation loss, because no row was held out" in page.text
    assert "the judge passed 0 of these 0 (–)" in page.text
    assert "to 0 training rows" in page.text


def test_the_page_holds_every_row_with_its_chain(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report()
    data = packing.read(Path("report/index.html"))
    found = {row["id"]: row for row in data["rows"]}
    verdicts = {row["id"]: row for rows in built.verdicts.values() for row in rows}
    aside = built.corpus[30]["id"]
    assert found.keys() == {*verdicts, aside, built.unanswered["id"], built.unjudged["id"]}
    assert data["dataset"] == artifacts.open("data/dataset").root
    splits = {row["id"]: name for name, rows in built.split.items() for row in rows}
    for row_id, made in verdicts.items():
        row = found[row_id]
        assert row["instruction"] == made["instruction"] and row["output"] == made["solution"]
        assert row["function"]["code"] in {one["code"] for one in built.functions}
        assert row["asked"]["answer"] == f"answer to {made['request']}"
        assert ("judged" in row) == bool(made["judge_request"])
        assert row.get("split") == splits.get(row_id)
        assert (row["outcome"] == "in the dataset") == (row_id in splits)
        assert len(row["rulings"]) == len(made["rulings"])
    assert [row["outcome"] for row in found.values()].count("dropped by assemble") == 1
    assert found[aside]["stopped"] == ["too long"] and found[aside]["outcome"] == "set aside"
    assert found[built.unanswered["id"]]["attempts"] == [["not JSON", "I cannot"]]
    assert found[built.unjudged["id"]]["instruction"] == built.unjudged["instruction"]
    assert all(row["outcome"] == "dead letter" for row in (found[built.unanswered["id"]], found[built.unjudged["id"]]))
    assert f"{len(found)} rows: every candidate" in page.text


def test_each_judge_of_a_panel_has_its_ballot(report: Callable[..., tuple[Built, Page]]) -> None:
    report(panel=True)
    for row in packing.read(Path("report/index.html"))["rows"]:
        if "judged" not in row:
            assert "panel" not in row
            continue
        first, second = row["panel"]
        assert (first["model"], second["model"]) == ("judge-1", "judge-2")
        assert first["rulings"] == second["rulings"] == row["rulings"][-1:]
        assert "asked" not in first, "it is the row's own"
        assert second["asked"]["answer"] == f"answer to {sha('second', row['id'])}"


def test_texts_that_requests_have_in_common_are_held_once() -> None:
    asked = [{"messages": [["system", SYSTEM], ["user", f"question {n}"]], "settings": []} for n in range(3)]
    rows: list[Row] = [{"asked": asked[0]}, {"judged": asked[1]}, {"panel": [{"asked": asked[2]}, {}]}]
    before = copy.deepcopy(rows)
    shared = exchanges.share_texts(rows)
    assert shared == [SYSTEM]
    assert [one["messages"] for one in asked] == [[["system", 0], ["user", f"question {n}"]] for n in range(3)]
    exchanges.write_out_texts(rows, shared)
    assert rows == before


@pytest.mark.parametrize("most", [8, 0])
def test_fewer_rows_are_good_and_bad_of_every_task(
    report: Callable[..., tuple[Built, Page]], workspace: Workspace, most: int
) -> None:
    workspace.set("report.rows", most)
    _, page = report()
    found = packing.read(Path("report/index.html"))["rows"]
    assert len(found) == most and f"{most} of 23 rows" in page.text
    if most:
        assert {row["task"] for row in found if row["outcome"] == "in the dataset"} == set(TASKS)


def test_rows_that_would_make_the_page_too_heavy_are_left_out() -> None:
    rows = [{"id": str(n), "output": hashlib.sha512(str(n).encode()).hexdigest()} for n in range(400)]
    packed, kept = packing.pack({}, rows, most_bytes=10_000)
    assert 50 < kept < 400 and len(packed) <= 10_000
    assert packing.pack({}, rows)[1] == 400


def test_a_yes_or_no_answer_is_shown_as_probabilities() -> None:
    tokens = [{"token": "No", "logprob": -0.5428, "id": 1}, {"token": "Yes", "logprob": -0.8766, "id": 2}]
    body = {"model": "m", "messages": [{"role": "user", "content": "Right?"}], "top_logprobs": 20}
    row = {"request": "ab" * 32, "model": "m", "body": json.dumps(body), "response": json.dumps(tokens)}
    found = exchanges.shown({**row, "prompt_tokens": 5, "completion_tokens": 1})
    assert found["answer"].split() == ["58.11%", "'No'", "41.62%", "'Yes'"]
    assert ["top_logprobs", "20"] in found["settings"] and found["messages"] == [["user", "Right?"]]


def test_a_language_that_vanishes_is_a_warning(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report()
    assert "Lost along the way" not in page.text, "every language has a row"
    built, page = report(lost="Java")
    assert "Lost along the way" in page.text
    share = sum(row["language"] == "Java" for row in built.corpus) / len(built.corpus)
    assert f"Java {100 * share:.1f}%" in page.text
    assert any(attributes.get("href") == "#rows?language=Java" for _, attributes in page.tags)


def test_a_loss_says_where_it_happened_and_whether_chance_explains_it() -> None:
    points = {"corpus": {"Java": 17, "Go": 82, "C": 1, "D": 0}, "read": {"Java": 4, "Go": 9}, "dataset": {"Go": 10}}
    reasons = {"Java": Counter({"no documentation": 3, "too long": 1})}
    found = losses.find(points, reasons, "language")
    assert [one.name for one in found] == ["Java", "C"]
    assert found[0].counts == {"corpus": 17, "read": 4, "dataset": 0}
    assert found[0].stopped == "no documentation 3, too long 1"
    assert found[0].by_luck == pytest.approx(0.83**10)
    assert losses.find({**points, "dataset": {}}, reasons, "language") == [], "an empty dataset lost everything"


def test_several_completions_a_problem_are_counted(report: Callable[..., tuple[Built, Page]]) -> None:
    built, page = report(samples=3)
    assert f"{3 * len(built.solved['tuned'])} of 30" in page.text
    assert "Of 10 problems, tuning improved 2 and worsened 0" in page.text


@pytest.mark.parametrize(("gained", "lost", "chance"), [(0, 0, 1.0), (5, 0, 0.0625), (0, 8, 0.0078125), (3, 3, 1.0)])
def test_the_sign_test_is_exact(gained: int, lost: int, chance: float) -> None:
    def scores(solved: range) -> list[Row]:
        return [
            {"task_id": f"HumanEval/{n}", "verdict": "passed" if n in solved else "failed"}
            for n in range(gained + lost)
        ]

    found = evaluation.compare(scores(range(gained, gained + lost)), scores(range(gained)))
    assert (len(found.gained), len(found.lost)) == (gained, lost)
    assert found.chance == pytest.approx(chance)


def test_languages_that_the_paper_does_not_name_are_its_others() -> None:
    found = mix.compare({"corpus": {"Go": 3, "C#": 1, "Rust": 4}}, {"Go": 0.2, "Python": 0.3, "Others": 0.05})
    assert [(row.name, row.shares, row.paper) for row in found.rows] == [
        ("Python", [0.0], 0.3),
        ("Go", [3 / 8], 0.2),
        ("Others: C#, Rust", [5 / 8], 0.05),
    ]


def test_a_point_without_rows_has_no_shares() -> None:
    found = mix.compare({"dataset": {}}, {"code repair": 0.157})
    assert found.rows[0].shares == [None]
    assert rendering.percent(None) == "–"
