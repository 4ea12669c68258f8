"""Compares runs, as DVC experiments: `make ablate NAME=smoke`.

python -m commands ablate NAME          run what is missing, then write the page
python -m commands ablate NAME --page   write the page from the finished runs
python -m commands ablate               list the matrices
"""

import argparse
import logging

from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Run the matrix that `arguments` names. Raises `BadInput` for an unknown matrix or a failed run."""
    from commands.ablate import comparison, driver, matrix

    parser = argparse.ArgumentParser(
        prog="make ablate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", nargs="?")
    parser.add_argument("--page", action="store_true")
    words = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    if not words.name:
        raise BadInput(f"name a matrix: make ablate NAME=…\n{_list()}")
    found = matrix.load(words.name)
    matrix.check_values(found)
    clone = driver.existing(found) if words.page else driver.run(found)
    print(comparison.write(found, clone, driver.ROOT / found.name))


def _list() -> str:
    from commands.ablate import matrix

    lines = []
    for file in sorted(matrix.FOLDER.glob("*.yaml")):
        found = matrix.read(file.stem)
        lines.append(f"  {file.stem:<20}{len(found.runs):>2} runs  {found.question}")
    return "\n".join(lines)
