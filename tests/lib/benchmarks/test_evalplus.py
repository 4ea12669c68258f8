"""HumanEval+ and MBPP+ from files in EvalPlus's two forms, with tasks of our own; beside EvalPlus's own checker."""

import gzip
import hashlib
import json
import logging
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scoring import score
from workspace import Workspace

from stages.lib import sandbox
from stages.lib.benchmarks import expected, extraction, plus_check, scoring, suites
from stages.lib.errors import BadInput
from stages.lib.sandbox.inside import digest, wire

FULL = os.environ.get("TIDEMILL_FULL") == "1"  # every problem of each release instead of the hard ones and a sample


@pytest.fixture(autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One folder of expected outputs for all tests, and none of it in the repository."""
    folder = tmp_path_factory.getbasetemp() / "expected"
    monkeypatch.setattr(expected, "ROOT", folder)
    return folder


def task(task_id: str, head: str, body: str, base: list[Any], plus: list[Any], atol: float = 0) -> dict[str, Any]:
    """A row as EvalPlus releases it: HumanEval+'s prompt is a head, MBPP+'s a docstring before the whole solution."""
    entry = head.split("(")[0].removeprefix("def ")
    whole = task_id.startswith("Mbpp")
    return {
        "task_id": task_id,
        "prompt": f'"""\nWrite {entry}.\nassert {entry} is not None\n"""\n'
        if whole
        else f'{head}\n    """Does it."""\n',
        "entry_point": entry,
        "canonical_solution": f"\n{head}\n{body}" if whole else body,
        "contract": "\n",
        "base_input": base,
        "plus_input": plus,
        "atol": atol,
    }


# Of each task: a row, bodies that are right, bodies that are wrong.
HUMANEVAL = [
    (
        task("HumanEval/0", "def grow(xs):", "    xs.append(1)\n    return xs\n", [[[]], [[2]]], [[[3, 4]], [[0] * 9]]),
        ["    return xs + [1]\n", "    return [*xs, True]\n"],
        ["    return xs\n", "    return (*xs, 1)\n", "    return [1] if not xs else xs[:3] + [1]\n"],
    ),
    (
        task("HumanEval/2", "def half(x):", "    return x / 2\n", [[3]], [[1.7], [1e9]], 1e-6),
        ["    return x * 0.5\n", "    return x / 2 + 1e-8\n"],
        ["    return x / 2 + 0.01\n", "    return x // 2\n", "    return None\n", "    return str(x / 2)\n"],
    ),
    (
        task(
            "HumanEval/32",
            "def find_zero(xs):",
            "    return -xs[0] / xs[1]\n",
            [[[1, 2]]],
            [[[-6, 3]], [[5, 0.5]]],
            1e-4,
        ),
        ["    return -xs[0] / xs[1] + 1e-6\n"],
        ["    return xs[0]\n", "    return -xs[0] / xs[1] + 0.1\n", "    return 'zero'\n"],
    ),
    (  # no tolerance asked for, but a float among the expected ones brings one, for what follows too
        task("HumanEval/45", "def area(a, h):", "    return a * h / 2\n", [[5, 3]], [[2, 2], [7, 9]]),
        ["    return a * h / 2 + 1e-9\n"],
        ["    return a * h // 2\n", "    return a * h / 2 + 1e-3\n"],
    ),
    (  # a name that the checker has too
        task(
            "HumanEval/152", "def compare(a, b):", "    return [abs(x - y) for x, y in zip(a, b)]\n", [[[1], [3]]], []
        ),
        ["    return [abs(x - y) for x, y in zip(b, a)]\n"],
        ["    return [x - y for x, y in zip(a, b)]\n"],
    ),
    (  # 25 MB on the wire, ints and floats
        task(
            "HumanEval/130",
            "def tri(n):",
            "    return [1 + i / 2 if i % 2 else i for i in range(n)]\n",
            [[3]],
            [[1_300_000]],
        ),
        ["    return [1.0 + i / 2 if i % 2 else float(i) for i in range(n)]\n"],
        ["    return [1 + i / 2 if i % 2 else i for i in range(n - 1)] + ([n - 1] if n < 9 else [n])\n"],
    ),
]
MBPP = [
    (
        task(
            "Mbpp/2",
            "def similar_elements(a, b):",
            "    assert isinstance(a, tuple)\n    return tuple(set(a) & set(b))\n",
            [[[3, 4, 5], [5, 4]]],
            [[[], [1]], [[9, 8, 7], [8, 9]]],
        ),
        ["    return sorted(set(a) & set(b), reverse=True)\n"],
        ["    return tuple(set(a) | set(b))\n", "    return list(a) if a[0] else []\n"],
    ),
    (
        task("Mbpp/56", "def check(n):", "    return str(n) == str(n)[::-1]\n", [[11]], [[12], [121]]),
        ["    return list(str(n)) == list(str(n))[::-1]\n"],
        ["    return True\n"],
    ),
    (
        task(
            "Mbpp/115", "def empty_dit(xs):", "    return all(not x for x in xs)\n", [[[[], []]]], [[[[1], []]], [[]]]
        ),
        ["    assert all(isinstance(x, (set, dict)) for x in xs)\n    return not any(xs)\n"],
        ["    return not xs\n"],
    ),
    (
        task("Mbpp/252", "def convert(z):", "    import cmath\n    return cmath.polar(z)\n", [["1j"]], [["(3+4j)"]]),
        ["    import cmath\n    return (abs(z), cmath.phase(z))\n"],
        ["    return (abs(z), 0.0)\n"],
    ),
    (
        task(
            "Mbpp/434",
            "def text_match_three(t):",
            "    import re\n    return re.search('ab{3}', t)\n",
            [["ab"]],
            [["abbb"]],
        ),
        ["    import re\n    return re.search('abbb', t)\n", "    return 'abbb' in t\n"],
        ["    return True\n", "    return None\n"],
    ),
    (
        task("Mbpp/558", "def digit_distance_nums(a, b):", "    return abs(a - b)\n", [[1, 2]], [[23, 56], [7, 1]]),
        ["    return sum(abs(int(x) - int(y)) for x, y in zip(str(a).zfill(9), str(b).zfill(9)))\n"],
        ["    return a - b\n"],
    ),
    (
        task("Mbpp/581", "def surface_Area(b, s):", "    return 2 * b * s + b * b\n", [[3, 4]], [[4, 5]]),
        ["    return round(b * b + 2 * b * ((b / 2) ** 2 + s * s) ** 0.5)\n"],
        ["    return b * s\n"],
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "evalplus/HumanEvalPlus.jsonl.gz", [row for row, _, _ in HUMANEVAL])
    write(tmp_path / "evalplus/MbppPlus-v0.2.0.jsonl", [row for row, _, _ in MBPP])
    return tmp_path


def write(file: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Write JSON lines and return their sha256."""
    file.parent.mkdir(exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.write_bytes(gzip.compress(data, mtime=0) if file.suffix == ".gz" else data)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load(name: str, folder: Path) -> suites.Benchmark:
    (file,) = folder.glob(f"evalplus/{'Human' if name == 'humanevalplus' else 'Mbpp'}*")
    return suites.load(name, folder, hashlib.sha256(file.read_bytes()).hexdigest())


def verdicts(
    benchmark: suites.Benchmark, programs: list[tuple[str, str]], limits: sandbox.Limits | None = None
) -> list[str]:
    samples = [scoring.Sample(task_id, number, text) for number, (task_id, text) in enumerate(programs)]
    settings = scoring.Settings(limits or sandbox.Limits(), (1,), 1000, 0, 2)
    return [outcome.verdict for outcome in scoring.run(benchmark, samples, settings)]


def programs(benchmark: suites.Benchmark, tasks: list[Any]) -> tuple[list[tuple[str, str]], list[bool]]:
    """A whole program of each body, the canonical one among them, and whether it is right."""
    found, right = [], []
    for row, good, bad in tasks:
        problem = benchmark.problems[row["task_id"]]
        head = next(line for line in (row["prompt"] + row["canonical_solution"]).splitlines() if line.startswith("def"))
        bodies = [f"{head}\n{body}" for body in (*good, *bad)]
        for text in (row["prompt"] + row["canonical_solution"], *bodies):
            found.append((row["task_id"], extraction.finish(benchmark, problem, text, "repaired")))
        right += [True] * (1 + len(good)) + [False] * len(bad)
    return found, right


@pytest.mark.parametrize(("name", "tasks"), [("humanevalplus", HUMANEVAL), ("mbppplus", MBPP)])
def test_right_programs_pass_and_wrong_ones_do_not(folder: Path, name: str, tasks: list[Any]) -> None:
    benchmark = load(name, folder)
    given, right = programs(benchmark, tasks)
    found = verdicts(benchmark, given)
    assert [verdict == "passed" for verdict in found] == right, list(zip(found, right, given, strict=True))
    assert "violation" not in found and "timed out" not in found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tasks"), [("humanevalplus", HUMANEVAL), ("mbppplus", MBPP)])
def test_evalpluss_own_checker_agrees(folder: Path, name: str, tasks: list[Any]) -> None:
    evalplus = pytest.importorskip("evalplus.eval", reason="the package evalplus is not installed")
    from evalplus.data.mbpp import mbpp_deserialize_inputs
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    benchmark = load(name, folder)
    given, right = programs(benchmark, tasks)
    rows = {row["task_id"]: row for row, _, _ in tasks}
    theirs = []
    for task_id, text in given:
        row, passed = rows[task_id], True
        for key in ("base_input", "plus_input"):
            inputs = mbpp_deserialize_inputs(task_id, row[key]) if name == "mbppplus" else row[key]
            entry = row["entry_point"]
            none = entry in MBPP_OUTPUT_NOT_NONE_TASKS
            expected = trusted_exec(row["prompt"] + row["canonical_solution"], inputs, entry, output_not_none=none)
            dataset = "mbpp" if name == "mbppplus" else "humaneval"
            times = [20.0] * len(inputs)
            status, _ = evalplus.untrusted_check(dataset, text, inputs, entry, expected, row["atol"], times, True)
            passed = passed and status == "pass"
        theirs.append(passed)
    ours = [verdict == "passed" for verdict in verdicts(benchmark, given)]
    for (task_id, text), one, other in zip(given, theirs, ours, strict=True):
        # 0.3.1 does not count the inputs of HumanEval/32 and so fails all that are right.
        assert one == other or task_id == "HumanEval/32", text
    assert ours == right


def test_their_inputs_are_ours() -> None:
    """Each conversion beside EvalPlus's own, on inputs of the shape that its tasks have."""
    data = pytest.importorskip("evalplus.data.mbpp", reason="the package evalplus is not installed")
    shapes: dict[str, list[Any]] = {
        "items of the first to tuples": [[[1, 2], [3]], 4],
        "first to tuple": [[1, 2], 3],
        "second to tuple": [[1], [2, 3]],
        "first and its lists to tuples": [[1, [2, [3]], 4]],
        "values of the first to tuples": [{"a": [1, 2]}, 3, 4],
        "items to sets": [[[1, 2], [], 3]],
        "float and complex": ["1.5", "2j"],
        "complex": ["1+2j"],
    }
    spec = suites._spec(suites.FOLDER / "mbppplus.yaml")
    for conversion, numbers in spec["conversions"].items():
        for number in numbers:
            shape = shapes.get(conversion, [[[1, 2], [3, 4]], [[5, 6], [7]]])
            inputs = [[*shape, 4] if number == 307 else shape] * 2  # the one task of its kind with three arguments
            assert plus_check.CONVERSIONS[conversion](inputs) == data.mbpp_deserialize_inputs(f"Mbpp/{number}", inputs)
    assert set(plus_check.CONVERSIONS) == {"none", *spec["conversions"]}


def test_a_forged_equality_and_an_early_exit_are_no_pass(folder: Path) -> None:
    benchmark = load("humanevalplus", folder)
    equal = "class A(list):\n    def __eq__(s, o): return True\ndef grow(xs):\n    return A()\n"
    leaves = "import os\ndef grow(xs):\n    os._exit(0)\n"
    patches = "def grow(xs):\n    import numpy\n    numpy.allclose = lambda *a, **k: True\n    return 0.0\n"
    given = [("HumanEval/0", text) for text in (equal, leaves, patches)]
    assert verdicts(benchmark, given) == ["wrong answer", "early exit", "wrong answer"]


HUB_HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def grow(xs):\n",
    "entry_point": "grow",
    "canonical_solution": "    return xs + [1]\n",
    "test": "import numpy as np\n\ndef assertion(out, exp, atol):\n    assert out == exp\n\ndef check(candidate):\n"
    "    inputs = [[[]], [[2]]]\n    results = [[1], [2, 1]]\n"
    "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        assertion(candidate(*inp), exp, 0)\n",
}
HUB_MBPP = {
    "task_id": 56,
    "code": "def digits(n):\n    return str(n)\ndef check(n):\n    return digits(n) == digits(n)[::-1]",
    "prompt": "Write a function to check whether a number is a palindrome.",
    "source_file": "x.ipynb",
    "test_imports": [],
    "test_list": ["assert check(11) == True"],
    "test": "def assertion(out, exp, atol):\n    assert out == exp\n\ninputs = [[11], [12]]\nresults = [True, False]\n"
    "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(check(*inp), exp, 0)\n",
}


def test_the_hubs_form_is_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "evalplus").mkdir()
    pq.write_table(pa.Table.from_pylist([HUB_HUMANEVAL]), tmp_path / "evalplus/humanevalplus.parquet")
    pq.write_table(pa.Table.from_pylist([HUB_MBPP]), tmp_path / "evalplus/mbppplus.parquet")
    for name, wrong in (("humanevalplus", "    return [1]\n"), ("mbppplus", "def check(n):\n    return True\n")):
        sha256 = hashlib.sha256((tmp_path / f"evalplus/{name}.parquet").read_bytes()).hexdigest()
        benchmark = suites.load(name, tmp_path, sha256)
        ((task_id, problem),) = benchmark.problems.items()
        whole = [problem.canonical_solution, wrong]
        if name == "humanevalplus":
            whole = [problem.prompt + body for body in whole]
        else:
            assert task_id == "Mbpp/56" and "palindrome.\nassert check(11) == True" in problem.prompt
        given = [(task_id, extraction.finish(benchmark, problem, text, "repaired")) for text in whole]
        assert verdicts(benchmark, given) == ["passed", "wrong answer"]


