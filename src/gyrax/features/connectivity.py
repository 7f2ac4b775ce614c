"""Functional connectivity and how it changes over time."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from .series import series


def fc(x: Any) -> Float[Array, "channel channel"]:
    """Functional connectivity: Pearson correlations between channels, with ones on the diagonal.

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: for another shape, fewer than two samples, or a channel that is constant or not finite (inside jit,
            where values are not known, its correlations become NaN).

    Example:
        >>> fc(jnp.array([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]])).round(6).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    values = series(x, varying=True).values
    centred = values - values.mean(0)
    unit = centred / jnp.sqrt((centred**2).sum(0))
    return unit.T @ unit


def off_diagonal(matrix: Any) -> Shaped[Array, " pair"]:
    """The entries off the diagonal of a square matrix, row by row.

    Example:
        >>> off_diagonal(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [2.0, 3.0]
    """
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {matrix.shape}")
    return matrix[~np.eye(len(matrix), dtype=bool)]
