"""A cortical column with an inhibitory population that inhibits itself."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel
from .responses import firing_rate, synapse


class ZetterbergJansen(AbstractModel):
    r"""Spiny stellate cells, pyramidal cells and inhibitory interneurons, each with an input of its own, and inhibition of
    inhibition: Zetterberg, Kristiansson & Mossberg (1978), "Performance of a model for a local neuron population", Biol.
    Cybern. 31, with the synapses and values of Jansen & Rit (1995), as The Virtual Brain puts them together.

    $$\ddot v_1 = H_e \kappa_e \big(\gamma_1 S(v_2 - v_3) + \gamma_{1T} (U + S(c))\big) - 2 \kappa_e \dot v_1 - \kappa_e^2 v_1$$

    $$\ddot v_2 = H_e \kappa_e \big(\gamma_2 S(v_1) + \gamma_{2T} (P + S(c))\big) - 2 \kappa_e \dot v_2 - \kappa_e^2 v_2$$

    $$\ddot v_3 = H_i \kappa_i \gamma_4 S(v_4 - v_5) - 2 \kappa_i \dot v_3 - \kappa_i^2 v_3$$

    $$\ddot v_4 = H_e \kappa_e \big(\gamma_3 S(v_2 - v_3) + \gamma_{3T} (Q + S(c))\big) - 2 \kappa_e \dot v_4 - \kappa_e^2 v_4$$

    $$\ddot v_5 = H_i \kappa_i \gamma_5 S(v_4 - v_5) - 2 \kappa_i \dot v_5 - \kappa_i^2 v_5$$

    $$\dot v_6 = \dot v_2 - \dot v_3, \quad \dot v_7 = \dot v_4 - \dot v_5, \quad
    S(v) = \frac{2 e_0}{1 + e^{\rho_1 (\rho_2 - v)}}$$

    States are potentials in mV: v1 of the stellate cells, v2 and v3 the excitatory and inhibitory ones of the pyramidal
    cells, v4 and v5 those of the interneurons, and y1 to y5 (mV/ms) their derivatives. v6 and v7 follow the net potentials
    of pyramidal cells and interneurons from where they start, so that a coupling can send v6; `psp` = v2 - v3 is the net
    potential itself. Input `c` is a potential in mV, the weighted sum of other regions' v6, and the same sigmoid turns it
    into a rate: even without other regions S(0) stays.

    The Virtual Brain's restoring term of v5 has kappa_e in place of kappa_i; here every inhibitory synapse has kappa_i.

    Example:
        >>> model = ZetterbergJansen(P=0.15)
        >>> model.read(("v6", "psp"), model.start(84)).shape
        (2, 84)
    """

    reference: ClassVar = "Zetterberg, Kristiansson & Mossberg (1978), Biol. Cybern. 31:15-26"
    peers: ClassVar = {"tvb": "ZetterbergJansen"}
    states: ClassVar = ("v1", "y1", "v2", "y2", "v3", "y3", "v4", "y4", "v5", "y5", "v6", "v7")
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("psp",)

    He: Parameter = parameter(3.25, domain=Positive(), unit="mV", doc="excitatory postsynaptic amplitude")
    Hi: Parameter = parameter(22.0, domain=Positive(), unit="mV", doc="inhibitory postsynaptic amplitude")
    ke: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="excitatory rate constant")
    ki: Parameter = parameter(0.05, domain=Positive(), unit="1/ms", doc="inhibitory rate constant")
    e0: Parameter = parameter(0.0025, domain=Positive(), unit="1/ms", doc="half of the maximal rate")
    rho_2: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="potential at half of the maximal rate")
    rho_1: Parameter = parameter(0.56, domain=Positive(), unit="1/mV", doc="steepness of the sigmoid")
    gamma_1: Parameter = parameter(135.0, domain=Positive(), doc="synapses, pyramidal to stellate")
    gamma_2: Parameter = parameter(108.0, domain=Positive(), doc="synapses, stellate to pyramidal")
    gamma_3: Parameter = parameter(33.75, domain=Positive(), doc="synapses, pyramidal to interneurons")
    gamma_4: Parameter = parameter(33.75, domain=Positive(), doc="synapses, interneurons to pyramidal")
    gamma_5: Parameter = parameter(15.0, domain=Positive(), doc="synapses, interneurons to interneurons")
    gamma_1T: Parameter = parameter(1.0, domain=Positive(), doc="weight of what reaches stellate cells from outside")
    gamma_2T: Parameter = parameter(1.0, domain=Positive(), doc="weight of what reaches pyramidal cells from outside")
    gamma_3T: Parameter = parameter(1.0, domain=Positive(), doc="weight of what reaches interneurons from outside")
    P: Parameter = parameter(0.12, domain=Positive(), unit="1/ms", doc="input rate of pyramidal cells")
    U: Parameter = parameter(0.12, domain=Positive(), unit="1/ms", doc="input rate of stellate cells")
    Q: Parameter = parameter(0.12, domain=Positive(), unit="1/ms", doc="input rate of interneurons")

    def drift(self, t, y: State, u: Inputs) -> State:
        v1, y1, v2, y2, v3, y3, v4, y4, v5, y5, _, _ = y
        pyramidal, interneurons, far = self.rate(v2 - v3), self.rate(v4 - v5), self.rate(u[0])
        to_stellate = self.gamma_1 * pyramidal + self.gamma_1T * (self.U + far)
        to_pyramidal = self.gamma_2 * self.rate(v1) + self.gamma_2T * (self.P + far)
        to_interneurons = self.gamma_3 * pyramidal + self.gamma_3T * (self.Q + far)
        return jnp.stack(
            [
                y1,
                synapse(to_stellate, v1, y1, self.He, self.ke),
                y2,
                synapse(to_pyramidal, v2, y2, self.He, self.ke),
                y3,
                synapse(self.gamma_4 * interneurons, v3, y3, self.Hi, self.ki),
                y4,
                synapse(to_interneurons, v4, y4, self.He, self.ke),
                y5,
                synapse(self.gamma_5 * interneurons, v5, y5, self.Hi, self.ki),
                y2 - y3,
                y4 - y5,
            ]
        )

    def rate(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate S (1/ms) at the potential v (mV)."""
        return firing_rate(v, self.e0, self.rho_2, self.rho_1)

    def psp(self, y: State) -> Float[Array, " node"]:
        """Net postsynaptic potential of the pyramidal cells, mV."""
        return y[2] - y[4]
