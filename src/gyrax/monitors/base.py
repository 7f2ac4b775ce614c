"""What a monitor is: a stream of windows in, samples out, nothing else stored."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .._types import Channels, Sources
from ..parameters.declaring import Parametric, names_of, number_of
from .window import Window


class AbstractMonitor(Parametric):
    """Turns the activity of a run into samples, window after window.

    Attributes:
        source: names of the states or outputs it reads; left out, all states.
        period: ms between samples.
        dims: what the axes of one sample are, for labels: 'region', 'state' (the sources) or any other name.
        every_step: True for a monitor that samples every step and has no period.
        pointwise: True if a sample is made of the sources at its own time alone.
        afferent: True if its sources are inputs of the model, what couplings feed, in place of states and outputs.
        of_connections: True if its sources are states that connections have of their own.
        noisy: True if it draws noise of its own.
    """

    source: tuple[str, ...] | None = eqx.field(default=None, converter=names_of("source"), static=True, kw_only=True)
    period: float | None = eqx.field(converter=number_of("period"), static=True, kw_only=True)
    dims: ClassVar[tuple[str, ...]] = ("region",)
    every_step: ClassVar[bool] = False
    pointwise: ClassVar[bool] = False
    afferent: ClassVar[bool] = False
    of_connections: ClassVar[bool] = False
    noisy: ClassVar[bool] = False

    def __check_init__(self):
        if self.every_step != (self.period is None) or (self.period is not None and not 0 < self.period < math.inf):
            raise ValueError(f"{type(self).__name__} needs a positive period in ms, got {self.period}")

    def of(self, network: Any) -> "AbstractMonitor":
        """The monitor with what it needs to know of the network of a run.

        Raises:
            ValueError: if the network does not have what it records.
        """
        return self

    def stride(self, dt: float, period: int) -> int:
        """Steps between updates: `period` (the steps between samples), or a divisor of it."""
        return period

    def cycles(self, dt: float, period: int) -> tuple[int, ...]:
        """The lengths in steps whose ends no window may straddle."""
        return period, self.stride(dt, period)

    @property
    def kind(self) -> str:
        """What a run that goes on must find unchanged."""
        return type(self).__name__

    @property
    def stamp(self) -> float:
        """Where a sample's time lies, in ms before the end of what it covers."""
        return 0.0

    def channels(self, nodes: Channels) -> Channels:
        """What a sample has in place of nodes.

        Raises:
            ValueError: if it was made for other nodes.
        """
        return nodes

    def axes(self, dt: float) -> dict[str, tuple]:
        """Coordinates of axes of its own, such as frequencies, by name, for sources every dt ms."""
        return {}

    @abc.abstractmethod
    def init(self, x: Sources) -> Any:
        """The monitor's state at the start of a run, from its sources `(source, node)` there."""

    def begin(self, x: Sources, dt: float) -> Any:
        """The same where it depends on the steps, of dt ms."""
        return self.init(x)

    @abc.abstractmethod
    def update(self, state: Any, window: Window) -> tuple[Any, Float[Array, "stride ..."]]:
        """The state after a window, and a sample for each stride that ends in it (for a piece: one, used if it ends)."""

    def at_start(self, x: Sources) -> Float[Array, "..."]:
        """What it would say at the start of a run, for monitors that listen to it: as if the sources stood still."""
        window = Window(x[None], x, 1, 0, jax.random.key(0), self.period or 1.0, 1)
        return self.update(self.begin(x, window.dt), window)[1][-1]

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        """What it makes of small swings of its source around a level, for each angular frequency: what linear theory asks.

        Args:
            omega: rad/ms.
            level: `(1, node)`, the source at rest.

        Raises:
            TypeError: of a monitor that has none.
        """
        raise TypeError(
            f"{type(self).__name__} has no linear response: take HRFBold, Balloon, Subsample, TemporalAverage, MEG or EEG, or give "
            "yours a method response(omega, level)"
        )

    def spatial(self) -> Float[Array, "channel node"] | None:
        """What each channel takes of the nodes, for monitors whose channels are not nodes."""
        return None

    def then(self, second: "AbstractMonitor") -> "AbstractMonitor":
        """A monitor of this monitor's samples.

        Args:
            second: what listens. Its period is a multiple of this one's; it needs no source.

        Raises:
            ValueError: if its period is none, or it names other sources.

        Example:
            >>> import gyrax as gx
            >>> signal = gx.monitors.GlobalAverage(source="S", period=1.0)
            >>> signal.then(gx.monitors.Balloon(period=720.0)).period
            720.0
        """
        return Chain(self, second)


