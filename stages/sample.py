"""sample@base, sample@tuned, sample@evolved-ROUND: a model answers a benchmark's problems, before and after tuning.

Reads   sample@base   the model named in params.yaml (sample.model), and the benchmark's pinned problems
        sample@tuned  models/tuned in its place
        sample@evolved-ROUND  models/evolved/ROUND; its problems are those of evolve.validation, never the reported ones
Writes  data/completions/KEY/completions.parquet  a row per problem and sample: prompt and answer, as written
        metrics/sample-KEY.json                   which problems, completions, tokens, how many were cut

Both models are asked the same problems in the same form. Prompts are answered in batches of like length,
longest first; every batch is saved, and a killed run goes on after the last one.
"""

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib import artifacts, checkpoint, decoding, models, params, records
from stages.lib.benchmarks import asking, catalog, completions, validation
from stages.lib.errors import BadInput


class Params(params.Section):
    """The section `sample` of params.yaml."""

    model: str
    benchmark: str
    problems: int = Field(ge=1)
    prompt: asking.FormName
    samples: int = Field(ge=1)
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    seed: int
    batch_rows: int = Field(ge=1)  # padding differs between batches, and with it the last bits
    threads: int = Field(ge=1)  # the order of summing, and with it the last bits, follows the threads
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)
    data: str = Field(default="shared/data", exclude=True)  # the pinned files themselves are in the result


log = logging.getLogger("tidemill.sample")


def main(key: str = "") -> None:
    knobs = read_params()
    place = completions.of(key)
    chosen = validation.read() if place.chooses else validation.first(knobs.benchmark, knobs.problems)
    benchmark = catalog.load(chosen.benchmark, Path(knobs.data))
    problems = chosen.take(benchmark)
    tuned = [artifacts.open(place.model)] if place.model else []
    weights = {} if tuned else {"model_sha256": models.fingerprint(knobs.model)}
    made_with = {**knobs.result, **chosen.recorded, **weights, "benchmark_sha256": benchmark.sha256}
    model, tokenizer = load(knobs, tuned)
    saves = checkpoint.folder(f"sample@{key}", tuned, made_with, knobs.seed)
    said = describe(model, tokenizer, benchmark, problems, knobs, saves)
    prompts = {
        problem.task_id: asking.render(benchmark, problem, knobs.prompt, tokenizer, said.get(problem.task_id, ""))
        for problem in problems
    }
    rows = answer(model, tokenizer, prompts, benchmark.forms[knobs.prompt].stop, knobs, saves)
    with artifacts.create(
        place.completions, stage=f"sample@{key}", inputs=tuned, params=made_with, seed=knobs.seed
    ) as out:
        records.write(out / "completions.parquet", rows, records.COMPLETION)
        artifacts.write_metrics(
            f"sample@{key}",
            {
                "slice": benchmark.describe(set(prompts)),
                "prompt": knobs.prompt,
                "prompts": len(prompts),
                "prompt_tokens": sum(decoding.lengths(tokenizer, list(prompts.values()))),
                "completions": len(rows),
                "completion_tokens": sum(row["tokens"] for row in rows),
                "truncated": sum(not row["finished"] for row in rows),  # cut at max_new_tokens
            },
        )
    checkpoint.discard(saves)


def describe(
    model: Any,
    tokenizer: Any,
    benchmark: catalog.Benchmark,
    problems: list[catalog.Problem],
    knobs: Params,
    saves: Path,
) -> dict[str, str]:
    """HumanEvalExplain's first step: the model's description of each problem's solution, by task id."""
    if benchmark.family != "humanevalexplain":
        return {}
    prompts = {p.task_id: asking.render_description(benchmark, p, knobs.prompt, tokenizer) for p in problems}
    once = knobs.model_copy(update={"samples": 1})
    rows = answer(model, tokenizer, prompts, (), once, saves / "described")
    return {
        problem.task_id: asking.clean_description(problem, row["completion"])
        for problem, row in zip(problems, rows, strict=True)
    }


def read_params() -> Params:
    knobs = params.load("sample", Params)
    if knobs.samples > 1 and knobs.temperature == 0:
        raise BadInput(
            "params.yaml: sample.samples: at sample.temperature 0 all samples of a problem are the same; "
            "set samples to 1 or a temperature above 0"
        )
    return knobs


def load(knobs: Params, tuned: list[artifacts.Artifact]) -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(knobs.threads)
    model, tokenizer = models.load_tuned(tuned[0].path) if tuned else models.load_causal(knobs.model)
    return model.eval().to(models.device(knobs.device)), tokenizer


def answer(
    model: Any, tokenizer: Any, prompts: dict[str, str], stop: tuple[str, ...], knobs: Params, saves: Path
) -> list[dict[str, Any]]:
    """Rows of `records.COMPLETION` in the order of problems and samples; saved batches are not asked again."""
    requests = [
        decoding.Request(f"{task_id} {number}", prompt)
        for task_id, prompt in prompts.items()
        for number in range(knobs.samples)
    ]
    settings = decoding.Settings(
        max_new_tokens=knobs.max_new_tokens,
        temperature=knobs.temperature,
        top_p=knobs.top_p,
        seed=knobs.seed,
        stop=stop,
        special_tokens=knobs.prompt != "chat",  # the chat template has written its own
    )
    lengths = decoding.lengths(tokenizer, [request.prompt for request in requests])
    batches = decoding.batches(lengths, knobs.batch_rows)
    answers: dict[int, dict[str, Any]] = {}
    for number, rows in enumerate(batches):
        save = saves / f"batch-{number:06d}"
        if not checkpoint.is_valid(save):
            found = decoding.answer(model, tokenizer, [requests[row] for row in rows], settings)
            artifacts.write_json(save / "answers.json", [vars(one) for one in found])
            checkpoint.seal(save)
            log.info("answered batch %d of %d", number + 1, len(batches))
        answers |= zip(rows, artifacts.read_json(save / "answers.json"), strict=True)
        checkpoint.raise_if_stop_requested()
    return [
        {
            "task_id": request.key.rpartition(" ")[0],
            "sample": row % knobs.samples,
            "prompt": request.prompt,
            "completion": answers[row]["text"],
            "tokens": answers[row]["tokens"],
            "finished": answers[row]["finished"],
        }
        for row, request in enumerate(requests)
    ]
