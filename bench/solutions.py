"""What the evening's student learned: how likely it finds a benchmark's own solutions, and how many problems it solves.

    .venv/bin/python -m bench.solutions rows docs.jsonl --count 420
    .venv/bin/python -m bench.solutions rows mbpp.jsonl --benchmark mbpp --skip 150 --count 350
    .venv/bin/python -m bench.solutions loss label=models/tuned other=../other/models/tuned
    .venv/bin/python -m bench.solutions solved untuned=scores/one,scores/two label=other/one,other/two

`rows` writes rows that people wrote: Python functions of data/corpus with their docstring as the instruction, drawn by
hash; or a benchmark's own solutions, of problems that are then not reported. Train on them (`train.file: docs.jsonl`)
to tell a weak student from weak rows. `loss` measures the untuned model (`sample.model`) and each adapter in bits a
byte of the body, in the form `alpaca_signature`: HumanEval's first 100, and of MBPP's first 100 those that are one
function (shared/data/mbpp). Writes bench/results/solutions.json. `solved` compares artifacts of `score` with the first
label's, on the problems that both have, all benchmarks together. Writes bench/results/solved.json, or the one that
`--result` names.
"""

import argparse
import hashlib
import inspect
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from commands.ablate import results  # noqa: E402
from stages.lib import artifacts, params, records, statistics  # noqa: E402
from stages.lib.benchmarks import prompting, references, suites  # noqa: E402
from stages.lib.benchmarks.validation import Validation  # noqa: E402
from stages.lib.errors import BadInput  # noqa: E402
from stages.lib.models import causal  # noqa: E402
from stages.lib.training import held_out  # noqa: E402
from stages.lib.training.examples import IGNORED, Example  # noqa: E402

RESULTS = ROOT / "bench/results"
FORM: prompting.FormName = "alpaca_signature"
PROBLEMS = 100
METHOD = re.compile(r"def \w+\((self|cls)\b")
DOCSTRING, CODE = range(21, 600), range(61, 700)  # characters


