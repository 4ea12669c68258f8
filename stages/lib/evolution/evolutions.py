"""The ways in which Code Evol-Instruct makes an instruction harder (WizardCoder, arXiv 2306.08568, section 3.1)."""

from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.tasks.draws import draw_share

EVOLUTIONS = Path(__file__).with_name("evolutions.yaml")


class Evolution(params.Section):
    """One way: what the teacher is asked, and how often a row draws it, beside the others' weights."""

    weight: float = Field(ge=0)
    ask: str


@cache
def load_evolutions(file: Path = EVOLUTIONS) -> dict[str, Evolution]:
    """Every evolution by name. Raises `BadInput`, naming file and key."""
    try:
        return {name: Evolution.model_validate(value) for name, value in params.read(file).items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def draw_evolution(row: str, seed: int) -> str:
    """The name of the evolution that the row `row` draws, by its id alone."""
    return draw_share(f"evolution:{seed}:{row}", {name: one.weight for name, one in load_evolutions().items()})
