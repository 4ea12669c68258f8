"""The paper's two fine-tuning prompts (WaveCoder, section 3), as printed there, beside this file.

Training and sampling render the same text: a model is asked in the words in which it was taught.
The paper's prompt without input keeps the sentence that speaks of an input; so do we.
"""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


def render(instruction: str, input: str = "") -> str:
    """The prompt of a row; a blank `input` takes the prompt without one.

    It ends in "### Response:" and a newline, where the response begins.
    """
    fields = {"instruction": instruction.strip(), "input": input.strip("\n")}
    template = load("with_input" if input.strip() else "without_input")
    # One pass over the template, so that braces in the code that is filled in are never read as fields.
    return re.sub(r"\{(instruction|input)\}", lambda field: fields[field[1]], template)


@cache
def load(name: str) -> str:
    """The text of the prompt `name`: "with_input" or "without_input"."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
