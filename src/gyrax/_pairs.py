"""Times with twice the digits of float32: after a day, float32 alone tells times apart by 8 ms.

A `Pair` is an unevaluated sum of two floats, the second the rounding error of the first. In float64 there are none: a day is
told to 1e-8 ms, and plain floats go the same way through the functions here.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_F = TypeVar("_F", bound=Callable)
_MARK = "_takes_pairs"


class Pair(eqx.Module):
    """A number as the sum of two floats. It stands at the left of `+ - * /`; the other may be a pair, an array or a number."""

    high: Float[Array, "..."]
    low: Float[Array, "..."]

    def __neg__(self) -> "Pair":
        return Pair(-self.high, -self.low)

    def __add__(self, other: Any) -> "Pair":
        other = pair(other)
        total, error = _sum(self.high, other.high)
        return Pair(*_sum(total, error + (self.low + other.low)))

    def __sub__(self, other: Any) -> "Pair":
        return self + -pair(other)

    def __mul__(self, other: Any) -> "Pair":
        other = pair(other)
        total, error = _product(self.high, other.high)
        return Pair(*_sum(total, error + (self.high * other.low + self.low * other.high)))

    def __truediv__(self, other: Any) -> "Pair":
        other = pair(other)
        first = self.high / other.high
        rest = self - other * first
        return Pair(*_sum(first, rest.high / other.high))


def pair(x: Any) -> Pair:
    """A number as a pair: of Python's floats, more digits than one float32 has."""
    if isinstance(x, Pair):
        return x
    if isinstance(x, int | float):
        high = np.float32(x)
        return Pair(jnp.asarray(high), jnp.asarray(np.float32(x - float(high))))
    high = jnp.asarray(x)
    return Pair(high, jnp.zeros_like(high))


def like(one: Any, x: Any) -> Any:
    """A plain float as a pair, if the other is one."""
    return pair(x) if isinstance(one, Pair) else x


def single(x: Any) -> Any:
    """The nearest float; a plain one as it is.

    Example:
        >>> float(single(pair(0.1) - 0.1))
        0.0
    """
    return x.high + x.low if isinstance(x, Pair) else x


def floor(x: Any) -> Any:
    """The next whole number below."""
    if not isinstance(x, Pair):
        return jnp.floor(x)
    high = jnp.floor(x.high)
    return Pair(*_sum(high, jnp.where(high == x.high, jnp.floor(x.low), 0)))


def fraction(cycles: Any) -> Any:
    """What is left of a number of cycles without whole ones, which a sine does not tell from it; a plain float as it is."""
    return single(cycles - floor(cycles)) if isinstance(cycles, Pair) else cycles


def clip(x: Any, low: Any, high: Any) -> Any:
    """At least `low` and at most `high`."""
    if not isinstance(x, Pair):
        return jnp.clip(x, low, high)
    for bound, beyond in ((low, lambda d: d < 0), (high, lambda d: d > 0)):
        if not (isinstance(bound, float) and math.isinf(bound)):
            out = beyond(single(x - bound))
            x = jax.tree.map(lambda b, x, out=out: jnp.where(out, b, x), pair(bound), x)
    return x


def index(whole: Any) -> Array:
    """A whole number, clipped to what an index can be, as an integer."""
    if isinstance(whole, Pair):
        return whole.high.astype(int) + whole.low.astype(int)
    return whole.astype(int)


def clock(step: Any, dt: float, dtype: Any) -> Any:
    """The time of a step, `step * dt`: a pair in float32, right to 46 bits or more, of steps that 31 bits count."""
    if dtype != jnp.float32:
        return step * jnp.asarray(dt, dtype)
    many, few = (jnp.asarray(digits, dtype) for digits in (step >> 12 << 12, step & 4095))  # both exact
    return Pair(*_sum(many, few)) * dt


def times(ms: np.ndarray) -> Any:
    """Times that are known in float64, for whom takes pairs."""
    high = jnp.asarray(ms, float)
    return high if high.dtype != jnp.float32 else Pair(high, jnp.asarray(ms - np.asarray(high, float), float))


def takes_pairs(call: _F) -> _F:
    """Marks a `__call__` that takes the time as a pair too. One that a user writes in its place is given a plain float."""
    setattr(call, _MARK, True)
    return call


def has_digits(function: Any) -> bool:
    """Whether what is called takes pairs."""
    return getattr(type(function).__call__, _MARK, False)


def at(function: Callable, t: Any) -> Any:
    """The function at a time, which it is given as it can take it."""
    return function(t if has_digits(function) else single(t))


def _sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and its rounding error (Knuth 1969)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product and its rounding error (Dekker 1971), from factors of 12 bits, whose products are exact."""
    total = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return total, ((a1 * b1 - total) + (a1 * b2 + a2 * b1)) + a2 * b2


def _halves(x: Any) -> tuple[Any, Any]:
    half = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=11)
    return half, x - half
