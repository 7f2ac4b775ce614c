"""Statistics of runs that are too long to keep: covariances, functional connectivity and spectra, as streams."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import number
from .._types import Sources
from .base import AbstractMonitor
from .window import Window

Matrices = Float[Array, "stride region other"]


class _AbstractCovariance(AbstractMonitor):
    """Covariances between regions, and what a monitor makes of them."""

    dims: ClassVar = ("region", "other")

    @property
    def stamp(self) -> float:
        assert self.period is not None
        return self.period / 2

    def init(self, x: Sources) -> Any:
        if len(x) != 1:
            raise ValueError(
                f"{type(self).__name__} is of one state or output, not of {len(x)}: name one, such as source='S'"
            )
        n = x.shape[1]
        return jnp.zeros(n, x.dtype), jnp.zeros((n, n), x.dtype)

    def update(self, state: Any, window: Window):
        if window.stride < 2:
            raise ValueError(
                f"{type(self).__name__} needs two samples at least: its period is one step of {window.dt:g} ms"
            )
        pieces = window.values[:, 0].reshape(max(1, window.whole), -1, window.end.shape[1])
        means = pieces.mean(1)
        apart = pieces - means[:, None]
        scatter = jnp.einsum("ksi,ksj->kij", apart, apart)
        if not window.whole:
            # Two parts together: their scatters and that of their means (Chan, Golub & LeVeque 1979).
            mean, before = state
            n = pieces.shape[1]
            seen = jnp.asarray((window.step - 1) % window.stride + 1, means.dtype)
            ahead = means[0] - mean
            mean = mean + ahead * n / seen
            scatter = scatter + before + jnp.outer(ahead, ahead) * (n * (seen - n) / seen)
            new = mean, scatter[0]
            state = jax.tree.map(lambda x: jnp.where(window.ends, 0, x), new)
        return state, self.said(scatter / (window.stride - 1))

    @abc.abstractmethod
    def said(self, covariances: Matrices) -> Matrices:
        """What is made of covariances."""


class Covariance(_AbstractCovariance):
    """Covariances between regions, one matrix for each `period`: samples `(region, other)`, of every step within it.

    Kept are sums of one period, whatever its length. After another monitor: of its samples, such as BOLD.

    Args:
        source: the state or output; one.
        period: ms, also the whole run's duration for one matrix of all of it. Covariances divide by the number of samples
            less one.

    Example:
        >>> import gyrax as gx
        >>> bold = gx.monitors.Balloon(source="S", period=720.0)
        >>> bold.then(Covariance(period=72_000.0)).period
        72000.0
    """

    def said(self, covariances: Matrices) -> Matrices:
        """What is made of covariances."""
        return covariances


class FC(_AbstractCovariance):
    """Functional connectivity, Pearson correlations between regions, one matrix for each `period`: samples `(region, other)`.

    Periods shorter than the run give its dynamics. A region that does not change has no correlations: NaN.

    Args:
        source: as in `Covariance`.
        period: as in `Covariance`.

    Example:
        >>> import gyrax as gx
        >>> gx.monitors.Balloon(source="S", period=720.0).then(FC(period=36_000.0)).dims
        ('region', 'other')
    """

    def said(self, covariances: Matrices) -> Matrices:
        deviations = jnp.sqrt(jnp.diagonal(covariances, axis1=1, axis2=2))
        return covariances / (deviations[:, :, None] * deviations[:, None, :])


class PSD(AbstractMonitor):
    """Power spectral densities by Welch's method, one for each `period`: samples `(frequency, region)`, per Hz.

    Segments of half their length apart, without their means, under a Hann window; one-sided, as `features.psd` and SciPy have
    it. Kept are one segment and the sum of the period's periodograms.

    Args:
        segment: ms, an even number of steps, which resolves 1000 / segment Hz.
        source: the state or output; one.
        period: ms, a multiple of half a segment, of a segment at least.

    Raises:
        ValueError: if the segment does not fit the steps or the period.

    Example:
        >>> import gyrax as gx
        >>> PSD(1000.0, source="psp", period=20_000.0).dims
        ('frequency', 'region')
    """

    segment: float = eqx.field(converter=lambda x: number("segment", x, unit="ms"), static=True)
    dims: ClassVar = ("frequency", "region")

    def __init__(self, segment: float, *, source: Any = None, period: float):
        self.segment, self.source, self.period = segment, source, period

    def __check_init__(self):
        if self.period is None:
            raise ValueError("PSD needs a positive period in ms, got None")
        if not 0 < self.segment <= self.period:
            raise ValueError(f"a segment of {self.segment} ms does not fit a period of {self.period} ms")

    @property
    def stamp(self) -> float:
        assert self.period is not None
        return self.period / 2

    def stride(self, dt: float, period: int) -> int:
        half = round(self.segment / dt / 2)
        if half < 1 or abs(2 * half * dt - self.segment) > 1e-6 * self.segment:
            raise ValueError(f"segment = {self.segment:g} ms is no even number of steps of {dt:g} ms")
        if period % half:
            raise ValueError(f"period = {period * dt:g} ms is no multiple of half a segment of {self.segment:g} ms")
        return half

    def axes(self, dt: float) -> dict[str, tuple]:
        steps = round(self.segment / dt)
        return {"frequency": tuple(np.fft.rfftfreq(steps, dt / 1000).tolist())}

    def init(self, x: Sources) -> Any:
        raise TypeError("how long a segment is depends on dt: use begin(x, dt)")

    def begin(self, x: Sources, dt: float) -> Any:
        if len(x) != 1:
            raise ValueError(f"PSD is of one state or output, not of {len(x)}: name one, such as source='psp'")
        half, n = round(self.segment / dt / 2), x.shape[1]
        return jnp.zeros((half, n), x.dtype), jnp.zeros((half, n), x.dtype), jnp.zeros((half + 1, n), x.dtype)

    def update(self, state: Any, window: Window):
        previous, current, total = state
        assert self.period is not None
        halves = round(self.period / (window.dt * window.stride))  # of segments, in a period
        ended = -(-window.step // window.stride)  # this one included
        values = window.values[:, 0]
        if window.whole:
            pieces = values.reshape(window.whole, -1, values.shape[1])
        else:
            at = (window.step - 1) % window.stride + 1 - len(values)
            current = jax.lax.dynamic_update_slice_in_dim(current, values, at, 0)
            pieces = current[None]
        segments = jnp.concatenate([jnp.concatenate([previous[None], pieces[:-1]]), pieces], 1)
        powers = periodograms(segments, window.dt)
        place = (ended - len(pieces) + jnp.arange(len(pieces))) % halves  # of each half in its period

        def add(total, x):
            power, place = x
            total = jnp.where(place == 0, 0, total + power)  # the first half has none before it
            return total, total

        new, totals = jax.lax.scan(add, total, (powers, place))
        if not window.whole:
            previous, total = (jnp.where(window.ends, a, b) for a, b in ((current, previous), (new, total)))
        else:
            previous, total = pieces[-1], new
        return (previous, current, total), totals / (halves - 1)


def periodograms(segments: Float[Array, "segment time region"], dt: float) -> Float[Array, "segment frequency region"]:
    """One-sided power spectral densities of segments of an even length, per Hz."""
    n = segments.shape[1]
    taper = jnp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n), segments.dtype)
    tapered = (segments - segments.mean(1, keepdims=True)) * taper[:, None]
    power = jnp.abs(jnp.fft.rfft(tapered, axis=1)) ** 2 * (dt / 1000 / jnp.sum(taper**2))
    return power.at[:, 1:-1].multiply(2)
