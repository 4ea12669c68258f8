"""Scores completions that another tool made: `make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder`.

FILE holds JSON lines, in any order, any number of samples a task:
    {"task_id": "HumanEval/0", "completion": "    return …"}    a function's body, run after the task's prompt
    {"task_id": "HumanEval/0", "solution": "def …"}             a whole program
Prints a table and writes OUT/samples.jsonl (verdict, seconds and the end of the error of each sample) and
OUT/summary.json (passed, total, pass@k, intervals, mode). Exit status 3: bad input, nothing was run.
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from stages.lib import artifacts, sandbox
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.benchmarks.suites import Benchmark
from stages.lib.errors import BadInput

VERDICTS = "verdicts.jsonl"
MOST_BYTES = 1 << 20  # of one program; the longest canonical solution of HumanEval has under 2 KiB
log = logging.getLogger("tidemill.score")


def main(arguments: list[str]) -> None:
    """Score the file that `arguments` name."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    options = _parser().parse_args(arguments)
    score(options)


def score(options: argparse.Namespace) -> None:
    """Read, run, count, print, write. Raises `BadInput` before anything is run."""
    if options.file is None:
        raise BadInput("no FILE; make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder")
    benchmark = suites.load(options.benchmark, options.data, options.sha256)
    if reason := sandbox.missing(benchmark.language):
        artifacts.write_json(options.out / "summary.json", {"not_run": reason, "mode": options.mode})
        print(f"{benchmark.name}: not run: {reason}")
        return
    samples = read_samples(options.file, benchmark, options.mode)
    missing = [task_id for task_id in benchmark.problems if task_id not in {sample.task_id for sample in samples}]
    settings = scoring.Settings(
        limits=sandbox.Limits(),
        k=tuple(options.k),
        resamples=10_000,
        seed=0,
        workers=options.workers,
        allow_weak=options.allow_weak_isolation,
        mode=options.mode,
    )
    log.info("isolation: %s", sandbox.isolation(options.allow_weak_isolation))
    rows = [
        {
            "task_id": sample.task_id,
            "sample": sample.number,
            "verdict": outcome.verdict,
            "seconds": round(outcome.seconds, 3),
            "stderr": outcome.detail,
        }
        for sample, outcome in zip(samples, _outcomes(benchmark, samples, settings, options.out), strict=True)
    ]
    verdicts = [(str(row["task_id"]), str(row["verdict"])) for row in rows]
    if options.count_missing:
        # As many as the least that another task has, or pass@k would be left out for every k above 1.
        each = min(Counter(task_id for task_id, _ in verdicts).values())
        verdicts += [(task_id, "missing") for task_id in missing for _ in range(each)]
    summary = scoring.summarize(benchmark, verdicts, settings)
    summary |= {"mode": options.mode, "missing": len(missing), "missing_counted": options.count_missing}
    artifacts.write_text(options.out / "samples.jsonl", "".join(artifacts.canonical(row) + "\n" for row in rows))
    artifacts.write_json(options.out / "summary.json", summary)
    (options.out / VERDICTS).unlink()
    print(table(summary, options.out))


def _outcomes(
    benchmark: Benchmark, samples: list[scoring.Sample], settings: scoring.Settings, out: Path
) -> Iterator[sandbox.Outcome]:
    """The outcome of each sample; those that a killed run has written to OUT/verdicts.jsonl are not run again."""
    out.mkdir(parents=True, exist_ok=True)
    run = artifacts.digest([benchmark.sha256, settings.mode, settings.limits.result])
    known = _known(out / VERDICTS)
    keys = [artifacts.digest([run, sample.task_id, sample.number, sample.program]) for sample in samples]
    fresh = [sample for key, sample in zip(keys, samples, strict=True) if key not in known]
    log.info("%d programs, %d of them scored by an earlier run", len(samples), len(samples) - len(fresh))
    found = scoring.run(benchmark, fresh, settings)
    with (out / VERDICTS).open("a", encoding="utf-8") as file:
        for key in keys:
            if key not in known:
                known[key] = next(found)
                file.write(artifacts.canonical({"key": key, **vars(known[key])}) + "\n")
                file.flush()
            yield known[key]


def _known(file: Path) -> dict[str, sandbox.Outcome]:
    """The outcomes in `file`; a line that a kill has cut is dropped, for it and what follows is run again."""
    known: dict[str, sandbox.Outcome] = {}
    whole = b""
    for line in file.read_bytes().splitlines(keepends=True) if file.exists() else []:
        if not line.endswith(b"\n"):
            break
        row = json.loads(line)
        key = row.pop("key")
        known[key] = sandbox.Outcome(**row)
        whole += line
    if file.exists():
        file.write_bytes(whole)
    return known


