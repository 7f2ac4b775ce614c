"""Couplings that are linear in what is sent: weighted sums, and differences to the region itself."""

import jax.numpy as jnp

from .._types import Features, Parameter, Sources
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractCoupling


class Linear(AbstractCoupling):
    r"""Weighted sum: $G \sum_j W_{ij} x_j + b$, one target row for each source row.

    What The Virtual Brain calls Scaling is this one without the offset $b$.

    Example:
        >>> Linear(source="S", strength=0.5)
        Linear(source=('S',), strength=0.5)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    offset: Parameter | None = parameter(
        None, domain=Real(), doc="input b of a region that hears nothing; 0 if left out"
    )

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        total = self.strength * total
        return total if self.offset is None else total + self.offset


class Difference(AbstractCoupling):
    r"""Diffusive: $G \sum_j W_{ij} (x_j - x_i)$, one target row for each source row. With delays, x_j is the delayed one.

    Example:
        >>> Difference(source="x", strength=0.1)
        Difference(source=('x',), strength=0.1)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        return self.strength * (total - degree * x)


class Laplacian(AbstractCoupling):
    r"""Diffusion towards the weighted mean of the neighbours, whatever the number of connections of a region:

    $$G \Big( \frac{1}{d_i} \sum_j W_{ij} x_j - x_i \Big), \quad d_i = \sum_j W_{ij}$$

    This is $-G L x$ with the random-walk normalised graph Laplacian $L = I - D^{-1} W$. A region without connections gets
    0. One target row for each source row. With delays, x_j is the delayed one.

    Example:
        >>> coupling = Laplacian(source="x", strength=2.0)
        >>> coupling.decode(jnp.array([[6.0, 0.0]]), jnp.array([[1.0, 5.0]]), jnp.array([2.0, 0.0])).tolist()
        [[4.0, 0.0]]
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        connected = degree != 0
        mean = total / jnp.where(connected, degree, 1.0)
        return self.strength * jnp.where(connected, mean - x, 0.0)
