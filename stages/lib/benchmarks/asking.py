"""The text in which a problem is asked of a model."""

from typing import Any, Literal

from stages.lib import prompts
from stages.lib.benchmarks.catalog import Benchmark, Problem
from stages.lib.errors import BadInput

FormName = Literal["alpaca", "chat", "completion"]


def render(benchmark: Benchmark, problem: Problem, form: FormName, tokenizer: Any) -> str:
    """The whole prompt of `problem`: the paper's Alpaca prompt, the tokenizer's chat template, or the bare head.

    Raises `BadInput` for "chat" where the tokenizer has no chat template.
    """
    asked = benchmark.forms[form]
    text, given = (part.replace("{prompt}", problem.prompt) for part in (asked.text, asked.input))
    if form == "completion":
        return text.rstrip()  # the newline belongs to the first token of the body, as in the texts it was trained on
    if form == "alpaca":
        return prompts.render(text, given)
    if not tokenizer.chat_template:
        raise BadInput("sample.prompt: chat, but the model's tokenizer has no chat template; set alpaca or completion")
    message = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False))
