"""Serves the tuned model through an OpenAI-compatible API, on a CPU too: `make serve [PORT=8080]`.

    python -m commands serve [--port 8080] [--host 127.0.0.1] [--threads 2]

models/tuned is exported once to a GGUF file (.tidemill/serve/), which llama.cpp's server loads. Its chat template is
the training prompt, so /v1/chat/completions asks the model as it was trained.
"""

import argparse
import signal
import threading
from pathlib import Path
from typing import Any

from commands import gguf
from stages.lib import artifacts
from stages.lib.errors import BadInput

KEPT = Path(".tidemill/serve")
CONTEXT_TOKENS = 2048


def main(arguments: list[str]) -> None:
    """Serve until SIGINT or SIGTERM. Raises `BadInput` if there is nothing to serve."""
    parser = argparse.ArgumentParser(
        prog="make serve", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves other machines, without a password")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    server = start(export(), given.host, given.port, given.threads)
    print(f"serving models/tuned at {server.listening_address}/v1", flush=True)
    stop.wait()


def export() -> Path:
    """The GGUF file of the current models/tuned, exported if missing."""
    tuned = artifacts.open(gguf.TUNED)
    file = KEPT / f"{tuned.root[:16]}.gguf"
    if not file.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        gguf.export(gguf.TUNED, part)
        part.rename(file)
    return file


def start(file: Path, host: str, port: int, threads: int) -> Any:
    """Start llama.cpp's server on `file` in threads of this process; keep a reference to it. Raises `BadInput` if it
    cannot start."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {"tuned"}
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames = [host]
    parameters.port = port
    parameters.verbosity = -1
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise BadInput(f"the server cannot start on {host}:{port}: {error}; is the port free?") from None
