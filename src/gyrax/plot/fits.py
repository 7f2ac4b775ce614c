"""How a fit went, and the parameters it found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._axes import one_axes, ticks

#: From this ratio of the largest to the smallest value on, a logarithmic axis shows more.
_DECADES = 100.0


def loss_history(losses: Any, *, best: int | None = None, ax: Any = None) -> Any:
    """A loss over the steps of a fit, or several named terms; by the logarithm where they span two decades or more.

    Args:
        losses: one value a step, or a dict of such by name, as `FitResult.history`.
        best: a step to mark on the (first) history.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no history, one is not a list of numbers, or `best` is not one of its steps.

    Example:
        >>> loss_history({"loss": [3.0, 2.0, 1.0], "rmse": [0.4, 0.3, 0.2]}, best=2).get_xlabel()
        'step'
    """
    named = isinstance(losses, Mapping)
    histories = {k: np.asarray(v, float) for k, v in (losses if named else {"loss": losses}).items()}
    for name, values in histories.items():
        if values.ndim != 1:
            raise ValueError(f"the history '{name}' is one value a step, got shape {values.shape}")
    if not histories:
        raise ValueError("there is no history to draw")
    first = next(iter(histories.values()))
    if best is not None and not 0 <= best < len(first):
        raise ValueError(f"best = {best} is none of the {len(first)} steps")
    ax = one_axes(ax)
    for name, values in histories.items():
        ax.plot(values, lw=1, label=name if named else None)
    finite = np.concatenate(list(histories.values()))
    finite = finite[np.isfinite(finite)]
    if finite.size and finite.min() > 0 and finite.max() >= _DECADES * finite.min():
        ax.set_yscale("log")
    if best is not None:
        ax.plot(best, first[best], "o", ms=4, color=None if not named else "k", label=f"best: {first[best]:.4g}")
    if named or best is not None:
        ax.legend(frameon=False)
    ax.set(xlabel="step", ylabel="loss" if list(histories) == ["loss"] else "value")
    return ax


def regional(values: Any, labels: Sequence[str] | None = None, *, name: str = "", ax: Any = None) -> Any:
    """One value a region, as bars from their mean, in the order of the connectome.

    Args:
        values: `(region,)`.
        labels: one name a region. As many are shown as can be read.
        name: what is shown, with unit.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for another shape, values that are not finite, or labels of another number.

    Example:
        >>> regional([0.2, 0.4], ["V1", "V2"], name="w").get_ylabel()
        'w'
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not np.isfinite(values).all() or not len(values):
        raise ValueError(f"expected one finite value a region, got shape {values.shape}: {values}")
    if labels is not None and len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} values: give one a region")
    ax = one_axes(ax, (6.4, 3.6))
    mean = values.mean()
    ax.bar(np.arange(len(values)), values - mean, bottom=mean, width=0.8)
    ax.axhline(mean, color="k", lw=0.5)
    ax.set(xlabel="region", ylabel=name)
    ax.margins(x=0.01)
    if labels is not None:
        ticks(ax, "x", labels)
    return ax