class Chain(AbstractMonitor):
    """The first monitor's samples, monitored by the second; made by `first.then(second)`.

    What lies between two samples is what the first says it is: averages hold throughout the time they cover, all else is
    joined by straight lines. So averages of averages, and of samples of a ramp, are exact.

    Attributes:
        first: listens to the network.
        second: listens to the first.
    """

    first: AbstractMonitor
    second: AbstractMonitor

    def __init__(self, first: AbstractMonitor, second: AbstractMonitor):
        if first.period is None or second.period is None:
            which = type(first if first.period is None else second).__name__
            raise ValueError(f"{which} has no period: Subsample(period=...) hands on single steps")
        times = second.period / first.period
        if round(times) < 1 or abs(times - round(times)) > 1e-6:
            raise ValueError(
                f"{type(second).__name__} samples every {second.period:g} ms what {type(first).__name__} says every "
                f"{first.period:g} ms: its period must be a multiple of that"
            )
        if second.source is not None and second.source != first.source:
            raise ValueError(
                f"{type(second).__name__} listens to {type(first).__name__}, not to source={second.source}: leave it out"
            )
        if second.of_connections:
            raise ValueError(
                f"{type(second).__name__} listens to connections of the network, not to {type(first).__name__}: give it a name of its own"
            )
        if first.dims[:-1] not in ((), ("state",)) or not first.dims:
            raise ValueError(
                f"{type(first).__name__} says {first.dims or 'one number'} at a time: {type(second).__name__} listens to "
                "('state', 'region') or ('region',)"
            )
        self.first, self.second = first, second
        self.source, self.period = first.source, second.period

    @property
    def dims(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.second.dims

    @property
    def pointwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.pointwise and self.second.pointwise

    @property
    def afferent(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.afferent

    @property
    def of_connections(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.of_connections

    @property
    def noisy(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.noisy or self.second.noisy

    @property
    def kind(self) -> str:
        return f"{self.second.kind} of {self.first.kind} every {self.first.period:g} ms"

    @property
    def stamp(self) -> float:
        return self.first.stamp if self.second.pointwise else self.second.stamp

    def axes(self, dt: float) -> dict[str, tuple]:
        assert self.first.period is not None
        return self.second.axes(self.first.period)

    def channels(self, nodes: Channels) -> Channels:
        return self.second.channels(self.first.channels(nodes))

    def stride(self, dt: float, period: int) -> int:
        first, times = self._steps(dt, period)
        return first * self.second.stride(dt * first, times)

    def cycles(self, dt: float, period: int) -> tuple[int, ...]:
        first, times = self._steps(dt, period)
        return *self.first.cycles(dt, first), *(first * cycle for cycle in self.second.cycles(dt * first, times))

    def _steps(self, dt: float, period: int) -> tuple[int, int]:
        """Steps between samples of the first, and how many of those make one of the second."""
        assert self.period is not None and self.first.period is not None
        times = round(self.period / self.first.period)
        if period % times:
            raise ValueError(
                f"the period of {type(self.first).__name__} is {self.first.period:g} ms, no whole number of steps of {dt:g} ms"
            )
        return period // times, times

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        handed_on = jnp.real(self.first.response(jnp.zeros(1, omega.dtype), level)) * level
        return self.first.response(omega, level) * self.second.response(omega, handed_on)

    def spatial(self) -> Float[Array, "channel node"] | None:
        return self.first.spatial()

    def init(self, x: Sources) -> Any:
        raise TypeError("a chain begins with steps: use begin(x, dt)")

    def begin(self, x: Sources, dt: float) -> Any:
        assert self.first.period is not None
        before = _sources(self.first.at_start(x)[None])[0]
        return self.first.begin(x, dt), self.second.begin(before, self.first.period), before

    def at_start(self, x: Sources) -> Float[Array, "..."]:
        return self.second.at_start(_sources(self.first.at_start(x)[None])[0])

    def update(self, state: Any, window: Window):
        first, second, before = state
        assert self.period is not None
        period, times = self._steps(window.dt, round(self.period / window.dt))
        inner = self.first.stride(window.dt, period)
        key = [None, None] if window.key is None else list(jax.random.split(window.key))
        seen = Window(window.path, window.end, window.step, window.number, key[0], window.dt, inner, window.held)
        first, samples = self.first.update(first, seen)
        complete = len(window.path) % period == 0
        said = _sources(samples[period // inner - 1 :: period // inner] if complete else samples[-1:])
        held = self.first.stamp > 0
        path = said if held else jnp.concatenate([before[None], said[:-1]])
        dt = window.dt * period
        at = window.step // period, window.number // period
        new, samples = self.second.update(
            second, Window(path, said[-1], *at, key[1], dt, self.second.stride(dt, times), held)
        )
        new = new, said[-1]
        if not complete:  # until the first has something to say, the second hears nothing
            now = window.step % period == 0
            new = jax.tree.map(lambda a, b: jnp.where(now, a, b), new, (second, before))
        return (first, *new), samples

    def __repr__(self):
        return f"{self.first!r}.then({self.second!r})"


def _sources(samples: Float[Array, "sample ..."]) -> Float[Array, "sample source node"]:
    return samples[:, None] if samples.ndim == 2 else samples
