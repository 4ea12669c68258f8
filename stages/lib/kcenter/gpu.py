"""The greedy selection's device code on a GPU: cuBLAS's product and the kernels of kernels.cu.

Mirrors cpu.py method for method. Rows keep their type: float16 rows are multiplied on the tensor cores into float32,
float32 rows in full float32 (no TF32). A product of two float16 numbers is exact; the tensor cores add with at least
float32's digits but truncate instead of rounding, several terms at a time (Fasi et al., PeerJ Computer Science 7:e330,
2021), for which UNIT leaves a factor of four. Picking among the few settled rows runs on the host, with the CPU's code.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib.kcenter.cpu import UNDERFLOW, _slack, shrink

UNIT = 2.0**-22
CHUNK = 8192  # rows gathered at once
# Products held at once: few rows times many centres between two checks for rows that can drop out; each check waits.
PRODUCTS = 2**23
KEPT = 0.7  # compact a chunk once less than this share of it is left
PICKS = (100, 225)  # picks wanted per batch: launches cost more than rows updated too early
WORKSPACE = 0.08  # of the embeddings' bytes, which keeps everything else under a tenth of them

log = logging.getLogger(__name__)


def available() -> bool:
    """Whether cupy is installed and finds a GPU."""
    return count() > 0


def count() -> int:
    """The GPUs that cupy finds here; 0 without it."""
    try:
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # cupy's own errors differ with its version and the driver
        return 0


def take(number: int) -> None:
    """Make the GPU of this `number` this process's, if there are any."""
    if found := count():
        import cupy

        cupy.cuda.Device(number % found).use()


