"""The coreset selection against a float64 reference, over shards, killed, and given bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from workspace import REPOSITORY

from stages.lib.errors import BadInput
from stages.lib.kcenter import covering_radii, cpu, gpu, k_center_greedy, split_rows
from stages.lib.kcenter.clock import Clock
from stages.lib.kcenter.exact import Ties, lowest_exponent


def reference(rows: np.ndarray, k: int, chosen: list[int]) -> tuple[list[int], list[float]]:
    """The plain greedy selection in float64 from the rows in `chosen`: all centres, the radius after each new one."""
    rows = rows.astype(np.float64)
    chosen = list(chosen)
    nearest = np.min([((rows - rows[row]) ** 2).sum(axis=1) for row in chosen], axis=0)
    radii = [nearest.max() ** 0.5]
    while len(chosen) < k and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
        radii.append(nearest.max() ** 0.5)
    return chosen, radii


def make(kind: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    match kind:
        case "random":
            return rng.standard_normal((3000, 64), dtype=np.float32)
        case "half precision":
            return rng.standard_normal((2000, 37)).astype(np.float16)
        case "clustered":
            centres = rng.standard_normal((30, 48))
            return (centres[rng.integers(0, 30, 4000)] + 1e-3 * rng.standard_normal((4000, 48))).astype(np.float32)
        case "duplicated":
            return np.repeat(rng.standard_normal((300, 32)).astype(np.float16), 10, axis=0)[rng.permutation(3000)]
        case "collinear":
            return np.outer(np.arange(1500), np.ones(16)).astype(np.float32)
        case "lattice":  # every distance is tied many times over
            return rng.integers(0, 2, (2500, 14)).astype(np.float16)
        case "orthogonal":  # every distance is the same
            return np.eye(400, dtype=np.float32)
        case "far from the origin":  # float32 products hold almost nothing of the distances
            return (3000 + rng.standard_normal((1500, 24))).astype(np.float32)
        case "outliers":
            rows = rng.standard_normal((2000, 24)).astype(np.float32)
            rows[::97] *= 1e4
            return rows
        case "tiny":  # float32 products underflow
            return (1e-25 * rng.standard_normal((800, 16))).astype(np.float32)
    raise AssertionError(kind)


KINDS = (
    "random",
    "half precision",
    "clustered",
    "duplicated",
    "collinear",
    "lattice",
    "orthogonal",
    "far from the origin",
    "outliers",
    "tiny",
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sequence_is_that_of_float64(kind: str) -> None:
    rows = make(kind)
    chosen = k_center_greedy(rows, 200, device="cpu")
    indices, radii = reference(rows, 200, [int(chosen.indices[0])])
    assert chosen.indices.tolist() == indices
    np.testing.assert_allclose(chosen.radii, radii, rtol=1e-12)


def test_the_first_row_is_the_nearest_to_the_mean() -> None:
    rows = make("random")
    to_mean = np.linalg.norm(rows.astype(float) - rows.mean(axis=0, dtype=float), axis=1)
    assert k_center_greedy(rows, 1, device="cpu").indices[0] == to_mean.argmin()


def test_a_random_first_row_follows_the_seed() -> None:
    rows = make("random")
    firsts = {int(k_center_greedy(rows, 1, first="random", seed=s, device="cpu").indices[0]) for s in (1, 2, 3, 1)}
    assert len(firsts) == 3


def test_earlier_centres_count_as_chosen() -> None:
    rows = make("clustered")
    whole = k_center_greedy(rows, 60, device="cpu")
    rest = k_center_greedy(rows, 40, first=whole.indices[:20], device="cpu")
    assert rest.indices.tolist() == whole.indices[20:].tolist()
    assert rest.radii.tolist() == whole.radii[20:].tolist()


@pytest.mark.parametrize("kind", ["duplicated", "lattice"])
def test_copies_are_never_both_chosen(kind: str) -> None:
    rows = make(kind)
    distinct = len(np.unique(rows, axis=0))
    chosen = k_center_greedy(rows, len(rows), device="cpu")
    assert len(chosen.indices) == chosen.distinct_rows == distinct
    assert len(np.unique(rows[chosen.indices], axis=0)) == distinct
    assert chosen.radii[-1] == 0


def test_equal_rows_give_one_centre() -> None:
    chosen = k_center_greedy(np.ones((300, 8), dtype=np.float32), 5, device="cpu")
    assert chosen.indices.tolist() == [0] and chosen.radii.tolist() == [0.0] and chosen.distinct_rows == 1


def test_a_radius_ends_the_choice() -> None:
    rows = make("random")
    whole = k_center_greedy(rows, 300, device="cpu")
    wanted = float(whole.radii[120])
    chosen = k_center_greedy(rows, 300, radius=wanted, device="cpu")
    assert chosen.indices.tolist() == whole.indices[:121].tolist()
    assert chosen.radii[-1] <= wanted < chosen.radii[-2]


def test_normalized_rows_are_compared_by_direction() -> None:
    rows = make("half precision")
    lengths = np.sqrt((rows.astype(float) ** 2).sum(axis=1, keepdims=True))
    scaled = (rows / lengths).astype(np.float16)
    chosen = k_center_greedy(rows, 100, normalize=True, device="cpu")
    assert chosen.indices.tolist() == reference(scaled, 100, [int(chosen.indices[0])])[0]


def test_ties_that_float64_cannot_see_go_to_the_lowest_row() -> None:
    # The same nine numbers in another order: the distances to 0 are equal, their float64 sums are not all.
    rng = np.random.default_rng(3)
    values = (rng.standard_normal(9) * 10.0 ** rng.integers(-4, 4, 9)).astype(np.float32)
    rows = np.stack([np.zeros(9, dtype=np.float32), *(rng.permutation(values) for _ in range(400))])
    sums = {float(((row.astype(float)) ** 2).sum()) for row in rows[1:]}
    assert len(sums) > 1, "the example holds no tie that float64 breaks"
    assert k_center_greedy(rows, 1, first=[0], device="cpu").indices.tolist() == [1]


def test_exact_comparison_sees_one_unit_in_the_last_place() -> None:
    near = np.array([1.0, 2.0**-30], dtype=np.float32)
    far = np.array([1.0, 2.0**-29], dtype=np.float32)
    centres = np.zeros((1, 2), dtype=np.float32)
    values = np.array([1.0, 1.0])
    assert Ties().lowest_farthest(np.stack([near, far]), values, np.array([4, 9]), centres, 1e-15) == 1
    assert Ties().lowest_farthest(np.stack([far, far]), values, np.array([9, 4]), centres, 1e-15) == 1


def test_lowest_exponent() -> None:
    assert lowest_exponent(np.array([0.75, 3.0], dtype=np.float32)) == -2
    assert lowest_exponent(np.array([0.0, 2.0**-149], dtype=np.float32)) == -149
    assert lowest_exponent(np.zeros(3, dtype=np.float32)) == 1024


@pytest.mark.parametrize("kind", KINDS)
def test_what_float32_products_pass_over_changes_no_bit(kind: str) -> None:
    rows = make(kind)[:300].astype(np.float32)
    all_distances = np.stack([cpu.distances(rows, row) for row in rows[:40]])
    values = all_distances[0].copy()
    for pick in range(1, 40):
        cpu.lower(values, np.arange(len(rows)), rows, cpu.floors(rows), pick)
        assert values.tobytes() == all_distances[: pick + 1].min(axis=0).tobytes()
    shard = cpu.Rows(rows, None, 40, 1)
    shard.add_centres(rows[:40])
    every = shard.refresh(-1.0)
    assert shard.settle(every)[0].tobytes() == all_distances.min(axis=0).tobytes()


def test_threads_and_memory_maps_change_nothing(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((9000, 32)).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    one, two = k_center_greedy(rows, 90, device="cpu"), k_center_greedy(mapped, 90, threads=2, device="cpu")
    assert one.indices.tolist() == two.indices.tolist() and one.radii.tolist() == two.radii.tolist()


def test_the_radius_of_every_prefix() -> None:
    rows = make("random")
    order = np.random.default_rng(2).permutation(3000)[:100]
    sizes = [1, 2, 5, 50, 100]
    expected = [reference(rows, 1, order[:size].tolist())[1][0] for size in sizes]
    np.testing.assert_allclose(covering_radii(rows, order, sizes, device="cpu"), expected, rtol=1e-12)
    chosen = k_center_greedy(rows, 100, device="cpu")
    again = covering_radii(rows, chosen.indices, range(1, 101), device="cpu")
    np.testing.assert_allclose(again, chosen.radii, rtol=1e-12)


SHARD = """
import sys
import numpy as np, torch.distributed as dist
from stages.lib.kcenter import k_center_greedy, split_rows
rank, size, folder, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
import torch; torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet{size}{how}", rank=rank, world_size=size)
rows = np.load(f"{folder}/rows.npy", mmap_mode="r")
part = rows[split_rows(len(rows), size)[rank]]
first = [5, 700] if how == "given" else how
chosen = k_center_greedy(part, 80, first=first, seed=3, device="cpu", group=dist.group.WORLD)
np.save(f"{folder}/{how}-{size}-{rank}.npy", np.stack([chosen.indices, chosen.radii.view(np.int64)]))
dist.barrier()
dist.destroy_process_group()  # gloo's threads must be joined before the process ends
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mean", "given"])
def test_shards_choose_the_same_rows(tmp_path: Path, how: str) -> None:
    rows = make("lattice") if how == "given" else make("random")
    np.save(tmp_path / "rows.npy", rows)
    whole = k_center_greedy(rows, 80, first=[5, 700] if how == "given" else how, device="cpu")
    for size in (2, 4) if how == "mean" else (3,):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SHARD, str(rank), str(size), str(tmp_path), how],
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            )
            for rank in range(size)
        ]
        assert [process.wait(120) for process in processes] == [0] * size
        for rank in range(size):
            indices, radii = np.load(tmp_path / f"{how}-{size}-{rank}.npy")
            assert indices.tolist() == whole.indices.tolist()
            assert radii.view(np.float64).tolist() == whole.radii.tolist()


