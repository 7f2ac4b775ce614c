"""The van der Pol oscillator, from a sine to relaxation."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel


class VanDerPol(AbstractModel):
    r"""Oscillator of van der Pol (1926), "On relaxation-oscillations", Phil. Mag. 2(11).

    $$\dot x = \omega y, \quad \dot y = \omega\,\big(\epsilon (1 - x^2)\,y - x\big) + c$$

    This is his $\ddot x - \epsilon (1 - x^2)\,\dot x + x = 0$ with time in units of $1/\omega$. States: `x`, and `y`, its
    velocity in those units; `c` drives the velocity. Small epsilon gives a sine of amplitude 2 and angular frequency omega,
    large epsilon jumps between slow drifts (he draws 0.1, 1 and 10). Defaults: epsilon = 1, and 10 Hz for small epsilon.

    Example:
        >>> VanDerPol(epsilon=10.0)
        VanDerPol(epsilon=10, omega=0.06283 rad/ms)
    """

    states: ClassVar = ("x", "y")
    inputs: ClassVar = ("c",)
    reference: ClassVar = "van der Pol (1926), doi:10.1080/14786442608564127"

    epsilon: Parameter = parameter(1.0, domain=Positive(), doc="negative damping near rest")
    omega: Parameter = parameter(2 * jnp.pi * 0.01, domain=Positive(), unit="rad/ms", doc="angular frequency, undamped")

    def drift(self, t, y: State, u: Inputs) -> State:
        x, velocity = y
        force = self.epsilon * (1 - x**2) * velocity - x
        return jnp.stack([self.omega * velocity, self.omega * force + u[0]])

    def start(self, n: int) -> State:
        """The sine's turning point: at rest, which is unstable, nothing would ever move."""
        return jnp.tile(jnp.array([[2.0], [0.0]]), n)
