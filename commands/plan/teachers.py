"""Estimates what the next run would ask of its teachers, before anything is spent.

Requests, tokens and US dollars for each round of generate and judge, for sample on an endpoint, and for the rounds of
`make evolve`, from params.yaml, its prices, and the last run of that round under the same model; without one, from the
first prompts, rendered and measured. The figures assume an empty journal (journaled rows cost nothing), one request per
row, and the last run's share of re-asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from commands.plan import until
from executors.endpoints import read_settings
from stages.lib import params
from stages.lib.judging.asking import Asking
from stages.lib.methods import bringing
from stages.lib.methods.method import asks_teacher
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case, seed_cases
from stages.lib.tasks.prompts import generation_messages
from stages.lib.tasks.slices import estimate_tokens
from stages.lib.teacher import Settings
from stages.lib.teacher.budget import Prices

SAMPLE = 40  # prompts rendered and measured
BYTES_PER_TOKEN = 3.5  # of a prompt: English and code, by byte-level tokenizers


@dataclass(frozen=True)
class Load:
    """One row's requests, prompt tokens and answer tokens; `basis` says where the figures come from."""

    requests: float
    prompt: float
    answer: float
    basis: str


@dataclass(frozen=True)
class Line:
    """One stage of the plan, in US dollars: `most` if every answer has all the tokens it may have; `budget` is the
    stage's cap, None for a free model."""

    stage: str
    requests: int
    prompt: int
    answer: int
    spend: float
    most: float
    basis: str
    budget: float | None


def describe() -> list[str]:
    """The plan as lines. Raises `BadInput` for a model that has no price and is not marked free."""
    values = params.merged()
    lines = [*generation(values), *sampling(values)]
    said = [*_table(lines), *_warnings(lines)]
    if why := until.rows(values["generate"], values["generate"]["rounds"])[1]:
        said.append(why)
    if side := evolution(values):
        said += [
            "",
            "`make evolve`, if every round runs and every evolution passes:",
            *_table(side),
            *_warnings(side),
        ]
    return [*said, "Rows that the journal already answers cost nothing."]


def generation(values: dict[str, Any]) -> list[Line]:
    """A line per round of generate and judge, as if every row and plant reached the judge."""
    generate, lines = values["generate"], []
    for stage in ("generate", "judge"):
        if stage == "generate" and not asks_teacher(generate):
            continue
        settings = read_settings(f"{stage}.teacher", params.completed(values, stage)["teacher"])
        for number in range(1, generate["rounds"] + 1):
            load = last_run(f"{stage}@{number}", settings)
            load = load or (judged if generate.get("foreign") else rendered)(settings, values)
            if stage == "judge" and values["judge"]["answers"] == "probability":
                load = replace(load, answer=1.0)  # a yes or a no
            rows, _ = until.rows(generate, number)
            if stage == "judge":
                rows += _planted(values["judge"], number)
                rows += 0 if values["judge"].get("skip_unasked") else _extra(generate, rows)
            lines.append(estimate(f"{stage}@{number}", rows, settings, load))
    return lines


def _planted(judge: dict[str, Any], number: int) -> int:
    """The plants made from seeds that round `number` asks the judge about."""
    from stages.lib.judging import audit

    knobs = audit.Audit.model_validate(judge["audit"])
    made = len(audit.plants([], knobs, number))
    return made if knobs.seeds == "all" else min(knobs.seeds, made)


def _extra(generate: dict[str, Any], rows: int) -> int:
    """The most that `generate.repair.extra` adds to `rows`: so many for each function, less its own row of code repair.
    Only the judge is asked about them."""
    most = int(generate["repair"].get("extra", False))
    if not most:
        return 0
    functions = rows / generate["tasks_per_function"] / generate.get("answers", 1)
    return round(functions * (most - generate["mix"].get("code repair", 0) / sum(generate["mix"].values())))


