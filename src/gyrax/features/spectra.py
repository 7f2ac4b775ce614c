"""Power over frequency, and what is read off it."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Complex, Float, Inexact
from scipy.signal import get_window

from .._kinds import by_annotations, reals
from .._kinds import names as several
from .._types import has_shape, is_known, is_traced, owned
from ..labelled import MaybeLabelled, check_same, known_names, with_names
from ..recordings.recording import Recording
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


def _array(values: Any) -> Any:
    # Known frequencies stay NumPy: they are then known inside jit too, where bands can be checked.
    return values if is_traced(values) else reals("frequencies", values).astype(jnp.result_type(float))


def _with_labels(argument: str, values: Any, labels: Any) -> tuple[Any, tuple[str, ...]]:
    """Plain values, and the names of their channels: those given and those along the last axis, which have to be the same."""
    values, names = known_names(values, argument)
    own, given = names[-1] if names else None, several("labels", labels) or None
    check_same(given, own, "labels", "the values")
    return values, given or own or ()


class _OverFrequency(eqx.Module):
    """What has one entry a frequency."""

    frequencies: Float[Array | np.ndarray, " frequency"] = eqx.field(converter=_array)

    def _check(self, values: Any, channels: int, labels: tuple[str, ...]) -> None:
        if self.frequencies.ndim != 1 or values.shape != (len(self.frequencies),) + values.shape[-1:] * channels:
            expected = ", ".join(("frequency",) + ("channel",) * channels)
            raise ValueError(
                f"expected values (or power) ({expected}) at {self.frequencies.shape} frequencies, got shape {values.shape}"
            )
        if labels and len(labels) != values.shape[-1]:
            raise ValueError(f"{len(labels)} labels for {values.shape[-1]} channels")
        if not is_traced(self.frequencies) and not (
            (np.diff(self.frequencies) > 0).all() and (self.frequencies >= 0).all()
        ):
            raise ValueError("frequencies are Hz, from low to high, none negative")

    def _labelled(self, values: Array, names: tuple[str, ...], labels: tuple[str, ...], name: str) -> xr.DataArray:
        runs = values.ndim - len(names) - 1
        dims = (*(f"run_{i}" if i else "run" for i in range(runs)), "frequency", *names)
        frequencies = np.asarray(self.frequencies).reshape(-1, self.frequencies.shape[-1])[0]
        coords: dict[str, Any] = {"frequency": ("frequency", frequencies, {"units": "Hz"})}
        if labels:
            coords |= {axis: list(labels) for axis in names}
        return xr.DataArray(np.asarray(values), dims=dims, coords=coords, name=name)

    def _described(self, values: Any) -> str:
        if not has_shape(self.frequencies, values):
            return super().__repr__()
        f, channels = self.frequencies, values.shape[-1]
        what = f"{f.shape[-1]} frequencies"
        if is_known(f) and f.size:
            what += f" from {np.min(f):g} to {np.max(f):g} Hz"
        return f"{type(self).__name__}({what}, {channels} channel{'s' * (channels != 1)})"

    def _in(self, low: float | None, high: float | None) -> Bool[Array | np.ndarray, " frequency"]:
        """Which frequencies lie in a band, its ends included; by default all above zero."""
        f = self.frequencies
        if not 0 <= (low or 0.0) < (np.inf if high is None else high):
            raise ValueError(f"a band goes from low to high Hz, neither negative; got {low} to {high}")
        # 8 Hz is in the band even if it is stored as 7.9999999.
        inside = f > 0 if low is None else f >= low * (1 - 1e-6)
        if high is not None:
            inside = inside & (f <= high * (1 + 1e-6))
        if is_traced(f):
            return inside
        known = np.asarray(f)
        lowest, highest = known[known > 0].min(initial=np.inf), known.max(initial=0.0)
        if high is not None and high > highest * (1 + 1e-6):
            raise ValueError(f"a band up to {high:g} Hz goes beyond {highest:g} Hz, the highest frequency here")
        if low is not None and 0 < low < lowest * (1 - 1e-6):
            raise ValueError(
                f"a band from {low:g} Hz begins below {lowest:g} Hz, the lowest frequency resolved here: "
                f"take segments of at least {1000 / low:g} ms"
            )
        if np.sum(inside) < 2:
            band = f"{lowest if low is None else low:g} to {highest if high is None else high:g} Hz"
            raise ValueError(
                f"two frequencies or more must lie in the band of {band}, and {np.sum(inside)} does: "
                "take longer segments, or a wider band"
            )
        return inside


class Spectrum(_OverFrequency):
    """Power spectral density of every channel.

    Attributes:
        frequencies: Hz, `(frequency,)`.
        power: one-sided density, squared units of the signal a Hz, `(frequency, channel)`.
        labels: names of the channels; empty if not known.

    Raises:
        ValueError: for shapes that do not fit, or frequencies that do not rise.

    Example:
        >>> Spectrum(frequencies=[0.0, 2.0, 4.0], power=jnp.ones((3, 2)))
        Spectrum(3 frequencies from 0 to 4 Hz, 2 channels)
    """

    power: Float[Array, "frequency channel"] = eqx.field(converter=lambda p: owned(p, jnp.result_type(float)))
    labels: tuple[str, ...] = eqx.field(static=True, default=())

    def __init__(self, frequencies: Any, power: Any, labels: tuple[str, ...] = ()):
        self.frequencies = frequencies
        self.power, self.labels = _with_labels("power", power, labels)

    def __check_init__(self):
        self._check(self.power, 1, self.labels)

    @classmethod
    def of(cls, recording: Recording) -> "Spectrum":
        """What `monitors.PSD` recorded: the mean over its samples.

        Raises:
            ValueError: for another recording.

        Example:
            >>> import gyrax as gx
            >>> net = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), gx.Connectome([[0.0]]))
            >>> run = gx.simulate(net, 64.0, 1.0, monitors=gx.monitors.PSD(16.0, source="x", period=32.0), start=[[0.1], [0]])
            >>> Spectrum.of(run["monitor"])
            Spectrum(9 frequencies from 0 to 500 Hz, 1 channel)
        """
        frequencies = dict(recording.axes).get("frequency")
        if frequencies is None or recording.dims[:2] != ("time", "frequency"):
            raise ValueError(f"expected what monitors.PSD recorded, (time, frequency, region), got {recording.dims}")
        return cls(frequencies, recording.values.mean(0), recording.labels)

    def to_xarray(self) -> xr.DataArray:
        """A labelled array `(frequency, channel)`; axes in front (from `vmap`) are called run, run_1, ..."""
        return self._labelled(self.power, ("channel",), self.labels, "power")

    def __repr__(self):
        return self._described(self.power)


class Connectivity(_OverFrequency):
    """One value a pair of channels and frequency.

    Attributes:
        frequencies: Hz, `(frequency,)`.
        values: `(frequency, channel, channel)`, complex for cross-spectra.
        labels: names of the channels; empty if not known.

    Raises:
        ValueError: for shapes that do not fit, or frequencies that do not rise.

    Example:
        >>> pairs = Connectivity(frequencies=[0.0, 2.0, 4.0], values=jnp.ones((3, 2, 2)), labels=("A", "B"))
        >>> pairs.band(2.0, 4.0).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """

    values: Inexact[Array, "frequency channel channel"] = eqx.field(converter=owned)
    labels: tuple[str, ...] = eqx.field(static=True, default=())

    def __init__(self, frequencies: Any, values: Any, labels: tuple[str, ...] = ()):
        self.frequencies = frequencies
        self.values, self.labels = _with_labels("values", values, labels)

    def __check_init__(self):
        self._check(self.values, 2, self.labels)

    def band(self, low: float, high: float) -> Inexact[MaybeLabelled, "channel channel"]:
        """Mean over the frequencies of a band (Hz), its ends included.

        Raises:
            ValueError: for a band that is not resolved.
        """
        inside = self._in(low, high)
        mean = jnp.where(inside[:, None, None], self.values, 0).sum(0) / inside.sum()
        return with_names(mean, self.labels, self.labels)

    def to_xarray(self) -> xr.DataArray:
        """A labelled array `(frequency, channel, other)`; axes in front (from `vmap`) are called run, run_1, ..."""
        return self._labelled(self.values, ("channel", "other"), self.labels, "connectivity")

    def __repr__(self):
        return self._described(self.values)


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
