"""What a round's rows are made from: functions of the coreset, or what a method uses instead.

Each row has the fields of `records.FUNCTION`, so that its language, source and licence are read the same way; `given`
holds whatever else the method's templates use.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from stages.lib import params
from stages.lib.artifacts import digest
from stages.lib.corpus import commits
from stages.lib.errors import BadInput
from stages.lib.evolution.evolutions import load_evolutions
from stages.lib.methods import bringing
from stages.lib.methods.goal import Until
from stages.lib.methods.method import FOLDER, Method, known
from stages.lib.records import Row
from stages.lib.tasks.draws import draw_share, rendezvous
from stages.lib.tasks.pool import Case, frozen, seed_cases
from stages.lib.tasks.slices import estimate_tokens, take_slice

FILTERS = FOLDER / "commit/filters.yaml"
FOREIGN = "foreign"
Part = TypeVar("Part")


class Commits(params.Section):
    """A local git repository whose history the method `commit` reads. The result records its `name` and `revision`, not
    its path."""

    repository: str | None = Field(exclude=True)
    name: str
    revision: str
    license: str
    kinds: list[Literal["repair", "edit"]] = Field(min_length=1)
    most: int = Field(gt=0)


class Rows(params.Section):
    """The keys of the section `generate` that decide what rows are made from, and how many there are."""

    seed: int = Field(ge=0)
    rounds: int = Field(gt=0)
    rows_per_round: int = Field(gt=0)
    method: Annotated[str, AfterValidator(known)]
    commits: Commits
    foreign: bringing.Foreign | None = params.new(None)
    documentation: Literal["required", "shown", "hidden"]
    max_code_tokens: int = Field(gt=0)
    until: Until | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _has_its_rows(self) -> Self:
        if (self.method == FOREIGN) != (self.foreign is not None):
            raise ValueError("the method foreign and generate.foreign, which names its file, go together; set both")
        return self

    def goes_on(self, number: int) -> bool:
        """Whether round `number` goes on until a target is reached: the last round, if there is a target."""
        return self.until is not None and number == self.rounds


def gather(
    method: Method, chosen: list[Row], cases: list[Case], number: int, wish: Rows
) -> tuple[list[Row], list[Row]]:
    """What the rows of round `number` are made from, and what is set aside on the way to its end; `chosen` are the
    functions of the coreset in its order, `cases` those of the round before. Raises `BadInput` if there is nothing."""
    most, set_aside = wish.rows_per_round, list[Row]()
    if wish.goes_on(number) and method.made_from != "functions":
        raise BadInput(f"generate.until goes along the coreset; rows of the method {method.name} don't: set it to null")
    if method.made_from == "functions":
        limits = most, wish.max_code_tokens, wish.documentation == "required", wish.goes_on(number)
        taken, set_aside = take_slice(chosen, number, wish.rounds, *limits)
        why = f"max_code_tokens = {wish.max_code_tokens} and documentation = {wish.documentation}"
        lack = f"too few of {len(chosen)} functions fit {why}; raise coreset.k"
    elif method.made_from == "commits":
        found, set_aside = commit_rows(wish.commits, wish.max_code_tokens)
        taken = share_out(found, number, wish.rounds, most)
        lack = f"only {len(found)} commits are left; dropped: {_tell(set_aside)}; raise generate.commits.most"
    elif method.made_from == "cases":
        taken = evolved_rows(method, cases or seed_cases(styled=False), most, wish.seed)
        lack = f"no instance of the task {method.task} passed the previous round; raise generate.rows_per_round"
    else:
        taken, lack = blank_rows(method, number, most, wish.seed), ""
    if not taken:
        raise BadInput(f"round {number} has no rows: {lack}")
    return taken, set_aside


def _tell(set_aside: list[Row]) -> str:
    counts = Counter(row["reason"] for row in set_aside).most_common()
    return ", ".join(f"{reason} {count}" for reason, count in counts) or "none"


def blank_rows(method: Method, number: int, count: int, seed: int) -> list[Row]:
    """`count` rows of round `number` that start from nothing but a language, drawn by the row's id."""
    rows = []
    for place in range(count):
        identity = digest({"method": method.name, "round": number, "row": place, "seed": seed})
        language = draw_share(f"language:{seed}:{identity}", method.languages)
        rows.append(_row(identity, language, "", method.name, ""))
    return rows


