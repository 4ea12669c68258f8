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
    shown = examples(row["tests"], name, row["language"], most)
    if not shown:
        return row
    said = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return row | {"instruction": f"{row['instruction']} For example, {said}."}
