"""The outcome of every ask: exchanges and dead letters as files of an artifact, and their totals."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput
from stages.lib.records import EXCHANGE, REASONING
from stages.lib.teacher.budget import Prices
from stages.lib.teacher.exchange import Exchange

ROW_GROUP = 1000


@dataclass(frozen=True)
class Answer:
    """The outcome of an ask: its `value` under the schema and the key of the `request` that gave it, or None and the
    final `fault`.

    `exchanges` are the responses used on the way; `attempts` what went wrong: each a fault with the request's key and
    the text that came back, if any.
    """

    id: str
    value: dict[str, Any] | None
    request: str
    fault: str
    exchanges: tuple[Exchange, ...]
    attempts: tuple[dict[str, str], ...]

    @property
    def asked(self) -> str:
        """The key of the first request, before any re-ask; "" if nothing came back."""
        return self.exchanges[0].request if self.exchanges else ""

    @property
    def reasoning(self) -> str:
        """What the model thought before the answer that is used; "" where it does not reason, or does not tell."""
        return next((one.reply.reasoning for one in self.exchanges if one.request == self.request), "")


class Ledger:
    """Writes `exchanges.parquet` and `dead_letters.jsonl` into a folder, row by row, and counts; if the model reasons,
    `reasoning.parquet` too."""

    def __init__(self, folder: Path, prices: Prices) -> None:
        self._exchanges = pq.ParquetWriter(folder / "exchanges.parquet", EXCHANGE, compression="zstd")
        self._reasoning_path = folder / "reasoning.parquet"
        self._reasoning: pq.ParquetWriter | None = None  # opened by the first reply with reasoning
        self._dead = (folder / "dead_letters.jsonl").open("w", encoding="utf-8")
        self._dead_path = folder / "dead_letters.jsonl"
        self._prices = prices
        self._rows: list[dict[str, Any]] = []
        self._thoughts: list[dict[str, Any]] = []
        self._count: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._exchanges.close()
        if self._reasoning is not None:
            self._reasoning.close()
        self._dead.close()

    def add(self, answer: Answer) -> None:
        """Count `answer` and write its exchanges, and all of its attempts if it is a dead letter."""
        self._count["asked"] += 1
        self._count["answered"] += answer.value is not None
        self._count["reasked"] += max(0, len(answer.exchanges) - 1)
        for exchange in answer.exchanges:
            self._rows.append(exchange.record)
            if exchange.reply.reasoning_tokens:
                self._thoughts.append(exchange.thought)
            self._count["prompt_tokens"] += exchange.reply.prompt_tokens
            self._count["completion_tokens"] += exchange.reply.completion_tokens
            self._count["reasoning_tokens"] += exchange.reply.reasoning_tokens
        if len(self._rows) >= ROW_GROUP:
            self._flush()
        if answer.value is None:
            self._faults[answer.fault] += 1
            self._dead.write(canonical({"id": answer.id, "reason": answer.fault, "attempts": answer.attempts}) + "\n")

    def metrics(self) -> dict[str, Any]:
        """Rows asked and answered, dead letters, tokens, and US dollars by the price table; if the model reasons, also
        the reasoning's tokens, which are part of the completion's."""
        keys: tuple[str, ...] = ("asked", "answered", "reasked", "prompt_tokens", "completion_tokens")
        spend = self._prices.cost(self._count["prompt_tokens"], self._count["completion_tokens"])
        if self._count["reasoning_tokens"]:
            keys = (*keys, "reasoning_tokens")
        dead = self._count["asked"] - self._count["answered"]
        return {**{key: self._count[key] for key in keys}, "dead_letters": dead, "spend_usd": round(spend, 6)}

    def check(self, max_dead_share: float) -> None:
        """Raise `BadInput` if more than `max_dead_share` of the asks are dead letters."""
        dead = sum(self._faults.values())
        if dead and dead > max_dead_share * self._count["asked"]:
            reason, often = self._faults.most_common(1)[0]
            raise BadInput(
                f"{dead} of {self._count['asked']} rows are dead letters, more than max_dead_share = {max_dead_share}; "
                f"{often} of them: {reason}; every attempt is in {self._dead_path}"
            )

    def _flush(self) -> None:
        if self._rows:
            self._exchanges.write_table(_table(self._rows, EXCHANGE))
            self._rows = []
        if self._thoughts:
            self._reasoning = self._reasoning or pq.ParquetWriter(self._reasoning_path, REASONING, compression="zstd")
            self._reasoning.write_table(_table(self._thoughts, REASONING))
            self._thoughts = []


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """`rows` under `schema`. `Table.from_pylist` does the same, but imports pandas: 46 MB."""
    return pa.Table.from_arrays([_column([row[one.name] for row in rows], one.type) for one in schema], schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        builder = pa.lib.StringBuilder()
        builder.append_values(values)
        return builder.finish()
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.array(values, kind.to_pandas_dtype()))])
