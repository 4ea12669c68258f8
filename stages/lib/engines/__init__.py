"""What answers a benchmark's prompts: a model in this process (`batched`, with transformers or vLLM) or an
OpenAI-compatible endpoint (`served`). Both have `tokenizer` and `write`."""

from stages.lib.engines.batched import Batched
from stages.lib.engines.served import Endpoint, Served

Engine = Batched | Served

__all__ = ["Batched", "Endpoint", "Engine", "Served"]
