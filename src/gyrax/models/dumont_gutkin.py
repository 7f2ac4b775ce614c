"""Excitatory and inhibitory quadratic integrate-and-fire neurons with exponential synapses."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .montbrio_pazo_roxin import lorentzian_neurons


class DumontGutkin(AbstractModel):
    r"""Mean field of an excitatory and an inhibitory population of quadratic integrate-and-fire neurons, Dumont & Gutkin (2019),
    "Macroscopic phase resetting-curves determine oscillatory coherence and signal transfer in inter-coupled neural
    circuits", PLoS Comput. Biol. 15(5), e1007019.

    For each population p of e and i:

    $$\tau_p \dot r_p = \frac{\Delta_p}{\pi \tau_p} + 2 r_p V_p, \quad
    \tau_p \dot V_p = V_p^2 - (\pi \tau_p r_p)^2 + \eta_p + I_p + \tau_p s_{pe} - \tau_p s_{pi}$$

    $$\tau_s \dot s_{pe} = -s_{pe} + J_{pe} r_e + G_p c, \quad \tau_s \dot s_{pi} = -s_{pi} + J_{pi} r_i, \quad
    G_e = 1, \; G_i = \Gamma$$

    States are firing rates `r_e`, `r_i` (1/ms, never negative), mean membrane potentials `V_e`, `V_i`, and synaptic variables
    `s_xy` from population y to x (1/ms). One input `c`, the weighted sum of other regions' r_e, reaches the excitatory
    synapses of both populations, those of inhibitory cells Gamma times as strongly. Defaults are those of The Virtual Brain.

    Example:
        >>> model = DumontGutkin(J_ee=8.0, J_ie=10.0)
        >>> model.drift(0.0, model.start(84), jnp.zeros((1, 84))).shape
        (8, 84)
    """

    reference: ClassVar = "Dumont & Gutkin (2019), doi:10.1371/journal.pcbi.1007019"
    peers: ClassVar = {"tvb": "DumontGutkin"}
    states: ClassVar = ("r_e", "V_e", "s_ee", "s_ei", "r_i", "V_i", "s_ie", "s_ii")
    inputs: ClassVar = ("c",)
    limits: ClassVar = {"r_e": (0.0, None), "r_i": (0.0, None)}

    I_e: Parameter = parameter(0.0, domain=Real(), doc="external current to excitation")
    Delta_e: Parameter = parameter(1.0, domain=Positive(), doc="half-width of excitation's excitabilities")
    eta_e: Parameter = parameter(-5.0, domain=Real(), doc="centre of excitation's excitabilities")
    tau_e: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="membrane time constant of excitation")
    I_i: Parameter = parameter(0.0, domain=Real(), doc="external current to inhibition")
    Delta_i: Parameter = parameter(1.0, domain=Positive(), doc="half-width of inhibition's excitabilities")
    eta_i: Parameter = parameter(-5.0, domain=Real(), doc="centre of inhibition's excitabilities")
    tau_i: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="membrane time constant of inhibition")
    tau_s: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="synaptic time constant")
    J_ee: Parameter = parameter(0.0, domain=Real(), doc="synaptic weight, excitatory to excitatory")
    J_ei: Parameter = parameter(10.0, domain=Real(), doc="synaptic weight, inhibitory to excitatory")
    J_ie: Parameter = parameter(0.0, domain=Real(), doc="synaptic weight, excitatory to inhibitory")
    J_ii: Parameter = parameter(15.0, domain=Real(), doc="synaptic weight, inhibitory to inhibitory")
    Gamma: Parameter = parameter(5.0, domain=Positive(), doc="input to inhibition over input to excitation")

    def drift(self, t, y: State, u: Inputs) -> State:
        r_e, V_e, s_ee, s_ei, r_i, V_i, s_ie, s_ii = y
        current_e = self.eta_e + self.I_e + self.tau_e * (s_ee - s_ei)
        current_i = self.eta_i + self.I_i + self.tau_i * (s_ie - s_ii)
        dr_e, dV_e = lorentzian_neurons(r_e, V_e, current_e, self.Delta_e, self.tau_e)
        dr_i, dV_i = lorentzian_neurons(r_i, V_i, current_i, self.Delta_i, self.tau_i)
        ds_ee = (self.J_ee * r_e + u[0] - s_ee) / self.tau_s
        ds_ei = (self.J_ei * r_i - s_ei) / self.tau_s
        ds_ie = (self.J_ie * r_e + self.Gamma * u[0] - s_ie) / self.tau_s
        ds_ii = (self.J_ii * r_i - s_ii) / self.tau_s
        return jnp.stack([dr_e, dV_e, ds_ee, ds_ei, dr_i, dV_i, ds_ie, ds_ii])

    def start(self, n: int) -> State:
        population = [[0.01], [-1.5], [0.0], [0.0]]
        return jnp.tile(jnp.array(population * 2), n)
