"""Directions among many free numbers, in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

#: Parts of a direction that are named, from the largest on, and how large they are at least.
_NAMED, LARGE = 4, 0.3


def in_words(
    names: Sequence[str], direction: Float[np.ndarray, " number"], shares: Mapping[str, float] | None = None
) -> str:
    """The largest parts of a direction of length 1; of one without large parts, how much of it is of which leaf.

    Example:
        >>> in_words(["a", "b", "c"], np.array([0.8, -0.6, 0.0]))
        'a +0.80, b -0.60'
    """
    order = np.argsort(-np.abs(direction))
    largest = [int(i) for i in order[:_NAMED] if np.abs(direction[i]) >= LARGE]
    if largest:
        sign = np.sign(direction[largest[0]])
        return ", ".join(f"{names[i]} {sign * direction[i]:+.2f}" for i in largest)
    leaves = sorted((shares or {}).items(), key=lambda x: -x[1])
    of = ", ".join(f"{name} ({share:.0%})" for name, share in leaves if share >= 0.01)
    return f"many numbers{' of ' + of if of else ' at once'}, most {names[int(order[0])]}"


def count_of(number: int, what: str, more: str = "s") -> str:
    """So many of something.

    Example:
        >>> count_of(1, "region"), count_of(2, "search", "es")
        ('1 region', '2 searches')
    """
    return f"{number} {what}{more * (number != 1)}"
