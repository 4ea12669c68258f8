"""make ablate: matrices that are checked first, runs that survive a kill, differences that are tested."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from clones import Street
from ruamel.yaml import YAML
from scipy import stats
from scipy.stats import bootstrap
from workspace import REPOSITORY

from commands.ablate import comparison, effects, matrix, money, results
from executors.tracking import clone
from stages.lib import artifacts, params, statistics
from stages.lib.errors import BadInput
from stages.lib.report import figures
from stages.lib.teacher import journal

MATRICES = sorted(path.stem for path in (REPOSITORY / "profiles/ablations").glob("*.yaml"))
ABLATE = ("commands", "ablate")


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with params.yaml, dvc.yaml and the profiles; the folder of its matrices."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "profiles/ablations"


def write_matrix(folder: Path, name: str = "ours", **keys: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    body = {"title": "T", "question": "Q?", "figures": ["rows.kept"], "runs": {"a": {}, "b": {"coreset.k": 20}}}
    YAML().dump({"matrix": body | keys}, folder / f"{name}.yaml")


@pytest.mark.parametrize("name", MATRICES)
def test_every_matrix_of_the_repository_is_sound(profiles: Path, name: str) -> None:
    if name == "methods" and "method" not in params.read()["generate"]:
        pytest.skip("params.yaml has no generate.method yet")
    found = matrix.load(name)
    matrix.check_values(found)
    assert found.reference in found.repeats.values() and len(found.texts) == len(found.runs)
    for run, overrides in found.runs.items():
        values = matrix.values(found.texts[run])
        for path, value in overrides.items():
            held = values
            for part in path.split("."):
                held = held[part]
            assert held == value, f"{run}: {path}"


def test_overrides_leave_comments_and_the_rest_alone(profiles: Path) -> None:
    write_matrix(profiles, runs={"a": {}, "b": {"generate.mix": {"code repair": 1.0}}}, base=["smoke"])
    found = matrix.load("ours")
    assert "# the paper: 20,000 of 1.2 million" in found.texts["b"]
    values = {run: matrix.values(text) for run, text in found.texts.items()}
    assert values["b"]["generate"].pop("mix") == {"code repair": 1.0}
    assert values["a"]["generate"].pop("mix") == params.read()["generate"]["mix"]
    assert values["a"] == values["b"] and values["a"]["coreset"]["k"] == 40  # of the profile smoke


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("../smoke", None, r"matrix '\.\./smoke': use only lowercase letters"),
        ("smok", None, r"no matrix 'smok'; did you mean 'smoke'\?; choose one of .*smoke"),
        ("ours", {"titel": "x"}, r"matrix\.titel: unknown key; did you mean 'title'\?"),
        ("ours", {"figures": ["vendi"]}, r"ours\.yaml: figures: unknown metric 'vendi'; .*known: rows\.kept"),
        ("ours", {"figures": ["diversity.vendy"]}, r"did you mean 'diversity\.vendi'\?"),
        (
            "ours",
            {"runs": {"a": {}, "b": {"coreset.kk": 2}}},
            r"ours\.yaml: b: coreset has no key 'kk' \(of coreset\.kk\)",
        ),
        ("ours", {"runs": {"a": {}, "b": {"corest.k": 2}}}, r"params\.yaml has no key 'corest' .*mean 'coreset'\?"),
        ("ours", {"runs": {"a": {}, "b": {"coreset.k.x": 2}}}, r"coreset\.k has no key 'x'"),
        ("ours", {"runs": {"a": {}, "b": {"coreset.k": 160}}}, r"a and b have the same params"),
        ("ours", {"runs": {"a": {"coreset.k": 9}, "b": {"coreset.k": 9}}}, r"a and b have the same params"),
        ("ours", {"runs": {"a": {}, "b/c": {"coreset.k": 9}}}, r"run 'b/c': use only lowercase letters"),
        ("ours", {"runs": {"a": {}}}, r"matrix\.runs: .* at least 2 items"),
        ("ours", {"reference": "z"}, r"reference 'z' is not a run; choose one of a, b"),
        ("ours", {"targets": ["filtre"]}, r"targets: no stage 'filtre'; choose from collect, filter"),
        ("ours", {"base": ["laptop"]}, r"no profile 'laptop'; choose one of"),
        ("ours", {"budget_usd": -1.0}, r"matrix\.budget_usd: .*greater than or equal to 0"),
    ],
)
def test_mistakes_are_named(profiles: Path, name: str, keys: dict[str, Any] | None, message: str) -> None:
    if keys is not None:
        write_matrix(profiles, **keys)
    with pytest.raises(BadInput, match=message):
        matrix.load(name)


def test_the_paired_test_is_exact_and_its_interval_scipys() -> None:
    left = {str(n): float(n < 6) for n in range(40)}
    right = {str(n): float(1 <= n < 14) for n in range(40)}  # 8 gained, 1 lost
    found = statistics.compare("a", "b", left, right)
    assert (found.gained, found.lost, found.problems) == (8, 1, 40)
    assert found.p == pytest.approx(2 * (1 + 9) / 2**9)  # by hand: at most 1 of 9 coins is a head, or a tail
    assert found.mean == pytest.approx(7 / 40)
    moves = np.array([right[task] - left[task] for task in left])
    peer = bootstrap((moves,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3))
    assert (found.low, found.high) == pytest.approx(tuple(peer.confidence_interval), abs=0.026)  # one problem
    same = statistics.compare("a", "a", left, left)
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)
    back = statistics.compare("b", "a", right, left)
    assert (back.mean, back.gained, back.p) == (-found.mean, found.lost, found.p)


def test_p_values_are_corrected_as_holm_has_it() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.5]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


def test_the_budget_is_refused_before_it_can_be_overshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = params.read(REPOSITORY / "params.yaml")
    assert money.check("m", 0.0, values, Path("state.json")) == 0.0  # a free teacher asks for no budget
    values["generate"]["teacher"] |= {"free": False, "budget_usd": 3.0}

    def spend(label: str, cost: float) -> None:
        Path("journal").mkdir(exist_ok=True)
        record = {"key": "00" * 32, "model": "m", "label": label, "cost": cost, "response": "", "finish": "stop"}
        with Path("journal/exchanges.log").open("ab") as stream:
            stream.write(journal.to_line({**record, "prompt_tokens": 1, "completion_tokens": 1}))

    with pytest.raises(BadInput, match=r"0\.0000 of its budget_usd of 5\.0000 .* allow 6\.0000 more"):
        money.check("m", 5.0, values, Path("state.json"))
    spend("generate@1", 2.5)
    assert money.check("m", 6.0, values, Path("state.json")) == 2.5  # 0.5 and 3 are left to the two rounds
    with pytest.raises(BadInput, match=r"2\.5000 of its budget_usd of 5\.9000 .* allow 3\.5000 more"):
        money.check("m", 5.9, values, Path("state.json"))
    values["judge"]["teacher"] |= {"free": False, "budget_usd": 0.1}
    values["judge"]["panel"] = [{"budget_usd": 0.2}]
    assert money.most(values, money.spend_by_label()) == pytest.approx(3.5 + 2 * 0.3)


def result(
    name: str,
    passed: set[int],
    rows: int,
    benchmark: str = "humaneval",
    before: set[int] = frozenset(),
    losses: dict[str, float] | None = None,
    **overrides: Any,
) -> results.Result:
    def scored(passed: set[int]) -> list[dict[str, Any]]:
        return [
            {"task_id": f"HumanEval/{n}", "sample": 0, "verdict": "passed" if n in passed else "failed"}
            for n in range(30)
        ]

    where = f"the first 30 problems of {benchmark}"
    score, base = (results.score(scored(which), benchmark, where) for which in (passed, before))
    measured = {
        "rows": {"kept": rows, "train": rows},
        "cost": {"usd": 0.25},
        "pass_rate": {"overall": 0.5, "overall_95": [0.25, 0.75], "by_rule": {"judge: x": 0.125}},
    }
    values = {"coreset": {"method": name, "k": 3}}
    roots = {"data/corpus": "c" * 64, "models/tuned": artifacts.digest(name)}
    scores = {"tuned": score, "base": base}
    return results.Result(
        name, f"m-{name}", "a" * 40, overrides, values, {"measure": measured}, roots, scores, losses or {}
    )


EVENTS = [{"run": "one", "stage": "train", "how": how} for how in ("ran", "cached")]


def test_the_page_compares_in_pairs_and_says_what_that_shows(profiles: Path) -> None:
    write_matrix(
        profiles, figures=["rows.kept", "cost.usd", "diversity.vendi", "pass_rate.overall"], title="Who <wins>?"
    )
    found = [result("one", set(range(2)), 10), result("two", set(range(1, 16)), 40), result("three", {0, 1, 2}, 20)]
    facts = comparison.gather(replace(matrix.load("ours"), reference="one"), found, EVENTS)
    named = {(one.one, one.other): one for one in facts["differences"]}
    assert len(named) == 6 and ("one", "untuned model") in named
    two = named["one", "two"]
    assert (two.gained, two.lost) == (14, 1) and two.p < two.p_holm < 0.05
    assert "two above one" in facts["verdict"] and "three above one" not in facts["verdict"]
    html = comparison.report.render("index.html.j2", folder=comparison.FOLDER, **facts)
    assert "Who &lt;wins&gt;?" in html and "<wins>" not in html
    assert html.count("<svg ") == 3 and "http" not in re.sub(r"xmlns[^ ]*", "", html)
    assert "25.0% to 75.0%" in html and "judge: x" in html and "12.5%" in html and "<strong>ran</strong>" in html
    assert "coreset.method" in html and "$0.25" in html and "dvc exp apply m-two" in html
    markdown = comparison.report.render("index.md.j2", folder=comparison.FOLDER, **facts)
    assert "| two | one | +43.3 |" in markdown and "| rows kept | 10 | 40 | 20 |" in markdown
    told = comparison.to_json(facts)
    assert told["runs"]["two"]["scores"]["tuned"]["pass_at_1"] == 0.5
    assert told["stages"] == {"ran": 1, "cached": 1, "unchanged": 0, "distinct": 4, "all": 6}
    json.dumps(told)


def test_losses_are_compared_on_the_rows_that_both_were_tested_on(profiles: Path) -> None:
    write_matrix(profiles)
    rows = {f"row {number}": 1.0 + 0.1 * number for number in range(12)}
    lower = {row: loss - 0.01 * (number + 1) for number, (row, loss) in enumerate(rows.items())}
    found = [
        result("one", set(), 10, losses=rows),
        result("two", set(), 10, losses=lower | {"another": 9.0}),
        result("three", set(), 10),
    ]
    facts = comparison.gather(replace(matrix.load("ours"), reference="one"), found, EVENTS)
    (two,) = facts["losses"]
    assert (two.one, two.other, two.problems, two.gained, two.lost) == ("one", "two", 12, 0, 12)
    assert two.mean == pytest.approx(-0.065) and two.low < two.mean < two.high < 0 and two.p < 0.001
    html = comparison.report.render("index.html.j2", folder=comparison.FOLDER, **facts)
    markdown = comparison.report.render("index.md.j2", folder=comparison.FOLDER, **facts)
    assert "against one (1.5500)" in html and "| two | 12 | 1.4850 | -0.0650 |" in markdown
    assert comparison.to_json(facts)["losses"][0]["mean"] == two.mean
    none = comparison.gather(replace(matrix.load("ours"), reference="three"), found, EVENTS)
    assert none["losses"] == [] and "held-out" not in comparison.report.render(
        "index.html.j2", folder=comparison.FOLDER, **none
    )


def test_a_mix_without_a_task_has_none_of_it(profiles: Path) -> None:
    runs = [result("one", {1}, 5), result("two", {1}, 5)]
    runs[0].metrics["measure"]["mix"] = {"tasks": {"code repair": 1.0}}
    runs[1].metrics["measure"]["mix"] = {"tasks": {"code generation": 1.0}}
    found = comparison.shares(runs, "mix", "tasks")
    assert found == {"code generation": {"one": 0.0, "two": 1.0}, "code repair": {"one": 1.0, "two": 0.0}}
    runs[1].metrics["measure"]["pass_rate"]["by_rule"] = {"judge: y": 1.0}
    assert comparison.shares(runs, "pass_rate", "by_rule")["judge: y"] == {"one": None, "two": 1.0}


def test_seeds_repeat_every_run_and_the_page_averages_over_them(profiles: Path) -> None:
    write_matrix(profiles, seeds=[0, 7], seeded=["train.seed", "assemble.seed"])
    loaded = matrix.load("ours")
    assert list(loaded.runs) == ["a-seed0", "a-seed7", "b-seed0", "b-seed7"] and loaded.reference == "a"
    values = matrix.values(loaded.texts["b-seed7"])
    assert (values["coreset"]["k"], values["train"]["seed"], values["assemble"]["seed"]) == (20, 7, 7)
    found = [
        result("a-seed0", {1}, 10, losses={"x": 1.0, "y": 3.0}),
        result("a-seed7", {1, 2}, 10, losses={"x": 2.0}),
        result("b-seed0", {1, 2, 3}, 10),
        result("b-seed7", {3}, 10),
    ]
    facts = comparison.gather(loaded, found, [{"run": "a-seed7", "stage": "train", "how": "ran"}])
    mean = {one.name: one.scores["tuned"] for one in facts["runs"]}
    assert facts["runs"][0].losses == {"x": 1.5}, "of the rows that both seeds were tested on"
    assert mean["a"].pass_at_1 == pytest.approx(1.5 / 30) and mean["a"].seeds == pytest.approx((1 / 30, 2 / 30))
    assert mean["a"].shares["HumanEval/2"] == 0.5 and mean["b"].samples == 2
    pair = next(one for one in facts["differences"] if (one.one, one.other) == ("a", "b"))
    assert (pair.gained, pair.lost) == (1, 1) and pair.mean == pytest.approx(0.5 / 30)
    html = comparison.report.render("index.html.j2", folder=comparison.FOLDER, **facts)
    assert "3.3%, 6.7%" in html and "pass@1 by seed" in html
    assert '<th scope="col">a-seed7</th>' in html and html.count("<strong>ran</strong>") == 1
    assert list(comparison.to_json(facts)["runs"]) == list(loaded.runs)


def test_what_one_seed_shows_and_another_does_not_is_not_called_shown(profiles: Path) -> None:
    write_matrix(profiles, seeds=[0, 1, 2])
    loaded = matrix.load("ours")

    def runs(*moved: float) -> list[results.Result]:
        rows = {f"row {number}": 1.0 + 0.1 * number for number in range(12)}
        moves = dict(zip(loaded.runs, (0.0, 0.0, 0.0, *moved), strict=True))
        found = [
            result(name, set(), 10, losses={row: loss + move for row, loss in rows.items()})
            for name, move in moves.items()
        ]
        return [replace(one, scores={}) for one in found]

    torn = comparison.gather(loaded, runs(-0.01, -0.2, 0.0), EVENTS)
    (b,) = torn["losses"]
    assert b.high < 0 and b.p_holm < 0.05 and b.seeds == pytest.approx((-0.01, -0.2, 0.0))
    expected = stats.t.interval(0.95, 2, loc=b.mean, scale=stats.sem(b.seeds))
    assert b.over_seeds == pytest.approx(expected) and not b.is_shown
    assert torn["verdict"] == "Not shown of the loss, over the rows and the 3 seeds: b."

    agreed = comparison.gather(loaded, runs(-0.05, -0.06, -0.07), EVENTS)
    assert agreed["losses"][0].is_shown
    unfinished = comparison.gather(loaded, runs(-0.05, -0.06, -0.07)[:-1], EVENTS)
    assert unfinished["verdict"].startswith("Larger than the choice of rows explains: b below a")
    assert agreed["verdict"] == (
        "Larger than the choice of rows and the 3 seeds explains: b below a by 0.0600 nats a token."
    )
    markdown = comparison.report.render("index.md.j2", folder=comparison.FOLDER, **agreed)
    assert "| -0.0500, -0.0600, -0.0700 | -0.0848 to -0.0352 | 12 |" in markdown
    html = comparison.report.render("index.html.j2", folder=comparison.FOLDER, **agreed)
    assert "95% interval over seeds" in html and "-0.0848 to -0.0352" in html


def test_runs_that_end_with_training_are_drawn_by_their_loss_and_rows(profiles: Path) -> None:
    sizes = {"a": 100, "b": 200, "c": 400}

    def gathered(key: str) -> dict[str, Any]:
        runs = {name: {} if name == "a" else {key: size} for name, size in sizes.items()}
        write_matrix(profiles, seeds=[0, 1], figures=["rows.train"], runs=runs)
        loaded = matrix.load("ours")
        found = []
        for name, overrides in loaded.runs.items():
            size = sizes[name[0]]
            one = result(name, set(), 0, losses={"x": 100 / size, "y": 200 / size + 0.1 * name.endswith("1")})
            told = {"train": {"rows": size - 1, "rows_set_aside": 1}}
            found.append(replace(one, overrides=overrides, scores={}, metrics=told))
        return comparison.gather(loaded, found, EVENTS)

    facts = gathered("assemble.rows")
    assert list(facts["plots"]) == ["loss", "curve"]
    words = {name: texts(svg) for name, (_, svg) in facts["plots"].items()}
    assert [one for one in words["loss"] if "over" in one] == [
        "b, over rows",
        "over seeds",
        "c, over rows",
        "over seeds",
    ]
    assert {"training rows", "nats a token", "100", "200"} <= set(words["curve"])
    assert not any("%" in one for one in words["loss"] + words["curve"])
    low, high = stats.t.interval(0.95, 1, loc=1.525, scale=stats.sem([1.5, 1.55]))
    assert comparison.mean_over_seeds(facts["runs"][0]) == pytest.approx((1.525, low, high))
    markdown = comparison.report.render("index.md.j2", folder=comparison.FOLDER, **facts)
    assert "](loss.svg)" in markdown and "](curve.svg)" in markdown and "| 100 | 200 | 400 |" in markdown
    assert list(gathered("coreset.k")["plots"]) == ["loss"], "a curve is of draws of one dataset"


def test_a_plot_of_small_differences_has_all_digits_on_its_axis() -> None:
    svg = figures.interval_lines("T", [("b", 0.008, 0.002, 0.015)], "nats", zero=True, shares=False)
    numbers = [float(one.replace("−", "-")) for one in texts(svg) if one[-1].isdigit()]
    assert len(set(numbers)) == len(numbers) > 2 and max(numbers) < 0.02


def texts(svg: str) -> list[str]:
    """What is written in a plot."""
    found = ElementTree.fromstring(figures.standalone(svg)).iter("{http://www.w3.org/2000/svg}text")
    return [text.text or "" for text in found]


def test_what_tuning_changed_is_tested_over_all_benchmarks(profiles: Path) -> None:
    write_matrix(profiles)
    found = [
        result("a", set(range(12)), 10, "humaneval", before={0, 29}),
        result("b", {1, 2}, 10, "mbpp", before={1, 3}),
    ]
    facts = comparison.gather(matrix.load("ours"), found, EVENTS)
    humaneval, mbpp, both = facts["tuning"]
    assert (humaneval.gained, humaneval.lost, mbpp.gained, mbpp.lost) == (11, 1, 1, 1)
    assert (both.problems, both.gained, both.lost) == (60, 12, 2)
    assert humaneval.p_holm == pytest.approx(2 * humaneval.p) and both.other == effects.TOGETHER
    assert facts["flipped"]["the first 30 problems of mbpp"] == (["HumanEval/2"], ["HumanEval/3"])
    assert "humaneval the tuned model solves 33.3 points more" in facts["verdict"]
    assert "No difference is shown on the first 30 problems of mbpp" in facts["verdict"]
    html = comparison.report.render("index.html.j2", folder=comparison.FOLDER, **facts)
    assert "Problems that flipped" in html and "all of them together" in html
    assert effects.tuning(found[:1]) == []
    labels = set(texts(facts["plots"]["score"][1]))
    assert {f"{one}, {model}" for one in ("humaneval", "mbpp") for model in ("untuned model", "tuned model")} <= labels


def test_runs_that_share_a_benchmark_have_a_line_each(profiles: Path) -> None:
    write_matrix(profiles)
    found = [
        result("a", set(range(12)), 10, "humaneval", before={0}),
        result("b", {0, 1}, 10, "humaneval", before={0}),
        result("c", {1, 2}, 10, "mbpp", before={1}),
    ]
    facts = comparison.gather(replace(matrix.load("ours"), reference="a"), found, EVENTS)
    lines = {one.other: one.gained for one in facts["tuning"]}
    assert lines == {"humaneval by a": 11, "humaneval by b": 1, "the first 30 problems of mbpp": 1}
    assert list(facts["flipped"]) == list(lines)
    assert facts["tuning"][0].p_holm == pytest.approx(3 * facts["tuning"][0].p)
    assert "On humaneval by a the tuned model solves 36.7 points more" in facts["verdict"]
    assert "b below a" in facts["verdict"]
    markdown = comparison.report.render("index.md.j2", folder=comparison.FOLDER, **facts)
    assert effects.TOGETHER not in markdown


def test_what_is_not_shown_names_the_sizes_of_all_its_benchmarks() -> None:
    solved = {f"p{n}": float(n % 2) for n in range(60)}
    of = {size: statistics.compare("a", "b", *2 * [dict(list(solved.items())[:size])]) for size in (20, 60)}
    assert effects.conclude([of[60]]).startswith("On 60 problems, no difference")
    assert effects.conclude([of[60], of[20]]).startswith("On 20 to 60 problems, no difference")


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(1)
    found, sizes = 0, []
    for _ in range(200):
        moves = rng.choice([-1, 0, 1], size=400, p=[0.03, 0.87, 0.10])  # a true difference of 7 points
        before = {str(n): float(move < 0) for n, move in enumerate(moves)}
        after = {str(n): float(move > 0) for n, move in enumerate(moves)}
        one = statistics.compare("a", "b", before, after)
        sizes.append(one.detectable)
        found += one.p < 0.05
    assert float(np.mean(sizes)) == pytest.approx(0.05, abs=0.005)  # 2.8 standard errors of 0.0177
    assert found / 200 > 0.9  # 7 points are more than the 5 that are found in 80%


@pytest.mark.parametrize("seeds", [(0.01, 0.02, 0.04), (0.01, 0.02, 0.04, 0.01, 0.03, 0.02)])
def test_few_seeds_allow_no_smaller_difference_than_they_find(seeds: tuple[float, ...]) -> None:
    one = statistics.Difference("a", "b", 9, 9, 0, 0.02, 0.019, 0.021, 0.01, seeds=seeds)
    freedom = len(seeds) - 1
    true = one.detectable / stats.sem(seeds)  # in standard errors
    found = 1 - stats.nct.cdf(stats.t.ppf(0.975, freedom), freedom, true)  # the exact power of Student's test
    assert found == pytest.approx(0.8, abs=0.06)
    over_problems = replace(one, seeds=()).detectable
    assert over_problems == pytest.approx(2.8 * 0.002 / 3.92) and over_problems < one.detectable


def test_scores_on_other_problems_are_never_compared(profiles: Path) -> None:
    write_matrix(profiles)
    other = result("two", {1}, 10)
    fewer = {task: share for task, share in other.scores["tuned"].shares.items() if task != "HumanEval/3"}
    other.scores["tuned"] = replace(other.scores["tuned"], shares=fewer)
    facts = comparison.gather(replace(matrix.load("ours"), reference="one"), [result("one", {2}, 10), other], [])
    assert {(one.one, one.other) for one in facts["differences"]} == {("one", "untuned model")}


# The n-th time that it starts it waits for the file GATE.n.
WAIT = (
    'touch "$TIDEMILL_GATE.$PPID.at"; n=$(ls "$TIDEMILL_GATE".*.at | wc -l); '
    'until [ -e "$TIDEMILL_GATE.$n" ]; do sleep 0.05; done; '
    "mkdir -p data/slow && wc -c data/corpus/corpus.parquet > data/slow/bytes"
)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """collect and filter, and a stage that waits for a file to appear."""
    found = Street(tmp_path_factory.mktemp("ablate") / "street", remote="")

    def add_slow(values: dict) -> None:
        values["stages"]["slow"] = {"cmd": WAIT, "deps": ["data/corpus"], "outs": ["data/slow"]}

    found.edit("dvc.yaml", "dvc.yaml", add_slow)
    runs = {"as-is": {}, "short": {"filter.length.most": 400}, "long": {"filter.length.most": 2000}}
    write_matrix(found.path / "profiles/ablations", "tiny", runs=runs)
    found.commit()
    return found


def ablate(street: Street, gate: Path, *words: str) -> "subprocess.Popen[str]":
    return street.start(*ABLATE, "tiny", *words, TIDEMILL_GATE=str(gate))


def stages_of(street: Street) -> list[tuple[str, str, str]]:
    lines = (street.path / ".tidemill/ablate/tiny/stages.jsonl").read_text().splitlines()
    return [tuple(json.loads(line).values()) for line in lines]  # type: ignore[misc]


def workspace_of(street: Street) -> str:
    return (
        street.git("status", "--porcelain")
        + street.git("rev-parse", "HEAD")
        + (street.path / "params.yaml").read_text()
    )


def alive(street: Street) -> list[str]:
    """Command lines of the processes that work in the clone."""
    where, found = str(street.path / ".tidemill/ablate"), []
    for entry in (path for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            inside = str((entry / "cwd").readlink()).startswith(where)
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if inside and state != "Z":
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_it_goes_on_and_no_stage_runs_twice(street: Street, tmp_path: Path) -> None:
    gate, before = tmp_path / "gate", workspace_of(street)
    for number in (1, 3, 4):  # the second, of the run `short`, waits for ever
        (tmp_path / f"gate.{number}").touch()
    first = ablate(street, gate)
    wait_for(lambda: len(list(tmp_path.glob("gate.*.at"))) == 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert alive(street), "dvc and its stage live on"

    second = ablate(street, gate)
    printed = second.communicate(timeout=400)[0]
    assert second.returncode == 0, printed
    assert "tiny: as-is (1 of 3): done before" in printed and not alive(street)
    ran = [(run, stage) for run, stage, how in stages_of(street) if how == "ran"]
    assert ran.count(("as-is", "collect")) == 1 and len(ran) == len(set(ran))
    assert sorted(stage for _, stage in ran) == ["collect", *["filter"] * 3, *["slow"] * 3]
    assert workspace_of(street) == before and not (street.path / "data").exists()
    for run in ("as-is", "short", "long"):
        assert f"tiny-{run}" in street.dvc("exp", "list", "--names-only").stdout
    folder = street.path / ".tidemill/ablate/tiny"
    told = json.loads((folder / "results.json").read_text())
    assert len({run["roots"]["data/corpus"] for run in told["runs"].values()}) == 3
    assert len({run["roots"]["data/functions"] for run in told["runs"].values()}) == 1
    assert (folder / "index.html").is_file() and (folder / "index.md").is_file()

    # A third time there is nothing to do; a run whose experiment is gone takes every stage from the cache of runs,
    # and what the killed saving of an experiment leaves behind does no harm.
    workspace = folder / "workspace"
    base = street.git("rev-parse", "HEAD").strip()
    for reference in (f"refs/exps/{base[:2]}/{base[2:]}/tiny-short", "refs/exps/exec/EXEC_BASELINE"):
        words = ["update-ref", "-d", reference] if reference.endswith("short") else ["update-ref", reference, base]
        subprocess.run(["git", *words], cwd=workspace, check=True)
    third = ablate(street, gate)
    printed = third.communicate(timeout=400)[0]
    assert third.returncode == 0, printed
    again = stages_of(street)[len(stages_of(street)) - 3 :]
    assert [(run, how) for run, _, how in again] in (
        [("short", "cached")] * 3,
        [("short", "unchanged"), *[("short", "cached")] * 2],
    )
    assert printed.count("done before") == 2

    applied = street.dvc("exp", "apply", "tiny-short")  # the command that the page prints
    assert applied.returncode == 0, applied.stderr
    assert "most: 400" in (street.path / "params.yaml").read_text()
    seal = json.loads((street.path / "data/corpus/artifact.json").read_text())
    assert seal["root"] == told["runs"]["short"]["roots"]["data/corpus"]
    street.git("checkout", "--force", "--quiet", "HEAD", "--", ".")


def test_stopped_it_leaves_nothing_running(street: Street, tmp_path: Path) -> None:
    runs = {"a": {"filter.length.least": 60}, "b": {}}
    write_matrix(street.path / "profiles/ablations", "stopped", runs=runs)
    street.commit()
    process = street.start(*ABLATE, "stopped", TIDEMILL_GATE=str(tmp_path / "gate"))
    wait_for(lambda: list(tmp_path.glob("gate.*.at")))
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=240)[0]
    assert process.returncode == 130 and "run it again to resume" in printed
    assert not alive(street)


def test_changes_that_are_not_committed_are_refused(street: Street, tmp_path: Path) -> None:
    note, profile = street.path / "stages/note.py", street.path / "profile.yaml"
    note.write_text("x = 1\n")
    held = profile.read_text()
    profile.write_text(f"{held}# in force\n")
    try:
        ran = street.run(*ABLATE, "tiny", TIDEMILL_GATE=str(tmp_path / "gate"))
    finally:
        note.unlink()
        profile.write_text(held)
    assert ran.returncode == 3 and "profile.yaml" not in ran.stderr, "each run has the profile in its params"
    assert "stages/note.py" in ran.stderr and "the working tree has uncommitted changes" in ran.stderr


def test_a_second_one_beside_it_is_refused(street: Street, tmp_path: Path) -> None:
    import fcntl

    folder = street.path / ".tidemill/ablate/tiny"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        ran = street.run(*ABLATE, "tiny", TIDEMILL_GATE=str(tmp_path / "gate"))
    assert ran.returncode == 3 and f"process {os.getpid()} is running matrix tiny" in ran.stderr


def test_another_executor_is_refused(street: Street) -> None:
    ran = street.run(*ABLATE, "tiny", EXECUTOR="container")
    assert ran.returncode == 3 and "EXECUTOR=container: comparisons run locally" in ran.stderr


def test_the_clone_has_the_journal_and_what_git_does_not_track(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(street.path)
    monkeypatch.setenv("PATH", street.env()["PATH"])
    (street.path / "journal").mkdir(exist_ok=True)
    (street.path / "journal/exchanges.log").write_text("kept")
    (street.path / "benchmarks.d").mkdir()
    whole = clone.prepare(tmp_path / "one")
    assert (whole.path / "journal").resolve() == (street.path / "journal").resolve()
    assert (whole.path / "benchmarks.d").is_symlink() and not (whole.path / "dvc.lock").exists()
    status = subprocess.check_output(["git", "status", "--porcelain"], cwd=whole.path, text=True)
    assert status in ("", " D dvc.lock\n")
    (street.path / "journal/shared.dvc").write_text("outs: []\n")  # as a shared journal has it
    street.git("add", "--force", "journal/shared.dvc")
    street.commit()
    part = clone.prepare(tmp_path / "two")
    assert (part.path / "journal/exchanges.log").read_text() == "kept"
    assert not (part.path / "journal").is_symlink()
    shutil.rmtree(street.path / "benchmarks.d")
    street.git("rm", "--quiet", "journal/shared.dvc")
    street.commit()


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_what_it_said(street: Street, tmp_path: Path) -> None:
    runs = {"a": {}, "b": {"filter.blacklist": "nowhere.txt"}}
    write_matrix(street.path / "profiles/ablations", "broken", runs=runs, targets=["filter"])
    street.commit()
    ran = street.run(*ABLATE, "broken", TIDEMILL_GATE=str(tmp_path / "gate"))
    assert ran.returncode == 3
    assert "run b failed" in ran.stderr and "blacklist nowhere.txt does not exist" in ran.stderr
    shown = street.run(*ABLATE, "broken", "--page")
    assert shown.returncode == 0, shown.stderr
    assert "Not finished yet: b." in (street.path / ".tidemill/ablate/broken/index.html").read_text()


def test_a_value_that_a_stage_would_refuse_is_found_before_any_run(profiles: Path) -> None:
    write_matrix(profiles, runs={"a": {}, "b": {"coreset.method": "rand"}, "c": {"assemble.rows": "many"}})
    with pytest.raises(BadInput, match=r"matrix ours, run b:\n  coreset\.method: Input should be 'k-center', 'random'"):
        matrix.check_values(matrix.load("ours"))


def test_without_a_name_the_matrices_are_listed() -> None:
    ran = subprocess.run([sys.executable, "-m", *ABLATE], cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 3
    assert all(name in ran.stderr for name in MATRICES)
