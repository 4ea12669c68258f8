"""The rounds of generate, judge and assemble: params.yaml counts them, and dvc.yaml has a stage for each."""

from pathlib import Path
from typing import Any

from stages.lib import params

FILE = Path("dvc.yaml")


def mistakes(values: dict[str, Any]) -> list[str]:
    """Where `values`, the content of params.yaml, and dvc.yaml disagree; nothing if dvc.yaml lacks one of the three."""
    stages = params.read(FILE)["stages"] if FILE.is_file() else {}
    if not {"generate", "judge", "assemble"} <= stages.keys():
        return []
    here = [int(key) for key in stages["generate"]["foreach"]]
    add = f"{FILE} has {len(here)}; add lines there (its comment at `generate` says which), or set {len(here)} here"
    found = []
    if values["generate"]["rounds"] != len(here):
        found.append(f"generate.rounds: {values['generate']['rounds']} rounds, but {add}")
    if sorted(values["assemble"]["rounds"]) != here:
        found.append(f"assemble.rounds: {values['assemble']['rounds']}, but {FILE} has the rounds {here}; name these")
    for stage, named in (("judge", stages["judge"]["foreach"]), ("assemble", _assembled(stages["assemble"]["deps"]))):
        if sorted(int(key) for key in named) != here:
            found.append(f"generate.rounds: {FILE} has the rounds {here} for generate, but {list(named)} for {stage}")
    return found


def _assembled(deps: list[str]) -> list[str]:
    folder = "data/verdicts/"
    return [dep.removeprefix(folder) for dep in deps if dep.startswith(folder)]
