"""The filter's rules: each says of every row why it is dropped, or None."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from stages.lib import params, progress
from stages.lib.corpus import licenses
from stages.lib.corpus.decontamination import Decontaminator
from stages.lib.corpus.duplicates import near_duplicates
from stages.lib.corpus.functions import operations, parses
from stages.lib.corpus.names import lacks
from stages.lib.errors import BadInput
from stages.lib.records import Row

Positive = Annotated[int, Field(gt=0)]
Rule = Callable[[Sequence[Row]], list[str | None]]
Text = Callable[[Row], str]
Unit = Literal["characters", "tokens", "lines"]

log = logging.getLogger("tidemill.rules")

UNREADABLE = "the rule failed"  # begins the reason of a row that raised something
BLACKLIST = Path(__file__).with_name("blacklist.txt")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BLANK = re.compile(r"\s+")


class NearDuplicates(params.Section):
    """When one row nearly repeats another."""

    threshold: Annotated[float, Field(gt=0, le=1)]
    shingle: Positive
    permutations: Positive


class Contamination(params.Section):
    """How a benchmark's task is recognised, and where benchmarks lie that no package carries."""

    ngram: Positive
    folder: str | None = Field(exclude=True)  # its place; what was checked is recorded by its hash


def measure(code: str, unit: Unit) -> int:
    """The length of `code`; a token is a word or a single sign, as no tokenizer is named for it."""
    if unit == "characters":
        return len(code)
    return len(_TOKEN.findall(code)) if unit == "tokens" else code.count("\n") + 1


def length(least: int, most: int, unit: Unit) -> Rule:
    """Drops code shorter than `least` or longer than `most` (WaveCoder, section 2.3: 50 and 800)."""

    def rule(row: Row) -> str | None:
        found = measure(row["code"], unit)
        return None if least <= found <= most else f"{found} {unit}"

    return _each(rule)


def blacklist(words: Sequence[str]) -> Rule:
    """Drops rows whose code or docstring holds one of `words` as a whole word, in any case."""
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)", re.IGNORECASE)

    def rule(row: Row) -> str | None:
        found = pattern.search(row["code"]) or pattern.search(row["docstring"])
        return found.group() if found else None

    return _each(rule)


def syntax() -> Rule:
    """Drops code that its language's grammar cannot parse, neither by itself nor as a class's member."""
    return _each(lambda row: None if parses(row["code"], row["language"]) else f"no valid {row['language']}")


def trivial(least_operations: int) -> Rule:
    """Drops code with fewer than `least_operations` operators, calls, choices and loops: stubs, getters, wrappers."""

    def rule(row: Row) -> str | None:
        found = operations(row["code"], row["language"], least_operations)
        return None if found >= least_operations else f"{found} operation{'' if found == 1 else 's'}"

    return _each(rule)


def self_contained() -> Rule:
    """Drops code that does not stand by itself: that belongs to an object, or has a name that is neither its own nor a
    builtin, nor one that the row's imports bring from the standard library."""
    return _each(lambda row: lacks(row["code"], row["imports"], row["language"]))


def license(allowed: Sequence[str], unknown: bool) -> Rule:
    """Drops rows under a licence that is not in `allowed`; a row of unknown licence stays if `unknown`.

    A licence is an SPDX expression: one of its choices must be allowed. One that is empty or cannot be parsed is
    unknown. Raises `BadInput` for a name in `allowed` that is no licence.
    """
    wanted = licenses.Allowed(allowed)

    def rule(row: Row) -> str | None:
        if has_unknown_license(row):
            return None if unknown else "unknown licence"
        return None if wanted.permits(licenses.parse(row["license"])) else row["license"]

    return _each(rule)


def has_unknown_license(row: Row) -> bool:
    """Whether the row has no licence, or one that cannot be parsed."""
    return licenses.parse(row["license"]) is None


def exact_duplicates(rows: Sequence[Row]) -> list[str | None]:
    """Drops rows whose code, white space apart, is an earlier row's; names that row."""
    first: dict[str, str] = {}
    found: list[str | None] = []
    for row in rows:
        key = without_blanks(row["code"])
        found.append(first.get(key))
        first.setdefault(key, row["id"])
    return found


def without_blanks(code: str) -> str:
    """The code without white space, which tells no two functions apart."""
    return _BLANK.sub("", code)


def near_duplicates_of(text: Text, near: NearDuplicates) -> Rule:
    """Drops rows whose `text` nearly repeats an earlier row's; names that row."""

    def rule(rows: Sequence[Row]) -> list[str | None]:
        found = near_duplicates([text(row) for row in rows], near.threshold, near.shingle, near.permutations)
        return [None if earlier is None else str(rows[earlier]["id"]) for earlier in found]

    return rule


def contamination(text: Text, benchmarks: Decontaminator) -> Rule:
    """Drops rows whose `text` is a benchmark's; names the benchmark and the task."""
    return _each(lambda row: benchmarks.matches(text(row)))


def apply(steps: dict[str, Rule], rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that every rule keeps, and the others with `rule` and `reason`; each rule sees what is left."""
    dropped: list[Row] = []
    with progress.work("applying rules", len(steps), "rules", even=False) as work:
        for name, rule in steps.items():
            pairs = list(zip(rows, rule(rows), strict=True))
            dropped += [row | {"rule": name, "reason": reason} for row, reason in pairs if reason is not None]
            rows = [row for row, reason in pairs if reason is None]
            work.add()
            work.note(kept=f"{len(rows):,} rows after {name}")
            log.debug("%s: %d rows left", name, len(rows))
    return rows, dropped


def read_blacklist(file: Path = BLACKLIST) -> list[str]:
    """The words of a blacklist file, one a line; blank lines and lines that begin with # do not count.

    Raises `BadInput` if it is absent or holds none.
    """
    if not file.is_file():
        raise BadInput(f"blacklist {file} does not exist; correct filter.blacklist in params.yaml")
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    words = [line for line in lines if line and not line.startswith("#")]
    if not words:
        raise BadInput(f"blacklist {file} holds no word; write one a line")
    return words


def _each(rule: Callable[[Row], str | None]) -> Rule:
    def say(row: Row) -> str | None:
        try:
            return rule(row)
        except Exception as error:  # whatever it is, it is this row's alone
            return f"{UNREADABLE}: {error!r}"

    return lambda rows: list(map(say, rows))
