"""The benchmark that decides between rounds of evolution; never the problems that are reported."""

from typing import Any

from pydantic import Field, ValidationError

from stages.lib import params
from stages.lib.benchmarks.suites import Benchmark, Problem, known
from stages.lib.errors import BadInput

# Benchmarks that ask the same problems: HumanEvalPack's and HumanEval+'s are HumanEval's, MBPP+'s are some of MBPP's.
_SAME = {"humanevalfix": "humaneval", "humanevalexplain": "humaneval", "humanevalplus": "humaneval", "mbppplus": "mbpp"}


class Validation(params.Section):
    """`problems` problems of a benchmark after its first `skip`."""

    benchmark: str
    skip: int = Field(ge=0)
    problems: int = Field(ge=1)

    def take(self, benchmark: Benchmark) -> list[Problem]:
        """The problems. Raises `BadInput` if there are fewer."""
        return benchmark.first(self.skip + self.problems)[self.skip :]

    @property
    def recorded(self) -> dict[str, Any]:
        """What an artifact says of it; a skip of none goes without saying."""
        return {key: value for key, value in self.result.items() if key != "skip" or value}


def first(benchmark: str, problems: int) -> Validation:
    """The first `problems` problems."""
    return Validation(benchmark=benchmark, skip=0, problems=problems)


def read() -> Validation:
    """`evolve.validation` of params.yaml.

    Raises `BadInput` for keys that are not right, a benchmark that there is not, and problems that `sample` reports:
    a model that was chosen by them would be reported by what it was chosen for.
    """
    values = params.merged()
    try:
        chosen = Validation.model_validate(values["evolve"]["validation"])
        reported, count = str(values["sample"]["benchmark"]), int(values["sample"]["problems"])
    except (KeyError, TypeError, ValidationError) as error:
        raise BadInput(f"{params.FILE}: evolve.validation: {error}") from None
    if chosen.benchmark not in known():
        raise BadInput(f"evolve.validation: no benchmark {chosen.benchmark!r}; choose one of {', '.join(known())}")
    in_one_order = chosen.benchmark == reported or _family(reported) == "humaneval"
    if _family(chosen.benchmark) == _family(reported) and (chosen.skip < count or not in_one_order):
        raise BadInput(
            f"evolve.validation is {chosen.benchmark} from problem {chosen.skip + 1} on, but sample reports the first "
            f"{count} problems of {reported}: rounds must not be chosen on reported problems; raise skip to {count}, "
            "lower sample.problems, or name another benchmark (mbpp)"
        )
    return chosen


def _family(name: str) -> str:
    stem = name.partition("-")[0]
    return _SAME.get(stem, stem)
