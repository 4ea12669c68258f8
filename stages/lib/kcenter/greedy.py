"""Lazy, exact greedy selection: the same result on every device and with any number of shards.

Gonzalez's greedy algorithm (Theoretical Computer Science 38, 1985) repeatedly takes the row farthest from the centres;
its covering radius is at most twice the optimum. A row's distance to its nearest centre never grows when centres are
added, so an old distance is an upper bound, and most rows need no update before a pick. A batch works like this:

1. rows whose bound exceeds a threshold are updated, by blocked matrix products, against the centres they have missed,
   and drop out as soon as their bound is below it (`Rows.refresh`);
2. the few that remain are measured in float64 (`Rows.settle`) and gathered from all shards;
3. the greedy selection continues among them as long as the farthest is farther than every other row's bound.

No decision depends on a rounded number: bounds and float64 values hold with their proved error, and ties within that
are decided in integers. So the sequence is that of exact arithmetic, whatever the device, the number of shards or
threads, or how often the run was stopped.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from threadpoolctl import ThreadpoolController

from stages.lib import checkpoint
from stages.lib.errors import BadInput
from stages.lib.kcenter.clock import Clock
from stages.lib.kcenter.exact import Ties
from stages.lib.kcenter.world import SUM_ROWS, World

Device = Literal["auto", "cpu", "gpu"]
First = Literal["mean", "random"] | Sequence[int] | np.ndarray

BATCH_ROWS = 512  # rows settled per batch at most, unless more are tied
LARGEST_SQUARE = 2.0**100  # a row's largest squared length, so that no float32 product overflows

# One BLAS thread per product: `cpu.Rows` itself runs as many products at once as it has threads.
one_blas_thread = ThreadpoolController().wrap(limits=1, user_api="blas")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    `indices` (n,) int64 in order of selection and `radii` (n,) float64, the covering radius after each; n < k if
    `radius` was reached or no distinct row was left. `distinct_rows` is known (not None) in the last case only.
    `bounds` (n,): the least radius that any choice of so many rows can have; None where nothing is known of it.
    """

    indices: np.ndarray
    radii: np.ndarray
    distinct_rows: int | None
    bounds: np.ndarray | None = None

    def bound(self, size: int) -> float | None:
        """The least radius that any choice of `size` rows can have, as far as it is known."""
        return None if self.bounds is None else float(self.bounds[size - 1])


@one_blas_thread
def k_center_greedy(
    embeddings: np.ndarray,
    k: int,
    *,
    first: First | None = None,
    radius: float = 0.0,
    seed: int = 0,
    normalize: bool = False,
    device: Device = "auto",
    threads: int = 1,
    group: Any = None,
    saves: Path | None = None,
) -> Selection:
    """Choose `k` rows of `embeddings`, each the farthest from those before it; ties go to the lowest row.

    Args:
        embeddings: (n, d) float16 or float32, in memory or memory-mapped.
        k: rows to choose; the order is nested, so that one run serves every smaller k.
        first: None or "mean" starts from the row nearest the mean: it depends on no seed, is never an outlier
            as a random row may be, and has the least mean squared distance to the rest of any row.
            "random" draws a row by `seed`. A list of rows is a set of earlier centres: they count as chosen,
            are not returned, and `k` counts the new ones.
        radius: stop as soon as every row lies within it; 0: only `k` counts.
        normalize: measure between rows divided by their length and rounded to their own type; zero rows stay.
        device: "auto" takes a GPU where cupy finds one.
        threads: of the CPU; the result does not depend on it.
        group: a torch.distributed process group over which the rows are spread: each process passes its part,
            as `split_rows` cuts them, and gets the same Selection, in row numbers of the whole. A SIGTERM to one
            of them stops all, after the same save.
        saves: a folder for progress, saved every few seconds; a run with the same arguments, in as many
            processes, goes on from there.

    Raises `BadInput` for a wrong type or shape, k or `first` out of range, or rows that are not finite.
    """
    world = World(group, embeddings)
    _check(embeddings, k, first, world)
    earlier = _explicit(first, world.count)
    if len(earlier) + k > world.count:
        raise BadInput(f"k = {k}: with {len(earlier)} earlier centres, choose 1 to {world.count - len(earlier)} rows")
    rows = world.agree(lambda: _load(embeddings, normalize, len(earlier) + k, device, threads))
    _refuse_unusable(rows, world)
    if len(earlier) == 0:
        earlier = np.array([_first_row(rows, first, seed, world)])
        run = _Run(rows, world, earlier, given=0, wanted=k, radius=radius, saves=saves)
    else:
        run = _Run(rows, world, earlier, given=len(earlier), wanted=k, radius=radius, saves=saves)
    return run.select()


