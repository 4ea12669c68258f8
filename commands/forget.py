"""Removes a damaged object from DVC's cache and remote, so that it can be restored: `make forget OBJECT=…`."""

from executors.tracking import objects
from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Remove the object that `arguments` names. Raises `BadInput` unless it names exactly one."""
    if len(arguments) != 1:
        raise BadInput("give one object id, from `make verify REMOTE=1`: make forget OBJECT=…")
    objects.forget(arguments[0])
