"""The Larter-Breakspear model: conductances of a cortical column, with chaos."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Interval, Positive, Real
from .base import AbstractModel


class LarterBreakspear(AbstractModel):
    r"""Conductance-based cortical column of Breakspear, Terry & Friston (2003), "Modulation of excitatory synaptic coupling
    facilitates synchronization and complex dynamics in a biophysical model of neuronal dynamics", Network 14(4), after
    Larter, Speelman & Worth (1999), "A coupled ordinary differential equation lattice model for the simulation of
    epileptic seizures", Chaos 9(3).

    $$\dot V / t_s = -(g_{Ca} + r_{NMDA}\,a_{ee} E)\,m_{Ca} (V - V_{Ca}) - g_K W (V - V_K) - g_L (V - V_L)
    - (g_{Na} m_{Na} + a_{ee} E)(V - V_{Na}) - a_{ie} Z Q_Z + a_{ne} I_{ext}$$

    $$\dot W / t_s = \phi\,(m_K - W)/\tau_K, \quad \dot Z / t_s = b\,(a_{ni} I_{ext} + a_{ei} V Q_V), \quad
    E = (1 - C)\,Q_V + C\,c$$

    $$m_k = \tfrac12 \Big(1 + \tanh \frac{V - T_k}{\delta_k}\Big), \quad
    Q_V = \tfrac12 Q_{V,max} \Big(1 + \tanh \frac{V - V_T}{\delta_V}\Big), \quad
    Q_Z = \tfrac12 Q_{Z,max} \Big(1 + \tanh \frac{Z - Z_T}{\delta_Z}\Big)$$

    States: `V` and `Z`, mean potentials of the pyramidal cells and of the inhibitory interneurons, and `W`, the fraction of
    open potassium channels; outputs: the firing rates `Q_V` and `Q_Z`. Input `c` is the mean Q_V of other regions, to which
    `C` gives its share of all excitation: `gx.couplings.Linear(source="Q_V")` over weights whose rows sum to 1. All is
    without units; 1 unit of time is taken as 1 ms. Defaults are The Virtual Brain's.

    Example:
        >>> model = LarterBreakspear(d_V=0.57)
        >>> model.read(("V", "Q_V"), model.start(84)).shape
        (2, 84)
    """

    states: ClassVar = ("V", "W", "Z")
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("Q_V", "Q_Z")
    reference: ClassVar = "Breakspear, Terry & Friston (2003), doi:10.1088/0954-898X_14_4_305"
    peers: ClassVar = {"tvb": "LarterBreakspear", "tvboptim": "LarterBreakspear"}

    gCa: Parameter = parameter(1.1, domain=Positive(), doc="conductance of calcium channels")
    gK: Parameter = parameter(2.0, domain=Positive(), doc="conductance of potassium channels")
    gL: Parameter = parameter(0.5, domain=Positive(), doc="conductance of leak channels")
    gNa: Parameter = parameter(6.7, domain=Positive(), doc="conductance of sodium channels")
    VCa: Parameter = parameter(1.0, domain=Real(), doc="Nernst potential of calcium")
    VK: Parameter = parameter(-0.7, domain=Real(), doc="Nernst potential of potassium")
    VL: Parameter = parameter(-0.5, domain=Real(), doc="Nernst potential of the leak")
    VNa: Parameter = parameter(0.53, domain=Real(), doc="Nernst potential of sodium")
    TCa: Parameter = parameter(-0.01, domain=Real(), doc="threshold of calcium channels")
    TK: Parameter = parameter(0.0, domain=Real(), doc="threshold of potassium channels")
    TNa: Parameter = parameter(0.3, domain=Real(), doc="threshold of sodium channels")
    d_Ca: Parameter = parameter(0.15, domain=Positive(), doc="spread of the calcium threshold")
    d_K: Parameter = parameter(0.3, domain=Positive(), doc="spread of the potassium threshold")
    d_Na: Parameter = parameter(0.15, domain=Positive(), doc="spread of the sodium threshold")
    phi: Parameter = parameter(0.7, domain=Positive(), doc="temperature scaling of potassium channels")
    tau_K: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time constant of potassium channels")
    aee: Parameter = parameter(0.4, domain=Positive(), doc="excitatory to excitatory strength")
    aei: Parameter = parameter(2.0, domain=Positive(), doc="excitatory to inhibitory strength")
    aie: Parameter = parameter(2.0, domain=Positive(), doc="inhibitory to excitatory strength")
    ane: Parameter = parameter(1.0, domain=Positive(), doc="non-specific to excitatory strength")
    ani: Parameter = parameter(0.4, domain=Positive(), doc="non-specific to inhibitory strength")
    rNMDA: Parameter = parameter(0.25, domain=Positive(), doc="ratio of NMDA to AMPA receptors")
    C: Parameter = parameter(0.1, domain=Interval(0.0, 1.0), doc="share of other regions in all excitation")
    Iext: Parameter = parameter(0.3, domain=Real(), doc="subcortical (non-specific) input")
    b: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="rate of the inhibitory population")
    VT: Parameter = parameter(0.0, domain=Real(), doc="mean threshold of excitatory cells")
    d_V: Parameter = parameter(0.65, domain=Positive(), doc="spread of the excitatory threshold")
    QV_max: Parameter = parameter(1.0, domain=Positive(), doc="maximal excitatory firing rate")
    ZT: Parameter = parameter(0.0, domain=Real(), doc="mean threshold of inhibitory cells")
    d_Z: Parameter = parameter(0.7, domain=Positive(), doc="spread of the inhibitory threshold")
    QZ_max: Parameter = parameter(1.0, domain=Positive(), doc="maximal inhibitory firing rate")
    t_scale: Parameter = parameter(1.0, domain=Positive(), doc="units of the paper's time in a ms")

    def drift(self, t, y: State, u: Inputs) -> State:
        V, W, Z = y
        Q_V = self.Q_V(y)
        excitation = self.aee * ((1 - self.C) * Q_V + self.C * u[0])
        calcium = (self.gCa + self.rNMDA * excitation) * share(V, self.TCa, self.d_Ca) * (V - self.VCa)
        potassium = self.gK * W * (V - self.VK)
        sodium = (self.gNa * share(V, self.TNa, self.d_Na) + excitation) * (V - self.VNa)
        leak = self.gL * (V - self.VL)
        synapses = self.ane * self.Iext - self.aie * Z * self.Q_Z(y)
        dW = self.phi * (share(V, self.TK, self.d_K) - W) / self.tau_K
        dZ = self.b * (self.ani * self.Iext + self.aei * V * Q_V)
        return self.t_scale * jnp.stack([synapses - calcium - potassium - sodium - leak, dW, dZ])

    def Q_V(self, y: State) -> Float[Array, " node"]:
        """Firing rate of the pyramidal cells."""
        return self.QV_max * share(y[0], self.VT, self.d_V)

    def Q_Z(self, y: State) -> Float[Array, " node"]:
        """Firing rate of the inhibitory interneurons."""
        return self.QZ_max * share(y[2], self.ZT, self.d_Z)


def share(v: Float[Array, "..."], threshold: Float[Array, "..."], spread: Float[Array, "..."]) -> Float[Array, "..."]:
    """Share of thresholds below v, (1 + tanh((v - threshold) / spread)) / 2.

    Example:
        >>> float(share(jnp.array(0.3), jnp.array(0.3), jnp.array(0.15)))
        0.5
    """
    return jax.nn.sigmoid(2 * (v - threshold) / spread)  # 1 + tanh loses all digits far below
