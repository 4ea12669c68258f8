"""A short stand-in for a value too large to send: equal values have equal digests.

Mbpp/255 answers 1.6 million tuples of 77 numbers; written out for the wire they take 886 MB, a digest of them 64 bytes.
"""

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from os import urandom
from struct import pack
from typing import Any

CHUNK = 1 << 16  # members of a sequence that are hashed at a time
_SEQUENCES = (list, tuple)
_SETS = (set, frozenset)


def brief(value: Any, least: int) -> tuple[str, Any]:
    """("value", value), or ("digest", hex) for a value of `least` members and characters or more.

    Unless `least` is 0, floats and lists of nothing but floats are sent however long: they may be compared with a
    tolerance.
    """
    if least and (_only_floats(value) or _size(value, least) < least):
        return "value", value
    return "digest", digest(value)


def digest(value: Any) -> str:
    """The sha256, hex, of a plain value. As with ==, 1, 1.0 and True are the same, and so are sets in any order.

    NaN, iterators and objects that cannot cross the wire equal nothing: each has another digest every time.
    """
    total = sha256()
    _feed(value, total.update, _Leaves())
    return total.hexdigest()


class _Leaves(dict[Any, bytes]):
    """The bytes of a text or number. Keys of a dict are compared as == does, which makes 1, 1.0 and True one entry."""

    def __missing__(self, value: Any) -> bytes:
        self[value] = found = _leaf(value)
        return found


def _leaf(value: Any) -> bytes:
    """TypeError for what is no text, number or None."""
    if value is None:
        return b"N"
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        return b"u%d:" % len(raw) + raw
    if isinstance(value, bytes):
        return b"b%d:" % len(value) + value
    if isinstance(value, complex):
        return _leaf(value.real) if value.imag == 0 else b"c" + _leaf(value.real) + _leaf(value.imag)
    if isinstance(value, float) and value != value:
        return urandom(16)
    if isinstance(value, (int, float)):
        return _number(value)
    raise TypeError(type(value).__name__)


def _number(value: int | float) -> bytes:
    """Eight bytes where a float holds the number exactly, so that an int and a float that are equal agree."""
    try:
        whole = float(value)
    except OverflowError:
        whole = 0.0
    if whole == value:
        return b"f" + pack("<d", whole + 0.0)  # -0.0 becomes 0.0
    return b"i%x;" % int(value)


def _feed(value: Any, update: Any, leaves: _Leaves) -> None:
    if isinstance(value, _SEQUENCES):
        update(b"%s%d:" % (b"l" if isinstance(value, list) else b"t", len(value)))
        _feed_all(value, update, leaves)
    elif isinstance(value, _SETS):
        update(b"s%d:" % len(value))
        update(b"".join(sorted(_member(one, leaves) for one in value)))
    elif isinstance(value, dict):
        update(b"d%d:" % len(value))
        update(b"".join(sorted(_member(pair, leaves) for pair in value.items())))
    elif isinstance(value, range):
        update(b"r%d:" % len(value))
        _feed_all((*value[:1], *value[1:2]), update, leaves)  # ranges of the same numbers are equal
    else:
        update(_one(value, leaves))


def _feed_all(values: Iterable[Any], update: Any, leaves: _Leaves) -> None:
    """The members of a sequence. `map` and `join` take texts and numbers at the speed of C."""
    rest = iter(values)
    while chunk := tuple(islice(rest, CHUNK)):
        if len(leaves) > CHUNK:
            leaves.clear()
        try:
            update(b"".join(map(leaves.__getitem__, chunk)))
        except TypeError:
            for one in chunk:
                _feed(one, update, leaves)


def _one(value: Any, leaves: _Leaves) -> bytes:
    try:
        return leaves[bytes(value) if isinstance(value, bytearray) else value]
    except TypeError:
        return urandom(16)


def _member(value: Any, leaves: _Leaves) -> bytes:
    inner = sha256()
    _feed(value, inner.update, leaves)
    return inner.digest()


def _only_floats(value: Any) -> bool:
    if isinstance(value, _SEQUENCES) and value:
        return all(isinstance(one, float) for one in value)
    return isinstance(value, float)


def _size(value: Any, most: int) -> int:
    """Members, characters and bytes of integers in all, counted no further than `most`."""
    if isinstance(value, (str, bytes, bytearray)):
        return 1 + len(value)
    if isinstance(value, int):
        return 1 + value.bit_length() // 8
    total = 1
    if isinstance(value, (*_SEQUENCES, *_SETS, dict)):
        for one in value.items() if isinstance(value, dict) else value:
            total += _size(one, most - total)
            if total >= most:
                break
    return total
