"""Posteriors, and how evenly the truth ranks in them."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from ._axes import panels

#: Free numbers that get an axis of their own; of more there is one for each leaf.
_EACH = 12


def intervals(samples: xr.Dataset, ax: Any = None) -> Any:
    """Intervals of 90 and 50 % and medians, one panel a leaf.

    Args:
        samples: with the dimensions chain and draw, as `gx.inference` gives them.
        ax: matplotlib axes, as many as there are leaves; a new figure if left out.

    Returns:
        The axes.

    Example:
        >>> samples = xr.Dataset({"w": (("chain", "draw"), np.random.default_rng(0).normal(size=(2, 50)))})
        >>> len(intervals(samples))
        1
    """
    axes = panels(ax, 1, len(samples), (3.2 * len(samples), 3.2))
    for one, (name, values) in zip(axes, samples.items(), strict=True):
        flat = np.asarray(values, float).reshape(values.sizes["chain"] * values.sizes["draw"], -1)
        places = np.arange(flat.shape[1])
        for low, high, width in ((5, 95, 1.5), (25, 75, 4.0)):
            one.vlines(places, *np.percentile(flat, [low, high], axis=0), color="C0", lw=width)
        one.plot(places, np.median(flat, axis=0), "o", ms=4, color="k")
        dim = next((d for d in values.dims if d not in ("chain", "draw")), None)
        few = flat.shape[1] <= _EACH
        if dim is not None and dim in values.coords and values.ndim == 3 and few:
            one.set_xticks(places, list(values.coords[dim].values), rotation=45, ha="right")
        elif flat.shape[1] == 1:
            one.set_xticks([])
        one.set_ylabel(str(name))
        one.margins(x=0.3)
    return axes


def ranks(found: xr.Dataset, edges: np.ndarray, ax: Any = None) -> Any:
    """How often the truth had which rank, one panel a number, and the band that holds nine of ten counts of even ranks.

    Args:
        found: ranks `(repetition, number)`.
        edges: of the bins.
        ax: matplotlib axes, as many as there are numbers; a new figure if left out.

    Returns:
        The axes.

    Example:
        >>> even = xr.Dataset({"rank": (("repetition", "number"), np.arange(100)[:, None])}, {"number": ["w"]})
        >>> len(ranks(even, np.linspace(-0.5, 99.5, 11)))
        1
    """
    names, repetitions = found["number"].values, found.sizes["repetition"]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    axes = panels(ax, 1, len(names), (3 * len(names), 2.6)) if rows == 1 or ax is not None else None
    axes = panels(None, rows, columns, (3 * columns, 2.6 * rows)) if axes is None else axes
    low, high = stats.binom.interval(0.9, repetitions, 1 / (len(edges) - 1))
    for one, name, values in zip(axes, names, found["rank"].values.T, strict=False):
        one.axhspan(low, high, color="0.88", zorder=0)
        one.hist(values, edges, color="C0", rwidth=0.9)
        one.set(title=str(name), xlabel="rank of the truth", ylabel="repetitions")
    for spare in axes[len(names) :]:
        spare.set_axis_off()
    return axes
