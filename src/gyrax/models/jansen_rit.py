"""The Jansen-Rit cortical column."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel
from .responses import firing_rate, synapse


class JansenRit(AbstractModel):
    r"""Pyramidal cells with an excitatory and an inhibitory loop, Jansen & Rit (1995), "Electroencephalogram and visual
    evoked potential generation in a mathematical model of coupled cortical columns", Biol. Cybern. 73, equation 6.

    States y0, y1, y2 are postsynaptic potentials (mV) and y3, y4, y5 their derivatives; `psp` = y1 - y2 is what an
    electrode sees. Input `c` is a firing rate (1/ms) that adds to `mu`. Symbols are The Virtual Brain's: J is the paper's
    C, a_i J its C_i, nu_max its e_0, mu the mean of its p(t). Values are the paper's: v0 = 6 mV (The Virtual Brain: 5.52).

    Example:
        >>> model = JansenRit(mu=0.15)
        >>> model.read(("y0", "psp"), model.start(84)).shape
        (2, 84)
    """

    reference: ClassVar = "Jansen & Rit (1995), doi:10.1007/BF00199471"
    peers: ClassVar = {"tvb": "JansenRit", "tvboptim": "JansenRit", "cubnm": "JR"}
    states: ClassVar = ("y0", "y1", "y2", "y3", "y4", "y5")
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("psp",)

    A: Parameter = parameter(3.25, domain=Positive(), unit="mV", doc="excitatory postsynaptic amplitude")
    B: Parameter = parameter(22.0, domain=Positive(), unit="mV", doc="inhibitory postsynaptic amplitude")
    a: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="excitatory rate constant")
    b: Parameter = parameter(0.05, domain=Positive(), unit="1/ms", doc="inhibitory rate constant")
    v0: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="potential at half of the maximal rate")
    nu_max: Parameter = parameter(0.0025, domain=Positive(), unit="1/ms", doc="half of the maximal rate")
    r: Parameter = parameter(0.56, domain=Positive(), unit="1/mV", doc="steepness of the sigmoid")
    J: Parameter = parameter(135.0, domain=Positive(), doc="average number of synapses")
    a_1: Parameter = parameter(1.0, domain=Positive(), doc="pyramidal to excitatory, in units of J")
    a_2: Parameter = parameter(0.8, domain=Positive(), doc="excitatory to pyramidal")
    a_3: Parameter = parameter(0.25, domain=Positive(), doc="pyramidal to inhibitory")
    a_4: Parameter = parameter(0.25, domain=Positive(), doc="inhibitory to pyramidal")
    mu: Parameter = parameter(0.22, domain=Positive(), unit="1/ms", doc="mean input rate")

    def drift(self, t, y: State, u: Inputs) -> State:
        y0, y1, y2, y3, y4, y5 = y
        excitation = self.mu + self.a_2 * self.J * self.rate(self.a_1 * self.J * y0) + u[0]
        inhibition = self.a_4 * self.J * self.rate(self.a_3 * self.J * y0)
        return jnp.stack(
            [
                y3,
                y4,
                y5,
                synapse(self.rate(y1 - y2), y0, y3, self.A, self.a),
                synapse(excitation, y1, y4, self.A, self.a),
                synapse(inhibition, y2, y5, self.B, self.b),
            ]
        )

    def rate(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate (1/ms) at the potential v (mV)."""
        return firing_rate(v, self.nu_max, self.v0, self.r)

    def psp(self, y: State) -> Float[Array, " node"]:
        """Net postsynaptic potential of the pyramidal cells, mV."""
        return y[1] - y[2]
