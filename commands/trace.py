"""Prints the whole history of a row: verdict, request, response, example pool, pick, raw function.

    make trace ID=3f2a…      the id of a dataset row, candidate or function, or a unique start of one

Every artifact on the way is verified before it is read.
"""

import json
from typing import Any

from rich.console import Console
from rich.markup import escape

from stages.lib.errors import BadInput
from tidemill.lineage import chain


def main(arguments: list[str]) -> None:
    """Print the chain of the id in `arguments`. Raises `BadInput` if no row has it."""
    if len(arguments) != 1:
        raise BadInput(
            "give a row's id: make trace ID=…; ids are in data/dataset/train.jsonl or data/evolved/ROUND/train.jsonl"
        )
    console = Console(soft_wrap=True, highlight=False)
    for title, row in chain(arguments[0]):
        console.print(f"\n[bold]{escape(title)}[/bold]")
        for key, value in row.items():
            console.print(f"  [cyan]{key}[/cyan]  {escape(_show(value))}")


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if "\n" not in text else "\n" + "\n".join(f"    {line}" for line in text.splitlines())
