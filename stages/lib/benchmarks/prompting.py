"""The text in which a problem is asked of a model."""

import ast
import inspect
import re
from typing import Any, Literal

from stages.lib.benchmarks import packs
from stages.lib.benchmarks.suites import Benchmark, Form, Problem
from stages.lib.errors import BadInput
from stages.lib.models import prompts

FormName = Literal["alpaca", "alpaca_head", "alpaca_signature", "chat", "completion", "docs"]
LONGEST_LINE = 20  # characters; longer lines of a solution are deleted from its description


def render(benchmark: Benchmark, problem: Problem, form: FormName, tokenizer: Any, description: str = "") -> str:
    """The whole prompt of `problem`: the paper's Alpaca prompt, that with the response begun by the function's head or
    signature, the tokenizer's chat template, or the bare head. Without a tokenizer (None) "chat" is what the user says:
    the endpoint has the template.

    `description` is what the model itself said in HumanEvalExplain's first step.
    Raises `BadInput` for a form that the benchmark lacks.
    """
    asked = _form(benchmark, form)
    text, given = (_fill(part, benchmark, problem, description) for part in (asked.text, asked.input))
    return _finish(text, given, form, tokenizer) + _begun(benchmark, problem, form)


def render_row(benchmark: Benchmark, problem: Problem) -> dict[str, str]:
    """`problem` as a row of instruction, input and output: the paper's Alpaca prompt, as a dataset's rows ask where the
    benchmark has that form, and the whole solution."""
    if "alpaca_signature" in benchmark.forms:
        asked, head = benchmark.forms["alpaca_signature"], f"{_begun(benchmark, problem, 'alpaca_signature')}\n"
    else:
        asked, head = _form(benchmark, "alpaca"), _head(benchmark, problem) or problem.prompt
    return {
        "instruction": _fill(asked.text, benchmark, problem),
        "input": _fill(asked.input, benchmark, problem),
        "output": f"{'' if benchmark.family == 'mbpp' else head}{problem.canonical_solution}".strip(),
    }


def render_description(benchmark: Benchmark, problem: Problem, form: FormName, tokenizer: Any) -> str:
    """HumanEvalExplain's first step: the function is to be described."""
    asked = _form(benchmark, form)
    text, given = (_fill(part, benchmark, problem) for part in (asked.describe, asked.describe_input))
    return _finish(text, given, form, tokenizer)


def clean_description(problem: Problem, text: str) -> str:
    """At most as many characters as the docstring has, without the solution's own lines."""
    text = text.strip()[: len(problem.docstring)].rstrip()
    for line in map(str.strip, problem.canonical_solution.split("\n")):
        if len(line) > LONGEST_LINE:
            text = text.replace(line, "")
    return text


def _begun(benchmark: Benchmark, problem: Problem, form: FormName) -> str:
    """How the response begins that the model goes on with; "" where it says all of it."""
    return _fill(_form(benchmark, form).begin, benchmark, problem).rstrip()  # as `_finish` leaves a bare head


def _form(benchmark: Benchmark, form: FormName) -> Form:
    if form not in benchmark.forms:
        raise BadInput(f"sample.prompt: {benchmark.name} has no form {form!r}; set {', '.join(benchmark.forms)}")
    return benchmark.forms[form]


def _fill(text: str, benchmark: Benchmark, problem: Problem, description: str = "") -> str:
    """`text` with its fields, in one pass: braces in the code that is filled in are never read as fields."""
    head = _head(benchmark, problem)
    body = problem.canonical_solution if benchmark.family == "humanevalexplain" else problem.buggy_solution
    shown = "" if benchmark.family == "humanevalexplain" else f"\n{problem.test}"
    fields = {
        "prompt": problem.prompt,
        "head": head,
        "context": f"{head}{body}{shown}",
        "broken": f"{head}{problem.buggy_solution}",
        "docs_head": problem.prompt,
        "docs_context": f"{problem.prompt}{problem.buggy_solution}",
        "entry_point": problem.name,
        "opening": problem.opening,
        "language": packs.rules(benchmark.language)["name"],
        "length": str(len(problem.docstring)),
        "description": description,
    }
    if "{signature}" in text:
        fields["signature"] = _signature(problem)
    if "{docstring}" in text:
        fields["docstring"] = _docstring(benchmark, problem)
    return re.sub("|".join(rf"\{{{name}\}}" for name in fields), lambda found: fields[found[0][1:-1]], text)


def _head(benchmark: Benchmark, problem: Problem) -> str:
    """The head without its docstring, where the benchmark has one."""
    return packs.base(benchmark.language, problem) if problem.declaration else ""


def _signature(problem: Problem) -> str:
    """The prompt of a Python function up to its docstring."""
    before = problem.prompt.splitlines(keepends=True)[: _said(problem).lineno - 1]
    return "".join(before).lstrip("\n")


def _docstring(benchmark: Benchmark, problem: Problem) -> str:
    """What the docstring of a function says; MBPP's prompts are nothing else."""
    if benchmark.family == "mbpp":
        return problem.prompt.strip().strip('"').strip()
    if problem.docstring:
        return problem.docstring
    return inspect.cleandoc(ast.literal_eval(_said(problem).value))


def _said(problem: Problem) -> ast.Expr:
    function = ast.parse(problem.prompt).body[-1]
    assert isinstance(function, ast.FunctionDef)
    return next(line for line in function.body if isinstance(line, ast.Expr))


def _finish(text: str, given: str, form: FormName, tokenizer: Any) -> str:
    if form in ("completion", "docs"):
        return text.rstrip()  # the newline belongs to the first token of the body, as in the texts it was trained on
    if form.startswith("alpaca"):
        return prompts.render(text, given)
    if tokenizer is None:
        return text
    said = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False))
