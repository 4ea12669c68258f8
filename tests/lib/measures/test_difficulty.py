"""How hard a row is: each measure against one computed by hand, on a tiny Llama of random weights."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tuning import row

from stages.lib import checkpoint
from stages.lib.errors import BadInput
from stages.lib.measures import difficulty
from stages.lib.measures.difficulty import Base, Select, Selector
from stages.lib.models import causal, decoding, prompts
from stages.lib.tasks import certainty


def yes(probability: float, needed: float = 0.34) -> dict[str, Any]:
    reason = certainty.reason(probability, needed)
    return {"rule": "right", "kind": "judge", "passed": probability >= needed, "reason": reason}


def test_the_judge_s_margin_is_read_from_its_ruling(tmp_path: Path) -> None:
    from stages.lib.judging.asking import Asking

    asking = Asking(answers="probability", threshold={"default": 0.34}, examples=0)
    (ruling,) = asking.read({"yes": 0.9, "no": 0.1, "Yes": 0.9, "YES": 0.9}, "code generation")
    assert certainty.margin([{"reason": ruling["reason"]}]) == 0.56
    check = {"rule": "fields", "kind": "check", "passed": True, "reason": ""}
    assert certainty.margin([check, yes(0.9), yes(0.5)]) == 0.16 and certainty.margin([check]) is None


def test_rows_outside_of_the_range_go_and_the_preferred_come_first(tmp_path: Path) -> None:
    rows = [row(number) for number in range(6)]
    rulings = {one["id"]: [yes(0.4 + 0.1 * number)] for number, one in enumerate(rows[:5])}
    selector = Selector(Select(by="judge_margin", least=0.1, most=0.4, prefer="highest"), rulings, tmp_path)
    reasons = selector.rule(rows)
    assert reasons == [
        "judge_margin 0.06 is below 0.1", None, None, None, "judge_margin 0.46 is above 0.4", "has no judge_margin",
    ]  # fmt: skip
    assert selector.draw(rows[1:4], 2) == {rows[2]["id"], rows[3]["id"]}
    lowest = Selector(Select(by="judge_margin", prefer="lowest"), rulings, tmp_path)
    lowest.rule(rows)
    assert lowest.draw(rows[:5], 2) == {rows[0]["id"], rows[1]["id"]}
    assert selector.facts() == {
        "by": "judge_margin", "measured": 5, "without": 1, "p25": 0.16, "p50": 0.26, "p75": 0.36,
    }  # fmt: skip
    assert [one["value"] for one in selector.rows()] == [0.06, 0.16, 0.26, 0.36, 0.46, None]


@pytest.mark.torch
@pytest.mark.parametrize("form", ["alpaca", "chat"])
def test_losses_and_ifd_are_those_computed_by_hand(form: Any, tiny: Path, tmp_path: Path) -> None:
    import torch

    rows = [row(number) for number in range(3)]
    base = Base(model=f"path:{tiny}", prompt=form, device="cpu", threads=1)
    found = difficulty.measure(rows, {}, Select(by="base_loss", prefer="highest", base=base), tmp_path / "loss")
    ratio = difficulty.measure(rows, {}, Select(by="ifd", prefer="highest", base=base), tmp_path / "ifd")
    model, words = causal.load_causal(f"path:{tiny}")
    for one in rows:
        prompt = prompts.render(one["instruction"], one["input"])
        if form == "chat":
            said = prompts.messages(one)[:-1]
            prompt = words.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        asked = words(prompt, add_special_tokens=False)["input_ids"]
        answer = [*words(one["output"])["input_ids"], words.eos_token_id]
        losses = []
        for before in (asked, [words.bos_token_id]):
            with torch.inference_mode():
                scores = model(torch.tensor([before + answer])).logits[0].log_softmax(-1)
            learned = [float(scores[len(before) + at - 1, token]) for at, token in enumerate(answer)]
            losses.append(-sum(learned) / len(learned))
        assert found[one["id"]] == pytest.approx(losses[0], abs=1e-4)
        assert ratio[one["id"]] == pytest.approx(losses[0] / losses[1], abs=1e-4)


@pytest.mark.torch
def test_losses_that_are_saved_are_not_measured_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, select = [row(number) for number in range(5)], Select(
        by="base_loss", prefer="highest", base=Base(model=f"path:{tiny}", device="cpu", threads=1, max_tokens=80)
    )  # fmt: skip
    rows[3]["output"] = "value " * 100
    monkeypatch.setattr(difficulty, "SAVED_ROWS", 2)
    shards = iter([None, checkpoint.Preempted("stopped")])

    def stop_after_two() -> None:
        if said := next(shards):
            raise said

    with monkeypatch.context() as patched, pytest.raises(checkpoint.Preempted):
        patched.setattr(checkpoint, "raise_if_stop_requested", stop_after_two)
        difficulty.measure(rows, {}, select, tmp_path)
    measured: list[str] = []
    losses = difficulty._losses
    monkeypatch.setattr(difficulty, "_losses", lambda *given: (measured.append(given[1].id), losses(*given))[1])
    found = difficulty.measure(rows, {}, select, tmp_path)
    assert measured == [rows[4]["id"]] and found[rows[3]["id"]] is None
    assert found == difficulty.measure(rows, {}, select, tmp_path / "other")


@pytest.mark.torch
def test_the_base_s_pass_rate_is_the_share_of_its_answers_that_pass(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "def add(a, b):\n    return a {} b"
    tests = ["assert candidate(1, 2) == 3", "assert candidate(2, 2) == 4", "assert candidate(0, 5) == 5"]
    easy, hard, untested = (
        {**row(number), "output": code.format("+"), "language": "Python", "tests": tests} for number in range(3)
    )
    untested["tests"] = []

    def answer(_model: Any, _words: Any, requests: Any, _settings: Any) -> list[decoding.Answer]:
        right = [one.key.startswith(easy["id"]) or one.key.endswith(" 0") for one in requests]
        return [decoding.Answer(f"```python\n{code.format('+' if one else '-')}\n```", 9, True) for one in right]

    monkeypatch.setattr(decoding, "answer", answer)
    select = Select(by="base_pass_rate", most=0.9, base=Base(model=f"path:{tiny}", device="cpu", threads=1))
    selector = Selector(select, {}, tmp_path)
    assert selector.rule([easy, hard, untested]) == [
        "base_pass_rate 1 is above 0.9", None, "has no base_pass_rate",
    ]  # fmt: skip
    assert selector.measured[hard["id"]] == 0.25


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": "ifd", "prefer": "highest"}, "ifd is measured by a base model; name it"),
        ({"by": "length"}, "set least, most or prefer"),
        ({"by": "beauty", "least": 1.0}, "Input should be 'length', 'judge_margin'"),
    ],
)
def test_bad_selections(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Select(**values)


@pytest.mark.torch
def test_a_measure_that_no_row_has_is_refused(tiny: Path, tmp_path: Path) -> None:
    rows = [{**row(1), "tests": []}]
    base = Base(model=f"path:{tiny}", device="cpu", max_tokens=2)
    for by, message in {
        "judge_margin": r"no row has a judge_margin: .*set judge\.answers: probability",
        "base_pass_rate": r"no row has a base_pass_rate: no row has tests",
        "base_loss": r"no row has a base_loss: none fits select\.base\.max_tokens \(2\)",
    }.items():
        with pytest.raises(BadInput, match=message):
            difficulty.measure(rows, {}, Select(by=by, prefer="highest", base=base), tmp_path / by)  # type: ignore[arg-type]
