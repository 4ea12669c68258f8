"""A test as a person is told of it."""

import pytest

from stages.lib.dataset.showing import with_examples
from stages.lib.tasks.unit_tests.examples import examples


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
    assert examples(lines, "f", language, 1) == ([told] if told else [])


def test_further_calls_show_other_results() -> None:
    lines = [f"assert candidate({call}) == {result}" for call, result in ((1, []), (2, [0]), (3, [0]), (4, [1]))]
    calls = ["f(2) returns [0]", "f(4) returns [1]", "f(1) returns []", "f(3) returns [0]"]
    assert [examples(lines, "f", "Python", most) for most in (1, 2, 3, 9)] == [calls[:1], calls[:2], calls[:3], calls]


def test_a_row_with_tests_and_no_input_says_what_a_call_returns() -> None:
    row = {
        "instruction": "Write a Python function that sorts.",
        "input": "",
        "output": "def order(values):\n    return sorted(values)",
        "language": "Python",
        "tests": ["assert candidate([2, 1]) == [1, 2]", "assert candidate([3]) == [3]"],
    }
    shown = "Write a Python function that sorts. For example, order([2, 1]) returns [1, 2]."
    assert with_examples(row, 1) == row | {"instruction": shown}
    assert with_examples(row, 3) == row | {"instruction": f"{shown[:-1]} and order([3]) returns [3]."}
    for same in (
        row | {"input": "def order(values): ..."},
        row | {"tests": []},
        row | {"tests": ["assert candidate(1)"]},
    ):
        assert with_examples(same, 3) == same
