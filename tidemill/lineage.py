"""The lineage of a row, from the artifacts of a workspace: the current directory."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.lib import artifacts
from stages.lib.errors import BadInput
from stages.lib.records import Row


class Link(NamedTuple):
    """One step of a row's history: which file and artifact it lies in, and its fields."""

    title: str
    row: Row


def chain(row_id: str) -> list[Link]:
    """Title and fields of every link from the row `row_id` (or a start of it) back to its function.

    Raises `BadInput` if no row or several rows match, and `artifacts.Damaged` if an artifact on the way differs from
    its seal.
    """
    links: list[Link] = []
    row_id = _evolved(row_id, links)
    instance = _first("data/dataset", ["train.parquet", "validation.parquet"], "id", row_id, links)
    verdict = _first("data/verdicts/*", ["verdicts.parquet"], "id", row_id, links)
    if verdict:
        if verdict["tests"]:
            ran = {"tests": "\n".join(verdict["tests"]), "outcome": verdict["execution"] or "not run"}
            links.append(Link("the tests, run by judge", ran))
        _first("data/verdicts/*", ["exchanges.parquet"], "request", verdict["judge_request"], links)
        _ballots(verdict, links)
    candidate = _first("data/candidates/*", ["candidates.parquet"], "id", row_id, links)
    if candidate:
        _first("data/candidates/*", ["exchanges.parquet"], "request", candidate["request"], links)
    made = instance or verdict or candidate
    function_id = made["function_id"] if made else row_id
    _first("data/candidates/*", ["sources.parquet"], "id", function_id, links)
    _first("data/coreset", ["coreset.parquet"], "id", function_id, links)
    _first("data/corpus", ["corpus.parquet"], "id", function_id, links)
    _first("data/functions", ["functions.parquet"], "id", function_id, links)
    if not links:
        raise BadInput(f"no row in this workspace has the id {row_id!r}; `make pull` may bring more")
    return links


def _evolved(row_id: str, links: list[Link]) -> str:
    """The id of an evolved row's seed, adding its parents to the links; for any other row, its own id."""
    files = ["train.parquet", "validation.parquet", "eliminated.parquet"]
    while row := _first("data/evolved/*", files, "id", row_id, links):
        row_id = row["id"]
        if not row["parent"]:
            break
        _first("data/evolved/*", ["exchanges.parquet"], "request", row["evolve_request"], links)
        _first("data/evolved/*", ["answers/exchanges.parquet"], "request", row["request"], links)
        _first("data/evolved/*", ["judge/exchanges.parquet"], "request", row["judge_request"], links)
        row_id = row["parent"]
    return row_id


def _first(pattern: str, files: list[str], column: str, key: str, links: list[Link]) -> Row | None:
    """The row whose `column` starts with `key`, from the first artifact that has one; appended to `links`."""
    if not key:
        return None
    for path in sorted(Path().glob(pattern)):
        if not (path / artifacts.SEAL).is_file():
            continue
        artifact = artifacts.open(path)
        for file in files:
            if not artifact.has(file):
                continue  # some files exist only if params asked for them
            table = pa.concat_tables(map(pq.read_table, artifact.parts(file)))
            rows = _matching(table, column, key, f"{path / file}")
            if rows:
                links.append(Link(f"{path / file}   root {artifact.root[:16]}   stage {artifact.stage}", rows[0]))
                return rows[0]
    return None


def _ballots(verdict: Row, links: list[Link]) -> None:
    """Each panel judge's rulings on the row before the vote, and the exchanges of all but the first."""
    artifact = artifacts.open(f"data/verdicts/{verdict['round']}")
    if all(entry["path"] != "ballots.parquet" for entry in artifact.files):
        return
    table = pq.read_table(artifact.file("ballots.parquet"))
    for ballot in table.filter(pc.equal(table["id"], verdict["id"])).to_pylist():
        number = ballot["judge"]
        links.append(Link(f"ballot of judge {number}, {ballot['model']}", ballot))
        if number > 1:
            further = [f"judge-{number}/exchanges.parquet"]
            _first(str(artifact.path), further, "request", ballot["request"], links)


def _matching(table: pa.Table, column: str, key: str, where: str) -> list[Row]:
    found = table.filter(pc.starts_with(table[column], key))
    distinct = pc.unique(found[column]).to_pylist()
    if len(distinct) > 1:
        raise BadInput(f"{len(distinct)} rows of {where} start with {key!r}; give more of the id")
    return list(found.to_pylist())
