"""Removes a damaged object from DVC's cache and remote, so that it can be healed: `make forget OBJECT=…`."""

from executors.tracking import objects
from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Remove the one object that `arguments` name. Raises `BadInput` if they name none, or several."""
    if len(arguments) != 1:
        raise BadInput("name one object, as `make verify REMOTE=1` does: make forget OBJECT=…")
    objects.forget(arguments[0])
