"""Monitors that hand on the activity itself: every step, every so often, or averaged."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .._types import Sources
from .base import AbstractMonitor
from .window import Window


class Raw(AbstractMonitor):
    """Every step: samples `(state, region)` at the end of each.

    Example:
        >>> Raw(source="S")
        Raw(source=('S',))
    """

    period: float | None = eqx.field(default=None, init=False, static=True)
    every_step: ClassVar = True
    dims: ClassVar = ("state", "region")

    def init(self, x: Sources) -> None:
        return None

    def update(self, state: None, window: Window):
        return None, window.values

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        return jnp.ones((len(omega), 1), jnp.result_type(1j))


class Subsample(AbstractMonitor):
    """The state every `period` ms, as it is then: samples `(state, region)`, stamped at their own time.

    Example:
        >>> Subsample(period=10.0)
        Subsample(period=10.0)
    """

    dims: ClassVar = ("state", "region")
    pointwise: ClassVar = True

    def init(self, x: Sources) -> None:
        return None

    def update(self, state: None, window: Window):
        return None, window.last

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        return jnp.ones((len(omega), 1), jnp.result_type(1j))


class AfferentCoupling(AbstractMonitor):
    """What reaches the model's inputs every `period` ms, as it is then: samples `(state, region)`, one row an input.

    With delays, what arrives, not what was sent. Other monitors hear it by `then`: such as a Balloon driven by input.

    Args:
        source: the model inputs it reads; left out, all of them.
        period: ms between samples.

    Example:
        >>> import gyrax as gx
        >>> AfferentCoupling(source="c", period=1.0).then(gx.monitors.TemporalAverage(period=10.0)).period
        10.0
    """

    dims: ClassVar = ("state", "region")
    pointwise: ClassVar = True
    afferent: ClassVar = True

    def init(self, x: Sources) -> None:
        return None

    def update(self, state: None, window: Window):
        return None, window.last


class TemporalAverage(AbstractMonitor):
    """Averages over `period` ms by the trapezoidal rule: samples `(state, region)`, stamped mid-window.

    Example:
        >>> TemporalAverage(period=10.0).stamp
        5.0
    """

    dims: ClassVar = ("state", "region")

    @property
    def stamp(self) -> float:
        assert self.period is not None
        return self.period / 2

    def init(self, x: Sources) -> Any:
        return Window.nothing(x)

    def update(self, state: Any, window: Window):
        return window.averages(state)

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        return averaged(omega, self.period)


def averaged(omega: Float[Array, " frequency"], period: float | None) -> Complex[Array, "frequency 1"]:
    """What is left of swings in averages over a period, stamped at its middle."""
    assert period is not None
    return jnp.sinc(omega * period / (2 * jnp.pi))[:, None] + 0j
