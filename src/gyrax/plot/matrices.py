"""Matrices between regions, and how well a fitted one meets its target."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..labelled import check_same, known_names
from ._axes import colour_bar, colours, one_axes, panels, ticks


def matrix(
    values: Any,
    labels: Sequence[str] | None = None,
    *,
    name: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    log: bool = False,
    ax: Any = None,
) -> Any:
    """A connectivity matrix as a heat map with a colour bar: rows down, columns across.

    Of both signs, white is zero unless `limits` say otherwise; what has no value is grey.

    Args:
        values: `(row, column)`; a pandas DataFrame or an xarray DataArray brings its labels.
        labels: one name a region, for both axes. As many are shown as can be read.
        name: what the colours are, with unit.
        title: of the axes.
        limits: values of the first and the last colour.
        log: colours by the logarithm; zeros are left blank.
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for another shape, labels of another number, no finite value, or the logarithm of negative values.

    Example:
        >>> matrix(np.eye(3), ["V1", "V2", "V3"], title="identity").get_title()
        'identity'
    """
    rows, columns, (down, across) = _names(values, labels)
    values = np.array(values, float)
    if values.ndim != 2:
        raise ValueError(f"expected a matrix (row, column), got shape {values.shape}")
    for names, size, what in ((rows, values.shape[0], "rows"), (columns, values.shape[1], "columns")):
        if names is not None and len(names) != size:
            raise ValueError(f"{len(names)} labels for {size} {what}: give one a region")
    if log and np.nanmin(values) < 0:
        raise ValueError(f"log=True cannot show negative values, such as {np.nanmin(values):g}")
    if log:
        values = np.where(values > 0, values, np.nan)
    if ax is None and rows is not None:
        side = float(np.clip(3.2 + 0.08 * len(rows), 4, 12))
        ax = one_axes(None, (1.25 * side, side))
    ax = one_axes(ax)
    scale = colours(values, limits)
    if log:
        from matplotlib.colors import LogNorm

        scale = {"cmap": scale["cmap"], "norm": LogNorm(scale["vmin"], scale["vmax"])}
    image = ax.imshow(values, interpolation="nearest", **scale)
    colour_bar(image, ax, name)
    ax.set(title=title, xlabel=across, ylabel=down)
    if rows is not None and columns is not None:
        ticks(ax, "x", columns)
        ticks(ax, "y", rows)
    return ax


def _names(values: Any, labels: Sequence[str] | None) -> tuple[Any, Any, tuple[str, str]]:
    """Names of the rows and of the columns, if known, and of the two axes."""
    import xarray as xr

    both = ("region", "region")
    if labels is not None:
        return list(labels), list(labels), both
    if isinstance(values, xr.DataArray) and values.ndim == 2:
        rows, columns = (list(values[dim].values) if dim in values.coords else None for dim in values.dims)
        return rows, columns, (str(values.dims[0]), str(values.dims[1]))
    if hasattr(values, "index") and hasattr(values, "columns"):
        down, across = (str(axis.name or "region") for axis in (values.index, values.columns))
        return list(values.index), list(values.columns), (down, across)
    return None, None, both


def fc_fit(
    target: Any,
    fitted: Any,
    labels: Sequence[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    scatter: bool = False,
    ax: Any = None,
) -> Any:
    """Target, fitted and residual connectivity side by side, diagonals left blank.

    Target and fitted share their colours. In the title of the fitted one is its Pearson correlation with the target off
    the diagonal (nan if one of them does not vary).

    Args:
        target: `(region, region)`.
        fitted: `(region, region)`, in the same order.
        labels: one name a region.
        limits: values of the first and last colour of target and fitted; from both if left out.
        scatter: a fourth panel with fitted against target, one point a pair.
        ax: three axes (four with `scatter`); a new figure if left out.

    Returns:
        The axes, in the order of the panels.

    Raises:
        ValueError: for matrices that are not square, not of one shape, of fewer than 2 regions or not finite off the
            diagonal, or the wrong number of axes.

    Example:
        >>> target = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
        >>> fc_fit(target, target**2)[1].get_title()
        'fitted, r = 0.995'
    """
    if labels is None:
        labels = _names(target, None)[0]
    (target, ours), (fitted, theirs) = known_names(target, "target"), known_names(fitted, "fitted")
    for one, other in zip(ours, theirs, strict=False):
        check_same(one, other, "target", "fitted")
    target, fitted = np.array(target, float), np.array(fitted, float)
    if target.shape != fitted.shape or target.ndim != 2 or target.shape[0] != target.shape[1] or len(target) < 2:
        raise ValueError(
            f"expected two square matrices of the same regions, 2 or more, got shapes {target.shape} and {fitted.shape}"
        )
    off = ~np.eye(len(target), dtype=bool)
    for what, values in (("target", target), ("fitted matrix", fitted)):
        if not np.isfinite(values[off]).all():
            raise ValueError(f"the {what} is not finite at {np.argwhere(~np.isfinite(values) & off)[0].tolist()}")
    count = 4 if scatter else 3
    axes = panels(ax, 1, count, (4.2 * count, 3.6))
    blank = [np.where(off, values, np.nan) for values in (target, fitted, fitted - target)]
    if limits is None:
        scale = colours(np.stack(blank[:2]), None)
        limits = (scale["vmin"], scale["vmax"])
    vary = np.ptp(target[off]) > 0 and np.ptp(fitted[off]) > 0
    r = np.corrcoef(target[off], fitted[off])[0, 1] if vary else np.nan
    matrix(blank[0], labels, title="target", name="FC", limits=limits, ax=axes[0])
    matrix(blank[1], labels, title=f"fitted, r = {r:.3f}", name="FC", limits=limits, ax=axes[1])
    worst = np.abs(blank[2][off]).max() or 1.0  # a perfect fit still needs colours
    matrix(blank[2], labels, title="residual", name="fitted - target", limits=(-worst, worst), ax=axes[2])
    if scatter:
        axes[3].plot(target[off], fitted[off], ".", ms=1.5, alpha=0.4)
        axes[3].axline((0, 0), slope=1, color="k", lw=0.5)
        both = np.concatenate([target[off], fitted[off]])
        ends = both.min() - 0.04 * np.ptp(both), both.max() + 0.04 * np.ptp(both)
        axes[3].set(xlabel="target FC", ylabel="fitted FC", title=f"r = {r:.3f}", xlim=ends, ylim=ends, box_aspect=1)
    return axes
