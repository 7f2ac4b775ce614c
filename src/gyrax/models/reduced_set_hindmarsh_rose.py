"""Hindmarsh-Rose neurons of differing excitability, reduced to three modes."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .modes import COUNT, Modes, excitability, extent, mean_field


class ReducedSetHindmarshRose(AbstractModel):
    r"""Globally coupled excitatory and inhibitory Hindmarsh-Rose neurons whose excitability z is normally distributed, in
    three modes V_i: Stefanescu & Jirsa (2008), "A low dimensional description of globally coupled heterogeneous neural
    networks of excitatory and inhibitory neurons", PLoS Comput. Biol. 4(11).

    $$\dot \xi_i = \eta_i - a_i \xi_i^3 + b_i \xi_i^2 - \tau_i + I_i + c_\xi
    + K_{11} \Big(\sum_k A_{ik} \xi_k - \xi_i\Big) - K_{12} \Big(\sum_k A_{ik} \alpha_k - \xi_i\Big)$$

    $$\dot \eta_i = c_i - d_i \xi_i^2 - \eta_i, \quad \dot \tau_i = r (s\,\xi_i - \tau_i) - m_i$$

    $$\dot \alpha_i = \beta_i - a_i \alpha_i^3 + b_i \alpha_i^2 - \gamma_i + I_i + c_\xi
    + K_{21} \Big(\sum_k A_{ik} \xi_k - \alpha_i\Big)$$

    $$\dot \beta_i = c_i - d_i \alpha_i^2 - \beta_i, \quad \dot \gamma_i = r (s\,\alpha_i - \gamma_i) - m_i$$

    $$a_i = a \int V_i^4\,dz, \quad (b_i, d_i) = (b, d) \int V_i^3\,dz, \quad (c_i, m_i) = (c, r s x_o) \int V_i\,dz, \quad
    I_i = \int z V_i\,dz, \quad A_{ik} = \int V_i\,dz \int g V_k\,dz$$

    g is the normal density of mean `mu` and standard deviation `sigma`; each mode is constant on a third of its quantiles
    and zero elsewhere, and integrals are taken between the quantiles 1/1501 and 1500/1501, as in The Virtual Brain. Both
    populations have the same distribution, hence the same modes. States are the modes of the membrane potential (xi,
    alpha), the fast (eta, beta) and the slow current (tau, gamma) of excitatory and inhibitory neurons. Time and states
    have no units; 1 unit of time is 1 ms. Input `c_xi` is a current on all modes of both
    populations; outputs `xi` and `alpha` are sums over the modes, and a coupling of the source `xi` is what The Virtual
    Brain computes.

    d_i is with the third power of the modes, which follows from the equations of the neurons and which The Virtual Brain
    has too; the paper prints the first. The Virtual Brain uses the transpose of the matrix in front of $\alpha$; here a
    mode hears the mean field of inhibition as it hears that of excitation, as the paper's projection on the modes gives it.

    Example:
        >>> model = ReducedSetHindmarshRose(sigma=0.5)
        >>> model.states[:4]
        ('xi_1', 'xi_2', 'xi_3', 'eta_1')
    """

    reference: ClassVar = "Stefanescu & Jirsa (2008), doi:10.1371/journal.pcbi.1000219"
    peers: ClassVar = {"tvb": "ReducedSetHindmarshRose"}
    states: ClassVar = tuple(
        f"{x}_{i}" for x in ("xi", "eta", "tau", "alpha", "beta", "gamma") for i in range(1, COUNT + 1)
    )
    inputs: ClassVar = ("c_xi",)
    outputs: ClassVar = ("xi", "alpha")

    r: Parameter = parameter(0.006, domain=Positive(), doc="rate of the slow current")
    a: Parameter = parameter(1.0, domain=Positive(), doc="cubic term of the potential")
    b: Parameter = parameter(3.0, domain=Positive(), doc="quadratic term of the potential")
    c: Parameter = parameter(1.0, domain=Real(), doc="offset of the fast current")
    d: Parameter = parameter(5.0, domain=Positive(), doc="quadratic term of the fast current")
    s: Parameter = parameter(4.0, domain=Positive(), doc="strength of the slow current")
    xo: Parameter = parameter(-1.6, domain=Real(), doc="resting potential x_o")
    K11: Parameter = parameter(0.5, domain=Positive(), doc="coupling, excitatory to excitatory")
    K12: Parameter = parameter(0.1, domain=Positive(), doc="coupling, inhibitory to excitatory")
    K21: Parameter = parameter(0.15, domain=Positive(), doc="coupling, excitatory to inhibitory")
    sigma: Parameter = parameter(0.3, domain=Positive(), doc="standard deviation of the excitability")
    mu: Parameter = parameter(3.3, domain=Real(), doc="mean of the excitability")

    def drift(self, t, y: State, u: Inputs) -> State:
        xi, eta, tau, alpha, beta, gamma = y.reshape(-1, COUNT, y.shape[1])
        current, excitation = excitability(self.mu, self.sigma) + u[0], mean_field(xi)
        to_excitation = self.K11 * (excitation - xi) - self.K12 * (mean_field(alpha) - xi)
        to_inhibition = self.K21 * (excitation - alpha)
        return jnp.concatenate(
            [
                *self.neurons(xi, eta, tau, current + to_excitation),
                *self.neurons(alpha, beta, gamma, current + to_inhibition),
            ]
        )

    def neurons(self, x: Modes, fast: Modes, slow: Modes, current: Modes) -> tuple[Modes, Modes, Modes]:
        """Derivatives of one population's potential, fast and slow current."""
        width = extent(self.sigma)
        root = jnp.sqrt(width)
        dx = fast - self.a * x**3 / width + self.b * x**2 / root - slow + current
        dfast = self.c * root - self.d * x**2 / root - fast
        return dx, dfast, self.r * (self.s * (x - self.xo * root) - slow)

    def xi(self, y: State) -> Float[Array, " node"]:
        """Sum of the excitatory modes."""
        return y[:COUNT].sum(0)

    def alpha(self, y: State) -> Float[Array, " node"]:
        """Sum of the inhibitory modes."""
        return y[3 * COUNT : 4 * COUNT].sum(0)

    def start(self, n: int) -> State:
        return jnp.full((len(self.states), n), 0.1)
