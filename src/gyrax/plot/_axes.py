"""What all plots share: axes to draw on, colours that fit the values, and labels that can be read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..recordings.recording import Recording

#: Smallest and largest size of a tick label, in points.
_SMALLEST, _LARGEST = 5.5, 9.0
#: Behind what has no value: white would read as zero in a diverging map.
NOTHING = "0.88"


def one_axes(ax: Any, figsize: tuple[float, float] | None = None, **options: Any) -> Any:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.figure(figsize=figsize, layout="constrained").add_subplot(**options)


def panels(ax: Any, rows: int, columns: int, figsize: tuple[float, float], **options: Any) -> np.ndarray:
    """The axes given, as many as there are panels, or those of a new figure, in one row."""
    if ax is not None:
        given = np.ravel(np.asarray(ax, object))
        if len(given) != rows * columns:
            raise ValueError(f"ax has {len(given)} axes, and {rows * columns} panels are to be drawn")
        return given
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=figsize, layout="constrained")
    return np.ravel(figure.subplots(rows, columns, squeeze=False, **options))


def colours(values: np.ndarray, limits: tuple[float, float] | None) -> dict[str, Any]:
    """Colour limits and map: of both signs, white is zero unless the limits say otherwise."""
    if limits is None and not np.isfinite(values).any():
        raise ValueError("none of the values is finite: there is nothing to draw")
    finite = values[np.isfinite(values)]
    low, high = limits or (finite.min(), finite.max())
    diverging = low < 0 < high
    if diverging and limits is None:
        low, high = -max(-low, high), max(-low, high)
    return {"vmin": low, "vmax": high, "cmap": "RdBu_r" if diverging else "viridis"}


def colour_bar(mappable: Any, ax: Any, name: str) -> None:
    """A colour bar beside the axes; what has no value is grey."""
    ax.set_facecolor(NOTHING)
    ax.figure.colorbar(mappable, ax=ax, shrink=0.8, label=name)


def ticks(ax: Any, which: str, names: Sequence[Any], at: Any = None) -> None:
    """Labels along an axis: of many, so many as do not overlap at the size that it has when it is drawn.

    Args:
        ax: the axes.
        which: "x" or "y".
        names: one a place.
        at: the places, evenly spaced; 0, 1, ... if left out.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter

    at = np.arange(len(names)) if at is None else np.asarray(at)
    ax.apply_aspect()  # else square cells are still as wide as the figure

    def space() -> float:
        """Points between neighbours."""
        ends = np.zeros((2, 2))
        ends[:, "xy".index(which)] = at[[0, -1]]
        apart = np.abs(np.diff(ax.transData.transform(ends), axis=0)).sum()
        return apart / max(len(at) - 1, 1) * 72 / ax.figure.dpi

    size = _LARGEST
    if len(at) > 1:
        every = np.ceil(1.25 * _SMALLEST / space())  # as many as can be read, and these as large as there is room
        size = float(np.clip(0.8 * space() * every, _SMALLEST, _LARGEST))

    class Thinned(FixedLocator):
        def __call__(self) -> Any:
            every = int(np.ceil(1.1 * size / space())) if len(at) > 1 else 1
            return at[::every]

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(Thinned(at))
    axis.set_major_formatter(FuncFormatter(lambda place, _: str(names[int(np.abs(at - place).argmin())])))
    axis.set_tick_params(labelsize=size, labelrotation=90 if which == "x" else 0)


def choose(wanted: Any, names: Sequence[str], what: str) -> list[int]:
    """Places of the names or indices wanted; all if None.

    Raises:
        ValueError: for a name or an index that is not there, or nothing chosen.
    """
    if wanted is None:
        return list(range(len(names)))
    wanted = [wanted] if isinstance(wanted, (str, int, np.integer)) else list(wanted)
    found = []
    for one in wanted:
        if isinstance(one, str) and one in names:
            found.append(list(names).index(one))
        elif isinstance(one, (int, np.integer)) and not isinstance(one, bool) and -len(names) <= one < len(names):
            found.append(int(one))
        else:
            few = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
            raise ValueError(f"no {what} {one!r}; there are {len(names)}: {few}")
    if not found:
        raise ValueError(f"no {what} was chosen; there are {len(names)}")
    return found


def labelled(values: Any) -> Any:
    """A recording as an xarray DataArray; what is one already stays.

    Raises:
        TypeError: for anything that does not know its times.
    """
    import xarray as xr

    if isinstance(values, Recording):
        return values.to_xarray()
    if isinstance(values, xr.DataArray):
        return values
    raise TypeError(f"expected a Recording or an xarray.DataArray, which know their times, got {type(values).__name__}")