def sampling(values: dict[str, Any]) -> list[Line]:
    """A line per model that `sample` asks an endpoint for; none if it runs the models itself."""
    sample = values["sample"]
    if sample["engine"] != "endpoint":
        return []
    from stages.lib import engines
    from stages.lib.benchmarks import prompting, suites
    from stages.lib.models import decoding

    endpoint = engines.Endpoint.model_validate(sample["endpoint"])
    benchmark = suites.load(sample["benchmark"], Path(sample.get("data", suites.DATA)), sample["data_sha256"])
    problems = benchmark.first(sample["problems"])
    tuned = sample["tuned_prompt"] or sample["prompt"]
    forms = {
        "base": sample["prompt"],
        "tuned": values["train"].get("prompt", "alpaca") if tuned == "trained" else tuned,
    }
    drawn = decoding.Settings(
        max_new_tokens=sample["max_new_tokens"], temperature=sample["temperature"], top_p=sample["top_p"], seed=0
    )
    requests = sample["samples"] + benchmark.describes
    loads = {}
    for key, form in forms.items():
        prompts = [prompting.render(benchmark, one, form, None, "") for one in problems]
        if benchmark.describes:
            prompts += [prompting.render_description(benchmark, one, form, None) for one in problems]
        loads[key] = _load([len(prompt.encode()) for prompt in prompts], requests, drawn.max_new_tokens)
    models = {key: endpoint.settings(endpoint.model(key), drawn) for key in forms}
    for settings in models.values():
        Prices(settings)
    return [estimate(f"sample@{key}", len(problems), settings, loads[key]) for key, settings in models.items()]


def evolution(values: dict[str, Any]) -> list[Line]:
    """A line per round of `make evolve`: two requests per seed, and one more with a judge."""
    evolve = params.completed(values, "evolve")
    seeds = _seeds(evolve)
    if not seeds:
        return []
    from stages.lib.evolution import questions

    rows = evolve["rows"] or len(seeds)
    shown = questions.examples(evolve["examples"])
    asks = [questions.evolve(row, 1, questions.EXAMPLES, shown) for row in seeds[:SAMPLE]]
    lengths = [sum(len(message["content"].encode()) for message in ask.messages) for ask in asks]
    askers = {"": (2, read_settings("evolve.teacher", evolve["teacher"]))}
    if evolve["judge"] is not None:
        askers[" judge"] = (1, read_settings("evolve.judge", evolve["teacher"] | evolve["judge"]))
    return [
        estimate(f"evolve@{number}{who}", rows, settings, _load(lengths, requests, settings.most_tokens))
        for number in range(1, evolve["rounds"] + 1)
        for who, (requests, settings) in askers.items()
    ]


def estimate(stage: str, rows: int, settings: Settings, load: Load) -> Line:
    """`stage`'s requests, tokens and cost for `rows` rows."""
    requests = round(rows * load.requests)
    prompt, answer = round(requests * load.prompt), round(requests * load.answer)
    prices = Prices(settings)
    worst = max(rows, requests) * (1 + settings.max_reasks)
    most = prices.cost(round(worst * (load.prompt + settings.max_reasks * load.answer)), worst * settings.most_tokens)
    stop = None if settings.free else settings.budget_usd
    return Line(stage, requests, prompt, answer, prices.cost(prompt, answer), most, load.basis, stop)


def last_run(stage: str, settings: Settings) -> Load | None:
    """What a row took in the last run of `stage` with the same model; None without one."""
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


def judged(settings: Settings, values: dict[str, Any]) -> Load:
    """What a row of another tool takes, from the judge's prompts about the first ones."""
    foreign = bringing.parse(values["generate"])
    asking = Asking.model_validate({key: values["judge"][key] for key in Asking.model_fields})
    found = [one.candidate for one in bringing.read(foreign, "", 1.0) if one.candidate][:SAMPLE]
    return _load(
        [sum(len(one["content"].encode()) for one in asking.ask(row).messages) for row in found],
        1.0,
        settings.most_tokens,
    )


