"""How likely measured connectivity and spectra are: what scatters in them is known, so that no error has to be given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import by_annotations, whole
from .._types import is_traced
from ..features.frequencies import Spectrum
from ..features.labelled import known, labelled, pair, refuse_missing
from ..labelled import check_same
from .matrices import entries_that_count
from .spectral import powers, refuse_silent

#: How far a correlation of a region with itself may be from one, in files with three digits.
_ROUNDED = 1e-3
_MEND = "leave that region out of both, or where= it"


def fisher_z_log_likelihood(fc: Any, target: Any, *, samples: Any, where: Any = None) -> Float[Array, ""]:
    r"""Log-density of measured functional connectivity, given that of a model.

    Fisher's $z = \mathrm{artanh}\, r$ of n independent samples is normal around that of the model with variance 1 / (n - 3) (Fisher 1921,
    "On the probable error of a coefficient of correlation deduced from a small sample", Metron 1). Samples of BOLD or of slow
    envelopes are not independent: take `gx.features.effective_samples` of the measured series. Each pair counts once, and pairs count as
    independent, which those that share a region are not: posteriors of many regions come out too narrow.

    Args:
        fc: that of the model without noise, or of a long run, `(region, region)`.
        target: measured. Where both have labels, these must agree.
        samples: effective number of samples behind the target, one for all or `(region, region)` and symmetric, more than 3.
        where: True for the entries that count, a matrix, or one value a region that has data; all, if left out.

    Raises:
        ValueError: for shapes or labels that differ, matrices that are not symmetric, correlations that do not lie between -1 and 1 (NaN inside
            jit, where values are not known), a diagonal that is neither 1 nor empty, as of covariances, or too few samples.

    Example:
        >>> a = jnp.array([[1.0, 0.2], [0.2, 1.0]])
        >>> round(float(fisher_z_log_likelihood(a, a, samples=103.0)), 3)  # log(sqrt(100 / 2 pi))
        1.384
    """
    one, two = (x.astype(jnp.result_type(float)) for x in pair(fc, target, ("fc", "target")))
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {one.shape}")
    shape, names = one.shape, {}
    for x, which in ((fc, "fc"), (target, "target")):
        rows, columns = names[which] = labelled(x).names
        check_same(rows, columns, f"the rows of {which}", "its columns")
    counts = entries_that_count(where, shape, names)
    kept = np.triu(counts & counts.T, 1)
    if not kept.any():
        raise ValueError("no pair of regions is left to compare")
    for x, which in ((fc, "fc"), (target, "target")):
        refuse_missing(x, kept, which, _MEND)
        values = known(x)
        if values is not None:
            _check_correlations(values, kept, which)
    precision = jnp.broadcast_to(_samples(samples, shape, names, kept) - 3, shape)[kept]
    away = jnp.arctanh(two[kept]) - jnp.arctanh(one[kept])
    return 0.5 * (jnp.log(precision / (2 * jnp.pi)) - precision * away**2).sum()


def _check_correlations(values: np.ndarray, kept: np.ndarray, which: str) -> None:
    _check_symmetric(values, kept, which, 1e-4)
    largest = np.abs(values[kept]).max()
    if largest >= 1:
        raise ValueError(f"an entry of {which} is {largest:g} in size: correlations lie between -1 and 1")
    diagonal = np.diagonal(values)
    counts = (kept | kept.T).any(0) & np.isfinite(diagonal) & (diagonal != 0)  # which some leave empty
    apart = counts & (np.abs(diagonal - 1) > _ROUNDED)
    if apart.any():
        i = int(apart.argmax())
        raise ValueError(
            f"{which} is {diagonal[i]:g} at [{i}, {i}], and a correlation with itself is 1: is it a covariance? Take gx.features.fc(...), or of "
            "theory gx.analysis.linear_noise(...).fc(...)"
        )


def _check_symmetric(values: np.ndarray, kept: np.ndarray, which: str, tolerance: float) -> None:
    off = np.abs(np.where(kept, values - values.T, 0.0))
    if not (off <= tolerance).all():
        i, j = np.unravel_index(np.nan_to_num(off, nan=np.inf).argmax(), off.shape)
        raise ValueError(f"{which} is not symmetric: {values[i, j]:g} at [{i}, {j}] and {values[j, i]:g} at [{j}, {i}]")


def _samples(samples: Any, shape: tuple[int, ...], known_as: Any, kept: np.ndarray) -> Any:
    given = labelled(samples, "samples")
    if given.values.shape not in ((), shape):
        raise ValueError(f"samples has shape {given.values.shape}, expected one number or {shape}, one for each pair")
    for names in known_as.values():
        for one, two in zip(given.names, names, strict=False):
            check_same(one, two, "samples", "the matrices")
    if is_traced(given.values):
        return given.values
    values = np.broadcast_to(np.asarray(given.values, float), shape)
    counted = values[kept | kept.T]
    wrong = counted[~((counted > 3) & np.isfinite(counted))]
    if wrong.size:
        raise ValueError(
            f"samples is {wrong[0]:g}: the error of a correlation is known from more than 3 effective samples on, of which there are finitely many"
        )
    _check_symmetric(values, kept, "samples", 1e-4 * counted.max())
    return jnp.asarray(values, jnp.result_type(float))


@by_annotations
def whittle_log_likelihood(
    spectrum: Any, periodogram: Any, *, segments: int = 1, low: float | None = None, high: float | None = None
) -> Float[Array, ""]:
    r"""Log-density of a measured power spectrum, given that of a model.

    Power at each frequency scatters around the model's as an exponential distribution, independently between frequencies; a mean
    over M segments as a gamma distribution (Whittle 1953, "Estimation and information in stationary time series", Arkiv för
    Matematik 2; exact for series without end):

    $$\sum_f \log \frac{(M / S_f)^M I_f^{M-1} e^{-M I_f / S_f}}{\Gamma(M)}$$

    Estimate the periodogram with `gx.features.psd(x, segment=..., overlap=0.0, window="boxcar")`: segments that overlap and windows
    make neighbours alike, which then count as more than they tell. Channels count as independent.

    Args:
        spectrum: S of the model, as `gx.analysis.linear_noise(...).spectrum` gives it at the same frequencies, `(frequency, channel)`.
        periodogram: I, measured, one-sided in the same unit. Where both have labels or frequencies, these must agree.
        segments: M, how many segments it is the mean of.
        low: Hz, where the band begins that counts; by default the lowest frequency above zero, where the mean is.
        high: Hz, where it ends; leave out what a filter took away, and the highest of all (half the sampling rate) scatters twice as much.

    Raises:
        ValueError: if shapes, labels or frequencies differ, a power is not positive (NaN inside jit), or a band is not resolved; for a
            band of spectra without frequencies.

    Example:
        >>> round(float(whittle_log_likelihood(jnp.full((3, 1), 2.0), jnp.full((3, 1), 2.0))), 3)  # -3 (log 2 + 1)
        -5.079
    """
    segments = whole("segments", segments)
    model, power = powers(spectrum, periodogram, ("spectrum", "periodogram"))
    band = _band(spectrum, periodogram, low, high)
    if is_traced(band):
        # Ones outside, where a power may be zero: no value and no slope of what does not count.
        model, power = (jnp.where(band[:, None], x, 1.0) for x in (model, power))
        counts: Any = band[:, None]
    else:
        refuse_silent(spectrum, "spectrum", band)
        refuse_silent(periodogram, "periodogram", band)
        model, power, counts = model[band], power[band], 1.0
    each = segments * jnp.log(segments / model) + (segments - 1) * jnp.log(power) - segments * power / model
    return (counts * (each - jax.scipy.special.gammaln(jnp.asarray(segments, each.dtype)))).sum()


def _band(spectrum: Any, periodogram: Any, low: float | None, high: float | None) -> Any:
    """Which frequencies count: of those of the two that are known, if any are."""
    spectra = [x for x in (periodogram, spectrum) if isinstance(x, Spectrum)]
    if not spectra:
        if low is not None or high is not None:
            raise ValueError("low= and high= choose frequencies: give a Spectrum, which knows its own")
        return np.ones(len(labelled(spectrum).values), bool)
    band = min(spectra, key=lambda x: is_traced(x.frequencies))._in(low, high)
    return band if is_traced(band) else np.asarray(band)
