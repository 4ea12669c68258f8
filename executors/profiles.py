"""Profiles: named sets of values, in profiles/NAME.yaml, that go over params.yaml's.

`make PROFILE=NAME` resolves the profile (with what it `extends`) into profile.yaml, where stages and DVC read it. So
params.yaml and its comments stay as they are, and a bare `dvc repro` runs under the same values as `make`.
"""

import json
import re
from pathlib import Path
from typing import Any

from executors.tracking import git
from stages.lib import artifacts, params
from stages.lib.errors import BadInput

FOLDER = Path("profiles")
DEFAULT = "default"  # no profile
PIPELINE = Path("dvc.yaml")
# Keys that dvc.yaml tracks apart from their section. DVC refuses a missing key, so each has a mapping of its own here,
# which may be empty.
APART = {"evolve": ("rounds", "validation")}
NOTHING = "stages/lib/methods/foreign/method.yaml"  # a dep where there is none to name
HEADER = f"""\
# The profile in force: values that go over params.yaml's. `make PROFILE=NAME` writes this file and `make
# PROFILE={DEFAULT}` empties it. Don't edit it, the next `make` writes it again: put your own values in
# profiles/NAME.yaml. Every section is listed, even empty, because DVC compares each stage's sections here too.
"""


def refresh() -> list[str]:
    """Write profile.yaml again if params.yaml or the profile's own file has changed, and describe what is in force, as
    lines; none without a profile."""
    names = in_force()
    held = params.merged()
    write(names)
    return [*changes(held, params.merged()), *describe()]


def in_force() -> list[str]:
    """The names of the profiles in force."""
    held = params.read(params.PROFILE) if params.PROFILE.is_file() else {}
    return list(held.get("profile", []))


def describe() -> list[str]:
    """Which profile is in force and how many keys it sets, as one line; none without a profile."""
    names, count = in_force(), len(leaves(params.layer()))
    if not names:
        return []
    keys = f"{count} key" + ("s" if count != 1 else "")
    return [f"profile {', '.join(names)}: {keys} over params.yaml (`make PROFILE={DEFAULT}` drops it)"]


def known() -> list[str]:
    """The names of all profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def resolve(name: str) -> dict[str, Any]:
    """The values of profiles/NAME.yaml, over those of the profile that it `extends`.

    Raises `BadInput` for an unknown profile, one that extends itself, or a section that params.yaml does not have.
    """
    return _resolve(name, ())


def _resolve(name: str, above: tuple[str, ...]) -> dict[str, Any]:
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        raise BadInput(f"no profile {name!r}; choose one of {', '.join([*known(), DEFAULT])}")
    if name in above:
        raise BadInput(f"{file}: the profile extends itself by way of {', '.join(above)}; remove one `extends`")
    own = params.read(file)
    below = _resolve(str(own.pop("extends")), (*above, name)) if "extends" in own else {}
    sections = params.read().keys()
    for section, held in own.items():
        if section not in sections:
            raise BadInput(f"{file}: {params.FILE} has no section {section!r}")
        if not isinstance(held, dict):
            raise BadInput(f"{file}: {section} must hold keys and values")
    return dict(params.over(below, own))


def mistakes(values: dict[str, Any]) -> list[str]:
    """Where profile.yaml is not what DVC needs for the parameters `values`; nothing outside a repository."""
    if not PIPELINE.is_file():
        return []
    if not params.PROFILE.is_file():
        return [f"{params.PROFILE} is missing; `make` writes it, or `git checkout {params.PROFILE}`"]
    told, read = params.read(params.PROFILE).get("reads", {}), _reads(values, {})
    stages, mend = params.read(PIPELINE)["stages"], "run `make`, which brings it up to date"
    found = []
    if "train" in stages:
        found += [
            f"train.{key}: {read[name]}, but {params.PROFILE} tells DVC {said}; {mend}"
            for key, name in (("file", "train"), ("mix", "mix"))
            if (said := told.get(name)) != read[name]
        ]
    if "assemble" in stages and (said := told.get("corpus")) != read["corpus"]:
        found.append(f"generate.foreign: {read['corpus']} is read, but {params.PROFILE} tells DVC {said}; {mend}")
    if "generate" in stages and told.get("generate") != read["generate"]:
        found.append(f"generate.until: {params.PROFILE} tells DVC to watch {told.get('generate')} for it; {mend}")
    return found


def unused() -> list[str]:
    """A line for each uncommitted change of params.yaml without effect, because the profile in force sets the key."""
    layer = leaves(params.layer())
    committed = git.run("show", f"HEAD:./{params.FILE}") if layer else None
    if committed is None or committed.returncode or committed.stdout == params.FILE.read_text(encoding="utf-8"):
        return []
    from ruamel.yaml import YAML

    here, before = params.read(), YAML(typ="safe", pure=True).load(committed.stdout)
    found = [path for path in layer if _at(here, path) != _at(before, path)]
    name = ", ".join(in_force())
    return [
        f"{params.FILE}: {'.'.join(path)}: {_short(_at(here, path))} has no effect, since profile {name} sets "
        f"{_short(layer[path])}; change it in profiles/, or drop the profile (`make PROFILE={DEFAULT}`)"
        for path in found
    ]


def changes(before: Any, after: Any) -> list[str]:
    """A line for each value that differs: `coreset.k: 160 -> 40`."""
    old, new = leaves(before), leaves(after)
    return [
        f"{'.'.join(path)}: {_short(old.get(path))} -> {_short(new.get(path))}"
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    ]


def leaves(values: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The values of nested mappings by their paths; an empty mapping is a value, unless it is the whole."""
    if not isinstance(values, dict) or (path and not values):
        return {path: values}
    return {place: leaf for key, own in values.items() for place, leaf in leaves(own, (*path, str(key))).items()}