def rendered(settings: Settings, values: dict[str, Any]) -> Load:
    """What a row takes, from generate's prompts about the corpus's first functions, or a guess. The judge's prompts,
    with one instance more and fewer examples, are about as long."""
    generate = values["generate"]
    functions = _functions(generate["max_code_tokens"])
    if not functions:
        return Load(
            1.0, 1000.0 + generate["max_code_tokens"], settings.most_tokens / 2, "a guess: there is no corpus yet"
        )
    lengths = [_prompt_bytes(function, generate) for function in functions]
    return _load(lengths, 1.0, settings.most_tokens)


def _load(lengths: Sequence[float], requests: float, max_tokens: int) -> Load:
    """What a row takes with `requests` requests whose prompts have these `lengths` in bytes."""
    basis = f"{len(lengths)} rendered prompts, answers half of their most tokens"
    return Load(requests, sum(lengths) / len(lengths) / BYTES_PER_TOKEN, max_tokens / 2, basis)


def _seeds(evolve: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows evolve's first round starts from; none without a dataset."""
    from stages.lib import artifacts
    from stages.lib.evolution import rows

    there = evolve["seeds"]["dataset"] and Path("data/dataset").is_dir()
    return rows.read_seeds([artifacts.open("data/dataset")] if there else [], evolve["seeds"]["file"])


def _functions(most_tokens: int) -> list[dict[str, Any]]:
    folder = Path("data/corpus")
    file = next((one for one in (folder / "corpus.parquet", folder / "corpus-00000.parquet") if one.is_file()), None)
    if file is None:
        return []
    import pyarrow.parquet as pq

    rows = next(pq.ParquetFile(file).iter_batches(20 * SAMPLE)).to_pylist()
    return [row for row in rows if estimate_tokens(row["code"]) <= most_tokens][:SAMPLE]


def _prompt_bytes(function: dict[str, Any], generate: dict[str, Any]) -> float:
    """The mean length over the mix's tasks of the prompt about `function`, with seeds as examples."""
    total = sum(generate["mix"].values())
    code, language = function["code"], function["language"]
    length = 0.0
    for name, share in generate["mix"].items():
        task = load_task(name)
        target = next(iter(task.target_languages), language)
        style = next(iter(task.styles), "") if generate["styles"] else ""
        examples = _examples(name, generate["examples"], generate["styles"])
        messages = generation_messages(task, code, function["docstring"], language, target, style, examples)
        length += share / total * sum(len(message["content"].encode()) for message in messages)
    return length


def _examples(task: str, wish: dict[str, int], styled: bool) -> Sequence[Case]:
    cases = [case for case in seed_cases(styled) if case.task == task]
    good = [case for case in cases if case.good][: wish["good"]]
    return good + [case for case in cases if not case.good][: wish["bad"]]


def _table(lines: list[Line]) -> list[str]:
    titles = "requests", "prompt tokens", "answer tokens", "US dollars", "at most"
    said = ["{:<16}{:>10}{:>15}{:>15}{:>12}{:>10}  by".format("stage", *titles)]
    for line in lines:
        said.append(
            f"{line.stage:<16}{line.requests:>10,}{line.prompt:>15,}{line.answer:>15,}"
            f"{line.spend:>12,.4f}{line.most:>10,.4f}  {line.basis}"
        )
    sums = [sum(getattr(line, name) for line in lines) for name in ("requests", "prompt", "answer", "spend", "most")]
    said.append(f"{'together':<16}{sums[0]:>10,}{sums[1]:>15,}{sums[2]:>15,}{sums[3]:>12,.4f}{sums[4]:>10,.4f}")
    return said


def _warnings(lines: list[Line]) -> list[str]:
    return [
        f"{line.stage}: may cost up to {line.most:.2f} US dollars, but its budget_usd is {line.budget:.2f}; "
        "it stops there and resumes when you raise it"
        for line in lines
        if line.budget is not None and line.most > line.budget
    ]
