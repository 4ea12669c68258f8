"""How hard rows are, by what can be measured before training: what assemble.select selects by.

length          words and single signs of the solution
judge_margin    the judge's probability of a yes, less the threshold that it had to reach
base_loss       the mean cross-entropy of the answer's tokens after the prompt, in nats, by the base model
ifd             the same divided by that of the answer alone: instruction-following difficulty (Li et al. 2023,
                https://arxiv.org/abs/2308.12032, section 2.3); near 1 where the instruction helps little
base_pass_rate  the share of the base model's answers that pass the row's tests
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from stages.lib import artifacts, checkpoint, engines, progress, sandbox
from stages.lib.corpus import rules
from stages.lib.errors import BadInput
from stages.lib.judging import answers
from stages.lib.models import causal, chat, decoding, location, prompts
from stages.lib.params import Section, new
from stages.lib.records import Row
from stages.lib.tasks import certainty, unit_tests
from stages.lib.tasks.definitions import TaskName
from stages.lib.training import examples, held_out
from stages.lib.training.examples import IGNORED, Example

Name = Literal["length", "judge_margin", "base_loss", "ifd", "base_pass_rate"]
BY_BASE = ("base_loss", "ifd", "base_pass_rate")
SAVED_ROWS = 64  # rows between saves
MEASURED = pa.schema([("id", pa.string()), ("measure", pa.string()), ("value", pa.float64())])


class Base(Section):
    """The base model of assemble.select, and how it is asked; `samples` and what follows are base_pass_rate's."""

    model: str
    prompt: prompts.FormName = "alpaca"
    max_tokens: int = Field(default=1024, ge=2)
    precision: Literal["float32", "bfloat16"] = "float32"
    samples: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.8, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=256, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    seed: int = 0
    threads: int = Field(default=2, ge=1)
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", exclude=True)
    limits: sandbox.Limits = sandbox.Limits()
    workers: int = Field(default=2, ge=1, exclude=True)
    allow_weak_isolation: bool = Field(default=False, exclude=True)


class Select(Section):
    """assemble.select: rows of `tasks` whose measure lies outside of `least` to `most`, or who have none, are left out;
    with `prefer`, assemble.rows takes those first whose measure is highest or lowest."""

    by: Name
    tasks: Literal["all"] | list[TaskName] = new("all")
    least: float | None = None
    most: float | None = None
    prefer: Literal["highest", "lowest"] | None = None
    base: Base | None = None

    @model_validator(mode="after")
    def _has_base(self) -> "Select":
        if self.by in BY_BASE and self.base is None:
            raise ValueError(f"{self.by} is measured by a base model; name it: base: {{model: …}}")
        if self.least is None and self.most is None and self.prefer is None:
            raise ValueError("set least, most or prefer, or there is nothing to select by")
        if self.prefer and self.tasks != "all":
            raise ValueError("prefer puts the rows of all tasks in one order; leave out `tasks`")
        return self


class Selector:
    """Measures rows and selects among them. `rulings` are the verdicts', by row id; progress is in `saves`."""

    def __init__(self, select: Select, rulings: Mapping[str, Sequence[Row]], saves: Path) -> None:
        self.select, self.rulings, self.saves = select, rulings, saves
        self.measured: dict[str, float | None] = {}

    def rule(self, rows: Sequence[Row]) -> list[str | None]:
        """Why each row is left out; None for those that stay. Raises `BadInput` as `measure` does."""
        wanted = [row for row in rows if self.select.tasks == "all" or row["task"] in self.select.tasks]
        self.measured = measure(wanted, self.rulings, self.select, self.saves)
        return [self._fault(self.measured[row["id"]]) if row["id"] in self.measured else None for row in rows]

    def draw(self, rows: Sequence[Row], most: int) -> set[str]:
        """The ids of the `most` rows that `select.prefer` puts first; among equals, the lowest ids."""
        sign = -1 if self.select.prefer == "highest" else 1
        return {row["id"] for row in sorted(rows, key=lambda row: (sign * self.measured[row["id"]], row["id"]))[:most]}  # type: ignore[operator]

    def rows(self) -> list[Row]:
        """The measure of every row, in the order of the ids."""
        return [{"id": id, "measure": self.select.by, "value": value} for id, value in sorted(self.measured.items())]

    def facts(self) -> Row:
        """How many rows have the measure, and its quartiles over them."""
        import numpy as np

        values = [value for value in self.measured.values() if value is not None]
        marks = {f"p{mark}": round(float(np.percentile(values, mark)), 6) for mark in (25, 50, 75)} if values else {}
        return {"by": self.select.by, "measured": len(values), "without": len(self.measured) - len(values), **marks}

    def _fault(self, value: float | None) -> str | None:
        by, least, most = self.select.by, self.select.least, self.select.most
        if value is None:
            return f"has no {by}"
        if least is not None and value < least:
            return f"{by} {value:g} is below {least:g}"
        return f"{by} {value:g} is above {most:g}" if most is not None and value > most else None


