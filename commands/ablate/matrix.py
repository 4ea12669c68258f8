"""A matrix: profiles/ablations/NAME.yaml, read and checked before anything runs."""

import copy
import difflib
import importlib
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import Field
from ruamel.yaml import YAML

from executors import profiles
from stages.lib import artifacts, params
from stages.lib.errors import BadInput
from stages.lib.measures import registry

FOLDER = Path("profiles/ablations")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # becomes part of a git ref
PIPELINE = Path("dvc.yaml")

Overrides = dict[str, Any]


class Section(params.Section):
    """The section `matrix` of a matrix file."""

    title: str
    question: str
    base: list[str] = Field(default=[])  # profiles laid over params.yaml and the profile in force
    targets: list[str] = Field(default=[])  # the stages to run, with their dependencies; []: the whole pipeline
    budget_usd: Annotated[float, Field(ge=0)] = 0.0
    reference: str = ""  # the run the others are compared with; "": the first
    figures: Annotated[list[str], Field(min_length=1)]
    runs: Annotated[dict[str, Overrides], Field(min_length=2)]
    seeds: list[int] = Field(default=[])  # make every run once with each; the page averages over them
    seeded: list[str] = Field(default=["train.seed"])  # the keys that take the seed


@dataclass(frozen=True)
class Matrix:
    """A checked matrix. `texts` holds each run's whole params.yaml, under which no profile is in force; `repeats` has
    the run that each repetition with another seed belongs to."""

    name: str
    title: str
    question: str
    targets: list[str]
    budget_usd: float
    reference: str
    figures: list[str]
    runs: dict[str, Overrides]
    texts: dict[str, str]
    repeats: dict[str, str]

    def experiment(self, run: str) -> str:
        """The name of `run`'s DVC experiment."""
        return f"{self.name}-{run}"


def load(name: str) -> Matrix:
    """The matrix `name`, with the params of the workspace.

    Raises `BadInput` for an invalid name, an unknown matrix, key, profile, stage or figure, an override of a key that
    params.yaml does not have, and two runs with equal params.
    """
    file, found = FOLDER / f"{name}.yaml", read(name)
    registry.check(found.figures, "figures", f"{file}: figures")
    reference = found.reference or next(iter(found.runs))
    if reference not in found.runs:
        raise BadInput(f"{file}: reference {reference!r} is not a run; choose one of {', '.join(found.runs)}")
    _check_targets(found.targets, file)
    for run in found.runs:
        if not NAME.fullmatch(run):
            raise BadInput(f"{file}: run {run!r}: use only lowercase letters, digits and hyphens")
    runs, repeats = repeat(found)
    below = _laid_over(found.base)
    texts = {run: _params_of(below, overrides, f"{file}: {run}") for run, overrides in runs.items()}
    _refuse_equal(texts, file)
    own = {key: getattr(found, key) for key in ("title", "question", "targets", "budget_usd", "figures")}
    return Matrix(name=name, reference=reference, runs=runs, texts=texts, repeats=repeats, **own)


def repeat(found: Section) -> tuple[dict[str, Overrides], dict[str, str]]:
    """The runs, each once for every seed, and the run that each repetition belongs to; without seeds the runs alone."""
    if not found.seeds:
        return found.runs, {run: run for run in found.runs}
    runs, repeats = {}, {}
    for run, overrides in found.runs.items():
        for seed in found.seeds:
            name = f"{run}-seed{seed}"
            runs[name] = {**overrides, **dict.fromkeys(found.seeded, seed)}
            repeats[name] = run
    return runs, repeats


def check_values(matrix: Matrix) -> None:
    """Raise `BadInput` for a value that a stage would refuse, before any run starts."""
    checked: set[str] = set()  # check sections shared by several runs only once
    with TemporaryDirectory() as folder:
        for run, text in matrix.texts.items():
            file = Path(folder, f"{matrix.name}, run {run}")
            file.write_text(text, encoding="utf-8")
            try:
                for section, held in values(text).items():
                    key = artifacts.digest([section, held])
                    if key not in checked and section != params.SHARED:
                        params.load(section, importlib.import_module(f"stages.{section}").Params, file)
                    checked.add(key)
            except BadInput as error:
                raise BadInput(str(error).replace(f"{folder}/", "matrix ")) from None


def read(name: str) -> Section:
    """The matrix file `name`, unchecked. Raises `BadInput` if it is missing or not a matrix."""
    if not NAME.fullmatch(name):
        raise BadInput(f"matrix {name!r}: use only lowercase letters, digits and hyphens; choose one of {known()}")
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        near = difflib.get_close_matches(name, known().split(", "), n=1)
        raise BadInput(f"no matrix {name!r}{f'; did you mean {near[0]!r}?' if near else ''}; choose one of {known()}")
    return params.load("matrix", Section, file)


def known() -> str:
    """The names of all matrices, on one line."""
    return ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml"))) or "none"


@lru_cache(maxsize=64)
def values(text: str) -> dict[str, Any]:
    """A run's params as plain values; kept, since to read them takes long."""
    return dict(YAML(typ="safe", pure=True).load(text))


def round_trip() -> YAML:
    """A YAML reader and writer that keeps comments, quotes and long lines.

    Unquoted, a regular expression starting with `(?` would be YAML 1.2, which DVC's parser (libyaml) cannot read.
    """
    yaml = YAML(pure=True)
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _laid_over(base: list[str]) -> Any:
    """params.yaml with the profile in force and the profiles `base` merged in."""
    tree = round_trip().load(params.FILE)
    for layer in (params.layer(), *(profiles.resolve(name) for name in base)):
        _merge(tree, layer)
    return tree


def _params_of(below: Any, overrides: Overrides, where: str) -> str:
    """`below` with the `overrides` merged in, as text."""
    tree = copy.deepcopy(below)
    for path, value in overrides.items():
        _set(tree, path, value, where)
    text = io.StringIO()
    round_trip().dump(tree, text)
    return text.getvalue()


def _merge(tree: Any, layer: Any) -> None:
    """`params.over` in place, which keeps the comments."""
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _set(tree: Any, path: str, value: Any, where: str) -> None:
    *parents, leaf = path.split(".")
    for place, part in enumerate([*parents, leaf]):
        keys = list(tree) if isinstance(tree, dict) else []
        if part not in keys:
            near = difflib.get_close_matches(part, keys, n=1)
            held = ".".join(parents[:place]) or params.FILE.name
            meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(keys) or 'no keys'}"
            raise BadInput(f"{where}: {held} has no key {part!r} (of {path}); {meant}")
        if place < len(parents):
            tree = tree[part]
    tree[leaf] = value


def _check_targets(targets: list[str], file: Path) -> None:
    stages = list(params.read(PIPELINE)["stages"])
    for target in targets:
        if target.partition("@")[0] not in stages:
            raise BadInput(f"{file}: targets: no stage {target!r}; choose from {', '.join(stages)}")


def _refuse_equal(texts: dict[str, str], file: Path) -> None:
    seen: dict[str, str] = {}
    for run, text in texts.items():
        key = artifacts.digest(values(text))
        if key in seen:
            raise BadInput(f"{file}: {seen[key]} and {run} have the same params; remove one")
        seen[key] = run