@one_blas_thread
def covering_radii(
    embeddings: np.ndarray,
    order: np.ndarray,
    sizes: Sequence[int],
    *,
    normalize: bool = False,
    device: Device = "auto",
    threads: int = 1,
    group: Any = None,
) -> np.ndarray:
    """The covering radius of the first `sizes` rows of `order`, for each size (ascending): float64 (len(sizes),).

    With `group` as in `k_center_greedy`; `order` numbers the rows of the whole.
    """
    world = World(group, embeddings)
    rows = world.agree(lambda: _load(embeddings, normalize, len(order), device, threads))
    radii, ceiling = [], math.inf
    for start, stop in zip([0, *sizes[:-1]], sizes, strict=True):
        rows.add_centres(world.rows(rows, np.asarray(order[start:stop])))
        farthest = 0.0
        while ceiling > 0:
            batch = _candidates(rows, world, 0.95 * ceiling if ceiling < math.inf else -1.0, BATCH_ROWS)
            own = batch.values[batch.mine] * (1 + batch.error)
            rows.store(batch.own, own, np.full(len(batch.own), rows.count))
            farthest = max(farthest, float(batch.values.max(initial=0.0)))
            ceiling = max(batch.rest, farthest)
            if farthest >= batch.rest:
                break
        radii.append(math.sqrt(farthest))
    return np.array(radii)


@dataclass(frozen=True)
class _Batch:
    """Settled rows from all shards. Every other row's squared distance is at most `rest`."""

    rows: np.ndarray  # (m,) int64, of the whole
    values: np.ndarray  # (m,) squared distances, each within the relative `error`
    vectors: np.ndarray  # (m, d) float32
    own: np.ndarray  # this shard's rows among them, by local number
    mine: slice  # their place in `rows`
    rest: float
    error: float
    save: bool  # whether the first shard wants to save, or one has to stop
    stop: bool


