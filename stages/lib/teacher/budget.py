"""Money: reserved before a request is sent, settled after, so that a cap is never overshot."""

import asyncio

from stages.lib.errors import BadInput
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.settings import Settings


class Budget:
    """What one stage may spend at one model; `spent` is what the journal says that it already has.

    Raises `BadInput` for a model that has no price and is not said to be free.
    """

    def __init__(self, settings: Settings, spent: float) -> None:
        price = settings.prices.get(settings.model)
        if price is None and not settings.free:
            known = ", ".join(settings.prices) or "none"
            raise BadInput(
                f"teacher.prices has no price for {settings.model} (it has {known}); add one, in US dollars per "
                "million tokens, or say `free: true`"
            )
        self._price = None if settings.free else price
        self._cap = settings.budget_usd
        self._reserved = 0.0
        self._open = 0  # reservations
        self._settled = asyncio.Event()
        self.spent = spent

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        if self._price is None:
            return 0.0
        return (prompt_tokens * self._price.prompt + completion_tokens * self._price.completion) / 1e6

    async def reserve(self, request: Request) -> float:
        """Set aside the most that `request` can cost, waiting for others to settle where the cap is near.

        Its prompt cannot have more tokens than its canonical JSON has bytes: byte-level tokenizers make
        no token of less than a byte. Raises `BadInput` when the rest of the budget cannot pay for it.
        """
        most = self.cost(len(request.text.encode()), request.most_tokens)
        while self._price is not None and self.spent + self._reserved + most > self._cap:
            if not self._open:
                raise BadInput(
                    f"the budget is reached: {self.spent:.4f} of {self._cap:.4f} US dollars are spent and the next "
                    f"request may cost {most:.4f}; raise teacher.budget_usd and run it again, nothing is paid twice"
                )
            self._settled.clear()
            await self._settled.wait()
        self._reserved += most
        self._open += 1
        return most

    def settle(self, reserved: float, reply: Reply | None = None, unknown: bool = False) -> float:
        """Replace a reservation by the cost of `reply`, by nothing, or, if nobody knows what became of
        the request, by the whole reservation. Returns the US dollars that count as spent."""
        cost = reserved if unknown else self.cost(reply.prompt_tokens, reply.completion_tokens) if reply else 0.0
        self._open -= 1
        self._reserved = self._reserved - reserved if self._open else 0.0
        self.spent += cost
        self._settled.set()
        return cost
