"""Fronts of models that no other one beats."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._axes import one_axes


def front(terms: Any, sd: Any, names: Sequence[str], *, best: int | None = None, ax: Any = None) -> Any:
    """The first term of each point against each other one.

    Args:
        terms: `(point, term)`.
        sd: the same, the scatter of each over noise; NaN for none.
        names: of the terms.
        best: a point to mark.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for fewer than two terms, or names of another number.

    Example:
        >>> front([[0.6, 2.0], [0.5, 1.0]], [[0.1, 0.1], [0.1, 0.1]], ["r", "error"], best=0).get_xlabel()
        'r'
    """
    terms, sd = np.asarray(terms, float), np.asarray(sd, float)
    if terms.ndim != 2 or terms.shape[1] < 2 or sd.shape != terms.shape:
        raise ValueError(
            f"expected terms and their sd, (point, term) with two terms or more, got {terms.shape} and {sd.shape}"
        )
    if len(names) != terms.shape[1]:
        raise ValueError(f"{len(names)} names for {terms.shape[1]} terms: give one a term")
    ax, scatter = one_axes(ax), np.nan_to_num(sd)
    for i, name in enumerate(names[1:], start=1):
        ax.errorbar(
            terms[:, 0], terms[:, i], scatter[:, i], scatter[:, 0], fmt="o-", ms=4, lw=0.8, elinewidth=0.5, label=name
        )
        if best is not None:
            ax.plot(terms[best, 0], terms[best, i], "o", ms=9, mfc="none", color="k")
    ax.set(xlabel=names[0], ylabel=names[1] if len(names) == 2 else "value")
    if len(names) > 2:
        ax.legend(frameon=False)
    return ax
