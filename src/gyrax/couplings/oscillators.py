"""Couplings of phases."""

import jax.numpy as jnp

from .._types import Features, Parameter, Sources
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractCoupling


class Kuramoto(AbstractCoupling):
    r"""Sine of the phase differences, as in Cabral et al. (2011), "Role of local network oscillations in resting-state
    functional connectivity", NeuroImage 57(1):

    $$G \sum_j W_{ij} \sin(\theta_j - \theta_i)
    = G \Big( \cos\theta_i \sum_j W_{ij} \sin\theta_j - \sin\theta_i \sum_j W_{ij} \cos\theta_j \Big)$$

    The second form needs one sine and one cosine a region, not one sine a connection. One target row for each source row.
    With delays, $\theta_j$ is the delayed one.

    Nothing is divided by the number of regions: for $K/N$ of Kuramoto (1984), where every pair has the weight 1, give
    `strength` K/N. The Virtual Brain (2.10) documents `a / N` but divides by the number of rows, so with one row its `a`
    is `strength`.

    Example:
        >>> Kuramoto(source="theta", strength=0.3)
        Kuramoto(source=('theta',), strength=0.3)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return jnp.concatenate([jnp.sin(x), jnp.cos(x)])

    def decode(self, total, x, degree):
        sines, cosines = jnp.split(total, 2)
        return self.strength * (jnp.cos(x) * sines - jnp.sin(x) * cosines)
