"""The choice piece by piece, against the best of all choices on little data."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.lib.errors import BadInput
from stages.lib.kcenter import k_center_greedy, pieces

HOW: dict[str, Any] = {"normalize": False, "device": "cpu", "threads": 1}
START: dict[str, Any] = {"first": "mean", "seed": 0, **HOW}


def radius_of(rows: np.ndarray, chosen: tuple[int, ...] | np.ndarray) -> float:
    return float(max(min(np.linalg.norm(row - rows[centre]) for centre in chosen) for row in rows))


def optimum(rows: np.ndarray, k: int) -> float:
    return min(radius_of(rows, chosen) for chosen in combinations(range(len(rows)), k))


def points(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, 2)) + 6 * rng.integers(0, 2, (count, 2))).astype(np.float32)


def compose(rows: np.ndarray, divided: list[pieces.Piece], k: int, saves: Path, radius: float = 0.0):  # type: ignore[no-untyped-def]
    saves.mkdir()
    pieces.pick(rows, divided, range(len(divided)), saves, **START)
    return pieces.compose(rows, divided, saves, k, radius, **START)


@pytest.mark.parametrize("seed", range(20))
def test_parts_stay_within_four_times_the_optimum_and_know_a_bound(seed: int, tmp_path: Path) -> None:
    rows = points(seed, 14)
    divided = [pieces.Piece("a", slice(0, 7), 3), pieces.Piece("b", slice(7, 14), 3)]
    found = compose(rows, divided, 3, tmp_path / "saves")
    for size in (1, 2, 3):
        best, true = optimum(rows, size), radius_of(rows, found.indices[:size])
        assert found.radii[size - 1] == pytest.approx(true, abs=1e-6)
        assert found.bound(size) <= best + 1e-6 and true <= 4 * found.bound(size) + 1e-6


def test_one_part_is_the_exact_choice(tmp_path: Path) -> None:
    rows = points(3, 600)
    found, exact = compose(rows, pieces.cut(600, 20, 1), 20, tmp_path / "saves"), k_center_greedy(rows, 20)
    # From the same rows the second choice begins at their own mean, so only the set is the same.
    assert set(found.indices) == set(exact.indices)


def test_a_radius_cuts_the_choice_where_every_row_lies_within_it(tmp_path: Path) -> None:
    rows = points(4, 900)
    found = compose(rows, pieces.cut(900, 50, 3), 50, tmp_path / "saves", radius=1.6)
    assert found.radii[-1] <= 1.6 < found.radii[-2] and len(found.indices) < 50


def test_copies_are_never_taken(tmp_path: Path) -> None:
    rows = np.repeat(points(5, 10), 100, axis=0)
    found = compose(rows, pieces.cut(1000, 30, 4), 30, tmp_path / "saves")
    assert len(found.indices) == 10 == found.distinct_rows and found.radii[-1] == 0


def test_no_part_is_empty_and_none_gives_more_than_it_has() -> None:
    divided = pieces.cut(700, 500, 4)
    assert [piece.rows for piece in divided] == [slice(0, 256), slice(256, 512), slice(512, 700)]
    assert [piece.k for piece in divided] == [256, 256, 188]


@pytest.mark.parametrize("seed", range(10))
def test_a_language_is_within_twice_its_own_optimum(seed: int, tmp_path: Path) -> None:
    rows, languages = points(seed, 24), ["Go", "Java"] * 12
    divided = pieces.by_language(languages, 5, {"Go": 60, "Java": 40})
    assert [(piece.name, piece.k) for piece in divided] == [("Go", 3), ("Java", 2)]
    pieces.pick(rows, divided, range(2), tmp_path, **START)
    within = pieces.distance_within(divided, tmp_path)
    for piece in divided:
        assert within[piece.name] <= 2 * optimum(rows[piece.rows], piece.k) + 1e-6
    found = pieces.interleave(rows, divided, tmp_path, 0.0, **HOW)
    assert [languages[row] for row in found.indices] == ["Go", "Java", "Go", "Java", "Go"]
    assert found.radii[-1] == pytest.approx(radius_of(rows, found.indices), abs=1e-6) and found.bound(5) is None


def test_shares_add_up_and_a_small_language_gives_all_it_has() -> None:
    languages = ["Go"] * 100 + ["Java"] * 100 + ["Rust"] * 2
    divided = pieces.by_language(languages, 10, {"Go": 1, "Java": 1, "Rust": 1})
    assert [(piece.name, piece.k) for piece in divided] == [("Go", 4), ("Java", 3), ("Rust", 2)]
    with pytest.raises(BadInput, match="the corpus has no C and no Perl; it has Go, Java, Rust"):
        pieces.by_language(languages, 10, {"C": 1, "Perl": 1})
