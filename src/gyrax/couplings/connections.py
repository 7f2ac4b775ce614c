"""Couplings whose connections differ in more than their weights."""

import jax.numpy as jnp

from .._types import Parameter
from ..parameters.declaring import parameter
from ..parameters.domains import Interval, Positive, Real
from .pairwise import AbstractPairCoupling


class Sakaguchi(AbstractPairCoupling):
    r"""Sine of phase differences that lag: $G \sum_j W_{ij} \sin(\theta_j - \theta_i - \alpha_{ij})$, after Sakaguchi & Kuramoto (1986),
    "A soluble active rotater model showing phase transitions via mutual entertainment", Prog. Theor. Phys. 76.

    With lags of zero it is `Kuramoto`, which is many times faster. One target row for each source row.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Kuramoto(), Sakaguchi(source="theta", lag=0.5), jnp.ones((3, 3)) - jnp.eye(3))
        >>> net.input(0.0, jnp.zeros((1, 3))).round(3).tolist()  # 2 sin(-0.5)
        [[-0.959, -0.959, -0.959]]
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    lag: Parameter = parameter(
        0.0, domain=Real(scale=1.0), unit="rad", doc="phase lag alpha, one value or one a connection"
    )

    def message(self, x_source, x_target, lag):
        return jnp.sin(x_source - x_target - lag)

    def decode(self, total, x, degree):
        return self.strength * total


class GapJunction(AbstractPairCoupling):
    r"""Electrical synapses, which may rectify: $G \sum_j W_{ij}\, g_r(x_j - x_i)$ with $g_r(d) = d$ for $d > 0$ and $(1 - r)\, d$ below.

    With $r = 0$ it is `Difference`, which is many times faster. With $r = 1$ current only flows towards the target, as at the giant
    motor synapse of Furshpan & Potter (1959), "Transmission at the giant motor synapses of the crayfish", J. Physiol. 145. One target
    row for each source row.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(), GapJunction(source="x", rectification=1.0), jnp.ones((2, 2)) - jnp.eye(2))
        >>> net.input(0.0, jnp.array([[0.0, 2.0]])).tolist()
        [[2.0, 0.0]]
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    rectification: Parameter = parameter(
        0.0, domain=Interval(0.0, 1.0), doc="share r of the way back that is blocked, one value or one a connection"
    )

    def message(self, x_source, x_target, rectification):
        apart = x_source - x_target
        return jnp.where(apart > 0, apart, (1 - rectification) * apart)

    def decode(self, total, x, degree):
        return self.strength * total


class Threshold(AbstractPairCoupling):
    r"""What exceeds a threshold of each connection: $G \sum_j W_{ij} \max(x_j - \theta_{ij}, 0)$, threshold-linear transmission.

    One target row for each source row.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(), Threshold(source="x", theta=0.5), jnp.ones((2, 2)) - jnp.eye(2))
        >>> net.input(0.0, jnp.array([[0.0, 2.0]])).tolist()
        [[1.5, 0.0]]
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling G")
    theta: Parameter = parameter(0.0, domain=Real(scale=1.0), doc="threshold, one value or one a connection")

    def message(self, x_source, x_target, theta):
        return jnp.maximum(x_source - theta, 0)

    def decode(self, total, x, degree):
        return self.strength * total
