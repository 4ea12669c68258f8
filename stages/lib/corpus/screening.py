"""The filter's work on a stream of rows: what each row says by itself, slice by slice, and then what repeats.

A slice is ROWS_AT_ONCE rows. `screen` makes its save, in any process: its rows by outcome, and sketches of those that
no rule dropped. `Repeats` goes through the saves in order, because a row is compared with those kept before.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.lib import checkpoint, records
from stages.lib.corpus import duplicates, rules
from stages.lib.corpus.sketches import KEPT, Sketches, sketch
from stages.lib.corpus.sketches import ROWS_AT_ONCE as ROWS_AT_ONCE

DROPPED = pa.schema([*records.FUNCTION, ("rule", pa.string()), ("reason", pa.string())])
EXACT, NEAR = "exact_duplicate", "near_duplicate"
_ROWS, _SKETCHES = "rows.arrow", "sketches.npz"


@dataclass(frozen=True)
class Slice:
    """A slice's save. Its rows lie in `outcomes` batches: those that passed, and then those of each rule in turn."""

    save: Path
    fresh: bool  # made just now, and not by an earlier run

    def rows(self, outcome: int = 0, columns: Sequence[str] = DROPPED.names) -> pa.Table:
        """The rows of an outcome, of schema DROPPED, or these columns of it; of those that passed, `rule` is "" or one
        that comes after the duplicates and would drop them."""
        options = pa.ipc.IpcReadOptions(included_fields=[DROPPED.names.index(name) for name in columns])
        with pa.OSFile(str(self.save / _ROWS)) as file, pa.ipc.open_file(file, options=options) as batches:
            return pa.Table.from_batches([batches.get_batch(outcome)])

    @property
    def exact(self) -> np.ndarray:
        """A hash of the code of each row that passed, white space apart: (rows,) of 16 bytes."""
        return np.load(self.save / _SKETCHES)["exact"]

    @property
    def sketches(self) -> Sketches:
        """Of the rows that passed."""
        with np.load(self.save / _SKETCHES) as held:
            return Sketches(held["shingles"], held["starts"], held["bands"])


@dataclass(frozen=True)
class Screen:
    """Screens slices: by the rules `before` the duplicates, each of its row alone, and those `after`. `make` gives
    both; it is called in each process, since rules cannot be sent to one."""

    make: Callable[[], tuple[dict[str, rules.Rule], dict[str, rules.Rule]]]
    near: rules.NearDuplicates
    saves: Path

    @cached_property
    def rules(self) -> tuple[dict[str, rules.Rule], dict[str, rules.Rule]]:
        """Made once in each process."""
        return self.make()

    def __call__(self, piece: tuple[int, pa.RecordBatch]) -> Slice:
        """The save of the slice of this number with these rows; one that is there is used."""
        number, batch = piece
        save = self.saves / f"slice-{number:06d}"
        if checkpoint.is_valid(save):
            return Slice(save, fresh=False)
        with checkpoint.made(save) as folder:
            self._write(batch, folder)
        return Slice(save, fresh=True)

    def _write(self, batch: pa.RecordBatch, folder: Path) -> None:
        before, after = self.rules
        rows = batch.to_pylist()
        found = [_first(before, row) for row in rows]
        passed = [row for row, (rule, _) in zip(rows, found, strict=True) if not rule]
        said = iter([_first(after, row) for row in passed])
        table = pa.Table.from_batches([batch])
        told = [verdict if verdict[0] else next(said) for verdict in found]
        for place, name in enumerate(("rule", "reason")):
            table = table.append_column(name, pa.array([one[place] for one in told], pa.string()))
        outcome = np.array([1 + list(before).index(rule) if rule else 0 for rule, _ in found])
        with pa.OSFile(str(folder / _ROWS), "wb") as file:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(file, DROPPED, options=options) as out:
                for number in range(1 + len(before)):
                    part = table.filter(pa.array(outcome == number)).combine_chunks()
                    out.write_batch(
                        pa.RecordBatch.from_arrays([_one(column) for column in part.columns], schema=DROPPED)
                    )
        codes = [row["code"] for row in passed]
        made = sketch(codes, self.near.threshold, self.near.shingle, self.near.permutations)
        exact = np.frombuffer(b"".join(map(_fingerprint, codes)), "V16")
        np.savez(folder / _SKETCHES, exact=exact, **vars(made))


