"""Waiting for what other processes do."""

import time
from collections.abc import Callable


def until(
    true: Callable[[], object], what: Callable[[], object] = str, seconds: float = 120, poll: float = 0.1
) -> None:
    """Wait until `true`, looking every `poll` seconds; fail with `what`."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, what()
        time.sleep(poll)
