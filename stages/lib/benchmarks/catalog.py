"""The benchmarks that a model can be asked: one YAML file each beside this one, its problems in a pinned file."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.errors import BadInput

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Problem:
    """One function to be written: `prompt` is its head, `test` defines check(candidate).

    HumanEvalPack has more: the head without its docstring, a body with a bug, the docstring's text, and what stands
    before a Go test. MBPP's `setup` is its test_setup_code.
    """

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str
    declaration: str = ""
    buggy_solution: str = ""
    docstring: str = ""
    setup: str = ""


@dataclass(frozen=True)
class Form:
    """A form in which a problem is asked; "{prompt}" in `text` and `input` stands for the problem's.

    `stop` are regular expressions; an answer is over where one matches.
    """

    text: str
    stop: tuple[str, ...]
    input: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's problems by task id, in its own order, and the forms in which they are asked."""

    name: str
    language: str
    sha256: str
    problems: dict[str, Problem]
    forms: dict[str, Form]

    def first(self, count: int) -> list[Problem]:
        """The first `count` problems. Raises `BadInput` if there are fewer."""
        problems = list(self.problems.values())
        if not 1 <= count <= len(problems):
            raise BadInput(f"{count} problems asked for, but {self.name} has {len(problems)}; set 1 to {len(problems)}")
        return problems[:count]

    def describe(self, task_ids: set[str]) -> str:
        """What part of the benchmark these tasks are, in words that stand beside every score."""
        count, every = len(task_ids), list(self.problems)
        if count == len(every):
            return f"all {count} problems of {self.name}"
        the = "the first " if task_ids == set(every[:count]) else ""
        return f"{the}{count} of {len(every)} problems of {self.name}"


def known() -> list[str]:
    """The names of the benchmarks that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Benchmark:
    """The benchmark `name`.

    Raises `BadInput` for an unknown name, a package that is not installed, a data file that is missing, is not
    the pinned one or cannot be read.
    """
    from ruamel.yaml import YAML

    if name not in known():
        raise BadInput(f"no benchmark {name!r}; there are {', '.join(known())}")
    spec = YAML(typ="safe", pure=True).load(FOLDER / f"{name}.yaml")
    file = _in_package(spec["package"], spec["file"])
    _check(file, spec["sha256"])
    problems = {row["task_id"]: _problem(row) for row in _rows(file)}
    forms = {form: Form(**{**fields, "stop": tuple(fields["stop"])}) for form, fields in spec["forms"].items()}
    return Benchmark(spec["name"], spec["language"], spec["sha256"], problems, forms)


def _in_package(package: str, file: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise BadInput(f"the package {package} is not installed; run `make setup`")
    return Path(spec.origin).parent / file


def _check(file: Path, sha256: str) -> None:
    if not file.is_file():
        raise BadInput(f"{file} is missing; install its package again (`make setup`)")
    found = artifacts.hash_file(file)
    if found != sha256:
        raise BadInput(
            f"{file} is not the pinned data: sha256 {found}, pinned {sha256}; install its package again (`make setup`)"
        )


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(**{field: row[field] for field in Problem.__annotations__})
