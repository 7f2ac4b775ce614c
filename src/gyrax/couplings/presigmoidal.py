"""Couplings of Hopfield-like units: each sends its activity, a sigmoid of its potential above a threshold."""

import equinox as eqx
import jax.numpy as jnp

from .._types import Features, Parameter, Sources
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractCoupling


class PreSigmoidal(AbstractCoupling):
    r"""Weighted sum of activities with one threshold, Golos, Jirsa & Daucé (2015), "Multistability in large scale models of
    brain activity", PLoS Comput Biol 11(12):

    $$K \sum_j W_{ij} A_j, \quad A = H \big( Q + \tanh(G (P x - \theta)) \big)$$

    One target row for each source row. With the defaults, The Virtual Brain's, A is between 0 and 1.

    The Virtual Brain (2.10) sums over the wrong end of each connection: its region i hears its own activity, as it was one
    delay ago, times a sum of weights, and nobody else's. Here a region hears the others, as in the paper.

    Example:
        >>> PreSigmoidal(source="x", G=6.0)
        PreSigmoidal(source=('x',), strength=1, H=0.5, Q=1, G=6, P=1, theta=0.5)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling K")
    H: Parameter = parameter(0.5, domain=Real(), doc="half of the range of activities")
    Q: Parameter = parameter(1.0, domain=Real(), doc="activity at the threshold, in units of H")
    G: Parameter = parameter(60.0, domain=Positive(), doc="gain")
    P: Parameter = parameter(1.0, domain=Real(), doc="ratio of excitation to inhibition")
    theta: Parameter = parameter(0.5, domain=Real(), doc="threshold")

    def encode(self, x: Sources) -> Features:
        return self.H * (self.Q + jnp.tanh(self.G * (self.P * x - self.theta)))

    def decode(self, total, x, degree):
        return self.strength * total


class DynamicPreSigmoidal(AbstractCoupling):
    r"""Weighted sum of activities whose thresholds are states, Golos, Jirsa & Daucé (2015). It reads the potentials x and
    the thresholds $\theta$, and feeds two inputs, the sums and what the thresholds follow:

    $$K \sum_j W_{ij} A_j \quad \mathrm{and} \quad A_i, \quad A = H \big( Q + \tanh(G (P x - \theta)) \big)$$

    The second has no delay, whatever the connectome's. With `shared` it is the mean of all regions' activities: thresholds
    that start equal stay so, one for the whole brain (`globalT` of The Virtual Brain, 2.10 of which cannot run it). The
    Virtual Brain's sums depart from the paper as those of `PreSigmoidal`, and where a region has no weight to itself its
    threshold follows the activity of a region whose states are 0. Here it follows its own.

    Attributes:
        shared: whether all thresholds follow the mean activity.

    Example:
        >>> DynamicPreSigmoidal(source=("x", "theta"), shared=True)
        DynamicPreSigmoidal(source=('x', 'theta'), strength=1, H=0.5, Q=1, G=60, P=1, shared=True)
    """

    strength: Parameter = parameter(1.0, domain=Positive(), doc="global coupling K")
    H: Parameter = parameter(0.5, domain=Real(), doc="half of the range of activities")
    Q: Parameter = parameter(1.0, domain=Real(), doc="activity at the threshold, in units of H")
    G: Parameter = parameter(60.0, domain=Positive(), doc="gain")
    P: Parameter = parameter(1.0, domain=Real(), doc="ratio of excitation to inhibition")
    shared: bool = eqx.field(default=False, static=True, kw_only=True)

    def __check_init__(self):
        if len(self.source) != 2:
            raise ValueError(f"DynamicPreSigmoidal reads a potential and its threshold, got source={self.source}")

    def encode(self, x: Sources) -> Features:
        return self.H * (self.Q + jnp.tanh(self.G * (self.P * x[:1] - x[1:])))

    def decode(self, total, x, degree):
        own = self.encode(x)
        if self.shared:
            own = jnp.broadcast_to(own.mean(axis=1, keepdims=True), own.shape)
        return jnp.concatenate([self.strength * total, own])