def text(names: list[str], values: dict[str, Any]) -> str:
    """profile.yaml with the profiles `names` in force over `values`, the content of params.yaml."""
    layer: dict[str, Any] = {}
    for name in names:
        layer = params.over(layer, resolve(name))
    head = {"profile": names, "reads": _reads(values, layer)}
    return HEADER + to_yaml(head | _apart(values, layer))


def write(names: list[str]) -> None:
    """Write profile.yaml with the profiles `names` in force, unchecked, a later one over an earlier."""
    wanted = text(names, params.read())
    if not params.PROFILE.is_file() or params.PROFILE.read_text(encoding="utf-8") != wanted:
        artifacts.write_text(params.PROFILE, wanted)


def _reads(values: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """What dvc.yaml takes from here, since DVC cannot take it from params.yaml or else from a profile.

    - train: the path of train.file, a dep.
    - mix: the hash of each file or dataset of train.mix and of train.validation_file, whose number deps cannot follow.
      "" stands for one that is not there, which train refuses.
    - generate: one more section of parameters for generate, which asks the judges if generate.until is set.
    - corpus, coreset, embeddings: what rows are made from, deps of generate and assemble: the file of generate.foreign
      instead, for which nothing else has to run. The others then name something that is always there.
    """
    train, generate = (params.over(values.get(stage, {}), layer.get(stage, {})) for stage in ("train", "generate"))
    generate = generate if isinstance(generate, dict) else {}
    foreign = generate.get("foreign") or {}
    file, parts = (train.get("file"), train.get("mix") or []) if isinstance(train, dict) else (None, [])
    mixed = [part["file"] for part in parts if isinstance(part, dict) and "file" in part]
    if isinstance(train, dict) and train.get("validation_file"):
        mixed.append(train["validation_file"])
    return {
        "generate": "judge" if generate.get("until") is not None else "generate",
        "corpus": foreign.get("file", "data/corpus"),
        "coreset": NOTHING if foreign else "data/coreset",
        "embeddings": NOTHING if foreign else "data/embeddings",
        "train": file,
        "mix": {name: _hash_of(Path(name)) for name in mixed},
    }


def _hash_of(path: Path) -> str:
    """The hash of a file, or of a sealed dataset's seal; "" for what is not there."""
    file = next((one for one in (path / artifacts.SEAL, path) if one.is_file()), None)
    return artifacts.hash_file(file) if file else ""


def _apart(sections: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    """`layer` with every section, and the keys of APART beside theirs: `evolve_rounds`."""
    found: dict[str, Any] = {}
    for section in sections:
        own = dict(layer.get(section, {}))
        parts = {f"{section}_{key}": {key: own.pop(key)} if key in own else {} for key in APART.get(section, ())}
        found |= {section: own, **parts}
    return found


def to_yaml(values: Any, indent: str = "") -> str:
    """`values` as block YAML with quoted strings, which every reader takes alike: DVC's reads YAML 1.1, ours 1.2."""
    lines = []
    for key, value in values.items():
        word = key if re.fullmatch(r"[A-Za-z_][\w -]*\w|[A-Za-z]", key) else json.dumps(key, ensure_ascii=False)
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{word}:\n{to_yaml(value, indent + '  ')}")
        elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            items = "".join(f"{indent}  - {_flow(one)}\n" for one in value)
            lines.append(f"{indent}{word}:\n{items}")
        else:
            lines.append(f"{indent}{word}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_flow(own)}" for key, own in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_flow(own) for own in value) + "]"
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # without a point it is text to YAML 1.1
    return json.dumps(value, ensure_ascii=False)


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _short(value: Any) -> str:
    text = artifacts.canonical(value)
    return text if len(text) <= 70 else f"{text[:67]}…"
