"""Band-passed signals, their phases and envelopes, and how these go together."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.signal import butter

from .._kinds import by_annotations
from ..labelled import MaybeLabelled, check_same, known_names, with_names
from ..recordings.recording import Recording
from .frequencies import Connectivity
from .series import Series, centred, constant, series
from .spectra import fourier, whole_samples


def _magnitude(z: Complex[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Absolute value, whose gradient at zero is zero, not NaN."""
    square = z.real**2 + z.imag**2
    zero = square == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, square)))


def _unit(z: Complex[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """On the unit circle; zero stays zero."""
    size = _magnitude(z)
    return z / jnp.where(size == 0, 1, size)


@by_annotations
def bandpass(x: Any, low: float, high: float, *, order: int = 4, period: float | None = None) -> Any:
    r"""Zero-phase Butterworth band-pass: every frequency is multiplied by $|H(f)|^2$ of the digital filter.

    That is the filter run forwards and backwards, as `scipy.signal.sosfiltfilt(butter(order, (low, high), "bandpass"))` does,
    to which it is equal away from the ends; but by one Fourier transform, not a recursion, hence fast to differentiate. At
    the ends the series goes on turned about its first and last sample (odd extension), for as long as the filter rings or
    by the length of the series, whichever is shorter; within about 1 / low of them any filter invents.

    Args:
        x: a recording or an array, `(time, channel)`.
        low: Hz, where the power is a quarter (a half each way).
        high: Hz, likewise.
        order: of the low-pass prototype; 2 orders a band-pass, and run twice.
        period: ms between the samples of an array.

    Returns:
        What was given: a recording for a recording, an array for an array, of the same shape.

    Raises:
        ValueError: unless 0 < low < high < half the sampling rate, for a series shorter than 1 / low, or wrong input.

    Example:
        >>> t = jnp.arange(2000)[:, None] / 1000  # s
        >>> slow, fast = jnp.sin(2 * jnp.pi * 2 * t), jnp.sin(2 * jnp.pi * 10 * t)
        >>> filtered = bandpass(slow + fast, 8.0, 13.0, period=1.0)
        >>> bool(jnp.abs(filtered - fast)[500:1500].max() < 0.01)
        True
    """
    s = series(x, period)
    n, rate = len(s.values), s.rate
    if not 0 < low < high < rate / 2:
        raise ValueError(
            f"a band goes from low to high, between 0 and {rate / 2:g} Hz, half the sampling rate; got {low:g} to {high:g} Hz"
        )
    if order < 1:
        raise ValueError(f"the order of a filter is at least 1, got {order}")
    if n / rate < 1 / low:
        raise ValueError(
            f"{n / rate:g} s do not hold one cycle of {low:g} Hz: simulate longer, or filter from higher up"
        )
    dtype = s.values.dtype
    design: Any = butter(order, (low, high), "bandpass", fs=rate, output="zpk")
    zeros, poles, gain = design
    rings = math.log(jnp.finfo(dtype).eps) / math.log(abs(poles).max())  # samples until the slowest pole has decayed
    pad = min(n - 1, math.ceil(rings))
    z = np.exp(2j * np.pi * np.fft.rfftfreq(n + 2 * pad))[:, None]
    response = gain * np.prod(z - zeros, 1) / np.prod(z - poles, 1)
    centre = centred(s.values)  # the filter stops the mean anyway, and float32 keeps its digits
    before, after = 2 * centre[0] - centre[pad:0:-1], 2 * centre[-1] - centre[-2 : -2 - pad : -1]
    coefficients = jnp.fft.rfft(jnp.concatenate([before, centre, after]), axis=0)
    coefficients = coefficients * jnp.asarray(np.abs(response[:, None]) ** 2, dtype)
    filtered = jnp.fft.irfft(coefficients, n + 2 * pad, axis=0)[pad : pad + n]
    if isinstance(x, Recording):
        return eqx.tree_at(lambda r: r.values, x, filtered.reshape(x.values.shape))
    return s.named(filtered.reshape(np.shape(x)))


def analytic(x: Any) -> Complex[MaybeLabelled, "time channel"]:
    r"""The analytic signal $x + i \mathcal{H}(x)$ with the Hilbert transform $\mathcal{H}$; equals `scipy.signal.hilbert`.

    Its angle and size are a phase and an envelope only where x is a narrow band: filter first (`bandpass`). The transform
    takes the series for a cycle, so that both are distorted within a few periods of its ends.

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: for another shape, fewer than two samples, or values that are not finite.

    Example:
        >>> t = jnp.arange(8)[:, None] / 8
        >>> bool(jnp.allclose(analytic(jnp.cos(2 * jnp.pi * t)), jnp.exp(2j * jnp.pi * t), atol=1e-6))
        True
    """
    s = series(x)
    return s.named(_analytic(s.values))


def _analytic(values: Float[Array, "time channel"]) -> Complex[Array, "time channel"]:
    n = len(values)
    # None at 0 Hz and at half the sampling rate, where the transform of real samples has no imaginary part.
    turn = np.full((n // 2 + 1, 1), -1j)
    turn[0] = 0
    if n % 2 == 0:
        turn[-1] = 0
    coefficients = jnp.fft.rfft(centred(values), axis=0)
    return values + 1j * jnp.fft.irfft(coefficients * jnp.asarray(turn, coefficients.dtype), n, axis=0)


def phase(x: Any) -> Float[MaybeLabelled, "time channel"]:
    """Instantaneous phase, the angle of the analytic signal, from -pi to pi. Filter first (`bandpass`).

    Where the amplitude is zero, so are the phase and its gradient.

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: for another shape, fewer than two samples, or values that are not finite.

    Example:
        >>> phase(jnp.array([[1.0], [0.0], [-1.0], [0.0]])).round(4).ravel().tolist()
        [0.0, 1.5708, 3.1416, -1.5708]
    """
    s = series(x)
    z = _analytic(s.values)
    zero = (z.real == 0) & (z.imag == 0)
    return s.named(jnp.angle(jnp.where(zero, 1, z)))


def envelope(x: Any) -> Float[MaybeLabelled, "time channel"]:
    """Amplitude envelope, the size of the analytic signal. Filter first (`bandpass`).

    Args:
        x: a recording or an array, `(time, channel)`.

    Raises:
        ValueError: for another shape, fewer than two samples, or values that are not finite.

    Example:
        >>> envelope(jnp.array([[2.0], [0.0], [-2.0], [0.0]])).ravel().tolist()
        [2.0, 2.0, 2.0, 2.0]
    """
    s = series(x)
    return s.named(_magnitude(_analytic(s.values)))


def _trimmed(values: Array, s: Series, trim: float) -> Array:
    """Without what the ends distort, `trim` ms at either end."""
    samples = whole_samples(trim, 1000.0 / s.rate, "trim") if trim else 0
    if len(values) - 2 * samples < 2:
        raise ValueError(f"trim = {trim:g} ms at either end leaves fewer than two of {len(values)} samples")
    return values[samples : len(values) - samples]


def _phasors(x: Any, phases: bool, trim: float, period: float | None) -> tuple[Series, Complex[Array, "time channel"]]:
    """The series, and its points on the unit circle, of signals or of phases."""
    s = series(x, period, least=1 if phases else 2, varying=not phases)
    if s.values.shape[1] < 2:
        raise ValueError("one channel alone is always in step with itself: two or more are needed")
    u = jnp.exp(1j * s.values) if phases else _unit(_analytic(s.values))
    return s, _trimmed(u, s, trim) if trim else u


def _correlate(a: Float[Array, "time channel"], b: Float[Array, "time 1"]) -> Float[Array, " channel"]:
    """Pearson correlation of every channel with one series; zero where one of the two never changes."""

    def unit(v):
        still, centre = constant(v), centred(v)
        return centre / jnp.where(still, 1, jnp.sqrt(jnp.where(still, 1, (centre**2).sum(0))))

    return (unit(a) * unit(b)).sum(0)


@by_annotations
def envelope_correlation(
    x: Any, *, leakage: bool = False, trim: float = 0.0, period: float | None = None
) -> Float[MaybeLabelled, "channel channel"]:
    r"""Amplitude envelope correlation: Pearson correlations between the envelopes of band-passed signals.

    With `leakage`, what two channels share without a lag is taken out of each pair first, Hipp et al. (2012), Nature
    Neuroscience 15: channel j, made orthogonal to i at every sample, is

    $$y_{j \perp i} = \mathrm{Im}\big( z_j\, \bar z_i / |z_i| \big)$$

    and the entry (i, j) is the mean of $\mathrm{corr}(|z_i|, |y_{j \perp i}|)$ and $\mathrm{corr}(|z_j|, |y_{i \perp j}|)$.
    Amplitudes, not the logarithms of powers of that paper, and signed correlations: what mne-connectivity computes with
    `orthogonalize="pairwise", log=False, absolute=False`. Channels that differ by rounding only get zero, as on the diagonal.

    Args:
        x: a recording or an array, `(time, channel)`, band-passed.
        leakage: correct for leakage (zero-lag mixing).
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for a channel that never changes, a trim that leaves nothing, or wrong input.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> mixed = bandpass(x @ np.array([[1.0, 0.5], [0.5, 1.0]]), 8.0, 13.0, period=4.0)
        >>> plain, corrected = (envelope_correlation(mixed, leakage=leakage)[0, 1] for leakage in (False, True))
        >>> bool(plain > 0.4 > jnp.abs(corrected))
        True
    """
    s = series(x, period, varying=True)
    z = _trimmed(_analytic(s.values), s, trim)
    size = _magnitude(z)
    if not leakage:
        return s.paired(jax.vmap(lambda a: _correlate(size, a[:, None]), in_axes=1)(size))
    limit = 30 * jnp.finfo(size.dtype).eps

    @jax.checkpoint
    def row(seed):
        z_i, size_i = seed
        orthogonal = (z * _unit(z_i).conj()[:, None]).imag
        square = (orthogonal**2).sum(0)
        alike = square <= limit**2 * (size**2).sum(0)  # rounding alone would be correlated otherwise
        return _correlate(jnp.abs(jnp.where(alike, 0, orthogonal)), size_i[:, None])

    # One channel at a time: all pairs at once would need (time, channel, channel).
    rows = jax.lax.map(row, (z.T, size.T))
    return s.paired((rows + rows.T) / 2)


@by_annotations
def plv(
    x: Any, *, phases: bool = False, trim: float = 0.0, period: float | None = None
) -> Float[MaybeLabelled, "channel channel"]:
    r"""Phase-locking value $\big| \langle e^{i(\varphi_i - \varphi_j)} \rangle_t \big|$, Lachaux et al. (1999), Hum. Brain Mapp. 8; over time.

    Args:
        x: a recording or an array, `(time, channel)`: band-passed signals, or phases.
        phases: x is phases in radians already.
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for fewer than two channels, a trim that leaves nothing, or wrong input.

    Example:
        >>> drift = jnp.array([[0.0, 1.0, 0.0], [1.0, 2.0, 3.1416]])
        >>> plv(drift, phases=True).round(2)[0].tolist()
        [1.0, 1.0, 0.48]
    """
    s, u = _phasors(x, phases, trim, period)
    return s.paired(_magnitude(jnp.einsum("ti,tj->ij", u.conj(), u, precision="highest") / len(u)))


@by_annotations
def wpli(
    x: Any, *, segment: float | None = None, overlap: float = 0.5, period: float | None = None, window: Any = "hann"
) -> Connectivity:
    r"""Weighted phase lag index, Vinck et al. (2011), NeuroImage 55, eq. 8, over Welch's segments k, at each frequency:

    $$\Big| \sum_k \mathrm{Im}\, S_{ij}^{(k)} \Big| \Big/ \sum_k \big| \mathrm{Im}\, S_{ij}^{(k)} \big|$$

    From 0 to 1; zero where nothing but rounding is imaginary, as on the diagonal, at 0 Hz and at half the sampling rate.
    Takes signals that are not band-passed; `.band(low, high)` of the result is the mean over a band. Not debiased: with K
    segments, noise alone gives about 1.1 / sqrt(K).

    Args:
        x: a recording or an array, `(time, channel)`.
        segment: ms; by default as for `psd`.
        overlap: part of a segment shared with the next.
        period: ms between the samples of an array.
        window: as for `psd`.

    Raises:
        ValueError: for a segment that does not fit or leaves only one, a channel that never changes, or wrong input.

    Example:
        >>> t = jnp.arange(4000)[:, None] / 1000  # s
        >>> x = jnp.sin(2 * jnp.pi * 10 * t + jnp.array([0.0, 1.0]))
        >>> wpli(x, segment=500.0, period=1.0).values[5].round(3).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    c, frequencies, _, labels = fourier(x, segment, overlap, period, window, varying=True)
    limit = 8 * jnp.finfo(c.real.dtype).eps

    @jax.checkpoint
    def at(c):
        size = _magnitude(c)
        lag = (c.conj()[:, :, None] * c[:, None, :]).imag
        total = jnp.abs(lag).sum(0)
        none = total <= limit * jnp.einsum("ki,kj->ij", size, size, precision="highest")
        return jnp.where(none, 0, jnp.abs(lag.sum(0)) / jnp.where(none, 1, total))

    # One frequency at a time: all at once would need (segment, frequency, channel, channel).
    return Connectivity(frequencies, jax.lax.map(at, jnp.moveaxis(c, 1, 0)), labels)


@by_annotations
def kuramoto_order(
    x: Any, *, phases: bool = False, trim: float = 0.0, period: float | None = None
) -> Float[Array, " time"]:
    r"""Kuramoto order parameter $R(t) = \big| \langle e^{i \varphi_k(t)} \rangle_k \big|$: 1 where all are in phase, 0 where they cancel.

    Args:
        x: a recording or an array, `(time, channel)`: band-passed signals, or phases.
        phases: x is phases in radians already, as of Kuramoto's model.
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for fewer than two channels, a trim that leaves nothing, or wrong input.

    Example:
        >>> kuramoto_order(jnp.array([[0.5, 0.5], [0.0, jnp.pi]]), phases=True).round(4).tolist()
        [1.0, 0.0]
    """
    return _magnitude(_phasors(x, phases, trim, period)[1].mean(1))


@by_annotations
def metastability(x: Any, *, phases: bool = False, trim: float = 0.0, period: float | None = None) -> Float[Array, ""]:
    """Standard deviation over time of the Kuramoto order parameter; Deco et al. (2017), Scientific Reports 7.

    Divided by the number of samples, not one less. Shanahan (2010) takes the variance, and averages it over groups.

    Args:
        x: a recording or an array, `(time, channel)`: band-passed signals, or phases.
        phases: x is phases in radians already.
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for fewer than two channels, a trim that leaves nothing, or wrong input.

    Example:
        >>> metastability(jnp.array([[0.5, 0.5], [0.0, jnp.pi]]), phases=True).round(4).item()
        0.5
    """
    variance = kuramoto_order(x, phases=phases, trim=trim, period=period).var()
    still = variance == 0
    return jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, variance)))


@by_annotations
def group_orders(
    x: Any, groups: Sequence[Any] | np.ndarray, *, phases: bool = False, trim: float = 0.0, period: float | None = None
) -> Float[MaybeLabelled, "time group"]:
    """Kuramoto order parameter within each group of channels.

    Args:
        x: a recording or an array, `(time, channel)`: band-passed signals, or phases.
        groups: the group of every channel, as a name or a number; the result has them sorted.
        phases: x is phases in radians already.
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for groups that do not fit the channels or have one channel only, or wrong input.

    Example:
        >>> group_orders(jnp.array([[0.0, 1.0, 0.0, 1.0 + jnp.pi]]), ["L", "R", "L", "R"], phases=True).round(4).tolist()
        [[1.0, 0.0]]
    """
    s, u = _phasors(x, phases, trim, period)
    values, given = known_names(groups, "groups", "biufUO")
    check_same(given[0] if given else None, s.labels or None, "groups", "the channels")
    names, member, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    if member.shape != u.shape[1:]:
        raise ValueError(f"groups name the group of every channel: {u.shape[1]} of them, got shape {member.shape}")
    if sizes.min() < 2:
        alone = names[np.argmin(sizes)]
        raise ValueError(f"group {alone} has one channel, which is always in step with itself: two or more are needed")
    orders = jnp.stack([_magnitude(u[:, member == i].mean(1)) for i in range(len(names))], 1)
    return with_names(orders, tuple(map(str, names)) if names.dtype.kind == "U" else ())


@by_annotations
def chimera(
    x: Any, groups: Sequence[Any] | np.ndarray, *, phases: bool = False, trim: float = 0.0, period: float | None = None
) -> Float[Array, ""]:
    r"""Chimera index, Shanahan (2010), "Metastable chimera states in community-structured oscillator networks", Chaos 20:

    $$\Big\langle \frac{1}{M - 1} \sum_c \big( R_c(t) - \langle R(t) \rangle_c \big)^2 \Big\rangle_t$$

    the mean over time of the variance, over M groups, of their order parameters (`group_orders`).

    Args:
        x: a recording or an array, `(time, channel)`: band-passed signals, or phases.
        groups: the group of every channel, as a name or a number.
        phases: x is phases in radians already.
        trim: ms left out at either end, where the Hilbert transform is distorted.
        period: ms between the samples of an array; needed for `trim`.

    Raises:
        ValueError: for fewer than two groups, groups that do not fit or have one channel only, or wrong input.

    Example:
        >>> chimera(jnp.array([[0.0, 1.0, 0.0, 1.0 + jnp.pi]]), ["L", "R", "L", "R"], phases=True).round(4).item()
        0.5
    """
    orders = jnp.asarray(group_orders(x, groups, phases=phases, trim=trim, period=period))
    if orders.shape[1] < 2:
        raise ValueError("a chimera needs two groups or more that may differ, got one")
    return orders.var(1, ddof=1).mean()