def main() -> None:
    """Write rows, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    rows = commands.add_parser("rows")
    rows.add_argument("file", type=Path)
    rows.add_argument("--count", type=int, default=420)
    rows.add_argument("--functions", action="store_true", help="no methods")
    rows.add_argument("--benchmark", help="its own solutions instead, such as mbpp")
    rows.add_argument("--skip", type=int, default=0, help="of that benchmark's problems")
    loss = commands.add_parser("loss")
    loss.add_argument("tuned", nargs="+", metavar="LABEL=FOLDER")
    solved = commands.add_parser("solved")
    solved.add_argument("scores", nargs="+", metavar="LABEL=FOLDER,...")
    solved.add_argument("--result", default="solved", help="name of the file in bench/results")
    wish = parser.parse_args()
    if wish.command == "solved":
        scores = {label: folders.split(",") for label, folders in (one.split("=", 1) for one in wish.scores)}
        compare(scores, RESULTS / f"{wish.result}.json")
    elif wish.command == "rows":
        chosen = Validation(benchmark=wish.benchmark, skip=wish.skip, problems=wish.count) if wish.benchmark else None
        records.write_lines(wish.file, references.rows(chosen) if chosen else documented(wish.count, wish.functions))
    else:
        measure(dict(one.split("=", 1) for one in wish.tuned))


def documented(count: int, functions: bool) -> list[dict[str, str]]:
    """`count` documented Python functions of the corpus, without methods if `functions`, as rows of instruction, input
    and output."""
    table = records.read(artifacts.open("data/corpus").parts("corpus.parquet"), records.FUNCTION).to_pylist()
    found = []
    for row in table:
        said = inspect.cleandoc(row["docstring"])
        wanted = row["language"] == "Python" and not (functions and METHOD.search(row["code"]))
        if wanted and len(said) in DOCSTRING and len(row["code"]) in CODE:
            name = row["name"].split(".")[-1]
            code = f"{row['imports']}\n\n\n{row['code']}" if row["imports"] else row["code"]
            written = {"instruction": f"Write the Python function {name}. {said}", "input": "", "output": code}
            found.append((hashlib.sha256(f"docs{row['id']}".encode()).hexdigest(), written))
    return [written for _, written in sorted(found, key=lambda one: one[0])[:count]]


def measure(tuned: dict[str, str]) -> None:
    """Measure the base and every adapter, and write the result."""
    from peft import PeftModel

    base = params.merged()["sample"]["model"]
    model, tokenizer = causal.load_causal(base, "float32")
    asked = {name: list(problems(suites.load(name))) for name in ("humaneval", "mbpp")}
    losses = {"untuned": {name: bits(model, tokenizer, pairs) for name, pairs in asked.items()}}
    for label, folder in tuned.items():
        adapted = PeftModel.from_pretrained(model, str(Path(folder) / "adapter"))
        losses[label] = {name: bits(adapted, tokenizer, pairs) for name, pairs in asked.items()}
        model = adapted.unload()
    result = {
        label: {name: facts(found, losses["untuned"][name]) for name, found in own.items()}
        for label, own in losses.items()
    }
    (RESULTS / "solutions.json").write_text(json.dumps({"base": base, "bits_per_byte": result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def compare(scores: dict[str, list[str]], to: Path) -> None:
    """Write to `to` how many problems each label solves, and how it differs from the first one, problem by problem."""
    shares = {
        label: {task: one for folder in own for task, one in passed(folder).items()} for label, own in scores.items()
    }
    first, *others = shares
    result: dict[str, Any] = {
        label: {"solved": sum(own.values()), "problems": len(own)} for label, own in shares.items()
    }
    found = [statistics.compare(first, label, *common(shares[first], shares[label])) for label in others]
    corrected = statistics.holm([one.p for one in found])
    for one, p_holm in zip(found, corrected, strict=True):
        result[one.other] |= {**asdict(one), "p_holm": p_holm, "detectable": one.detectable}
    to.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def common(left: dict[str, float], right: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Both, on the problems that both have."""
    both = [task for task in left if task in right]
    return {task: left[task] for task in both}, {task: right[task] for task in both}


def passed(folder: str) -> dict[str, float]:
    """Of each problem, the share of its samples that passed."""
    rows = records.read(Path(folder, "scores.parquet"), records.SCORE).to_pylist()
    return results.score(rows, benchmark="", slice="").shares


def problems(benchmark: suites.Benchmark) -> Iterator[tuple[str, str]]:
    """Of each of the first problems the prompt, signature included, and the body of its solution."""
    for problem in list(benchmark.problems.values())[:PROBLEMS]:
        prompt = prompting.render(benchmark, problem, FORM, None)
        if benchmark.family != "mbpp":
            yield prompt, f"\n{problem.canonical_solution.rstrip()}"
        elif problem.canonical_solution.startswith(problem.opening):
            yield prompt, problem.canonical_solution.removeprefix(problem.opening).rstrip()


def bits(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> list[float]:
    """The loss of each body after its prompt, in bits a byte."""
    model.eval()
    found = []
    for prompt, body in pairs:
        before, tokens = len(tokenizer(prompt)["input_ids"]), tokenizer(prompt + body)["input_ids"]
        row = Example("", tokens, [IGNORED] * before + tokens[before:])
        found.append(held_out.loss(model, row) * (len(tokens) - before) / math.log(2) / len(body.encode()))
    return found


def facts(found: list[float], untuned: list[float]) -> dict[str, Any]:
    """The mean, and the 95% interval of its difference from the untuned model's, problem by problem."""
    moved = [own - before for own, before in zip(found, untuned, strict=True)]
    low, high = statistics.bootstrap(moved)
    mean, difference = sum(found) / len(found), sum(moved) / len(moved)
    numbers = {"mean": mean, "difference": difference, "low": low, "high": high}
    return {"solutions": len(found), **{name: round(value, 4) for name, value in numbers.items()}}


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        sys.exit(f"solutions: {error}")
