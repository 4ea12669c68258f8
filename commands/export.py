"""Writes the dataset as JSON lines in the form that another tool reads.

make export FORMAT=messages OUT=rows.jsonl          also sharegpt, prompt-completion
make export FORMAT=reward OUT=tasks.jsonl           the rows with tests, for TRL's GRPOTrainer
make export FORMAT=harbor OUT=tasks                 the same as Harbor tasks, a folder each
make export FORMAT=sharegpt OUT=rows.jsonl DATA=data/evolved/3
"""

import argparse
from pathlib import Path

import tidemill


def main(arguments: list[str]) -> None:
    """Write the file. Raises `BadInput` for a damaged or missing dataset, or a file that cannot be written."""
    parser = argparse.ArgumentParser(
        prog="make export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", default="messages", choices=tidemill.FORMS)
    parser.add_argument("--data", default="data/dataset", help="the dataset's folder")
    parser.add_argument("out", help="the file to write, such as rows.jsonl; a folder for harbor")
    options = parser.parse_args(arguments)
    rows = tidemill.open(options.data).export(Path(options.out).expanduser(), options.format)
    print(f"{options.out}: {rows} rows in the form {options.format}")
