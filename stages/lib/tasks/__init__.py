"""The tasks that a teacher is given: definitions, rules and seed examples as data, and what is made of them.

One YAML file a task in this folder, Jinja templates beside them; docs/tasks.md says how to add one.
"""

from stages.lib.tasks.catalog import Rule, Task, load, load_all
from stages.lib.tasks.checks import Row, run
from stages.lib.tasks.draws import draw_target, draw_task, nearest
from stages.lib.tasks.pool import Case, draw_examples, from_verdicts, frozen, seeds
from stages.lib.tasks.prompts import (
    answer_schema,
    fill,
    generation_messages,
    judge_messages,
    judge_schema,
    templates_hash,
)

__all__ = [
    "Case",
    "Row",
    "Rule",
    "Task",
    "answer_schema",
    "draw_examples",
    "draw_target",
    "draw_task",
    "fill",
    "from_verdicts",
    "frozen",
    "generation_messages",
    "judge_messages",
    "judge_schema",
    "load",
    "load_all",
    "nearest",
    "run",
    "seeds",
    "templates_hash",
]
