"""A periodic log line about a run: done, in flight, spend, time left, errors by kind."""

import asyncio
import logging
import time
from collections import Counter

from stages.lib.teacher.budget import Budget

EVERY_S = 10

log = logging.getLogger(__name__)


class Progress:
    """Counts of one run, for its log line."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.done = 0
        self.in_flight = 0
        self.sent = 0  # requests that the endpoint answered
        self.replayed = 0  # requests that the journal answered
        self.errors: Counter[str] = Counter()

    def conclude(self, model: str) -> None:
        """Say at the end how many answers came from the journal, so that nobody takes old ones for new ones."""
        if self.replayed:
            log.info(
                "%s: %d answers replayed from the journal, %d new (make journal FORGET=%s has them asked again)",
                *(self.label, self.replayed, self.sent, model),
            )

    async def report(self, total: int, concurrency: int, budget: Budget) -> None:
        """Log a line every `EVERY_S` seconds until cancelled."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(EVERY_S)
            spent = time.monotonic() - began
            left = f"about {spent / self.done * (total - self.done):.0f} s left" if self.done else "no estimate yet"
            errors = ", ".join(f"{count} × {kind}" for kind, count in self.errors.most_common(3))
            log.info(
                "%s: %d of %d done, %d of %d in flight, %d replayed, %.4f US dollars spent, %s%s",
                *(self.label, self.done, total, self.in_flight, concurrency, self.replayed, budget.spent, left),
                f"; errors: {errors}" if errors else "",
            )
