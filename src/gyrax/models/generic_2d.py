"""The generic two-dimensional oscillator of The Virtual Brain."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class Generic2dOscillator(AbstractModel):
    r"""Planar oscillator with a cubic and a quadratic nullcline, Sanz-Leon et al. (2015), "Mathematical framework for
    large-scale brain network modeling in The Virtual Brain", NeuroImage 111.

    $$\dot V = d\,\tau\,(-f V^3 + e V^2 + g V + \alpha W + \gamma I + \gamma c), \quad
    \dot W = \frac{d}{\tau}\,(c_2 V^2 + b V - \beta W + a)$$

    with $c_2$ the parameter `c` and $c$ the input of that name. States: `V`, fast, stands for a potential or a rate, and
    `W` for its slow recovery; both without a unit. By its parameters it is excitable, bistable or oscillating, with FitzHugh
    & Nagumo's and Morris & Lecar's phase planes among them. Time is arbitrary: 1 unit is taken as 1 ms, and `d` sets how
    fast it goes. Defaults are The Virtual Brain's: excitable, with a resting point near V = -0.19.

    Example:
        >>> oscillating = Generic2dOscillator(a=2.0)
        >>> oscillating.drift(0.0, jnp.zeros((2, 84)), jnp.zeros((1, 84))).shape
        (2, 84)
    """

    states: ClassVar = ("V", "W")
    inputs: ClassVar = ("c",)
    reference: ClassVar = "Sanz-Leon et al. (2015), doi:10.1016/j.neuroimage.2015.01.002"
    peers: ClassVar = {"tvb": "Generic2dOscillator", "tvboptim": "Generic2dOscillator"}

    tau: Parameter = parameter(1.0, domain=Positive(), doc="how much faster V is than W, as its square")
    I: Parameter = parameter(0.0, domain=Real(), doc="external input")
    a: Parameter = parameter(-2.0, domain=Real(), doc="constant term of W's nullcline")
    b: Parameter = parameter(-10.0, domain=Real(), doc="linear term of W's nullcline")
    c: Parameter = parameter(0.0, domain=Real(), doc="quadratic term of W's nullcline")
    d: Parameter = parameter(0.02, domain=Positive(), unit="1/ms", doc="rate of both states")
    e: Parameter = parameter(3.0, domain=Real(), doc="quadratic term of V's nullcline")
    f: Parameter = parameter(1.0, domain=Real(), doc="cubic term of V's nullcline")
    g: Parameter = parameter(0.0, domain=Real(), doc="linear term of V's nullcline")
    alpha: Parameter = parameter(1.0, domain=Real(), doc="feedback of W on V")
    beta: Parameter = parameter(1.0, domain=Real(), doc="decay of W")
    gamma: Parameter = parameter(1.0, domain=Real(), doc="gain of the external and the long-range input")

    def drift(self, t, y: State, u: Inputs) -> State:
        V, W = y
        cubic = V * (self.g + V * (self.e - self.f * V))
        quadratic = self.a + V * (self.b + self.c * V)
        dV = self.d * self.tau * (cubic + self.alpha * W + self.gamma * (self.I + u[0]))
        return jnp.stack([dV, self.d / self.tau * (quadratic - self.beta * W)])
