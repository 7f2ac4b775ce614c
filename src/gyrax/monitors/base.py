"""What a monitor is: a stream of windows in, samples out, nothing else stored."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._types import Channels, Sources
from ..couplings import as_names
from ..domains import Parametric


class Window(eqx.Module):
    """A stretch of a run as a monitor sees it: some whole strides, or a piece of one; a stride never straddles two.

    Attributes:
        path: the monitor's sources at the beginning of every step, `(step, source, node)`.
        end: the sources at the end of the last, `(source, node)`.
        step: steps by the end of the window, counted so that strides and periods end at their multiples.
        number: the same since the first run began, whenever the monitor joined; it tells the noise of samples apart.
        key: of the monitor's own noise; None if the run has none.
        dt: ms.
        stride: steps of one of the monitor's strides.
        held: whether a source has the value `path` says throughout the step, as averages do; `end` is the last of them.
    """

    path: Float[Array, "step source node"]
    end: Sources
    step: Int[Array, ""] | int
    number: Int[Array, ""] | int
    key: Any
    dt: float = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    held: bool = eqx.field(static=True, default=False)

    @property
    def values(self) -> Float[Array, "step source node"]:
        """The sources at the end of every step."""
        return self.path if self.held else jnp.concatenate([self.path[1:], self.end[None]])

    @property
    def ends(self) -> Bool[Array, ""] | bool:
        """Whether a stride ends with this window."""
        return self.step % self.stride == 0

    @property
    def whole(self) -> int:
        """Number of whole strides in this window, 0 if it is a piece of one."""
        return len(self.path) // self.stride if len(self.path) % self.stride == 0 else 0

    @property
    def last(self) -> Float[Array, "stride source node"]:
        """The sources at the end of every stride (of a piece: at its own end)."""
        if self.held:
            return self.path[self.stride - 1 :: self.stride] if self.whole else self.path[-1:]
        return jnp.concatenate([self._first[1:], self.end[None]])

    @property
    def _first(self) -> Float[Array, "stride source node"]:
        return self.path[:: self.stride] if self.whole else self.path[:1]

    def totals(self, carried: Any, increments: Float[Array, "step ..."]) -> tuple[Any, Float[Array, "stride ..."]]:
        """Sums over strides of a value a step.

        Args:
            carried: the sum so far of a stride that began in an earlier window, zeros otherwise.
            increments: `(step, ...)`.

        Returns:
            What to carry on, and a total for each stride that ends here. A piece gives one: meaningful if `ends`.
        """
        return self._add(carried, self._sums(increments))

    def averages(self, carried: Any) -> tuple[Any, Float[Array, "stride source node"]]:
        """Time averages of the sources over strides, by the trapezoidal rule: exact for a ramp."""
        sums = self._sums(self.path)
        if not self.held:
            sums = sums + 0.5 * (self.last - self._first)
        carried, totals = self._add(carried, sums)
        return carried, totals / self.stride

    def normals(self, *shape: int) -> Float[Array, "stride ..."]:
        """Standard normals for the sample of each stride; the same wherever runs and windows are cut.

        Raises:
            ValueError: if the run was given no key.
        """
        if self.key is None:
            raise ValueError("this monitor draws noise: give simulate a key=jax.random.key(0)")
        samples = max(1, self.whole)
        numbers = self.number - (len(self.path) // samples) * jnp.arange(samples)[::-1]
        dtype = self.path.dtype
        return jax.vmap(lambda n: jax.random.normal(jax.random.fold_in(self.key, n), shape, dtype))(numbers)

    def _sums(self, increments: Float[Array, "step ..."]) -> Float[Array, "stride ..."]:
        # Products with ones: XLA's CPU backend is many times slower at sums over a leading axis.
        strides = increments.reshape(max(1, self.whole), -1, *increments.shape[1:])
        return jnp.einsum("s,ks...->k...", jnp.ones(strides.shape[1], increments.dtype), strides)

    def _add(self, carried: Any, sums: Float[Array, "stride ..."]) -> tuple[Any, Float[Array, "stride ..."]]:
        if self.whole:
            return carried, sums
        total = carried + sums[0]
        return jnp.where(self.ends, jnp.zeros_like(total), total), total[None]


class AbstractMonitor(Parametric):
    """Turns the activity of a run into samples, window after window.

    Attributes:
        source: names of the states or outputs it reads; left out, all states.
        period: ms between samples.
        dims: what the axes of one sample are, for labels: 'region', 'state' (the sources) or any other name.
        every_step: True for a monitor that samples every step and has no period.
        pointwise: True if a sample is made of the sources at its own time alone.
        afferent: True if its sources are inputs of the model, what couplings feed, in place of states and outputs.
        noisy: True if it draws noise of its own.
    """

    source: tuple[str, ...] | None = eqx.field(default=None, converter=as_names, static=True, kw_only=True)
    period: float | None = eqx.field(static=True, kw_only=True)
    dims: ClassVar[tuple[str, ...]] = ("region",)
    every_step: ClassVar[bool] = False
    pointwise: ClassVar[bool] = False
    afferent: ClassVar[bool] = False
    noisy: ClassVar[bool] = False

    def __check_init__(self):
        if self.every_step != (self.period is None) or (self.period is not None and not 0 < self.period < math.inf):
            raise ValueError(f"{type(self).__name__} needs a positive period in ms, got {self.period}")

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
        from .chain import Chain

        return Chain(self, second)
