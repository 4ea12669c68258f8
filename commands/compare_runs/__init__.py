"""Sets two runs side by side on one page: `make compare-runs A=… B=…`.

A and B are each a folder with a finished run, a report's page, or a git revision or experiment of this workspace. All
that is compared travels in the report's page, so that a page that somebody mailed is enough.
"""

import argparse
from pathlib import Path

from commands.compare_runs import comparison, sides

OUT = Path(".tidemill/comparison.html")


def main(arguments: list[str]) -> None:
    """Write the page and print what it says. Raises `BadInput` if a side has no report that can be compared."""
    parser = argparse.ArgumentParser(
        prog="make compare-runs", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--out", type=Path, default=OUT)
    words = parser.parse_args(arguments)
    a, b = sides.read("A", words.a), sides.read("B", words.b)
    found = comparison.gather(a, b)
    comparison.write(found, words.out)
    print("\n".join(comparison.summary(found)))
    print(words.out)