def evolved_rows(method: Method, cases: Iterable[Case], count: int, seed: int) -> list[Row]:
    """At most `count` rows, each a good case of the method's task with an evolution: every case once, in an order
    drawn by their ids, then every case again with its next evolution."""
    ways = {name: load_evolutions()[name] for name in method.evolutions}
    parents = {case.id: case for case in cases if case.good and case.task == method.task}
    ordered = rendezvous(f"parents:{method.name}", seed, parents, len(parents))
    turns = [(turn, case) for turn in range(len(ways)) for case in ordered]
    rows: list[Row] = []
    for turn, case in turns[:count]:
        way = rendezvous(f"evolution:{case.id}", seed, {name: name for name in ways}, len(ways))[turn]
        identity = digest({"method": method.name, "parent": case.id, "evolution": way})
        row = _row(identity, case.language, case.answer["instruction"], f"{method.name} of {case.origin}", case.id)
        rows.append({**row, "given": {"evolution": ways[way].ask}, "parent": case})
    return rows


def commit_rows(settings: Commits, most_tokens: int) -> tuple[list[Row], list[Row]]:
    """A row for each commit of the history that stands the filters, the newest first, and those set aside: id,
    reason, length in (estimated) tokens. Raises `BadInput` for a repository, revision or licence that will not do."""
    if settings.repository is None:
        raise BadInput("generate.commits.repository: null; the method commit needs a git repository on this machine")
    filters = commits.read_filters(FILTERS)
    if settings.license not in filters.licenses:
        raise BadInput(
            f"generate.commits.license: {settings.license!r} is not one of {', '.join(filters.licenses)} "
            f"({FILTERS}); only code under a known permissive licence is used"
        )
    kept, aside = commits.read(
        Path(settings.repository), settings.revision, filters, [str(kind) for kind in settings.kinds], settings.most
    )
    rows: list[Row] = []
    set_aside = [{"id": commit, "reason": reason, "tokens": 0} for commit, reason in aside]
    for change in kept:
        tokens = max(map(estimate_tokens, (change.before, change.after)))
        if tokens > most_tokens:
            set_aside.append({"id": change.commit, "reason": "too long", "tokens": tokens})
            continue
        source = f"{settings.name}@{change.commit}"
        identity = digest({"before": change.before, "after": change.after, "message": change.message})
        row = _row(identity, change.language, change.after, source, change.path, change.line, change.name)
        given = {"before": change.before, "message": change.message.rstrip(".")}
        row |= {"docstring": change.message, "license": settings.license, "imports": change.imports}
        rows.append({**row, "given": given})
    return list({row["id"]: row for row in rows}.values()), set_aside


def freeze(
    method: Method, cases: Iterable[Case], rows: Iterable[Row], each: int, most_characters: int, styled: bool
) -> tuple[list[Case], str]:
    """The round's example pool and its hash: the tasks' own, or the method's examples with its good cases of the round
    before, or with those that its rows evolve."""
    if method.task is None:
        return frozen(cases, each, most_characters, styled)
    if method.made_from == "cases":
        pool = [*method.shown(), *{row["parent"].id: row["parent"] for row in rows}.values()]
    else:
        good = {case.id: case for case in cases if case.good and case.length <= most_characters}
        pool = [*method.shown(), *rendezvous("pool", 0, good, each)]
    return pool, digest([asdict(case) for case in pool])


def share_out(rows: list[Part], number: int, rounds: int, most: int) -> list[Part]:
    """Round `number`'s part of `rows`: `most`, or its even share where they do not suffice for all `rounds`."""
    size = min(most, max(1, math.ceil(len(rows) / rounds)))
    return rows[(number - 1) * size : number * size]


def _row(identity: str, language: str, code: str, source: str, path: str, line: int = 0, name: str = "") -> Row:
    return {
        "id": identity,
        "language": language,
        "name": name,
        "code": code,
        "docstring": "",
        "source": source,
        "path": path,
        "line": line,
        "license": "",
        "imports": "",
    }
