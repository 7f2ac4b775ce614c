"""Distances between the distributions of two samples, such as `fcd_values` or amplitudes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import number
from .._types import is_traced
from ..labelled import known_names


def wasserstein(a: Any, b: Any) -> Float[Array, ""]:
    r"""First Wasserstein (earth mover's) distance between the distributions of two samples, in their unit.

    $\int_0^1 |Q_a(u) - Q_b(u)|\, du$ with the quantile functions Q of the samples, exactly. Every value has a slope, which
    makes it a better guide for a fit than `ks_distance`.

    Args:
        a: values `(value,)`.
        b: others, as many or not.

    Raises:
        ValueError: for another shape, no values, or values that are not finite.

    Example:
        >>> float(wasserstein(jnp.array([0.0, 1.0, 3.0]), jnp.array([5.0, 6.0, 8.0])))
        5.0
    """
    a, b = jnp.sort(_values(a, "first")), jnp.sort(_values(b, "second"))
    n, m = len(a), len(b)
    # Both quantile functions are steps; in units of 1 / (n m), a's end at multiples of m and b's at those of n.
    ends = np.union1d(np.arange(1, n + 1, dtype=np.int64) * m, np.arange(1, m + 1, dtype=np.int64) * n)
    width = np.diff(ends, prepend=0) / (n * m)
    return (_size(a[(ends - 1) // m] - b[(ends - 1) // n]) * width).sum()


def ks_distance(a: Any, b: Any, width: Any = None) -> Float[Array, ""]:
    r"""Kolmogorov-Smirnov distance between two samples: the largest difference of their cumulative distributions.

    Without a width it is the exact one, which has no slope: reported, not minimised. With a width h each value is spread
    evenly over $\pm h$, so that the distributions $F(x)$ are made of ramps instead of steps, and the distance follows every
    value near the place of the largest difference. It equals the exact one once 2h is less than all distances between values.

    Args:
        a: values `(value,)`.
        b: others, as many or not.
        width: h, in the unit of the values; a few percent of their range.

    Raises:
        ValueError: for another shape, no values, values that are not finite, or a width that is not positive.
        TypeError: if the exact distance is differentiated.

    Example:
        >>> a, b = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([2.5, 3.5])
        >>> float(ks_distance(a, b)), float(ks_distance(a, b, width=0.1)), round(float(ks_distance(a, b, width=2.0)), 3)
        (0.75, 0.75, 0.375)
    """
    a, b = _values(a, "first"), _values(b, "second")
    if width is None:
        return _exact_ks(a, b)
    if not is_traced(width) and not 0 < number("width", width) < np.inf:
        raise ValueError(f"width is a positive number in the unit of the values, got {width}")
    # The difference of the two is made of straight lines, so it is largest where one of them begins.
    kinks = jnp.concatenate([a - width, a + width, b - width, b + width])
    return _largest(_ramps(a, kinks, width), _ramps(b, kinks, width), len(a), len(b))


def _ramps(values: Float[Array, " value"], at: Float[Array, " place"], width: Any) -> Float[Array, " place"]:
    """How many values lie below places, each spread evenly over +- width; by running sums: no place meets every value."""
    values = jnp.sort(values)
    below = jnp.searchsorted(values, at - width, side="right")
    reached = jnp.searchsorted(values, at + width, side="left")
    centre = jax.lax.stop_gradient(values.mean())  # small sums lose fewer digits
    sums = jnp.concatenate([jnp.zeros(1, values.dtype), jnp.cumsum(values - centre)])
    partly = reached - below
    rise = (partly * (at - centre + width) - (sums[reached] - sums[below])) / (2 * width)
    return below + rise


def _largest(a: Float[Array, " place"], b: Float[Array, " place"], n: int, m: int) -> Float[Array, ""]:
    """The largest difference of a / n and b / m: exactly zero, and without a slope, where equal counts are of as many."""
    return _size((a - b * (n / m)) / n).max()


@jax.custom_jvp
def _exact_ks(a: Float[Array, " one"], b: Float[Array, " two"]) -> Float[Array, ""]:
    a, b = jnp.sort(a), jnp.sort(b)
    at = jnp.concatenate([a, b])
    of_a, of_b = (jnp.searchsorted(x, at, side="right").astype(x.dtype) for x in (a, b))
    finite = jnp.isfinite(at).all()  # counting would pass over NaN
    return jnp.where(finite, _largest(of_a, of_b, len(a), len(b)), jnp.nan)


@_exact_ks.defjvp
def _no_slope(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "the exact Kolmogorov-Smirnov distance has no slope: give ks_distance a width=, or take wasserstein; "
        "to report it beside a loss, give it jax.lax.stop_gradient(values)"
    )


def _size(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return x * jnp.sign(x)  # the slope of JAX's abs at zero is one, which would pull equal samples apart


def _values(x: Any, which: str) -> Float[Array, " value"]:
    argument = {"first": "a", "second": "b"}[which]
    given = known_names(x, argument)[0]
    values = jnp.asarray(given, jnp.result_type(float))
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"{argument}, the {which} sample, has shape {values.shape}, expected values (value,): take fcd_values(...), or one channel"
        )
    if (
        not is_traced(given) and not np.isfinite(np.asarray(given)).all()
    ):  # as it was given: inside jit a cast is a tracer
        at = int(np.argmin(np.isfinite(np.asarray(given))))
        raise ValueError(
            f"value {at} of the {which} sample is {np.asarray(given)[at]:g}: distributions are of finite values"
        )
    return values
