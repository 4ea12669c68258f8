"""What of a model's answer is run: every rule of post-processing, in one place.

Two modes, which results always name:

compat    as the benchmark's authors do: the answer stands after the prompt, cut at their stop sequences
          (Chen et al. 2021, section 3.2; github.com/openai/human-eval).
repaired  a right program is not punished for its wrapping: it may stand in a fence, between sentences, repeat
          the prompt, be a whole function or its body alone, and lack the body's first indentation.

Neither mode changes code inside the function.
"""

import re
import textwrap
import warnings
from typing import Literal

from stages.lib.benchmarks.catalog import Benchmark, Problem

Mode = Literal["compat", "repaired"]

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_INDENT = "    "


def program(benchmark: Benchmark, problem: Problem, answer: str, form: str, mode: Mode) -> str:
    """The whole program that `answer`, given to `problem` asked in `form`, makes."""
    if mode == "compat":
        return problem.prompt + cut(answer, benchmark.forms["completion"].stop)
    code = answer if form == "completion" else _unwrap(answer, problem)
    if _defines(code, problem):
        return _preamble(problem) + _trim(_from_first_code(code), problem)
    return problem.prompt + _indent(cut(code, benchmark.forms["completion"].stop), problem)


def cut(text: str, stop: tuple[str, ...]) -> str:
    """`text` up to the first match of a pattern of `stop`."""
    found = re.search("|".join(f"(?:{pattern})" for pattern in stop), text) if stop else None
    return text[: found.start()] if found else text


def _unwrap(answer: str, problem: Problem) -> str:
    """The fenced block that defines the function, else the first block, else the whole answer."""
    blocks = [block[1] for block in _FENCED.finditer(answer)]
    if not blocks:
        return answer
    whole = next((block for block in blocks if _defines(block, problem)), None)
    return textwrap.dedent(whole) if whole else blocks[0]


def _defines(code: str, problem: Problem) -> bool:
    return re.search(_head(problem), code, re.MULTILINE) is not None


def _head(problem: Problem) -> str:
    return rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(problem.entry_point)}[ \t]*\("


def _preamble(problem: Problem) -> str:
    """The imports and helper functions that stand before the function's head in its prompt."""
    head = re.search(_head(problem), problem.prompt, re.MULTILINE)
    return problem.prompt[: head.start()] if head else problem.prompt


def _from_first_code(code: str) -> str:
    """`code` from its first line of Python on: sentences before it are not run."""
    lines = code.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if re.match(r"(from|import|async|def|class|@|#)\b|[@#]", line)), 0)
    return "".join(lines[first:])


def _trim(code: str, problem: Problem) -> str:
    """`code` without the lines at its end that do not compile: a sentence after it, a statement cut in the middle."""
    lines = code.splitlines(keepends=True)
    for end in range(len(lines), 0, -1):
        kept = "".join(lines[:end])
        if not _defines(kept, problem):
            break
        if _compiles(kept):
            return kept
    return code


def _compiles(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            compile(code, "answer", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _indent(body: str, problem: Problem) -> str:
    """A body whose first line lost its indentation (a tokenizer's or a strip's work), or all of whose lines did."""
    body = body.lstrip("\n")
    if not body.strip() or body.startswith((_INDENT, "\t")):
        return body
    first_line_only = _INDENT + body.lstrip(" ")
    every_line = textwrap.indent(textwrap.dedent(body), _INDENT)
    readings = (first_line_only, every_line)
    return next((reading for reading in readings if _compiles(problem.prompt + reading)), body)
