"""A real S3 server on a folder (rclone), which checks credentials: "key" and "secret"."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(folder: Path, port: int, before: tuple[str, ...] = ()) -> Iterator[None]:
    """Serve `folder` at 127.0.0.1:`port`; `before` goes before the server's words (nsenter: into another network)."""
    if not RCLONE:
        pytest.skip("rclone, which serves S3, is not here")
    words = [*before, RCLONE, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secret", str(folder)]
    probe = [*before, sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"]
    with (folder.parent / f"rclone-{len(before)}.log").open("w") as log:
        words += ["--vfs-cache-mode", "off", "--dir-cache-time", "0s"]  # another server may write there too
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            give_up = time.monotonic() + 60
            while subprocess.run(probe, capture_output=True).returncode:
                assert process.poll() is None and time.monotonic() < give_up, Path(log.name).read_text()
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait()
