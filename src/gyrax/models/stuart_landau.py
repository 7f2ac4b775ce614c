"""The Stuart-Landau oscillator, whose frequency depends on its amplitude."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class StuartLandau(AbstractModel):
    r"""Amplitude equation beside a Hopf bifurcation, Stuart (1960), "On the non-linear mechanics of wave disturbances in
    stable and unstable parallel flows. Part 1", J. Fluid Mech. 9(3), of an oscillator with shear (non-isochronicity).

    $$\dot z = (a + i \omega)\,z - (1 + i \gamma)\,|z|^2 z + c, \quad z = x + i y$$

    States `x` and `y` are the real and the imaginary part, with one input each; outputs are the `amplitude` |z| and the
    `phase` in rad, between -pi and pi. Above a = 0 it oscillates with the amplitude sqrt(a) at the angular frequency
    $\omega - \gamma a$: what changes the amplitude changes the frequency, by which a network can desynchronise. Without shear
    ($\gamma = 0$) it is `Hopf`. The cubic term is scaled to 1. Defaults are ours: 10 Hz near rest.

    Example:
        >>> model = StuartLandau(a=0.04, gamma=0.5)
        >>> model.read(("amplitude",), jnp.array([[3.0], [4.0]])).tolist()
        [[5.0]]
    """

    states: ClassVar = ("x", "y")
    inputs: ClassVar = ("c_x", "c_y")
    outputs: ClassVar = ("amplitude", "phase")
    reference: ClassVar = "Stuart (1960), doi:10.1017/S002211206000116X"

    a: Parameter = parameter(0.02, domain=Real(), unit="1/ms", doc="bifurcation parameter")
    omega: Parameter = parameter(2 * jnp.pi * 0.01, domain=Positive(), unit="rad/ms", doc="angular frequency near rest")
    gamma: Parameter = parameter(1.0, domain=Real(), doc="shear: loss of frequency with squared amplitude")

    def drift(self, t, y: State, u: Inputs) -> State:
        p, q = y
        square = p**2 + q**2
        growth, turn = self.a - square, self.omega - self.gamma * square
        return jnp.stack([growth * p - turn * q + u[0], growth * q + turn * p + u[1]])

    def amplitude(self, y: State) -> Float[Array, " node"]:
        """Distance from rest."""
        square = y[0] ** 2 + y[1] ** 2
        # at rest the root has no slope
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def phase(self, y: State) -> Float[Array, " node"]:
        """Angle in rad, 0 at rest."""
        rest = (y[0] == 0) & (y[1] == 0)
        return jnp.arctan2(y[1], jnp.where(rest, 1.0, y[0]))

    def start(self, n: int) -> State:
        return jnp.full((2, n), 0.1)
