"""The forms in which other tools read instruction rows, as JSON lines.

    messages            {"messages": [{"role": "user", …}, {"role": "assistant", …}]}
    sharegpt            {"conversations": [{"from": "human", …}, {"from": "gpt", …}]}
    prompt-completion   {"prompt": [{"role": "user", …}], "completion": [{"role": "assistant", …}]}

Each row also has `split` and `meta`, the row's other fields. The user's turn is the instruction and, after a blank
line, the input. TRL takes the loss over completions alone; with `messages` that needs `assistant_only_loss=True`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from stages.lib.artifacts import write_text
from stages.lib.errors import BadInput

FormName = Literal["messages", "sharegpt", "prompt-completion"]
FORMS: tuple[FormName, ...] = get_args(FormName)
SAID = ("instruction", "input", "output")

Row = dict[str, Any]


def write(file: Path, form: FormName, rows: Iterable[tuple[str, Row]]) -> int:
    """Write pairs of split and row to `file`, which is replaced only when all are written. Returns how many.

    Raises `BadInput` for another form, or a folder that is not there.
    """
    if form not in FORMS:
        raise BadInput(f"there is no form {form!r}; choose one of {', '.join(FORMS)}")
    if not file.parent.is_dir():
        raise BadInput(f"{file}: there is no folder {file.parent}; create it first")
    lines = [json.dumps(convert(row, form, split), ensure_ascii=False) for split, row in rows]
    write_text(file, "".join(f"{line}\n" for line in lines))
    return len(lines)


def convert(row: Row, form: FormName, split: str) -> Row:
    """One row of a dataset in `form`."""
    asked = "\n\n".join(part for part in (row["instruction"], row["input"]) if part.strip())
    rest = {"split": split, "meta": {name: value for name, value in row.items() if name not in SAID}}
    if form == "sharegpt":
        return {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": row["output"]}], **rest}
    user, assistant = {"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}
    if form == "messages":
        return {"messages": [user, assistant], **rest}
    return {"prompt": [user], "completion": [assistant], **rest}