def test_shards_begin_where_the_sums_begin() -> None:
    slices = split_rows(1000, 3)
    assert [part.start for part in slices] == [0, 512, 1000] and slices[-1].stop == 1000


RESUME = """
import logging, os, time
from pathlib import Path
import numpy as np
from stages.lib.kcenter import clock, cpu, k_center_greedy
logging.basicConfig(level=logging.INFO)
clock.SAVE_SECONDS = 0.0
if "SLOWLY" in os.environ:  # it must not be done before the signal comes, however fast the machine
    store = cpu.Rows.store
    cpu.Rows.store = lambda *bounds: (time.sleep(0.2), store(*bounds))
chosen = k_center_greedy(np.load("rows.npy"), 1500, device="cpu", saves=Path("saves"))
np.save("chosen.npy", np.stack([chosen.indices, chosen.radii.view(np.int64)]))
"""


def test_killed_and_run_again_it_goes_on_to_the_same_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(5).standard_normal((20000, 48)).astype(np.float16)
    np.save("rows.npy", rows)
    command = [sys.executable, "-c", RESUME]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env={**environment, "SLOWLY": "1"})
    deadline = time.monotonic() + 120
    while len(list(Path("saves").glob("*/checkpoint.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    newest = max(Path("saves").glob("*/checkpoint.json"), key=lambda path: int(path.parent.name.rpartition("-")[2]))
    damaged = newest.parent / "upper.npy"  # the newest save is refused, the one before it taken
    damaged.write_bytes(damaged.read_bytes()[:-8] + b"\0" * 8)
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "refusing checkpoint" in again.stderr and "resuming after" in again.stderr
    indices, radii = np.load("chosen.npy")
    undisturbed = k_center_greedy(rows, 1500, device="cpu")
    assert indices.tolist() == undisturbed.indices.tolist()
    assert radii.view(np.float64).tolist() == undisturbed.radii.tolist()


def test_the_time_left_follows_the_picks_so_far() -> None:
    clock = Clock(wanted=20_000)
    assert clock.remaining() == float("inf")
    for count in range(1, 2001):  # the n-th takes n^0.7 ms, but for a costly stretch
        clock.marks.append((count, 1e-3 * count**1.7 / 1.7 + max(0, min(count, 1300) - 1200), count**-0.1))
    assert clock.remaining() == pytest.approx(1e-3 * (20_000**1.7 - 2000**1.7) / 1.7, rel=0.15)


def test_the_time_left_begins_anew_where_the_radius_falls() -> None:
    clock = Clock(wanted=10_000)
    clock.marks = [(count, 1.0 * count, 5.0) for count in range(1, 1001)]  # a second for each cluster's first
    clock.marks += [(1000 + count, 1000 + 0.01 * count, 1.0) for count in range(1, 6)]
    assert clock.remaining() == float("inf")
    clock.marks += [(1000 + count, 1000 + 0.01 * count, 1.0) for count in range(6, 1001)]
    assert 0.01 * 8000 <= clock.remaining() <= 2.5 * 0.01 * 8000  # the cost was even, and is taken to grow a little


@pytest.mark.parametrize("name", ["mixture, 300,000 x 1,024", "MiniLM, 100,000 x 384"])
def test_the_time_left_is_right_within_a_quarter_after_the_first_tenth(name: str) -> None:
    # kcenter_traces.json: picks, CPU seconds and radius after each batch of two runs of bench/kcenter.py's data.
    trace = json.loads(Path(__file__).with_name("kcenter_traces.json").read_text())[name]
    clock, (wanted, marks) = Clock(trace["wanted"]), trace.values()
    ratios = []
    for number, (count, seconds, _) in enumerate(marks, 1):
        if wanted / 10 <= count <= 0.95 * wanted:
            clock.marks = marks[:number]
            ratios.append(clock.remaining() / (marks[-1][1] - seconds))
    known = [ratio for ratio in ratios if ratio < float("inf")]
    assert len(known) >= 0.95 * len(ratios)  # it may keep silent where another scale of the data has just begun
    assert sum(0.8 <= ratio <= 1.25 for ratio in known) >= 0.95 * len(known)
    assert min(known) > 0.6 and max(known) < 1.6


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (np.ones((5, 2), np.float32), {"k": 6}, "k = 6: choose 1 to 5"),
        (np.ones((5, 2), np.float32), {"k": 0}, "k = 0: choose 1 to 5"),
        (np.ones((5, 2), np.float32), {"k": 5, "first": [1]}, "with 1 earlier centres, choose 1 to 4"),
        (np.ones((5, 2), np.float32), {"k": 1, "first": [1, 5, -1]}, r"no rows \[5, -1\]"),
        (np.ones((5, 2), np.float32), {"k": 1, "first": []}, "empty list"),
        (np.ones((5, 2), np.float32), {"k": 1, "first": "median"}, "pass mean, random"),
        (np.ones((5, 2)), {"k": 1}, "type float64"),
        (np.ones((5, 2), np.int32), {"k": 1}, "type int32"),
        (np.ones(5, np.float32), {"k": 1}, r"shape \(5,\)"),
        (np.ones((0, 5), np.float32), {"k": 1}, r"shape \(0, 5\)"),
        (np.full((5, 2), 1e30, np.float32), {"k": 1}, "scale the embeddings down"),
        (np.ones((5, 2), np.float32), {"k": 1, "device": "gpu"}, "finds no GPU"),
    ],
)
def test_bad_input_is_named(rows: np.ndarray, arguments: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        k_center_greedy(rows, **{"device": "cpu", **arguments})


def test_rows_that_are_not_finite_are_named() -> None:
    rows = np.ones((40, 3), dtype=np.float16)
    rows[3, 1] = np.nan
    rows[20:, 2] = np.inf
    with pytest.raises(BadInput, match=r"rows \[3, 20, 21, 22, 23, 24, 25, 26, 27, 28\] \(the first ten\)"):
        k_center_greedy(rows, 2, device="cpu")


@pytest.mark.parametrize("source", sorted(REPOSITORY.glob("stages/**/*.cu")), ids=lambda path: path.name)
def test_cuda_sources_compile_for_hopper(source: Path, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not here")
    command = [
        nvcc,
        "-arch=sm_90",
        "-cubin",
        "--Werror",
        "all-warnings",
        "-o",
        str(tmp_path / "out.cubin"),
        str(source),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


class NumpyAsCupy:
    """cupy's functions that gpu.py calls, from NumPy: the logic runs here, the kernels' twins stand for the kernels."""

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(np, {"asnumpy": "asarray"}.get(name, name))


class TwinKernels:
    def squares(self, block: np.ndarray, out: np.ndarray) -> None:
        cpu._squares(block.astype(np.float32), out)

    def block_sums(self, block: np.ndarray, size: int, out: np.ndarray) -> None:
        out[:] = 0
        cpu._add_rows(block.astype(np.float32), out, 0, size)

    def product(self, left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
        out[:] = left.astype(np.float32) @ right.astype(np.float32).T

    def lower_bounds(self, products: np.ndarray, centre_upper: np.ndarray, squares: np.ndarray, upper: np.ndarray):  # type: ignore[no-untyped-def]
        cpu._lower_bounds(products, centre_upper, squares, upper, 0.0)

    def settle(self, products, vectors, centres, *rest) -> None:  # type: ignore[no-untyped-def]
        cpu._settle(products.T, vectors.astype(np.float32), centres.astype(np.float32), *rest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resident", [True, False], ids=["resident", "streamed"])
def test_the_gpu_s_logic_gives_the_cpu_s_sequence(kind: str, resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(embeddings: np.ndarray, scale: np.ndarray | None, capacity: int) -> gpu.Rows:
        return gpu.Rows(NumpyAsCupy(), TwinKernels(), embeddings, scale, capacity, resident)

    rows = make(kind)
    expected = k_center_greedy(rows, 100, device="cpu")
    monkeypatch.setattr(gpu, "PRODUCTS", 2**14)  # so that rows drop out between blocks of centres
    monkeypatch.setattr(gpu, "available", lambda: True)
    monkeypatch.setattr(gpu, "load", load)
    chosen = k_center_greedy(rows, 100, device="gpu")
    assert chosen.indices.tolist() == expected.indices.tolist() and chosen.radii.tolist() == expected.radii.tolist()
