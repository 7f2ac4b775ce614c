"""How coherent channels are at each frequency."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Complex

from .._kinds import by_annotations
from .frequencies import Connectivity
from .spectra import fourier


def _pairs(a: Complex[Array, "segment frequency channel"]) -> Complex[Array, "frequency channel channel"]:
    return jnp.einsum("sfi,sfj->fij", a.conj(), a, precision="highest")


@by_annotations
def cross_spectrum(
    x: Any, *, segment: float | None = None, overlap: float = 0.5, period: float | None = None, window: Any = "hann"
) -> Connectivity:
    """Cross-spectral density of every pair of channels, `(frequency, channel, channel)`, complex.

    Welch's mean over segments of conj(X_i) X_j, which equals `scipy.signal.csd(x_i, x_j)`; the diagonal is `psd`.

    Args:
        x: a recording or an array, `(time, channel)`.
        segment: ms; by default as for `psd`.
        overlap: part of a segment shared with the next.
        period: ms between the samples of an array.
        window: as for `psd`.

    Raises:
        ValueError: for a segment that is longer than the series or no whole number of samples, or wrong input.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(400, 3))
        >>> cross_spectrum(x, segment=100.0, period=1.0)
        Connectivity(51 frequencies from 0 to 500 Hz, 3 channels)
    """
    c, frequencies, density, labels = fourier(x, segment, overlap, period, window)
    values = _pairs(c) / len(c)
    return Connectivity(frequencies, values * jnp.asarray(density[:, None, None], values.real.dtype), labels)


def _coherency(x: Any, segment: float | None, overlap: float, period: float | None, window: Any) -> Connectivity:
    c, frequencies, _, labels = fourier(x, segment, overlap, period, window, varying=True)
    # To unit power before products are taken: those of signals in tesla would underflow.
    power = (c.real**2 + c.imag**2).sum(0)
    silent = power == 0
    return Connectivity(frequencies, _pairs(jnp.where(silent, 0, c / jnp.sqrt(jnp.where(silent, 1, power)))), labels)


@by_annotations
def coherence(
    x: Any, *, segment: float | None = None, overlap: float = 0.5, period: float | None = None, window: Any = "hann"
) -> Connectivity:
    r"""Magnitude-squared coherence $|S_{ij}|^2 / (S_{ii} S_{jj})$ of every pair of channels, from 0 to 1.

    Numbers equal `scipy.signal.coherence`; what mne-connectivity calls "coh" is the square root. Noise alone gives about one
    over the number of independent segments. Zero at frequencies where a channel has no power.

    Args:
        x: a recording or an array, `(time, channel)`.
        segment: ms; by default as for `psd`.
        overlap: part of a segment shared with the next.
        period: ms between the samples of an array.
        window: as for `psd`.

    Raises:
        ValueError: for a segment that does not fit or leaves only one, a channel that never changes, or wrong input.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> pairs = coherence(x[:, [0, 0, 1]], segment=20.0, period=1.0)
        >>> pairs.band(100.0, 400.0).round(1).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    pairs = _coherency(x, segment, overlap, period, window)
    return Connectivity(pairs.frequencies, pairs.values.real**2 + pairs.values.imag**2, pairs.labels)


@by_annotations
def imaginary_coherence(
    x: Any, *, segment: float | None = None, overlap: float = 0.5, period: float | None = None, window: Any = "hann"
) -> Connectivity:
    r"""Imaginary part of coherency, $\mathrm{Im}\, S_{ij} / \sqrt{S_{ii} S_{jj}}$, Nolte et al. (2004), Clin. Neurophysiol. 115.

    Blind to mixing without a lag, such as volume conduction. With the sign of `cross_spectrum`: entry (i, j) is positive where
    j leads i (by less than half a cycle), and the matrix is antisymmetric.

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
        >>> x = jnp.sin(2 * jnp.pi * 10 * t + jnp.array([0.0, jnp.pi / 2]))  # the second leads
        >>> imaginary_coherence(x, segment=1000.0, period=1.0).values[10].round(3).tolist()
        [[0.0, 1.0], [-1.0, 0.0]]
    """
    pairs = _coherency(x, segment, overlap, period, window)
    return Connectivity(pairs.frequencies, pairs.values.imag, pairs.labels)
