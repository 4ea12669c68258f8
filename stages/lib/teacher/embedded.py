"""The embedded default: llama.cpp servers inside this process, on a GGUF file; no key, no network.

They live in threads of this process and so die with it, however that ends. An answer depends on its request alone:
a server has one slot, and before each request that slot is set to the state of the request's prefix, which is its
messages but the last. The prefix is always evaluated by itself and from nothing, then saved, and the state restored
from the file, the first time too. So whatever was asked before, llama.cpp computes the same batches on the same
cells, and the answers' bytes are the same (its own prompt cache splits a prompt where the last one happened to
differ, which moves last bits). A judge's instructions and examples are evaluated once a task, not once a row.

Each server computes with one thread, and there are as many servers as there are cores to use: llama.cpp's threads
spin while they wait for each other, and two of them next to one other busy process were measured more than twenty
times slower than one.
"""

import asyncio
import hashlib
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from stages.lib.artifacts import canonical
from stages.lib.models import memory
from stages.lib.teacher.endpoint import Endpoint
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.pacing import Pace
from stages.lib.teacher.settings import Settings

KEPT_PREFIXES = 16  # files of 12 KB a token for a 0.5B model, 28 KB for a 1.5B


def start(model: Path, settings: Settings) -> list["Server"]:
    """`settings.servers` servers of `model`, each on a free port of this machine.

    Raises `BadInput` if there is too little memory for them.
    """
    memory.check(model, settings.servers)
    prefixes = Prefixes()
    each = -(-settings.concurrency // settings.servers)
    return [Server(model, settings, Pace(each), prefixes) for _ in range(settings.servers)]


class Prefixes:
    """States of evaluated prefixes, in files that the servers of one model share; the latest `KEPT_PREFIXES`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tidemill-prefixes-")
        self._locks: dict[str, asyncio.Lock] = {}  # in the order of their last use
        self._saved: set[str] = set()

    @property
    def folder(self) -> str:
        """Where the files lie, as llama.cpp wants it."""
        return f"{self._folder.name}/"

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of the prefix `name`, to be held while its file is written or read."""
        lock = self._locks[name] = self._locks.pop(name) if name in self._locks else asyncio.Lock()
        self._drop(name for name, lock in list(self._locks.items())[:-KEPT_PREFIXES] if not lock.locked())
        return lock

    def is_saved(self, name: str) -> bool:
        """Whether the file is there and whole."""
        return name in self._saved

    def add(self, name: str) -> None:
        """The file has been written."""
        self._saved.add(name)

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            del self._locks[name]
            self._saved.discard(name)
            Path(self._folder.name, name).unlink(missing_ok=True)


class Server(Endpoint):
    """One llama.cpp server and its only slot; the requests that it is given take turns."""

    def __init__(self, model: Path, settings: Settings, pace: Pace, prefixes: Prefixes) -> None:
        self._server = _serve(model, settings, prefixes.folder)  # it stops when nothing holds it
        self._address = self._server.listening_address
        super().__init__(f"{self._address}/v1", settings, pace, always={"cache_prompt": True}, local=True)
        self._prefixes = prefixes
        self._turn = asyncio.Lock()

    async def send(self, request: Request) -> Reply:
        """As `Endpoint.send`, on the state of the request's prefix."""
        async with self._turn:
            if not await self._restore(request.body):
                await self._slot("erase")
            return await super().send(request)

    async def _restore(self, body: dict[str, Any]) -> bool:
        """Whether the slot now holds the prefix of `body`: not if it has none, or one that llama.cpp refuses."""
        *first, last = body.get("messages", [None])
        if not first:
            return False
        name = hashlib.sha256(canonical(first).encode()).hexdigest()
        async with self._prefixes.lock(name):
            if not self._prefixes.is_saved(name):
                # The chat template may not end with any role but the last one's: an empty message of that takes its
                # place. llama.cpp keeps of it what it has in common with the request.
                alone = {"model": body["model"], "messages": [*first, {**last, "content": ""}], "cache_prompt": False}
                if not await self._ask("v1/chat/completions", {**alone, "max_tokens": 0}):
                    return False
                if not await self._slot("save", name):
                    return False
                self._prefixes.add(name)
            return await self._slot("restore", name)

    async def _slot(self, action: str, name: str = "") -> bool:
        return await self._ask(f"slots/0?action={action}", {"filename": name})

    async def _ask(self, path: str, body: dict[str, Any]) -> bool:
        status, _, _ = await self._post(f"{self._address}/{path}", orjson.dumps(body))
        return status == 200


def _serve(model: Path, settings: Settings, folder: str) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = settings.context
    parameters.n_parallel = 1
    parameters.slot_save_path = folder
    parameters.cache_ram_mib = 0  # no other memory of earlier prompts than the files
    parameters.n_ctx_checkpoints = 0
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.port = _free_port()
    parameters.verbosity = -1
    return xllamacpp.Server(parameters)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
