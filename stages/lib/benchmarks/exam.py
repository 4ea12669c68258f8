"""A model answers a benchmark's problems: which are asked together, in which steps, and how shards split them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import engines
from stages.lib.benchmarks import prompting
from stages.lib.benchmarks.suites import Benchmark, Problem
from stages.lib.errors import BadInput
from stages.lib.models import decoding


@dataclass(frozen=True)
class Exam:
    """Who is asked what, in which form, and how often."""

    engine: engines.Engine
    benchmark: Benchmark
    form: prompting.FormName
    samples: int

    @property
    def stop(self) -> tuple[str, ...]:
        """Where an answer is over."""
        return self.benchmark.forms[self.form].stop

    def render(self, problem: Problem, description: str) -> str:
        return prompting.render(self.benchmark, problem, self.form, self.engine.tokenizer, description)

    def render_description(self, problem: Problem) -> str:
        return prompting.render_description(self.benchmark, problem, self.form, self.engine.tokenizer)


def answer(exam: Exam, problems: list[Problem]) -> list[dict[str, Any]]:
    """Rows of `records.COMPLETION` in the order of problems and samples."""
    rows: dict[str, list[dict[str, Any]]] = {problem.task_id: [] for problem in problems}
    for part, members in _parts(exam, problems).items():
        requests = _requests(exam, members, part)
        for request, written in zip(requests, exam.engine.write(requests, exam.stop, part), strict=True):
            task_id, _, number = request.key.rpartition(" ")
            said = {"completion": written.text, "tokens": written.tokens, "finished": written.finished}
            rows[task_id].append({"task_id": task_id, "sample": int(number), "prompt": request.prompt, **said})
    return [row for found in rows.values() for row in found]


def share(exam: Exam, problems: list[Problem], mine: Callable[[int], range]) -> None:
    """Save the answers of those parts that are `mine`, or of the batches of the one part; the run of the whole finds
    them.

    Raises `BadInput` for an endpoint.
    """
    if isinstance(exam.engine, engines.Served):
        raise BadInput("params.yaml: sample.engine: only one process may ask an endpoint; run sample without --shard")
    parts = list(_parts(exam, problems).items())
    if not exam.benchmark.describes:
        ((part, members),) = parts
        exam.engine.save(_requests(exam, members, part), exam.stop, part, mine)
        return
    for number in mine(len(parts)):
        part, members = parts[number]
        exam.engine.save(_requests(exam, members, part), exam.stop, part)


def _parts(exam: Exam, problems: list[Problem]) -> dict[str, list[Problem]]:
    """Independent groups of problems, by name: all in one; for HumanEvalExplain those described together, so that a
    shard needs only its own descriptions."""
    if not exam.benchmark.describes or isinstance(exam.engine, engines.Served):
        return {"": problems}
    groups = exam.engine.group([request.prompt for request in _descriptions(exam, problems)])
    return {f"part-{number:06d}": [problems[row] for row in rows] for number, rows in enumerate(groups)}


def _requests(exam: Exam, problems: list[Problem], part: str) -> list[decoding.Request]:
    """Answers in the order of problems and samples. Includes HumanEvalExplain's first step: the model describes each
    solution, then writes code from its own description."""
    said: dict[str, str] = {}
    if exam.benchmark.describes:
        step = str(Path(part, "described"))
        written = exam.engine.write(_descriptions(exam, problems), (), step)
        said = {p.task_id: prompting.clean_description(p, one.text) for p, one in zip(problems, written, strict=True)}
    prompts = {p.task_id: exam.render(p, said.get(p.task_id, "")) for p in problems}
    samples = range(exam.samples)
    return [decoding.Request(f"{task_id} {n}", prompt) for task_id, prompt in prompts.items() for n in samples]


def _descriptions(exam: Exam, problems: list[Problem]) -> list[decoding.Request]:
    return [decoding.Request(f"{p.task_id} 0", exam.render_description(p)) for p in problems]
