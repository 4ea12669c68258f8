"""Makes a published run's dataset again without asking a model: `make replay NAME=evening`.

python -m commands replay NAME            make it in a clone, and compare every artifact's root hash
python -m commands replay NAME --record   write examples/NAME from the finished run in this workspace

examples/NAME has
  run.yaml      the commit whose code ran, the stage to reach, the root hash of each artifact up to it
  workspace/    files laid over that commit: the params, and the embeddings, whose last bits depend on the processor
  journal/      the models' answers, sealed (stages/lib/teacher/sharing.py)
  dataset/      the rows for people to read: JSON lines, card, licences (NOTICE)
"""

import argparse

from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Replay or record the example that `arguments` name. Raises `BadInput` for an unknown one."""
    from commands.replay import again, example, recording

    parser = argparse.ArgumentParser(
        prog="make replay", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", nargs="?")
    parser.add_argument("--record", action="store_true")
    words = parser.parse_args(arguments)
    if not words.name:
        raise BadInput(f"name an example: make replay NAME=…; there is {example.known()}")
    print(recording.record(words.name) if words.record else again.run(example.read(words.name)))
