"""Where stages run. EXECUTOR names a module of this package that has two functions:

run(stages)            What `make` does: bring these stages up to date, all of them if none is named. Returns an
                       exit status.
enter(stage, words)    What `stages/run STAGE WORDS…` does first. Returns to run the stage in this process, becomes
                       another process that runs it elsewhere, or raises `BadInput`.

A new executor is one new module; nothing else changes. `runner` (the process of one stage), `walk` (stages submitted
in the graph's order) and `tracking` (DVC and git) are what executors share.
"""

import importlib
import os
import pkgutil
from collections.abc import Sequence
from typing import Protocol, cast

from stages.lib.errors import BadInput

IMAGE = "TIDEMILL_IMAGE_KIND"  # set inside an image of ours


class Executor(Protocol):
    """The contract, as the module's docstring states it."""

    def run(self, stages: Sequence[str]) -> int:
        """Bring `stages` up to date and return an exit status."""

    def enter(self, stage: str, words: Sequence[str]) -> None:
        """Run `stage` elsewhere, or return."""


def chosen() -> Executor:
    """The executor that EXECUTOR names: `local` by default, and always inside an image, where a stage belongs.

    Raises `BadInput` for a name that no module has.
    """
    word = "local" if IMAGE in os.environ else os.environ.get("EXECUTOR") or "local"
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    if word in modules:
        module = importlib.import_module(f"executors.{word}")
        if hasattr(module, "enter"):
            return cast(Executor, module)
    known = sorted(name for name in modules if hasattr(importlib.import_module(f"executors.{name}"), "enter"))
    raise BadInput(f"EXECUTOR={word}: there is no such executor; choose one of {', '.join(known)}")
