"""The reduced Wong-Wang model: one slow NMDA gating variable a region."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Interval, Positive, Real
from .base import AbstractModel


class WongWang(AbstractModel):
    r"""Excitatory mean field of Deco et al. (2013), "Resting-state functional connectivity emerges from structurally
    and dynamically shaped slow linear fluctuations", J. Neurosci. 33(27), equations 1 to 3.

    $$\dot S = -S/\tau_S + (1 - S)\,\gamma H(x), \quad
    H(x) = \frac{a x - b}{1 - e^{-d (a x - b)}}, \quad x = w J_N S + J_N c + I_o$$

    One state `S` (fraction of open NMDA channels, in [0, 1]), one input `c` (weighted sum of other regions' S). Constants
    are the paper's, except `w` = 0.6 and `I_o` = 0.33 nA, which The Virtual Brain and later work on whole-brain fits use
    (the paper: 0.9 and 0.3).

    Example:
        >>> model = WongWang(w=0.9)
        >>> model.drift(0.0, jnp.array([[0.1]]), jnp.array([[0.0]])).shape
        (1, 1)
    """

    states: ClassVar = ("S",)
    inputs: ClassVar = ("c",)
    limits: ClassVar = {"S": (0.0, 1.0)}
    reference: ClassVar = "Deco et al. (2013), doi:10.1523/JNEUROSCI.1091-13.2013"
    peers: ClassVar = {"tvb": "ReducedWongWang", "tvboptim": "ReducedWongWang", "cubnm": "rWWEx"}

    w: Parameter = parameter(0.6, domain=Interval(0.0, 2.0), doc="local excitatory recurrence")
    J_N: Parameter = parameter(0.2609, domain=Positive(), unit="nA", doc="synaptic coupling")
    I_o: Parameter = parameter(0.33, domain=Positive(), unit="nA", doc="external input")
    a: Parameter = parameter(270.0, domain=Positive(), unit="Hz/nA", doc="input gain")
    b: Parameter = parameter(108.0, domain=Real(), unit="Hz", doc="input threshold")
    d: Parameter = parameter(0.154, domain=Positive(), unit="s", doc="curvature of the transfer function")
    gamma: Parameter = parameter(0.641e-3, domain=Positive(), unit="1/(Hz ms)", doc="kinetic constant")
    tau_S: Parameter = parameter(100.0, domain=Positive(), unit="ms", doc="NMDA time constant")

    def drift(self, t, y: State, u: Inputs) -> State:
        x = self.w * self.J_N * y + self.J_N * u + self.I_o
        return -y / self.tau_S + (1 - y) * self.gamma * self.rate(x)

    def rate(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Population firing rate H in Hz at the input current x in nA."""
        return threshold_linear(self.d * (self.a * x - self.b)) / self.d

    def start(self, n: int) -> State:
        return jnp.full((1, n), 0.1)


@jax.custom_jvp
def threshold_linear(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """z / (1 - exp(-z)), finite with its derivatives everywhere.

    The quotient is 0/0 at z = 0 and overflows far below. Since f(-z) = f(z) - z, it is max(z, 0) + g(|z|) with
    g(r) = r exp(-r) / (1 - exp(-r)), which never overflows; close to r = 0 its series takes over. Its derivative is written
    out too: what autodiff makes of the branches is many small kernels.

    Example:
        >>> threshold_linear(jnp.array([-1e4, 0.0, 1e4])).tolist()
        [0.0, 1.0, 10000.0]
        >>> jax.vmap(jax.grad(threshold_linear))(jnp.array([-1e4, 0.0, 1e4])).tolist()
        [0.0, 0.5, 1.0]
    """
    r = jnp.abs(z)
    small = r < 0.1
    decay = jnp.exp(-jnp.where(small, 1.0, r))
    series = 1 - r / 2 + r**2 / 12 - r**4 / 720 + r**6 / 30240
    return jnp.maximum(z, 0.0) + jnp.where(small, series, r * decay / (1 - decay))


@threshold_linear.defjvp
def _threshold_linear_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    return threshold_linear(z), dz * _threshold_linear_slope(z)


def _threshold_linear_slope(z: Float[Array, "..."]) -> Float[Array, "..."]:
    # With e = exp(-r) / (1 - exp(-r)): f'(-r) = e (r (1 + e) - 1), to the last digit far below too, and f'(r) = 1 - f'(-r).
    r = jnp.abs(z)
    small = r < 0.1
    decay = jnp.exp(-jnp.where(small, 1.0, r))
    e = decay / (1 - decay)
    below = e * (r * (1 + e) - 1)
    far = jnp.where(z < 0, below, 1 - below)
    return jnp.where(small, 0.5 + z / 6 - z**3 / 180 + z**5 / 5040, far)
