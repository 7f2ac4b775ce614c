"""The Wendling column: Jansen-Rit with slow and fast inhibition."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel
from .responses import firing_rate, synapse


class Wendling(AbstractModel):
    r"""Jansen-Rit with fast somatic inhibition beside the slow dendritic one, which inhibits it: Wendling, Bartolomei,
    Bellanger & Chauvel (2002), "Epileptic fast activity can be explained by a model of impaired GABAergic dendritic
    inhibition", Eur. J. Neurosci. 15.

    $$\ddot y_0 = A a S(y_1 - y_2 - y_3) - 2 a \dot y_0 - a^2 y_0$$

    $$\ddot y_1 = A a \big(\mu + c + C_2 S(C_1 y_0)\big) - 2 a \dot y_1 - a^2 y_1$$

    $$\ddot y_2 = B b\, C_4 S(C_3 y_0) - 2 b \dot y_2 - b^2 y_2$$

    $$\ddot y_3 = G g\, C_7 S(C_5 y_0 - C_6 y_4) - 2 g \dot y_3 - g^2 y_3$$

    $$\ddot y_4 = B b\, S(C_3 y_0) - 2 b \dot y_4 - b^2 y_4, \quad S(v) = \frac{2 e_0}{1 + e^{r (v_0 - v)}}$$

    States y0 to y4 are postsynaptic potentials (mV): of what pyramidal cells send, of excitation, slow and fast inhibition
    on pyramidal cells, and of slow inhibition on fast interneurons; y5 to y9 are their derivatives. `psp` = y1 - y2 - y3 is
    what an electrode sees. Input `c` is a firing rate (1/ms) that adds to `mu`, the mean of the paper's p(t), whose
    standard deviation is 30 pulses/s. Values are the paper's standard ones. Activity types come from A, B, G: 5, 50, 15
    background; 5, 40, 15 sporadic and 5, 25, 15 sustained spikes; 5, 10, 15 slow rhythm; 5, 5, 25 low-voltage fast
    activity; 5, 15, 0 quasi-sinusoidal activity. Background, sporadic spikes, slow rhythm and fast activity need the
    noise. The fast synapse has a time constant of 2 ms: take steps well below it.

    Example:
        >>> model = Wendling(A=5.0, B=[50.0, 25.0], G=15.0)
        >>> model.read(("psp",), model.start(2)).shape
        (1, 2)
    """

    reference: ClassVar = "Wendling et al. (2002), doi:10.1046/j.1460-9568.2002.01985.x"
    states: ClassVar = ("y0", "y1", "y2", "y3", "y4", "y5", "y6", "y7", "y8", "y9")
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("psp",)

    A: Parameter = parameter(3.25, domain=Positive(), unit="mV", doc="excitatory postsynaptic amplitude")
    B: Parameter = parameter(22.0, domain=Positive(), unit="mV", doc="slow inhibitory postsynaptic amplitude")
    G: Parameter = parameter(10.0, domain=Positive(), unit="mV", doc="fast inhibitory postsynaptic amplitude")
    a: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="excitatory rate constant")
    b: Parameter = parameter(0.05, domain=Positive(), unit="1/ms", doc="slow inhibitory rate constant")
    g: Parameter = parameter(0.5, domain=Positive(), unit="1/ms", doc="fast inhibitory rate constant")
    C1: Parameter = parameter(135.0, domain=Positive(), doc="synapses, pyramidal to excitatory")
    C2: Parameter = parameter(108.0, domain=Positive(), doc="synapses, excitatory to pyramidal")
    C3: Parameter = parameter(33.75, domain=Positive(), doc="synapses, pyramidal to slow inhibitory")
    C4: Parameter = parameter(33.75, domain=Positive(), doc="synapses, slow inhibitory to pyramidal")
    C5: Parameter = parameter(40.5, domain=Positive(), doc="synapses, pyramidal to fast inhibitory")
    C6: Parameter = parameter(13.5, domain=Positive(), doc="synapses, slow to fast inhibitory")
    C7: Parameter = parameter(108.0, domain=Positive(), doc="synapses, fast inhibitory to pyramidal")
    v0: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="potential at half of the maximal rate")
    e0: Parameter = parameter(0.0025, domain=Positive(), unit="1/ms", doc="half of the maximal rate")
    r: Parameter = parameter(0.56, domain=Positive(), unit="1/mV", doc="steepness of the sigmoid")
    mu: Parameter = parameter(0.09, domain=Positive(), unit="1/ms", doc="mean input rate")

    def drift(self, t, y: State, u: Inputs) -> State:
        y0, y1, y2, y3, y4, *derivatives = y
        y5, y6, y7, y8, y9 = derivatives
        excitation = self.mu + u[0] + self.C2 * self.rate(self.C1 * y0)
        slow = self.rate(self.C3 * y0)
        fast = self.rate(self.C5 * y0 - self.C6 * y4)
        return jnp.stack(
            [
                *derivatives,
                synapse(self.rate(y1 - y2 - y3), y0, y5, self.A, self.a),
                synapse(excitation, y1, y6, self.A, self.a),
                synapse(self.C4 * slow, y2, y7, self.B, self.b),
                synapse(self.C7 * fast, y3, y8, self.G, self.g),
                synapse(slow, y4, y9, self.B, self.b),
            ]
        )

    def rate(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate S (1/ms) at the potential v (mV)."""
        return firing_rate(v, self.e0, self.v0, self.r)

    def psp(self, y: State) -> Float[Array, " node"]:
        """Net postsynaptic potential of the pyramidal cells, mV."""
        return y[1] - y[2] - y[3]
