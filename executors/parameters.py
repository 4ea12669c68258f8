"""Checks all of params.yaml, and the profile over it, before any stage runs, so that a typo in `train` does not first
cost a run of `generate`.

`make`, `make plan` and `make evolve` do this, and each stage of a bare `dvc repro`. Inside an image nothing is checked:
the machine that started it has done so, and an image lacks the libraries that other stages import.
"""

import difflib
import importlib
import os
import sys
from pathlib import Path

import executors
import stages
from executors import profiles
from executors.tracking import rounds
from stages.lib import params
from stages.lib.errors import BadInput

CHECKED = "TIDEMILL_PARAMS_CHECKED"  # set for the stages that this process starts


def check() -> None:
    """Raise `BadInput`, naming every mistake, for a section that is unknown or that its stage would refuse, and for
    rounds other than those of dvc.yaml."""
    if executors.IMAGE in os.environ or CHECKED in os.environ:
        return
    refuse_mistakes()
    for line in profiles.unused():
        print(line, file=sys.stderr)
    os.environ[CHECKED] = "1"


def refuse_mistakes() -> None:
    """`check`, whether or not a parent of this process has done it."""
    values = params.merged()
    known = stage_names()
    found = [_unknown(section, known) for section in values if section not in known and section != params.SHARED]
    for stage in known:
        try:
            _read(stage)
        except BadInput as error:
            found += [line.strip() for line in str(error).splitlines() if line != f"{params.FILE}:"]
    if not found:
        found = [*rounds.mistakes(values), *profiles.mistakes(values)]
    if found:
        raise BadInput("\n  ".join([f"{params.FILE}:", *dict.fromkeys(found)]))


def stage_names() -> list[str]:
    """Every stage of stages/."""
    return sorted(path.stem for path in Path(stages.__file__).parent.glob("[a-z]*.py"))


def _read(stage: str) -> None:
    """Read the section as its stage does, if it has one; some stages check more than types, in `read_params`."""
    module = importlib.import_module(f"stages.{stage}")
    if hasattr(module, "read_params"):
        module.read_params()
    elif hasattr(module, "Params"):
        params.load(stage, module.Params)


def _unknown(section: str, known: list[str]) -> str:
    near = difflib.get_close_matches(section, known, n=1)
    return f"{section}: no stage reads this section; " + (f"did you mean {near[0]!r}?" if near else "remove it")
