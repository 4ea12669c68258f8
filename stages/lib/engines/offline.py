"""vLLM in this process, by its offline LLM class (docs.vllm.ai, "Offline Inference"); a GPU, and vLLM installed.

Tokens go in, not texts, so that a prompt has the special tokens that transformers would give it. Each request has a
seed of its own; vLLM promises the same draws only on the same GPU with the same batches.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.models import causal, decoding


def load(model: str, tokenizer: Any, precision: str) -> Callable[[Sequence[decoding.Request], decoding.Settings], Any]:
    """What answers a batch with `model` (a name that models.folder takes), its weights and sums in `precision`.

    Raises `BadInput` where vLLM is not installed.
    """
    if find_spec("vllm") is None:
        raise BadInput("sample.engine is vllm, but vllm is not installed; run `pip install vllm` or set transformers")
    from vllm import LLM

    # Ignore the model's generation_config.json, whose penalties would change what is measured.
    llm = LLM(model=str(causal.folder(model)), generation_config="vllm", dtype=precision)

    def answer(requests: Sequence[decoding.Request], settings: decoding.Settings) -> list[decoding.Answer]:
        texts = [request.prompt for request in requests]
        ids = tokenizer(texts, add_special_tokens=settings.special_tokens)["input_ids"]
        drawn = [_sampling(request, settings, tokenizer.eos_token_id) for request in requests]
        outputs = llm.generate([{"prompt_token_ids": one} for one in ids], drawn, use_tqdm=False)
        return [_read(output.outputs[0], settings) for output in outputs]

    return answer


def _sampling(request: decoding.Request, settings: decoding.Settings, end: int) -> Any:
    from vllm import SamplingParams

    seed = hashlib.sha256(f"{settings.seed} {request.key}".encode()).digest()[:4]
    return SamplingParams(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_new_tokens,
        seed=int.from_bytes(seed, "big"),
        stop_token_ids=[end],
        stop=decoding.literals(settings.stop) or None,
        include_stop_str_in_output=True,
    )


def _read(output: Any, settings: decoding.Settings) -> decoding.Answer:
    text, stopped = decoding.up_to_stop(output.text, settings.stop)
    return decoding.Answer(text, len(output.token_ids), stopped or output.finish_reason == "stop")
