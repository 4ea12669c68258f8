"""The paper's two fine-tuning prompts (WaveCoder, section 3), as printed there, beside this file.

Training and sampling render the same text: a model is asked in the words in which it was taught.
The paper's prompt without input keeps the sentence that speaks of an input; so do we.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent
FormName = Literal["alpaca", "chat"]  # the paper's prompts, or the base model's own chat template


def render(instruction: str, input: str = "") -> str:
    """The prompt of a row; a blank `input` takes the prompt without one.

    It ends in "### Response:" and a newline, where the response begins.
    """
    fields = {"instruction": instruction.strip(), "input": input.strip("\n")}
    template = load("with_input" if input.strip() else "without_input")
    # One pass over the template, so that braces in the code that is filled in are never read as fields.
    return re.sub(r"\{(instruction|input)\}", lambda field: fields[field[1]], template)


def fold(row: dict[str, Any]) -> dict[str, Any]:
    """`row` with its system message before its first instruction, since the paper's prompts have no place for one."""
    if "system" not in row:
        return row
    rest = {name: value for name, value in row.items() if name != "system"}
    first = rest["history"][0] if "history" in rest else rest
    opened = {**first, "instruction": f"{row['system']}\n\n{first['instruction']}"}
    return {**rest, "history": [opened, *rest["history"][1:]]} if "history" in rest else {**rest, **opened}


def messages(row: dict[str, Any]) -> list[dict[str, str]]:
    """`row` as a conversation: its system message, if it has one, the turns of its `history`, its own turn."""
    said = [{"role": "system", "content": row["system"]}] if row.get("system", "").strip() else []
    for turn in (*row.get("history", ()), row):
        said += [{"role": "user", "content": asked(turn)}, {"role": "assistant", "content": turn["output"]}]
    return said


def asked(turn: dict[str, Any]) -> str:
    """What the user says: the instruction and, after a blank line, the input."""
    return "\n\n".join(part for part in (turn["instruction"], turn.get("input", "")) if part.strip())


@cache
def load(name: str) -> str:
    """The text of the prompt `name`: "with_input" or "without_input"."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
