"""Sends what dvc.lock names to the remote and checks that it arrived: `make push [STAGE=…] [ARGS=--run-cache]`."""

from executors.tracking import transfer


def main(arguments: list[str]) -> int:
    """Let `transfer` do it, and return its exit status."""
    return transfer.main(["push", *arguments])
