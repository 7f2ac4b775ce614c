"""Warnings that point to the line of a user's that they are about."""

import sys
import sysconfig
import warnings
from pathlib import Path

_OURS = str(Path(__file__).parent)
#: Code between a user's line and ours: decorators, compilers, containers.
_BETWEEN = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})


def warn(sentence: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warns of something at the nearest line that is neither gyrax's nor a library's.

    Example:
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     warn("too few draws")
        >>> said[0].category.__name__, str(said[0].message), said[0].filename.startswith("<doctest")
        ('RuntimeWarning', 'too few draws', True)
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, category, stacklevel=level)


def _is_between(file: str) -> bool:
    return file.startswith((_OURS, *_BETWEEN)) or file.startswith("<@beartype")
