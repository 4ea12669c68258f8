"""The greedy selection's device code on a CPU: NumPy's matrix product and four numba kernels.

Rows stay where they are (an array or a memory map, float16 or float32); a batch gathers what it needs as float32, a few
thousand rows at a time. A product p of two rows x and c in float32 obeys

    |p - x.c| <= gamma |x| |c|,   gamma = d u / (1 - d u),   u = 2^-24

in any order of summation (Higham, Accuracy and Stability, 2nd ed., section 3.1). Since 2|x||c| <= |x|^2 + |c|^2, the
computed squared distance is off by at most SLACK = gamma + 8u times |x|^2 + |c|^2, later roundings included
(docs/coreset.md, "The bound").
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np

CHUNK = 1024  # rows gathered at once
COLUMNS = 64  # centres between two checks for rows that can drop out
KEPT = 0.85  # compact a chunk once less than this share of it is left, because compacting costs a copy
PICKS = (20, 45)  # picks wanted per batch: fewer mean more batches, more mean rows updated too early
SETTLED = 256  # rows whose products with all centres are held at once
UNIT = 2.0**-24  # of float32
UNDERFLOW = 2.0**-126


@nb.njit(nogil=True, cache=True, inline="always")
def _distance(x, y):  # type: ignore[no-untyped-def]
    # Eight partial sums in a fixed order: kernels.cu has the same, so that both give the same bits.
    a = b = c = d = e = f = g = h = 0.0
    whole = len(x) // 8 * 8
    for i in range(0, whole, 8):
        t0 = np.float64(x[i]) - np.float64(y[i])
        t1 = np.float64(x[i + 1]) - np.float64(y[i + 1])
        t2 = np.float64(x[i + 2]) - np.float64(y[i + 2])
        t3 = np.float64(x[i + 3]) - np.float64(y[i + 3])
        t4 = np.float64(x[i + 4]) - np.float64(y[i + 4])
        t5 = np.float64(x[i + 5]) - np.float64(y[i + 5])
        t6 = np.float64(x[i + 6]) - np.float64(y[i + 6])
        t7 = np.float64(x[i + 7]) - np.float64(y[i + 7])
        a += t0 * t0
        b += t1 * t1
        c += t2 * t2
        d += t3 * t3
        e += t4 * t4
        f += t5 * t5
        g += t6 * t6
        h += t7 * t7
    for i in range(whole, len(x)):
        t0 = np.float64(x[i]) - np.float64(y[i])
        a += t0 * t0
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


class Rows:
    """The rows of one shard on a CPU, with an upper bound on each one's squared distance to the nearest centre.

    `upper[i]` is computed from the first `seen[i]` centres; it holds for all, because more centres only lower it.
    """

    def __init__(self, rows: np.ndarray, scale: np.ndarray | None, capacity: int, threads: int) -> None:
        """`rows` (n, d); `scale` (n,) divides each row, or None; room for `capacity` centres."""
        count, dimension = rows.shape
        self.rows, self.scale, self.threads, self.picks = rows, scale, threads, PICKS
        self.pool = ThreadPoolExecutor(threads)
        self.local = threading.local()
        self.slack = _slack(dimension, UNIT)
        self.tiny = 4 * dimension * UNDERFLOW
        self.upper = np.full(count, np.inf)
        self.seen = np.zeros(count, dtype=np.int32)
        self.squares = np.empty(count)
        self.centres = np.empty((capacity, dimension), dtype=np.float32)
        self.centre_lower = np.empty(capacity)
        self.centre_upper = np.empty(capacity, dtype=np.float32)
        self.count = 0
        for start, block in self.blocks():
            _squares(block, self.squares[start : start + len(block)])

    def gather(self, index: np.ndarray | slice) -> np.ndarray:
        """The rows at `index` as float32, scaled and rounded to their own type if there is a scale."""
        if isinstance(index, slice):
            block = self.rows[index]
        elif len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
            block = self.rows[index[0] : index[-1] + 1]  # a view: nothing is copied
        else:
            block = self.rows.take(index, axis=0, mode="clip")
        if self.scale is not None:
            block = (block.astype(np.float64) / self.scale[index, None]).astype(self.rows.dtype)
        return np.ascontiguousarray(block, dtype=np.float32)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.rows), CHUNK):
            yield start, self.gather(slice(start, min(start + CHUNK, len(self.rows))))

    def block_sums(self, size: int) -> np.ndarray:
        """The float64 sum of each `size` rows, summed in row order: (blocks, d)."""
        sums = np.zeros((-(-len(self.rows) // size), self.rows.shape[1]))
        for start, block in self.blocks():
            _add_rows(block, sums, start, size)
        return sums

    def nearest(self, point: np.ndarray) -> tuple[float, int]:
        """The smallest squared distance of a row to the float64 `point`, and the lowest row that has it."""
        rounded = point.astype(np.float32)
        square = float(point @ point)
        best, where = np.inf, -1
        for start, block in self.blocks():
            squares = self.squares[start : start + len(block)]
            # Rounding the point to float32 moves its distances by u |x| |point| more, which the slack's 8u hold.
            near = squares + square - 2.0 * (block @ rounded).astype(np.float64)
            width = self.slack * (squares + square) + self.tiny
            for row in np.flatnonzero(near - width <= min(best, float((near + width).min()))):
                value = float(np.sum((block[row] - point) ** 2))
                if value < best:
                    best, where = value, start + int(row)
        return best, where

    def add_centres(self, vectors: np.ndarray) -> None:
        """Append centres: float32 (m, d)."""
        span = slice(self.count, self.count + len(vectors))
        self.centres[span] = vectors
        squares = np.empty(len(vectors))
        _squares(vectors, squares)
        self.centre_lower[span] = shrink(squares, self.slack, self.tiny)
        self.centre_upper[span] = (1 + self.slack) * squares + self.tiny
        self.count += len(vectors)

    def refresh(self, threshold: float, *, upto: int | None = None) -> np.ndarray:
        """Lower the bounds that exceed `threshold` until each is at most that or has seen all centres.

        Returns the rows that stay above it, in row order.
        """
        target = self.count if upto is None else upto
        wanted = np.flatnonzero(self.upper > threshold)
        stale = wanted[self.seen[wanted] < target]
        # By digits, as NumPy sorts numbers of 16 bits.
        stale = stale[np.argsort(self.seen[stale].astype(np.min_scalar_type(target)), kind="stable")]
        chunks = [stale[start : start + CHUNK] for start in range(0, len(stale), CHUNK)]
        if len(chunks) == 1 or self.threads == 1:
            for chunk in chunks:
                self._refresh(chunk, threshold, target)
        else:
            list(self.pool.map(lambda chunk: self._refresh(chunk, threshold, target), chunks))
        return wanted[self.upper[wanted] > threshold]

    def _refresh(self, chunk: np.ndarray, threshold: float, target: int) -> None:
        """Bring up to date the rows of `chunk`, which are in order of the centres that they have seen."""
        block, space = self._scratch(chunk, target)
        squares = (1 + self.slack) * self.squares[chunk]
        upper, seen = self.upper[chunk], self.seen[chunk]
        live = len(chunk)
        while (start := int(seen[0])) < target:
            stop = min(start + COLUMNS, target)
            begun = int(seen[:live].searchsorted(stop))
            products = space[: begun * (stop - start)].reshape(begun, stop - start)
            _multiply(block[:begun], self.centres[start:stop], products)
            above = _lower_bounds(products, self.centre_upper[start:stop], squares, upper[:live], threshold)
            seen[:begun] = stop
            if stop < target and above < KEPT * live:
                live = _drop(chunk[:live], block, squares, upper, seen, threshold, self.upper, self.seen)
                if live == 0:
                    return
        self.upper[chunk[:live]], self.seen[chunk[:live]] = upper[:live], seen[:live]

    def _scratch(self, chunk: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of `chunk`, and room for their products, in this thread's memory: fresh pages cost a tenth."""
        local = self.local
        if not hasattr(local, "block"):
            local.block = np.empty((CHUNK, self.rows.shape[1]), dtype=np.float32)
            local.products = np.empty(CHUNK * COLUMNS, dtype=np.float32)
        plain = self.scale is None and self.rows.dtype == np.float32
        if plain and target == 1 and (np.diff(chunk) == 1).all():
            return self.rows[chunk[0] : chunk[-1] + 1], local.products  # contiguous: no copy needed
        block = local.block[: len(chunk)]
        if plain:
            self.rows.take(chunk, axis=0, mode="clip", out=block)
        else:
            block[:] = self.gather(chunk)
        return block, local.products

    def settle(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances in float64 (m,) of the rows at `index` to all centres, and the rows (m, d).

        The product names the centres that can be the nearest; only those are measured in float64.
        """
        vectors = self.gather(index)
        values, upper = np.empty(len(index)), self.upper[index]
        lower = shrink(self.squares[index], self.slack, self.tiny)
        for start in range(0, len(index), SETTLED):
            span = slice(start, start + SETTLED)
            products = self.centres[: self.count] @ vectors[span].T  # OpenBLAS is faster with the few rows on the right
            _settle(products, vectors[span], self.centres, lower[span], self.centre_lower, upper[span], values[span])
        return values, vectors

    def store(self, index: np.ndarray, upper: np.ndarray, seen: np.ndarray) -> None:
        """Take over bounds that hold for the first `seen` centres."""
        self.upper[index] = upper
        self.seen[index] = seen

    def largest(self) -> float:
        """The largest bound of all rows."""
        return float(self.upper.max())

    def bounds(self, index: np.ndarray) -> np.ndarray:
        """The bounds of the rows at `index`."""
        return self.upper[index]

    def largest_but(self, index: np.ndarray) -> float:
        """The largest bound of the rows that are not at `index`."""
        kept = self.upper[index]
        self.upper[index] = 0.0
        largest = self.largest()
        self.upper[index] = kept
        return largest

    def centre_rows(self) -> np.ndarray:
        """The centres so far: float32 (t, d)."""
        return self.centres[: self.count]

    def state(self) -> dict[str, np.ndarray]:
        """What a resumed run needs besides the centres."""
        return {"upper": self.upper, "seen": self.seen}

    def restore(self, upper: np.ndarray, seen: np.ndarray) -> None:
        self.upper, self.seen = upper, seen


@nb.njit(nogil=True, cache=True)
def distances(vectors, centre):  # type: ignore[no-untyped-def]
    """Squared distances in float64 (m,) of float32 rows (m, d) to `centre`; relative error under (d + 3) 2^-53."""
    out = np.empty(len(vectors))
    for i in range(len(vectors)):
        out[i] = _distance(vectors[i], centre)
    return out


def shrink(squares: np.ndarray, slack: float, tiny: float) -> np.ndarray:
    """Of rows with the squared lengths `squares`, what bounds their distances from below.

    |x - c|^2 is at least the sum of this for x and for c less twice their computed product.
    """
    return (1 - slack) * squares - tiny / 2


def floors(vectors: np.ndarray) -> np.ndarray:
    """`shrink` of float32 rows (m, d) for `lower`."""
    squares = np.empty(len(vectors))
    _squares(vectors, squares)
    dimension = vectors.shape[1]
    return shrink(squares, _slack(dimension, UNIT), 4 * dimension * UNDERFLOW)


@nb.njit(nogil=True, cache=True)
def lower(values, live, vectors, floors, pick):  # type: ignore[no-untyped-def]
    """Lower `values` (m,) at `live` to the squared distance of `vectors` (m, d) to number `pick`, where it is less.

    `floors` (m,) is `shrink` of the rows: most are not nearer for certain, and the float64 distance is spared.
    """
    for i in live:
        if floors[i] + floors[pick] - 2.0 * _product(vectors[i], vectors[pick]) <= values[i]:
            values[i] = min(values[i], _distance(vectors[i], vectors[pick]))


@nb.njit(nogil=True, cache=True)
def pick_untied(values, vectors, floors, seen, live, rest, error, least, most, centres):  # type: ignore[no-untyped-def]
    """Continue the greedy selection among the rows `live` as long as the farthest is certain.

    Stops before a tie, before a farthest row that is not certainly farther than `rest` or `least` (squared distances,
    `error` relative), and after `most` picks. Updates `values` (m,) and `seen` (m,); there are `centres` centres before
    the first pick. Returns the picks, their values when picked, and the rows still live.
    """
    picks = np.empty(most, dtype=np.int64)
    bests = np.empty(most)
    count = 0
    while count < most:
        best = values[live].max() if len(live) else 0.0
        tied = live[values[live] * (1 + error) >= best * (1 - error)]
        if best * (1 - error) <= max(rest, least) or len(tied) != 1:
            break
        picks[count], bests[count] = tied[0], best
        count += 1
        lower(values, live, vectors, floors, tied[0])
        seen[live] = centres + count
        live = live[values[live] * (1 + error) > rest]
    return picks[:count], bests[:count], live


def _multiply(block: np.ndarray, centres: np.ndarray, out: np.ndarray) -> None:
    """The products (m, n) of the rows of `block` with `centres`."""
    if len(centres) == 1:  # every row meets the first one: OpenBLAS takes twice as long as reading them does
        _multiply_one(block, centres[0], out)
    else:
        np.matmul(block, centres.T, out=out)


@nb.njit(nogil=True, cache=True)
def _multiply_one(block, centre, out):  # type: ignore[no-untyped-def]
    for i in range(len(block)):
        out[i, 0] = _product(block[i], centre)


def _slack(dimension: int, unit: float) -> float:
    return dimension * unit / (1 - dimension * unit) + 8 * 2.0**-24


@nb.njit(nogil=True, cache=True)
def _settle(products, vectors, centres, lower, centre_lower, upper, out):  # type: ignore[no-untyped-def]
    """Float64 distances `out` (m,) of `vectors` to the nearest of the first t `centres`; `products` is (t, m).

    Only centres that `upper` (m,), lowered on the way, does not rule out are measured.
    """
    out[:] = np.inf
    for j in range(len(products)):
        for i in range(len(vectors)):
            if lower[i] + centre_lower[j] - 2.0 * products[j, i] <= upper[i]:
                out[i] = min(out[i], _distance(vectors[i], centres[j]))
                upper[i] = min(upper[i], out[i])


@nb.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _product(x, y):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@nb.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _squares(block, out):  # type: ignore[no-untyped-def]
    for i in range(len(block)):
        total = 0.0
        for j in range(block.shape[1]):
            total += np.float64(block[i, j]) * np.float64(block[i, j])
        out[i] = total


@nb.njit(nogil=True, cache=True)
def _add_rows(block, sums, start, size):  # type: ignore[no-untyped-def]
    for i in range(len(block)):
        number = (start + i) // size
        for j in range(block.shape[1]):
            sums[number, j] += np.float64(block[i, j])


@nb.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
def _lower_bounds(products, centre_upper, squares, upper, threshold):  # type: ignore[no-untyped-def]
    """Lower the first rows of `upper` by the centres of `products`; returns how many still exceed `threshold`."""
    for i in range(len(products)):
        least = np.float32(np.inf)
        for j in range(products.shape[1]):
            least = min(least, centre_upper[j] - np.float32(2) * products[i, j])
        upper[i] = min(upper[i], squares[i] + least)
    above = 0
    for i in range(len(upper)):
        above += upper[i] > threshold
    return above


@nb.njit(nogil=True, cache=True)
def _drop(chunk, block, squares, upper, seen, threshold, all_upper, all_seen):  # type: ignore[no-untyped-def]
    """Store the bounds of the rows of `chunk`; move those above `threshold` to the front. Returns their number."""
    kept = 0
    for i in range(len(chunk)):
        all_upper[chunk[i]], all_seen[chunk[i]] = upper[i], seen[i]
        if upper[i] > threshold:
            if kept < i:
                chunk[kept], squares[kept], upper[kept], seen[kept] = chunk[i], squares[i], upper[i], seen[i]
                block[kept] = block[i]
            kept += 1
    return kept
