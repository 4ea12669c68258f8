"""Rules that need no model. Each check looks at one instance and returns what is wrong, or "".

A task's rules (stages/lib/judging/rules) name its checks.
"""

import ast
import builtins
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from stages.lib.corpus import functions, names

_CODE_SIGNS = re.compile(r"[{}]|[=!]=|:=|->|=>|&&|\|\||;\s*$", re.M)
# What a model that has lost its thread copies from a documentation comment, or falls into.
_TAG = re.compile(r"@(?:param|returns?|throws|private|type)\b|\*\*[A-Z]\w*:|[\u3000-\u303f\uff00-\uffef]")
# What the reader of an instruction does not have: the teacher saw it.
_ELSEWHERE = re.compile(
    r"\b(?:documentation|docstring|(?:code|formula|function|example) (?:above|below)|above (?:code|formula|example))\b"
    r"|\bas (?:specified|documented|described above|given above)\b|\bthis instruction\b",
    re.IGNORECASE,
)
# A model that may write no more letters still writes its full stop: after a space, a comma, an article, "or equal to".
_BROKEN_OFF = re.compile(r"(?:[\s,;({\[×*/=]['\"]?|\b(?:an?|the|and|or equal to|or))[.?!]$")
# "Write a function that takes an array and a value.": what follows has no verb of its own, as "and returns" is one.
_TAKES = re.compile(r"\b(?:that|which) (?:takes|accepts|receives) (.*)$", re.DOTALL)
_VERB = re.compile(r"(?:\band|,|\bthen|\bwhich|\bthat|\bto) (?:\w+ly )?\w+s\b|(?<!to )\breturn")
# What a generator does not return, unless the instruction speaks of one.
_WHOLE = re.compile(r"\b(?:returns?|returning|as|into) an? (?:\w+ )?(?:list|array|string|tuple|set|dict|dictionary)\b")
_PIECES = re.compile(r"\b(?:yields?|yielding|generat(?:es?|ors?)|iterators?|lazily|one by one)\b", re.IGNORECASE)
_FENCE = re.compile(r"```")
_UNDONE = re.compile(
    r"\b(?:TODO|FIXME|XXX)\b|not[ _]?(?:yet )?implemented|NotImplemented|UnsupportedOperation|unimplemented!|todo!"
    r"|(?:your|rest of the|actual|same) (?:code|logic|implementation)\b|implementation (?:goes )?here|placeholder",
    re.IGNORECASE,
)
_NAMES = ("identifier", "name", "field_identifier", "property_identifier", "constant", "method_identifier")
STUB_SHARE = 0.25  # a translation with a smaller part of the source's words and signs leaves something out
STUB_LEAST = 40  # of the source's words and signs: what is shorter may shrink by as much
_PROSE_LINE = re.compile(
    r"^\s*(?:Here|This|The|Note|Sure|In this|Explanation|Output|Example|Answer)\b[^=;{}()]*[.:]?\s*$"
)


@dataclass(frozen=True)
class Instance:
    """An instance and what it was made from. `examples` are the instructions and solutions shown in its prompt."""

    instruction: str
    information: str
    solution: str
    language: str
    target_language: str
    takes_input: bool
    examples: tuple[str, ...]

    @classmethod
    def of(cls, keys: Mapping[str, Any], takes_input: bool, examples: tuple[str, ...] = ()) -> Self:
        """The instance whose fields are in `keys`, of a task that has an input of its own, or not."""
        own = ("instruction", "information", "solution", "language", "target_language")
        return cls(**{key: keys[key] for key in own}, takes_input=takes_input, examples=examples)


def run_checks(names: list[str], row: Instance) -> Iterator[tuple[str, str]]:
    """The name and fault ("" if passed) of each check."""
    for name in names:
        yield name, CHECKS[name](row)


def fields_present(row: Instance) -> str:
    """Instruction and solution are not blank, nor is the information if the task has an input."""
    for key in ("instruction", "solution", *(["information"] if row.takes_input else [])):
        if not getattr(row, key).strip():
            return f"{key} is empty"
    return ""


def instruction_names_language(row: Instance) -> str:
    """The instruction names the language of the code, and for a translation the target too."""
    for language in dict.fromkeys((row.language, row.target_language)):
        if not functions.names(row.instruction, language):
            return f"the instruction does not name {language}"
    return ""