def measure(rows: Sequence[Row], rulings: Mapping[str, Sequence[Row]], select: Select, saves: Path) -> dict[str, Any]:
    """The measure `select.by` of each row of the dataset, by id; None where it has none: no tests, too long for the
    base, a judge that gives no probability. `rulings` are the verdicts', by id. Progress is in `saves`.

    Raises `BadInput` if no row has one.
    """
    if select.by == "length":
        found: dict[str, Any] = {row["id"]: float(rules.measure(row["output"], "tokens")) for row in rows}
    elif select.by == "judge_margin":
        found = {row["id"]: certainty.margin(rulings.get(row["id"], ())) for row in rows}
    elif select.by == "base_pass_rate" and not any(row["tests"] for row in rows):
        found = {row["id"]: None for row in rows}
    else:
        assert select.base is not None
        found = _by_base(rows, select.by, select.base, saves)
    if rows and all(value is None for value in found.values()):
        why = {
            "judge_margin": "the judge gives no probability; set judge.answers: probability",
            "base_pass_rate": "no row has tests; set generate.tests.languages",
        }
        raise BadInput(
            f"assemble.select.by: no row has a {select.by}: "
            f"{why.get(select.by, f'none fits select.base.max_tokens ({select.base and select.base.max_tokens})')}"
        )
    return found


def _by_base(rows: Sequence[Row], by: str, base: Base, saves: Path) -> dict[str, Any]:
    import torch

    torch.set_num_threads(base.threads)
    with progress.work("loading the base model"):
        model, tokenizer = causal.load_causal(base.model, base.precision)
    if base.prompt == "chat":
        chat.prepare(tokenizer, base.model, "assemble.select.base.prompt")
    model = model.eval().to(location.device(base.device))
    if by == "base_pass_rate":
        return pass_rates(rows, model, tokenizer, base, saves)
    found = losses(rows, model, tokenizer, base, saves)
    return {
        id: None if pair is None else round(pair[0] / pair[1] if by == "ifd" else pair[0], 6)
        for id, pair in found.items()
    }


def losses(rows: Sequence[Row], model: Any, tokenizer: Any, base: Base, saves: Path) -> dict[str, Any]:
    """The mean cross-entropy of each answer after its prompt, and alone after the opening token, by row id; None for a
    row over `base.max_tokens`."""
    found: dict[str, Any] = {}
    with progress.work("measuring the base model's loss", len(rows), "rows") as work:
        for start in range(0, len(rows), SAVED_ROWS):
            save, part = saves / "losses" / f"{start:08d}", rows[start : start + SAVED_ROWS]
            if not checkpoint.is_valid(save):
                encoded = [examples.encode(row, tokenizer, base.prompt) for row in part]
                fitting = [one if len(one.input_ids) <= base.max_tokens else None for one in encoded]
                pairs = [one and _losses(model, one, tokenizer) for one in fitting]
                artifacts.write_json(save / "losses.json", pairs)
                checkpoint.seal(save)
            pairs = artifacts.read_json(save / "losses.json")
            found |= {row["id"]: pair for row, pair in zip(part, pairs, strict=True)}
            work.add(len(part))
            checkpoint.raise_if_stop_requested()
    return found


def _losses(model: Any, example: Example, tokenizer: Any) -> list[float]:
    answer = [label for label in example.labels if label != IGNORED]
    opening = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    alone = Example(example.id, [opening, *answer], [IGNORED, *answer])
    return [held_out.loss(model, example), held_out.loss(model, alone)]


def pass_rates(rows: Sequence[Row], model: Any, tokenizer: Any, base: Base, saves: Path) -> dict[str, Any]:
    """The share of `base.samples` answers to each row that pass its tests, by row id; None for a row without tests."""
    told = [row for row in rows if row["tests"]]
    drawn = decoding.Settings(
        base.max_new_tokens, base.temperature, base.top_p, base.seed, special_tokens=base.prompt != "chat"
    )
    engine = engines.Batched(tokenizer, partial(decoding.answer, model, tokenizer), drawn, base.batch_rows, saves)
    asked = [_prompt(row, tokenizer, base.prompt) for row in told]
    requests = [
        decoding.Request(f"{row['id']} {number}", prompt)
        for row, prompt in zip(told, asked, strict=True)
        for number in range(base.samples)
    ]
    wanted = [
        answers.program(one.text, row["tests"], row["language"], unit_tests.entry_point(row["output"], row["language"]))
        for row, one in zip((row for row in told for _ in range(base.samples)), engine.write(requests, ()), strict=True)
    ]
    programs = [one for one in wanted if isinstance(one, sandbox.Program)]
    outcomes = sandbox.run_all(programs, base.limits, base.workers, base.allow_weak_isolation)
    passed = [isinstance(one, sandbox.Program) and next(outcomes).verdict == "passed" for one in wanted]
    rates = [sum(passed[at : at + base.samples]) / base.samples for at in range(0, len(passed), base.samples)]
    return {row["id"]: None for row in rows} | {row["id"]: rate for row, rate in zip(told, rates, strict=True)}


def _prompt(row: Row, tokenizer: Any, form: prompts.FormName) -> str:
    if form == "alpaca":
        return prompts.render(row["instruction"], row["input"])
    said = prompts.messages(row)[:-1]
    return str(tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False))
