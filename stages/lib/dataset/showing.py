"""What a row shows of its tests."""

from stages.lib.records import Row
from stages.lib.tasks import unit_tests
from stages.lib.tasks.unit_tests import examples


def with_example(row: Row) -> Row:
    """`row`, its instruction followed by what one of its tests' calls returns, if it has tests and no input.

    The call shows the name, the parameters and the form of the result, some of which a small teacher leaves out.
    """
    if not row["tests"] or row["input"]:
        return row
    name = unit_tests.entry_point(row["output"], row["language"])
    shown = examples.example(row["tests"], name, row["language"])
    return row | {"instruction": f"{row['instruction']} For example, {shown}."} if shown else row
