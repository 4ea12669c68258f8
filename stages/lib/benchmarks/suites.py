"""The benchmarks that a model can be asked: one YAML file each in suites/, its problems in a pinned file."""

import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.lib import artifacts, published
from stages.lib.benchmarks import plus
from stages.lib.errors import BadInput

FOLDER = Path(__file__).parent / "suites"
CHECK_ALIAS = "tidemill_checked"
DATA = Path("shared/data")


@dataclass(frozen=True)
class Problem:
    """One function to be written: `prompt` is its head, `test` defines check(candidate).

    HumanEvalPack has more: the head without its docstring, a body with a bug, the docstring's text, and what stands
    before a Go test. MBPP's `setup` is its test_setup_code. EvalPlus's own files have no `test` but an `oracle`:
    inputs, and how answers are compared with the canonical solution's (expected.py).
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
    oracle: str = ""

    @property
    def name(self) -> str:
        """What the prompt calls the function."""
        return "check" if self.entry_point == CHECK_ALIAS else self.entry_point

    @property
    def opening(self) -> str:
        """How a Python function begins of which only the name is given."""
        return f"def {self.name}("


@dataclass(frozen=True)
class Form:
    """A form in which a problem is asked; "{prompt}" in `text` and `input` stands for the problem's.

    `stop` are regular expressions; an answer ends where one matches.
    """

    text: str
    stop: tuple[str, ...]
    input: str = ""
    begin: str = ""  # of the response; the model goes on from there
    describe: str = ""  # HumanEvalExplain's first step
    describe_input: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's problems by task id, in its own order, and the forms in which they are asked."""

    name: str
    language: str
    sha256: str
    problems: dict[str, Problem]
    forms: dict[str, Form]
    family: str = "humaneval"  # whose rules of prompting and post-processing hold

    @property
    def describes(self) -> bool:
        """Whether a solution is described first, and written from the description then."""
        return self.family == "humanevalexplain"

    def first(self, count: int) -> list[Problem]:
        """The first `count` problems. Raises `BadInput` if there are fewer."""
        problems = list(self.problems.values())
        if not 1 <= count <= len(problems):
            raise BadInput(f"{count} problems asked for, but {self.name} has {len(problems)}; set 1 to {len(problems)}")
        return problems[:count]

    def describe(self, task_ids: set[str]) -> str:
        """Which part of the benchmark these tasks are, in words shown next to every score."""
        count, every = len(task_ids), list(self.problems)
        if count == len(every):
            return f"all {count} problems of {self.name}"
        the = "the first " if task_ids == set(every[:count]) else ""
        return f"{the}{count} of {len(every)} problems of {self.name}"


def known() -> list[str]:
    """The names of the benchmarks that there are."""
    return sorted(name for path in FOLDER.glob("*.yaml") for name in _names(path))


def check_name(name: str, where: str = "") -> None:
    """Raise `BadInput`, naming the key `where`, if there is no benchmark `name`."""
    if name not in known():
        said = f"{where}: " if where else ""
        raise BadInput(f"{said}no benchmark {name!r}; choose one of {', '.join(known())}")


def _names(path: Path) -> list[str]:
    languages = published.entry(_spec(path)["data"]).get("languages")
    return [f"{path.stem}-{language}" for language in languages] if languages else [path.stem]


def _spec(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(path))


def load(name: str, folder: Path = DATA, sha256: str = "") -> Benchmark:
    """The benchmark `name`; `folder` holds the data of those that come in no package; `sha256` says which release
    of one that has several is meant.

    Raises `BadInput` for an unknown name, a package that is not installed, a data file that is missing, is not
    the pinned one or cannot be read.
    """
    check_name(name)
    stem, _, language = name.partition("-")
    spec = _spec(FOLDER / f"{stem}.yaml")
    data = published.entry(spec["data"])
    one = data["languages"][language] if language else data
    if "files" in data:
        file, pinned = _release(folder, data, sha256), sha256
    else:
        file = published.in_package(data["package"], one["file"]) if "package" in data else folder / one["file"]
        pinned = one["sha256"]
        _check(file, pinned, data.get("source", "install its package again (`make setup`)"))
    read = _READERS[spec.get("reader", "humaneval")]
    problems = {problem.task_id: problem for problem in (read(row, spec) for row in published.rows(file))}
    shown = f"{spec['name']} ({one['name']})" if language else spec["name"]
    family = spec.get("family", stem)
    return Benchmark(shown, language or spec["language"], pinned, problems, _forms(spec), family)


def _forms(spec: dict[str, Any]) -> dict[str, Form]:
    given = spec["forms"]
    told = _spec(FOLDER / f"{given}.yaml")["forms"] if isinstance(given, str) else given
    return {form: Form(**{**fields, "stop": tuple(fields["stop"])}) for form, fields in told.items()}


def _release(folder: Path, data: dict[str, Any], sha256: str) -> Path:
    """The file of the release with this hash."""
    found = {artifacts.hash_file(file): file for file in sorted(folder.glob(data["files"]))}
    if not found:
        raise BadInput(f"{folder / data['files']} is missing; {data['source']}")
    if sha256 not in found:
        known = "; ".join(f"{file} has {one}" for one, file in found.items())
        raise BadInput(
            f"{data['name']} has several releases; set data_sha256 (now {sha256 or 'empty'}) to one of them: {known}"
        )
    return found[sha256]


def _check(file: Path, sha256: str, repair: str) -> None:
    if not file.is_file():
        raise BadInput(f"{file} is missing; {repair}")
    found = artifacts.hash_file(file)
    if found != sha256:
        raise BadInput(f"{file} is not the pinned data: sha256 {found}, pinned {sha256}; {repair}")


def _humaneval(row: dict[str, Any], _spec: dict[str, Any]) -> Problem:
    return Problem(row["task_id"], row["prompt"], row["entry_point"], row["canonical_solution"], row["test"])


def _pack(row: dict[str, Any], spec: dict[str, Any]) -> Problem:
    return replace(
        _humaneval(row, spec),
        declaration=row["declaration"],
        buggy_solution=row["buggy_solution"],
        docstring=row["docstring"],
        setup=row.get("test_setup", ""),
    )


def _mbpp(row: dict[str, Any], _spec: dict[str, Any]) -> Problem:
    """The prompt is a comment of the text and the first test (Fried et al. 2022, arXiv 2204.05999, section 4)."""
    code = row["code"].replace("\r\n", "\n")
    tests = [test.replace("\r\n", "\n") for test in row["test_list"]]
    names = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    entry = next((name for name in names if re.search(rf"\b{name}\s*\(", tests[0])), names[-1])
    # The first line lets a function be named check itself (MBPP/56 and 349): its entry point is then CHECK_ALIAS.
    check = "\n".join(
        ["def check(candidate):", f"    {entry} = candidate", *(textwrap.indent(test, "    ") for test in tests), ""]
    )
    return Problem(
        task_id=f"MBPP/{row['task_id']}",
        prompt=f'"""\n{row["text"]}\n{tests[0]}\n"""\n',
        entry_point=CHECK_ALIAS if entry == "check" else entry,
        canonical_solution=code,
        test=check,
        setup=row["test_setup_code"].replace("\r\n", "\n"),
    )


def _plus(row: dict[str, Any], spec: dict[str, Any]) -> Problem:
    problem = Problem(**plus.fields(row, spec))
    return replace(problem, entry_point=CHECK_ALIAS) if problem.entry_point == "check" else problem


_READERS = {"humaneval": _humaneval, "humanevalpack": _pack, "mbpp": _mbpp, "plus": _plus}
