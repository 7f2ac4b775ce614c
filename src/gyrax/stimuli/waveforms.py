"""Waveforms that are formulas of time. Times are in ms, frequencies in Hz."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._pairs import clip, fraction, like, single, takes_pairs
from .._types import Parameter, is_traced
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractWaveform


def share(time: Any, length: Any) -> Any:
    """How much of a stretch of time that begins at 0 has passed, from 0 to 1."""
    return jnp.clip(single(time) / length, 0.0, 1.0)


class Pulse(AbstractWaveform):
    """A pulse with linear edges: it begins to rise at `onset`, begins to fall `duration` later, and takes `rise` for either.

    So its area is amplitude times duration, whatever `rise` is, and both onset and duration have gradients: while an edge
    lasts. An edge shorter than a step of the solver is as good as a jump, and its gradient is seen by chance only.

    Example:
        >>> pulse = Pulse(onset=10.0, duration=20.0, amplitude=2.0, rise=4.0)
        >>> [float(pulse(t)) for t in (10.0, 12.0, 14.0, 30.0, 32.0, 34.0)]
        [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    """

    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="when it begins to rise")
    duration: Parameter = parameter(100.0, domain=Positive(), unit="ms", doc="from when it rises to when it falls")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="height")
    rise: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time that each edge takes")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        s = t - self.onset
        return self.amplitude * (share(s, self.rise) - share(s - self.duration, self.rise))


class PulseTrain(AbstractWaveform):
    """Pulses like `Pulse`, one every `period`. Those that overlap add up.

    Attributes:
        count: how many; left out, they never end.

    Raises:
        ValueError: if an edge takes longer than a period, or for a count below 1.

    Example:
        >>> train = PulseTrain(onset=10.0, period=50.0, duration=5.0, rise=1.0, count=2)
        >>> [float(train(t)) for t in (0.0, 12.0, 20.0, 62.0, 112.0)]
        [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="when the first begins to rise")
    period: Parameter = parameter(100.0, domain=Positive(), unit="ms", doc="from one onset to the next")
    duration: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="from when each rises to when it falls")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="height")
    rise: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time that each edge takes")
    count: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.count is not None and (not isinstance(self.count, int) or self.count < 1):
            raise ValueError(f"count is the number of pulses, 1 or more, or None; got {self.count!r}")
        if not is_traced(self.rise, self.period) and (np.asarray(self.rise) > np.asarray(self.period)).any():
            raise ValueError(f"an edge of {self.rise} ms does not fit into a period of {self.period} ms")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        s = t - self.onset
        whole = jnp.floor(single(s) / self.period)  # late in a run, some more or less
        rest = single(s - like(s, whole) * self.period)
        (rises, rising), (falls, falling) = self._edges(whole, rest), self._edges(whole, rest - self.duration)
        return self.amplitude * ((rises - falls) + (rising - falling))

    def _edges(self, whole: Any, rest: Any) -> tuple[Any, Any]:
        """How many edges lie behind, so many periods and a rest after the first, and how much of the last one begun has passed."""
        periods = whole.astype(int)  # which are exact, however many
        last = None if self.count is None else self.count - 1
        behind = jnp.clip(periods + jnp.floor(rest / self.period).astype(int), 0, last)
        return behind, share(rest - (behind - periods) * self.period, self.rise)


class Ramp(AbstractWaveform):
    """A straight line from 0 at `onset` to `amplitude` `duration` later, which it keeps.

    Example:
        >>> [float(Ramp(onset=10.0, duration=20.0, amplitude=4.0)(t)) for t in (5.0, 15.0, 50.0)]
        [0.0, 1.0, 4.0]
    """

    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="when it leaves 0")
    duration: Parameter = parameter(100.0, domain=Positive(), unit="ms", doc="time it takes")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="value it reaches")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        return self.amplitude * share(t - self.onset, self.duration)


class Sine(AbstractWaveform):
    r"""$A \sin(2 \pi f t + \varphi) + b$.

    Example:
        >>> round(float(Sine(frequency=10.0, offset=1.0)(25.0)), 6)  # a quarter of a period
        2.0
    """

    frequency: Parameter = parameter(10.0, domain=Positive(), unit="Hz", doc="frequency f")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="amplitude A")
    phase: Parameter = parameter(0.0, domain=Real(), unit="rad", doc="phase at t = 0")
    offset: Parameter = parameter(0.0, domain=Real(), doc="mean b")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        cycles = fraction(t * self.frequency / 1000)
        return self.amplitude * jnp.sin(2 * jnp.pi * cycles + self.phase) + self.offset


