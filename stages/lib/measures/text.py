"""Figures of the texts alone: repetition, n-grams, lengths, mixes."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from stages.lib.corpus import rules
from stages.lib.records import Row

PERCENTILES = (5, 50, 95)


def duplicates(rows: Sequence[Row], near: Sequence[Row]) -> dict[str, Any]:
    """Shares of `rows` that repeat an earlier one: exactly, white space apart, and nearly (the rows `near`, which
    assemble dropped for it; an exact repetition is one of them)."""
    seen: set[str] = set()
    exact = 0
    for row in rows:
        text = "".join(f"{row['instruction']}\0{row['input']}\0{row['output']}".split())
        exact += text in seen
        seen.add(text)
    return {"rows": len(rows), "exact": share(exact, len(rows)), "near": share(len(near), len(rows))}


def distinct_ngrams(texts: Sequence[str], most: int) -> dict[str, float | None]:
    """For n from 1 to `most`: different n-grams over all n-grams, of words in lower case; None where there is none.

    "distinct-n" of Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models",
    https://arxiv.org/abs/1510.03055, section 5; over the whole dataset, no n-gram spans two texts.
    """
    found = {}
    words = [text.lower().split() for text in texts]
    for n in range(1, most + 1):
        grams = [tuple(text[start : start + n]) for text in words for start in range(len(text) - n + 1)]
        found[f"distinct_{n}"] = share(len(set(grams)), len(grams))
    return found


def distinct_openings(texts: Sequence[str], words: int = 5) -> float | None:
    """Different beginnings over all texts, of their first `words` words in lower case; a shorter text counts with all
    that it has. 1 where no two begin alike; None of nothing."""
    return share(len({tuple(text.lower().split()[:words]) for text in texts}), len(texts))


def instructions(rows: Sequence[Row], most: int) -> dict[str, Any]:
    """How alike the rows' instructions are, without input and output: distinct openings, over all and by task, and
    distinct n-grams for n from 1 to `most`."""
    by_task: dict[str, list[str]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row["instruction"])
    every = [row["instruction"] for row in rows]
    return {
        "openings": distinct_openings(every),
        "openings_by_task": {task: distinct_openings(own) for task, own in sorted(by_task.items())},
        **distinct_ngrams(every, most),
    }


def lengths(texts: Sequence[str]) -> dict[str, float]:
    """Mean and percentiles of the lengths, in words and single signs (`corpus.rules.measure`)."""
    import numpy as np

    counts = np.array([rules.measure(text, "tokens") for text in texts], dtype=np.float64)
    marks = np.percentile(counts, PERCENTILES)
    return {
        "mean": round(float(counts.mean()), 4),
        **{f"p{p}": round(float(v), 4) for p, v in zip(PERCENTILES, marks, strict=True)},
    }


def mix(values: Sequence[str]) -> dict[str, float | None]:
    """The share of each value."""
    return {name: share(count, len(values)) for name, count in sorted(Counter(values).items())}


def entropy(values: Sequence[str]) -> float:
    """The Shannon entropy of the shares, in bits: 0 where all values are one, log2(n) for n equal shares."""
    counts = Counter(values).values()
    return round(-sum(count / len(values) * math.log2(count / len(values)) for count in counts) + 0.0, 6)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, None of nothing."""
    return round(part / whole, 6) if whole else None
