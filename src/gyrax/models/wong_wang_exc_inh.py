"""The Wong-Wang model of two populations: excitation and inhibition in every region."""

import abc
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .wong_wang import threshold_linear


class _AbstractWongWangExcInh(AbstractModel):
    """Excitation and inhibition, whatever rates their currents make them fire at."""

    states: ClassVar = ("S_e", "S_i")
    inputs: ClassVar = ("c_lre", "c_ffi")
    limits: ClassVar = {"S_e": (0.0, 1.0), "S_i": (0.0, 1.0)}

    J_i: Parameter = parameter(1.0, domain=Positive(), unit="nA", doc="feedback inhibition")
    J_N: Parameter = parameter(0.15, domain=Positive(), unit="nA", doc="excitatory synaptic coupling")
    w_p: Parameter = parameter(1.4, domain=Positive(), doc="local excitatory recurrence w+")
    I_o: Parameter = parameter(0.382, domain=Positive(), unit="nA", doc="external input")
    W_e: Parameter = parameter(1.0, domain=Positive(), doc="share of the external input to excitation")
    W_i: Parameter = parameter(0.7, domain=Positive(), doc="share of the external input to inhibition")
    a_e: Parameter = parameter(310.0, domain=Positive(), unit="Hz/nA", doc="input gain of excitation")
    b_e: Parameter = parameter(125.0, domain=Real(), unit="Hz", doc="input threshold of excitation")
    d_e: Parameter = parameter(0.16, domain=Positive(), unit="s", doc="curvature of excitation's transfer function")
    gamma_e: Parameter = parameter(0.641e-3, domain=Positive(), unit="1/(Hz ms)", doc="kinetic constant of excitation")
    tau_e: Parameter = parameter(100.0, domain=Positive(), unit="ms", doc="NMDA time constant")
    a_i: Parameter = parameter(615.0, domain=Positive(), unit="Hz/nA", doc="input gain of inhibition")
    b_i: Parameter = parameter(177.0, domain=Real(), unit="Hz", doc="input threshold of inhibition")
    d_i: Parameter = parameter(0.087, domain=Positive(), unit="s", doc="curvature of inhibition's transfer function")
    gamma_i: Parameter = parameter(1e-3, domain=Positive(), unit="1/(Hz ms)", doc="kinetic constant of inhibition")
    tau_i: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="GABA time constant")

    def drift(self, t, y: State, u: Inputs) -> State:
        (S_e, S_i), (c_lre, c_ffi) = y, u
        x_e = self.w_p * self.J_N * S_e - self.J_i * S_i + self.W_e * self.I_o + self.J_N * c_lre
        x_i = self.J_N * S_e - S_i + self.W_i * self.I_o + self.J_N * c_ffi
        dS_e = -S_e / self.tau_e + (1 - S_e) * self.gamma_e * self.rate_e(x_e)
        dS_i = -S_i / self.tau_i + self.gamma_i * self.rate_i(x_i)
        return jnp.stack([dS_e, dS_i])

    @abc.abstractmethod
    def rate_e(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_e in Hz of the excitatory population at the input current x in nA."""

    @abc.abstractmethod
    def rate_i(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_i in Hz of the inhibitory population at the input current x in nA."""

    def start(self, n: int) -> State:
        return jnp.full((2, n), 0.001)


class WongWangExcInh(_AbstractWongWangExcInh):
    r"""Excitatory and inhibitory mean field of Deco et al. (2014), "How local excitation-inhibition ratio impacts the whole
    brain dynamics", J. Neurosci. 34(23), equations 1 to 6, with two long-range inputs as in Schirner et al. (2023), "Learning
    how network structure shapes decision-making for bio-inspired computing", Nat. Commun. 14.

    $$\dot S_e = -S_e/\tau_e + (1 - S_e)\,\gamma_e H_e(x_e), \quad
    x_e = w_+ J_N S_e - J_i S_i + W_e I_o + J_N c_{lre}$$

    $$\dot S_i = -S_i/\tau_i + \gamma_i H_i(x_i), \quad
    x_i = J_N S_e - S_i + W_i I_o + J_N c_{ffi}$$

    $$H_p(x) = \frac{a_p x - b_p}{1 - e^{-d_p (a_p x - b_p)}}$$

    Two states, the open fractions of NMDA (`S_e`) and GABA (`S_i`) channels, held in [0, 1]. Two inputs, weighted sums of
    other regions' S_e: `c_lre`, long-range excitation, and `c_ffi`, feed-forward inhibition. Without the second it is the
    model of 2014. Constants are the paper's. One `J_i` a region is what feedback inhibition control tunes (`gx.FIC`).

    Example:
        >>> model = WongWangExcInh(J_i=1.2)
        >>> model.drift(0.0, jnp.full((2, 1), 0.1), jnp.zeros((2, 1))).shape
        (2, 1)
    """

    reference: ClassVar = "Deco et al. (2014), doi:10.1523/JNEUROSCI.5068-13.2014"
    peers: ClassVar = {"tvb": "ReducedWongWangExcInh", "tvboptim": "WongWangExcInh", "cubnm": "rWW"}

    def rate_e(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_e in Hz of the excitatory population at the input current x in nA."""
        return threshold_linear(self.d_e * (self.a_e * x - self.b_e)) / self.d_e

    def rate_i(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Firing rate H_i in Hz of the inhibitory population at the input current x in nA."""
        return threshold_linear(self.d_i * (self.a_i * x - self.b_i)) / self.d_i
