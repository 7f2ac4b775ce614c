"""Units and usual ranges, in one place: what cannot be is refused, what is unlikely gets one warning, with the unit."""

import math
from typing import NamedTuple

from ._warned import warn


class UnitWarning(UserWarning):
    """A value that is possible but so unusual that it is likely to be in another unit.

    Whoever means it says so: `warnings.simplefilter("ignore", gx.UnitWarning)`.
    """


class Usual(NamedTuple):
    """Usual values of a quantity, and those beyond which there are none.

    Attributes:
        what: it is called.
        unit: of all numbers here.
        low: lowest usual value.
        high: highest usual value.
        most: highest possible value.
        hint: what has likely happened.
    """

    what: str
    unit: str
    low: float
    high: float
    most: float = math.inf
    hint: str = ""


#: Mice have tracts of 1 mm, people of 300 mm; no nerve of any animal is 10 m long.
LENGTH = Usual("the longest tract", "mm", 1.0, 1000.0, 10_000.0, "lengths in m or in micrometres?")
#: From thin axons without myelin to the fastest of the spine.
SPEED = Usual("the conduction speed", "mm/ms (= m/s)", 0.1, 120.0, hint="a speed in mm/s or m/ms?")
STEP = Usual("the step dt", "ms", 0.005, 100.0, hint="a step in s?")
REPETITION = Usual("the period of BOLD (TR)", "ms", 50.0, 20_000.0, hint="a TR in s?")


def check_usual(value: float, usual: Usual, name: str = "") -> None:
    """Refuses what cannot be, and warns of what is unlikely.

    Args:
        value: in the quantity's unit.
        usual: what it usually is.
        name: of the argument, for the sentence.

    Raises:
        ValueError: beyond what is possible.

    Example:
        >>> check_usual(2e8, LENGTH)
        Traceback (most recent call last):
        ValueError: the longest tract is 2e+08 mm, which is impossible: usual are 1 to 1000 mm; lengths in m or in micrometres?
    """
    check_possible(value, usual, name)
    if not usual.low <= value <= usual.high:
        warn(f"{_said(value, usual, name)}: {_range(usual)}", UnitWarning)


def check_possible(value: float, usual: Usual, name: str = "") -> None:
    """Refuses what cannot be, and lets pass what is unlikely."""
    if value > usual.most:
        raise ValueError(f"{_said(value, usual, name)}, which is impossible: {_range(usual)}")


def _said(value: float, usual: Usual, name: str) -> str:
    return f"{usual.what}{f' {name}' if name else ''} is {value:g} {usual.unit}"


def _range(usual: Usual) -> str:
    return f"usual are {usual.low:g} to {usual.high:g} {usual.unit}" + (f"; {usual.hint}" if usual.hint else "")


def check_transposed(times: int, channels: int, what: str) -> None:
    """Warns of a series with more channels than times, which is likely to be transposed.

    Args:
        times: its rows.
        channels: its columns.
        what: it is called.
    """
    if channels > times:
        warn(
            f"{what} has {times} times (rows) and {channels} channels (columns): transposed? Rows are times; give it .T",
            UnitWarning,
        )
