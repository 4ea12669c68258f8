"""The methods of generation: what a row is made from, and how the teacher is asked to make it.

A method is a folder here: method.yaml (rules and examples), and Jinja templates where its prompts are not the tasks'
own. docs/tasks.md says how to add one.
"""

from stages.lib.tasks.methods.definition import Method, load_method
from stages.lib.tasks.methods.evolutions import EVOLUTIONS, Evolution, draw_evolution, load_evolutions
from stages.lib.tasks.methods.material import Commits, Rows, freeze, gather

__all__ = [
    "EVOLUTIONS",
    "Commits",
    "Evolution",
    "Method",
    "Rows",
    "draw_evolution",
    "freeze",
    "gather",
    "load_evolutions",
    "load_method",
]