class Chirp(AbstractWaveform):
    r"""A sine whose frequency goes linearly from `f0` at `onset` to `f1` `duration` later:

    $$A \sin\Big(2 \pi \int_{onset}^t f + \varphi\Big), \quad f(t) = f_0 + (f_1 - f_0) \frac{t - onset}{duration}$$

    Before, it is a sine of f0, and after, one of f1; multiply by a `Pulse` to hear the sweep alone.

    Example:
        >>> sweep = Pulse(onset=100.0, duration=500.0) * Chirp(f0=2.0, f1=40.0, onset=100.0, duration=500.0)
        >>> float(sweep(50.0)) == 0
        True
    """

    f0: Parameter = parameter(1.0, domain=Real(), unit="Hz", doc="frequency at the onset")
    f1: Parameter = parameter(50.0, domain=Real(), unit="Hz", doc="frequency at the end")
    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="when the sweep begins")
    duration: Parameter = parameter(1000.0, domain=Positive(), unit="ms", doc="time the sweep takes")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="amplitude A")
    phase: Parameter = parameter(0.0, domain=Real(), unit="rad", doc="phase at the onset")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        s = t - self.onset
        before, after = clip(s, -math.inf, 0.0), clip(s - self.duration, 0.0, math.inf)
        within = s - before - after
        sweep = within * self.f0 + within * within * (self.f1 - self.f0) / (2 * self.duration)
        cycles = fraction((before * self.f0 + sweep + after * self.f1) / 1000)
        return self.amplitude * jnp.sin(2 * jnp.pi * cycles + self.phase)


class DoubleExponential(AbstractWaveform):
    r"""A fast rise and a slow decay, such as a postsynaptic response, with its peak at `amplitude`. From `onset` on

    $$\propto e^{-s / \tau_{decay}} - e^{-s / \tau_{rise}}, \quad s = t - onset$$

    Equal time constants give the alpha function. The slower of the two is the decay, whichever it is called.

    Example:
        >>> alpha = DoubleExponential(tau_rise=5.0, tau_decay=5.0, amplitude=2.0)
        >>> float(alpha(0.0)), round(float(alpha(5.0)), 5)
        (0.0, 2.0)
    """

    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="when it begins")
    tau_rise: Parameter = parameter(2.0, domain=Positive(), unit="ms", doc="time constant of the rise")
    tau_decay: Parameter = parameter(20.0, domain=Positive(), unit="ms", doc="time constant of the decay")
    amplitude: Parameter = parameter(1.0, domain=Real(), doc="value at the peak")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        slow = 1 / jnp.maximum(self.tau_rise, self.tau_decay)
        fast = 1 / jnp.minimum(self.tau_rise, self.tau_decay)
        peak = _log1p_ratio((fast - slow) / slow) / slow
        s = jnp.maximum(single(t - self.onset), 0.0)
        return self.amplitude * _response(s, slow, fast) / _response(peak, slow, fast)


def _response(s: Any, slow: Any, fast: Any) -> Any:
    """(exp(-slow s) - exp(-fast s)) / (fast - slow), also where the two are equal."""
    return s * jnp.exp(-slow * s) * _expm1_ratio((fast - slow) * s)


def _expm1_ratio(z: Any) -> Any:
    """(1 - exp(-z)) / z for z >= 0, 1 at 0."""
    return _near_zero(z, 0.1, [(-1) ** k / math.factorial(k + 1) for k in range(9)], lambda z: -jnp.expm1(-z) / z)


def _log1p_ratio(z: Any) -> Any:
    """log(1 + z) / z for z >= 0, 1 at 0."""
    return _near_zero(z, 0.03, [(-1) ** k / (k + 1) for k in range(10)], lambda z: jnp.log1p(z) / z)


def _near_zero(z: Any, radius: float, series: list[float], function: Callable[[Any], Any]) -> Any:
    """The function, and within the radius its series: neither is asked where it, or its slope, is not finite."""
    near = z < radius
    close, far = jnp.where(near, z, 0.0), jnp.where(near, 1.0, z)
    return jnp.where(near, jnp.polyval(jnp.array(series[::-1], close.dtype), close), function(far))
