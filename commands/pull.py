"""Downloads what dvc.lock names from the remote: `make pull [STAGE=…]`."""

from executors.tracking import transfer


def main(arguments: list[str]) -> int:
    """Run `transfer` and return its exit status."""
    return transfer.main(["pull", *arguments])
