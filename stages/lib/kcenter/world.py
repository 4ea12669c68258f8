"""Over which processes the rows are spread, and what they tell one another."""

from collections.abc import Callable
from typing import Any

import numpy as np

from stages.lib.errors import BadInput

SUM_ROWS = 256  # the mean is summed in blocks of this many rows; shards start at multiples, so its bits never change


class World:
    """The shards: this process alone, or those of a torch.distributed group."""

    def __init__(self, group: Any, embeddings: np.ndarray) -> None:
        self.group = group
        self.rank = 0
        if group is not None:
            import torch.distributed

            self.rank = torch.distributed.get_rank(group)
        counts = self.gather(len(embeddings))
        self.size = len(counts)
        self.offset = sum(counts[: self.rank])
        self.count = sum(counts)
        if any(sum(counts[:part]) % SUM_ROWS for part in range(1, len(counts)) if counts[part]):
            raise BadInput(f"shards of {counts} rows: each must begin at a multiple of {SUM_ROWS}; use split_rows")
        if len(counts) > 1 and 0 in counts:
            some = f"{self.count} rows, dealt out by {SUM_ROWS}"
            raise BadInput(f"{some}, are not enough for {self.size} processes; use fewer nodes")

    def gather(self, value: Any) -> list[Any]:
        """Every shard's `value`, in row order."""
        if self.group is None:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * torch.distributed.get_world_size(self.group)
        torch.distributed.all_gather_object(values, value, group=self.group)
        return values

    def agree(self, work: Callable[[], Any]) -> Any:
        """What `work` returns here. `BadInput` in one process is raised in all."""
        found, wrong = None, None
        try:
            found = work()
        except BadInput as error:
            wrong = str(error)
        if said := [one for one in self.gather(wrong) if one]:
            raise BadInput(said[0])
        return found

    def rows(self, rows: Any, index: np.ndarray) -> np.ndarray:
        """The rows at the global `index`, from the shards that hold them: float32 (m, d)."""
        mine = np.flatnonzero((index >= self.offset) & (index < self.offset + len(rows.squares)))
        vectors = np.empty((len(index), rows.centres.shape[1]), dtype=np.float32)
        for where, part in self.gather((mine, rows.gather(index[mine] - self.offset))):
            vectors[where] = part
        return vectors


def split_rows(count: int, parts: int) -> list[slice]:
    """Cut `count` rows into `parts` slices for as many processes, each beginning at a multiple of SUM_ROWS."""
    step = -(-count // (parts * SUM_ROWS)) * SUM_ROWS
    return [slice(min(part * step, count), min((part + 1) * step, count)) for part in range(parts)]
