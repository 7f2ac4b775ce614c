"""Plots for people who would rather look than read. Each takes `ax=` and returns matplotlib axes."""

from typing import Any

import numpy as np


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def matrix(values: Any, *, title: str = "", limits: tuple[float, float] | None = None, ax: Any = None) -> Any:
    """A connectivity matrix as a heat map with a colour bar: of both signs, white is zero unless `limits` say otherwise.

    Example:
        >>> matrix(np.eye(3), title="identity").get_title()
        'identity'
    """
    ax = _axes(ax)
    values = np.array(values, float)
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    diverging = low < 0 < high
    if diverging and limits is None:
        low, high = -max(-low, high), max(-low, high)
    image = ax.imshow(values, vmin=low, vmax=high, cmap="RdBu_r" if diverging else "viridis", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, shrink=0.8)
    ax.set(title=title, xlabel="region", ylabel="region")
    return ax


def loss_history(losses: Any, *, best: int | None = None, ax: Any = None) -> Any:
    """A loss over the steps of a fit.

    Example:
        >>> loss_history([3.0, 2.0, 1.0], best=2).get_xlabel()
        'step'
    """
    ax = _axes(ax)
    ax.plot(losses, lw=1)
    if best is not None:
        ax.plot(best, losses[best], "o", ms=4, label=f"best: {losses[best]:.4g}")
        ax.legend(frameon=False)
    ax.set(xlabel="step", ylabel="loss")
    return ax


def regional(values: Any, *, name: str = "", ax: Any = None) -> Any:
    """One value a region, as bars in the order of the connectome.

    Example:
        >>> regional([0.2, 0.4], name="w").get_ylabel()
        'w'
    """
    ax = _axes(ax)
    values = np.asarray(values)
    ax.bar(np.arange(len(values)), values - values.mean(), bottom=values.mean(), width=0.8)
    ax.axhline(values.mean(), color="k", lw=0.5)
    ax.set(xlabel="region", ylabel=name)
    return ax
