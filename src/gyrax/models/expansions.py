"""Numbers with their first and second derivatives along directions, for models whose equations are of second order."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Expansion(eqx.Module):
    """A value and its derivatives along each of some directions, with the arithmetic of Taylor's expansion.

    Written out, not by nested `jax.jvp`: a gradient of those compiles for minutes.

    Attributes:
        value: `(...)`.
        first: `(direction, ...)`, zero where it does not depend on the direction.
        second: `(direction, ...)`, along each direction twice.

    Example:
        >>> x = Expansion(jnp.array(3.0), jnp.array([1.0]), jnp.array([0.0]))
        >>> cube = x * x * x
        >>> float(cube.value), float(cube.first[0]), float(cube.second[0])
        (27.0, 27.0, 18.0)
    """

    value: Float[Array, "..."]
    first: Float[Array, "..."]
    second: Float[Array, "..."]

    def __add__(self, other: Any) -> "Expansion":
        if isinstance(other, Expansion):
            return Expansion(self.value + other.value, self.first + other.first, self.second + other.second)
        return Expansion(self.value + other, self.first, self.second)

    def __neg__(self) -> "Expansion":
        return Expansion(-self.value, -self.first, -self.second)

    def __sub__(self, other: Any) -> "Expansion":
        return self + -other

    def __rsub__(self, other: Any) -> "Expansion":
        return -self + other

    def __mul__(self, other: Any) -> "Expansion":
        if not isinstance(other, Expansion):
            return Expansion(self.value * other, self.first * other, self.second * other)
        return Expansion(
            self.value * other.value,
            self.value * other.first + self.first * other.value,
            self.value * other.second + 2 * self.first * other.first + self.second * other.value,
        )

    def __truediv__(self, other: Any) -> "Expansion":
        return self * (1 / other)

    def __rtruediv__(self, other: Any) -> "Expansion":
        inverse = 1 / self.value
        first = -self.first * inverse**2
        return Expansion(inverse, first, -self.second * inverse**2 - 2 * first * self.first * inverse) * other

    def __pow__(self, power: int) -> "Expansion":
        if power != 2:
            raise ValueError(f"an expansion can be squared, not raised to {power}")
        return self * self

    __radd__ = __add__
    __rmul__ = __mul__


def sqrt(x: Any) -> Any:
    """Square root of an array or an expansion."""
    if not isinstance(x, Expansion):
        return jnp.sqrt(x)
    root = jnp.sqrt(x.value)
    first = 0.5 * x.first / root
    return Expansion(root, first, (0.5 * x.second - first**2) / root)


def erfc(x: Any) -> Any:
    """Complementary error function of an array or an expansion."""
    value = jax.scipy.special.erfc(x.value if isinstance(x, Expansion) else x)
    if not isinstance(x, Expansion):
        return value
    # farther out its slopes are below 1e-60, and squares could overflow
    near = jnp.abs(x.value) < 12
    at, first, second = (jnp.where(near, part, 0) for part in (x.value, x.first, x.second))
    slope = jnp.where(near, -2 / math.sqrt(math.pi) * jnp.exp(-(at**2)), 0)
    return Expansion(value, slope * first, slope * (second - 2 * at * first**2))


def at_least(x: Any, least: float) -> Any:
    """The larger of x and a number."""
    if not isinstance(x, Expansion):
        return jnp.maximum(x, least)
    above = x.value > least
    return Expansion(jnp.maximum(x.value, least), jnp.where(above, x.first, 0), jnp.where(above, x.second, 0))
