"""Distances between power spectra."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import by_annotations
from .._types import is_traced
from ..features.connectivity import refuse_constant, standardised
from ..features.frequencies import Spectrum
from ..features.labelled import known, labelled, pair, refuse_missing
from ..features.spectra import peak_frequency
from .matrices import root_mean_square


def psd_rmse(a: Any, b: Any) -> Float[Array, ""]:
    r"""Root mean squared difference of $\log_{10}$ power over frequencies and channels: in decades (10 dB).

    Where the two are equal, its gradient is zero.

    Args:
        a: a spectrum, or its power `(frequency, channel)`.
        b: another. Where both have labels or frequencies, these must agree.

    Raises:
        ValueError: if shapes, labels or frequencies differ, or a power is not positive (inf or NaN inside jit).

    Example:
        >>> round(float(psd_rmse(jnp.ones((4, 2)), jnp.full((4, 2), 100.0))), 4)
        2.0
    """
    one, two = powers(a, b)
    for x, which in ((a, "first"), (b, "second")):
        refuse_silent(x, which)
    # Compiled, two logarithms of one number may differ in their last digit, which would pass for a slope.
    target = jnp.log10(two)
    return root_mean_square(jnp.where(one == two, target, jnp.log10(one)), target)


def psd_correlation(a: Any, b: Any) -> Float[Array, ""]:
    """Pearson correlation over frequencies of the power of every channel, and its mean over channels (1 is best).

    Args:
        a: a spectrum, or its power `(frequency, channel)`.
        b: another. Where both have labels or frequencies, these must agree.

    Raises:
        ValueError: if shapes, labels or frequencies differ, or a channel has the same power at all frequencies (NaN inside
            jit).

    Example:
        >>> power = jnp.array([[1.0, 2.0], [4.0, 1.0], [2.0, 0.0]])
        >>> round(float(psd_correlation(power, 3 * power)), 4)
        1.0
    """
    one, two = powers(a, b)
    for x, which in ((a, "first"), (b, "second")):
        power = known(x)
        if power is not None:
            refuse_constant(
                power, lambda k, x=x, which=which: f"the power of {_name(x, k)} of the {which}", "over frequency"
            )
    # Each to a size of one first: squares of powers of magnetic fields in T^2 vanish in float32.
    one, two = (standardised(x / jax.lax.stop_gradient(jnp.abs(x).max(0))) for x in (one, two))
    return (one * two).sum(0).mean()


def psd_distance(a: Any, b: Any) -> Float[Array, ""]:
    """`1 - psd_correlation`: 0 for spectra of one form, whatever their scale, at most 2.

    Args:
        a: a spectrum, or its power `(frequency, channel)`.
        b: another. Where both have labels or frequencies, these must agree.

    Raises:
        ValueError: as `psd_correlation`.

    Example:
        >>> power = jnp.array([[1.0, 2.0], [4.0, 1.0], [2.0, 0.0]])
        >>> round(float(psd_distance(power, 5 - power)), 4)
        2.0
    """
    return 1 - psd_correlation(a, b)


@by_annotations
def peak_frequency_rmse(
    a: Any, b: Any, low: float | None = None, high: float | None = None, *, sharpness: float = 10.0
) -> Float[Array, ""]:
    """Root mean squared difference (Hz) over channels of the frequencies of the highest peaks.

    The peaks are those of `gyrax.features.peak_frequency`. The two may be resolved differently: their frequencies need not
    agree, only their channels.

    Args:
        a: a spectrum.
        b: another.
        low: Hz, where the band begins that peaks are looked for in; by default the lowest frequency above zero.
        high: Hz, where it ends; by default the highest.
        sharpness: of the smooth maximum, as in `peak_frequency`.

    Raises:
        TypeError: for anything but spectra, whose frequencies are known.
        ValueError: if channels or labels differ, or for a band that a spectrum does not resolve.

    Example:
        >>> f = jnp.arange(41.0)
        >>> a, b = (Spectrum(f, (1 / (1 + (f - peak) ** 2))[:, None]) for peak in (10.0, 13.0))
        >>> round(float(peak_frequency_rmse(a, b)), 2)
        3.0
    """
    for x, which in ((a, "first"), (b, "second")):
        if not isinstance(x, Spectrum):
            raise TypeError(
                f"{'a' if x is a else 'b'}, the {which}, is a {type(x).__name__}, expected a Spectrum, which knows its frequencies"
            )
    one, two = (Spectrum(x.frequencies[:1], x.power[:1], x.labels) for x in (a, b))
    pair(one, two)
    return root_mean_square(*(peak_frequency(x, low, high, sharpness=sharpness) for x in (a, b)))


def refuse_silent(x: Any, which: str, band: Any = True) -> None:
    """Raises where a power in a band is not positive, as far as it is known.

    Example:
        >>> refuse_silent(jnp.array([[0.0], [1.0]]), "first", np.array([False, True]))
    """
    power = known(x)
    if power is None:
        return
    silent = ~(power > 0) & np.reshape(band, (-1, 1))
    if silent.any():
        frequency, channel = (int(k) for k in np.argwhere(silent)[0])
        raise ValueError(
            f"{_name(x, channel)} of the {which} has power {power[frequency, channel]:g} at {_at(x, frequency)}, which "
            "has no logarithm: leave that frequency out"
        )


def powers(
    a: Any, b: Any, arguments: tuple[str, str] = ("a", "b")
) -> tuple[Float[Array, "frequency channel"], Float[Array, "frequency channel"]]:
    """The powers of two spectra of the same channels at the same frequencies.

    Example:
        >>> [power.shape for power in powers(jnp.ones((4, 2)), jnp.ones((4, 2)))]
        [(4, 2), (4, 2)]
    """
    one, two = (x.astype(jnp.result_type(float)) for x in pair(a, b, arguments))
    if one.ndim != 2:
        raise ValueError(f"expected power (frequency, channel), got shape {one.shape}")
    for x, which in ((a, "the first"), (b, "the second")):
        refuse_missing(x, np.ones(one.shape, bool), which, "leave that channel or frequency out of both")
    f, g = _frequencies(a), _frequencies(b)
    if f is not None and g is not None and not is_traced(f, g):
        apart = ~np.isclose(f, g, rtol=1e-5, atol=1e-6)
        if apart.any():
            k = int(np.argmax(apart))
            raise ValueError(
                f"frequencies disagree: number {k} is {f[k]:g} Hz in the first, but {g[k]:g} Hz in the second; compute both "
                "spectra with the same segments, or interpolate one"
            )
    return one, two


def _frequencies(x: Any) -> Any:
    if isinstance(x, Spectrum):
        return x.frequencies
    return x.coords["frequency"].values if "frequency" in getattr(x, "coords", ()) else None


def _name(x: Any, channel: int) -> str:
    names = labelled(x).names[1]
    return names[channel] if names else f"channel {channel}"


def _at(x: Any, frequency: int) -> str:
    f = _frequencies(x)
    return f"frequency {frequency}" if f is None or is_traced(f) else f"{f[frequency]:g} Hz"
