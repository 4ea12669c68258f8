"""Checks all parameters and sends the teacher and the judge one real request each: `make check`.

Every mistake in params.yaml or the profile is named, and so is an endpoint that is down, slow, of another name, or does
not give the form of answer that the parameters ask for.
"""

from executors import endpoints, parameters, profiles
from stages.lib import params


def main(_arguments: list[str]) -> None:
    """Print what was checked. Raises `BadInput` for a mistake, or a model that cannot be used."""
    for line in profiles.refresh():
        print(line, flush=True)
    parameters.refuse_mistakes()
    print("parameters: every section is valid", flush=True)
    for model in endpoints.ask_all(endpoints.models(params.merged())):
        print(model)
