"""The keys of `evolve` that decide which rounds there are, for the stage and for `make evolve`."""

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from stages.lib import artifacts, params
from stages.lib.benchmarks.validation import Validation
from stages.lib.errors import BadInput


class Seeds(params.Section):
    """The seed set: data/dataset's rows, a file's in Alpaca's format, or both, in this order."""

    dataset: bool
    file: str | None = Field(exclude=True)  # only a path; its content's hash is recorded

    @model_validator(mode="after")
    def _some(self) -> "Seeds":
        if not self.dataset and self.file is None:
            raise ValueError("there are no seeds: set dataset: true, or name a file")
        return self


class Rounds(params.Section):
    """Seeds, rounds at most, and the benchmark that says when to stop. The last two decide which rounds are run, and
    nothing in any of them."""

    seeds: Seeds
    rounds: int = Field(ge=0, exclude=True)
    validation: Validation = Field(exclude=True)


def read() -> Rounds:
    """These keys of params.yaml. Raises `BadInput`, naming the key."""
    values = params.merged().get("evolve", {})
    try:
        return Rounds.model_validate({key: values[key] for key in Rounds.model_fields})
    except (KeyError, ValidationError) as error:
        raise BadInput(f"{params.FILE}: evolve: {error}") from None


def read_key(key: str, rounds: int) -> int:
    """The round that `key` names, from 0. Raises `BadInput` for one over `rounds` or no number."""
    if not key.isdecimal():
        raise BadInput(
            f"evolve needs a round: stages/run evolve@0 (the seeds), evolve@1, …, or evolve@best, not @{key}"
        )
    if int(key) > rounds:
        raise BadInput(f"evolve@{key}: evolve.rounds in params.yaml is {rounds}; raise it to {key}")
    return int(key)


def fingerprint(knobs: Rounds, number: int) -> dict[str, str]:
    """The hash of the seed file, of which round 0 is made beside its artifacts."""
    if number or knobs.seeds.file is None:
        return {}
    file = Path(knobs.seeds.file)
    if not file.is_file():
        raise BadInput(f"evolve.seeds.file: {file} does not exist")
    return {"file_sha256": artifacts.hash_file(file)}
