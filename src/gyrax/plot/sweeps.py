"""Sweeps over one parameter, two, or several."""

from typing import Any, Literal

import numpy as np

from .._kinds import choice
from .._swept import STATUS, over_noise
from ._axes import NOTHING, colour_bar, colours, one_axes, panels

#: An axis whose values grow by a constant factor is logarithmic from this ratio of its ends on.
_DECADE = 10.0
#: How the best point is marked.
_STAR: dict[str, Any] = {"marker": "*", "ms": 13, "color": "w", "mec": "k", "ls": ""}
#: Inches of one panel of several, and of all of them at most.
_PANEL, _WIDEST = 2.2, 14.0

Limits = tuple[float, float] | None
Best = Literal["min", "max"] | None


def sweep(
    dataset: Any, variable: str | None = None, *, best: Best = None, limits: Limits = None, ax: Any = None
) -> Any:
    """What `gx.sweep` found, over the values of its parameters: a line over one, a map over two, maps of every two of several.

    The first parameter lies along x. Cells reach half-way to their neighbours, also on uneven grids; an axis whose
    values grow by a constant factor over a decade or more is logarithmic. What has no value is grey. Points that are no grid, such as
    Sobol's, lie where they are. Of several parameters, a panel of a grid shows the mean over all others, or with `best` the best of them;
    along the diagonal is each parameter by itself. Where noise is an axis, its mean is shown.

    Args:
        dataset: an xarray Dataset or DataArray over parameters.
        variable: which one of the Dataset; not needed if there is only one.
        best: mark the lowest ("min") or highest ("max") value.
        limits: values of the first and the last colour (of the y axis for a line).
        ax: matplotlib axes to draw on, of three and more parameters as many as their number squared; a new figure if left out.

    Returns:
        The axes; of three and more parameters an array of them, `(parameter, parameter)`.

    Raises:
        ValueError: for an unknown variable, an axis without numbers, or a value that is there twice.

    Example:
        >>> import gyrax as gx
        >>> model, product = gx.models.WongWang(), lambda m, key: m.w * m.I_o * m.gamma
        >>> ax = sweep(gx.sweep(model, product, {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]}), best="max")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('w', 'I_o')
        >>> box = gx.scale.Sobol({"w": (0.5, 1.0), "I_o": (0.1, 0.3), "gamma": (0.1, 1.0)}, count=8)
        >>> sweep(gx.sweep(model, product, {"point": box})).shape
        (3, 3)
    """
    choice("best", best, (None, "min", "max"))
    array = over_noise(_variable(dataset, variable))
    if array.dtype.kind not in "iufb":
        raise ValueError(f"'{array.name}' is {array.dtype}, which has no colours: draw its size, or a part")
    names, gridded = _parameters(array)
    if best is not None and not np.isfinite(array.values).any():
        raise ValueError("none of the values is finite: none is best")
    if len(names) > 2:
        return _every_two(array, names, gridded, best, limits, ax)
    ax, name = one_axes(ax), str(array.name or "value")
    mappable = _draw(ax, array, names, gridded, limits, best)
    if mappable is not None:
        colour_bar(mappable, ax, name)
    ax.set(xlabel=names[0], ylabel=[*names, name][1])
    if best is not None:
        place, value, text = _best_of(array, names, best)
        ax.plot(*[*place, value][:2], **_STAR, label=text)
        # beside the map, whose cells it would hide
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return ax


def _every_two(array: Any, names: list[str], gridded: bool, best: Best, limits: Limits, ax: Any) -> np.ndarray:
    """A panel for every two parameters, below the diagonal; on it, one for each."""
    n, name, size = len(names), str(array.name or "value"), min(_PANEL * len(names), _WIDEST)
    every: Any = panels(ax, n, n, (size, size)).reshape(n, n)
    scale = colours(np.asarray(array.values, float), limits)
    limits = scale["vmin"], scale["vmax"]
    found = None if best is None else _best_of(array, names, best)
    finite = array.where(np.isfinite(array))
    mappable: Any = None
    for row, column in np.ndindex(n, n):
        one, pair = every[row, column], list(dict.fromkeys((names[column], names[row])))
        if column > row:
            one.set_visible(False)
            continue
        part = array
        if gridded:
            others = [dim for dim in names if dim not in pair]
            part = getattr(finite.transpose(*pair, *others), best or "mean")(others)
        drawn = _draw(one, part, pair, gridded, limits if len(pair) == 2 else None, best)
        mappable = mappable or drawn
        if one.get_xscale() == one.get_yscale() == "linear":
            one.locator_params(nbins=3)  # else they overlap
        if drawn is not None:
            one.set_facecolor(NOTHING)
        one.set(
            xlabel=pair[0] if row == n - 1 else "", ylabel=([*pair, name][1]) if row == column or not column else ""
        )
        if found is not None:
            place, value, _ = found
            one.plot(place[column], value if row == column else place[row], **_STAR)
    if gridded:
        name += f", {({'min': 'lowest', 'max': 'highest'} | {None: 'mean'})[best]} over the others"
    every[-1, 0].figure.colorbar(mappable, ax=list(every.ravel()), shrink=0.6, label=name)
    if found is not None:
        every[0, 0].set_title(found[2], loc="left", fontsize="medium")
    return every


