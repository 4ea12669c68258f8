"""Where stages run. EXECUTOR names a module of this package with two functions:

run(stages)            Called by `make`: bring these stages (all if none is named) up to date. Returns an exit status.
enter(stage, words)    Called first by `stages/run STAGE WORDS…`. Returns to run the stage in this process, becomes
                       another process that runs it elsewhere, or raises `BadInput`.

A new executor is one new module; nothing else changes. Executors share `runner` (the process of one stage), `order`
(when a stage starts), `walk` (submits stages as jobs in that order) and `tracking` (DVC and git).
"""

import importlib
import os
import pkgutil
from collections.abc import Sequence
from typing import Protocol, cast

from stages.lib.errors import BadInput

IMAGE = "TIDEMILL_IMAGE_KIND"  # set inside our images


class Executor(Protocol):
    """The contract, as the module's docstring states it."""

    def run(self, stages: Sequence[str]) -> int:
        """Bring `stages` up to date and return an exit status."""

    def enter(self, stage: str, words: Sequence[str]) -> None:
        """Run `stage` elsewhere, or return."""


def chosen() -> Executor:
    """The executor that EXECUTOR names; `local` by default, and always inside an image, where the stage already
    belongs.

    Raises `BadInput` for an unknown name.
    """
    word = "local" if IMAGE in os.environ else os.environ.get("EXECUTOR") or "local"
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    if word in modules:
        module = importlib.import_module(f"executors.{word}")
        if hasattr(module, "enter"):
            return cast(Executor, module)
    known = sorted(name for name in modules if hasattr(importlib.import_module(f"executors.{name}"), "enter"))
    raise BadInput(f"EXECUTOR={word}: unknown executor; choose one of {', '.join(known)}")
