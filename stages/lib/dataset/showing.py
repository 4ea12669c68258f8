"""What a row shows of its tests."""

from stages.lib.records import Row
from stages.lib.tasks import unit_tests
from stages.lib.tasks.unit_tests.examples import examples


def with_examples(row: Row, most: int) -> Row:
    """`row`, its instruction followed by what at most `most` of its tests' calls return, if it has tests and no input.

    The calls show the name, the parameters, the form of the result and what comes of odd arguments, some of which a
    small teacher leaves out.
    """
    if not row["tests"] or row["input"]:
        return row
    name = unit_tests.entry_point(row["output"], row["language"])
    *others, last = ["", *examples(row["tests"], name, row["language"], most)]
    said = f"{', '.join(others[1:])} and {last}" if others[1:] else last
    return row | {"instruction": f"{row['instruction']} For example, {said}."} if said else row
