"""Functional connectivity: how alike the time courses of channels are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from .._kinds import by_annotations, refused
from .._types import is_traced
from ..labelled import MaybeLabelled, Names, known_names, with_names
from .series import centred, constant, series
from .spectra import whole_samples


def fc(x: Any, shrinkage: Any = 0.0) -> Float[MaybeLabelled, "channel channel"]:
    r"""Functional connectivity: Pearson correlations between channels, with ones on the diagonal.

    Args:
        x: a recording or an array, `(time, channel)`.
        shrinkage: how far to draw the correlations to zero, from 0 (not at all) to 1, or "ledoit-wolf" for
            `ledoit_wolf_shrinkage` of the standardised channels. Correlations of few samples are nearer to the truth so.

    Raises:
        ValueError: for another shape, fewer than two samples, a channel that is constant or not finite (inside jit,
            where values are not known, its correlations become NaN), or a shrinkage out of range.

    Example:
        >>> fc(jnp.array([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]])).round(6).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    found = series(x, varying=True)
    unit = standardised(found.values)
    return found.paired(_shrink(unit.T @ unit, shrinkage, unit))


def covariance(x: Any, shrinkage: Any = 0.0) -> Float[MaybeLabelled, "channel channel"]:
    r"""Covariances between channels, over samples less one as `numpy.cov` has it.

    With a shrinkage $\alpha$ it is $(1 - \alpha) S + \alpha \mu I$, $\mu$ the mean of the variances: Ledoit & Wolf (2004),
    "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivar. Anal. 88.

    Args:
        x: a recording or an array, `(time, channel)`.
        shrinkage: from 0 to 1, or "ledoit-wolf" for `ledoit_wolf_shrinkage(x)`.

    Raises:
        ValueError: for another shape, fewer than two samples, values that are not finite, or a shrinkage out of range.

    Example:
        >>> covariance(jnp.array([[0.0, 1.0], [2.0, 5.0]])).tolist()
        [[2.0, 4.0], [4.0, 8.0]]
    """
    found = series(x)
    centre = centred(found.values)
    return found.paired(_shrink(centre.T @ centre / (len(centre) - 1), shrinkage, centre))


def ledoit_wolf_shrinkage(x: Any) -> Float[Array, ""]:
    r"""How far to shrink the covariance of so many samples, Ledoit & Wolf (2004), J. Multivar. Anal. 88, section 3.

    With $S$ the covariance over $n$ samples $x_k$ of $p$ channels (divided by $n$) and $\mu = \mathrm{tr}\,S / p$:

    $$\alpha = \min(b^2, d^2) / d^2, \quad d^2 = \lVert S - \mu I \rVert^2, \quad
    b^2 = \frac{1}{n^2} \sum_k \lVert x_k x_k^\top - S \rVert^2$$

    Args:
        x: a recording or an array, `(time, channel)`.

    Returns:
        Between 0, for very many samples, and 1; 0 where nothing is to shrink, as for one channel alone.

    Raises:
        ValueError: for another shape, fewer than two samples, or values that are not finite.

    Example:
        >>> round(float(ledoit_wolf_shrinkage(jnp.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0], [3.0, 6.0]]))), 3)
        0.632
    """
    values = series(x).values
    return _ledoit_wolf(centred(values))


def partial_correlation(x: Any, shrinkage: Any = 0.0) -> Float[MaybeLabelled, "channel channel"]:
    r"""Correlations between two channels that remain when all others are regressed out, with ones on the diagonal.

    From the inverse $P$ of the correlation matrix: $-P_{ij} / \sqrt{P_{ii} P_{jj}}$ (Marrelec et al. 2006, NeuroImage 32).

    Args:
        x: a recording or an array, `(time, channel)`.
        shrinkage: of the correlation matrix that is inverted, as in `fc`: from 0 to 1, or "ledoit-wolf". Needed where
            there are not more samples than channels.

    Raises:
        ValueError: as `fc`; or if the correlation matrix has no inverse, for too few samples or because channels depend
            on each other (inside jit, where values are not known, the latter gives NaN or noise).

    Example:
        >>> a, b = jnp.array([1.0, -1.0, 1.0, -1.0]), jnp.array([1.0, 1.0, -1.0, -1.0])
        >>> float(partial_correlation(jnp.stack([a, a + b, b + 0.1 * a * b], 1))[0, 2].round(2))
        -0.99
    """
    found = series(x, varying=True)
    samples, channels = found.values.shape
    if _no_shrinkage(shrinkage) and samples <= channels:
        raise ValueError(
            f"{samples} samples of {channels} channels: their correlation matrix has no inverse; take more samples than "
            "channels, or shrinkage='ledoit-wolf'"
        )
    matrix = fc(found.values, shrinkage)
    if not is_traced(matrix):
        least = np.linalg.eigvalsh(np.asarray(matrix))[0]
        if least <= channels * jnp.finfo(matrix.dtype).eps:
            raise ValueError(
                "channels depend on each other (as after an average reference), so that their correlation matrix has no "
                f"inverse: its least eigenvalue is {least:.2g}; leave one out, or take shrinkage='ledoit-wolf'"
            )
    inverse = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), jnp.eye(channels, dtype=matrix.dtype))
    size = jnp.sqrt(jnp.diag(inverse))
    return found.paired(jnp.where(np.eye(channels, dtype=bool), 1.0, -inverse / jnp.outer(size, size)))


