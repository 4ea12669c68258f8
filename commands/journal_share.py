"""Shares what the teachers answered: `make journal-share`.

python -m commands journal-share           seal what is new, track it with DVC and push it
python -m commands journal-share bring     take in what journal/shared.dvc records, and what pods left at the remote
python -m commands journal-share publish   seal what is new and put it at the remote, with nobody there to commit it
"""

from executors.tracking import journal
from stages.lib.errors import BadInput

ACTS = {"share": journal.share, "bring": journal.bring, "publish": journal.publish}


def main(arguments: list[str]) -> None:
    """Do what the one argument says, and print what was done."""
    act = arguments[0] if arguments else "share"
    if act not in ACTS or len(arguments) > 1:
        raise BadInput(f"it takes one of {', '.join(ACTS)}; found {' '.join(arguments)!r}")
    print(ACTS[act]())
