"""A Java compiler that stays: starting one costs ten times what compiling a short program does."""

import os
import select
import struct
import subprocess
import time
from typing import Any

from stages.lib.sandbox import languages, processes
from stages.lib.sandbox.walls import Isolation

COMPILE_S = 30.0  # on the clock, of any compiler, before a program's own limits begin


class Javac:
    """The Java compiler of one worker (jobs/Compiler.java), behind a wall of its own; started when it is needed."""

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation
        self.process: subprocess.Popen[bytes] | None = None

    def compile(self, source: bytes) -> tuple[bool, bytes]:
        """Whether it compiles, and the jar or the messages."""
        process = self.process or self._start()
        assert process.stdin and process.stdout
        deadline = time.monotonic() + COMPILE_S
        try:
            process.stdin.write(struct.pack(">i", len(source)) + source)
            process.stdin.flush()
            built, length = struct.unpack(">bi", self._read(process.stdout, 5, deadline))
            return bool(built), self._read(process.stdout, length, deadline)
        except (OSError, EOFError):
            self.stop()
            return False, b"error: the compiler was lost or took too long"

    def _read(self, stream: Any, length: int, deadline: float) -> bytes:
        data = b""
        while len(data) < length:
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(stream.fileno(), length - len(data)) if ready else b""
            if not part:
                raise EOFError
            data += part
        return data

    def _start(self) -> subprocess.Popen[bytes]:
        tools = languages.javac()
        self.process = subprocess.Popen(
            self.isolation.command(tools, 1, []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.isolation.environment(tools),
            start_new_session=True,
        )
        return self.process

    def stop(self) -> None:
        """Kill the process; the next program starts another."""
        if self.process is not None:
            processes.end(self.process)
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
        self.process = None
