"""Conduction delays: how long each connection takes, within which bounds, and in which steps of a run."""

import abc
import dataclasses
import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._kinds import choice, number, refused
from ._ranges import SPEED, check_usual
from ._static import AbstractByContent
from ._types import Matrix, Parameter, is_traced
from .anatomy.connectome import Connectome
from .anatomy.edges import DENSE
from .parameters.declaring import Parametric, parameter
from .parameters.domains import Positive, Real

#: Samples that a delayed value is made of.
_SAMPLES = {"nearest": 1, "linear": 2, "cubic": 4}


@dataclasses.dataclass(frozen=True, eq=False)
class Spans(AbstractByContent):
    """The shortest and the longest delay in ms that each connection may take; static, for they fix how delays are read.

    `low` and `high` are `(target, source)`, infinite and minus infinite where there is no connection.
    """

    low: np.ndarray
    high: np.ndarray

    def __repr__(self):
        return f"Spans of {int(np.isfinite(self.low).sum())} connections"

    @property
    def connected(self) -> np.ndarray:
        return np.isfinite(self.low)


def as_bounds(bounds: Any) -> tuple[float, float] | None:
    """Two plain numbers, or None.

    Raises:
        TypeError: for anything else.

    Example:
        >>> as_bounds(np.array([1.0, 20.0]))
        (1.0, 20.0)
    """
    if bounds is None:
        return None
    if not isinstance(bounds, tuple | list | np.ndarray) or len(bounds) != 2:
        raise refused("bounds", bounds, "the shortest and the longest delay in ms", "(1.0, 50.0)")
    shortest, longest = (number("bounds", bound, unit="ms") for bound in bounds)
    return shortest, longest


