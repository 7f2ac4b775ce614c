"""How likely features are."""

import bisect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import is_traced
from ..features.labelled import labelled, pair, refuse_missing
from ..labelled import Names, check_same


def gaussian_log_likelihood(features: Any, mean: Any, *, covariance: Any = None, sd: Any = None) -> Float[Array, ""]:
    r"""Log-density of features under a normal distribution.

    $$-\tfrac12 \left( (x - \mu)^\top \Sigma^{-1} (x - \mu) + \log\det\Sigma + k \log 2\pi \right)$$

    To minimise it, negate it. For many independent runs give the mean features of one run, and the sd between runs.

    Args:
        features: x, `(feature,)`.
        mean: mu, `(feature,)`. Where both have labels, these must agree.
        covariance: Sigma, `(feature, feature)`.
        sd: standard deviations of independent features, one for all or `(feature,)`; instead of a covariance.

    Raises:
        ValueError: for shapes or labels that differ, both or neither of covariance and sd, an sd that is not positive, or a
            covariance that is not symmetric and positive definite (NaN inside jit, where values are not known).

    Example:
        >>> round(float(gaussian_log_likelihood(jnp.zeros(2), jnp.zeros(2), sd=1.0)), 4)
        -1.8379
    """
    x, mu = (v.astype(jnp.result_type(float)) for v in pair(features, mean, ("features", "mean")))
    if x.ndim != 1:
        raise ValueError(
            f"expected features (feature,), got shape {x.shape}: off_diagonal(...) or fcd_values(...) make such"
        )
    for given, which in ((features, "features"), (mean, "mean")):
        refuse_missing(given, np.ones(x.shape, bool), which, "leave that feature out of both")
    if (covariance is None) == (sd is None):
        raise ValueError("give either covariance= or sd=")
    names = labelled(features).names[0] or labelled(mean).names[0]
    if sd is not None:
        scale = _deviations(sd, len(x), names)
        whitened, log_scale = (x - mu) / scale, jnp.log(scale)
    else:
        root = _cholesky(covariance, len(x), names)
        whitened, log_scale = jax.scipy.linalg.solve_triangular(root, x - mu, lower=True), jnp.log(jnp.diag(root))
    return -0.5 * (whitened**2).sum() - log_scale.sum() - 0.5 * len(x) * np.log(2 * np.pi)


def _deviations(sd: Any, count: int, names: Names | None) -> Float[Array, " feature"]:
    given = labelled(sd, "sd")
    if given.values.shape not in ((), (count,)):
        raise ValueError(f"sd has shape {given.values.shape}, expected one number or ({count},), one a feature")
    for along in given.names:
        check_same(along, names, "sd", "the features")
    wrong = np.zeros(1) if is_traced(given.values) else ~(np.asarray(given.values) > 0)
    bad = np.flatnonzero(wrong)
    if len(bad):
        where = f" for {_name(names, int(bad[0]))}" if given.values.ndim else ""
        raise ValueError(f"sd is {np.ravel(given.values)[bad[0]]:g}{where}, expected a positive number")
    return jnp.broadcast_to(jnp.asarray(given.values, jnp.result_type(float)), (count,))


def _cholesky(covariance: Any, count: int, names: Names | None) -> Float[Array, "feature feature"]:
    given = labelled(covariance, "covariance")
    matrix = jnp.asarray(given.values, jnp.result_type(float))
    if matrix.shape != (count, count):
        raise ValueError(f"covariance has shape {matrix.shape}, expected ({count}, {count})")
    check_same(given.names[0], names, "covariance", "the features")
    check_same(given.names[0], given.names[1], "the rows of covariance", "its columns")
    if not is_traced(given.values):
        _check_covariance(np.asarray(given.values, float), names)
    return jnp.linalg.cholesky(matrix)


def _check_covariance(matrix: Float[np.ndarray, "feature feature"], names: Names | None) -> None:
    """By NumPy: inside jit JAX knows nothing of what it computes, be the matrix known or not."""
    uneven = np.abs(matrix - matrix.T) > 1e-5 * np.abs(matrix).max()
    if uneven.any():
        i, j = (int(k) for k in np.argwhere(uneven)[0])
        raise ValueError(
            f"covariance is not symmetric: {matrix[i, j]:g} from {_name(names, i)} to {_name(names, j)}, but "
            f"{matrix[j, i]:g} back"
        )
    rounded = matrix.astype(jnp.result_type(float))

    def rootless(k: int) -> bool:
        try:
            return not np.isfinite(np.linalg.cholesky(rounded[:k, :k])).all()
        except np.linalg.LinAlgError:
            return True

    if rootless(len(matrix)):
        # The first block from the top left that has no root ends with the culprit.
        last = bisect.bisect_left(range(1, len(matrix) + 1), True, key=rootless)
        raise ValueError(
            f"covariance is not positive definite: {_name(names, last)} has no variance of its own beside the features before "
            f"it (its variance is {matrix[last, last]:g}); leave it out, or shrink the covariance"
        )


def _name(names: Names | None, feature: int) -> str:
    return names[feature] if names else f"feature {feature}"