@by_annotations
def lagged_correlation(x: Any, lag: float, period: float | None = None) -> Float[MaybeLabelled, "channel channel"]:
    """Pearson correlations of channels with what others were a lag earlier.

    Entry `[i, j]` correlates channel i at t + lag with channel j at t, over all t that have both: like weights, rows receive
    and columns send. Not symmetric; the correlations of a negative lag are the transposed ones.

    Args:
        x: a recording or an array, `(time, channel)`.
        lag: ms, a whole number of samples.
        period: ms between the samples of an array; a recording has its own.

    Raises:
        ValueError: for a lag that is negative, not a whole number of samples, or leaves fewer than two; or a channel that
            is not finite, or constant over the samples compared.

    Example:
        >>> x = jnp.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [5.0, 3.0]])
        >>> lagged_correlation(x, lag=2.0, period=2.0)[1, 0].item()
        1.0
    """
    found = series(x, period, varying=True)
    if lag < 0:
        raise ValueError(f"lag = {lag:g} ms is negative: take the transposed matrix of lag = {-lag:g} ms")
    steps = whole_samples(lag, 1000.0 / found.rate, "lag")
    rest = len(found.values) - steps
    if rest < 2:
        raise ValueError(
            f"lag = {lag:g} ms leaves {max(rest, 0)} of {len(found.values)} samples to correlate, at least 2 are needed"
        )
    later, earlier = found.values[steps:], found.values[:rest]
    refuse_constant(later, found.name, f"in its last {rest} samples")
    refuse_constant(earlier, found.name, f"in its first {rest} samples")
    return found.paired(correlate(later, earlier))


def edge_series(x: Any) -> Float[MaybeLabelled, "time pair"]:
    """Edge time series: products of the z-scores of two channels, whose mean over time is their correlation.

    Zamani Esfahlani et al. (2020), "High-amplitude cofluctuations in cortical activity drive functional connectivity",
    PNAS 117. Pairs i < j, row by row: those of `numpy.triu_indices(channels, 1)`.

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: as `fc`, or for one channel alone.

    Example:
        >>> x = jnp.array([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]])
        >>> edge_series(x)[:, 0].round(3).tolist(), edge_series(x).mean(0).round(3).tolist()
        ([-1.5, -0.0, -1.5], [-1.0])
    """
    found = series(x, varying=True)
    i, j = pairs(found.values.shape[1], least=2)
    z = standardised(found.values) * len(found.values) ** 0.5
    return with_names(z[:, i] * z[:, j], _pair_names(found.labels, i, j))


def off_diagonal(matrix: Any) -> Shaped[MaybeLabelled, " pair"]:
    """The entries off the diagonal of a square matrix, row by row. Of a matrix with names they are called 'row, column'.

    Of a symmetric matrix each pair is there twice; `upper_triangle` has it once.

    Raises:
        ValueError: for a matrix that is not square.

    Example:
        >>> off_diagonal(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [2.0, 3.0]
    """
    values, names = known_names(matrix, "matrix")
    matrix = jnp.asarray(values)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {matrix.shape}")
    i, j = np.nonzero(~np.eye(len(matrix), dtype=bool))
    return with_names(matrix[i, j], _pair_names(names[0] if names[0] == names[1] and names[0] else (), i, j))


def upper_triangle(matrix: Any) -> Shaped[MaybeLabelled, " pair"]:
    """Each pair of a symmetric matrix once, row by row: what is compared or counted where both halves say the same.

    Of a matrix with names they are called 'row, column'.

    Raises:
        ValueError: for a matrix that is not square, or not symmetric (where it is known).

    Example:
        >>> upper_triangle(jnp.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])).round(1).tolist()
        [0.2, 0.4, 0.6]
    """
    values, names = known_names(matrix, "matrix")
    if not is_traced(values) and np.ndim(values) == 2 and np.shape(values)[0] == np.shape(values)[1]:
        _check_symmetric(np.asarray(values))
    matrix = jnp.asarray(values)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {matrix.shape}")
    i, j = pairs(len(matrix), least=2)
    return with_names(matrix[i, j], _pair_names(names[0] if names[0] == names[1] and names[0] else (), i, j))


