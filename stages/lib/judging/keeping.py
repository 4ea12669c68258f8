"""Which of several answers to one instruction are kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from stages.lib import records
from stages.lib.corpus.duplicates import near_duplicates
from stages.lib.records import Row

Keep = Literal["all", "passing", "best"]
ALIKE = 0.8  # Jaccard similarity of two solutions' shingles: one of them is enough, as in assemble
PASSED_OVER = pa.schema([*records.VERDICT, ("instead", pa.string())])  # the id of the answer that is kept


def choose(verdicts: Sequence[Row], certain: Mapping[str, float], keep: Keep) -> tuple[list[Row], list[Row]]:
    """The verdicts that are kept, and those passed over, with the id of the answer `instead`.

    Of several answers to one question that pass, `passing` keeps those that are not nearly alike, `best` the one of
    which the judges are most `certain` (by id), and of equals the shortest. An answer that fails stays, as a failure.
    """
    passed: dict[str, list[Row]] = {}
    for row in verdicts:
        if row["passed"] and row.get("question"):
            passed.setdefault(row["question"], []).append(row)
    instead: dict[str, str] = {}
    for rows in passed.values() if keep != "all" else ():
        ranked = sorted(rows, key=lambda row: (-certain.get(row["id"], 0.0), len(row["solution"]), row["id"]))
        if keep == "best":
            instead |= {row["id"]: ranked[0]["id"] for row in ranked[1:]}
            continue
        found = near_duplicates([row["solution"] for row in ranked], ALIKE)
        instead |= {
            row["id"]: ranked[place]["id"] for row, place in zip(ranked, found, strict=True) if place is not None
        }
    kept = [row for row in verdicts if row["id"] not in instead]
    return kept, [{**row, "instead": instead[row["id"]]} for row in verdicts if row["id"] in instead]


def count(verdicts: Sequence[Row], passed_over: Sequence[Row]) -> dict[str, Any]:
    """For the metrics: questions with several answers, those with one that passes, answers passed over; {} without."""
    asked = Counter(row["question"] for row in verdicts if row.get("question"))
    several = {question for question, answers in asked.items() if answers > 1}
    passing = {row["question"] for row in verdicts if row["passed"] and row.get("question") in several}
    told = {"questions": len(several), "with_one_that_passes": len(passing), "passed_over": len(passed_over)}
    return {"answers": told} if several else {}
