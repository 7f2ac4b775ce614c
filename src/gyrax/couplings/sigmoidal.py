"""Couplings through a sigmoid: of what a region sends, or of what it hears."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Features, Parameter, Sources
from ..parameters.declaring import name_of, parameter
from ..parameters.domains import Positive, Real
from .base import AbstractCoupling


class HyperbolicTangent(AbstractCoupling):
    r"""Weighted sum of what regions send through a hyperbolic tangent, one target row for each source row:

    $$G \sum_j W_{ij} \Big( 1 + \tanh\frac{b x_j - \mathrm{midpoint}}{\sigma} \Big)$$

    `strength` is The Virtual Brain's `a`; the others are called as there.

    Example:
        >>> HyperbolicTangent(source="V", strength=0.1, sigma=0.65)
        HyperbolicTangent(source=('V',), strength=0.1, b=1, midpoint=0, sigma=0.65)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    b: Parameter = parameter(1.0, domain=Real(), doc="factor of what is sent")
    midpoint: Parameter = parameter(0.0, domain=Real(), doc="b x at half of the range")
    sigma: Parameter = parameter(1.0, domain=Positive(), doc="width of the sigmoid")

    def encode(self, x: Sources) -> Features:
        return 1 + jnp.tanh((self.b * x - self.midpoint) / self.sigma)

    def decode(self, total, x, degree):
        return self.strength * total


class Sigmoidal(AbstractCoupling):
    r"""Sigmoid of the weighted sum, one target row for each source row:

    $$c_{min} + \frac{c_{max} - c_{min}}{1 + e^{-a (\sum_j W_{ij} x_j - \mathrm{midpoint}) / \sigma}}$$

    Parameters and defaults are The Virtual Brain's. The global coupling is `a`: it scales what a region hears.

    Example:
        >>> Sigmoidal(source="E", midpoint=0.2, sigma=0.5)
        Sigmoidal(source=('E',), c_min=-1, c_max=1, midpoint=0.2, a=1, sigma=0.5)
    """

    c_min: Parameter = parameter(-1.0, domain=Real(), doc="lowest input")
    c_max: Parameter = parameter(1.0, domain=Real(), doc="highest input")
    midpoint: Parameter = parameter(0.0, domain=Real(), doc="sum at half of the range")
    a: Parameter = parameter(1.0, domain=Positive(), doc="steepness")
    sigma: Parameter = parameter(230.0, domain=Positive(), doc="width of the sigmoid")

    def encode(self, x: Sources) -> Features:
        return x

    def decode(self, total, x, degree):
        return self.c_min + (self.c_max - self.c_min) * jax.nn.sigmoid(self.a * (total - self.midpoint) / self.sigma)


class SigmoidalJansenRit(AbstractCoupling):
    r"""Firing rates of distant pyramidal cells, Jansen & Rit (1995) as in The Virtual Brain:

    $$G \sum_j W_{ij} \Big( c_{min} + \frac{c_{max} - c_{min}}{1 + e^{r (v_0 - (x_1 - x_2)_j)}} \Big)$$

    Reads two rows (y1 and y2) or their difference as one (an output such as `psp`); feeds one input.

    Example:
        >>> SigmoidalJansenRit(strength=15.0).source
        ('y1', 'y2')
    """

    source: tuple[str, ...] = eqx.field(default=("y1", "y2"), converter=name_of("source"), static=True, kw_only=True)
    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    c_min: Parameter = parameter(0.0, domain=Real(), unit="1/ms", doc="lowest rate")
    c_max: Parameter = parameter(0.005, domain=Real(), unit="1/ms", doc="highest rate")
    v0: Parameter = parameter(6.0, domain=Positive(), unit="mV", doc="potential at half of the range")
    r: Parameter = parameter(0.56, domain=Positive(), unit="1/mV", doc="steepness")

    def __check_init__(self):
        if len(self.source) > 2:
            raise ValueError(f"SigmoidalJansenRit reads two rows or their difference, got source={self.source}")

    def encode(self, x: Sources) -> Features:
        v = x[:1] - x[1:2] if x.shape[0] == 2 else x
        return self.c_min + (self.c_max - self.c_min) * jax.nn.sigmoid(self.r * (v - self.v0))

    def decode(self, total, x, degree):
        return self.strength * total
