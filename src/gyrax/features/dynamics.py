"""How long activity remembers, and how complex it is."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._kinds import by_annotations
from .._types import is_traced
from ..labelled import MaybeLabelled
from .connectivity import standardised
from .series import Series, series


@by_annotations
def autocorrelation(x: Any, lags: int | None = None) -> Float[MaybeLabelled, "lag channel"]:
    r"""Autocorrelation of every channel at lags of 0, 1, ... samples, by Fourier transform.

    $$\rho_k = \sum_{t} (x_t - \bar x)(x_{t+k} - \bar x) \Big/ \sum_t (x_t - \bar x)^2$$

    The biased estimate: the sum above has fewer terms at long lags and is not scaled up for it, which keeps the noise of long
    lags small and $|\rho_k| \le 1$ (times n / (n - k) it is the unbiased one).

    Args:
        x: a recording or an array, `(time, channel)`.
        lags: the longest lag, in samples; by default all.

    Returns:
        `(lags + 1, channel)`, ones first.

    Raises:
        ValueError: for lags that the series does not have, a channel that never changes (NaN inside jit), or wrong input.

    Example:
        >>> autocorrelation(jnp.array([[1.0], [-1.0], [1.0], [-1.0]])).round(4).ravel().tolist()
        [1.0, -0.75, 0.5, -0.25]
    """
    found = series(x, varying=True)
    n = len(found.values)
    lags = n - 1 if lags is None else lags
    if not 0 <= lags < n:
        raise ValueError(f"{n} samples have lags from 0 to {n - 1}, got lags = {lags}")
    unit = standardised(found.values)
    # As many zeros behind as there are lags: the Fourier transform would wrap the end around to the beginning.
    c = jnp.fft.rfft(unit, n + lags, axis=0)
    return found.named(jnp.fft.irfft(c.real**2 + c.imag**2, n + lags, axis=0)[: lags + 1])


def effective_samples(x: Any) -> Float[MaybeLabelled, "channel channel"]:
    r"""How many independent samples tell as much of the correlation of two channels as their own, which remember.

    $$n_{ij} = n \Big/ \Big( 1 + 2 \sum_{k>0} \frac{n - k}{n} \rho_i(k) \rho_j(k) \Big)$$

    of two channels that do not correlate (Bartlett 1946, "On the theoretical specification and sampling properties of autocorrelated
    time-series", J. R. Stat. Soc. Suppl. 8), with autocorrelations that a Tukey window ends at $2 \sqrt n$ samples (Chatfield 2004, "The
    Analysis of Time Series", 6th ed.), for what is estimated at long lags is noise. For channels that correlate strongly it is
    somewhat too few. Series should be as long as several hundred samples.

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: for a channel that never changes (NaN inside jit), or wrong input.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> bool(350 < effective_samples(x)[0, 1] < 450)
        True
    """
    found = series(x, varying=True)
    n = len(found.values)
    last = min(round(2 * math.sqrt(n)), n - 1)
    lag = np.arange(1, last + 1)
    window = 0.5 * (1 + np.cos(np.pi * lag / last)) * np.sqrt((n - lag) / n)
    rho = autocorrelation(found.values, last)[1:]
    rho = jnp.asarray(rho) * jnp.asarray(window[:, None], found.values.dtype)
    return found.paired(n / (1 + 2 * jnp.matmul(rho.T, rho, precision="highest")))


@by_annotations
def autocorrelation_time(x: Any, *, period: float | None = None) -> Float[MaybeLabelled, " channel"]:
    r"""Integrated autocorrelation time (ms): the area under the autocorrelation up to its first zero,

    $$\tau = \Delta \Big( \frac{1}{2} + \sum_{k=1}^{K-1} \rho_k \Big), \quad K = \min \{k: \rho_k \le 0\}$$

    The "intrinsic timescale" of fMRI, Watanabe et al. (2019), eLife 8, with the half of Sokal (1997), Monte Carlo methods in
    statistical mechanics: the trapezoidal rule, so that an exponential decay gives its time constant, as long as that is some
    samples. The mean of the series is taken out, which makes it too short in series of fewer than about 50 time constants (at
    which it still scatters by a third). Differentiable; K itself has no gradient, and needs none, since the terms vanish there.

    Args:
        x: a recording or an array, `(time, channel)`.
        period: ms between the samples of an array.

    Raises:
        ValueError: for a channel that never changes (NaN inside jit), or wrong input.

    Example:
        >>> t = jnp.arange(10000)[:, None] / 1000  # s
        >>> autocorrelation_time(jnp.cos(2 * jnp.pi * 10 * t), period=1.0).round(1).tolist()  # 100 ms / 2 pi
        [15.9]
    """
    s = series(x, period, varying=True)
    ms, rho = 1000.0 / s.rate, autocorrelation(s.values)
    crossing = jnp.argmax(rho <= 0, axis=0)
    before = jnp.arange(len(rho))[:, None] < crossing
    return s.named(ms * (jnp.where(before, rho, 0).sum(0) - 0.5 * rho[0]))


def _counted(x: Any, what: str, least: int = 2) -> Series:
    if is_traced(getattr(x, "values", x)):
        raise TypeError(
            f"{what} counts patterns in NumPy: it has no gradient and does not run inside jit, vmap or grad; "
            "take it of finished recordings"
        )
    return series(x, least=least, varying=True)


def lempel_ziv(x: Any) -> np.ndarray:
    r"""Lempel-Ziv complexity (1976) of every channel, $c(n) \log_2(n) / n$ of the signal as zeros and ones about its median.

    c is the number of words in the exhaustive history of Lempel and Ziv (1976), IEEE Trans. Inf. Theory 22: each word is the
    shortest that did not occur before (it may overlap with what is before it); a rest at the end counts as one. About 1 for
    coin tosses, near 0 for what repeats. Samples above the median are ones. Computed by NumPy: no gradient, not inside jit.

    Args:
        x: a recording or an array, `(time, channel)`.

    Returns:
        `(channel,)`.

    Raises:
        TypeError: inside jit, vmap or grad.
        ValueError: for a channel that never changes, or wrong input.

    Example:
        >>> history = jnp.array([0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1])  # 0 001 10 100 1000 101
        >>> lempel_ziv(history[:, None]).tolist()
        [1.5]
    """
    values = np.asarray(_counted(x, "lempel_ziv").values)
    n = len(values)
    above = (values > np.median(values, axis=0)).astype(np.uint8)
    return np.array([_words(bits.tobytes()) for bits in above.T]) * (np.log2(n) / n)


def _words(text: bytes) -> int:
    """Number of words in the exhaustive history of a text."""
    start, words = 0, 0
    while start < len(text):
        length, found = 1, 0
        while start + length <= len(text):
            # A longer word occurs no earlier than its beginning does.
            found = text.find(text[start : start + length], found, start + length - 1)
            if found < 0:
                break
            length += 1
        words += 1
        start += length
    return words


@by_annotations
def permutation_entropy(x: Any, order: int = 3) -> np.ndarray:
    r"""Permutation entropy of every channel, Bandt and Pompe (2002), Phys. Rev. Lett. 88, as a part of its maximum $\log(m!)$.

    The entropy of how often each order of m neighbouring samples by size occurs: 0 for a signal that only rises, 1 for white
    noise. Equal samples count in the order of time. Computed by NumPy: no gradient, not inside jit.

    Args:
        x: a recording or an array, `(time, channel)`, of many more than m! samples.
        order: m, the samples of a pattern, at least 2.

    Returns:
        `(channel,)`, from 0 to 1.

    Raises:
        TypeError: inside jit, vmap or grad.
        ValueError: for an order that is too small or longer than the series, a channel that never changes, or wrong input.

    Example:
        >>> series = jnp.array([4.0, 7.0, 9.0, 10.0, 6.0, 11.0, 3.0])[:, None]  # the example of the paper: 1.522 bits
        >>> (permutation_entropy(series, order=3) * np.log2(6)).round(3).tolist()
        [1.522]
    """
    if order < 2:
        raise ValueError(f"patterns are of two samples or more, got order = {order}")
    values = np.asarray(_counted(x, "permutation_entropy", least=order).values)
    windows = np.lib.stride_tricks.sliding_window_view(values, order, axis=0)
    code = np.argsort(windows, axis=-1, kind="stable") @ (order ** np.arange(order))
    return np.array([_entropy(channel) for channel in code.T]) / math.log(math.factorial(order))


def _entropy(code: np.ndarray) -> float:
    share = np.unique(code, return_counts=True)[1] / len(code)
    return float(abs((share * np.log(share)).sum()))
