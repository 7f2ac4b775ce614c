"""Conduction delays: how long each connection takes, within which bounds, and in which steps of a run."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._types import Matrix, Parameter, is_traced
from .connectome import Connectome
from .domains import Parametric, Positive, parameter

#: Share of all pairs from which on the rest is given a place too, so that their weights may grow from zero.
_DENSE = 0.5


class Spans:
    """The shortest and the longest delay in ms that each connection may take; static, for they fix how delays are read.

    `low` and `high` are `(target, source)`, infinite and minus infinite where there is no connection.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.low, self.high = low, high
        self._key = (low.shape, low.tobytes(), high.tobytes())
        self._hash = hash(self._key)

    def __hash__(self):
        return self._hash

    def __eq__(self, other):
        return isinstance(other, Spans) and self._key == other._key

    def __repr__(self):
        return f"Spans of {int(np.isfinite(self.low).sum())} connections"

    @property
    def connected(self) -> np.ndarray:
        return np.isfinite(self.low)


class Delay(Parametric):
    """Conduction delays of tract length / speed.

    Args:
        speed: conduction speed in mm/ms (= m/s).
        bounds: shortest and longest delay in ms that a run may meet. They fix array shapes, so they are static; left
            out, the network takes them from its connectome and this speed, and another speed needs another network.
        interpolate: delays as they are, by linear interpolation between steps, with gradients for speed and lengths. Left
            out, delays round to whole steps, which is faster.

    Example:
        >>> Delay(speed=3.0)
        Delay(speed=3 mm/ms)
    """

    speed: Parameter = parameter(3.0, domain=Positive(), unit="mm/ms", doc="conduction speed")
    bounds: tuple[float, float] | None = eqx.field(default=None, static=True)
    interpolate: bool = eqx.field(default=False, static=True, kw_only=True)
    spans: Spans | None = eqx.field(default=None, static=True, kw_only=True, repr=False)

    def __check_init__(self):
        if self.speed.ndim:
            raise ValueError(f"speed is one number in mm/ms, got shape {self.speed.shape}")
        if not is_traced(self.speed) and not self.speed > 0:
            raise ValueError(f"speed is a positive number in mm/ms, got {float(self.speed)}")
        if self.bounds is not None and not 0 <= self.bounds[0] <= self.bounds[1] < math.inf:
            raise ValueError(f"bounds are (shortest, longest) delay in ms, got {self.bounds}")

    def times(self, connectome: Connectome) -> Matrix:
        """Delays in ms, `(target, source)`."""
        assert connectome.lengths is not None
        return connectome.lengths / self.speed

    def bounded(self, connectome: Connectome, weights: Matrix) -> "Delay":
        """This delay with the bounds that the connectome gives it, where none were given."""
        traced = is_traced(weights, connectome.lengths)
        if self.bounds is None and (traced or is_traced(self.speed)):
            raise ValueError("inside jit, a Delay needs its bounds in ms: Delay(speed, bounds=(shortest, longest))")
        if traced:
            assert self.bounds is not None
            low, high = (np.full(weights.shape, bound) for bound in self.bounds)
            return Delay(self.speed, self.bounds, interpolate=self.interpolate, spans=Spans(low, high))
        connected = np.asarray(weights) != 0
        if self.bounds is None:
            low = high = self._milliseconds(connectome)
            bounds = (float(low[connected].min()), float(low[connected].max())) if connected.any() else (0.0, 0.0)
        else:
            bounds = self.bounds
            low, high = self._range(np.asarray(connectome.lengths, float), connected)
        if connected.mean() > _DENSE:
            connected = connected | ((low >= bounds[0]) & (high <= bounds[1]))
        low, high = np.where(connected, low, math.inf), np.where(connected, high, -math.inf)
        return Delay(self.speed, bounds, interpolate=self.interpolate, spans=Spans(low, high))

    def _range(self, lengths: np.ndarray, connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The delays each connection takes at the speeds for which all stay within the bounds."""
        assert self.bounds is not None
        shortest, longest = self.bounds
        if not connected.any() or lengths[connected].min() == 0:  # no speed changes a delay of zero
            return np.full(lengths.shape, shortest), np.full(lengths.shape, longest)
        fastest = lengths[connected].min() / shortest if shortest else math.inf
        slowest = lengths[connected].max() / longest if longest else math.inf
        low = np.clip(lengths / fastest, shortest, longest)
        return low, np.clip(lengths / slowest, low, longest)

    def _milliseconds(self, connectome: Connectome) -> np.ndarray:
        return np.asarray(connectome.lengths, float) / float(self.speed)

    def reach(self, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Fewest and most whole steps back that each connection may read, `(target, source)`; 0 and 0 where there is none."""
        assert self.spans is not None
        connected = self.spans.connected
        low, high = (np.where(connected, x, 0.0) / dt for x in (self.spans.low, self.spans.high))
        slack = lambda steps: 1e-5 + 1e-6 * steps  # noqa: E731  (float32 rounding of length / speed / dt at a tie)
        if self.interpolate:
            fewest, most = np.floor(low - slack(low)), np.floor(high + slack(high)) + 1
        else:
            fewest, most = np.ceil(low - 0.5 - slack(low)), np.floor(high + 0.5 + slack(high))
        return np.where(connected, np.maximum(fewest, 0), 0).astype(int), np.where(connected, most, 0).astype(int)

    def depth(self, dt: float) -> int:
        """Samples of history to keep, the present one included."""
        return int(self.reach(dt)[1].max()) + 1

    def steps(self, connectome: Connectome, dt: float) -> tuple[Int[Array, "node node"], Float[Array, "node node"]]:
        """Whole steps back to the sample that each connection reads, and the share of the sample before it."""
        exact = self.times(connectome) / dt
        if not self.interpolate:
            whole = jnp.round(exact).astype(int)
            return whole, jnp.zeros_like(exact)
        whole = jnp.floor(exact)
        return whole.astype(int), exact - whole

    def check(self, connectome: Connectome, weights: Matrix) -> Matrix:
        """The weights, after a check that every connection's delay lies within the bounds.

        Raises:
            ValueError: naming the pair of regions and the delay (inside jit: a runtime error, without the names).
        """
        assert self.bounds is not None and self.spans is not None
        low, high = self.spans.low * (1 - 1e-5), self.spans.high * (1 + 1e-5)
        if is_traced(weights, connectome.lengths, self.speed):
            delays = self.times(connectome)
            outside = (weights != 0) & ((delays < low) | (delays > high))
            message = f"a conduction delay left its bounds {self.bounds} ms, or there is a weight where there was none"
            return eqx.error_if(weights, outside.any(), message)
        delays = self._milliseconds(connectome)
        outside = (np.asarray(weights) != 0) & ((delays < low) | (delays > high))
        if outside.any():
            i, j = np.argwhere(outside)[0]
            pair = f"from {connectome.labels[j]} to {connectome.labels[i]}"
            if not self.spans.connected[i, j]:
                raise ValueError(
                    f"this network was built without a connection {pair}: build it anew with these weights"
                )
            raise ValueError(
                f"the delay {pair} is {delays[i, j]:.4g} ms, outside of the bounds {self.bounds} ms that this network was "
                "built with: build it anew, or with Delay(speed, bounds=...)"
            )
        return weights
