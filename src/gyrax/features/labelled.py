"""What is compared or drawn: arrays with the names along their axes, whatever they came in."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from .._formats import fields
from ..recordings.recording import Recording
from .spectra import Spectrum

Names = tuple[str, ...]


class Labelled(NamedTuple):
    """Values, and for each axis its names (None if not known); the ms between samples, where there are any."""

    values: Shaped[Array | np.ndarray, "..."]
    names: tuple[Names | None, ...]
    period: float | None = None


def labelled(x: Any) -> Labelled:
    """An array, table, recording or spectrum as an array with the names along its axes.

    Coordinates that are text are names. Of a spectrum it is the power.

    Example:
        >>> import pandas as pd
        >>> labelled(pd.DataFrame([[1.0, 2.0]], columns=["A", "B"])).names
        (None, ('A', 'B'))
    """
    period = None
    if isinstance(x, Recording):
        axes, period = x._axes, x.period
        values, coordinates = x.values, [x.labels if axis == x.channel else None for axis in axes]
    elif isinstance(x, Spectrum):
        values, coordinates = x.power, [None] * (x.power.ndim - 1) + [x.labels]
    elif hasattr(x, "dims") and hasattr(x, "coords"):  # xarray
        values, coordinates = x.values, [x.coords[dim].values if dim in x.coords else None for dim in x.dims]
    elif hasattr(x, "iloc"):  # pandas
        values, coordinates = x.to_numpy(), list(x.axes)
    else:
        values = x if isinstance(x, jax.Array) else np.asarray(x)  # in float64, where that is what it is
        coordinates = [None] * values.ndim
    names = tuple(_names(c, size) for c, size in zip(coordinates, values.shape, strict=True))
    return Labelled(values, names, period)


def _names(coordinate: Any, size: int) -> Names | None:
    if coordinate is None or len(coordinate) != size:
        return None
    if not all(isinstance(entry, str) for entry in coordinate):
        return None
    return tuple(map(str, coordinate)) or None


def check_same(one: Names | None, two: Names | None, first: str, second: str) -> None:
    """Raises if the names along an axis are known of both and differ.

    Example:
        >>> check_same(("A", "B"), ("A", "B"), "the first", "the second")
    """
    if one is None or two is None:
        return
    fields.check_same(one, two, first, second, "number")


def pair(a: Any, b: Any) -> tuple[Shaped[Array, "..."], Shaped[Array, "..."]]:
    """The values of two things of one shape that agree in the names along their axes and in their sampling.

    Raises:
        ValueError: naming what differs.

    Example:
        >>> [values.shape for values in pair(jnp.ones(3), jnp.zeros(3))]
        [(3,), (3,)]
    """
    one, two = labelled(a), labelled(b)
    if one.values.shape != two.values.shape:
        raise ValueError(
            f"the two differ in shape: {one.values.shape} and {two.values.shape}; nothing is broadcast here"
        )
    for names, others in zip(one.names, two.names, strict=True):
        check_same(names, others, "the first", "the second")
    if one.period is not None and two.period is not None and one.period != two.period:
        raise ValueError(f"the samples of the first are {one.period:g} ms apart, those of the second {two.period:g} ms")
    return jnp.asarray(one.values), jnp.asarray(two.values)
