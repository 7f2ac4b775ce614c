"""Power over frequency, and what is read off it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.signal import get_window

from .._kinds import by_annotations, reals
from .._types import is_traced
from ..labelled import MaybeLabelled, with_names
from .frequencies import Spectrum
from .series import centred, series

#: Hz, after Kane et al. (2017), "A revised glossary of terms most commonly used by clinical electroencephalographers",
#: Clinical Neurophysiology Practice 2; here with ends that touch, and delta from 1 Hz.
BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 80.0),
}


def whole_samples(duration: float, period: float, name: str) -> int:
    """How many samples a duration (ms) is.

    Raises:
        ValueError: if they are not whole.

    Example:
        >>> whole_samples(10.0, 2.5, "segment")
        4
    """
    if not (np.isfinite(duration) and duration >= 0):
        raise ValueError(f"{name} is a number of ms, not negative; got {duration}")
    ratio = duration / period
    samples = round(ratio)
    if abs(ratio - samples) > 1e-6 * max(1.0, ratio):
        below = int(ratio)
        raise ValueError(
            f"{name} = {duration:g} ms is not a whole number of samples of {period:g} ms: "
            f"take {below * period:g} or {(below + 1) * period:g}"
        )
    return samples


class Segments(NamedTuple):
    """Fourier coefficients of windowed segments, and the factor from their squares to a one-sided density."""

    coefficients: Complex[Array, "segment frequency channel"]
    frequencies: Float[np.ndarray, " frequency"]
    density: Float[np.ndarray, " frequency"]
    labels: tuple[str, ...]


def fourier(
    x: Any, segment: float | None, overlap: float, period: float | None, window: Any, *, varying: bool = False
) -> Segments:
    """Fourier coefficients of overlapping segments, each without its mean and windowed: what Welch's estimates share.

    Raises:
        ValueError: for segments, overlaps or windows that do not fit the series; with `varying`, for channels that never
            change or a single segment.
    """
    s = series(x, period, varying=varying)
    n, rate, ms = len(s.values), s.rate, 1000.0 / s.rate
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is the part of a segment shared with the next, from 0 to below 1; got {overlap}")

    def step(length):
        return length - int(length * overlap + 1e-9)

    if segment is None:
        longest = int(n / (1 + 7 * (1 - overlap)))
        length = next((length for length in range(longest, 1, -1) if length + 7 * step(length) <= n), 0)
        if not length:
            raise ValueError(f"{n} samples are too few for eight segments: give segment= in ms")
    else:
        length = whole_samples(segment, ms, "segment")
        if length > n:
            raise ValueError(f"segment = {segment:g} ms is longer than the series of {n * ms:g} ms")
        if length < 2:
            raise ValueError(f"segment = {segment:g} ms is {length} samples, and at least two are needed")
    named = isinstance(window, str | tuple)
    try:
        taper = np.asarray(get_window(window, length)) if named else reals("window", window)
    except ValueError as error:
        raise ValueError(f"window is one of scipy.signal.get_window, such as 'hann', got {window!r}: {error}") from None
    if taper.shape != (length,):
        raise ValueError(f"a window of shape {taper.shape} for segments of {length} samples")
    starts = np.arange(0, n - length + 1, step(length))
    if varying and len(starts) < 2:
        raise ValueError("one segment alone says nothing about coherence: take shorter segments")
    parts = jax.vmap(centred)(s.values[starts[:, None] + np.arange(length)]) * jnp.asarray(
        taper[:, None], s.values.dtype
    )
    sides = np.full(length // 2 + 1, 2.0)
    sides[0] = 1.0
    if length % 2 == 0:
        sides[-1] = 1.0
    density = sides / (rate * (taper**2).sum())
    return Segments(jnp.fft.rfft(parts, axis=1), np.fft.rfftfreq(length, 1 / rate), density, s.labels)


@by_annotations
def psd(
    x: Any, *, segment: float | None = None, overlap: float = 0.5, period: float | None = None, window: Any = "hann"
) -> Spectrum:
    r"""Power spectral density by the method of Welch (1967), IEEE Trans. Audio Electroacoustics 15: the mean over segments of

    $$\frac{2}{f_s \sum_t w_t^2} \Big| \sum_t w_t (x_t - \bar x)\, e^{-2 \pi i f t / f_s} \Big|^2$$

    (the 2 not at 0 Hz and at half the sampling rate, which have no mirror). Numbers equal `scipy.signal.welch`. As there,
    samples after the last whole segment are not used.

    Args:
        x: a recording or an array, `(time, channel)`.
        segment: ms; the spectrum resolves 1000 / segment Hz. By default as long as eight segments of the series can be.
        overlap: part of a segment shared with the next.
        period: ms between the samples of an array.
        window: a name (or a name with parameters) that `scipy.signal.get_window` knows, or one value a sample of a segment.

    Raises:
        ValueError: for a segment that is longer than the series or no whole number of samples, or wrong input.

    Example:
        >>> t = jnp.arange(4000)[:, None] / 1000  # s
        >>> spectrum = psd(jnp.sin(2 * jnp.pi * 10 * t), segment=500.0, period=1.0)
        >>> spectrum
        Spectrum(251 frequencies from 0 to 500 Hz, 1 channel)
        >>> spectrum.frequencies[spectrum.power[:, 0].argmax()].item()
        10.0
    """
    c, frequencies, density, labels = fourier(x, segment, overlap, period, window)
    power = (c.real**2 + c.imag**2).mean(0)
    return Spectrum(frequencies, power * jnp.asarray(density[:, None], power.dtype), labels)


def _powered(spectrum: Spectrum, inside: Any, every: bool = False) -> None:
    """Refuse channels without power at any (or at every one) of the frequencies."""
    if is_traced(spectrum.power, inside):
        return
    positive = np.asarray(spectrum.power)[np.asarray(inside)] > 0
    bad = ~(positive.all(0) if every else positive.any(0))
    if bad.any():
        i = int(np.argmax(bad))
        name = spectrum.labels[i] if spectrum.labels else f"channel {i}"
        raise ValueError(f"{name} has no power {'at some frequency' if every else 'at all'} in the band asked for")


@by_annotations
def band_power(
    spectrum: Spectrum, low: float, high: float, *, relative: bool = False
) -> Float[MaybeLabelled, " channel"]:
    """Power between two frequencies: the trapezoidal rule over the frequencies that lie in the band, its ends included.

    Nothing is interpolated: an end between two frequencies of the spectrum counts only up to the nearer one inside, so
    choose segments that put the ends on frequencies (1 s for whole Hz). Then the powers of bands that touch add up exactly.

    Args:
        spectrum: from `psd`.
        low: Hz.
        high: Hz.
        relative: as a part of the power of the whole spectrum.

    Raises:
        ValueError: for a band that the spectrum does not resolve; for `relative`, a channel without any power.

    Example:
        >>> spectrum = Spectrum(jnp.arange(41.0), jnp.ones((41, 1)))
        >>> band_power(spectrum, *BANDS["alpha"]).tolist(), band_power(spectrum, 10, 20, relative=True).tolist()
        ([5.0], [0.25])
    """

    def area(inside):
        between = (inside[1:] & inside[:-1]) * jnp.diff(spectrum.frequencies)
        return (between[:, None] * (spectrum.power[1:] + spectrum.power[:-1])).sum(0) / 2

    power = area(spectrum._in(low, high))
    if relative:
        whole = spectrum.frequencies >= 0
        _powered(spectrum, whole)
        power = power / area(whole)
    return with_names(power, spectrum.labels)


@by_annotations
def peak_frequency(
    spectrum: Spectrum, low: float | None = None, high: float | None = None, *, sharpness: float = 10.0
) -> Float[MaybeLabelled, " channel"]:
    r"""Frequency (Hz) of the highest peak, smoothly: $\sum_f f P_f^s / \sum_f P_f^s$, the softmax of $s \log P$.

    With sharpness s = 1 it is the spectral centroid; it approaches the frequency of the largest power as s grows (while the
    gradient is left to ever fewer frequencies). Where two peaks are equally high it lies between them.

    Args:
        spectrum: from `psd`.
        low: Hz; by default the lowest frequency above zero.
        high: Hz; by default the highest.
        sharpness: s, at least 1.

    Raises:
        ValueError: for a band that the spectrum does not resolve, or a channel without power in it (NaN inside jit).

    Example:
        >>> f = jnp.arange(41.0)
        >>> spectrum = Spectrum(f, (1 / (1 + (f - 10) ** 2))[:, None])
        >>> peak_frequency(spectrum).round(3).tolist(), peak_frequency(spectrum, 15, 20).round(1).tolist()
        ([10.0], [15.1])
    """
    if not sharpness >= 1:
        raise ValueError(f"sharpness is at least 1 (the spectral centroid), got {sharpness}")
    f = spectrum.frequencies
    inside = spectrum._in(low, high)
    _powered(spectrum, inside)
    power = jnp.where(inside[:, None], spectrum.power, 0)
    # The scale cancels, so it needs no gradient; without it small powers would underflow.
    scaled = power / jnp.maximum(jnp.max(power, 0), jnp.finfo(power.dtype).tiny)
    weights = scaled**sharpness
    return with_names((weights * f[:, None]).sum(0) / weights.sum(0), spectrum.labels)


@by_annotations
def spectral_centroid(
    spectrum: Spectrum, low: float | None = None, high: float | None = None
) -> Float[MaybeLabelled, " channel"]:
    r"""Mean frequency (Hz) weighted by power, $\sum_f f P_f / \sum_f P_f$ over the frequencies of a band.

    Args:
        spectrum: from `psd`.
        low: Hz; by default the lowest frequency above zero.
        high: Hz; by default the highest.

    Raises:
        ValueError: for a band that the spectrum does not resolve, or a channel without power in it (NaN inside jit).

    Example:
        >>> spectral_centroid(Spectrum(jnp.arange(4.0), jnp.array([[9.0], [1.0], [0.0], [1.0]]))).tolist()
        [2.0]
    """
    return peak_frequency(spectrum, low, high, sharpness=1.0)


@by_annotations
def spectral_slope(spectrum: Spectrum, low: float, high: float) -> Float[MaybeLabelled, " channel"]:
    r"""Slope of log power over log frequency by least squares: $-\chi$ for $P \propto f^{-\chi}$.

    The aperiodic exponent $\chi$ of Donoghue et al. (2020), Nature Neuroscience 23, is its negative, as long as the band holds
    no peak: peaks are not removed.

    Args:
        spectrum: from `psd`.
        low: Hz, above zero.
        high: Hz.

    Raises:
        ValueError: for a band that is not resolved or begins at zero, or power that is zero in it (not finite inside jit).

    Example:
        >>> f = jnp.arange(1.0, 41.0)
        >>> spectral_slope(Spectrum(f, f[:, None] ** -2), 2, 40).round(4).tolist()
        [-2.0]
    """
    if not low > 0:
        raise ValueError(f"the logarithm of frequency needs a band above 0 Hz, got low = {low:g}")
    inside = spectrum._in(low, high)[:, None]
    _powered(spectrum, inside[:, 0], every=True)
    # Ones outside: a zero there (such as at 0 Hz) would turn the gradient into NaN.
    f = jnp.log(jnp.where(inside, jnp.asarray(spectrum.frequencies)[:, None], 1))
    power = jnp.log(jnp.where(inside, spectrum.power, 1))
    offset = jnp.where(inside, f - f.sum() / inside.sum(), 0)
    return with_names((offset * power).sum(0) / (offset**2).sum(), spectrum.labels)
