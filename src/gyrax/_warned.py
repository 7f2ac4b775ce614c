"""Warnings that point to the line of a user's that they are about."""

import sys
import warnings
from typing import Any


def warn(sentence: str, category: type[Warning] = RuntimeWarning) -> None:
    """A warning that points at the line of the user's own code.

    Example:
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     warn("too few draws")
        >>> said[0].category.__name__, str(said[0].message)
        ('RuntimeWarning', 'too few draws')
    """
    frame: Any = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_back is not None and _ours(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, category, stacklevel=level)


def _ours(frame: Any) -> bool:
    """Whether a frame is of this package, or of what calls it when a Module is built."""
    root = str(frame.f_globals.get("__name__", "")).split(".")[0]
    made = frame.f_code.co_filename.startswith("<") and frame.f_code.co_name == "__init__"  # by dataclasses
    return made or root in ("gyrax", "equinox", "jaxtyping", "beartype")