def test_the_release_is_pinned_by_parameter(folder: Path, workspace: Workspace) -> None:
    workspace.set("sample.benchmark", "mbppplus")
    workspace.set("sample.data", str(folder))
    done = workspace.run("sample@base")
    sha256 = hashlib.sha256((folder / "evalplus/MbppPlus-v0.2.0.jsonl").read_bytes()).hexdigest()
    assert done.returncode == 3 and f"MbppPlus-v0.2.0.jsonl has {sha256}" in done.stderr
    assert "set data_sha256 (now empty) to one of them" in done.stderr
    other = write(folder / "evalplus/MbppPlus-v0.1.0.jsonl", [row for row, _, _ in MBPP[:3]])
    assert len(suites.load("mbppplus", folder, sha256).problems) == 7
    benchmark = suites.load("mbppplus", folder, other)
    assert benchmark.sha256 == other and benchmark.describe(set(benchmark.problems)) == "all 3 problems of MBPP+"
    with pytest.raises(BadInput, match=r"is missing; put a release of EvalPlus's"):
        suites.load("mbppplus", folder / "evalplus", sha256)


def test_mbpp_and_mbpp_plus_do_not_mix(folder: Path, tmp_path: Path) -> None:
    sha256 = write(folder / "evalplus/MbppPlus-v0.2.0.jsonl", [{"task_id": "MBPP/11", "test": ""}])
    with pytest.raises(BadInput, match=r"MBPP\+: task_id 'MBPP/11' is another benchmark's; its own are like Mbpp/2"):
        suites.load("mbppplus", folder, sha256)
    sha256 = write(folder / "evalplus/MbppPlus-v0.2.0.jsonl", [row for row, _, _ in MBPP])
    for task_id in ("MBPP/11", 11):
        write(tmp_path / "c.jsonl", [{"task_id": task_id, "solution": ""}])
        told = ("--benchmark", "mbppplus", "--data", ".", "--sha256", sha256, "--out", "out")
        done = score("c.jsonl", *told, cwd=tmp_path)
        assert done.returncode == 3 and f"unknown task_id {task_id!r}; MBPP+ has ids like 'Mbpp/2'" in done.stderr
    row = {key: value for key, value in MBPP[0][0].items() if key != "atol"}
    sha256 = write(folder / "evalplus/MbppPlus-v0.2.0.jsonl", [row])
    with pytest.raises(BadInput, match=r"MBPP\+: Mbpp/2 lacks 'atol'"):
        suites.load("mbppplus", folder, sha256)