def _check_symmetric(matrix: np.ndarray) -> None:
    """Refuses a matrix whose halves differ by more than rounding, in units of its largest entry."""
    known = matrix.astype(np.result_type(matrix.dtype, float))
    size = np.abs(known[np.isfinite(known)])
    same = np.isclose(known, known.T, rtol=1e-4, atol=1e-6 * size.max(initial=0.0), equal_nan=True)
    if not same.all():
        with np.errstate(invalid="ignore"):
            apart = np.where(same, -1.0, np.nan_to_num(np.abs(known - known.T), nan=np.inf))
        i, j = sorted(np.unravel_index(int(apart.argmax()), known.shape))
        raise ValueError(
            f"the matrix is not symmetric: [{i}, {j}] is {known[i, j]:.6g} and [{j}, {i}] {known[j, i]:.6g}; off_diagonal(...) has both"
        )


def _pair_names(labels: Names, i: np.ndarray, j: np.ndarray) -> Names:
    return tuple(f"{labels[row]}, {labels[column]}" for row, column in zip(i, j, strict=True)) if labels else ()


def pairs(channels: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices i < j of all pairs of channels, row by row.

    Example:
        >>> [index.tolist() for index in pairs(3, least=2)]
        [[0, 0, 1], [1, 2, 2]]
    """
    if channels < least:
        raise ValueError(f"at least {least} channels are needed, got {channels}")
    i, j = np.triu_indices(channels, 1)
    return i, j


def refuse_constant(values: Shaped[Any, "sample column"], name: Callable[[int], str], where: str) -> None:
    """Raises if a column never changes, where values are known.

    Example:
        >>> refuse_constant(np.eye(2), str, "at all")
    """
    if not is_traced(values):
        constant = np.ptp(np.asarray(values), axis=0) == 0
        if constant.any():
            raise ValueError(f"{name(int(np.argmax(constant)))} never changes {where}: no correlation is defined there")


def standardised(values: Float[Array, "sample channel"]) -> Float[Array, "sample channel"]:
    """Channels without their means, scaled to length one; a channel that never changes is NaN.

    Example:
        >>> standardised(jnp.array([[1.0, 0.1], [3.0, 0.1]])).round(3).tolist()
        [[-0.707, nan], [0.707, nan]]
    """
    still, centre = constant(values), centred(values)
    return centre / jnp.where(still, jnp.nan, jnp.sqrt(jnp.where(still, 1.0, (centre**2).sum(0))))


def correlate(a: Float[Array, "sample row"], b: Float[Array, "sample column"]) -> Float[Array, "row column"]:
    """Pearson correlations of the columns of one array with those of another.

    Example:
        >>> correlate(jnp.array([[0.0], [1.0]]), jnp.array([[1.0, 3.0], [2.0, 0.0]])).round(3).tolist()
        [[1.0, -1.0]]
    """
    return standardised(a).T @ standardised(b)


def _no_shrinkage(shrinkage: Any) -> bool:
    return not isinstance(shrinkage, str) and not is_traced(shrinkage) and bool(np.all(np.asarray(shrinkage) == 0))


def _shrink(
    matrix: Float[Array, "channel channel"], shrinkage: Any, centre: Float[Array, "time channel"]
) -> Float[Array, "channel channel"]:
    """A covariance drawn to a multiple of the identity that has its trace."""
    if isinstance(shrinkage, str):
        if shrinkage != "ledoit-wolf":
            raise ValueError(f"shrinkage is a number from 0 to 1 or 'ledoit-wolf', got {shrinkage!r}")
        shrinkage = _ledoit_wolf(centre)
    elif not is_traced(shrinkage) and not np.issubdtype(np.asarray(shrinkage).dtype, np.number):
        raise refused("shrinkage", shrinkage, "a number from 0 to 1, or 'ledoit-wolf'", "0.1")
    elif not is_traced(shrinkage) and not (np.ndim(shrinkage) == 0 and 0 <= np.asarray(shrinkage) <= 1):
        raise ValueError(f"shrinkage is a number from 0 to 1 or 'ledoit-wolf', got {shrinkage}")
    if _no_shrinkage(shrinkage):
        return matrix
    target = jnp.trace(matrix) / len(matrix) * jnp.eye(len(matrix), dtype=matrix.dtype)
    return (1 - shrinkage) * matrix + shrinkage * target


def _ledoit_wolf(centre: Float[Array, "time channel"]) -> Float[Array, ""]:
    samples, channels = centre.shape
    # In units of the mean variance, so that squares of squares neither vanish nor overflow in float32.
    power = (centre**2).mean()
    silent = power == 0
    centre = centre / jnp.sqrt(jnp.where(silent, 1.0, power))
    covariance = centre.T @ centre / samples
    spread = ((covariance - jnp.eye(channels, dtype=centre.dtype)) ** 2).sum()
    error = (((centre**2).sum(1) ** 2).mean() - (covariance**2).sum()) / samples
    isotropic = silent | (spread <= 0)
    if channels == 1:
        return jnp.zeros((), centre.dtype)
    return jnp.where(isotropic, 0.0, jnp.minimum(error, spread) / jnp.where(isotropic, 1.0, spread))