class AbstractDelay(Parametric):
    """How long what one region sends takes to another.

    Attributes:
        bounds: shortest and longest delay in ms that a run may meet. They fix array shapes, so they are static; left out,
            the network takes them from the delays it is built with, and other delays need another network.
        interpolation: "nearest" rounds delays to whole steps. "linear" and "cubic" take them as they are and give
            gradients for them: linear for noisy activity, cubic to keep the order of a solver above two.
        spans: what the bounds come to for every connection; the network fills it in.
    """

    bounds: tuple[float, float] | None = eqx.field(default=None, converter=as_bounds, static=True, kw_only=True)
    interpolation: Literal["nearest", "linear", "cubic"] = eqx.field(default="nearest", static=True, kw_only=True)
    spans: Spans | None = eqx.field(default=None, static=True, kw_only=True, repr=False)

    def __check_init__(self):
        if self.bounds is not None and not 0 <= self.bounds[0] <= self.bounds[1] < math.inf:
            raise ValueError(f"bounds are (shortest, longest) delay in ms, got {self.bounds}")
        choice("interpolation", self.interpolation, tuple(_SAMPLES))

    @abc.abstractmethod
    def times(self, connectome: Connectome) -> Matrix:
        """Delays in ms, `(target, source)`."""

    @abc.abstractmethod
    def ranges(self, connectome: Connectome, connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shortest and longest delay of every connection that the bounds allow, `(target, source)`."""

    def bounded(self, connectome: Connectome, weights: Matrix) -> "AbstractDelay":
        """This delay with the bounds that the connectome gives it, where none were given."""
        given = jax.eval_shape(lambda: self.times(connectome)).shape
        if given != connectome.weights.shape:
            raise ValueError(f"delays have shape {given}, the connectome's weights {connectome.weights.shape}")
        traced = is_traced(weights, connectome.lengths)
        if self.bounds is None and (traced or is_traced(*jax.tree.leaves(self))):
            raise ValueError(f"inside jit, a {type(self).__name__} needs its bounds in ms: bounds=(shortest, longest)")
        if traced:
            assert self.bounds is not None
            low, high = (np.full(weights.shape, bound) for bound in self.bounds)
            return dataclasses.replace(self, spans=Spans(low, high))
        connected = np.asarray(weights) != 0
        if self.bounds is None:
            low = high = self._now(connectome)
            bounds = (float(low[connected].min()), float(low[connected].max())) if connected.any() else (0.0, 0.0)
        else:
            bounds = self.bounds
            low, high = self.ranges(connectome, connected)
        if connected.mean() > DENSE:
            connected = connected | ((low >= bounds[0]) & (high <= bounds[1]))
        low, high = np.where(connected, low, math.inf), np.where(connected, high, -math.inf)
        return dataclasses.replace(self, bounds=bounds, spans=Spans(low, high))

    def _now(self, connectome: Connectome) -> np.ndarray:
        """The delays in double precision."""
        return np.asarray(self.times(connectome), float)

    def check_gradient(self, name: str) -> None:
        """Whether what the delays depend on has a gradient.

        Raises:
            ValueError: if they round to whole steps.
        """
        if self.interpolation == "nearest":
            raise ValueError(
                f"{name} is free, but these delays round to whole steps and have no gradient: give the delay "
                "interpolation='linear', and bounds=(shortest, longest) in ms for what the fit may try"
            )

    def check_movable(self, name: str) -> None:
        """Whether there is room to change the delays.

        Args:
            name: of what is to change, for the sentence.

        Raises:
            ValueError: if every connection's bounds are what its delay is now, as without `bounds=`; with some that would do.
        """
        if self.spans is None or self.bounds is None:
            return
        low, high = (x[self.spans.connected] for x in (self.spans.low, self.spans.high))
        if low.size and high.max() > 0 and (low == high).all():
            # half and twice of what they are, in two digits
            suggested = ", ".join(f"{float(f'{x:.2g}'):g}" for x in (self.bounds[0] / 2, 2 * self.bounds[1]))
            raise ValueError(
                f"{name} is to change, but these delays were given no room to: they are {self.bounds[0]:.4g} to "
                f"{self.bounds[1]:.4g} ms now; give the delay bounds=(shortest, longest) in ms, such as bounds=({suggested})"
            )

    def reach(self, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Fewest and most whole steps back that each connection may read, `(target, source)`; 0 and 0 where there is none."""
        assert self.spans is not None
        connected = self.spans.connected
        low, high = (np.where(connected, x, 0.0) / dt for x in (self.spans.low, self.spans.high))

        def slack(steps):  # float32 rounding of length / speed / dt at a tie
            return 1e-5 + 1e-6 * steps

        if self.interpolation == "nearest":
            fewest, most = np.ceil(low - 0.5 - slack(low)), np.floor(high + 0.5 + slack(high))
        else:
            earlier, later = (1, 2) if self.interpolation == "cubic" else (0, 1)
            fewest, most = (
                np.floor(low - slack(low)) - earlier,
                np.maximum(np.floor(high + slack(high)), earlier) + later,
            )
        return np.where(connected, np.maximum(fewest, 0), 0).astype(int), np.where(connected, most, 0).astype(int)

    def depth(self, dt: float) -> int:
        """Samples of history to keep, the present one included."""
        return int(self.reach(dt)[1].max()) + 1

    def steps(
        self, connectome: Connectome, dt: float
    ) -> tuple[Int[Array, "node node"], tuple[Float[Array, "node node"], ...]]:
        """Whole steps back to the latest sample that each connection reads, and the shares of it and of those before it."""
        exact = self.times(connectome) / dt
        if self.interpolation == "nearest":
            return jnp.round(exact).astype(int), (jnp.ones_like(exact),)
        whole = jnp.floor(jax.lax.stop_gradient(exact))
        if self.interpolation == "linear":
            share = exact - whole
            return whole.astype(int), (1 - share, share)
        whole = jnp.maximum(whole - 1, 0)
        return whole.astype(int), cubic(exact - whole)

    def outside(self, delays: Any, weights: Any) -> Any:
        """Which connections that have a weight have a delay outside of their bounds, `(target, source)`."""
        assert self.spans is not None
        low, high = self.spans.low * (1 - 1e-5), self.spans.high * (1 + 1e-5)
        return (weights != 0) & ((delays < low) | (delays > high))

    def check(self, connectome: Connectome, weights: Matrix) -> Matrix:
        """The weights, after a check that every connection's delay lies within the bounds.

        Raises:
            ValueError: naming the pair of regions and the delay (inside jit: a runtime error, without the names).
        """
        assert self.bounds is not None and self.spans is not None
        if is_traced(weights, connectome.lengths, *jax.tree.leaves(self)):
            outside = self.outside(self.times(connectome), weights)
            message = f"a conduction delay left its bounds {self.bounds} ms, or there is a weight where there was none"
            return eqx.error_if(weights, outside.any(), message)
        delays = self._now(connectome)
        outside = self.outside(delays, np.asarray(weights))
        if outside.any():
            i, j = np.argwhere(outside)[0]
            pair = f"from {connectome.labels[j]} to {connectome.labels[i]}"
            if not self.spans.connected[i, j]:
                raise ValueError(
                    f"this network was built without a connection {pair}: build it anew with these weights"
                )
            raise ValueError(
                f"the delay {pair} is {delays[i, j]:.4g} ms, outside of the bounds {self.bounds} ms that this network was "
                "built with: build it anew, or give the delay bounds=(shortest, longest)"
            )
        return weights


class Delay(AbstractDelay):
    """Conduction delays of tract length / speed.

    Args:
        speed: conduction speed in mm/ms (= m/s).
        bounds: shortest and longest delay in ms that a run may meet, if the speed is to change; see `AbstractDelay`.
        interpolation: "nearest" (whole steps), "linear" or "cubic"; the last two have gradients for speed and lengths.

    Example:
        >>> Delay(speed=3.0)
        Delay(interpolation='nearest', speed=3 mm/ms)
        >>> Delay(speed=3.0, bounds=(1.0, 250.0), interpolation="linear").bounds
        (1.0, 250.0)
    """

    speed: Parameter = parameter(3.0, domain=Positive(), unit="mm/ms", doc="conduction speed")

    def __check_init__(self):
        if self.speed.ndim:
            raise ValueError(f"speed is one number in mm/ms, got shape {self.speed.shape}")
        if not is_traced(self.speed):
            speed = float(np.asarray(self.speed))
            if not speed > 0:
                raise ValueError(f"speed is a positive number in mm/ms, got {speed}")
            check_usual(speed, SPEED)

    def times(self, connectome: Connectome) -> Matrix:
        if connectome.lengths is None:
            raise ValueError("delays need tract lengths: give the connectome lengths= in mm, or the network delay=None")
        return connectome.lengths / self.speed

    def ranges(self, connectome: Connectome, connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the speeds come to for which all delays stay within the bounds."""
        assert self.bounds is not None
        shortest, longest = self.bounds
        lengths = np.asarray(connectome.lengths, float)
        if not connected.any() or lengths[connected].min() == 0:  # no speed changes a delay of zero
            return np.full(lengths.shape, shortest), np.full(lengths.shape, longest)
        fastest = lengths[connected].min() / shortest if shortest else math.inf
        slowest = lengths[connected].max() / longest if longest else math.inf
        low = np.clip(lengths / fastest, shortest, longest)
        return low, np.clip(lengths / slowest, low, longest)

    def _now(self, connectome: Connectome) -> np.ndarray:
        return np.asarray(connectome.lengths, float) / float(self.speed)


class ConnectionDelays(AbstractDelay):
    """A delay for every connection, in ms, whatever the tract lengths. Every one is a parameter.

    Args:
        ms: delays in ms, `(target, source)`; what stands where there is no connection does not count.
        bounds: shortest and longest delay in ms that a run may meet, if they are to change; see `AbstractDelay`.
        interpolation: "nearest" (whole steps), "linear" or "cubic"; the last two have gradients.

    Example:
        >>> ConnectionDelays([[0.0, 5.0], [7.5, 0.0]]).ms.shape
        (2, 2)
    """

    ms: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="delay of every connection")

    def __check_init__(self):
        if not is_traced(self.ms) and not (np.isfinite(self.ms).all() and (np.asarray(self.ms) >= 0).all()):
            raise ValueError(f"delays are finite and at least 0 ms, got {np.asarray(self.ms).min()}")

    def times(self, connectome: Connectome) -> Float[Array, "target source"]:
        return self.ms

    def ranges(self, connectome: Connectome, connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self.bounds is not None
        low, high = (np.full(self.ms.shape, bound) for bound in self.bounds)
        return low, high


class NoDelay(AbstractDelay):
    """No delay: for a coupling that acts at once in a network in which others take time.

    Example:
        >>> import gyrax as gx
        >>> gx.couplings.Linear(source="S", delay=NoDelay()).delay
        NoDelay(interpolation='nearest')
    """

    def times(self, connectome: Connectome) -> Matrix:
        return jnp.zeros_like(connectome.weights)

    def ranges(self, connectome: Connectome, connected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(connected.shape), np.zeros(connected.shape)


def cubic(x: Float[Array, "..."]) -> tuple[Float[Array, "..."], ...]:
    """Lagrange's shares of samples at 0, 1, 2 and 3 in the value at x.

    Example:
        >>> [float(share) for share in cubic(jnp.asarray(1.5))]
        [-0.0625, 0.5625, 0.5625, -0.0625]
    """
    a, b, c, d = x, x - 1, x - 2, x - 3
    return -b * c * d / 6, a * c * d / 2, -a * b * d / 2, a * b * c / 6
