"""How functional connectivity changes over time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import by_annotations
from .._types import is_traced
from ..labelled import MaybeLabelled, known_names
from .connectivity import correlate, fc, pairs, refuse_constant
from .phases import phase
from .series import Series, series
from .spectra import whole_samples


@by_annotations
def windowed_fc(
    x: Any, window: float, step: float, period: float | None = None
) -> Float[MaybeLabelled, "window channel channel"]:
    """Functional connectivity of every window of a sliding one.

    Windows start at the first sample and every `step` later; samples at the end that fill no window are not used.

    Args:
        x: a recording or an array, `(time, channel)`.
        window: its length in ms, a whole number of samples, two or more.
        step: ms from one window to the next, a whole number of samples.
        period: ms between the samples of an array; a recording has its own.

    Raises:
        ValueError: for another shape; a window or step that is not positive or not a whole number of samples; a window
            longer than the recording; or a channel that is not finite, or constant in a window (inside jit, where values
            are not known, its correlations become NaN).

    Example:
        >>> x = jnp.array([[0.0, 1.0], [1.0, 3.0], [2.0, 4.0], [3.0, 3.0]])
        >>> windowed_fc(x, window=2.0, step=1.0, period=1.0)[:, 0, 1].round(3).tolist()
        [1.0, 1.0, -1.0]
    """
    found = series(x, period, varying=True)
    length, starts = _windows(found, window, step)
    # Each is cut out again where its gradient is needed: kept, overlapping windows are many times the recording.
    one = jax.checkpoint(lambda start: fc(jax.lax.dynamic_slice_in_dim(found.values, start, length)))
    return found.paired(jax.lax.map(one, jnp.asarray(starts)))


@by_annotations
def fcd(x: Any, window: float, step: float, period: float | None = None) -> Float[Array, "window window"]:
    """Functional connectivity dynamics: correlations between the connectivity of windows.

    Pearson correlations of the entries above the diagonal of `windowed_fc`, Hansen et al. (2015), "Functional connectivity
    dynamics: modeling the switching behavior of the resting state", NeuroImage 105. There windows of 60 s are 2 s apart.

    Args:
        x: a recording or an array, `(time, channel)`, of three channels or more.
        window: its length in ms, a whole number of samples, two or more.
        step: ms from one window to the next, a whole number of samples.
        period: ms between the samples of an array; a recording has its own.

    Raises:
        ValueError: as `windowed_fc`; or for fewer than two windows, fewer than three channels, or a window in which all
            pairs of channels correlate the same.

    Example:
        >>> x = jnp.sin(jnp.outer(jnp.arange(60.0), jnp.array([0.5, 0.7, 1.1])))
        >>> fcd(x, window=20_000.0, step=10_000.0, period=1000.0).shape
        (5, 5)
    """
    found = series(x, period, varying=True)
    i, j = pairs(found.values.shape[1], least=3)
    count = len(_windows(found, window, step)[1])
    if count < 2:
        raise ValueError(
            f"window = {window:g} ms and step = {step:g} ms leave one window in {len(found.values)} samples, and its dynamics need "
            "two or more: take shorter ones, or simulate longer"
        )
    edges = jnp.asarray(windowed_fc(x, window, step, period))[:, i, j].T
    refuse_constant(edges, lambda k: f"the connectivity of window {k}", "from pair to pair")
    return correlate(edges, edges)


@by_annotations
def fcd_values(matrix: Any, apart: int = 1) -> Float[Array, " pair"]:
    """The entries above the diagonal of a matrix of functional connectivity dynamics: what their distribution is made of.

    Args:
        matrix: `(window, window)`.
        apart: fewest steps between the two windows of an entry: window / step (rounded up) leaves out those that overlap,
            whose connectivity is alike because their samples are the same.

    Raises:
        ValueError: for a matrix that is not square, or windows less than 1 or more than there are apart.

    Example:
        >>> fcd_values(jnp.arange(9.0).reshape(3, 3)).tolist(), fcd_values(jnp.arange(9.0).reshape(3, 3), apart=2).tolist()
        ([1.0, 2.0, 5.0], [2.0])
    """
    matrix = jnp.asarray(known_names(matrix, "matrix")[0], jnp.result_type(float))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix (window, window), got shape {matrix.shape}")
    if not 1 <= apart < len(matrix):
        raise ValueError(f"apart is from 1 to {len(matrix) - 1} for {len(matrix)} windows, got {apart}")
    return matrix[np.triu_indices(len(matrix), apart)]


def phase_fcd(x: Any) -> Float[Array, "time time"]:
    r"""Phase functional connectivity dynamics: how alike the phase differences between channels are at two times.

    Cosine similarity of $\cos(\theta_i(t) - \theta_j(t))$ over the pairs i < j, Deco et al. (2019), "Awakening: Predicting
    external stimulation to force transitions between different brain states", PNAS 116 (there of means over three samples).
    With $z = e^{i\theta}$, the products over all pairs are $\tfrac12 (|z_t^\top z_s|^2 + |z_t^\top \bar z_s|^2)$: the
    `(time, channel, channel)` phase differences are never held.

    Signals should be of a narrow band for their phases to mean something, and the first and last few samples carry the
    edges of the Hilbert transform. Memory grows with the square of time: average or leave out samples first.

    Args:
        x: a recording or an array of signals, `(time, channel)`, of three channels or more.

    Raises:
        ValueError: for another shape, fewer than three channels, or a channel that never changes.

    Example:
        >>> t = jnp.arange(64.0)[:, None]
        >>> phase_fcd(jnp.sin(2 * jnp.pi * (t / 16 + jnp.array([0.0, 0.1, 0.3]))))[3, 40].round(4).item()
        1.0
    """
    theta = phase(series(x, varying=True).values)
    pairs(theta.shape[1], least=3)
    c, s = jnp.cos(theta), jnp.sin(theta)
    both = (c @ c.T) ** 2 + (s @ s.T) ** 2 + (c @ s.T) ** 2 + (s @ c.T) ** 2
    products = (both - theta.shape[1]) / 2  # a channel with itself gives 1, and every pair comes twice
    size = jnp.sqrt(jnp.diag(products))
    return products / jnp.outer(size, size)


def _windows(x: Series, window: float, step: float) -> tuple[int, np.ndarray]:
    """Samples of a window, and where the windows start."""
    period = 1000.0 / x.rate
    length, stride = whole_samples(window, period, "window"), whole_samples(step, period, "step")
    if length < 2:
        raise ValueError(f"window = {window:g} ms is {length} samples, and a correlation needs two or more")
    if stride < 1:
        raise ValueError(f"step = {step:g} ms, expected one sample or more")
    if length > len(x.values):
        raise ValueError(f"window = {window:g} ms is longer than the recording, {len(x.values) * period:g} ms")
    starts = np.arange(0, len(x.values) - length + 1, stride)
    if not is_traced(x.values):
        spans = np.lib.stride_tricks.sliding_window_view(np.asarray(x.values), length, axis=0)[::stride]
        constant = np.argwhere(np.ptp(spans, axis=2) == 0)
        if len(constant):
            k, channel = constant[0]
            since = starts[k] * period
            raise ValueError(
                f"{x.name(int(channel))} never changes in window {k} ({since:g} to {since + window:g} ms): no correlation is "
                "defined there; take longer windows"
            )
    return length, starts