def _variable(dataset: Any, variable: str | None) -> Any:
    import xarray as xr

    if isinstance(dataset, xr.DataArray):
        if variable not in (None, dataset.name):
            raise ValueError(f"which variable? there is {dataset.name!r} alone; got {variable!r}")
        return dataset
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(f"expected what gx.sweep gives, an xarray.Dataset, got {type(dataset).__name__}")
    names = [str(name) for name in dataset.data_vars if name != STATUS]
    if variable is None and len(names) == 1:
        variable = names[0]
    if variable not in dataset.data_vars:
        raise ValueError(f"which variable? there are {', '.join(names) or 'none'}" + f"; got {variable!r}")
    return dataset[variable]


def _numbers(array: Any, name: Any, dim: Any) -> bool:
    """Whether a coordinate gives a number to each place along an axis."""
    return name in array.coords and array[name].dims == (dim,) and np.issubdtype(array[name].dtype, np.number)


def _parameters(array: Any) -> tuple[list[str], bool]:
    """The names of all parameters, and whether each has an axis to itself.

    Raises:
        ValueError: for an axis that is none of parameters, or a value that a grid has twice.
    """
    along = {dim: [str(name) for name in array.coords if _numbers(array, name, dim)] for dim in array.dims}
    for dim, names in along.items():
        if not names:
            raise ValueError(
                f"the axis '{dim}' has no numbers as coordinates: choose a place along it with .sel() or .isel(), or reduce it"
            )
    if not along:
        raise ValueError("0 parameters: there is nothing to draw it over")
    if not all(dim in names for dim, names in along.items()):
        return [name for names in along.values() for name in names], False
    for dim in array.dims:
        if len(np.unique(array[dim])) < array.sizes[dim]:
            raise ValueError(f"a value of {dim} is there twice: average them with .groupby('{dim}').mean()")
    return [str(dim) for dim in array.dims], True


def _draw(ax: Any, array: Any, names: list[str], gridded: bool, limits: Limits, best: Best) -> Any:
    """Values over one parameter or two; what a colour bar is made of, for two."""
    if gridded:
        array = array.sortby(list(array.dims))
        at, values = [np.asarray(array[name].values, float) for name in names], np.asarray(array.values, float)
        logarithmic = [_geometric(x) for x in at]
    else:
        at, values = _flat(array, names)
        logarithmic = [_even_in_logarithm(x) for x in at]
    mappable = None
    if len(names) == 1:
        ax.plot(at[0], values, ".-" if gridded else ".", lw=1)
        if limits is not None:
            ax.set_ylim(limits)
    elif gridded:
        mappable = ax.pcolormesh(_edges(at[0]), _edges(at[1]), values.T, **colours(values, limits))
    else:
        known = np.isfinite(values)
        ax.plot(*(x[~known] for x in at), "x", ms=4, color="0.6")
        # what is best comes last, above the others
        order = np.flatnonzero(known)[np.argsort(-values[known] if best == "min" else values[known], kind="stable")]
        mappable = ax.scatter(*(x[order] for x in at), c=values[order], s=12, **colours(values, limits))
    for axis, log in zip("xy", logarithmic, strict=False):
        if log:
            getattr(ax, f"set_{axis}scale")("log")
    return mappable


def _flat(array: Any, names: list[str]) -> tuple[list[np.ndarray], np.ndarray]:
    """Where each point is, and its value."""
    at = [array[name].broadcast_like(array).transpose(*array.dims).values.ravel().astype(float) for name in names]
    return at, np.asarray(array.values, float).ravel()


def _geometric(values: np.ndarray) -> bool:
    """Whether sorted values grow by a constant factor, over a decade or more."""
    if len(values) < 3 or values[0] <= 0 or values[-1] < _DECADE * values[0]:
        return False
    return bool(np.allclose(np.diff(np.log(values)), np.log(values[-1] / values[0]) / (len(values) - 1), rtol=1e-3))


def _even_in_logarithm(values: np.ndarray) -> bool:
    """Whether half of scattered values over a decade or more lie nearer to the middle of their logarithms than to their own."""
    low, high = values.min(), values.max()
    if low <= 0 or high < _DECADE * low:
        return False
    middles = np.sqrt(low * high), (low + high) / 2
    return bool(np.median(values) < np.sqrt(np.prod(middles)))


def _edges(values: np.ndarray) -> np.ndarray:
    """Borders of the cells around the values, half-way between neighbours (as the axis shows them)."""
    if _geometric(values):
        return np.exp(_edges(np.log(values)))
    if len(values) == 1:
        return values[0] + np.array([-0.5, 0.5]) * (abs(values[0]) or 1.0)
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _best_of(array: Any, names: list[str], best: Best) -> tuple[list[float], float, str]:
    """Where the best value is, what it is, and both in words."""
    at, values = _flat(array, names)
    finite = np.isfinite(values)
    found = (
        np.argmin(np.where(finite, values, np.inf)) if best == "min" else np.argmax(np.where(finite, values, -np.inf))
    )
    place = [float(x[found]) for x in at]
    where = ", ".join(f"{name} = {x:.4g}" for name, x in zip(names, place, strict=True))
    return place, float(values[found]), f"{'lowest' if best == 'min' else 'highest'}: {values[found]:.4g} at {where}"
