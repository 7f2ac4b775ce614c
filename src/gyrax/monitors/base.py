"""What a monitor is: a stream of windows in, samples out, nothing else stored."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._types import Sources
from ..couplings import as_names
from ..domains import Parametric


class Window(eqx.Module):
    """A stretch of a run as a monitor sees it: some whole strides, or a piece of one; a stride never straddles two.

    Attributes:
        path: the monitor's sources at the beginning of every step, `(step, source, node)`.
        end: the sources at the end of the last, `(source, node)`.
        dt: ms.
        stride: steps of one of the monitor's strides.
        ends: whether a stride ends with this window.
    """

    path: Float[Array, "step source node"]
    end: Sources
    ends: Bool[Array, ""] | bool
    dt: float = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    @property
    def values(self) -> Float[Array, "step source node"]:
        """The sources at the end of every step."""
        return jnp.concatenate([self.path[1:], self.end[None]])

    @property
    def whole(self) -> int:
        """Number of whole strides in this window, 0 if it is a piece of one."""
        return len(self.path) // self.stride if len(self.path) % self.stride == 0 else 0

    @property
    def last(self) -> Float[Array, "stride source node"]:
        """The sources at the end of every stride (of a piece: at its own end)."""
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
        carried, totals = self._add(carried, self._sums(self.path) + 0.5 * (self.last - self._first))
        return carried, totals / self.stride

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
    """

    source: tuple[str, ...] | None = eqx.field(default=None, converter=as_names, static=True, kw_only=True)
    period: float | None = eqx.field(static=True, kw_only=True)
    dims: ClassVar[tuple[str, ...]] = ("region",)
    every_step: ClassVar[bool] = False  # True for a monitor that samples every step and has no period

    def __check_init__(self):
        if self.every_step != (self.period is None) or (self.period is not None and not 0 < self.period < math.inf):
            raise ValueError(f"{type(self).__name__} needs a positive period in ms, got {self.period}")

    def stride(self, dt: float, period: int) -> int:
        """Steps between updates: `period` (the steps between samples), or a divisor of it."""
        return period

    @property
    def stamp(self) -> float:
        """Where a sample's time lies, in ms before the end of what it covers."""
        return 0.0

    @abc.abstractmethod
    def init(self, x: Sources) -> Any:
        """The monitor's state at the start of a run, from its sources `(source, node)` there."""

    @abc.abstractmethod
    def update(self, state: Any, window: Window) -> tuple[Any, Float[Array, "stride ..."]]:
        """The state after a window, and a sample for each stride that ends in it (for a piece: one, used if it ends)."""
