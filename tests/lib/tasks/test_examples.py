"""A test as a person is told of it."""

import pytest

from stages.lib.dataset.showing import with_example
from stages.lib.tasks.unit_tests.examples import example


@pytest.mark.parametrize(
    ("lines", "language", "told"),
    [
        (["assert candidate([3, 1]) == [1, 3]"], "Python", "f([3, 1]) returns [1, 3]"),
        (["assert list(candidate('ab', 2)) == ['ab', 'ab']"], "Python", "list(f('ab', 2)) returns ['ab', 'ab']"),
        (["assert candidate({'a': None}, True) == 'x'"], "JavaScript", 'f({"a": null}, true) returns "x"'),
        (["assert candidate('') == ''", "assert candidate('a') == 'A'"], "Python", "f('a') returns 'A'"),
        (["assert candidate(1) == False", "assert candidate(2) == True"], "Python", "f(2) returns True"),
        (["assert candidate(1) == False"], "Python", "f(1) returns False"),
        ([f"assert candidate({'x' * 90!r}) == 1", "assert candidate('x') == 2"], "Python", "f('x') returns 2"),
        (
            ["assert candidate([]) == None", "assert candidate(0) is None", "assert abs(candidate(1) - 2) < 1"],
            "Python",
            "",
        ),
        (["assert candidate({'x'}) == 1", "assert list(candidate(1)) == [1]"], "JavaScript", ""),
        (["assert candidate(1) == 2"], "Rust", ""),
        ([], "Python", ""),
    ],
)
def test_the_first_short_call_that_shows_something(lines: list[str], language: str, told: str) -> None:
    assert example(lines, "f", language) == told


def test_a_row_with_tests_and_no_input_says_what_a_call_returns() -> None:
    row = {
        "instruction": "Write a Python function that sorts.",
        "input": "",
        "output": "def order(values):\n    return sorted(values)",
        "language": "Python",
        "tests": ["assert candidate([2, 1]) == [1, 2]", "assert candidate([3]) == [3]"],
    }
    shown = "Write a Python function that sorts. For example, order([2, 1]) returns [1, 2]."
    assert with_example(row) == row | {"instruction": shown}
    for same in (
        row | {"input": "def order(values): ..."},
        row | {"tests": []},
        row | {"tests": ["assert candidate(1)"]},
    ):
        assert with_example(same) == same