def read_samples(file: Path, benchmark: Benchmark, mode: extraction.Mode) -> list[scoring.Sample]:
    """The samples of `file`, numbered within their task.

    Raises `BadInput`, naming the file and the line, for what is not as the module's docstring says.
    """
    numbers: Counter[str] = Counter()
    samples = []
    for where, row in _rows(file):
        task_id = row.get("task_id")
        if benchmark.name == "MBPP" and type(task_id) is int:  # as in Google's own file
            task_id = f"MBPP/{task_id}"
        if not isinstance(task_id, str) or task_id not in benchmark.problems:
            known = next(iter(benchmark.problems))
            raise BadInput(f"{where}: unknown task_id {task_id!r}; those of {benchmark.name} are like {known!r}")
        samples.append(
            scoring.Sample(task_id, numbers[task_id], _program(where, {**row, "task_id": task_id}, benchmark, mode))
        )
        numbers[task_id] += 1
    if not samples:
        raise BadInput(f"{file} holds no completions")
    return samples


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        where = f"{file}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadInput(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); write it as UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}); write one JSON object a line") from None
        if not isinstance(row, dict):
            raise BadInput(f"{where}: not a JSON object")
        yield where, row


def _program(where: str, row: dict[str, Any], benchmark: Benchmark, mode: extraction.Mode) -> str:
    keys = [key for key in ("completion", "solution") if key in row]
    if len(keys) != 1:
        raise BadInput(f"{where}: write either completion (a function's body) or solution (a whole program)")
    text = row[keys[0]]
    if not isinstance(text, str):
        raise BadInput(f"{where}: {keys[0]} is not a text")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput(f"{where}: {keys[0]} holds half a surrogate pair, which no program can") from None
    if size > MOST_BYTES:
        raise BadInput(f"{where}: the {keys[0]} has {size:,} bytes, more than {MOST_BYTES:,}; leave it out")
    problem = benchmark.problems[row["task_id"]]
    if keys[0] == "solution":
        return extraction.finish(benchmark, problem, text, mode)
    if mode == "compat" and benchmark.family in extraction.PACKS:
        # The published harness strips the prompt's end, for the model writes the line break; a body has none.
        return extraction.program(benchmark, problem, extraction.line_break(problem) + text, "completion", mode)
    # The published scorer runs a completion as it stands: what was to be cut, the sampler has cut.
    return problem.prompt + text if mode == "compat" else extraction.program(benchmark, problem, text, "chat", mode)


def table(summary: dict[str, Any], out: Path) -> str:
    """The summary, for a person."""
    low, high = (f"{100 * bound:.1f}" for bound in summary["pass@1_bootstrap_95"])
    lines = [f"{summary['slice']}; mode: {summary['mode']}"]
    lines += [f"  {name:<14} {100 * value:6.2f} %" for name, value in summary.items() if _is_score(name)]
    lines.append(f"  {'95% interval':<14} {low} to {high} % (pass@1, bootstrap over problems)")
    lines.append(f"  {'passed':<14} {summary['passed']} of {summary['total']} samples")
    lines += [f"    {verdict:<12} {count}" for verdict, count in summary["verdicts"].items()]
    if summary["missing"]:
        how = (
            "counted as failed" if summary["missing_counted"] else "not counted; --count-missing counts them as failed"
        )
        lines.append(f"  {'missing':<14} {summary['missing']} problems ({how})")
    return "\n".join([*lines, f"  in {out}: samples.jsonl, summary.json"])


def _is_score(name: str) -> bool:
    return name.startswith("pass@") and "_" not in name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--benchmark", default="humaneval")
    parser.add_argument("--out", type=Path, nargs="?", default=Path("scores"), const=Path("scores"))
    parser.add_argument("--data", type=Path, default=suites.DATA, help="the folder with HumanEvalPack and MBPP")
    parser.add_argument("--sha256", default="", help="of the data, where the benchmark has several releases")
    parser.add_argument("--mode", choices=get_args(extraction.Mode), default="compat")
    parser.add_argument("--k", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--count-missing", action="store_true", help="problems without a sample count as failed")
    parser.add_argument("--workers", type=int, default=2, help="programs at a time")
    parser.add_argument("--allow-weak-isolation", action="store_true")
    return parser
