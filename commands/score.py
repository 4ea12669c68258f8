"""Scores completions made by another tool: `make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder`.

FILE holds JSON lines, gzipped or not, in any order, with any number of samples per task:
    {"task_id": "HumanEval/0", "completion": "    return …"}    a function's body, run after the task's prompt
    {"task_id": "HumanEval/0", "solution": "def …"}             a whole program
Prints a table and writes OUT/samples.jsonl (each sample's verdict, seconds and the end of its error) and
OUT/summary.json (passed, total, pass@k, intervals, mode).

Exit status: 0 scored, whatever the score; 2 unknown option; 3 a problem that you can fix, which the message names; 130
stopped by Ctrl-C. `make` turns all but 0 into 2 and prints the status itself ("Error 3"). After a stop, a kill or a
full disk, the same command resumes after the last verdict in OUT.
"""

import argparse
import errno
import fcntl
import gzip
import json
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from stages.lib import artifacts, sandbox
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.benchmarks.suites import Benchmark
from stages.lib.errors import BadInput

VERDICTS = "verdicts.jsonl"
LOCK = ".lock"
GZIP = b"\x1f\x8b"
USAGE = "make score FILE=completions.jsonl BENCHMARK=humaneval OUT=folder"
MOST_BYTES = 1 << 20  # per program; HumanEval's longest canonical solution has under 2 KiB
log = logging.getLogger("tidemill.score")


def main(arguments: list[str]) -> None:
    """Score the file that `arguments` names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    options = _parser().parse_args(arguments)
    score(options)


def score(options: argparse.Namespace) -> None:
    """Read, run, count, print, write. Raises `BadInput` before anything runs, unless OUT becomes unwritable."""
    if not options.file.strip():
        raise BadInput(f"no FILE; {USAGE}")
    if not options.out.strip():
        raise BadInput(f"OUT is missing; name the folder for the results: {USAGE}")
    out = Path(options.out)
    benchmark = suites.load(options.benchmark, options.data, options.sha256)
    if reason := sandbox.missing(benchmark.language):
        with _locked(out), _writing(out):
            artifacts.write_json(out / "summary.json", {"not_run": reason, "mode": options.mode})
        print(f"{benchmark.name}: cannot run here: {reason}")
        return
    samples = read_samples(Path(options.file), benchmark, options.mode)
    with _locked(out):
        _score(options, benchmark, samples, out)


def _score(options: argparse.Namespace, benchmark: Benchmark, samples: list[scoring.Sample], out: Path) -> None:
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
        for sample, outcome in zip(samples, _outcomes(benchmark, samples, settings, out), strict=True)
    ]
    verdicts = [(str(row["task_id"]), str(row["verdict"])) for row in rows]
    if options.count_missing:
        # As many as the task with the fewest samples, or pass@k would be dropped for every k above 1.
        each = min(Counter(task_id for task_id, _ in verdicts).values())
        verdicts += [(task_id, "missing") for task_id in missing for _ in range(each)]
    summary = scoring.summarize(benchmark, verdicts, settings)
    summary |= {"mode": options.mode, "missing": len(missing), "missing_counted": options.count_missing}
    with _writing(out):
        artifacts.write_text(out / "samples.jsonl", "".join(artifacts.canonical(row) + "\n" for row in rows))
        artifacts.write_json(out / "summary.json", summary)
        (out / VERDICTS).unlink()
    print(table(summary, out))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Create the folder `out` and lock it. Raises `BadInput` if another run has it."""
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK).open("a+", encoding="utf-8")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip() or "unknown"
            raise BadInput(f"{out} is in use by another run (process {who}); wait for it or name another OUT") from None
        with _writing(out):
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        yield


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turns an OSError while writing to `out` into a `BadInput` that says what to do."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{out} is a file, or inside one; name another OUT") from None
    except OSError as error:
        raise BadInput(
            f"cannot write to {out}: {error.strerror}; free some space or name another OUT. With the same OUT, its "
            "verdicts are not computed again"
        ) from None


def _outcomes(
    benchmark: Benchmark, samples: list[scoring.Sample], settings: scoring.Settings, out: Path
) -> Iterator[sandbox.Outcome]:
    """The outcome of each sample; those already in OUT/verdicts.jsonl are not run again."""
    run = artifacts.digest([benchmark.sha256, settings.mode, settings.limits.result])
    known = _known(out / VERDICTS)
    keys = [artifacts.digest([run, sample.task_id, sample.number, sample.program]) for sample in samples]
    fresh = [sample for key, sample in zip(keys, samples, strict=True) if key not in known]
    log.info("%d programs, %d of them scored by an earlier run", len(samples), len(samples) - len(fresh))
    found = scoring.run(benchmark, fresh, settings)
    with _writing(out):
        file = (out / VERDICTS).open("ab", buffering=0)
    with file:
        for key in keys:
            if key not in known:
                known[key] = next(found)
                line = artifacts.canonical({"key": key, **vars(known[key])}).encode() + b"\n"
                with _writing(out):
                    if file.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield known[key]


