"""Run a named comparison and write its page: make ablate NAME=smoke.

python -m stages.lib.ablate NAME          run what is missing, then write the page
python -m stages.lib.ablate NAME --page   write the page of what is there
python -m stages.lib.ablate               list the matrices
"""

import argparse
import logging
import sys

from stages.lib.ablate import driver, matrix, page
from stages.lib.errors import BadInput


def main(arguments: list[str]) -> int:
    """Exit status 3 for bad input, or a run that failed; 130 where it was interrupted."""
    parser = argparse.ArgumentParser(prog="ablate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--page", action="store_true")
    words = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        if not words.name:
            raise BadInput(f"name one: make ablate NAME=…\n{_list()}")
        found = matrix.load(words.name)
        matrix.check_values(found)
        clone = driver.existing(found) if words.page else driver.run(found)
        print(page.write(found, clone, driver.ROOT / found.name))
    except BadInput as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 3
    except driver.Interrupted:
        print("ablate: interrupted; run it again to go on from there", file=sys.stderr)
        return 130
    return 0


def _list() -> str:
    lines = []
    for file in sorted(matrix.FOLDER.glob("*.yaml")):
        found = matrix.read(file.stem)
        lines.append(f"  {file.stem:<20}{len(found.runs):>2} runs  {found.question}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
