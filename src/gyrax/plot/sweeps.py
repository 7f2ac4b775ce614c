"""Sweeps over one or two parameters."""

from typing import Any, Literal

import numpy as np

from ._axes import colour_bar, colours, one_axes

#: An axis whose values grow by a constant factor is logarithmic from this ratio of its ends on.
_DECADE = 10.0


def sweep(
    dataset: Any,
    variable: str | None = None,
    *,
    best: Literal["min", "max"] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Any = None,
) -> Any:
    """What `gx.sweep` found, over the values of its parameters: a line over one, a heat map over two.

    The first parameter lies along x. Cells reach half-way to their neighbours, also on uneven grids; an axis whose
    values grow by a constant factor over a decade or more is logarithmic. What has no value is grey.

    Args:
        dataset: an xarray Dataset or DataArray over one or two parameters.
        variable: which one of the Dataset; not needed if there is only one.
        best: mark the lowest ("min") or highest ("max") value.
        limits: values of the first and the last colour (of the y axis for a line).
        ax: matplotlib axes to draw on; a new figure if left out.

    Returns:
        The axes.

    Raises:
        ValueError: for an unknown variable, or more than two parameters, one without values or with a value twice.

    Example:
        >>> import gyrax as gx
        >>> grid = gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]})
        >>> ax = sweep(grid, best="max")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('w', 'I_o')
    """
    array = _variable(dataset, variable)
    if array.ndim not in (1, 2):
        raise ValueError(f"{array.ndim} parameters {array.dims}: choose values of some with .sel(), or reduce them")
    for dim in array.dims:
        if dim not in array.coords or not np.issubdtype(array[dim].dtype, np.number):
            raise ValueError(f"the axis '{dim}' has no numbers as coordinates")
        if len(np.unique(array[dim])) < array.sizes[dim]:
            raise ValueError(f"a value of {dim} is there twice: average them with .groupby('{dim}').mean()")
    array = array.sortby(list(array.dims))
    ax = one_axes(ax)
    name = str(array.name or "value")
    at = [np.asarray(array[dim].values, float) for dim in array.dims]
    values = np.asarray(array.values, float)
    if array.ndim == 1:
        ax.plot(at[0], values, ".-", lw=1)
        ax.set(xlabel=array.dims[0], ylabel=name)
        if limits is not None:
            ax.set_ylim(limits)
    else:
        mesh = ax.pcolormesh(_edges(at[0]), _edges(at[1]), values.T, **colours(values, limits))
        colour_bar(mesh, ax, name)
        ax.set(xlabel=array.dims[0], ylabel=array.dims[1])
        if _geometric(at[1]):
            ax.set_yscale("log")
    if _geometric(at[0]):
        ax.set_xscale("log")
    if best is not None:
        _mark(ax, at, values, best)
    return ax


def _variable(dataset: Any, variable: str | None) -> Any:
    import xarray as xr

    if isinstance(dataset, xr.DataArray):
        return dataset
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(f"expected what gx.sweep gives, an xarray.Dataset, got {type(dataset).__name__}")
    names = [str(name) for name in dataset.data_vars]
    if variable is None and len(names) == 1:
        variable = names[0]
    if variable not in names:
        raise ValueError(f"which variable? there are {', '.join(names) or 'none'}" + f"; got {variable!r}")
    return dataset[variable]


def _geometric(values: np.ndarray) -> bool:
    if len(values) < 3 or values[0] <= 0 or values[-1] < _DECADE * values[0]:
        return False
    return bool(np.allclose(np.diff(np.log(values)), np.log(values[-1] / values[0]) / (len(values) - 1), rtol=1e-3))


def _edges(values: np.ndarray) -> np.ndarray:
    """Borders of the cells around the values, half-way between neighbours (as the axis shows them)."""
    if _geometric(values):
        return np.exp(_edges(np.log(values)))
    if len(values) == 1:
        return values[0] + np.array([-0.5, 0.5]) * (abs(values[0]) or 1.0)
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _mark(ax: Any, at: list[np.ndarray], values: np.ndarray, best: Literal["min", "max"]) -> None:
    if not np.isfinite(values).any():
        raise ValueError("none of the values is finite: none is best")
    found = np.nanargmin(values) if best == "min" else np.nanargmax(values)
    index = np.unravel_index(found, values.shape)
    place = [axis[i] for axis, i in zip(at, index, strict=True)]
    where = ", ".join(f"{x:.4g}" for x in place)
    text = f"{'lowest' if best == 'min' else 'highest'}: {values[index]:.4g} at {where}"
    y = place[1] if values.ndim == 2 else values[index]
    ax.plot(place[0], y, "*", ms=13, color="w", mec="k", label=text)
    # beside the map, whose cells it would hide
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