def _known(file: Path) -> dict[str, sandbox.Outcome]:
    """The outcomes in `file`. A last line cut short by a kill or a full disk is dropped, and its program run again.

    Raises `BadInput`, naming the line, for any other line that is no outcome.
    """
    if not file.exists():
        return {}
    with _writing(file.parent):
        data = file.read_bytes()
        whole = data.rpartition(b"\n")[0] + b"\n" if b"\n" in data else b""
        os.truncate(file, len(whole))
    return dict(_outcome(f"{file}, line {number}", line) for number, line in enumerate(whole.split(b"\n")[:-1], 1))


def _outcome(where: str, line: bytes) -> tuple[str, sandbox.Outcome]:
    try:
        row = json.loads(line)
        key, outcome = row.pop("key"), sandbox.Outcome(**row)
        if not isinstance(key, str) or outcome.verdict not in get_args(sandbox.Verdict):
            raise ValueError("no key, or an unknown verdict")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{where}: not a verdict ({type(error).__name__}: {error}); delete the line to run its program again, or "
            "the file to run everything again"
        ) from None
    return key, outcome


def read_samples(file: Path, benchmark: Benchmark, mode: extraction.Mode) -> list[scoring.Sample]:
    """The samples of `file`, numbered within their task.

    Raises `BadInput`, naming the file and line, for anything not in the module docstring's format.
    """
    numbers: Counter[str] = Counter()
    samples = []
    for where, row in _rows(file):
        task_id = row.get("task_id")
        if benchmark.name == "MBPP" and type(task_id) is int:  # as in Google's own file
            task_id = f"MBPP/{task_id}"
        if not isinstance(task_id, str) or task_id not in benchmark.problems:
            known = next(iter(benchmark.problems))
            raise BadInput(f"{where}: unknown task_id {task_id!r}; {benchmark.name} has ids like {known!r}")
        samples.append(
            scoring.Sample(task_id, numbers[task_id], _program(where, {**row, "task_id": task_id}, benchmark, mode))
        )
        numbers[task_id] += 1
    if not samples:
        raise BadInput(f"{file} contains no completions")
    return samples


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        data = file.read_bytes()
        lines = (gzip.decompress(data) if data.startswith(GZIP) else data).split(b"\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{file}: damaged gzip data ({error}); create or copy the file again") from None
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        where = f"{file}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadInput(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); write it as UTF-8") from None
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}); write one JSON object per line") from None
        if not isinstance(row, dict):
            raise BadInput(f"{where}: not a JSON object")
        yield where, row


def _program(where: str, row: dict[str, Any], benchmark: Benchmark, mode: extraction.Mode) -> str:
    keys = [key for key in ("completion", "solution") if key in row]
    if len(keys) != 1:
        raise BadInput(f"{where}: give either completion (a function's body) or solution (a whole program)")
    text = row[keys[0]]
    if not isinstance(text, str):
        raise BadInput(f"{where}: {keys[0]} is not a string")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput(f"{where}: {keys[0]} contains half a surrogate pair, which no program can") from None
    if size > MOST_BYTES:
        raise BadInput(f"{where}: the {keys[0]} has {size:,} bytes, more than {MOST_BYTES:,}; leave it out")
    problem = benchmark.problems[row["task_id"]]
    if keys[0] == "solution":
        return extraction.finish(benchmark, problem, text, mode)
    if mode == "compat" and benchmark.family in extraction.PACKS:
        # The published harness strips the prompt's end because models write the line break themselves; a body has none.
        return extraction.program(benchmark, problem, extraction.line_break(problem) + text, "completion", mode)
    # The published scorer runs a completion unchanged: truncating it was the sampler's job.
    return problem.prompt + text if mode == "compat" else extraction.program(benchmark, problem, text, "chat", mode)


def table(summary: dict[str, Any], out: Path) -> str:
    """The summary as text."""
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--benchmark", default="humaneval")
    parser.add_argument("--out", default="", help="the folder for the results; created if missing")
    parser.add_argument("--data", type=Path, default=suites.DATA, help="the folder with HumanEvalPack and MBPP")
    parser.add_argument("--sha256", default="", help="of the data, for a benchmark with several releases")
    parser.add_argument("--mode", choices=get_args(extraction.Mode), default="compat")
    parser.add_argument("--k", type=_positive, nargs="+", default=[1, 10, 100])
    parser.add_argument("--count-missing", action="store_true", help="count problems without a sample as failed")
    parser.add_argument("--workers", type=_positive, default=2, help="programs at a time")
    parser.add_argument("--allow-weak-isolation", action="store_true")
    return parser
