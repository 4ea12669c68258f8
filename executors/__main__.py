"""Brings stages up to date on the executor that EXECUTOR names: `make` is `python -m executors`.

python -m executors [STAGE …]
"""

import sys

import executors
from executors import endpoints, parameters, profiles
from stages.lib.errors import BAD_INPUT, BadInput


def main(stages: list[str]) -> int:
    """Run the named stages, or all, and return the exit status."""
    try:
        for line in profiles.refresh():
            print(line, flush=True)
        parameters.check()
        endpoints.warn()
        return executors.chosen().run(stages)
    except BadInput as error:
        print(f"make: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
