"""FitzHugh-Nagumo neurons of differing excitability, reduced to three modes."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .modes import COUNT, excitability, extent, mean_field


class ReducedSetFitzHughNagumo(AbstractModel):
    r"""Globally coupled excitatory and inhibitory FitzHugh-Nagumo neurons whose excitability z is normally distributed, in
    three modes V_i: Stefanescu & Jirsa (2008), "A low dimensional description of globally coupled heterogeneous neural
    networks of excitatory and inhibitory neurons", PLoS Comput. Biol. 4(11).

    $$\dot \xi_i = \tau \Big(\xi_i - e_i \frac{\xi_i^3}{3} - \eta_i + I_i + c_\xi\Big)
    + K_{11} \Big(\sum_k A_{ik} \xi_k - \xi_i\Big) - K_{12} \Big(\sum_k A_{ik} \alpha_k - \xi_i\Big)$$

    $$\dot \eta_i = (\xi_i - b\,\eta_i + m_i) / \tau$$

    $$\dot \alpha_i = \tau \Big(\alpha_i - e_i \frac{\alpha_i^3}{3} - \beta_i + I_i + c_\xi\Big)
    + K_{21} \Big(\sum_k A_{ik} \xi_k - \alpha_i\Big)$$

    $$\dot \beta_i = (\alpha_i - b\,\beta_i + m_i) / \tau$$

    $$e_i = \int V_i^4\,dz, \quad I_i = \int z V_i\,dz, \quad m_i = a \int V_i\,dz, \quad
    A_{ik} = \int V_i\,dz \int g V_k\,dz$$

    g is the normal density of mean `mu` and standard deviation `sigma`; each mode is constant on a third of its quantiles
    and zero elsewhere, and integrals are taken between the quantiles 1/1501 and 1500/1501, as in The Virtual Brain. Both
    populations have the same distribution, hence the same modes. States are the modes of the fast (xi, alpha) and slow (eta,
    beta) variables of excitatory and inhibitory neurons. Time and states have no units; 1 unit of time is 1 ms. Input
    `c_xi` is a current on all modes of both populations; outputs `xi` and `alpha` are sums over the modes, and a coupling of
    the source `xi` is what The Virtual Brain computes. `tau` is the paper's c.

    The Virtual Brain uses the transpose of the matrix in front of $\alpha$; here a mode hears the mean field of inhibition
    as it hears that of excitation, as the paper's projection on the modes gives it.

    Example:
        >>> model = ReducedSetFitzHughNagumo(sigma=0.5)
        >>> model.states[:4]
        ('xi_1', 'xi_2', 'xi_3', 'eta_1')
    """

    reference: ClassVar = "Stefanescu & Jirsa (2008), doi:10.1371/journal.pcbi.1000219"
    peers: ClassVar = {"tvb": "ReducedSetFitzHughNagumo"}
    states: ClassVar = tuple(f"{x}_{i}" for x in ("xi", "eta", "alpha", "beta") for i in range(1, COUNT + 1))
    inputs: ClassVar = ("c_xi",)
    outputs: ClassVar = ("xi", "alpha")

    tau: Parameter = parameter(3.0, domain=Positive(), doc="separation of the time scales")
    a: Parameter = parameter(0.45, domain=Real(), doc="offset of the slow variable")
    b: Parameter = parameter(0.9, domain=Positive(), doc="decay of the slow variable")
    K11: Parameter = parameter(0.5, domain=Positive(), doc="coupling, excitatory to excitatory")
    K12: Parameter = parameter(0.15, domain=Positive(), doc="coupling, inhibitory to excitatory")
    K21: Parameter = parameter(0.15, domain=Positive(), doc="coupling, excitatory to inhibitory")
    sigma: Parameter = parameter(0.35, domain=Positive(), doc="standard deviation of the excitability")
    mu: Parameter = parameter(0.0, domain=Real(), doc="mean of the excitability")

    def drift(self, t, y: State, u: Inputs) -> State:
        xi, eta, alpha, beta = y.reshape(-1, COUNT, y.shape[1])
        width = extent(self.sigma)
        current, offset = excitability(self.mu, self.sigma) + u[0], self.a * jnp.sqrt(width)
        excitation = mean_field(xi)
        dxi = self.tau * (xi - xi**3 / (3 * width) - eta + current)
        dxi += self.K11 * (excitation - xi) - self.K12 * (mean_field(alpha) - xi)
        dalpha = self.tau * (alpha - alpha**3 / (3 * width) - beta + current) + self.K21 * (excitation - alpha)
        deta, dbeta = ((fast - self.b * slow + offset) / self.tau for fast, slow in ((xi, eta), (alpha, beta)))
        return jnp.concatenate([dxi, deta, dalpha, dbeta])

    def xi(self, y: State) -> Float[Array, " node"]:
        """Sum of the excitatory modes."""
        return y[:COUNT].sum(0)

    def alpha(self, y: State) -> Float[Array, " node"]:
        """Sum of the inhibitory modes."""
        return y[2 * COUNT : 3 * COUNT].sum(0)

    def start(self, n: int) -> State:
        return jnp.full((len(self.states), n), 0.1)
