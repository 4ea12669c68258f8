"""The embedded default: a llama.cpp server inside this process, on a GGUF file; no key, no network.

It lives in threads of this process and so dies with it, however that ends. One slot and no prompt
cache make an answer depend on its request alone, not on what was asked before or beside it. Each
server computes with one thread, and there are as many servers as there are cores to use: llama.cpp's
threads spin while they wait for each other, and two of them next to one other busy process were
measured more than twenty times slower than one.
"""

import socket
from pathlib import Path
from typing import Any

from stages.lib.teacher.settings import Settings


def start(model: Path, settings: Settings) -> tuple[Any, str]:
    """Serve `model` on a free port of this machine; the server, to be kept, and its base URL."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = settings.context
    parameters.n_parallel = 1
    parameters.cache_prompt = False
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.port = _free_port()
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)
    return server, f"{server.listening_address}/v1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
