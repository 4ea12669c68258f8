"""The ways in which Code Evol-Instruct makes an instruction harder (WizardCoder, arXiv 2306.08568, section 3.1)."""

from functools import cache
from pathlib import Path

from pydantic import Field

from stages.lib import params
from stages.lib.artifacts import digest
from stages.lib.tasks.draws import draw_share
from stages.lib.tasks.pool import Case

EVOLUTIONS = Path(__file__).with_name("evolutions.yaml")
EXAMPLES = Path(__file__).with_name("examples.yaml")


class Evolution(params.Section):
    """One way: what the teacher is asked, and how often a row draws it, beside the others' weights."""

    weight: float = Field(ge=0)
    ask: str


class Example(params.Section):
    """An example of our own; `code` is what it was made from, where the prompt shows that."""

    language: str
    code: str = ""
    answer: dict[str, str]

    def case(self, method: str, task: str) -> Case:
        """The example as a good case of the pool of `method`."""
        return Case(
            id=digest({"method": method, **self.model_dump()}),
            task=task,
            good=True,
            language=self.language,
            target_language=self.language,
            code=self.code,
            docstring="",
            answer=self.answer,
            reason="",
            origin="seed",
        )


@cache
def load_examples(file: Path = EXAMPLES) -> list[Example]:
    """Tasks that were made harder. Raises `BadInput`, naming file and key."""
    return [params.parse(value, Example, file) for value in params.read(file)["examples"]]


@cache
def load_evolutions(file: Path = EVOLUTIONS) -> dict[str, Evolution]:
    """Every evolution by name. Raises `BadInput`, naming file and key."""
    return {name: params.parse(value, Evolution, file) for name, value in params.read(file).items()}


def draw_evolution(row: str, seed: int) -> str:
    """The name of the evolution that the row `row` draws, by its id alone."""
    return draw_share(f"evolution:{seed}:{row}", {name: one.weight for name, one in load_evolutions().items()})
