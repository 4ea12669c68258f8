"""Work shared out among processes: the order, errors, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from workspace import REPOSITORY

from stages.lib import workers
from stages.lib.errors import BadInput


def doubled(number: int) -> int:
    time.sleep(0.02 * (3 - number % 4))  # later ones are ready earlier
    return 2 * number


def refuse(number: int) -> int:
    raise BadInput(f"number {number} is bad")


def pid(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize(("processes", "alone"), [(1, 0), (2, 0), (3, 4), (2, 99)])
def test_results_come_in_the_order_of_the_items(processes: int, alone: int) -> None:
    assert list(workers.results(doubled, range(10), processes, alone)) == list(range(0, 20, 2))


def test_the_first_items_are_done_here() -> None:
    found = list(workers.results(pid, range(6), 2, 3))
    assert found[:3] == [os.getpid()] * 3 and os.getpid() not in found[3:]


def test_what_the_work_raises_is_raised_here() -> None:
    with pytest.raises(BadInput, match="number 0 is bad"):
        list(workers.results(refuse, range(4), 2))


def test_items_are_not_taken_far_ahead_of_results() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    found = workers.results(doubled, items(), 2)
    assert [next(found), next(found)] == [0, 2]
    assert len(taken) <= 2 + 2 * workers.AHEAD
    found.close()


def test_a_containers_quota_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(workers, "_QUOTA", quota)
    everything = workers.cores()
    quota.write_text("max 100000\n")
    assert workers.cores() == everything
    quota.write_text("50000 100000\n")
    assert workers.cores() == 1


PARENT = """
import os, sys, time
from stages.lib import workers
def slow(number):
    print(os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    list(workers.results(slow, range(4), 2))
"""


def test_no_process_outlives_a_killed_parent(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout
    assert all(int(parent.stdout.readline()) for _ in range(2))
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=40)  # the pipe ends when nobody holds it any more; the work would take a minute
