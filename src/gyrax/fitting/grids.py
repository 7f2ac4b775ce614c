"""Many candidates at once."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._devices import at_home, mapped, share
from .._kinds import choice, expect, flag, number, random_key, reals, whole
from .._progress import tqdm
from ..labelled import Names, known_names
from ..parameters.addresses import domains, find, leaf_names, replace, tell
from ..parameters.declaring import refuse_names
from .objective import check_objective, named_arrays
from .space import apart
from .tracing import seen

#: The axis of candidates that are no grid.
_POINT = "point"


def sweep(
    model: Any,
    function: Callable[[Any, Any], Any],
    space: Mapping[Any, Any],
    *,
    grid: bool = True,
    key: Any = None,
    realisations: int = 1,
    memory: float = 2e9,
    batch: int | None = None,
    progress: bool | str = False,
) -> xr.Dataset:
    """Evaluates a function of the model for many values of its parameters, side by side in vmapped calls.

    Args:
        model: a Network or any other Module.
        function: `function(model, key)`, an array or a dict of named ones; of a loss with terms, these and 'loss'.
        space: a parameter, as a dotted path or a function such as `lambda n: n.model.w`, to the values it is to take. Of a
            parameter that is no scalar, `(value, *its shape)`.
        grid: all combinations of values; False for a list, in which the first value of each belong together, and so on.
        key: noise; all candidates hear the same.
        realisations: means over so many keys.
        memory: bytes that what is computed at once may take; larger sweeps go in batches.
        batch: how many candidates to compute at once, if you know better.
        progress: show a bar over batches; a text is its title.

    Returns:
        A Dataset with one variable a name ('value' for a bare array), on axes named by the parameters, or on one of
        points. What the function gives has its own axes after these.

    Raises:
        ValueError: for a parameter that does not exist, no values, lists of different lengths, values outside of their
            domain, or one candidate that takes more memory than there may be.

    Example:
        >>> import gyrax as gx
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]})
        >>> dict(found.sizes), round(float(found["value"].sel({"w": 1.0, "I_o": 0.3}, method="nearest")), 6)
        ({'w': 2, 'I_o': 3}, 0.3)
    """
    check_objective(model, function, "function", "lambda model, key: ...")
    expect("space", space, Mapping, "a dict of values by parameter", "{'model.w': [0.5, 1.0]}")
    expect("progress", progress, (bool, str), "True, False or a title", "False")
    flag("grid", grid)
    number("memory", memory, "2e9", "bytes")
    whole("realisations", realisations)
    if batch is not None:
        whole("batch", batch)
    axes, indices = _axes(model, space)
    counts = tuple(len(values) for values in axes.values())
    if not grid and len(set(counts)) > 1:
        raise ValueError(
            f"a list of points takes as many values of each: {', '.join(f'{n} of {name}' for name, n in zip(axes, counts, strict=True))}"
        )
    chosen = np.indices(counts).reshape(len(counts), -1) if grid else np.tile(np.arange(counts[0]), (len(counts), 1))
    points = [values[rows] for values, rows in zip(axes.values(), chosen, strict=True)]
    keys = jax.random.split(random_key("key", 0 if key is None else key), realisations)
    total = chosen.shape[1]

    def take(rows: np.ndarray) -> tuple[jax.Array, ...]:
        return tuple(jnp.asarray(p[rows], jnp.result_type(float)) for p in points)

    model = at_home(model)
    there = replace(model, dict(zip(indices, (x[0] for x in take(np.zeros(1, int))), strict=True)))
    function = seen(function, there, keys[0]).function
    size = min(batch, total) if batch else _fitting(model, function, indices, take, keys, total, memory)
    title = progress if isinstance(progress, str) else "sweep"
    found: list[dict[str, np.ndarray]] = []
    labels: dict[str, tuple[Names | None, ...]] = {}
    for first in tqdm(range(0, total, size), desc=title, unit="batch", disable=not progress):
        rows = np.minimum(np.arange(first, first + size), total - 1)  # one shape, one compilation
        out = _evaluate_points(model, function, indices, take(rows), keys)
        labels = {name: known_names(values)[1] for name, values in out.items()}
        found.append({name: np.asarray(values)[: total - first] for name, values in out.items()})
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return _labelled(joined, labels, axes, counts if grid else None)


def _labelled(
    found: dict[str, np.ndarray],
    labels: dict[str, tuple[Names | None, ...]],
    axes: dict[str, np.ndarray],
    counts: tuple[int, ...] | None,
) -> xr.Dataset:
    """What was found, with the values it was found at and the names along its own axes."""
    dims = (_POINT,) if counts is None else tuple(axes)
    coords: dict[str, Any] = {}
    for name, values in axes.items():
        along = _POINT if counts is None else name
        inner = tuple(f"{name}_{i}" for i in range(values.ndim - 1))
        coords[f"{name} values" if inner and counts is not None else name] = ((along, *inner), values)
    data = {}
    taken = {*dims, *coords, *(f"{name}_{i}" for name, values in found.items() for i in range(values.ndim - 1))}
    for given, values in found.items():
        name = apart(given, taken)
        own = tuple(f"{name}_{i}" for i in range(values.ndim - 1))
        coords |= {dim: list(names) for dim, names in zip(own, labels[given][1:], strict=True) if names}
        data[name] = ((*dims, *own), values if counts is None else values.reshape(*counts, *values.shape[1:]))
    return xr.Dataset(data, coords=coords)


def _axes(model: Any, space: Mapping[Any, Any]) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """The values by name of the parameter, and where it is."""
    if not space:
        raise ValueError("space is empty: sweep over what? give {'model.w': values}")
    names, declared, leaves = leaf_names(model), domains(model), jax.tree.leaves(model)
    axes, indices = {}, []
    for where, values in space.items():
        refuse_names(values, "what is swept over")
        found, values = find(model, where), reals(f"space[{where!r}]", values)
        if len(found) != 1:
            raise ValueError(
                f"{where} is {len(found)} parameters: {', '.join(names[i] for i in found)}; give each its values"
            )
        index = found[0]
        path, shape = names[index], jnp.shape(leaves[index])
        if index in indices:
            raise ValueError(f"{path} is given twice")
        if values.ndim == 0 or values.shape[1:] != shape or not values.size:
            what = "a list of numbers" if shape == () else f"of shape (value, {', '.join(map(str, shape))})"
            hint = "" if shape == () or values.ndim != 1 else "; for one value everywhere, sweep before per_region"
            raise ValueError(f"the values of {path} are {what}, got shape {values.shape}{hint}")
        outside = ~np.asarray(declared[index].contains(jnp.asarray(values)))
        if outside.any():
            raise ValueError(f"{path} = {values[outside][0]:g} does not lie inside its domain {declared[index]!r}")
        axes[path] = values
        indices.append(index)
    tell(model, "check_movable", list(axes))
    return axes, tuple(indices)


def _fitting(
    model: Any, function: Any, indices: tuple[int, ...], take: Any, keys: jax.Array, total: int, memory: float
) -> int:
    """How many candidates fit into memory at once, by what the compiler says of some."""
    size = total
    while True:
        lowered: Any = _evaluate_points.lower(  # pyright: ignore[reportFunctionMemberAccess]
            model, function, indices, take(np.arange(size)), keys
        )
        analysis = lowered.compile().compiled.memory_analysis()
        used = 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        among = share(size)
        used *= len(among) if among[0].platform == "cpu" else 1  # which have one memory; every GPU has its own
        if used <= memory:
            return size
        if size == 1:
            raise ValueError(
                f"one candidate takes {used / 1e9:.3g} GB, more than memory = {memory / 1e9:.3g} GB: record less, or allow more"
            )
        size = max(1, min(size - 1, int(size * memory / used)))


@eqx.filter_jit
def _evaluate_points(
    model: Any, function: Any, indices: tuple[int, ...], points: tuple[jax.Array, ...], keys: jax.Array
) -> Any:

    def one(point, key):
        return named_arrays(function(replace(model, dict(zip(indices, point, strict=True))), key))

    if len(share(len(points[0]))) < len(share(len(keys))):  # few candidates on much noise
        found = mapped(lambda key: jax.vmap(lambda point: one(point, key))(points), keys)
        return jax.tree.map(lambda x: x.mean(0), found)
    return mapped(lambda point: jax.tree.map(lambda x: x.mean(0), jax.vmap(lambda k: one(point, k))(keys)), points)


def best(
    found: xr.Dataset,
    model: Any,
    count: int = 1,
    *,
    by: str | None = None,
    of: Literal["min", "max"] = "min",
) -> list[Any]:
    """The model at the best points of a sweep, the best first: starts for `fit(starts=...)`.

    Points at which the function was not finite are left out.

    Args:
        found: what `sweep` gave.
        model: the model it swept.
        count: how many.
        by: the variable to judge by, a scalar of each point; may be left out if there is only one, or a 'loss'.
        of: whether the lowest or the highest are the best.

    Raises:
        ValueError: if there is no such variable, it is no scalar, or fewer points are finite.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.WongWang()
        >>> found = gx.sweep(model, lambda m, key: (m.w - 0.7) ** 2, {"w": [0.5, 0.8, 1.1]})
        >>> [round(float(m.w), 2) for m in gx.best(found, model, 2)]
        [0.8, 0.5]
    """
    expect("found", found, xr.Dataset, "what a sweep found", "gx.sweep(model, function, space)")
    whole("count", count)
    choice("of", of, ("min", "max"))
    expect("by", by, (str, None), "the name of a variable", "'loss'")
    scores = _scores(found, by)
    order = np.argsort(
        np.where(np.isfinite(scores), scores if of == "min" else -scores, np.inf), axis=None, kind="stable"
    )
    finite = int(np.isfinite(scores).sum())
    if not 1 <= count <= finite:
        raise ValueError(f"count = {count}: {finite} of {scores.size} points of the sweep are finite")
    models = []
    for at in itertools.islice(order, count):
        place = dict(zip(scores.dims, np.unravel_index(int(at), scores.shape), strict=True))
        values = {
            str(name).removesuffix(" values"): coordinate.values[place[coordinate.dims[0]]]
            for name, coordinate in found.coords.items()
            if coordinate.dims[0] in place
        }
        models.append(replace(model, values))
    return models


def _scores(found: xr.Dataset, by: str | None) -> xr.DataArray:
    names = [str(name) for name in found.data_vars]
    if by is None:
        by = "loss" if "loss" in names else names[0] if len(names) == 1 else None
    if by not in names:
        raise ValueError(f"judge the points by which variable? give by= one of {', '.join(names)}")
    own = {dim for name in names for dim in found[name].dims if str(dim).startswith(f"{name}_")}
    axes = {dim for coordinate in found.coords.values() for dim in coordinate.dims[:1] if dim not in own}
    if set(found[by].dims) != axes:
        raise ValueError(
            f"'{by}' has shape {found[by].shape} on {found[by].dims}: the best is by a scalar of each point"
        )
    return found[by]
