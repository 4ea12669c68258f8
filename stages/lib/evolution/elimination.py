"""Rules that eliminate failed evolutions: each returns what is wrong with one, or "". Their numbers and words are in
rules.yaml."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import params
from stages.lib.corpus import functions
from stages.lib.judging.rules import Rule

FILE = Path(__file__).with_name("rules.yaml")
_FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Evolution:
    """A row's question before and after, and the answer; `language` is "" where the answer need not be code, `shown`
    are the evolved questions that the prompt showed as examples."""

    parent: str
    question: str
    answer: str = ""
    language: str = ""
    shown: tuple[str, ...] = ()


class Fragment(params.Section):
    """Too few words to describe a task."""

    least_words: int = Field(gt=0)

    def fault(self, one: Evolution) -> str:
        count = len(_words(one.question))
        return f"{count} words" if count < self.least_words else ""


class CopiedPrompt(params.Section):
    """Words of the evolving prompt in the evolved instruction, which the parent does not have."""

    phrases: list[str]

    def fault(self, one: Evolution) -> str:
        found = (phrase for phrase in self.phrases if phrase in one.question.lower())
        return next((repr(phrase) for phrase in found if phrase not in one.parent.lower()), "")


class CopiedExample(params.Section):
    """Repeats an example of the prompt."""

    most_overlap: float = Field(gt=0, le=1)

    def fault(self, one: Evolution) -> str:
        share = max((_overlap(one.question, text) for text in one.shown), default=0.0)
        return f"{share:.0%} of the words are an example's" if share > self.most_overlap else ""


class NoGain(params.Section):
    """The instruction adds too little to its parent."""

    least_new_words: int = Field(ge=0)
    most_overlap: float = Field(gt=0, le=1)

    def fault(self, one: Evolution) -> str:
        new = (Counter(_words(one.question)) - Counter(_words(one.parent))).total()
        if new < self.least_new_words:
            return f"{new} new words"
        share = _overlap(one.question, one.parent)
        return f"{share:.0%} of the words are the parent's" if share > self.most_overlap else ""


class Loop(params.Section):
    """A sequence of `words` words occurs more than `most_times` times."""

    words: int = Field(gt=0)
    most_times: int = Field(gt=0)

    def fault(self, one: Evolution) -> str:
        return self.find(one.question)

    def find(self, text: str) -> str:
        words = _words(text)
        grams = Counter(zip(*(words[start:] for start in range(self.words)), strict=False))
        gram, times = max(grams.items(), key=lambda item: item[1], default=((), 0))
        return f"{' '.join(gram)!r} {times} times" if times > self.most_times else ""


class TooLong(params.Section):
    """Too long to tune a model on."""

    most_words: int = Field(gt=0)

    def fault(self, one: Evolution) -> str:
        count = len(_words(one.question))
        return f"{count} words" if count > self.most_words else ""


class LoopedAnswer(Loop):
    """The same in an answer, where code repeats more than an instruction does."""

    def fault(self, one: Evolution) -> str:
        return self.find(one.answer)


class Refusal(params.Section):
    """A short answer that apologizes."""

    below_words: int = Field(gt=0)
    phrases: list[str]

    def fault(self, one: Evolution) -> str:
        if len(_words(one.answer)) >= self.below_words:
            return ""
        return next((repr(phrase) for phrase in self.phrases if phrase in one.answer.lower()), "")


class Empty(params.Section):
    """An answer of signs and stop words."""

    stop_words: list[str]

    def fault(self, one: Evolution) -> str:
        return "" if set(_words(one.answer)) - set(self.stop_words) else "nothing but signs and stop words"


class TooShort(params.Section):
    """An answer too short to be code."""

    least_characters: int = Field(gt=0)

    def fault(self, one: Evolution) -> str:
        count = len(one.answer.strip())
        return f"{count} characters" if count < self.least_characters else ""


class CopiedQuestion(params.Section):
    """An answer that repeats the question."""

    most_overlap: float = Field(gt=0, le=1)

    def fault(self, one: Evolution) -> str:
        share = _overlap(one.answer, one.question)
        return f"{share:.0%} of the words are the question's" if share > self.most_overlap else ""


class DoesNotParse(params.Section):
    """Code that its grammar cannot parse."""

    def fault(self, one: Evolution) -> str:
        fenced = [(functions.tagged(tag) or one.language, code) for tag, code in _FENCED.findall(one.answer)]
        parts = fenced or [(one.language, one.answer)]
        bad = next((language for language, code in parts if language and not functions.parses(code, language)), "")
        return f"no valid {bad}" if bad else ""


class OfInstruction(params.Section):
    """The rules for an evolved instruction, in order."""

    fragment: Fragment
    copied_prompt: CopiedPrompt
    copied_example: CopiedExample
    no_gain: NoGain
    loop: Loop
    too_long: TooLong


class OfAnswer(params.Section):
    """The rules for its answer, in order."""

    refusal: Refusal
    empty: Empty
    too_short: TooShort
    copied_question: CopiedQuestion
    looped_answer: LoopedAnswer
    does_not_parse: DoesNotParse


class Rules(params.Section):
    """All of rules.yaml."""

    instruction: OfInstruction
    answer: OfAnswer
    judge: list[Rule]


@cache
def load(file: Path = FILE) -> Rules:
    """The rules. Raises `BadInput`, naming file and key."""
    return params.parse(params.read(file), Rules, file)


def names(rules: Rules) -> list[str]:
    """Every rule's name, in the order in which they are applied."""
    return [*OfInstruction.model_fields, *OfAnswer.model_fields, *(rule.rule for rule in rules.judge), "no_ruling"]


def find_fault(rules: OfInstruction | OfAnswer, one: Evolution) -> tuple[str, str] | None:
    """The first rule that `one` breaks and why, or None."""
    found: Iterable[tuple[str, Any]] = rules
    return next(((name, fault) for name, rule in found if (fault := rule.fault(one))), None)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _overlap(left: str, right: str) -> float:
    """The share of the longer text's words that both have, counting repeats."""
    first, second = _words(left), _words(right)
    longer = max(len(first), len(second))
    return (Counter(first) & Counter(second)).total() / longer if longer else 0.0
