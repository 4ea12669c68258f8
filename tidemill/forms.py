"""The forms in which other tools read instruction rows, as JSON lines.

    messages            {"messages": [{"role": "user", …}, {"role": "assistant", …}]}
    sharegpt            {"conversations": [{"from": "human", …}, {"from": "gpt", …}]}
    prompt-completion   {"prompt": [{"role": "user", …}], "completion": [{"role": "assistant", …}]}
    reward              {"prompt": [{"role": "user", …}], "tests": […], "language": …, "entry_point": …, "solution": …}

The last one holds the rows with tests alone, as tasks for TRL's GRPOTrainer (`tidemill.Reward`). "harbor" is no file
but a folder of such tasks (`tidemill.tasks`).

Each row also has `split` and `meta`, the row's other fields. The user's turn is the instruction and, after a blank
line, the input. TRL takes the loss over completions alone; with `messages` that needs `assistant_only_loss=True`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from stages.lib.artifacts import write_text
from stages.lib.errors import BadInput
from stages.lib.models import prompts
from tidemill import tasks

FormName = Literal["messages", "sharegpt", "prompt-completion", "reward", "harbor"]
FORMS: tuple[FormName, ...] = get_args(FormName)
SAID = ("instruction", "input", "output")

Row = dict[str, Any]


def write(file: Path, form: FormName, rows: Iterable[tuple[str, Row]], where: str) -> int:
    """Write pairs of split and row to `file`, which is replaced only when all are written. Returns how many.

    Raises `BadInput` for another form, a folder that is not there, and, naming `where` the rows are, for what
    `tidemill.tasks` refuses.
    """
    _check(form)
    if not file.parent.is_dir():
        raise BadInput(f"{file}: there is no folder {file.parent}; create it first")
    if form == "harbor":
        return tasks.write_harbor(file, tasks.all_of(rows, where))
    lines = [json.dumps(one, ensure_ascii=False) for one in made(form, rows, where)]
    write_text(file, "".join(f"{line}\n" for line in lines))
    return len(lines)


def made(form: FormName, rows: Iterable[tuple[str, Row]], where: str) -> list[Row]:
    """Pairs of split and row in `form`, a line each. Raises `BadInput` as `write` does."""
    _check(form)
    if form == "reward":
        return [tasks.line(*one) for one in tasks.all_of(rows, where)]
    return [convert(row, form, split) for split, row in rows]


def _check(form: FormName) -> None:
    if form not in FORMS:
        raise BadInput(f"there is no form {form!r}; choose one of {', '.join(FORMS)}")


def convert(row: Row, form: FormName, split: str) -> Row:
    """One row of a dataset in `form`, one of the first three."""
    user, assistant = prompts.messages({name: row[name] for name in SAID})
    rest = {"split": split, "meta": {name: value for name, value in row.items() if name not in SAID}}
    if form == "sharegpt":
        said = [{"from": "human", "value": user["content"]}, {"from": "gpt", "value": assistant["content"]}]
        return {"conversations": said, **rest}
    if form == "messages":
        return {"messages": [user, assistant], **rest}
    return {"prompt": [user], "completion": [assistant], **rest}
