"""k-center piece by piece: parts of the rows, for more of them than one machine should read, or languages with quotas.

The picks of each piece are a save of their own, so pieces can be shared out among processes (stages/lib/shards.py).

- Parts: k rows of each part, then k of all those by the same greedy choice. The covering radius is at most 4 times the
  optimum (Malkomes et al., "Fast distributed k-center clustering with outliers on massive data", NIPS 2015; arXiv
  1802.09205 shows how more picks in each part bring that near 2; docs/coreset.md has the proof).
- Quotas: in each language its share of k, by greedy choice among that language's rows. Every row lies within twice the
  best possible distance to a pick of its own language. The languages' picks take turns.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib import checkpoint
from stages.lib.errors import BadInput
from stages.lib.kcenter import alternatives
from stages.lib.kcenter.greedy import Selection, k_center_greedy
from stages.lib.kcenter.world import split_rows

log = logging.getLogger("tidemill.coreset")  # as the stage, whose saves these are


@dataclass(frozen=True)
class Piece:
    """`k` rows are to be chosen among `rows`: a slice, or ascending row numbers."""

    name: str
    rows: slice | np.ndarray
    k: int

    def number(self, rows: np.ndarray) -> np.ndarray:
        """The numbers, in the whole, of these rows of the piece."""
        return rows + self.rows.start if isinstance(self.rows, slice) else self.rows[rows]


@dataclass(frozen=True)
class Picks:
    """What was chosen in a piece: row numbers of the whole, and the radius over the piece after each."""

    rows: np.ndarray
    radii: np.ndarray


def cut(count: int, k: int, parts: int) -> list[Piece]:
    """`parts` pieces of about equal size, each to give `k` rows, or all that it has."""
    spans = [span for span in split_rows(count, parts) if span.stop > span.start]
    return [Piece(f"part {span.start}", span, min(k, span.stop - span.start)) for span in spans]


def by_language(languages: Sequence[str], k: int, quotas: Mapping[str, float]) -> list[Piece]:
    """A piece for each language of `quotas`, with its share of `k` by largest remainders, or all rows that it has.

    Raises `BadInput` for a language without rows.
    """
    names = np.array(languages)
    if absent := sorted(set(quotas) - set(languages)):
        known = ", ".join(sorted(set(languages)))
        raise BadInput(f"coreset.quotas: the corpus has no {' and no '.join(absent)}; it has {known}")
    shares = {name: k * quotas[name] / sum(quotas.values()) for name in sorted(quotas)}
    sizes = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: sizes[name] - shares[name])
    for name in by_remainder[: k - sum(sizes.values())]:
        sizes[name] += 1
    rows = {name: np.flatnonzero(names == name) for name in shares}
    return [Piece(name, rows[name], min(sizes[name], len(rows[name]))) for name in shares if sizes[name]]


def pick(embeddings: np.ndarray, pieces: Sequence[Piece], mine: Iterable[int], saves: Path, **how: Any) -> None:
    """Choose the rows of the pieces numbered in `mine` that have no save yet; `how` as `k_center_greedy` takes it."""
    for number in mine:
        save = _save_of(saves, number)
        if checkpoint.is_valid(save):
            continue
        piece, progress = pieces[number], save.with_name(f"{save.name}-progress")
        chosen = k_center_greedy(embeddings[piece.rows], piece.k, saves=progress, **how)
        save.mkdir(exist_ok=True)
        np.save(save / "rows.npy", piece.number(chosen.indices))
        np.save(save / "radii.npy", chosen.radii)
        checkpoint.seal(save)
        checkpoint.discard(progress)
        log.debug("chose piece %d of %d: %d rows of %s", number + 1, len(pieces), piece.k, piece.name)
        checkpoint.raise_if_stop_requested()


def compose(
    embeddings: np.ndarray,
    pieces: Sequence[Piece],
    saves: Path,
    k: int,
    radius: float,
    *,
    first: str,
    seed: int,
    **how: Any,
) -> Selection:
    """`k` of the rows that `pick` saved, with the true covering radius after each, cut at `radius` (0: not cut).

    n + 1 rows that lie r apart need a radius of r/2 however n are chosen; greedy finds such rows, in each part and
    among all parts' picks, and the largest r/2 is the bound.
    """
    found = [_load(saves, number) for number in range(len(pieces))]
    union = np.sort(np.concatenate([picks.rows for picks in found]))
    chosen = k_center_greedy(embeddings[union], min(k, len(union)), first=first, seed=seed, **how)
    measured = alternatives.measure(embeddings, union[chosen.indices], radius=radius, **how)
    size = len(measured.indices)
    apart = np.max([_lengthen(one, size) for one in (chosen.radii, *(picks.radii for picks in found))], axis=0)
    return Selection(measured.indices, measured.radii, chosen.distinct_rows, apart / 2)


def interleave(embeddings: np.ndarray, pieces: Sequence[Piece], saves: Path, radius: float, **how: Any) -> Selection:
    """The rows that `pick` saved, in turns, so that every beginning holds the quotas within one row.

    No bound: picks of another language may cover a row too. `distance_within` bounds what the quotas ask for.
    """
    found = [_load(saves, number) for number in range(len(pieces))]
    due = [
        ((place + 0.5) / piece.k, piece.name, row)
        for piece, picks in zip(pieces, found, strict=True)
        for place, row in enumerate(picks.rows.tolist())
    ]
    return alternatives.measure(embeddings, np.array([row for *_, row in sorted(due)]), radius=radius, **how)


def distance_within(pieces: Sequence[Piece], saves: Path) -> dict[str, float]:
    """By piece, the largest distance of one of its rows to its own nearest pick: at most twice the best possible."""
    return {piece.name: float(_load(saves, number).radii[-1]) for number, piece in enumerate(pieces)}


def _save_of(saves: Path, number: int) -> Path:
    return saves / f"piece-{number:06d}"


def _load(saves: Path, number: int) -> Picks:
    save = _save_of(saves, number)
    return Picks(np.load(save / "rows.npy"), np.load(save / "radii.npy"))


def _lengthen(radii: np.ndarray, size: int) -> np.ndarray:
    """`radii` cut or filled with zeros to `size`."""
    return np.pad(radii[:size], (0, max(size - len(radii), 0)))
