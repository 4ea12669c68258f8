"""What a series of kills (tests/soak/soak_*.py) is told on its command line."""

import argparse
import random


def options(doc: str | None, arguments: list[str], kills: int, **choices: tuple[str, ...]) -> argparse.Namespace:
    """`--kills` (so many by default), `--seed` (printed; another each time), and of each of `choices` some or all."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=kills, help="of each victim, of all windows together")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    for name, every in choices.items():
        parser.add_argument(f"--{name}", nargs="*", default=every, choices=every)
    told = parser.parse_args(arguments)
    print(f"seed {told.seed}", flush=True)
    return told
