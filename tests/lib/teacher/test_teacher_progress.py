"""What the teacher tells of its progress: rows that are finished, whether or not it is their turn."""

import threading
import time
from pathlib import Path

import endpoint
from asking import ask_all, asks, settings

from stages.lib import progress


class Looks:
    """Looks at the current work from a thread, as the reporter does."""

    def __init__(self) -> None:
        self.over, self.seen = threading.Event(), []
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Looks":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.over.wait(0.02):
            if work := progress.current():
                now = time.monotonic()
                ages = [now - began for began in list(work.in_flight.values())]
                self.seen.append((work.done, work.free, max(ages, default=0.0), dict(work.facts)))


def test_rows_behind_a_slow_one_count_as_they_finish(tmp_path: Path) -> None:
    """An early row's answer takes 2 s; those behind it are there long before, and are no less done for waiting."""
    with endpoint.serve(lambda number: "hang" if number == 2 else None, latency_s=0.01) as server, Looks() as looks:
        answers = ask_all(settings(server.url, timeout_s=2.0, patience_s=20.0), asks(30), tmp_path)
    assert all(answer.value for answer in answers)
    assert any(done == 29 and oldest > 0.5 for done, _, oldest, _ in looks.seen), looks.seen
    assert all(free == 0 for _, free, _, _ in looks.seen)
    assert any(" × " in facts.get("errors", "") for *_, facts in looks.seen), "more than one on a busy machine"


def test_replayed_rows_are_no_measure_of_speed(tmp_path: Path) -> None:
    with endpoint.serve(latency_s=0.05) as server:
        ask_all(settings(server.url), asks(20), tmp_path)
        with Looks() as looks:
            ask_all(settings(server.url, concurrency=2), asks(40), tmp_path)
    done, free, *_ = looks.seen[-1]
    assert free == 20 and done > 30
    assert progress.current() is None


def test_what_is_spent_is_told(tmp_path: Path) -> None:
    prices = {"stand-in": {"prompt": 1.0, "completion": 1.0}}
    with endpoint.serve(latency_s=0.05) as server, Looks() as looks:
        ask_all(settings(server.url, free=False, prices=prices, budget_usd=1.0), asks(30), tmp_path)
    spent = [facts["spent"] for *_, facts in looks.seen if "spent" in facts]
    assert spent and spent == sorted(spent) and spent[-1] <= "0.0036 US dollars"  # 30 answers of 120 tokens
