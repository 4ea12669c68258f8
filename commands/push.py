"""Uploads what dvc.lock names and checks that it arrived: `make push [STAGE=…] [ARGS=--run-cache]`."""

from executors.tracking import transfer


def main(arguments: list[str]) -> int:
    """Run `transfer` and return its exit status."""
    return transfer.main(["push", *arguments])
