"""Shows a row of train.file as training sees it, token by token: `make show-example [ROW=…]`.

ROW is a training row's number, from 1, or the start of its id. Tokens that carry loss are marked `*`; the
prompt's are not.
"""

from typing import Any

from stages.lib import params
from stages.lib.dataset.rows import read as read_rows
from stages.lib.errors import BadInput
from stages.lib.models import chat
from stages.lib.training import examples
from stages.lib.training.examples import IGNORED, Example


def main(arguments: list[str]) -> None:
    """Print the row that `arguments` names, by default the first. Raises `BadInput` if there is none."""
    section = params.merged().get("train", {})
    form = section.get("prompt", "alpaca")
    tokenizer = chat.load_tokenizer(section["model"], form)
    rows = read_rows(section["file"], section["validation_share"])["train"]
    row = find(rows, arguments[0] if arguments else "1", section["file"])
    shown = examples.encode(row, tokenizer, form, section.get("copied_share", 1.0))
    print(table(shown, tokenizer, section["max_tokens"]))


def find(rows: list[dict[str, Any]], name: str, place: str) -> dict[str, Any]:
    """The row with that number or start of an id. Raises `BadInput` if there is none."""
    if name.isdigit() and 1 <= int(name) <= len(rows):
        return rows[int(name) - 1]
    found = [row for row in rows if row["id"].startswith(name)]
    if len(found) != 1:
        raise BadInput(
            f"{place}: {len(found)} training rows match {name!r}; give a number from 1 to {len(rows)}, or an id"
        )
    return found[0]


def table(example: Example, tokenizer: Any, max_tokens: int) -> str:
    """A line per token: its place, whether it carries loss, its id and its text."""
    lines = [
        f"{place:5} {' ' if label == IGNORED else '*'} {token:7} {tokenizer.decode([token])!r}"
        for place, (token, label) in enumerate(zip(example.input_ids, example.labels, strict=True))
    ]
    learned = sum(label != IGNORED for label in example.labels)
    fate = "set aside: too long" if len(lines) > max_tokens else f"at most {max_tokens} fit"
    return "\n".join([f"row {example.id}", *lines, f"{len(lines)} tokens ({fate}), loss on the {learned} with a *"])
