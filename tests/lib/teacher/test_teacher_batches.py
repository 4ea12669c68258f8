"""The Batch API against a real server: submit, poll, fetch, expire; killed, it neither loses nor doubles a batch."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import endpoint
import pytest
from asking import ask_all, asks, settings
from workspace import IMPORTABLE

from stages.lib import teacher
from stages.lib.errors import BadInput
from stages.lib.teacher.journal import Journal


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lib.teacher.batches.QUIET_S", 0.1)
    monkeypatch.setattr("stages.lib.teacher.client.BACKOFF_S", 0.02)


def batched(url: str, **changes: Any) -> teacher.Settings:
    return settings(url, **{"batch_rows": 50, "batch_poll_s": 0.05, "patience_s": 60.0, **changes})


def test_rows_go_in_batches_and_are_paid_once(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        given = ask_all(batched(server.url), asks(120), tmp_path)
        assert [answer.id for answer in given] == [f"row {number}" for number in range(120)]
        assert all(answer.value for answer in given) and 3 <= len(server.batches) <= 6
        assert {batch["metadata"]["tidemill_intent"] for batch in server.batches.values()}
        made = len(server.batches)
        again = ask_all(batched(server.url), asks(120), tmp_path)
        one_by_one = ask_all(settings(server.url), asks(120), tmp_path)
        assert len(server.batches) == made and max(server.answered.values()) == 1
    assert [a.value for a in given] == [a.value for a in again] == [a.value for a in one_by_one]


def test_rows_of_an_expired_batch_that_did_finish_are_kept(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        server.batch_fate = "expired"  # half of each batch
        given = ask_all(batched(server.url, max_attempts=8), asks(6), tmp_path)
        assert all(answer.value for answer in given)
        assert len(server.batches) >= 3 and max(server.answered.values()) == 1
    assert any("could not be executed before the window expired" in a.attempts[0]["fault"] for a in given if a.attempts)


def test_a_batch_whose_answer_was_lost_is_found_by_its_name(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        server.lose_batch_answer = True
        assert all(answer.value for answer in ask_all(batched(server.url), asks(5), tmp_path))
        assert len(server.batches) == 1 and max(server.answered.values()) == 1


def test_a_batch_that_fails_as_a_whole_stops_the_run(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        server.batch_fate = "failed"
        with pytest.raises(BadInput, match=r"refuses batch batch-0: a line is no JSON"):
            ask_all(batched(server.url), asks(5), tmp_path)
    with endpoint.serve() as server:
        server.reply = lambda body: "no json at all"
        dead = ask_all(batched(server.url), asks(2), tmp_path)
        assert all("holds no JSON object" in answer.fault for answer in dead)


def test_the_budget_holds_for_batches(tmp_path: Path) -> None:
    prices = {"stand-in": {"prompt": 1000.0, "completion": 1000.0}}  # an answer costs 0.12
    with endpoint.serve() as server:
        knobs = batched(server.url, free=False, prices=prices, budget_usd=1.5)
        with pytest.raises(BadInput, match="the budget is reached"):
            ask_all(knobs, asks(60), tmp_path)
        assert 0 < sum(server.answered.values()) <= 12


def work(url: str, folder: str) -> None:
    ask_all(batched(url), asks(20), Path(folder))


@pytest.mark.parametrize("moment", ["submitted", "ended"])
def test_a_killed_run_takes_its_batch_up(moment: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = {[*IMPORTABLE, str(Path(__file__).parent)]!r};"
        "import test_teacher_batches as t; t.work(sys.argv[1], sys.argv[2])"
    )
    with endpoint.serve() as server:
        server.batch_s = 5.0 if moment == "submitted" else 0.5
        worker = subprocess.Popen([sys.executable, "-c", program, server.url, str(tmp_path)])
        while not server.batches or (moment == "ended" and not server.answered):
            time.sleep(0.005)
        worker.kill()
        worker.wait()
        given = ask_all(batched(server.url), asks(20), tmp_path)
        assert all(answer.value for answer in given)
        assert len(server.batches) == 1, "neither lost nor doubled"
        assert len(server.answered) == 20 and max(server.answered.values()) == 1
    assert len(Journal(tmp_path)) == 20


PROGRAM = """
import logging, sys
from pathlib import Path
sys.path[:0] = {path!r}
logging.basicConfig(level=logging.DEBUG)
from asking import asks
from stages.lib import teacher
from test_teacher_batches import batched
folder, knobs = Path(sys.argv[2]), batched(sys.argv[1], api_key_env="PLANTED", max_attempts=2)
with teacher.connect(knobs, label="l", seed=1, journal=folder / "journal") as model, model.ledger(folder) as ledger:
    for answer in model.answers(asks(4), total=4):
        ledger.add(answer)
ledger.check(0.0)
"""


@pytest.mark.parametrize("place", ["files", "batches", "batch", "rows"])
def test_a_key_that_the_batch_api_echoes_is_told_nowhere(place: str, tmp_path: Path) -> None:
    """Not in what a failing run prints at the most talkative level, its traceback included, nor in what it leaves."""
    key = "sk-planted-9c41d2"
    program = PROGRAM.format(path=[*IMPORTABLE, str(Path(__file__).parent)])
    with endpoint.serve() as server:
        server.echo_key_at = place
        command = [sys.executable, "-c", program, server.url, str(tmp_path)]
        done = subprocess.run(command, env={**os.environ, "PLANTED": key}, capture_output=True, text=True)
        assert server.keys == {f"Bearer {key}"}
    left = "".join(path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file())
    assert done.returncode and "dead_letters.jsonl" in " ".join(path.name for path in tmp_path.iterdir())
    assert "[key]" in done.stderr + left, "what the provider said is told, without the key"
    assert key not in done.stdout + done.stderr + left


def test_texts_go_in_batches_of_the_completions_api(tmp_path: Path) -> None:
    texts = [teacher.Text(f"row {number}", f"def f{number}(", ("\nclass",)) for number in range(3)]
    with endpoint.serve() as server:
        server.reply = lambda body: f"{body['prompt']}):"
        given = ask_all(batched(server.url), texts, tmp_path)
        assert [answer.value for answer in given] == [{"text": f"def f{number}():"} for number in range(3)]
        (batch,) = server.batches.values()
        assert batch["endpoint"] == "/v1/completions" and b'"url":"/v1/completions"' in server.files["file-0"]
