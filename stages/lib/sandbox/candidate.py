"""Runs inside the isolation: executes foreign code and answers calls with plain data. Standard library alone."""

import json
import os
import resource
import struct
import sys


def encode(value):  # type: ignore[no-untyped-def]
    """Plain data of exact built-in types as tagged JSON; a subclass or any other object is refused."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return [kind.__name__, value]
    if kind is float:
        return ["float", value.hex()]
    if kind in (list, tuple, set, frozenset):
        return [kind.__name__, [encode(item) for item in value]]
    if kind is dict:
        return ["dict", [[encode(key), encode(item)] for key, item in value.items()]]
    raise TypeError(f"the answer holds a {kind.__name__}, which is not plain data")


def decode(node):  # type: ignore[no-untyped-def]
    """The value that `encode` wrote. Raises `ValueError` for anything else."""
    kind, value = node
    if kind in ("NoneType", "bool", "int", "str"):
        if type(value).__name__ != kind:
            raise ValueError("a value of another type than its tag")
        return value
    if kind == "float":
        return float.fromhex(value)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in value}
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](decode(item) for item in value)


def main() -> None:
    """Answer calls on standard input's pipe until it closes; what the program prints goes to stderr."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def receive():  # type: ignore[no-untyped-def]
        header = calls.read(4)
        if len(header) < 4:
            os._exit(0)
        return json.loads(calls.read(struct.unpack(">I", header)[0]))

    def answer(body):  # type: ignore[no-untyped-def]
        text = json.dumps(body).encode()
        text = struct.pack(">I", len(text)) + text
        while text:
            text = text[os.write(answers, text) :]

    start = receive()
    sys.set_int_max_str_digits(0)
    for name, most in start["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    names = {"__name__": "candidate"}
    try:
        exec(compile(start["program"], "candidate.py", "exec"), names)
        function = names[start["entry_point"]]
        answer({"ready": True})
    except Exception as error:
        answer({"raised": type(error).__name__, "text": str(error)[:500]})
        return
    while True:
        arguments = decode(receive())
        try:
            answer({"value": encode(function(*arguments))})
        except Exception as error:
            answer({"raised": type(error).__name__, "text": str(error)[:500]})


if __name__ == "__main__":
    main()
