"""What is compared between a simulation and data: pure functions of recordings."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from ._types import is_traced
from .recording import Recording


def _series(x: Any) -> Float[Array, "time channel"]:
    """Values `(time, channel)` of a recording or an array."""
    labels = x.labels if isinstance(x, Recording) else ()
    values = jnp.asarray(x.values if isinstance(x, Recording) else x, jnp.result_type(float))
    if values.ndim == 3 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 2:
        raise ValueError(
            f"expected (time, channel), got shape {values.shape}: choose one state, such as recording.values[:, 0]"
        )
    if values.shape[0] < 2:
        raise ValueError(
            f"correlations need at least two samples, got {values.shape[0]}: simulate longer, or drop fewer"
        )
    if not is_traced(values):
        spread = np.ptp(np.asarray(values), axis=0)
        for bad, what in ((~np.isfinite(spread), "is not finite"), (spread == 0, "never changes")):
            if bad.any():
                i = int(np.argmax(bad))
                name = labels[i] if i < len(labels) else f"channel {i}"
                raise ValueError(f"{name} {what}: its correlations are not defined")
    return values


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
    values = _series(x)
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