@dataclass
class _Run:
    rows: Any
    world: World
    earlier: np.ndarray  # the initial centres
    given: int  # how many of them were passed in, and are not returned
    wanted: int
    radius: float
    saves: Path | None
    radii: list[float] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)

    def select(self) -> Selection:
        self.indices = self.earlier.tolist()
        self.ties = Ties()
        self.clock = Clock(self.wanted)
        ceiling = self._begin()
        gap, limit, exhausted = 0.2, BATCH_ROWS, ceiling == 0
        while len(self.radii) < self.wanted and not exhausted and not self._covered():
            before = len(self.indices)
            # Threshold a little below the largest bound: too low updates rows for nothing, too high makes tiny batches.
            batch = _candidates(
                self.rows, self.world, (1 - gap) * ceiling, limit, self.clock.must_save(self.saves is not None)
            )
            values, seen = self._pick(batch)
            self.rows.store(batch.own, values[batch.mine] * (1 + batch.error), seen[batch.mine])
            ceiling = max(batch.rest, float(values.max(initial=0.0)) * (1 + batch.error))
            exhausted = ceiling == 0  # every row is a copy of a centre
            picked = len(self.indices) - before
            gap = _adapt(gap, picked, len(batch.rows), self.rows.picks)
            # Settled rows but no pick: the farthest was no farther than the rest's bounds, so settle more of them.
            limit = BATCH_ROWS if picked or not len(batch.rows) else 2 * limit
            if batch.save and self.saves is not None:
                self._save()
                if batch.stop:
                    raise checkpoint.Preempted("stopped by SIGTERM; run it again to resume from the last save")
            self.clock.report(len(self.indices) - self.given, self.radii)
        if exhausted:
            self.radii.append(0.0)
        chosen = np.array(self.indices[self.given :], dtype=np.int64)
        radii = np.array(self.radii[: len(chosen)])
        distinct = len(set(self.indices)) if exhausted and not self.given else None
        if exhausted and len(chosen) < self.wanted:
            log.warning("no distinct row is left after %d: the rest are copies of them", len(self.indices))
        return Selection(chosen, radii, distinct, radii / 2)

    def _covered(self) -> bool:
        return bool(self.radii) and self.radii[-1] <= self.radius

    def _begin(self) -> float:
        saved = self._restore()
        self.rows.add_centres(self.world.rows(self.rows, np.array(self.indices)))
        if saved is None:
            self.rows.refresh(-1.0, upto=1)
        else:
            self.rows.restore(saved["upper"], saved["seen"])
        return float(max(self.world.gather(self.rows.largest())))

    def _pick(self, batch: _Batch) -> tuple[np.ndarray, np.ndarray]:
        """Select from the batch as long as its farthest row is the farthest of all.

        Returns the rows' values (m,) at the end, and how many centres each has seen (m,) int32: a row that falls below
        `batch.rest` cannot be picked in this batch and is no longer measured.
        """
        from stages.lib.kcenter import cpu

        values, vectors = batch.values.copy(), batch.vectors
        floors = cpu.floors(vectors)
        seen = np.full(len(values), len(self.indices), dtype=np.int32)
        live = np.arange(len(values))
        while len(self.radii) < self.wanted:
            best = float(values[live].max(initial=0.0))
            if best * (1 - batch.error) <= batch.rest:
                break  # a row outside the batch may be farther
            if len(self.indices) > self.given:
                self.radii.append(math.sqrt(best))
                if len(self.radii) == self.wanted or self._covered():
                    break
            # One pick that may need exact arithmetic, then as many as are certain in float64, in compiled code.
            pick = self._farthest(batch, live, values[live], best)
            cpu.lower(values, live, vectors, floors, pick)
            centres = len(self.indices) + 1
            seen[live] = centres
            live = live[values[live] * (1 + batch.error) > batch.rest]
            most = min(self.wanted - len(self.radii) - 1, len(live))
            picks, bests, live = cpu.pick_untied(
                values, vectors, floors, seen, live, batch.rest, batch.error, self.radius**2, most, centres
            )
            self.radii += np.sqrt(bests).tolist()
            picks = np.append(pick, picks)
            self.indices += batch.rows[picks].tolist()
            self.rows.add_centres(vectors[picks])
        return values, seen

    def _farthest(self, batch: _Batch, live: np.ndarray, values: np.ndarray, best: float) -> int:
        tied = values * (1 + batch.error) >= best * (1 - batch.error)
        rows, values = live[tied], values[tied]
        if len(rows) == 1:
            return int(rows[0])
        centres = self.rows.centre_rows()
        return int(rows[self.ties.lowest_farthest(batch.vectors[rows], values, batch.rows[rows], centres, batch.error)])

    def _save(self) -> None:
        assert self.saves is not None
        folder = self._save_of(len(self.indices))
        folder.mkdir(parents=True, exist_ok=True)
        state = {**self.rows.state(), "indices": np.array(self.indices), "radii": np.array(self.radii)}
        for name, value in state.items():
            np.save(folder / f"{name}.npy", value)
        checkpoint.seal(folder)
        for old in self._saved()[:-2]:
            checkpoint.discard(self._save_of(old))

    def _save_of(self, count: int) -> Path:
        """This shard's save after `count` rows; its bounds are of no use to another number of shards."""
        assert self.saves is not None
        return self.saves / f"shard{self.world.rank}of{self.world.size}-{count}"

    def _saved(self) -> list[int]:
        """The numbers of rows after which this shard has saved, ascending."""
        if self.saves is None:
            return []
        names = (path.name.rpartition("-")[2] for path in self.saves.glob(self._save_of(0).name[:-1] + "*"))
        return sorted(int(name) for name in names if name.isdigit())

    def _restore(self) -> dict[str, np.ndarray] | None:
        """The newest save that is valid on every shard."""
        whole = [count for count in self._saved() if checkpoint.is_valid(self._save_of(count))]
        common = set.intersection(*(set(counts) for counts in self.world.gather(whole)))
        if not common:
            return None
        folder = self._save_of(max(common))
        saved = {path.stem: np.load(path) for path in folder.glob("*.npy")}
        self.indices, self.radii = saved["indices"].tolist(), saved["radii"].tolist()
        log.info("resuming after %d rows", len(self.indices))
        return saved


