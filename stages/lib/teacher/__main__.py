"""Share the journal (stages/lib/teacher/sharing.py): python -m stages.lib.teacher {share,bring,publish}

share      seal what is new, track it with DVC and push it: `make journal-share`
bring      take in what this commit's journal/shared.dvc records, and what pods left at the remote
publish    seal what is new and put it at the remote, where nobody is there to commit it
"""

import argparse
import sys

from stages.lib.errors import BadInput
from stages.lib.teacher import sharing


def main(arguments: list[str]) -> int:
    """Do what the one argument says; exit status 3 where that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="stages.lib.teacher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("share", "bring", "publish"))
    what = {"share": sharing.share, "bring": sharing.bring, "publish": sharing.publish}
    try:
        print(what[parser.parse_args(arguments).what]())
    except BadInput as error:
        print(f"journal: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
