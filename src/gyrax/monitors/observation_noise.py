"""Noise of the instrument, on top of what any monitor says."""

import copy
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Channels, Parameter, Sources, is_traced
from ..parameters.declaring import array_of, parameter, summary
from ..parameters.domains import Positive
from .base import AbstractMonitor
from .window import Window


class ObservationNoise(AbstractMonitor):
    """White noise on every sample of a monitor: what the instrument adds, which the brain never feels.

    It is that monitor in all else: source, period, labels, time stamps, what it hears. The noise comes from the run's key,
    the monitor's name and the number of the sample alone, so cuts of a run change nothing. `MEG`, `EEG` and `SEEG` have
    a `covariance` of their own.

    Args:
        monitor: any monitor.
        sigma: standard deviation in the unit of its samples; one number, or an array that broadcasts to one sample, such as
            `(region,)`, or `(state, 1)` for `(state, region)`.
        mixing: `(region, source)`; what each region takes of independent sources, for noise that regions share. The covariance
            between regions is mixing @ mixing.T where sigma is 1: `gx.noise.factor` makes a mixing of a covariance.

    Raises:
        TypeError: if it is given no monitor.
        ValueError: for a sigma that is negative or not finite, a mixing that is no finite matrix; in a run, if either is not
            of the monitor's regions, or there is no key.

    Example:
        >>> import gyrax as gx
        >>> ObservationNoise(gx.monitors.Balloon(source="S", period=720.0), sigma=0.01).period
        720.0
        >>> ObservationNoise(gx.monitors.Raw(source="S"), sigma=0.01)
        ObservationNoise(Raw(source=('S',)), sigma=0.01)
    """

    monitor: AbstractMonitor
    mixing: Float[Array, "*region source"] | None = eqx.field(converter=array_of("mixing"))
    sigma: Parameter = parameter(domain=Positive(), doc="standard deviation of each sample")

    def __init__(self, monitor: Any, *, sigma: Any, mixing: Any = None):
        if not isinstance(monitor, AbstractMonitor):
            raise TypeError(f"ObservationNoise is around a monitor, such as gx.monitors.Raw(), got {monitor!r}")
        self.monitor, self.source, self.period = monitor, monitor.source, monitor.period
        self.sigma, self.mixing = sigma, mixing

    def __check_init__(self):
        sigma, mixing = self.sigma, self.mixing
        if not is_traced(sigma) and not (np.isfinite(sigma) & (np.asarray(sigma) >= 0)).all():
            raise ValueError(f"a sigma is finite and not negative, got {summary(sigma)}")
        if mixing is not None and (mixing.ndim != 2 or not (is_traced(mixing) or np.isfinite(mixing).all())):
            raise ValueError(f"a mixing is a finite matrix (region, source), got {summary(mixing)}")

    @property
    def dims(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.monitor.dims

    @property
    def every_step(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.monitor.every_step

    @property
    def pointwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.monitor.pointwise

    @property
    def afferent(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.monitor.afferent

    @property
    def of_connections(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.monitor.of_connections

    def of(self, network: Any) -> "ObservationNoise":
        monitor, bound = self.monitor.of(network), copy.copy(self)
        for field, value in (("monitor", monitor), ("source", monitor.source)):
            object.__setattr__(bound, field, value)
        return bound

    @property
    def noisy(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    @property
    def kind(self) -> str:
        return f"{self.monitor.kind} with noise"

    @property
    def stamp(self) -> float:
        return self.monitor.stamp

    def stride(self, dt: float, period: int) -> int:
        return self.monitor.stride(dt, period)

    def cycles(self, dt: float, period: int) -> tuple[int, ...]:
        return self.monitor.cycles(dt, period)

    def axes(self, dt: float) -> dict[str, tuple]:
        return self.monitor.axes(dt)

    def channels(self, nodes: Channels) -> Channels:
        found = self.monitor.channels(nodes)
        n, shape = len(found.labels), self.sigma.shape
        if shape and shape[-1] not in (1, n):
            raise ValueError(f"sigma has shape {shape}, the samples are of {n} {found.dim}s: its last axis is 1 or {n}")
        if self.mixing is not None and len(self.mixing) != n:
            raise ValueError(
                f"mixing has shape {self.mixing.shape}, the samples are of {n} {found.dim}s: it has {n} rows"
            )
        return found

    def init(self, x: Any) -> Any:
        return self.monitor.init(x)

    def begin(self, x: Any, dt: float) -> Any:
        return self.monitor.begin(x, dt)

    def at_start(self, x: Sources) -> Float[Array, "..."]:
        return self.monitor.at_start(x)

    def update(self, state: Any, window: Window):
        keys = (None, None) if window.key is None else jax.random.split(window.key)
        first, own = (eqx.tree_at(lambda w: w.key, window, key, is_leaf=lambda x: x is None) for key in keys)
        state, samples = self.monitor.update(state, first)
        shape = samples.shape[1:]
        if len(self.sigma.shape) > len(shape) or jnp.broadcast_shapes(self.sigma.shape, shape) != shape:
            raise ValueError(f"sigma has shape {self.sigma.shape}, which does not broadcast to one sample {shape}")
        if self.mixing is None:
            return state, samples + self.sigma * own.normals(*shape)
        return state, samples + self.sigma * (own.normals(*shape[:-1], self.mixing.shape[1]) @ self.mixing.T)

    def __repr__(self):
        mixing = "" if self.mixing is None else f", mixing={summary(self.mixing)}"
        return f"{type(self).__name__}({self.monitor!r}, sigma={summary(self.sigma)}{mixing})"
