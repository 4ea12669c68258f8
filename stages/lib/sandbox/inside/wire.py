"""Plain Python values over a socket: the only thing that crosses between a candidate and its tests.

A message is 8 bytes of length and a value. A value is a tag, and then: nothing (None, True, False); a text of
digits, hexadecimal floats or UTF-8 with its length (int, float, complex, str, bytes, and names of types); or a
count and that many values. Reading builds builtins only, so nothing that is read can bring code, or an
`__eq__`, with it. No module is imported for it: a candidate's process starts in half the time that json takes.
"""

from os import read, write
from typing import Any

LONGEST = 16 << 20  # bytes of a message
DEEPEST = 200  # levels of values in values
_CONSTANTS = {b"N": None, b"T": True, b"F": False}
_COLLECTIONS: list[tuple[Any, bytes]] = [(list, b"l"), (tuple, b"t"), (set, b"s"), (frozenset, b"z")]
_MANY: dict[bytes, Any] = {**{tag: kind for kind, tag in _COLLECTIONS}, b"g": iter}
_ITERATORS = ("generator", "map", "filter", "zip", "enumerate", "reversed", "dict_keys", "dict_values", "dict_items")


class Closed(Exception):
    """The other side is gone."""


class Malformed(Exception):
    """What came is not a message."""


class TooLong(Exception):
    """A message longer than LONGEST."""


class Opaque:
    """Stands for a value of a type that cannot cross: equal to nothing but itself."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return f"<a value of type {self.type_name}, which cannot cross>"


def send(fd: int, value: Any) -> None:
    """Write one message; TooLong if it is, Closed if nobody reads."""
    body = dump(value)
    if len(body) > LONGEST:
        raise TooLong(f"{len(body)} bytes")
    rest = memoryview(len(body).to_bytes(8, "big") + body)
    try:
        while rest:
            rest = rest[write(fd, rest) :]
    except OSError as error:
        raise Closed from error


def receive(fd: int) -> Any:
    """Read one message; Closed at the end of the stream, Malformed for what `send` does not write."""
    length = int.from_bytes(_exactly(fd, 8), "big")
    if length > LONGEST:
        raise Malformed(f"a message of {length} bytes")
    return load(_exactly(fd, length))


def dump(value: Any) -> bytes:
    """The bytes of a value, without a length before them."""
    parts: list[bytes] = []
    _encode(value, parts, 0)
    return b"".join(parts)


def load(body: bytes) -> Any:
    """The value of these bytes; Malformed for what `dump` does not write."""
    try:
        value, end = _decode(body, 0, 0)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error
    if end != len(body):
        raise Malformed(f"{len(body) - end} bytes after the value")
    return value


def _exactly(fd: int, length: int) -> bytes:
    parts = []
    while length:
        try:
            part = read(fd, min(length, 1 << 20))
        except OSError as error:
            raise Closed from error
        if not part:
            raise Closed
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _encode(value: Any, parts: list[bytes], depth: int) -> None:
    """Append the value's bytes. A subclass of a builtin crosses as the builtin, by the builtin's own methods."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} values in one another")
    kind = type(value)
    if value is None or value is True or value is False:
        parts.append(b"N" if value is None else b"T" if value is True else b"F")
    elif issubclass(kind, int):
        _text(b"i", int.__format__(int(value), "x"), parts)
    elif issubclass(kind, float):
        _text(b"f", float.hex(value), parts)
    elif issubclass(kind, str):
        _text(b"u", str.__str__(value), parts)
    elif issubclass(kind, complex):
        _text(b"c", f"{float.hex(value.real)} {float.hex(value.imag)}", parts)
    elif issubclass(kind, (bytes, bytearray)):
        parts.append(b"%s%d:" % (b"a" if issubclass(kind, bytearray) else b"b", len(value)))
        parts.append(bytes(value))
    elif issubclass(kind, dict):
        items = [part for pair in dict.items(value) for part in pair]
        _sequence(b"d", items, parts, depth)
    elif kind is range:
        _sequence(b"r", [value.start, value.stop, value.step], parts, depth)
    elif issubclass(kind, (list, tuple, set, frozenset)):
        base, tag = next(pair for pair in _COLLECTIONS if issubclass(kind, pair[0]))
        _sequence(tag, list(base.__iter__(value)), parts, depth)
    elif kind.__name__ in _ITERATORS:
        _sequence(b"g", list(value), parts, depth)
    else:
        _text(b"o", kind.__name__, parts)


def _text(tag: bytes, text: str, parts: list[bytes]) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    parts.append(b"%s%d:" % (tag, len(raw)))
    parts.append(raw)


def _sequence(tag: bytes, values: list[Any], parts: list[bytes], depth: int) -> None:
    parts.append(b"%s%d:" % (tag, len(values)))
    for value in values:
        _encode(value, parts, depth + 1)


def _decode(body: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} values in one another")
    tag = body[at : at + 1]
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at + 1
    colon = body.index(b":", at, at + 24)
    count = int(body[at + 1 : colon])
    at = colon + 1
    if not 0 <= count <= len(body) - at:
        raise ValueError(f"a count of {count}")
    if tag in (b"d", b"r") or tag in _MANY:
        values = []
        for _ in range(count):
            value, at = _decode(body, at, depth + 1)
            values.append(value)
        return _build(tag, values), at
    return _scalar(tag, body[at : at + count]), at + count


def _build(tag: bytes, values: list[Any]) -> Any:
    if tag == b"d":
        return dict(zip(values[::2], values[1::2], strict=True))
    if tag == b"r":
        return range(*values)
    return _MANY[tag](values)


def _scalar(tag: bytes, raw: bytes) -> Any:
    if tag == b"b":
        return raw
    if tag == b"a":
        return bytearray(raw)
    text = raw.decode("utf-8", "surrogatepass")
    if tag == b"i":
        return int(text, 16)
    if tag == b"f":
        return float.fromhex(text)
    if tag == b"c":
        real, imaginary = text.split(" ")
        return complex(float.fromhex(real), float.fromhex(imaginary))
    if tag == b"o":
        return Opaque(text)
    if tag == b"u":
        return text
    raise ValueError(f"unknown tag {tag!r}")
