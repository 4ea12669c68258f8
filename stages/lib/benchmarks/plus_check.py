"""EvalPlus's checker: the text of this file is run in the tests' process, with a call of `record` or `check_all` after
it (expected.py).

Source: github.com/evalplus/evalplus 0.3.1, evalplus/eval/__init__.py (unsafe_execute), eval/_special_oracle.py and
data/mbpp.py (mbpp_deserialize_inputs). Its rules are kept to the letter, faults included: once an expected value
was a float, what follows in the same set is compared with a tolerance too.
"""

import base64
import json
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

RTOL = 1e-07
FLOAT_ATOL = 1e-6
LARGE = 16_000  # members and characters of an answer: from there on its digest is kept instead

Answer = tuple[str, Any]  # ("value", it) or ("digest", its digest)


def record(reference: Any, spec: dict[str, Any]) -> list[list[Answer]]:
    """The reference's answer to every input of both sets; a digest for one that is large and has to be equal."""
    return [list(_answers(reference, spec, inputs)) for inputs in spec["inputs"]]


def _answers(reference: Any, spec: dict[str, Any], inputs: list[Any]) -> Iterator[Answer]:
    atol = spec["atol"]
    for given in CONVERSIONS[spec["conversion"]](inputs):
        exact = spec["oracle"] == "equal" and atol == 0
        kind, value = reference.brief(LARGE, *given) if exact else ("value", reference(*given))
        atol = _next_tolerance(value, atol)
        yield kind, value


def check_all(candidate: Any, spec: dict[str, Any], recorded: list[list[Answer]]) -> None:
    """Every input of both sets: AssertionError for the first that is answered otherwise than the reference did."""
    for inputs, answers in zip(spec["inputs"], recorded, strict=True):
        atol = spec["atol"]
        for given, (kind, expected) in zip(CONVERSIONS[spec["conversion"]](inputs), answers, strict=True):
            if kind == "digest":
                assert candidate.brief(0, *given) == ("digest", expected)
            else:
                atol = compare(spec["oracle"], given, candidate(*given), expected, atol)


def compare(oracle: str, given: Any, found: Any, expected: Any, atol: float) -> float:
    """AssertionError unless `found` is right; the tolerance for the next input."""
    if oracle == "zero of a polynomial":
        assert abs(_polynomial(given[0], found)) <= atol
        return atol
    same = ORACLES[oracle](given, found, expected, atol)
    atol = _next_tolerance(expected, atol)
    if not same and atol != 0:
        import numpy

        assert type(found) is type(expected)
        assert not isinstance(expected, (list, tuple)) or len(found) == len(expected)
        assert numpy.allclose(found, expected, rtol=RTOL, atol=atol)
    else:
        assert same
    return atol


def _next_tolerance(expected: Any, atol: float) -> float:
    return FLOAT_ATOL if atol == 0 and _floats(expected) else atol


def _floats(value: Any) -> bool:
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(one, float) for one in value)
    return isinstance(value, float)


def _polynomial(coefficients: list[float], x: float) -> float:
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def _not_none(_given: Any, found: Any, expected: Any, _atol: float) -> bool:
    wanted = expected is not None
    return bool(found == wanted) if isinstance(found, bool) else wanted == (found is not None)


def _pyramid(given: Any, found: Any, expected: Any, atol: float) -> bool:
    """The surface of a square pyramid by its height, where the reference has it by its slant height."""
    edge, height = given
    surface = edge**2 + 2 * edge * math.sqrt((edge / 2) ** 2 + height**2)
    return bool(found == expected or abs(found - round(surface)) <= atol)


def _digits(given: Any, found: Any, expected: Any, _atol: float) -> bool:
    """The sum of the differences digit by digit, the shorter number filled up with zeros."""
    width = max(len(str(number)) for number in given)
    one, two = (str(number).zfill(width) for number in given)
    return bool(found == expected or found == sum(abs(int(a) - int(b)) for a, b in zip(one, two, strict=True)))


ORACLES: dict[str, Callable[[Any, Any, Any, float], Any]] = {
    "equal": lambda given, found, expected, atol: found == expected,
    "anything": lambda given, found, expected, atol: True,
    "equal or zero": lambda given, found, expected, atol: found == expected or found == 0,
    "equal sets": lambda given, found, expected, atol: set(found) == set(expected),
    "not none": _not_none,
    "pyramid": _pyramid,
    "digits": _digits,
}


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _each(convert: Callable[[list[Any]], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda inputs: [convert(given) for given in inputs]


# What JSON has no types for, from its lists.
CONVERSIONS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "none": _each(lambda given: given),
    "arguments to tuples": _each(lambda given: list(map(tuple, given))),
    "items to tuples": _each(lambda given: [list(map(tuple, one)) for one in given]),
    "items of the first to tuples": _each(lambda given: [list(map(tuple, given[0])), given[1]]),
    "first to tuple": _each(lambda given: [tuple(given[0]), *given[1:]]),
    "second to tuple": _each(lambda given: [given[0], tuple(given[1])]),
    "first and its lists to tuples": _each(
        lambda given: [tuple(tuple(one) if isinstance(one, list) else one for one in given[0])]
    ),
    "arguments and items to tuples": _each(lambda given: [tuple(map(tuple, one)) for one in given]),
    "values of the first to tuples": _each(lambda given: [{k: tuple(v) for k, v in given[0].items()}, *given[1:]]),
    "items to sets": _each(lambda given: [[set(i) if isinstance(i, list) and i else {} for i in given[0]]]),
    "float and complex": _each(lambda given: (float(given[0]), complex(given[1]))),
    "complex": _each(lambda given: [complex(given[0])]),
    "all to tuples": _each(_deep),
}


def load(text: str) -> dict[str, Any]:
    """The specification that plus.py wrote."""
    return dict(json.loads(text))


def pack(recorded: list[list[Answer]]) -> str:
    """What `record` found, as a text. JSON has no tuples, sets or complex numbers; the sandbox's wire has."""
    from inside import wire

    return base64.b64encode(zlib.compress(wire.dump(recorded))).decode()


def unpack(text: str) -> list[list[Answer]]:
    """What was packed."""
    from inside import wire

    return list(wire.load(zlib.decompress(base64.b64decode(text))))
