"""Estimates the next run's requests, tokens, dollars, memory and hours: `make plan`.

python -m commands plan [--devices N] [--memory GIB] [--tflops RATE]     for devices other than this machine's
"""

import argparse


def main(arguments: list[str]) -> None:
    """Print the plan. Raises `BadInput` for parameters that no run accepts."""
    from commands.plan import teachers, training
    from executors import parameters, profiles

    parser = argparse.ArgumentParser(
        prog="make plan", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", type=int, help="training devices (default: those found here)")
    parser.add_argument("--memory", type=float, help="GiB per device (default: measured here)")
    parser.add_argument("--tflops", type=float, help="matrix TFLOP/s per device (default: measured here)")
    given = parser.parse_args(arguments)
    for line in profiles.refresh():
        print(line, flush=True)
    parameters.check()
    print("\n".join(teachers.describe()))
    print("\n".join(training.describe(given.devices, given.memory, given.tflops)))
