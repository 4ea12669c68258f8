"""The tasks that a teacher is given: definitions, rules and seed examples as data, and what is made of them.

One YAML file a task in this folder, Jinja templates beside them; docs/tasks.md says how to add one.
"""

from stages.lib.tasks.assignment import Assignment
from stages.lib.tasks.catalog import Rule, Task, load, load_all
from stages.lib.tasks.checks import Row, named_language, objection, run
from stages.lib.tasks.draws import draw_target, draw_task, nearest
from stages.lib.tasks.methods import Method, load_method
from stages.lib.tasks.pool import Case, draw_examples, from_verdicts, frozen, seeds, texts_of
from stages.lib.tasks.prompts import (
    answer_schema,
    fill,
    generation_messages,
    judge_messages,
    judge_schema,
    ruling_messages,
    ruling_schema,
    summary,
    templates_hash,
)
from stages.lib.tasks.slices import estimate_tokens, read_round, take_slice

__all__ = [
    "Assignment",
    "Case",
    "Method",
    "Row",
    "Rule",
    "Task",
    "answer_schema",
    "draw_examples",
    "draw_target",
    "draw_task",
    "estimate_tokens",
    "fill",
    "from_verdicts",
    "frozen",
    "generation_messages",
    "judge_messages",
    "judge_schema",
    "load",
    "load_all",
    "load_method",
    "named_language",
    "nearest",
    "objection",
    "read_round",
    "ruling_messages",
    "ruling_schema",
    "run",
    "seeds",
    "summary",
    "take_slice",
    "templates_hash",
    "texts_of",
]