@pytest.mark.slow
def test_make_score_takes_a_release(folder: Path, tmp_path: Path) -> None:
    sha256 = hashlib.sha256((folder / "evalplus/HumanEvalPlus.jsonl.gz").read_bytes()).hexdigest()
    row = HUMANEVAL[1][0]
    write(tmp_path / "c.jsonl", [{"task_id": "HumanEval/2", "completion": body} for body in ("    return x / 2\n", "")])
    told = ("--benchmark", "humanevalplus", "--data", ".", "--sha256", sha256, "--out", "out")
    done = score("c.jsonl", *told, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["slice"] == "1 of 6 problems of HumanEval+" and summary["pass@1"] == 0.5
    assert row["task_id"] == "HumanEval/2" and math.isclose(summary["pass@1_wilson_95"][0], 0.0266, abs_tol=0.5)


# The releases themselves

RELEASES = {  # problems, and those that a load, a large result or the checker's own names have failed before
    "HumanEvalPlus-v0.1.9": (164, (15, 152)),
    "HumanEvalPlus-v0.1.10": (164, (130, 139, 152)),
    "MbppPlus-v0.1.0": (399, (271, 392)),
    "MbppPlus-v0.2.0": (378, (255, 599)),
}


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_canonical_solutions_pass(release: str, shared_data: Callable[[str], Path]) -> None:
    file = shared_data(f"evalplus/{release}.jsonl.gz")
    name = "humanevalplus" if release.startswith("Human") else "mbppplus"
    benchmark = suites.load(name, file.parent.parent, hashlib.sha256(file.read_bytes()).hexdigest())
    count, hard = RELEASES[release]
    assert len(benchmark.problems) == count
    prefix = next(iter(benchmark.problems)).rpartition("/")[0]
    few = {*random.Random(0).sample(list(benchmark.problems), 10), *(f"{prefix}/{number}" for number in hard)}
    chosen = [problem for task_id, problem in benchmark.problems.items() if FULL or task_id in few]
    whole = [(p.task_id, extraction.finish(benchmark, p, p.prompt + p.canonical_solution, "repaired")) for p in chosen]
    found = zip(whole, verdicts(benchmark, whole), strict=True)
    assert {task_id: verdict for (task_id, _), verdict in found if verdict != "passed"} == {}


# Expected outputs


@pytest.mark.slow
def test_expected_outputs_are_computed_once(
    folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tidemill.expected")
    monkeypatch.setattr(expected, "ROOT", tmp_path / "own")
    benchmark = load("humanevalplus", folder)
    right = [("HumanEval/0", "def grow(xs):\n    return [*xs, 1]\n")]
    assert verdicts(benchmark, right) == ["passed"]
    assert "computing the expected outputs of 1 problems of HumanEval+" in caplog.text
    caplog.clear()
    assert verdicts(benchmark, right * 2) == ["passed"] * 2 and not caplog.text
    (file,) = (tmp_path / "own").iterdir()
    file.write_text(file.read_text().replace('"cpu_s": ', '"cpu_s": 9'))
    assert verdicts(benchmark, right) == ["passed"] and f"{file} is damaged and is made again" in caplog.text
    caplog.clear()
    assert verdicts(benchmark, right) == ["passed"] and not caplog.text


def test_a_canonical_solution_that_does_not_run_is_named(tmp_path: Path) -> None:
    broken = task("HumanEval/7", "def seven(x):", "    return 7 / x\n", [[0]], [])
    sha256 = write(tmp_path / "evalplus/HumanEvalPlus.jsonl", [broken])
    benchmark = suites.load("humanevalplus", tmp_path, sha256)
    with pytest.raises(BadInput, match=r"canonical solution of HumanEval/7 did not run.*exception \(ZeroDivisionError"):
        verdicts(benchmark, [("HumanEval/7", "def seven(x):\n    return 7\n")])


@pytest.mark.slow
def test_the_canonical_solutions_cost_raises_the_limits(tmp_path: Path) -> None:
    """A second of CPU is the limit, and the canonical solution takes two."""
    spins = (
        "    import time\n    end = time.process_time() + 2\n    while time.process_time() < end: pass\n    return x\n"
    )
    row = task("HumanEval/7", "def late(x):", spins, [[1]], [])
    benchmark = suites.load("humanevalplus", tmp_path, write(tmp_path / "evalplus/HumanEvalPlus.jsonl", [row]))
    program = f"def late(x):\n{spins}"
    slow = program.replace("+ 2", "+ 60")
    given = [("HumanEval/7", program), ("HumanEval/7", slow)]
    assert verdicts(benchmark, given, sandbox.Limits(cpu_s=1, wall_s=2)) == ["passed", "timed out"]


def test_tests_that_wait_for_a_cpu_are_no_time_out(tmp_path: Path) -> None:
    """The tests take 1 s of CPU, the candidate none, and 12 processes want every core: more than 3 s on the clock."""
    spins = "def check(candidate):\n    import time\n    end = time.process_time() + 1\n"
    spins += "    while time.process_time() < end: pass\n    assert candidate() == 1\n"
    program = sandbox.Program("python", "def one():\n    return 1\n", spins, "one")
    busy = [sys.executable, "-c", "while True: pass"]  # spinning before the program starts, unlike a spawned import
    others = [subprocess.Popen(busy) for _ in range(6 * (os.cpu_count() or 1))]
    try:
        (outcome,) = sandbox.run_all([program], sandbox.Limits(wall_s=2), 1)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert outcome.verdict == "passed", outcome


def test_digests_are_equal_where_values_are() -> None:
    draw = random.Random(0)

    def value(depth: int) -> Any:
        many = [value(depth - 1) for _ in range(draw.randrange(3))] if depth else []
        return draw.choice(
            [0, 1, 2, -1, -2, True, False, 0.0, -0.0, 1.0, -2.0, 0.1, 2**53, 2**53 + 1, 2.0**53, 10**400, 1j, 1 + 0j]
            + [float("inf"), "", "1", "é", b"1", bytearray(b"1"), None, range(0, 3, 2), range(0, 4, 2), range(5, 5)]
            + [many, tuple(many), {str(one): one for one in many}, set(map(repr, many)), frozenset(map(repr, many))] * 3
        )

    values = [wire.load(wire.dump(value(3))) for _ in range(600)]
    hexes = [digest.digest(one) for one in values]
    for one, its in zip(values, hexes, strict=True):
        for other, others in zip(values, hexes, strict=True):
            assert (its == others) == (one == other), (one, other)
    for unlike in (float("nan"), [1, float("nan")], iter([1]), [iter([1])], wire.Opaque("A"), {1: wire.Opaque("A")}):
        assert digest.digest(unlike) != digest.digest(unlike)


def test_only_what_is_large_and_exact_is_digested() -> None:
    assert digest.brief([1] * 8, 10) == ("value", [1] * 8)
    assert digest.brief([1] * 9, 10) == ("digest", digest.digest([1.0] * 9))
    assert digest.brief([0.5] * 99, 10)[0] == "value" and digest.brief([0.5] * 99, 0)[0] == "digest"
    assert [digest.brief(large, 10)[0] for large in ("x" * 10, 10**99, [[1, 2, 3]] * 3, {1: "x" * 9})] == ["digest"] * 4
