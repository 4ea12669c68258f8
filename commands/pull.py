"""Brings what dvc.lock names from the remote: `make pull [STAGE=…]`."""

from executors.tracking import transfer


def main(arguments: list[str]) -> int:
    """Let `transfer` do it, and return its exit status."""
    return transfer.main(["pull", *arguments])
