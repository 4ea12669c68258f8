"""measure: figures against values worked out by hand, and against libraries that compute the same."""

import json
import math
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from test_assemble import verdict, write
from vendi_score import vendi as peer
from workspace import Workspace

from stages.lib import artifacts, params, statistics
from stages.lib.errors import BadInput
from stages.lib.measures import cost, diversity, registry, text, verdicts

Row = dict[str, Any]


def ruled(judge: bool | None, execution: str, **fields: Any) -> Row:
    said = [] if judge is None else [{"rule": "is_clear", "kind": "judge", "passed": judge, "reason": ""}]
    return {"rulings": said, "execution": execution, "passed": bool(judge), **fields}


def test_distinct_ngrams_by_hand() -> None:
    # the cat the cat | The dog: 6 words (the, cat, dog), 4 bigrams (the cat, cat the, the cat, the dog).
    found = text.distinct_ngrams(["the cat the cat", "The dog"], 4)
    assert found == {"distinct_1": 0.5, "distinct_2": 0.75, "distinct_3": 1.0, "distinct_4": 1.0}
    assert text.distinct_ngrams(["one"], 2) == {"distinct_1": 1.0, "distinct_2": None}


def test_distinct_openings_by_hand() -> None:
    texts = [
        "Write a Go function that adds",
        "write a  Go\nfunction that sorts",  # begins as the first
        "Write a Go function which adds",
        "Explain it",
        "explain it",  # too short, and the same
    ]
    assert text.distinct_openings(texts) == 0.6
    assert text.distinct_openings(texts, 1) == 0.4
    assert text.distinct_openings([]) is None and text.distinct_openings(["one"]) == 1.0


def test_repetition_and_mix_by_hand() -> None:
    rows = [{"instruction": "a", "input": "b", "output": word} for word in ("x y", "x  y", "z", "xy")]
    assert text.duplicates(rows, rows[:1]) == {"rows": 4, "exact": 0.5, "near": 0.25}
    assert text.duplicates([], [])["exact"] is None
    assert text.mix(["Go", "C#", "Go", "Go"]) == {"C#": 0.25, "Go": 0.75}
    assert text.entropy(["a", "b", "c", "d"]) == 2.0 and text.entropy(["a", "a"]) == 0.0
    assert text.lengths(["f(x) = 1", "a b"])["mean"] == 4.0  # f ( x ) = 1 is six, a b two


def test_the_vendi_score_is_that_of_its_authors() -> None:
    random = np.random.default_rng(5)
    for rows, columns in ((7, 40), (300, 16)):
        vectors = random.standard_normal((rows, columns))
        assert diversity.vendi(vectors) == pytest.approx(peer.score_dual(vectors, normalize=True), abs=1e-5)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert diversity.vendi(vectors) == pytest.approx(peer.score_K(unit @ unit.T), abs=1e-4)


def test_the_vendi_score_counts_what_is_different() -> None:
    assert diversity.vendi(np.eye(6)) == pytest.approx(6)
    assert diversity.vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)
    assert diversity.vendi(np.ones((9, 5))) == pytest.approx(1)


def test_distances_are_those_of_scikit_learn() -> None:
    vectors = np.random.default_rng(6).standard_normal((80, 12)).astype(np.float16)
    between = pairwise_distances(vectors.astype(np.float64))
    chosen = np.array([3, 40, 77])
    assert diversity.covering_radius(vectors, chosen) == pytest.approx(between[:, chosen].min(axis=1).max(), abs=1e-6)
    np.fill_diagonal(between, np.inf)
    assert diversity.nearest_neighbour(vectors) == pytest.approx(between.min(axis=1).mean(), abs=1e-6)
    assert diversity.nearest_neighbour(vectors[:1]) is None
    assert diversity.nearest_neighbour(np.ones((3, 2))) == 0.0


