"""bespokelabs-curator's side of bench/teacher.py, run by the Python of its own virtual environment: URL and COUNT."""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(TELEMETRY_ENABLED="false", CURATOR_DISABLE_RICH_DISPLAY="1", OPENAI_API_KEY="none")
# curator counts tokens before it asks, with a vocabulary that would be downloaded; litellm, which it needs, has it.
TOKENIZERS = next(Path(path) / "litellm" for path in sys.path if (Path(path) / "litellm").is_dir())
os.environ["TIKTOKEN_CACHE_DIR"] = str(TOKENIZERS / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator  # noqa: E402

IN_FLIGHT = 256
PROMPT = "Explain this function.\n" + "    total = total + value * 31 % 65537\n" * 38


class Explain(curator.LLM):
    """Each row's prompt as it is, each response as it is."""

    def prompt(self, input: dict) -> str:
        return input["prompt"]

    def parse(self, input: dict, response: str) -> dict:
        return {"response": response}


def main(url: str, count: int) -> None:
    """Ask `count` prompts and print what it took as a line of JSON."""
    backend = {
        "base_url": url,
        "api_key": "none",
        "max_requests_per_minute": 1_000_000,
        "max_tokens_per_minute": 1_000_000_000,
        "max_concurrent_requests": IN_FLIGHT,
        "require_all_responses": True,
    }
    llm = Explain(model_name="gpt-4o-mini", backend="openai", backend_params=backend)
    rows = [{"prompt": f"{number}\n{PROMPT}"} for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.monotonic(), time.process_time()
        answered = len(llm(rows, working_dir=folder).dataset)
        seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    assert answered == count, answered
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_rss_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
