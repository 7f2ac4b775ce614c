"""What is compared or drawn: arrays with the names along their axes, whatever they came in."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Shaped

from .._types import is_traced
from ..labelled import Names, check_same, known_names
from ..recordings.recording import Recording
from .frequencies import Spectrum


class Labelled(NamedTuple):
    """Values, and for each axis its names (None if not known); the ms between samples, where there are any."""

    values: Shaped[Array | np.ndarray, "..."]
    names: tuple[Names | None, ...]
    period: float | None = None


def labelled(x: Any, argument: str = "x") -> Labelled:
    """An array, table, recording or spectrum as an array with the names along its axes.

    Coordinates that are text are names. Of a spectrum it is the power.

    Example:
        >>> import pandas as pd
        >>> labelled(pd.DataFrame([[1.0, 2.0]], columns=["A", "B"])).names
        (None, ('A', 'B'))
    """
    if isinstance(x, Recording):
        return Labelled(x.values, tuple(x.labels or None if axis == x.channel else None for axis in x._axes), x.period)
    if isinstance(x, Spectrum):
        return Labelled(x.power, (None,) * (x.power.ndim - 1) + (x.labels or None,))
    return Labelled(*known_names(x, argument))


def pair(a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")) -> tuple[Shaped[Array, "..."], Shaped[Array, "..."]]:
    """The values of two things of one shape that agree in the names along their axes and in their sampling.

    Raises:
        ValueError: naming what differs.

    Example:
        >>> [values.shape for values in pair(jnp.ones(3), jnp.zeros(3))]
        [(3,), (3,)]
    """
    one, two = labelled(a, arguments[0]), labelled(b, arguments[1])
    if one.values.shape != two.values.shape:
        raise ValueError(
            f"the two differ in shape: {arguments[0]} is {one.values.shape} and {arguments[1]} {two.values.shape}; nothing is broadcast here"
        )
    for names, others in zip(one.names, two.names, strict=True):
        check_same(names, others, "the first", "the second")
    if one.period is not None and two.period is not None and one.period != two.period:
        raise ValueError(f"the samples of the first are {one.period:g} ms apart, those of the second {two.period:g} ms")
    return _number(one.values), _number(two.values)


def _number(values: Any) -> Array:
    """In JAX, where whole numbers of 64 bits would wrap around."""
    return jnp.asarray(values, float) if np.dtype(values.dtype).kind in "iu" else jnp.asarray(values)


def known(x: Any) -> np.ndarray | None:
    """The values as NumPy has them, in the precision of this session; None where JAX is tracing them.

    Of what was given and before anything is done with it: inside jit a cast or an index makes a tracer of a known array too, and what was to
    be checked of it is not known any more.

    Example:
        >>> known(np.array([1, 2])).tolist()
        [1.0, 2.0]
    """
    values = labelled(x).values
    return None if is_traced(values) else np.asarray(values).astype(jnp.result_type(float))


def refuse_missing(x: Any, kept: Bool[np.ndarray, "..."], which: str, mend: str) -> None:
    """Raises if an entry that counts is not a finite number, where values are known (a target is, inside jit too).

    Example:
        >>> refuse_missing(np.array([1.0, np.nan]), np.array([True, False]), "the first", "leave it out")
    """
    found = labelled(x)
    if is_traced(found.values):
        return
    bad = np.argwhere(~np.isfinite(np.asarray(found.values)) & kept)
    if len(bad):
        where = [names[i] for i, names in zip(bad[0], found.names, strict=True) if names]
        name = f" ({', '.join(where)})" if where else ""
        more = f", as are {len(bad) - 1} more" if len(bad) > 1 else ""
        value = np.asarray(found.values)[tuple(bad[0])]
        raise ValueError(f"entry {[int(i) for i in bad[0]]}{name} of {which} is {value:g}{more}: {mend}")
