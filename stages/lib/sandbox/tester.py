"""The trusted tests' own process: calls the candidate over a pipe; no verdict ever lives in the candidate's memory."""

import contextlib
import ctypes
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from candidate import decode, encode  # type: ignore[import-not-found]  # noqa: E402

MAX_ANSWER = 16 << 20  # bytes


class Stopped(BaseException):
    """The candidate can no longer answer; `args` are the verdict and a detail."""


class CandidateError(Exception):
    """The candidate raised."""


class Candidate:
    """The candidate's process, behind its pipes."""

    def __init__(self, request: dict) -> None:
        self.deadline = time.monotonic() + request["wall_s"]
        self.output, self.most, self.flooded = b"", request["output_bytes"], False
        self.process = subprocess.Popen(
            request["argv"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()

    def _drain(self) -> None:
        count = 0
        while block := os.read(self.process.stderr.fileno(), 65536):
            count += len(block)
            self.output = (self.output + block)[-2000:]
            if count > self.most:
                self.flooded = True
                self.kill()
                return

    def kill(self) -> None:
        """End the session; its namespace's first process takes every other one with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ask(self, body: object) -> dict:
        """Send one frame, return the answer's."""
        text = json.dumps(body).encode()
        self._send(struct.pack(">I", len(text)) + text)
        size = struct.unpack(">I", self._receive(4))[0]
        if size > MAX_ANSWER:
            raise Stopped("output limit", "an answer of more than 16 MiB")
        try:
            answer = json.loads(self._receive(size))
            if not isinstance(answer, dict):
                raise ValueError("an answer that is no object")
            return answer
        except (ValueError, RecursionError) as error:
            raise Stopped("violation", f"not an answer: {error}") from None

    def _send(self, text: bytes) -> None:
        pipe = self.process.stdin.fileno()
        os.set_blocking(pipe, False)
        while text:
            if not select.select([], [pipe], [], max(0.0, self.deadline - time.monotonic()))[1]:
                raise Stopped("timed out", "")
            try:
                text = text[os.write(pipe, text) :]
            except BrokenPipeError:
                raise self._ended() from None

    def _receive(self, size: int) -> bytes:
        pipe, text = self.process.stdout.fileno(), b""
        while len(text) < size:
            if not select.select([pipe], [], [], max(0.0, self.deadline - time.monotonic()))[0]:
                raise Stopped("timed out", "")
            block = os.read(pipe, min(size - len(text), 1 << 20))
            if not block:
                raise self._ended()
            text += block
        return text

    def _ended(self) -> Stopped:
        try:
            status = self.process.wait(max(0.1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Stopped("early exit", "closed its channel")
        self.reader.join(1)
        if self.flooded:
            return Stopped("output limit", "")
        number = -status if status < 0 else status - 128
        if number == signal.SIGXCPU or (number == signal.SIGKILL and time.monotonic() >= self.deadline):
            return Stopped("timed out", "CPU time")
        return Stopped("crash", f"signal {number}") if number > 0 else Stopped("early exit", f"status {status}")

    def __call__(self, *arguments: object) -> object:
        answer = self.ask(encode(arguments))
        raise_if_failed(answer)
        try:
            return decode(answer["value"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise Stopped("violation", f"not an answer: {error!r}") from None


def raise_if_failed(answer: dict) -> None:
    """Turn a reported exception into one here; a memory error ends the run."""
    if "raised" in answer:
        if answer["raised"] == "MemoryError":
            raise Stopped("out of memory", "")
        raise CandidateError(f"{answer['raised']}: {answer.get('text')}")


def judge(request: dict) -> tuple[str, str]:
    """Run the tests to their end: the verdict, and a detail."""
    candidate = Candidate(request)
    try:
        start = {name: request[name] for name in ("program", "entry_point", "limits")}
        raise_if_failed(candidate.ask(start))
        names: dict = {}
        exec(compile(request["tests"], "tests.py", "exec"), names)
        names[request["entry_point"]] = candidate  # HumanEval/33 calls it by its name
        names["check"](candidate)
        return "passed", ""
    except Stopped as end:
        return end.args[0], end.args[1] or candidate.output.decode(errors="replace")
    except CandidateError as error:
        return "exception", str(error)
    except Exception as error:
        return "wrong answer", repr(error)[:500]
    finally:
        candidate.kill()
        candidate.process.wait()


def main() -> None:
    """Read the request, judge, answer with the run's secret."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with the process that asked
    sys.set_int_max_str_digits(0)
    request = json.load(sys.stdin)
    verdict, detail = judge(request)
    json.dump({"secret": request["secret"], "verdict": verdict, "detail": detail[-2000:]}, sys.stdout)


if __name__ == "__main__":
    main()
