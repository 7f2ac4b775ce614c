"""The Kuramoto phase oscillator."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel


class Kuramoto(AbstractModel):
    r"""Phase oscillator of Kuramoto (1975), "Self-entrainment of a population of coupled non-linear oscillators", Lecture
    Notes in Physics 39.

    $$\dot \theta = \omega + c$$

    One state, the phase `theta` in rad, which grows without bound: what is periodic are the outputs `sin` and `cos` of it,
    the signals that monitors read. Input `c` is in rad/ms; `gx.couplings.Kuramoto` makes it the weighted sum of
    sin(theta_j - theta_i). The default frequency is The Virtual Brain's. Every region starts at phase 0: to see
    synchrony arise, give `simulate` a start with other phases.

    Example:
        >>> alpha = Kuramoto(omega=2 * jnp.pi * 0.01)
        >>> alpha.read(("cos",), jnp.array([[0.0, jnp.pi]])).tolist()
        [[1.0, -1.0]]
    """

    states: ClassVar = ("theta",)
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("sin", "cos")
    reference: ClassVar = "Kuramoto (1975), doi:10.1007/BFb0013365"
    peers: ClassVar = {"tvb": "Kuramoto", "tvboptim": "Kuramoto", "cubnm": "Kuramoto"}

    omega: Parameter = parameter(1.0, domain=Positive(), unit="rad/ms", doc="natural angular frequency")

    def drift(self, t, y: State, u: Inputs) -> State:
        return self.omega + u

    def sin(self, y: State) -> Float[Array, " node"]:
        """Sine of the phase."""
        return jnp.sin(y[0])

    def cos(self, y: State) -> Float[Array, " node"]:
        """Cosine of the phase."""
        return jnp.cos(y[0])
