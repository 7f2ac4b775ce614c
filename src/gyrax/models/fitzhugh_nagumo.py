"""The FitzHugh-Nagumo model of excitability."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class FitzHughNagumo(AbstractModel):
    r"""Excitable oscillator of FitzHugh (1961), "Impulses and physiological states in theoretical models of nerve membrane",
    Biophys. J. 1(6), and Nagumo et al. (1962), "An active pulse transmission line simulating nerve axon", Proc. IRE 50(10).

    $$\dot v = -\alpha v^3 + \beta v^2 + \gamma v - w + I + c_v, \quad \dot w = (v + a - b w)/\tau + c_w$$

    States: `v`, the membrane potential, and `w`, recovery, without units, with one input each. Time is arbitrary: 1 unit is
    taken as 1 ms. Defaults are FitzHugh's a = 0.7, b = 0.8, c = 3, in today's signs: his x is -v, his y is w, his z is -I,
    and one of our ms is a c-th of his time, which makes $\tau = c^2 = 9$ (12.5 in much later work). With I = 0 there is
    rest at v = -1.199, w = -0.624, where a run starts; between I = 0.35 and I = 1.40 rest is unstable and it oscillates.

    The cubic is free, so that neurolib's form is a matter of parameters: its delta is -a, its epsilon b, its `x_ext` I, and
    its defaults are those of the example.

    Example:
        >>> neurolib = FitzHughNagumo(alpha=3.0, beta=4.0, gamma=-1.5, a=0.0, b=0.5, tau=20.0, I=1.0)
        >>> neurolib.drift(0.0, jnp.ones((2, 1)), jnp.zeros((2, 1))).shape
        (2, 1)
    """

    states: ClassVar = ("v", "w")
    inputs: ClassVar = ("c_v", "c_w")
    reference: ClassVar = "FitzHugh (1961), doi:10.1016/S0006-3495(61)86902-6"
    peers: ClassVar = {"neurolib": "FHNModel"}

    alpha: Parameter = parameter(1 / 3, domain=Positive(), unit="1/ms", doc="cubic term")
    beta: Parameter = parameter(0.0, domain=Real(), unit="1/ms", doc="quadratic term")
    gamma: Parameter = parameter(1.0, domain=Real(), unit="1/ms", doc="linear term")
    a: Parameter = parameter(0.7, domain=Real(), doc="shift of the recovery's nullcline")
    b: Parameter = parameter(0.8, domain=Positive(), doc="decay of the recovery")
    tau: Parameter = parameter(9.0, domain=Positive(), unit="ms", doc="time constant of the recovery")
    I: Parameter = parameter(0.0, domain=Real(), unit="1/ms", doc="external current")

    def drift(self, t, y: State, u: Inputs) -> State:
        v, w = y
        cubic = v * (self.gamma + v * (self.beta - self.alpha * v))
        return jnp.stack([cubic - w + self.I + u[0], (v + self.a - self.b * w) / self.tau + u[1]])

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[-1.1994], [-0.6243]]), n)
