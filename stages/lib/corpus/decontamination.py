"""Is a text taken from a benchmark? N-gram overlap with every benchmark of stages/lib/published.

The n-grams are of words (letters, digits and underscores, in lower case), as in Brown et al., "Language
Models are Few-Shot Learners" (2020), appendix C, which takes 13.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import published
from stages.lib.errors import BadInput

_WORD = re.compile(r"\w+")
# An n-gram found in more tasks of one benchmark than this is the benchmark's boilerplate (an include
# list, a harness), and says nothing of where a text comes from.
_MOST_TASKS = 2


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's tasks: `texts` maps a task's id to everything that it says and solves."""

    name: str
    texts: dict[str, str]


class Decontaminator:
    """Finds texts that share `ngram` consecutive words with a task of a benchmark.

    A task with fewer words than that counts if all its words stand in the text, one after another.
    """

    def __init__(self, benchmarks: Iterable[Benchmark], ngram: int = 13) -> None:
        self._ngram = ngram
        self._tasks: dict[tuple[str, ...], str] = {}
        for benchmark in benchmarks:
            for words, tasks in _index(benchmark, ngram).items():
                if len(tasks) <= _MOST_TASKS and _is_telling(words):
                    self._tasks.setdefault(words, f"{benchmark.name} {tasks[0]}")
        self._sizes = sorted({len(words) for words in self._tasks})

    def matches(self, text: str) -> str | None:
        """The first task, as `BENCHMARK TASK_ID`, that `text` shares an n-gram with, or None."""
        words = _words(text)
        grams = (gram for size in self._sizes for gram in _grams(words, size))
        return next((self._tasks[gram] for gram in grams if gram in self._tasks), None)


def load_benchmarks(folder: Path | None) -> tuple[list[Benchmark], list[str]]:
    """The benchmarks that are here, and the names of those that are not, which nothing was checked against.

    `folder` holds the data of those that come in no package, under the paths of published/files.yaml.
    Raises `BadInput` if `folder` is given but holds none of them, or a file of it cannot be read.
    """
    every = published.every()
    found = {one.name: _read(one, files) for one in every if (files := one.find(folder))}
    if folder is not None and not any(one.name in found for one in every if not one.package):
        wanted = ", ".join(one.pattern for one in every if not one.package)
        raise BadInput(f"benchmark folder {folder} holds none of {wanted}; name one that does, or null")
    return list(found.values()), [one.name for one in every if one.name not in found]


def _read(one: published.Published, files: list[Path]) -> Benchmark:
    texts: dict[str, str] = defaultdict(str)
    for file in files:
        for number, row in enumerate(published.rows(file), start=1):
            said = "\n\n".join(_texts(row, one.compare))
            if "task_id" not in row or not said:
                missing = "task_id" if "task_id" not in row else " or ".join(one.compare)
                raise BadInput(f"benchmark file {file}, row {number}: no {missing}; fetch the published file again")
            texts[str(row["task_id"])] += said
    return Benchmark(one.name, dict(texts))


def _texts(row: dict[str, Any], columns: Iterable[str]) -> Iterator[str]:
    for value in (row[column] for column in columns if row.get(column)):
        yield value if isinstance(value, str) else "\n".join(value)


def _index(benchmark: Benchmark, ngram: int) -> dict[tuple[str, ...], list[str]]:
    tasks: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for task, text in benchmark.texts.items():
        words = _words(text)
        for gram in set(_grams(words, min(ngram, len(words)))):
            tasks[gram].append(task)
    return tasks


def _is_telling(words: tuple[str, ...]) -> bool:
    """Whether half of the words are different ones and not numbers: a run of numbers is anybody's."""
    return len({word for word in words if not word.isdigit()}) * 2 >= len(words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    if size:
        yield from zip(*(words[start:] for start in range(size)), strict=False)
