"""A model in this process: prompts in batches of similar length, longest first, each saved once answered."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.lib import artifacts, checkpoint, progress
from stages.lib.models import decoding

log = logging.getLogger("tidemill.sample")

Answer = Callable[[Sequence[decoding.Request], decoding.Settings], list[decoding.Answer]]


@dataclass(frozen=True)
class Batched:
    """`answer` answers one batch; a killed run resumes after the last batch in `saves`."""

    tokenizer: Any
    answer: Answer
    settings: decoding.Settings
    batch_rows: int
    saves: Path

    def write(
        self, requests: Sequence[decoding.Request], stop: tuple[str, ...], step: str = ""
    ) -> list[decoding.Answer]:
        """The answers, in order; `step` separates the saves of different steps. Raises `Preempted` on SIGTERM."""
        answers: dict[int, decoding.Answer] = {}
        for number, rows in enumerate(self.save(requests, stop, step)):
            saved = artifacts.read_json(self._place(number, step) / "answers.json")
            answers |= zip(rows, (decoding.Answer(**one) for one in saved), strict=True)
        return [answers[row] for row in range(len(requests))]

    def save(
        self,
        requests: Sequence[decoding.Request],
        stop: tuple[str, ...],
        step: str = "",
        mine: Callable[[int], range] = range,
    ) -> list[list[int]]:
        """The batches, as row numbers of `requests`; answers those that are `mine` and not saved yet."""
        settings = replace(self.settings, stop=stop)
        batches = self.group([request.prompt for request in requests])
        ours = mine(len(batches))
        with progress.work("answering", sum(len(batches[number]) for number in ours), "prompts") as work:
            for number in ours:
                save = self._place(number, step)
                if checkpoint.is_valid(save):
                    work.skip(len(batches[number]))
                else:
                    found = self.answer([requests[row] for row in batches[number]], settings)
                    artifacts.write_json(save / "answers.json", [vars(one) for one in found])
                    checkpoint.seal(save)
                    work.add(len(found))
                    log.debug("answered batch %d of %d", number + 1, len(batches))
                checkpoint.raise_if_stop_requested()
        return batches

    def group(self, prompts: Sequence[str]) -> list[list[int]]:
        """The batches in which prompts are answered, as their numbers."""
        return decoding.batches(decoding.lengths(self.tokenizer, prompts), self.batch_rows)

    def _place(self, number: int, step: str) -> Path:
        return self.saves / step / f"batch-{number:06d}"

    def metrics(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Tokens of the prompts, each counted once."""
        return {"prompt_tokens": sum(decoding.lengths(self.tokenizer, prompts))}
