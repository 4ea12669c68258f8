"""What a row shows of its tests, and of its bug."""

from stages.lib.corpus import functions
from stages.lib.records import Row
from stages.lib.tasks import bugs, unit_tests
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


def with_bug_named(row: Row) -> Row:
    """`row`, its output begun by a comment with the wrong line and the right one, if it is a repair of one line.

    A model that has named a line changes it; one that begins with the code mostly copies it (docs/results.md).
    """
    sign = functions.comment_sign(row["language"])
    changed = bugs.changed_line(row["input"].strip("\n"), row["output"].strip("\n"))
    if row["task"] != "code repair" or not sign or changed is None:
        return row
    wrong, right = changed
    return row | {"output": f"{sign} Wrong: {wrong}\n{sign} Right: {right}\n{row['output']}"}