def load(embeddings: np.ndarray, scale: np.ndarray | None, capacity: int) -> "Rows":
    """The rows on the current GPU, or streamed from the host where they do not fit."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    resident = embeddings.nbytes * (1 + WORKSPACE) + 2**28 < free
    if not resident:
        log.warning("the GPU has %.1f GB free for %.1f GB of rows: streaming", free / 1e9, embeddings.nbytes / 1e9)
    return Rows(cupy, Kernels(cupy, embeddings.dtype), embeddings, scale, capacity, resident)


class Kernels:
    """The launches of kernels.cu and of the product; `xp` is cupy."""

    def __init__(self, xp: Any, dtype: np.dtype) -> None:
        self.xp = xp
        source = (Path(__file__).parent / "kernels.cu").read_text()
        module = xp.RawModule(code=source, options=("-std=c++17",))
        kind = "half" if dtype == np.float16 else "float"
        self.type = 2 if dtype == np.float16 else 0  # CUDA_R_16F, CUDA_R_32F
        self.kernel = {name: module.get_function(f"{name}_{kind}") for name in ("squares", "block_sums", "settle")}
        self.lower = module.get_function("lower_bounds")
        self.one, self.zero = np.ones((), np.float32), np.zeros((), np.float32)

    def squares(self, block: Any, out: Any) -> None:
        """Squared lengths (m,) of `block` (m, d)."""
        count, dimension = block.shape
        self._by_warp(self.kernel["squares"], count, (block, np.int64(count), np.int32(dimension), out))

    def block_sums(self, block: Any, size: int, out: Any) -> None:
        """Float64 sums (blocks, d) of each `size` rows of `block` (m, d)."""
        count, dimension = block.shape
        grid = (-(-dimension // 128), len(out))
        arguments = (block, np.int64(count), np.int32(dimension), np.int32(size), out)
        self.kernel["block_sums"](grid, (128,), arguments)

    def product(self, left: Any, right: Any, out: Any) -> None:
        """`left` (m, d) times `right` (n, d) transposed into `out`, float32 (m, n)."""
        from cupy_backends.cuda.libs import cublas

        (m, depth), n = left.shape, len(right)
        # cuBLAS counts by columns: it makes out transposed, n x m. 68 is CUBLAS_COMPUTE_32F, -1 its default algorithm.
        cublas.gemmEx(
            self.xp.cuda.get_cublas_handle(),
            cublas.CUBLAS_OP_T,
            cublas.CUBLAS_OP_N,
            n,
            m,
            depth,
            self.one.ctypes.data,
            right.data.ptr,
            self.type,
            depth,
            left.data.ptr,
            self.type,
            depth,
            self.zero.ctypes.data,
            out.data.ptr,
            0,
            n,
            68,
            -1,
        )

    def lower_bounds(self, products: Any, centre_upper: Any, squares: Any, upper: Any) -> None:
        """Lower `upper` (m,) by `products` (m, n)."""
        m, n = products.shape
        self._by_warp(self.lower, m, (products, centre_upper, squares, np.int32(m), np.int32(n), upper))

    def settle(
        self, products: Any, vectors: Any, centres: Any, lower: Any, centre_lower: Any, upper: Any, out: Any
    ) -> None:
        """Float64 distances (m,) of `vectors` (m, d) to the nearest of `centres` (t, d); see cpu._settle."""
        (m, t), d = products.shape, vectors.shape[1]
        sizes = (np.int32(m), np.int32(t), np.int32(d))
        self._by_warp(self.kernel["settle"], m, (products, vectors, centres, lower, centre_lower, upper, *sizes, out))

    def _by_warp(self, kernel: Any, rows: int, arguments: tuple[Any, ...]) -> None:
        kernel((-(-rows // 8),), (256,), arguments)


class Rows:
    """The rows of one shard on a GPU; see cpu.Rows, which has the same methods."""

    def __init__(
        self, xp: Any, kernels: Any, rows: np.ndarray, scale: np.ndarray | None, capacity: int, resident: bool
    ) -> None:
        count, dimension = rows.shape
        self.xp, self.kernels, self.scale, self.host = xp, kernels, scale, rows
        self.picks = PICKS
        self.slack = _slack(dimension, UNIT)
        self.tiny = 4 * dimension * UNDERFLOW
        self.resident = None
        self.upper = xp.full(count, np.inf)
        self.seen = xp.zeros(count, dtype=np.int32)
        self.device_squares = xp.empty(count)
        self.centres_here = xp.empty((capacity, dimension), dtype=rows.dtype)
        self.centre_lower = xp.empty(capacity)
        self.centre_upper = xp.empty(capacity, dtype=np.float32)
        self.centres = np.empty((capacity, dimension), dtype=np.float32)  # the host's copy
        self.products = xp.empty(PRODUCTS, dtype=np.float32)
        self.count = 0
        resident_rows = xp.empty((count, dimension), dtype=rows.dtype) if resident else None
        for start in range(0, count, CHUNK):
            block = xp.asarray(self._from_host(slice(start, start + CHUNK)))
            self.kernels.squares(block, self.device_squares[start : start + len(block)])
            if resident_rows is not None:
                resident_rows[start : start + len(block)] = block
        self.resident = resident_rows
        self.squares = self._to_host(self.device_squares)

    def gather(self, index: np.ndarray) -> np.ndarray:
        """The rows at `index` on the host: float32 (m, d)."""
        return np.ascontiguousarray(self._from_host(index), dtype=np.float32)

    def block_sums(self, size: int) -> np.ndarray:
        """The float64 sum of each `size` rows, summed in row order: (blocks, d), on the host."""
        sums = np.zeros((-(-len(self.squares) // size), self.centres.shape[1]))
        for start in range(0, len(self.squares), CHUNK):
            block = self._here(slice(start, start + CHUNK))
            part = self.xp.empty((-(-len(block) // size), block.shape[1]))
            self.kernels.block_sums(block, size, part)
            sums[start // size : start // size + len(part)] = self._to_host(part)
        return sums

    def nearest(self, point: np.ndarray) -> tuple[float, int]:
        """The least squared distance of a row to the float64 `point`, and the lowest row that has it."""
        rounded = self.xp.asarray(point.astype(np.float32))
        square = float(point @ point)
        best, where = np.inf, -1
        for start in range(0, len(self.squares), CHUNK):
            block = self._here(slice(start, start + CHUNK)).astype(np.float32)
            squares = self.squares[start : start + len(block)]
            near = squares + square - 2.0 * self._to_host(block @ rounded).astype(np.float64)
            width = self.slack * (squares + square) + self.tiny
            rows = np.flatnonzero(near - width <= min(best, float((near + width).min())))
            for row, vector in zip(rows, self.gather(rows + start), strict=True):
                value = float(np.sum((vector - point) ** 2))
                if value < best:
                    best, where = value, start + int(row)
        return best, where

    def add_centres(self, vectors: np.ndarray) -> None:
        """Append centres: float32 (m, d), on the host."""
        span = slice(self.count, self.count + len(vectors))
        self.centres[span] = vectors
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        self.centres_here[span] = self.xp.asarray(vectors.astype(self.host.dtype))
        self.centre_lower[span] = self.xp.asarray(shrink(squares, self.slack, self.tiny))
        self.centre_upper[span] = self.xp.asarray(((1 + self.slack) * squares + self.tiny).astype(np.float32))
        self.count += len(vectors)

    def refresh(self, threshold: float, *, upto: int | None = None) -> np.ndarray:
        """Lower the bounds that exceed `threshold`; the rows that stay above it, in row order, on the host."""
        xp, target = self.xp, self.count if upto is None else upto
        wanted = xp.flatnonzero(self.upper > threshold)
        stale = wanted[self.seen[wanted] < target]
        stale = stale[xp.argsort(self.seen[stale], kind="stable")]
        for start in range(0, len(stale), CHUNK):
            self._refresh(stale[start : start + CHUNK], threshold, target)
        return self._to_host(wanted[self.upper[wanted] > threshold])

    def _refresh(self, chunk: Any, threshold: float, target: int) -> None:
        xp = self.xp
        block = self._here(chunk)
        squares = (1 + self.slack) * self.device_squares[chunk]
        upper, seen = self.upper[chunk], self.seen[chunk]
        while (start := int(seen[0])) < target:
            stop = min(start + max(PRODUCTS // len(chunk), 1), target)
            begun = int(xp.searchsorted(seen, xp.asarray(stop, dtype=np.int32)))
            products = self._product(block[:begun], self.centres_here[start:stop])
            self.kernels.lower_bounds(products, self.centre_upper[start:stop], squares[:begun], upper[:begun])
            seen[:begun] = stop
            live = upper > threshold
            if stop < target and int(live.sum()) < KEPT * len(live):
                self.upper[chunk], self.seen[chunk] = upper, seen
                chunk, block, squares = chunk[live], block[live], squares[live]
                upper, seen = upper[live], seen[live]
                if len(chunk) == 0:
                    return
        self.upper[chunk], self.seen[chunk] = upper, seen

    def settle(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances in float64 (m,) of the rows at `index` to all centres, and the rows (m, d), on the host."""
        here = self.xp.asarray(index)
        vectors, values, upper = self._here(here), self.xp.empty(len(index)), self.upper[here]
        lower = shrink(self.device_squares[here], self.slack, self.tiny)
        centres = self.centres_here[: self.count]
        step = max(PRODUCTS // self.count, 1)
        for start in range(0, len(index), step):
            span = slice(start, start + step)
            products = self._product(vectors[span], centres)
            self.kernels.settle(
                products, vectors[span], centres, lower[span], self.centre_lower, upper[span], values[span]
            )
        return self._to_host(values), self._to_host(vectors).astype(np.float32)

    def _product(self, left: Any, right: Any) -> Any:
        """The products (m, n) of two sets of rows, in memory that the next call reuses."""
        out = self.products[: len(left) * len(right)].reshape(len(left), len(right))
        self.kernels.product(left, right, out)
        return out

    def store(self, index: np.ndarray, upper: np.ndarray, seen: np.ndarray) -> None:
        """Take over bounds that hold for the first `seen` centres."""
        here = self.xp.asarray(index)
        self.upper[here], self.seen[here] = self.xp.asarray(upper), self.xp.asarray(seen)

    def bounds(self, index: np.ndarray) -> np.ndarray:
        """The bounds of the rows at `index`, on the host."""
        return self._to_host(self.upper[self.xp.asarray(index)])

    def largest(self) -> float:
        """The largest bound of all rows."""
        return float(self.upper.max())

    def largest_but(self, index: np.ndarray) -> float:
        """The largest bound of the rows that are not at `index`."""
        here = self.xp.asarray(index)
        kept = self.upper[here]
        self.upper[here] = 0.0
        largest = self.largest()
        self.upper[here] = kept
        return largest

    def centre_rows(self) -> np.ndarray:
        """The centres so far: float32 (t, d), on the host."""
        return self.centres[: self.count]

    def state(self) -> dict[str, np.ndarray]:
        """What a later run needs beside the centres."""
        return {"upper": self._to_host(self.upper), "seen": self._to_host(self.seen)}

    def restore(self, upper: np.ndarray, seen: np.ndarray) -> None:
        """Go on from `state`."""
        self.upper, self.seen = self.xp.asarray(upper), self.xp.asarray(seen)

    def _here(self, index: Any) -> Any:
        """The rows at `index` (on the device, or a slice) in their own type, on the device."""
        if self.resident is not None:
            return self.resident[index]
        return self.xp.asarray(self._from_host(index if isinstance(index, slice) else self._to_host(index)))

    def _from_host(self, index: np.ndarray | slice) -> np.ndarray:
        block = self.host[index]
        if self.scale is not None:
            block = (block.astype(np.float64) / self.scale[index, None]).astype(self.host.dtype)
        return np.ascontiguousarray(block)

    def _to_host(self, array: Any) -> np.ndarray:
        return np.asarray(self.xp.asnumpy(array))
