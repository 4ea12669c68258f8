"""Runs one command: `python -m commands NAME [ARGUMENT …]`, as the make target NAME does.

A command is a module with `main(arguments)`, which may return an exit status. `BadInput` is printed here without a
traceback and ends with status 3.
"""

import importlib
import pkgutil
import sys
import warnings

import commands
from stages.lib.artifacts import Damaged
from stages.lib.errors import BAD_INPUT, INTERRUPTED, BadInput


def main(words: list[str]) -> int:
    """Run the command `words[0]` with the remaining words as arguments, and return its exit status."""
    name = words[0] if words else ""
    known = {module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__)} - {"--main--"}
    if name not in known:
        print(f"no command {name!r}; choose one of {', '.join(sorted(known))}", file=sys.stderr)
        return BAD_INPUT
    # peft calls something that transformers will rename; users cannot act on that.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
    module = importlib.import_module(f"commands.{name.replace('-', '_')}")
    try:
        return int(module.main(words[1:]) or 0)
    except (BadInput, Damaged) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{name}: interrupted; run it again to resume", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
