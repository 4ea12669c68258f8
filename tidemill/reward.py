"""The reward of a program that a model wrote: 1 if it passes its task's tests in the sandbox, else 0.

    trainer = GRPOTrainer(
        model,
        reward_funcs=tidemill.Reward(),
        train_dataset=datasets.load_dataset("json", data_files="tasks.jsonl", split="train"),
    )

on what `make export FORMAT=reward OUT=tasks.jsonl` wrote. TRL calls a reward function with lists, one entry a
completion: the completions, and the columns of the dataset.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from stages.lib import sandbox
from stages.lib.errors import BadInput

Said = str | Sequence[dict[str, Any]]  # a completion: a text, or the turns of a conversation


class Reward:
    """Runs a batch of completions, `workers` at a time, in processes of their own behind the sandbox's walls, which
    stay up from batch to batch until `close` or the end of the process.

    `control`: a program that passes is run again against tests that must fail, so that one that forges its verdict gets
    nothing (docs/sandbox.md). `limits`: per program.
    """

    __name__ = "tests_passed"  # under which TRL logs it

    def __init__(
        self,
        workers: int = 2,
        limits: sandbox.Limits | None = None,
        allow_weak_isolation: bool = False,
        control: bool = True,
    ) -> None:
        self._ways = (limits or sandbox.Limits(), workers, allow_weak_isolation, control)
        self._languages: set[str] = set()
        self._open = ExitStack()
        self._run: Callable[[Iterable[sandbox.Program]], Iterator[sandbox.Outcome]] | None = None
        weakref.finalize(self, self._open.close)

    def __call__(
        self,
        completions: Sequence[Said],
        tests: Sequence[Sequence[str]],
        language: Sequence[str],
        entry_point: Sequence[str],
        log_extra: Callable[[str, list[str]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """The reward of each completion. TRL's log gets each verdict (the column `verdict`) and the share of each.

        Raises `BadInput` for a language that the sandbox does not run, or not here, and where there is no isolation.
        """
        from stages.lib.judging import answers

        self._check(set(language))
        texts = [said if isinstance(said, str) else said[-1]["content"] for said in completions]
        wanted = [answers.program(*one) for one in zip(texts, tests, language, entry_point, strict=True)]
        distinct = dict.fromkeys(one for one in wanted if isinstance(one, sandbox.Program))  # a group repeats itself
        found = dict(zip(distinct, self._session()(distinct), strict=True)) if distinct else {}
        verdicts = [found[one].verdict if isinstance(one, sandbox.Program) else one for one in wanted]
        if log_extra:
            log_extra("verdict", verdicts)
        if log_metric:
            for verdict, count in Counter(verdicts).items():
                log_metric(f"verdict/{verdict}", count / len(verdicts))
        return [float(verdict == "passed") for verdict in verdicts]

    def close(self) -> None:
        """Take the walls down; the next batch builds them anew."""
        self._open.close()
        self._run = None

    def _check(self, wanted: set[str]) -> None:
        from stages.lib.tasks.unit_tests import languages

        for name in sorted(wanted - self._languages):
            if name not in languages():
                raise BadInput(f"language {name!r}: tests can be run in {', '.join(languages())}; leave these rows out")
            if name != "Python" and (reason := sandbox.missing(languages()[name]["sandbox"])):
                raise BadInput(f"language {name!r}: {reason}; install it, or leave these rows out")
        if wanted - self._languages:
            self.close()
            self._languages |= wanted

    def _session(self) -> Callable[[Iterable[sandbox.Program]], Iterator[sandbox.Outcome]]:
        if self._run is None:
            from stages.lib.tasks.unit_tests import languages

            words = {languages()[name]["sandbox"] for name in self._languages}
            self._run = self._open.enter_context(sandbox.session(words, *self._ways))
        return self._run
