"""Shares the teachers' answers: `make journal-share`.

python -m commands journal-share           seal new answers, track them with DVC and push them
python -m commands journal-share bring     import what journal/shared.dvc records, and what pods left on the remote
python -m commands journal-share publish   seal new answers and upload them without a commit, as pods do
"""

from executors.tracking import journal
from stages.lib.errors import BadInput

ACTS = {"share": journal.share, "bring": journal.bring, "publish": journal.publish}


def main(arguments: list[str]) -> None:
    """Run the act named by the argument and print what was done."""
    act = arguments[0] if arguments else "share"
    if act not in ACTS or len(arguments) > 1:
        raise BadInput(f"journal-share takes one of {', '.join(ACTS)}; found {' '.join(arguments)!r}")
    print(ACTS[act]())
