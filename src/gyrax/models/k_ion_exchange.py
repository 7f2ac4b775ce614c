"""Hodgkin-Huxley neurons that exchange potassium with a bath, as one population."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Below, Positive, Real
from .base import AbstractModel

#: RT/F in mV, as in the paper's Nernst potentials.
THERMAL = 26.64
#: Least concentration in mM of which a logarithm is taken.
LEAST = 1e-3


class KIonEx(AbstractModel):
    r"""Mean field of neurons in a potassium bath, Bandyopadhyay et al. (2021), "Mean-field approximation of network of
    biophysical neurons driven by conductance-based ion exchange", bioRxiv.

    $$\dot x = \Delta + 2 R_\pm (V - c_\pm) x - J r x, \quad
    \dot V = -\frac{I_{Na} + I_K + I_{Cl} + I_{pump}}{C_m} - R_\pm x^2 + \eta
    + \left(J r + \frac{R_-}{\pi} c\right) (E - V)$$

    $$\dot n = \frac{n_\infty(V) - n}{\tau_n}, \quad \dot{\Delta K_i} = -\frac{\gamma}{w_i} (I_K - 2 I_{pump}), \quad
    \dot K_g = \epsilon\,(K_{bath} - K_o), \quad r = \frac{R_-}{\pi} x$$

    $$I_K = (g_{Kl} + g_K n)\left(V - 26.64 \ln \frac{K_o}{K_i}\right), \quad
    I_{Na} = (g_{Nal} + g_{Na} m_\infty(V) h(n))\left(V - 26.64 \ln \frac{Na_o}{Na_i}\right)$$

    $$I_{Cl} = g_{Cl}\left(V + 26.64 \ln \frac{Cl_{o0}}{Cl_{i0}}\right), \quad
    I_{pump} = \rho\,\sigma\!\left(\frac{Na_i - 21}{2}\right) \sigma(K_o - 5.5)$$

    $$m_\infty = \sigma\!\left(\frac{V + 24}{12}\right), \quad n_\infty = \sigma\!\left(\frac{V + 19}{18}\right), \quad
    h = 1.1 - \sigma(8 (n - 0.4))$$

    $$K_i = K_{i0} + \Delta K_i, \quad K_o = K_{o0} - \frac{w_i}{w_o} \Delta K_i + K_g, \quad
    Na_i = Na_{i0} - \Delta K_i, \quad Na_o = Na_{o0} + \frac{w_i}{w_o} \Delta K_i$$

    with the logistic $\sigma$, and the left parabola ($R_-, c_-$) for $V \le V^*$, the right one ($R_+, c_+$) above. States:
    x (mV), the width of the distribution of potentials, from which the firing rate r follows; V (mV), the mean potential; n,
    the open fraction of potassium gates; DKi (mM), the change of intracellular potassium; Kg (mM), potassium from the
    bath. Outputs `rate` = r (1/ms) and `K_o`, extracellular potassium (mM). Input `c` is a weighted sum of other regions' x.

    Names and defaults are The Virtual Brain's, time is in ms. Its equation of V lacks the population's own synaptic current
    J r (E - V), which is in the paper and here. It names nF for the capacitance: with nS and ms the numbers are pF. The
    system leaves the concentrations free to become negative; their logarithms are then taken at 0.001 mM, so that drift and
    gradients stay finite where The Virtual Brain's are not a number. V settles within 0.03 ms, so explicit solvers need
    steps of 0.02 ms.

    Example:
        >>> model = KIonEx(K_bath=15.5)
        >>> model.read(("V", "K_o"), model.start(84)).shape
        (2, 84)
    """

    states: ClassVar = ("x", "V", "n", "DKi", "Kg")
    inputs: ClassVar = ("c",)
    outputs: ClassVar = ("rate", "K_o")
    limits: ClassVar = {
        "x": (0.0, None),
        "V": (-500.0, None),
        "n": (0.0, None),
        "DKi": (-100.0, None),
        "Kg": (-100.0, None),
    }
    reference: ClassVar = "Bandyopadhyay et al. (2021), doi:10.1101/2021.10.29.466427"
    peers: ClassVar = {"tvb": "KIonEx"}

    E: Parameter = parameter(0.0, domain=Real(scale=10.0), unit="mV", doc="reversal potential of synapses")
    K_bath: Parameter = parameter(5.5, domain=Positive(), unit="mM", doc="potassium of the bath")
    J: Parameter = parameter(0.1, domain=Positive(), doc="mean synaptic weight within the population")
    eta: Parameter = parameter(0.0, domain=Real(), unit="mV/ms", doc="mean of the neurons' excitabilities")
    Delta: Parameter = parameter(1.0, domain=Positive(), unit="mV/ms", doc="half width of the neurons' excitabilities")
    c_minus: Parameter = parameter(-40.0, domain=Real(), unit="mV", doc="vertex of the left parabola")
    R_minus: Parameter = parameter(0.5, domain=Positive(), unit="1/(mV ms)", doc="curvature of the left parabola")
    c_plus: Parameter = parameter(-20.0, domain=Real(), unit="mV", doc="vertex of the right parabola")
    R_plus: Parameter = parameter(-0.5, domain=Below(0.0), unit="1/(mV ms)", doc="curvature of the right parabola")
    Vstar: Parameter = parameter(-31.0, domain=Real(), unit="mV", doc="where the parabolas meet")
    Cm: Parameter = parameter(1.0, domain=Positive(), unit="pF", doc="membrane capacitance")
    tau_n: Parameter = parameter(4.0, domain=Positive(), unit="ms", doc="time constant of potassium gates")
    gamma: Parameter = parameter(0.04, domain=Positive(), unit="mmol/C", doc="from charge to amount of ions")
    epsilon: Parameter = parameter(0.001, domain=Positive(), unit="1/ms", doc="rate of diffusion from the bath")
    g_Cl: Parameter = parameter(7.5, domain=Positive(), unit="nS", doc="chloride conductance")
    g_Na: Parameter = parameter(40.0, domain=Positive(), unit="nS", doc="maximal sodium conductance")
    g_K: Parameter = parameter(22.0, domain=Positive(), unit="nS", doc="maximal potassium conductance")
    g_Nal: Parameter = parameter(0.02, domain=Positive(), unit="nS", doc="sodium leak conductance")
    g_Kl: Parameter = parameter(0.12, domain=Positive(), unit="nS", doc="potassium leak conductance")
    rho: Parameter = parameter(250.0, domain=Positive(), unit="pA", doc="maximal current of the Na/K pump")
    w_i: Parameter = parameter(2160.0, domain=Positive(), unit="um^3", doc="intracellular volume")
    w_o: Parameter = parameter(720.0, domain=Positive(), unit="um^3", doc="extracellular volume")
    Na_i0: Parameter = parameter(16.0, domain=Positive(), unit="mM", doc="initial intracellular sodium")
    Na_o0: Parameter = parameter(138.0, domain=Positive(), unit="mM", doc="initial extracellular sodium")
    K_i0: Parameter = parameter(130.0, domain=Positive(), unit="mM", doc="initial intracellular potassium")
    K_o0: Parameter = parameter(4.8, domain=Positive(), unit="mM", doc="initial extracellular potassium")
    Cl_i0: Parameter = parameter(5.0, domain=Positive(), unit="mM", doc="intracellular chloride")
    Cl_o0: Parameter = parameter(112.0, domain=Positive(), unit="mM", doc="extracellular chloride")

    def drift(self, t, y: State, u: Inputs) -> State:
        (x, V, n, DKi, _), (c,) = y, u
        left = self.Vstar >= V
        R = jnp.where(left, self.R_minus, self.R_plus)
        vertex = jnp.where(left, self.c_minus, self.c_plus)
        K_o, r = self.K_o(y), self.rate(y)
        I_K = (self.g_Kl + self.g_K * n) * (V - nernst(K_o, self.K_i0 + DKi))
        Na_i, Na_o = self.Na_i0 - DKi, self.Na_o0 + self.w_i / self.w_o * DKi
        h = 1.1 - jax.nn.sigmoid(8 * (n - 0.4))
        I_Na = (self.g_Nal + self.g_Na * jax.nn.sigmoid((V + 24) / 12) * h) * (V - nernst(Na_o, Na_i))
        I_Cl = self.g_Cl * (V + nernst(self.Cl_o0, self.Cl_i0))
        I_pump = self.rho * jax.nn.sigmoid((Na_i - 21) / 2) * jax.nn.sigmoid(K_o - 5.5)
        synapses = (self.J * r + self.R_minus / jnp.pi * c) * (self.E - V)
        return jnp.stack(
            [
                self.Delta + 2 * R * (V - vertex) * x - self.J * r * x,
                -(I_Na + I_K + I_Cl + I_pump) / self.Cm - R * x**2 + self.eta + synapses,
                (jax.nn.sigmoid((V + 19) / 18) - n) / self.tau_n,
                -self.gamma / self.w_i * (I_K - 2 * I_pump),
                self.epsilon * (self.K_bath - K_o),
            ]
        )

    def rate(self, y: State) -> Float[Array, " node"]:
        """Mean firing rate r in 1/ms."""
        return self.R_minus / jnp.pi * y[0]

    def K_o(self, y: State) -> Float[Array, " node"]:
        """Extracellular potassium in mM."""
        return self.K_o0 - self.w_i / self.w_o * y[3] + y[4]

    def start(self, n: int) -> State:
        """Close to rest in a bath of 5.5 mM."""
        return jnp.tile(jnp.array([0.03, -75.0, 0.04, -0.5, -2.0])[:, None], n)


def nernst(outside: Float[Array, "..."], inside: Float[Array, "..."]) -> Float[Array, "..."]:
    """Nernst potential in mV of a cation, with concentrations in mM of at least `LEAST`."""
    return THERMAL * (jnp.log(jnp.maximum(outside, LEAST)) - jnp.log(jnp.maximum(inside, LEAST)))
