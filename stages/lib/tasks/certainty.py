"""How a ruling says the probability of the judge's yes, and how far above what was needed it lies."""

import re
from collections.abc import Sequence

from stages.lib.records import Row

_SAID = re.compile(r"the probability of a yes is ([\d.]+); ([\d.]+) is needed")


def reason(probability: float, needed: float) -> str:
    """The reason of a ruling by probability."""
    return f"the probability of a yes is {probability:.2f}; {needed:.2f} is needed"


def margin(rulings: Sequence[Row]) -> float | None:
    """The smallest margin of a row's rulings by probability; None if it has none."""
    said = [match for ruling in rulings if (match := _SAID.search(ruling["reason"]))]
    return min((round(float(one[1]) - float(one[2]), 6) for one in said), default=None)