def test_the_judge_against_tests_by_hand() -> None:
    rows = [
        *[ruled(False, "failed")] * 3,  # caught
        *[ruled(True, "failed")] * 1,  # missed
        *[ruled(False, "passed")] * 1,  # a false alarm
        *[ruled(True, "passed")] * 5,
        *[ruled(False, "vacuous tests"), ruled(True, ""), ruled(None, "failed"), ruled(None, "")],  # say nothing
    ]
    found = verdicts.against_tests(rows)
    assert (found["rows"], found["recall"], found["false_alarms"]) == (10, 0.75, round(1 / 6, 6))
    # Agreement 0.8; by chance 0.6 * 0.6 + 0.4 * 0.4 = 0.52, so kappa is 0.28 / 0.48.
    assert found["kappa"] == pytest.approx(0.28 / 0.48, abs=1e-6)
    assert found["recall_95"] == pytest.approx([0.3006, 0.9544], abs=2e-4)  # Wilson's, of 3 in 4
    nothing = verdicts.against_tests([ruled(None, "")])
    assert nothing["recall"] is None and nothing["kappa"] is None and nothing["rows"] == 0


def test_own_tests_and_pass_rates_by_hand() -> None:
    rows = [ruled(True, "passed"), ruled(False, "timed out"), ruled(True, "passed"), ruled(True, "input passes too")]
    assert verdicts.own_tests(rows)["share"] == pytest.approx(2 / 3, abs=1e-6)
    assert (verdicts.own_tests(rows)["run"], verdicts.own_tests(rows)["telling"]) == (4, 3)
    found = verdicts.pass_rate(rows)
    assert found["overall"] == 0.75 and found["by_rule"] == {"judge: is_clear": 0.75}
    gate = {"rule": "passes_tests", "kind": "execution", "passed": False, "reason": ""}
    rows[2]["rulings"].append(gate)
    found = verdicts.pass_rate([*rows[:2], {**rows[2], "passed": False}, rows[3]])
    assert (found["checks"], found["judge"], found["overall"]) == (0.75, 0.666667, 0.5)
    assert found["judge_95"] == statistics.interval(2, 3)


def test_the_cost_of_a_row_by_hand() -> None:
    parts = [{"prompt_tokens": 60, "completion_tokens": 30, "spend_usd": 1.5}, {"prompt_tokens": 10}, {}]
    found = cost.spent(parts, kept=4, passed=5)
    assert (found["tokens"], found["tokens_per_kept_row"], found["tokens_per_passed_row"]) == (100, 25, 20)
    assert (found["usd"], found["usd_per_kept_row"], found["usd_per_passed_row"]) == (1.5, 0.375, 0.3)
    found = cost.spent(parts, kept=0, passed=0)
    assert (found["tokens"], found["tokens_per_kept_row"], found["tokens_per_passed_row"]) == (100, None, None)


def test_the_panels_kappa_is_the_mean_over_its_pairs() -> None:
    def ballot(judge: int, words: str) -> list[Row]:
        return [{"judge": judge, "id": str(n), "rulings": [{"passed": word == "y"}]} for n, word in enumerate(words)]

    rows = [*ballot(1, "yyynnn"), *ballot(2, "yyynnn"), *ballot(3, "nnnyyy")]
    assert verdicts.panel_kappa(rows) == pytest.approx((1 - 1 - 1) / 3, abs=1e-6)
    assert verdicts.panel_kappa(ballot(1, "yn")) is None
    assert verdicts.panel_kappa([*ballot(1, "yy"), *ballot(2, "yy")]) is None  # undefined: one word


def test_unknown_metrics_are_named_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"unknown metric 'divresity'; did you mean 'diversity'.*known: cost, pass_rate"):
        registry.check(["cost", "divresity"], "groups", "measure.metrics")


def make_run(verdict_rows: list[Row], functions: list[Row], workspace: Workspace) -> None:
    write(verdict_rows, functions)
    vectors = np.random.default_rng(7).standard_normal((len(functions), 24)).astype(np.float16)
    with artifacts.create("data/embeddings", stage="embed", inputs=[artifacts.open("data/corpus")]) as out:
        np.save(out / "embeddings.npy", vectors)
    done = workspace.run("assemble")
    assert done.returncode == 0, done.stderr
    for key in (1, 2):
        made = {"prompt_tokens": 900, "completion_tokens": 100, "spend_usd": 0.5}
        artifacts.write_metrics(f"generate@{key}", {**made, "tests": {"prompt_tokens": 40, "spend_usd": 0.25}})
        artifacts.write_metrics(f"judge@{key}", {**made, "panel": [made], "audit": made})