def named_language(text: str) -> str:
    """The first language of the corpus that `text` names, or ""."""
    return next((language for language in functions.languages() if functions.names(text, language)), "")


def instruction_is_prose(row: Instance) -> str:
    """The instruction is complete sentences with at least five words, without the tags of a documentation comment
    or Markdown's bold headings."""
    if found := _TAG.search(row.instruction):
        return f"the instruction has {found[0]!r} in it"
    return _prose_fault("instruction", row.instruction, least_words=5)


def solution_is_prose(row: Instance) -> str:
    """The solution is complete sentences with at least eight words, without code."""
    return _prose_fault("solution", row.solution, least_words=8) or (
        "the solution has code in it" if _CODE_SIGNS.search(row.solution) else ""
    )


def instruction_says_what_to_do(row: Instance) -> str:
    """The instruction says more of a function than what it takes."""
    takes = _TAKES.search(row.instruction)
    if takes and not _VERB.search(takes[1]):
        return "the instruction says what the function takes, and not what it does"
    return ""


def no_repetition(row: Instance) -> str:
    """No six words occur twice in the instruction, and no four more than twice, as they do when a model is stuck in a
    loop. A number or a letter is no word: the call that shows a bug may hold many alike."""
    words = [word for word in _words(row.instruction) if len(word) > 1 and not word.isdigit()]
    for length, most in ((4, 2), (6, 1)):
        grams = Counter(zip(*(words[start:] for start in range(length)), strict=False))
        if grams and (worst := max(grams.items(), key=lambda item: item[1]))[1] > most:
            return f"the instruction repeats {' '.join(worst[0])!r}"
    return ""


def not_an_example(row: Instance) -> str:
    """Neither instruction nor solution repeats an example of the prompt (four fifths of its words)."""
    return _repeated(row, "instruction") or _repeated(row, "solution")


def solution_not_an_example(row: Instance) -> str:
    """The solution repeats no example of the prompt. The instruction may where it only tells what to do."""
    return _repeated(row, "solution")


def instruction_stands_alone(row: Instance) -> str:
    """The instruction refers to nothing that only the teacher saw, such as the function's documentation, and has no
    words in another script than the code's."""
    if found := _ELSEWHERE.search(row.instruction):
        return f"the instruction refers to {found[0]!r}, which its reader does not have"
    if strange := sorted({letter for letter in row.instruction if _is_foreign(letter)} - set(row.solution)):
        return f"the instruction has letters of another script: {''.join(strange)}"
    return ""


def no_code_in_instruction(row: Instance) -> str:
    """The instruction contains no line of the solution or input, and no code fence."""
    if _FENCE.search(row.instruction):
        return "the instruction has a code fence"
    flat = _squeeze(row.instruction)
    for line in (row.solution + "\n" + row.information).splitlines():
        if len(_squeeze(line)) >= 15 and _squeeze(line) in flat:
            return f"the instruction gives away the line {line.strip()!r}"
    return ""


def solution_parses(row: Instance) -> str:
    """The solution parses in its language."""
    if functions.parses(row.solution, row.target_language):
        return ""
    return f"the solution does not parse as {row.target_language}"


def code_only(row: Instance) -> str:
    """The solution is code without fences or surrounding sentences."""
    if _FENCE.search(row.solution):
        return "the solution has a code fence"
    lines = [line for line in row.solution.splitlines() if line.strip()]
    if lines and any(_PROSE_LINE.match(line) for line in (lines[0], lines[-1])):
        return "the solution has a sentence before or after the code"
    return ""


def imports_present(row: Instance) -> str:
    """Python: the solution imports every standard library module that it uses by name.

    In other languages imports are outside functions, so a function alone cannot show them.
    """
    tree = _python(row)
    bound = _bound_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = node.value.id
            if module in sys.stdlib_module_names and module not in bound and not hasattr(builtins, module):
                return f"the solution uses {module} without importing it"
    return ""


