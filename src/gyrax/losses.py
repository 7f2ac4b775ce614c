"""Distances between features: differentiable, and strict about shapes."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .features import off_diagonal


def _pair(a: Any, b: Any) -> tuple[Array, Array]:
    a, b = jnp.asarray(a), jnp.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"the two differ in shape: {a.shape} and {b.shape}; nothing is broadcast here")
    return a, b


def rmse(a: Any, b: Any) -> Float[Array, ""]:
    """Root of the mean squared difference of two arrays of one shape; where they are equal, its gradient is zero.

    Example:
        >>> round(float(rmse(jnp.zeros(2), jnp.array([3.0, 4.0]))) ** 2, 4)
        12.5
    """
    a, b = _pair(a, b)
    square = jnp.mean((a - b) ** 2)
    equal = square == 0  # the root has no slope there, and a gradient through it would be NaN
    return jnp.where(equal, 0.0, jnp.sqrt(jnp.where(equal, 1.0, square)))


def fc_rmse(a: Any, b: Any) -> Float[Array, ""]:
    """Root mean squared difference of two connectivity matrices off their diagonals.

    Example:
        >>> float(fc_rmse(jnp.eye(3), jnp.zeros((3, 3))))
        0.0
    """
    a, b = _pair(a, b)
    return rmse(off_diagonal(a), off_diagonal(b))


def fc_correlation(a: Any, b: Any) -> Float[Array, ""]:
    """Pearson correlation of two connectivity matrices off their diagonals (a similarity: 1 is best).

    Example:
        >>> a = jnp.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
        >>> round(float(fc_correlation(a, 2 * a)), 6)
        1.0
    """
    a, b = _pair(a, b)
    a, b = off_diagonal(a), off_diagonal(b)
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / jnp.sqrt((a**2).sum() * (b**2).sum())
