"""What part of a model's answer is run: all post-processing rules in one place.

Two modes, which results always name:

compat    as the benchmark's authors do: the answer is appended to the prompt, cut at their stop sequences
          (Chen et al. 2021, section 3.2; github.com/openai/human-eval).
          HumanEvalPack: packs.py. MBPP: the answer alone, without its test_setup_code.
repaired  also accepts a correct program in a fence or between sentences, with the prompt repeated, as a whole
          function or only its body, and without the body's first indentation.

Neither mode changes code inside the function.
"""

import ast
import re
import textwrap
import warnings
from typing import Literal

from stages.lib.benchmarks import packs
from stages.lib.benchmarks.suites import CHECK_ALIAS, Benchmark, Problem

PACKS = ("humanevalfix", "humanevalexplain")
# Forms whose answers go on from the function's head.
GOES_ON = ("alpaca_head", "alpaca_signature", "completion", "docs")

Mode = Literal["compat", "repaired"]

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_INDENT = "    "


def program(benchmark: Benchmark, problem: Problem, answer: str, form: str, mode: Mode) -> str:
    """The whole program that `answer`, given to `problem` asked in `form`, makes."""
    if benchmark.family in PACKS:
        return _pack_program(benchmark, problem, answer, form, mode)
    if benchmark.family == "mbpp":
        begun = problem.opening if benchmark.forms[form].begin else ""
        return _mbpp_program(benchmark, problem, begun + answer, mode)
    if mode == "compat":
        return problem.prompt + cut(answer, benchmark.forms["completion"].stop)
    return _python(problem, answer, form, benchmark.forms["completion"].stop)


def tests(benchmark: Benchmark, problem: Problem, mode: Mode) -> str:
    """The problem's tests as the sandbox runs them."""
    if benchmark.family == "mbpp" and mode == "repaired" and problem.setup:
        return _cases(problem)[1]
    return packs.tests(benchmark.language, problem, mode) if benchmark.family in PACKS else problem.test


def line_break(problem: Problem) -> str:
    """The white space at the end of the head, which a model that goes on from the stripped head writes itself."""
    return problem.declaration[len(problem.declaration.rstrip()) :]


def _python(problem: Problem, answer: str, form: str, stop: tuple[str, ...]) -> str:
    code = answer if form in GOES_ON else _unwrap(answer, problem)
    if _defines(code, problem):
        return _preamble(problem) + _trim(_from_first_code(code), problem)
    return problem.prompt + _indent(cut(code, stop), problem)


def _pack_program(benchmark: Benchmark, problem: Problem, answer: str, form: str, mode: Mode) -> str:
    language = benchmark.language
    if mode == "compat":
        return packs.compat(language, problem, answer)
    if language == "python":
        rule = packs.rules(language)["compat"]
        code = _python(problem, answer, form, tuple(re.escape(text) for text in rule["stop"]))
        return rule["imports"] + (rule["numpy"] if re.search(r"\b(?:np|numpy)\b", code) else "") + code
    blocks = [block[1] for block in _FENCED.finditer(answer)] if form not in GOES_ON else []
    whole = next(
        (block for block in blocks if packs.defines(language, problem.entry_point, textwrap.dedent(block))), ""
    )
    return packs.repaired(language, problem, textwrap.dedent(whole) or (blocks or [answer])[0])


def _mbpp_program(benchmark: Benchmark, problem: Problem, answer: str, mode: Mode) -> str:
    if mode == "compat":
        return finish(benchmark, problem, cut(answer, benchmark.forms["completion"].stop), mode)
    code = _unwrap(answer, problem)
    return finish(benchmark, problem, code if _compiles(code) else _trim(_from_first_code(code), problem), mode)


def finish(benchmark: Benchmark, problem: Problem, code: str, mode: Mode) -> str:
    """A whole program with what its tests need beside it.

    MBPP/367's tests pass objects of the candidate's class: test_setup_code makes them, in `repaired` only.
    """
    if benchmark.family != "mbpp":
        return code
    if problem.entry_point == CHECK_ALIAS:
        code = f"{code}\n{CHECK_ALIAS} = check\n"
    return f"{code}\n{problem.setup}\n{_cases(problem)[0]}" if problem.setup and mode == "repaired" else code


def _cases(problem: Problem) -> tuple[str, str]:
    """The calls of tests that pass objects of the candidate's class as functions beside it, and tests of their
    results: an object cannot cross to the process of the tests."""
    functions, checks = [], []
    for number, line in enumerate(ast.parse(problem.test).body[0].body[1:]):  # type: ignore[attr-defined]
        name = f"tidemill_case_{number}"
        functions.append(f"def {name}():\n    return {ast.unparse(line.test.left)}\n")
        line.test.left = ast.parse(f"{name}()", mode="eval").body
        checks.append(f"    {ast.unparse(line)}\n")
    return "".join(functions), "def check(candidate):\n" + "".join(checks)


def cut(text: str, stop: tuple[str, ...]) -> str:
    """`text` up to the first match of a pattern of `stop`."""
    found = re.search("|".join(f"(?:{pattern})" for pattern in stop), text) if stop else None
    return text[: found.start()] if found else text


def _unwrap(answer: str, problem: Problem) -> str:
    """The fenced block that defines the function, otherwise the first block, otherwise the whole answer."""
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
    """The imports and helper functions before the function's head in its prompt."""
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
