"""Near duplicates: the index beside a plain comparison of all pairs, families of look-alikes, and a kill in between."""

import random
import time

import numpy as np
import pytest

from stages.lib.corpus import duplicates
from stages.lib.corpus.duplicates import near_duplicates
from stages.lib.corpus.sketches import KEPT, SKIPPED, Sketches, sketch

THRESHOLD = 0.8


def family(members: int, shared: int = 79, own: int = 21) -> list[str]:
    """Texts of which any two are alike, but not alike enough: 100 words each, `shared` by all."""
    common = [f"c{word}" for word in range(shared)]
    return [" ".join([*common, *(f"m{member}w{word}" for word in range(own))]) for member in range(members)]


def changed(text: str, words: int, mark: str) -> str:
    """The text with its last `words` words replaced."""
    kept = text.split()[:-words]
    return " ".join([*kept, *(f"{mark}{word}" for word in range(words))])


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = text.split()
    return frozenset(tuple(words[start : start + 5]) for start in range(len(words) - 4))


def plainly(texts: list[str]) -> list[int | None]:
    """What near_duplicates says, by comparing every text with all kept before."""
    sets = [shingles(text) for text in texts]
    found: list[int | None] = []
    for row, own in enumerate(sets):
        kept = (earlier for earlier in range(row) if found[earlier] is None)
        alike = (earlier for earlier in kept if len(own & sets[earlier]) / len(own | sets[earlier]) >= THRESHOLD)
        found.append(next(alike, None))
    return found


def mixed() -> list[str]:
    """400 texts of many families, with copies of every degree, shuffled."""
    draw = random.Random(7)
    texts = [text for size in (1, 2, 3, 60) for text in family(size, draw.randint(20, 90), draw.randint(9, 40))]
    texts += family(80)
    texts += [changed(draw.choice(texts), draw.randint(1, 8), f"x{copy}") for copy in range(200)]
    texts += [draw.choice(texts) for _ in range(54)]
    draw.shuffle(texts)
    return texts


def test_the_verdicts_are_those_of_comparing_all_pairs() -> None:
    texts = mixed()
    found, expected = near_duplicates(texts, THRESHOLD), plainly(texts)
    assert len(texts) == 400 and 150 < sum(earlier is not None for earlier in expected) < 300
    # LSH may overlook one pair in a hundred at the threshold itself: of these 400 rows it overlooks none.
    assert found == expected


def test_no_pair_is_lost_in_a_family_that_fills_its_keys() -> None:
    texts = family(1000)
    assert near_duplicates(texts, THRESHOLD) == [None] * 1000
    again = [changed(text, 3, f"again{row}") for row, text in enumerate(texts)]
    assert near_duplicates(texts + again, THRESHOLD) == [None] * 1000 + list(range(1000))


def test_a_family_costs_in_proportion_to_its_rows() -> None:
    near_duplicates(family(9), THRESHOLD)  # compiles
    taken = []
    for members in (1500, 12000):
        texts = family(members)
        began = time.process_time()
        near_duplicates(texts, THRESHOLD)
        taken.append(time.process_time() - began)
    assert taken[1] < 20 * taken[0], "8 times the rows; 64 times the time if it were quadratic"


def sketched(texts: list[str], rows: int) -> list[Sketches]:
    return [sketch(texts[at : at + rows], THRESHOLD, 5, 128) for at in range(0, len(texts), rows)]


def test_the_pieces_that_rows_come_in_change_nothing() -> None:
    texts = mixed()
    expected = near_duplicates(texts, THRESHOLD)
    made = sketched(texts, 37)
    index = duplicates.compare(made, THRESHOLD)
    found = np.concatenate([index.add(one) for one in made])
    assert [None if earlier == KEPT else earlier for earlier in found.tolist()] == expected


@pytest.mark.parametrize("done", [1, 4, 9])
def test_an_index_that_is_restored_decides_as_before(done: int) -> None:
    made = sketched(mixed(), 40)
    skip = [np.arange(len(one.bands)) % 11 == 3 for one in made]
    index = duplicates.compare(made, THRESHOLD)
    whole = [index.add(one, those) for one, those in zip(made, skip, strict=True)]
    assert all((found[those] == SKIPPED).all() for found, those in zip(whole, skip, strict=True))
    again = duplicates.compare(made, THRESHOLD)
    for one, found in zip(made[:done], whole, strict=False):
        again.restore(one, found)
    for number in range(done, len(made)):
        assert again.add(made[number], skip[number]).tolist() == whole[number].tolist()


def test_sketches_hold_each_shingle_once_in_rising_order() -> None:
    made = sketch(["a b c d e f", "", "a b", "x " * 40], THRESHOLD, 5, 128)
    rows = [made.shingles[start:end] for start, end in zip(made.starts, made.starts[1:], strict=False)]
    assert [len(row) for row in rows] == [2, 1, 1, 1]
    assert all((np.diff(row.astype(np.int64)) > 0).all() for row in rows)
