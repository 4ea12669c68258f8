"""train.mix: rows of other datasets by share, none twice, none that is held out."""

import json
from pathlib import Path
from typing import Any

import pytest
from tuning import row, write_dataset

from stages.lib import artifacts
from stages.lib.dataset import mixing, rows
from stages.lib.dataset.mixing import Part
from stages.lib.errors import BadInput


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """60 rows of one's own; other.jsonl with 100 more, the first 10 of which are the own ones' first."""
    monkeypatch.chdir(tmp_path)
    write("other.jsonl", [*range(10), *range(100, 190)])
    write("small.jsonl", range(300, 305))
    return [row(number) for number in range(60)]


def write(file: str, numbers: Any) -> None:
    lines = [json.dumps({name: row(n)[name] for name in ("instruction", "input", "output")}) for n in numbers]
    Path(file).write_text("\n".join(lines))


def test_a_share_is_of_all_training_rows_and_no_row_comes_twice(own: list[dict[str, Any]]) -> None:
    held_out = [row(100), row(101)]
    mixed, inputs, facts = mixing.mix(own, held_out, [Part(file="other.jsonl", share=0.4)], seed=1)
    texts = {(one["instruction"], one["output"]) for one in mixed}
    assert mixed[:60] == own and len(mixed) == 100 == len(texts) and not inputs
    assert not texts & {(one["instruction"], one["output"]) for one in held_out}
    sha256 = artifacts.hash_file(Path("other.jsonl"))
    assert facts == [{"file": "other.jsonl", "file_sha256": sha256, "share": 0.4, "rows": 40}]
    assert mixed == mixing.mix(own, held_out, [Part(file="other.jsonl", share=0.4)], seed=1)[0]
    assert mixed != mixing.mix(own, held_out, [Part(file="other.jsonl", share=0.4)], seed=2)[0]


def test_without_a_share_all_of_a_file_and_shares_are_of_the_whole(own: list[dict[str, Any]]) -> None:
    parts = [Part(file="small.jsonl"), Part(file="other.jsonl", share=0.5)]
    mixed, _, facts = mixing.mix(own[:40], [], parts, seed=1)
    assert [one["rows"] for one in facts] == [5, 45] and len(mixed) == 90
    assert {one["instruction"] for one in mixed[40:45]} == {row(n)["instruction"] for n in range(300, 305)}


def test_of_a_dataset_the_training_rows_are_taken_and_it_is_an_input(own: list[dict[str, Any]]) -> None:
    write_dataset([row(number) for number in range(200, 220)], [row(220)])
    mixed, inputs, facts = mixing.mix(own, [], [Part(file="data/dataset")], seed=1)
    root = artifacts.open("data/dataset").root
    assert [one.root for one in inputs] == [root] and facts == [{"dataset": root, "share": None, "rows": 20}]
    assert {one["id"] for one in mixed[60:]} == {row(number)["id"] for number in range(200, 220)}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("other.jsonl", 0.7)], r"a share of 0\.7 is 140 rows of other\.jsonl, but it has 90 that train\.file lacks"),
        ([("other.jsonl", 0.5), ("small.jsonl", 0.5)], "the shares add up to 1 and leave none to train.file"),
        ([("none.jsonl", 0.5)], r"train\.mix: none\.jsonl does not exist"),
        ([("data/none", None)], "data/none"),
        ([("bad.jsonl", 0.1)], r"train\.mix: bad\.jsonl line 1 has an empty output"),
    ],
)
def test_bad_mixes(own: list[dict[str, Any]], parts: list[tuple[str, float | None]], message: str) -> None:
    Path("bad.jsonl").write_text('{"instruction": "x", "output": " "}\n')
    with pytest.raises(BadInput, match=message):
        mixing.mix(own, [], [Part(file=file, share=share) for file, share in parts], seed=1)


def test_a_row_s_id_is_that_of_its_prompt(own: list[dict[str, Any]]) -> None:
    """A system message has a field of its own; the ids, and so the split, stay those of before it had."""
    said = [("system", "Be brief."), ("user", "Add."), ("assistant", "a + b"), ("user", "More."), ("assistant", "c")]
    turns = [{"role": role, "content": text} for role, text in said]
    Path("talk.jsonl").write_text(json.dumps({"messages": turns}))
    (one,) = rows.read_own(Path("talk.jsonl"))
    folded = {
        "instruction": "More.", "input": "", "output": "c",
        "history": [{"instruction": "Be brief.\n\nAdd.", "output": "a + b"}],
    }  # fmt: skip
    assert one["id"] == artifacts.digest(folded) and one["system"] == "Be brief."