def _candidates(rows: Any, world: World, threshold: float, limit: int, save: bool = False) -> _Batch:
    """Settle rows that may be farther than `threshold`: about `limit` per shard, those with the largest bounds."""
    own = rows.refresh(threshold)
    if len(own) > limit:
        upper = rows.bounds(own)
        cut = np.partition(upper, len(own) - limit)[len(own) - limit]
        own = own[upper > cut] if (upper > cut).any() else own  # all tied: none may be left out
    rest = rows.largest_but(own)
    values, vectors = rows.settle(own)
    parts = world.gather((own + world.offset, values, vectors, rest, save, checkpoint.stop_requested()))
    stop = any(part[5] for part in parts)
    before = sum(len(part[0]) for part in parts[: world.rank])
    return _Batch(
        rows=_join([part[0] for part in parts]),
        values=_join([part[1] for part in parts]),
        vectors=_join([part[2] for part in parts]),
        own=own,
        mine=slice(before, before + len(own)),
        rest=max(part[3] for part in parts),
        error=(rows.centres.shape[1] + 4) * 2.0**-53,
        save=parts[0][4] or stop,
        stop=stop,
    )


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _adapt(gap: float, picked: int, settled: int, wanted: tuple[int, int]) -> float:
    """The next threshold's distance below the largest bound, as a share of it, aiming at `wanted` picks per batch."""
    if settled >= BATCH_ROWS - 1 or picked > wanted[1]:
        return gap / 2
    return min(gap * 1.5, 0.5) if picked < wanted[0] else gap


def _load(embeddings: np.ndarray, normalize: bool, capacity: int, device: Device, threads: int) -> Any:
    from stages.lib.kcenter import cpu

    scale = _lengths(embeddings) if normalize else None

    if device != "cpu":
        from stages.lib.kcenter import gpu

        if gpu.available():
            return gpu.load(embeddings, scale, capacity)
        if device == "gpu":
            raise BadInput("device: gpu, but cupy finds no GPU here; set auto or cpu")
    return cpu.Rows(embeddings, scale, capacity, threads)


def _lengths(embeddings: np.ndarray) -> np.ndarray:
    """The length of each row in float64, 1 for a row of zeros."""
    from stages.lib.kcenter import cpu

    lengths = np.empty(len(embeddings))
    zero = np.zeros(embeddings.shape[1], dtype=np.float32)
    for start in range(0, len(embeddings), 4096):
        block = np.ascontiguousarray(embeddings[start : start + 4096], dtype=np.float32)
        lengths[start : start + len(block)] = np.sqrt(cpu.distances(block, zero))
    return np.where(lengths == 0, 1.0, lengths)


def _first_row(rows: Any, first: First | None, seed: int, world: World) -> int:
    if isinstance(first, str) and first == "random":
        return int(np.random.default_rng(seed).integers(world.count))
    total, sums = np.zeros(rows.centres.shape[1]), rows.block_sums(SUM_ROWS)
    for shard in range(world.size):  # from one to the next in row order: the bits of the sum never change
        if shard == world.rank:
            for part in sums:
                total += part
        total = world.gather(total)[shard]
    near, row = rows.nearest(total / world.count)
    return int(min(world.gather((near, row + world.offset)))[1])


def _explicit(first: First | None, count: int) -> np.ndarray:
    if first is None or isinstance(first, str):
        return np.empty(0, dtype=np.int64)
    rows = np.asarray(first, dtype=np.int64)
    if bad := rows[(rows < 0) | (rows >= count)][:10].tolist():
        raise BadInput(f"first: no rows {bad}; there are rows 0 to {count - 1}")
    if len(rows) == 0:
        raise BadInput('first: an empty list of earlier centres; leave it out, or pass "mean" or "random"')
    return rows


def _check(embeddings: np.ndarray, k: int, first: First | None, world: World) -> None:
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise BadInput(f"embeddings of shape {embeddings.shape}: pass rows of at least one number, (n, d)")
    if embeddings.dtype not in (np.float16, np.float32):
        raise BadInput(f"embeddings of type {embeddings.dtype}: pass float16 or float32 (rows.astype(np.float32))")
    if not 1 <= k <= world.count:
        raise BadInput(f"k = {k}: choose 1 to {world.count}, the number of rows")
    if isinstance(first, str) and first not in ("mean", "random"):
        raise BadInput(f"first = {first!r}: pass mean, random, or a list of rows")


def _refuse_unusable(rows: Any, world: World) -> None:
    squares = rows.squares
    bad = [
        row
        for part in world.gather((np.flatnonzero(~np.isfinite(squares))[:10] + world.offset).tolist())
        for row in part
    ]
    if bad:
        raise BadInput(f"rows {bad[:10]} (the first ten) contain NaN or infinite values; embed them again")
    if max(world.gather(float(squares.max(initial=0.0)))) > LARGEST_SQUARE:
        raise BadInput("rows longer than 2^50: scale the embeddings down by a power of two; that selects the same rows")
