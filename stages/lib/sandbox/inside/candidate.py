"""The candidates' side: a server that has Python loaded, and each candidate in a cell of its own, forked from it.

A candidate sets its own limits for good, runs the program, then answers calls until it is killed. Nothing in its
process is trusted once the program has begun: the program owns it. It can do no more with the wire than a function
can do by its result: send plain values. The server holds nothing of a program, and no candidate can reach it.
"""

import gc
import os
import resource
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import cell, digest, wire

# What the programs of benchmarks import most, loaded once; numpy is loaded by those that want it.
COMMON = (
    "bisect collections copy ctypes datetime functools hashlib heapq itertools json math operator random re statistics "
    "string typing"
)


def main(cpu_s: int, memory_mb: int, processes: int, file_mb: int, *packages: str) -> None:
    """Standard input is the supervisor's socket: for each program it passes the wire and a file to print to."""
    control = socket.socket(fileno=os.dup(0))
    empty = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(empty, standard)
    os.close(empty)
    os.umask(0o022)
    sys.path[:] = [folder for folder in sys.path if folder and folder != "/harness"] + list(packages)
    walled = os.environ.pop("SANDBOX_CELLS", "") == "1"
    for name in COMMON.split():
        __import__(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, every page of what is loaded
    control.send(b"r")
    while True:
        _, fds, _, _ = socket.recv_fds(control, 1, 2)
        if len(fds) != 2:
            return
        limits = (cpu_s, memory_mb, processes, file_mb)
        ended = _one(control, fds, limits, walled)
        wire.send(control.fileno(), ended)


def _one(
    control: socket.socket, fds: list[int], limits: tuple[int, int, int, int], walled: bool
) -> tuple[int | None, float]:
    """One cell from its first to its last process: (wait status, None if it was killed; CPU seconds)."""
    reader, writer = os.pipe()
    pid = cell.enter() if walled else os.fork()
    if pid == 0:
        try:
            _first_process(control, writer, reader, fds, limits, walled)
        finally:
            os._exit(1)
    os.close(writer)
    for fd in fds:
        os.close(fd)
    try:
        status, used = wire.receive(reader)
    except (wire.Closed, wire.Malformed):
        status, used = None, 0.0
    os.close(reader)
    os.waitpid(pid, 0)  # returns when nothing is left in the cell
    return status, used


def _first_process(
    control: socket.socket, writer: int, reader: int, fds: list[int], limits: tuple[int, int, int, int], walled: bool
) -> None:
    """Wait until the supervisor has put this process into its cgroup; start the candidate and wait for it.

    The kernel signs the byte that says "here" with this process's pid as the supervisor sees it.
    """
    os.close(reader)
    os.setsid()
    if walled:
        cell.close_up(limits[3])
    control.send(b"h")
    if control.recv(1) != b"g":
        os._exit(1)
    control.close()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(writer)
            _candidate(fds[0], fds[1], limits)
        finally:
            os._exit(1)
    for fd in fds:
        os.close(fd)
    while True:
        ended, status = os.wait()
        if ended == pid:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            wire.send(writer, (status, used.ru_utime + used.ru_stime))
            os._exit(0)


def _candidate(channel: int, output: int, limits: tuple[int, int, int, int]) -> None:
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    cell.forbid()
    cell.limit(*limits)
    sys.modules.pop("__main__")
    _serve(channel)


def _serve(channel: int) -> None:
    module = ModuleType("candidate")
    sys.modules["candidate"] = sys.modules["__main__"] = module
    while True:
        verb, number, *rest = wire.receive(channel)
        try:
            answer = ("value", number, _ACTS[verb](module, *rest))
        except BaseException as error:
            answer = _raised(number, error)
        _answer(channel, number, answer)


def _load(module: ModuleType, text: str, entry_point: str) -> None:
    exec(compile(text, "candidate.py", "exec"), module.__dict__)
    if entry_point not in module.__dict__:
        raise NameError(f"name {entry_point!r} is not defined")


def _call(module: ModuleType, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    return module.__dict__[name](*arguments, **named)


def _brief(module: ModuleType, name: str, arguments: list[Any], least: int) -> Any:
    return digest.brief(_call(module, name, arguments, {}), least)


_ACTS: dict[str, Callable[..., Any]] = {"load": _load, "call": _call, "brief": _brief}


def _raised(number: int, error: BaseException) -> tuple[Any, ...]:
    try:
        message = str(error)[:2000]
    except BaseException:
        message = ""
    names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    return ("raised", number, names, message)


def _answer(channel: int, number: int, answer: tuple[Any, ...]) -> None:
    try:
        wire.send(channel, answer)
    except wire.TooLong as error:
        wire.send(channel, ("too long", number, str(error)))
    except wire.Closed:
        raise
    except BaseException as error:
        wire.send(channel, _raised(number, error))
