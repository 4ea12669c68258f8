"""sample@base, sample@tuned, sample@evolved-ROUND: a model answers a benchmark's problems, before and after tuning.

Reads   sample@base   sample.model, and the benchmark's pinned problems
        sample@tuned  models/tuned instead
        sample@evolved-ROUND  models/evolved/ROUND, on the problems of evolve.validation, never the reported ones
Writes  data/completions/KEY/completions.parquet  a row per problem and sample: prompt and raw answer
        metrics/sample-KEY.json                   which problems, completions, tokens, how many were truncated
        with `sample.engine: endpoint` also exchanges.parquet and dead_letters.jsonl, as generate does

Both models get the same problems, in the same form unless `sample.tuned_prompt` names another (`trained`: the one that
the model was taught in). transformers and vLLM run in this process, in batches of similar length, longest first; each
batch is saved, and machines can split them (stages/lib/shards.py). An endpoint's answers are journaled. A killed run
resumes from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib import artifacts, checkpoint, engines, params, progress, records, shards
from stages.lib.benchmarks import exam, paths, prompting, suites, validation
from stages.lib.engines import offline, served
from stages.lib.errors import BadInput
from stages.lib.models import causal, chat, decoding, location


class Params(params.Section):
    """The section `sample` of params.yaml."""

    engine: Literal["transformers", "vllm", "endpoint"]
    model: str
    benchmark: str
    problems: int = Field(ge=1)
    prompt: prompting.FormName
    tuned_prompt: prompting.FormName | Literal["trained"] | None = Field(
        exclude=True
    )  # the result records the form that was used
    samples: int = Field(ge=1)
    temperature: float | None = Field(ge=0, le=2)
    top_p: float | None = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    seed: int
    precision: Literal["float32", "bfloat16", "float16"]
    batch_rows: int = Field(ge=1)  # changes padding, and so the last bits
    threads: int = Field(ge=1)  # changes the order of summation, and so the last bits
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)
    endpoint: engines.Endpoint
    data: str = Field(default="shared/data", exclude=True)  # the files' hashes are in the result
    data_sha256: str = Field(default="", exclude=True)

    def asking(self, tuned: list[artifacts.Artifact]) -> "Params":
        """These with the form in which the model is asked, a tuned one or the base."""
        if not tuned or self.tuned_prompt is None:
            return self
        form = causal.taught_form(tuned[0].path) if self.tuned_prompt == "trained" else self.tuned_prompt
        return self.model_copy(update={"prompt": form})


def main(key: str = "") -> None:
    place = paths.of(key)
    knobs = read_params()
    chosen = validation.read() if place.chooses else validation.first(knobs.benchmark, knobs.problems)
    tuned = [artifacts.open(place.model)] if place.model else []
    knobs = knobs.asking(tuned)
    pinned = knobs.data_sha256 if chosen.benchmark == knobs.benchmark else ""
    benchmark = suites.load(chosen.benchmark, Path(knobs.data), pinned)
    problems = chosen.take(benchmark)
    made_with = {**knobs.result, **chosen.recorded, **name_model(knobs, key), "benchmark_sha256": benchmark.sha256}
    saves = checkpoint.folder(f"sample@{key}", tuned, made_with, knobs.seed)
    if shards.is_one():
        with start(knobs, key, tuned, saves, saves) as engine:
            exam.share(exam.Exam(engine, benchmark, knobs.prompt, knobs.samples), problems, shards.mine)
        return
    with (
        artifacts.create(
            place.completions, stage=f"sample@{key}", inputs=tuned, params=made_with, seed=knobs.seed
        ) as out,
        start(knobs, key, tuned, saves, out) as engine,
    ):
        rows = exam.answer(exam.Exam(engine, benchmark, knobs.prompt, knobs.samples), problems)
        prompts = {row["task_id"]: row["prompt"] for row in rows}
        records.write(out / "completions.parquet", rows, records.COMPLETION)
        artifacts.write_metrics(
            f"sample@{key}",
            {
                **engine.metrics(list(prompts.values())),
                "slice": benchmark.describe(set(prompts)),
                "prompt": knobs.prompt,
                "prompts": len(prompts),
                "completions": len(rows),
                "completion_tokens": sum(row["tokens"] for row in rows),
                "truncated": sum(not row["finished"] for row in rows),  # cut at max_new_tokens
            },
        )
    checkpoint.discard(saves)


def read_params() -> Params:
    knobs = params.load("sample", Params)
    if knobs.samples > 1 and knobs.temperature == 0:
        raise BadInput(
            "params.yaml: sample.samples: at sample.temperature 0 all samples of a problem are identical; "
            "set sample.samples to 1 or sample.temperature above 0"
        )
    for name in ("temperature", "top_p"):
        if getattr(knobs, name) is None and knobs.engine != "endpoint":
            raise BadInput(
                f"params.yaml: sample.{name}: null leaves it to an endpoint; set a number for {knobs.engine}"
            )
    suites.check_name(knobs.benchmark, "sample.benchmark")
    return knobs


def name_model(knobs: Params, key: str) -> dict[str, str]:
    """What identifies the model when no input artifact does."""
    if knobs.engine == "endpoint":
        return {"model": knobs.endpoint.model(key)}
    return {"model_sha256": location.fingerprint(knobs.model)} if key == "base" else {}


@contextmanager
def start(knobs: Params, key: str, tuned: list[artifacts.Artifact], saves: Path, out: Path) -> Iterator[engines.Engine]:
    """The engine named by `sample.engine`."""
    drawn = decoding.Settings(
        max_new_tokens=knobs.max_new_tokens,
        temperature=knobs.temperature,
        top_p=knobs.top_p,
        seed=knobs.seed,
        special_tokens=knobs.prompt != "chat",  # the chat template adds its own
    )
    if knobs.engine == "endpoint":
        # A retrained model may be served under the same name; its root keeps the two apart in the journal.
        mark = tuned[0].root if tuned else ""
        chat, name = knobs.prompt == "chat", knobs.endpoint.model(key)
        with served.connect(
            knobs.endpoint, name, drawn, label=f"sample@{key}", chat=chat, mark=mark, out=out
        ) as engine:
            yield engine
        return
    if knobs.engine == "vllm":
        name = causal.whole_tuned(tuned[0].path) if tuned else knobs.model
        tokenizer = causal.load_tokenizer(name)
        close_answers(knobs, tokenizer)
        batch = offline.load(name, tokenizer, knobs.precision)
    else:
        with progress.work("loading the model"):
            model, tokenizer = load(knobs, tuned)
        close_answers(knobs, tokenizer)
        batch = partial(decoding.answer, model, tokenizer)
    yield engines.Batched(tokenizer, batch, drawn, knobs.batch_rows, saves)


def close_answers(knobs: Params, tokenizer: Any) -> None:
    """In the form chat, an answer ends where the template ends it."""
    if knobs.prompt == "chat":
        chat.prepare(tokenizer, "this model", "sample.prompt")


def load(knobs: Params, tuned: list[artifacts.Artifact]) -> tuple[Any, Any]:
    import torch

    torch.set_num_threads(knobs.threads)
    if tuned:
        model, tokenizer = causal.load_tuned(tuned[0].path, knobs.precision)
    else:
        model, tokenizer = causal.load_causal(knobs.model, knobs.precision)
    return model.eval().to(location.device(knobs.device)), tokenizer
