"""A benchmark's own solutions as rows to validate on: how likely a weak model finds them tells more of it than the few
problems that it solves."""

from pathlib import Path

from stages.lib.benchmarks import prompting, suites
from stages.lib.benchmarks.validation import Validation
from stages.lib.errors import BadInput
from stages.lib.records import Row


def rows(chosen: Validation, folder: Path = suites.DATA) -> list[Row]:
    """The `chosen` problems, each with its canonical solution as the response to the prompt of `prompting.render_row`.

    Raises `BadInput` for a benchmark that is unknown, is not in `folder`, has too few problems or asks in two steps.
    """
    suites.check_name(chosen.benchmark, "train.validation_benchmark")
    benchmark = suites.load(chosen.benchmark, folder)
    if benchmark.describes:
        raise BadInput(f"train.validation_benchmark: {benchmark.name} has no solution to its first step; name another")
    return [{"id": problem.task_id, **prompting.render_row(benchmark, problem)} for problem in chosen.take(benchmark)]
