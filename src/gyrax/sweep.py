"""Many candidates or many noise seeds at once."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ._progress import tqdm
from .filters import _find, domains, leaf_names


def sweep(
    model: Any,
    function: Callable[[Any, Any], Any],
    space: Mapping[str, Any],
    *,
    key: Any = None,
    realisations: int = 1,
    batch: int | None = None,
    progress: bool | str = False,
) -> xr.Dataset:
    """Evaluates a function of the model at every point of a grid, side by side in one vmapped call.

    Args:
        model: a Network or any other Module.
        function: `function(model, key)`, a scalar or a dict of named scalars.
        space: dotted path of a scalar parameter to the values it is to take.
        key: noise; all candidates hear the same.
        realisations: mean over so many keys.
        batch: how many candidates to compute at once, where memory is short; all if left out.
        progress: show a bar over batches; a text is its title.

    Returns:
        A Dataset with one variable a name ('value' for a bare scalar) on axes named by the paths.

    Raises:
        ValueError: for a path that does not exist or is no scalar, no values, or values outside of their domain.

    Example:
        >>> import gyrax as gx
        >>> grid = gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]})
        >>> dict(grid.sizes), round(float(grid["value"].sel({"w": 1.0, "I_o": 0.3}, method="nearest")), 6)
        ({'w': 2, 'I_o': 3}, 0.3)
    """
    axes = _axes(model, space)
    if batch is not None and batch < 1:
        raise ValueError(f"batch is a whole number from 1 on, got {batch}")
    points = np.array(list(itertools.product(*axes.values())))
    indices = tuple(_find(model, path)[0] for path in space)
    keys = jax.random.split(jax.random.key(0) if key is None else key, realisations)
    size = min(batch or len(points), len(points))
    title = progress if isinstance(progress, str) else "sweep"
    found: list[dict[str, np.ndarray]] = []
    for first in tqdm(range(0, len(points), size), desc=title, unit="batch", disable=not progress):
        part = points[first : first + size]
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])  # one shape, one compilation
        out = _evaluate_points(model, function, indices, jnp.asarray(padded, jnp.result_type(float)), keys)
        found.append({name: np.asarray(values)[: len(part)] for name, values in out.items()})
    shape = tuple(len(values) for values in axes.values())
    joined = {name: np.concatenate([part[name] for part in found]).reshape(shape) for name in found[0]}
    return xr.Dataset({name: (tuple(axes), values) for name, values in joined.items()}, coords=axes)


def _axes(model: Any, space: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not space:
        raise ValueError("sweep over what? give {'model.w': values}")
    names, declared, leaves = leaf_names(model), domains(model), jax.tree.leaves(model)
    axes = {}
    for path, values in space.items():
        found, values = _find(model, path), np.asarray(values, float)
        if len(found) != 1 or jnp.shape(leaves[found[0]]) != ():
            raise ValueError(f"{path} is no scalar parameter: a sweep goes over scalars")
        if values.ndim != 1 or not len(values):
            raise ValueError(f"the values of {path} are a list of numbers, got shape {values.shape}")
        index = found[0]
        outside = ~np.asarray(declared[index].contains(jnp.asarray(values)))
        if outside.any():
            raise ValueError(
                f"{names[index]} = {values[outside][0]:g} does not lie inside its domain {declared[index]!r}"
            )
        axes[path] = values
    return axes


@eqx.filter_jit
def _evaluate_points(model: Any, function: Any, indices: tuple[int, ...], points: jax.Array, keys: jax.Array) -> Any:
    leaves, treedef = jax.tree.flatten(model)

    def one(point, key):
        changed = list(leaves)
        for i, index in enumerate(indices):
            changed[index] = point[i].astype(jnp.result_type(leaves[index]))
        out = function(jax.tree.unflatten(treedef, changed), key)
        out = out if isinstance(out, dict) else {"value": out}
        for name, value in out.items():
            if jnp.shape(value) != ():
                raise ValueError(f"the function gives '{name}' of shape {jnp.shape(value)}: a sweep takes scalars")
        return out

    return jax.vmap(lambda point: jax.tree.map(lambda x: x.mean(0), jax.vmap(lambda k: one(point, k))(keys)))(points)


@eqx.filter_jit
def evaluate(model: Any, function: Callable[[Any, Any], Any], keys: jax.Array) -> Any:
    """What a function of the model gives for each of several keys, stacked: a fit judged on noise it never saw.

    Args:
        model: a Network or any other Module.
        function: `function(model, key)`, anything made of arrays.
        keys: `jax.random.split(key, n)`.

    Example:
        >>> import gyrax as gx
        >>> keys = jax.random.split(jax.random.key(1), 8)
        >>> gx.evaluate(gx.models.WongWang(), lambda m, key: m.w + jax.random.normal(key), keys).shape
        (8,)
    """
    return jax.vmap(lambda key: function(model, key))(keys)