def returns_what_it_says(row: Instance) -> str:
    """Python: a generator is not said to return a list, a string or another whole."""
    promised = _WHOLE.search(row.instruction)
    if not promised or _PIECES.search(row.instruction):
        return ""
    made = [node for node in _python(row).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if made and _yields(made[-1]):
        return f"the solution is a generator, but the instruction says {promised[0]!r}"
    return ""


def solution_is_no_stub(row: Instance) -> str:
    """The solution does something, if the input does: it has a body that uses its names, puts nothing off, and is no
    fraction of the input in length."""
    if (found := _UNDONE.search(row.solution)) and not _UNDONE.search(row.information):
        return f"the solution is not finished: it says {found[0]!r}"
    solution, source = (_size(row.solution, row.target_language), _size(row.information, row.language))
    if solution is None or source is None:
        return ""  # solution_parses reports it
    if not solution.names and source.names > 1:
        return "the body of the solution is empty or returns a constant"
    if source.leaves >= STUB_LEAST and solution.leaves < STUB_SHARE * source.leaves:
        return "the solution is much shorter than the input: something is left out"
    return ""


def names_are_defined(row: Instance) -> str:
    """The solution calls no function, and in Python and JavaScript uses no name, that nothing defines. What the input
    does not define either, in whatever spelling, is not asked for."""
    outside = {_plain(name) for name in names.undefined(row.information, row.language)}
    missing = sorted(names.undefined(row.solution, row.target_language))
    missing = [name for name in missing if _plain(name) not in outside]
    return f"the solution uses {missing[0]}, which nothing defines" if missing else ""


def solution_not_a_copy(row: Instance) -> str:
    """The solution copies neither the instruction nor the input."""
    for key in ("instruction", "information"):
        text = getattr(row, key)
        if text.strip() and _overlap(_words(row.solution), _words(text)) >= 0.9:
            return f"the solution copies the {key}"
    return ""


def information_differs(row: Instance) -> str:
    """The code to repair differs from the repaired code by more than whitespace."""
    return "" if _squeeze(row.information) != _squeeze(row.solution) else "the input has no bug: it equals the solution"


CHECKS: dict[str, Callable[[Instance], str]] = {
    check.__name__: check
    for check in (
        fields_present,
        instruction_names_language,
        instruction_is_prose,
        instruction_says_what_to_do,
        solution_is_prose,
        no_repetition,
        not_an_example,
        solution_not_an_example,
        instruction_stands_alone,
        no_code_in_instruction,
        solution_parses,
        code_only,
        imports_present,
        returns_what_it_says,
        solution_is_no_stub,
        names_are_defined,
        solution_not_a_copy,
        information_differs,
    )
}


def _repeated(row: Instance, key: str) -> str:
    for shown in row.examples:
        if len(_words(shown)) >= 8 and _overlap(_words(getattr(row, key)), _words(shown)) >= 0.8:
            return f"the {key} is that of an example in the prompt"
    return ""


def _is_foreign(letter: str) -> bool:
    return letter.isalpha() and not unicodedata.name(letter, "").startswith(("LATIN", "GREEK"))


def _prose_fault(key: str, text: str, least_words: int) -> str:
    if len(_words(text)) < least_words:
        return f"the {key} has fewer than {least_words} words"
    if (
        not text.rstrip().endswith((".", "?", "!", ":"))
        or _BROKEN_OFF.search(text.rstrip())
        or text.count("(") > text.count(")")
    ):
        return f"the {key} breaks off before the end of a sentence"
    return ""


@dataclass(frozen=True)
class _Size:
    """How many words and signs code has, and how many names the body of its largest function."""

    leaves: int
    names: int


def _size(code: str, language: str) -> _Size | None:
    """None for code that does not parse."""
    root = functions.parse(code, language)
    if root is None:
        return None
    leaves = [leaf for leaf in functions.leaves(root) if "comment" not in leaf.type]
    bodies = functions.bodies(root)
    counts = [sum(leaf.is_named and leaf.type in _NAMES for leaf in functions.leaves(body)) for body in bodies]
    return _Size(len(leaves), max(counts, default=0))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _python(row: Instance) -> ast.Module:
    """The solution's tree; an empty one if it is not Python, or does not parse, which solution_parses reports."""
    try:
        return ast.parse(row.solution if row.target_language == "Python" else "")
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _yields(node: ast.AST) -> bool:
    """Whether the function itself yields, and not one within it."""
    own = [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(isinstance(one, ast.Yield | ast.YieldFrom) or _yields(one) for one in own)


def _bound_names(tree: ast.AST) -> set[str]:
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
    return bound


def _overlap(words: list[str], others: list[str]) -> float:
    """The share of the longer list that both have, counting repeats."""
    longer = max(len(words), len(others))
    return (Counter(words) & Counter(others)).total() / longer if longer else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)
