"""What the next run would ask of its teachers, before anything is spent: `make plan`.

For each round of generate and judge: requests, tokens and US dollars, from params.yaml, the price table and the
best basis that there is: the exchanges of the last run of that round under the same model and prompts' length, or
the prompts of the first rows of the coreset, rendered and measured. A row that the journal answers costs nothing;
the figures are for a journal that knows none of them, and for one request a row and the re-asks of the last run.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages.lib import params, tasks
from stages.lib.errors import BadInput
from stages.lib.teacher import Settings
from stages.lib.teacher.budget import Prices

SAMPLE = 40  # prompts that are rendered and measured
BYTES_PER_TOKEN = 3.5  # of a prompt: English and code, by byte-level tokenizers


@dataclass(frozen=True)
class Load:
    """What one row takes: requests, tokens of prompt and answer; `basis` says where that is from."""

    requests: float
    prompt: float
    answer: float
    basis: str


@dataclass(frozen=True)
class Line:
    """One stage of the plan; `most` is the price if every answer is as long as it may be, in US dollars."""

    stage: str
    requests: int
    prompt: int
    answer: int
    spend: float
    most: float
    basis: str


def main() -> int:
    """Print the plan; exit status 3 for params that no run could start with."""
    try:
        print("\n".join(describe()))
    except BadInput as error:
        print(f"plan: {error}", file=sys.stderr)
        return 3
    return 0


def describe() -> list[str]:
    """The plan as lines. Raises `BadInput` for a model without a price that is not said to be free."""
    values = params.read()
    lines: list[Line] = []
    notes: list[str] = []
    for stage in ("generate", "judge"):
        settings = read_settings(stage, values)
        for number in range(1, values["generate"]["rounds"] + 1):
            line = estimate(f"{stage}@{number}", settings, values)
            lines.append(line)
            if not settings.free and line.most > settings.budget_usd:
                notes.append(
                    f"{line.stage}: may cost up to {line.most:.2f} US dollars, its budget_usd is "
                    f"{settings.budget_usd:.2f}; it stops there, and goes on when that is raised"
                )
    return [*_table(lines), *notes]


def read_settings(stage: str, values: dict[str, Any]) -> Settings:
    """The teacher of `stage`, with a price or free. Raises `BadInput`."""
    try:
        settings = Settings.model_validate(values[stage]["teacher"])
    except (KeyError, ValidationError) as error:
        raise BadInput(f"{params.FILE}: {stage}.teacher: {error}") from None
    Prices(settings)
    return settings


def estimate(stage: str, settings: Settings, values: dict[str, Any]) -> Line:
    """What `stage` would take: every row of the round is asked about, and for the judge every one may stand."""
    rows = values["generate"]["rows_per_round"]
    load = last_run(stage, settings) or rendered(settings, values["generate"])
    requests = round(rows * load.requests)
    prompt, answer = round(requests * load.prompt), round(requests * load.answer)
    prices = Prices(settings)
    worst = rows * (1 + settings.max_reasks)
    most = prices.cost(round(worst * (load.prompt + settings.max_reasks * load.answer)), worst * settings.max_tokens)
    return Line(stage, requests, prompt, answer, prices.cost(prompt, answer), most, load.basis)


def last_run(stage: str, settings: Settings) -> Load | None:
    """What a row took in the last run of `stage` with the same model, or None if there was none."""
    name, _, number = stage.partition("@")
    file = Path("data") / {"generate": "candidates", "judge": "verdicts"}[name] / number / "exchanges.parquet"
    metrics = Path("metrics") / f"{name}-{number}.json"
    if not file.is_file() or not metrics.is_file():
        return None
    from stages.lib import artifacts

    told = artifacts.read_json(metrics)
    sent = told["answered"] + told["reasked"]
    if told["model"] != settings.model or not sent:
        return None
    requests = (told["asked"] + told["reasked"]) / told["asked"]
    return Load(requests, told["prompt_tokens"] / sent, told["completion_tokens"] / sent, "the last run")


def rendered(settings: Settings, generate: dict[str, Any]) -> Load:
    """What a row takes by generate's prompts about the first functions of the corpus, or by a guess; the judge's
    prompts, which hold an instance more and fewer examples, are about as long."""
    functions = _functions(generate["max_code_tokens"])
    answer = settings.max_tokens / 2
    if not functions:
        return Load(1.0, 1000.0 + generate["max_code_tokens"], answer, "a guess: there is no corpus yet")
    lengths = [_prompt_bytes(function, generate) for function in functions]
    basis = f"{len(functions)} rendered prompts, answers half of max_tokens"
    return Load(1.0, sum(lengths) / len(lengths) / BYTES_PER_TOKEN, answer, basis)


def _functions(most_tokens: int) -> list[dict[str, Any]]:
    file = Path("data/corpus/corpus.parquet")
    if not file.is_file():
        return []
    import pyarrow.parquet as pq

    rows = next(pq.ParquetFile(file).iter_batches(20 * SAMPLE)).to_pylist()
    return [row for row in rows if tasks.estimate_tokens(row["code"]) <= most_tokens][:SAMPLE]


def _prompt_bytes(function: dict[str, Any], generate: dict[str, Any]) -> float:
    """The mean over the mix's tasks of the prompt about `function`, its examples among the seeds."""
    total = sum(generate["mix"].values())
    code, language = function["code"], function["language"]
    length = 0.0
    for name, share in generate["mix"].items():
        task = tasks.load(name)
        target = next(iter(task.target_languages), language)
        examples = _examples(name, generate["examples"])
        messages = tasks.generation_messages(task, code, function["docstring"], language, target, examples)
        length += share / total * sum(len(message["content"].encode()) for message in messages)
    return length


def _examples(task: str, wish: dict[str, int]) -> Sequence[tasks.Case]:
    cases = [case for case in tasks.seeds() if case.task == task]
    good = [case for case in cases if case.good][: wish["good"]]
    return good + [case for case in cases if not case.good][: wish["bad"]]


def _table(lines: list[Line]) -> list[str]:
    titles = "requests", "prompt tokens", "answer tokens", "US dollars", "at most"
    said = ["{:<12}{:>10}{:>15}{:>15}{:>12}{:>10}  by".format("stage", *titles)]
    for line in lines:
        said.append(
            f"{line.stage:<12}{line.requests:>10,}{line.prompt:>15,}{line.answer:>15,}"
            f"{line.spend:>12,.4f}{line.most:>10,.4f}  {line.basis}"
        )
    sums = [sum(getattr(line, name) for line in lines) for name in ("requests", "prompt", "answer", "spend", "most")]
    said.append(f"{'together':<12}{sums[0]:>10,}{sums[1]:>15,}{sums[2]:>15,}{sums[3]:>12,.4f}{sums[4]:>10,.4f}")
    return [*said, "What the journal already answers is not asked again and costs nothing."]


if __name__ == "__main__":
    sys.exit(main())