class Repeats:
    """Which of the rows that passed repeat earlier ones, in row order."""

    def __init__(self, slices: Sequence[Slice], threshold: float) -> None:
        self._slices, self._threshold = slices, threshold
        self._first = _first_equal(slices)

    def decide(self) -> Iterator[np.ndarray]:
        """Of each slice, for each row that passed: the number, among all these, of the row that it repeats, in two
        columns (exactly, nearly), or -1. Saved, so that no comparison is made twice."""
        index = duplicates.compare((one.sketches for one in self._slices), self._threshold)
        begin = 0
        for one in self._slices:
            made = one.sketches
            own = np.arange(begin, begin + len(made.bands))
            exact = np.where(self._first[own] == own, KEPT, self._first[own])
            save = one.save.with_name(one.save.name.replace("slice", "repeats"))
            if checkpoint.is_valid(save):
                near = np.load(save / "near.npy")
                index.restore(made, near)
            else:
                near = index.add(made, exact != KEPT)
                with checkpoint.made(save) as folder:
                    np.save(folder / "near.npy", near)
            begin += len(own)
            yield np.stack([exact, np.maximum(near, KEPT)], axis=1)


def keeps(one: Slice, found: np.ndarray) -> np.ndarray:
    """Which of the rows that passed stay, given what `Repeats` found: those that repeat none, and that no later rule
    drops."""
    return (found < 0).all(axis=1) & (_later(one) == "")


def dropped(
    slices: Sequence[Slice], repeats: Sequence[np.ndarray], before: Sequence[str], after: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """The rows that did not stay, of schema DROPPED, each table with the rule that dropped it: in the order of the
    rules, and of the rows."""
    for outcome, name in enumerate(before, start=1):
        yield from ((name, one.rows(outcome)) for one in slices)
    ids = _ids(slices)
    for column, name in enumerate((EXACT, NEAR)):
        for one, found in zip(slices, repeats, strict=True):
            if (those := found[:, column] >= 0).any():
                rows = one.rows().select(records.FUNCTION.names).filter(pa.array(those))
                rows = rows.append_column("rule", pa.array([name] * len(rows), pa.string()))
                reasons = ids[found[those, column]].astype(str)
                yield name, rows.append_column("reason", pa.array(reasons, pa.string()))
    for name in after:
        for one, found in zip(slices, repeats, strict=True):
            if (those := (found < 0).all(axis=1) & (_later(one) == name)).any():
                yield name, one.rows().filter(pa.array(those))


def _later(one: Slice) -> np.ndarray:
    """The rule after the duplicates that would drop each row that passed, or ""."""
    return np.array(one.rows(columns=["rule"])["rule"].to_pylist(), object)


def _ids(slices: Iterable[Slice]) -> np.ndarray:
    """The ids of all rows that passed, as bytes: a number of `Repeats` is a place here."""
    held = [np.array(one.rows(columns=["id"])["id"].to_pylist(), "S") for one in slices]
    return np.concatenate([part for part in held if len(part)] or [np.empty(0, "S1")])


def _first_equal(slices: Sequence[Slice]) -> np.ndarray:
    """For each row that passed the number of the first with the same code, its own if there is none before."""
    exact = np.concatenate([one.exact for one in slices])
    halves = exact.view("<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal ones stay in row order
    new = np.ones(len(order), bool)
    new[1:] = exact[order][1:] != exact[order][:-1]
    first = np.empty(len(order), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return first


def _first(steps: dict[str, rules.Rule], row: records.Row) -> tuple[str, str]:
    """The first rule that drops the row, and why; two empty words if none does."""
    for name, rule in steps.items():
        (reason,) = rule([row])
        if reason is not None:
            return name, reason
    return "", ""


def _fingerprint(code: str) -> bytes:
    return blake2b(rules.without_blanks(code).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
