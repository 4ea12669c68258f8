"""Merges an overlay of profiles/ into params.yaml, keeping its comments: `make profile NAME=openai`.

params.yaml stays the only place that decides what runs, so `git diff` shows what a profile changed and
`git checkout params.yaml` undoes it.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib import artifacts, params
from stages.lib.errors import BadInput

FOLDER = Path("profiles")


def main(arguments: list[str]) -> None:
    """Apply the profile that `arguments` names. Raises `BadInput` if there is no such profile."""
    if len(arguments) != 1:
        raise BadInput(f"name one profile: make profile NAME=…; choose one of {_known()}")
    print("\n".join(apply(arguments[0])) or "params.yaml already holds this profile")


def apply(name: str, file: Path = params.FILE) -> list[str]:
    """Merge profiles/NAME.yaml into `file` and return a line for each changed value.

    Mappings are merged key by key, anything else is replaced. Raises `BadInput` for an unknown profile, or a section
    that `file` does not have.
    """
    yaml = round_trip()
    try:
        values = yaml.load(file)
    except YAMLError as error:
        raise BadInput(f"{file} is not valid YAML: {error}") from None
    changed = merge(values, name, file)
    with file.open("w", encoding="utf-8") as stream:
        yaml.dump(values, stream)
    return changed


def round_trip() -> YAML:
    """A YAML reader and writer that keeps comments, quotes and long lines.

    Unquoted, a regular expression starting with `(?` would be YAML 1.2, which DVC's parser (libyaml) cannot read.
    """
    yaml = YAML(pure=True)
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def merge(values: Any, name: str, file: Path = params.FILE) -> list[str]:
    """Merge profiles/NAME.yaml, after the profile that it `extends`, into `values`, the content of `file`."""
    overlay_file = FOLDER / f"{name}.yaml"
    if not overlay_file.is_file():
        raise BadInput(f"no profile {name!r}; choose one of {_known()}")
    overlay = params.read(overlay_file)
    below = merge(values, overlay.pop("extends"), file) if "extends" in overlay else []
    if unknown := sorted(overlay.keys() - values.keys()):
        raise BadInput(f"{overlay_file}: {file} has no section {unknown[0]!r}")
    return [*below, *_merge(values, overlay, "")]


def _merge(target: Any, overlay: dict[str, Any], prefix: str) -> list[str]:
    changed: list[str] = []
    for key, value in overlay.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            changed += _merge(target[key], value, f"{name}.")
        elif target.get(key) != value:
            changed.append(f"{name}: {artifacts.canonical(target.get(key))} -> {artifacts.canonical(value)}")
            target[key] = value
    return changed


def _known() -> str:
    return ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml"))) or "none"