@pytest.mark.slow
def test_the_stage_measures_a_run(workspace: Workspace) -> None:
    functions = corpora.functions(40)
    rows = [verdict(n, function, passed=n % 4 != 0, execution="") for n, function in enumerate(functions)]
    rows[1]["solution"], rows[1]["instruction"], rows[1]["information"] = "same", "same", "same"
    rows[5] |= {key: rows[1][key] for key in ("solution", "instruction", "information")}
    make_run(rows, functions, workspace)
    outputs = []
    for _ in range(2):
        done = workspace.run("measure")
        assert done.returncode == 0, done.stderr
        outputs.append(Path("metrics/measure.json").read_bytes())
    assert outputs[0] == outputs[1]
    found = json.loads(outputs[0])
    assert found["rows"]["kept"] == 29 and found["pass_rate"]["overall"] == 0.75
    assert found["duplicates"] == {"rows": 30, "exact": round(1 / 30, 6), "near": round(1 / 30, 6)}
    # Two rounds of 1,000 (generate), 40 (tests), 1,000 (judge), 1,000 (its panel); the audit is no row's cost.
    assert found["cost"]["tokens"] == 6080 and found["cost"]["usd"] == 3.5
    assert found["cost"]["usd_per_kept_row"] == pytest.approx(3.5 / 29, abs=1e-6)
    assert found["cost"]["tokens_per_passed_row"] == round(6080 / 30, 4)  # one of them a near duplicate
    kept = {row["function_id"] for split in ("train", "validation") for row in read_lines(split)}
    vectors = np.load("data/embeddings/embeddings.npy").astype(np.float64)
    own = [n for n, function in enumerate(functions) if function["id"] in kept]
    radius = pairwise_distances(vectors, vectors[own]).min(axis=1).max()
    assert found["diversity"]["covering_radius"] == pytest.approx(radius, abs=1e-6)
    assert 1 <= found["diversity"]["vendi"] <= 29 and 0 < found["diversity"]["nearest_neighbour"] < 2
    assert math.isclose(sum(found["mix"]["tasks"].values()), 1, abs_tol=1e-5)
    kept_rows = [row for split in ("train", "validation") for row in read_lines(split)]
    for task, own in found["instructions"]["openings_by_task"].items():
        texts = [row["instruction"].lower().split()[:5] for row in kept_rows if row["task"] == task]
        assert own == pytest.approx(len({" ".join(one) for one in texts}) / len(texts), abs=1e-6)
    words = [word for row in kept_rows for word in row["instruction"].lower().split()]
    assert found["instructions"]["distinct_1"] == pytest.approx(len(set(words)) / len(words), abs=1e-6)
    assert found["contamination"] == {"rows": 29, "any": 0.0, "by_benchmark": {"HumanEval": 0.0}}
    assert params.read(Path("params.yaml"))["measure"]["metrics"] == list(registry.read()["groups"])
    for path in registry.read()["figures"]:  # what a comparison may show is there
        value = found
        for part in path.split("."):
            assert part in value, path
            value = value[part]


def read_lines(split: str) -> list[Row]:
    return [json.loads(line) for line in Path(f"data/dataset/{split}.jsonl").read_text().splitlines()]


def test_only_what_is_asked_for_is_measured_and_a_wrong_name_is_refused(workspace: Workspace) -> None:
    functions = corpora.functions(8)
    make_run([verdict(n, function, execution="") for n, function in enumerate(functions)], functions, workspace)
    workspace.set("measure.metrics", ["mix", "length"])
    assert workspace.run("measure").returncode == 0
    assert set(json.loads(Path("metrics/measure.json").read_text())) == {"rows", "mix", "length"}
    workspace.set("measure.metrics", ["mix", "vendi"])
    done = workspace.run("measure")
    assert done.returncode == 3 and "measure.metrics: unknown metric 'vendi'; known: cost" in done.stderr
