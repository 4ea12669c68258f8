"""What it saves to keep the state of a request's prefix: tokens evaluated and CPU seconds per row that is judged.

    make bench BENCH=prefixes ARGS="weights:qwen2.5-coder-0.5b-instruct 8"

The rows are the first of data/candidates, asked of one embedded server with one thread; CPU seconds count what the
machine did for it, whatever else ran. Prints a line for each row, and the means.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from stages.judge import Params
from stages.lib import params, records
from stages.lib.judging import questions, rules
from stages.lib.models import location
from stages.lib.teacher import embedded
from stages.lib.teacher.endpoint import Endpoint
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.pacing import Pace


class Counted(embedded.Server):
    """A server that keeps llama.cpp's own count of the tokens that it evaluated."""

    evaluated = 0

    def read(self, status: int, headers: Mapping[str, str], data: bytes, request_bytes: int) -> Reply:
        """As `Endpoint.read`."""
        self.evaluated = json.loads(data)["timings"]["prompt_n"]
        return super().read(status, headers, data, request_bytes)


class Whole(Counted):
    """One that evaluates every prompt whole."""

    async def send(self, request: Request) -> Reply:
        """As `Endpoint.send`."""
        await self._slot("erase")
        return await Endpoint.send(self, request)


def requests(count: int) -> list[Request]:
    """The judge's requests for the first candidates of this workspace."""
    knobs = params.load("judge", Params)
    files = sorted(Path("data/candidates").glob("*/candidates.parquet"))
    rows = [row for file in files for row in records.read(file, records.CANDIDATE).to_pylist()][:count]
    found = []
    for row in rows:
        rule = rules.load_rules(row["task"])
        schema = {"name": "answer", "strict": True, "schema": questions.judge_schema(rule)}
        found.append(
            Request(
                {
                    "model": knobs.teacher.model,
                    "messages": questions.judge_messages(rule, row, knobs.examples),
                    "temperature": 0.0,
                    "max_completion_tokens": knobs.teacher.max_tokens,
                    "seed": 1,
                    "response_format": {"type": "json_schema", "json_schema": schema},
                }
            )
        )
    return found


async def measure(kind: type[Counted], model: Path, asked: list[Request]) -> tuple[float, float]:
    """Mean tokens evaluated and mean CPU seconds, evaluating the prefixes included."""
    knobs = params.load("judge", Params).teacher.model_copy(update={"timeout_s": 1800.0})
    server = kind(model, knobs, Pace(1), embedded.Prefixes())
    seen: set[str] = set()
    tokens, seconds = [], []
    for request in asked:
        began = time.process_time()
        reply = await server.send(request)
        seconds.append(time.process_time() - began)
        prefix = json.dumps(request.body["messages"][:-1])
        tokens.append(server.evaluated if prefix in seen else reply.prompt_tokens)  # the first one's prefix too
        seen.add(prefix)
        words = f"{tokens[-1]} tokens, {reply.completion_tokens} generated, {seconds[-1]:.1f} s CPU"
        print(f"  {kind.__name__.lower()}: {words}", flush=True)
    await server.close()
    return fmean(tokens), fmean(seconds)


def main(name: str, count: int) -> None:
    """Print both means of both ways."""
    asked, model = requests(count), location.locate(name)
    whole, kept = (asyncio.run(measure(kind, model, asked)) for kind in (Whole, Counted))
    print(f"{name}, {len(asked)} rows: whole prompts {whole[0]:.0f} tokens and {whole[1]:.1f} s CPU a row")
    print(f"kept prefixes {kept[0]:.0f} tokens and {kept[1]:.1f} s CPU a row")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8)
