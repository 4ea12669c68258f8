"""Money: reserved before a request is sent and settled afterwards, so that a cap is never exceeded.

Several processes may spend under one label at once. Each keeps its reservations in its own file in `journal/reserved`,
locked while it lives, so a dead process reserves nothing. The journal knows what was spent.
"""

import asyncio
import fcntl
import hashlib
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.lib.errors import BadInput
from stages.lib.teacher.exchange import Request
from stages.lib.teacher.journal import Journal
from stages.lib.teacher.settings import Settings

POLL_S = 0.1  # how often to check what others have settled

_SUMS = struct.Struct("dd")  # US dollars: in flight, lost (outcome unknown)


class Prices:
    """What a model's tokens cost. Raises `BadInput` for a model that has no price and is not marked free."""

    def __init__(self, settings: Settings) -> None:
        price = settings.prices.get(settings.model)
        if price is None and not settings.free:
            known = ", ".join(settings.prices) or "none"
            raise BadInput(
                f"teacher.prices has no price for {settings.model} (it has {known}); add one in US dollars per million "
                "tokens, or set `free: true`"
            )
        self.price = None if settings.free else price

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        if self.price is None:
            return 0.0
        return (prompt_tokens * self.price.prompt + completion_tokens * self.price.completion) / 1e6


class Budget(Prices):
    """What all processes together may spend under `label` on one model, over all runs."""

    def __init__(self, settings: Settings, journal: Journal, label: str) -> None:
        super().__init__(settings)
        self._cap = settings.budget_usd
        self._journal = journal
        self._label = label
        self._reserves = Reserves(journal.path.parent / "reserved", label) if self.price else None
        self._settled = asyncio.Event()

    def close(self) -> None:
        """Give up what is reserved."""
        if self._reserves:
            self._reserves.close()

    @property
    def spent(self) -> float:
        """US dollars that the journal says were spent."""
        return self._journal.spent(self._label)

    async def reserve(self, request: Request) -> float:
        """Reserve the most that `request` can cost; near the cap, wait for others to settle.

        A prompt has at most as many tokens as its canonical JSON has bytes, because a byte-level token is at least one
        byte. Raises `BadInput` if the rest of the budget cannot pay for the request.
        """
        if self._reserves is None:
            return 0.0
        most = self.cost(len(request.text.encode()), request.most_tokens)
        while True:
            with self._reserves.alone():
                in_flight, lost = self._reserves.total()
                self._journal.refresh()  # after the reserves: what settles in between counts twice
                if self.spent + in_flight + lost + most <= self._cap:
                    self._reserves.add(most)
                    return most
            if not in_flight:
                unheard = f", {lost:.4f} are reserved for requests that were never answered" if lost else ""
                raise BadInput(
                    f"the budget is reached: {self.spent:.4f} of {self._cap:.4f} US dollars are spent{unheard} and "
                    f"the next request may cost {most:.4f}; raise teacher.budget_usd and run it again; "
                    "nothing is paid twice"
                )
            await self._wait()

    def settle(self, reserved: float, lost: bool = False) -> None:
        """Release a reservation whose cost is now in the journal, or was zero. If the request's outcome is unknown, the
        reservation stays `lost` while this process lives."""
        if self._reserves:
            self._reserves.remove(reserved, lost)
            self._settled.set()

    async def _wait(self) -> None:
        self._settled.clear()
        try:
            async with asyncio.timeout(POLL_S):
                await self._settled.wait()
        except TimeoutError:
            return


class Reserves:
    """The reservations of this and other processes under `label`."""

    def __init__(self, folder: Path, label: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._prefix = hashlib.sha256(label.encode()).hexdigest()[:16]
        self._name = f"{self._prefix}-{uuid.uuid4().hex}"
        self._count, self._in_flight, self._lost = 0, 0.0, 0.0
        self._mutex = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        with self.alone():
            self._file = os.open(folder / self._name, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._write()

    def close(self) -> None:
        """Give up what is reserved."""
        with self.alone():
            (self._folder / self._name).unlink(missing_ok=True)
        os.close(self._file)
        os.close(self._mutex)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process from reserving."""
        fcntl.flock(self._mutex, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._mutex, fcntl.LOCK_UN)

    def total(self) -> tuple[float, float]:
        """US dollars that all living processes have in flight, and have lost; call it `alone`."""
        in_flight, lost = self._in_flight, self._lost
        for path in self._folder.glob(f"{self._prefix}-*"):
            if path.name != self._name:
                other = self._read(path)
                in_flight, lost = in_flight + other[0], lost + other[1]
        return in_flight, lost

    def add(self, amount: float) -> None:
        """Reserve; call it `alone`."""
        self._count += 1
        self._in_flight += amount
        self._write()

    def remove(self, amount: float, lost: bool) -> None:
        """Release what `add` reserved, or keep it as lost."""
        self._count -= 1
        self._in_flight = self._in_flight - amount if self._count else 0.0
        self._lost += amount if lost else 0.0
        self._write()

    def _write(self) -> None:
        os.pwrite(self._file, _SUMS.pack(self._in_flight, self._lost), 0)

    def _read(self, path: Path) -> tuple[float, float]:
        """What another process has reserved; if it is dead, nothing, and its file is removed."""
        try:
            other = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return 0.0, 0.0
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            in_flight, lost = _SUMS.unpack(os.pread(other, _SUMS.size, 0))
            return in_flight, lost
        else:
            path.unlink(missing_ok=True)
            return 0.0, 0.0
        finally:
            os.close(other)
