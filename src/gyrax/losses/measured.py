"""How likely measured connectivity and spectra are: what scatters in them is known, so that no error has to be given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import by_annotations, whole
from .._types import is_traced
from ..features.frequencies import Spectrum
from ..features.labelled import labelled, pair, refuse_missing
from ..labelled import check_same
from .matrices import entries_that_count
from .spectral import powers, refuse_silent

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
        samples: effective number of samples behind the target, one for all or `(region, region)`, more than 3.
        where: True for the entries that count, a matrix, or one value a region that has data; all, if left out.

    Raises:
        ValueError: for shapes or labels that differ, a target that is not symmetric, correlations that do not lie between -1 and 1 (NaN inside
            jit, where values are not known), or too few samples.

    Example:
        >>> a = jnp.array([[1.0, 0.2], [0.2, 1.0]])
        >>> round(float(fisher_z_log_likelihood(a, a, samples=103.0)), 3)  # log(sqrt(100 / 2 pi))
        1.384
    """
    one, two = (x.astype(jnp.result_type(float)) for x in pair(fc, target, ("fc", "target")))
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {one.shape}")
    shape, known = one.shape, {}
    for x, which in ((fc, "fc"), (target, "target")):
        rows, columns = known[which] = labelled(x).names
        check_same(rows, columns, f"the rows of {which}", "its columns")
    counts = entries_that_count(where, shape, known)
    kept = np.triu(counts & counts.T, 1)
    if not kept.any():
        raise ValueError("no pair of regions is left to compare")
    for x, values, which in ((fc, one, "fc"), (target, two, "target")):
        refuse_missing(x, kept, which, _MEND)
        if not is_traced(values):
            _check_correlations(np.asarray(values), kept, which)
    precision = jnp.broadcast_to(_samples(samples, shape, known, kept) - 3, shape)[kept]
    away = jnp.arctanh(two[kept]) - jnp.arctanh(one[kept])
    return 0.5 * (jnp.log(precision / (2 * jnp.pi)) - precision * away**2).sum()


def _check_correlations(values: np.ndarray, kept: np.ndarray, which: str) -> None:
    off = np.abs(values - values.T) * kept
    if off.max() > 1e-4:
        i, j = np.unravel_index(off.argmax(), off.shape)
        raise ValueError(f"{which} is not symmetric: {values[i, j]:g} at [{i}, {j}] and {values[j, i]:g} at [{j}, {i}]")
    largest = np.abs(values[kept]).max()
    if largest >= 1:
        raise ValueError(f"an entry of {which} is {largest:g} in size: correlations lie between -1 and 1")


def _samples(samples: Any, shape: tuple[int, ...], known: Any, kept: np.ndarray) -> Any:
    given = labelled(samples, "samples")
    if given.values.shape not in ((), shape):
        raise ValueError(f"samples has shape {given.values.shape}, expected one number or {shape}, one for each pair")
    for names in known.values():
        for one, two in zip(given.names, names, strict=False):
            check_same(one, two, "samples", "the matrices")
    if is_traced(given.values):
        return given.values
    values = np.broadcast_to(np.asarray(given.values, float), shape)
    if not (values[kept] > 3).all():
        raise ValueError(
            f"samples is {values[kept].min():g}: the error of a correlation is known from more than 3 effective samples on"
        )
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
    known = next((x for x in (periodogram, spectrum) if isinstance(x, Spectrum)), None)
    counts: Any = 1.0
    if known is not None:
        band = known._in(low, high)
        if is_traced(band):
            counts = band[:, None]
        else:
            model, power = model[np.asarray(band)], power[np.asarray(band)]
            spectrum, periodogram = (_some(x, band) for x in (spectrum, periodogram))
    elif low is not None or high is not None:
        raise ValueError("low= and high= choose frequencies: give a Spectrum, which knows its own")
    for x, values, which in ((spectrum, model, "spectrum"), (periodogram, power, "periodogram")):
        refuse_silent(x, values, which)
    each = segments * jnp.log(segments / model) + (segments - 1) * jnp.log(power) - segments * power / model
    return (counts * (each - jax.scipy.special.gammaln(jnp.asarray(segments, each.dtype)))).sum()


def _some(x: Any, band: Any) -> Any:
    """The part in a band, with its labels."""
    chosen = np.asarray(band)
    if isinstance(x, Spectrum):
        return Spectrum(x.frequencies[chosen], x.power[chosen], x.labels)
    return labelled(x).values[chosen]
