"""The exact mean field of quadratic integrate-and-fire neurons with synapses that are conductances."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .montbrio_pazo_roxin import Row, lorentzian_neurons


class CoombesByrne(AbstractModel):
    r"""Mean field of theta neurons that hear each other by an alpha-function synapse with a reversal potential, Coombes &
    Byrne (2019), "Next generation neural mass models", in Nonlinear Dynamics in Computational Neuroscience, Springer.

    $$\dot r = \frac{\Delta}{\pi} + 2 V r - g r, \quad
    \dot V = V^2 - (\pi r)^2 + \eta + (v_{syn} - V) g + c_r$$

    $$\dot g = \alpha q, \quad \dot q = \alpha (k \pi r - g - 2 q)$$

    The paper writes the first two equations for the Kuramoto order parameter Z of the neurons' phases; here, as in The
    Virtual Brain, they are written for the firing rate `r` (1/ms, never negative) and the mean potential `V` by
    $\pi r + i V = (1 - Z^*)/(1 + Z^*)$, which changes nothing else. `g` is the synaptic conductance, `q` its slope over alpha.
    One input `c_r`, the weighted sum of other regions' rates, is a current. Only the time has a unit, and an arbitrary one:
    here 1 ms. Defaults are those of The Virtual Brain (whose documentation has g r^2 for its g r).

    Example:
        >>> model = CoombesByrne(eta=21.5, v_syn=-9.0)
        >>> model.drift(0.0, model.start(84), jnp.zeros((1, 84))).shape
        (4, 84)
    """

    reference: ClassVar = "Coombes & Byrne (2019), doi:10.1007/978-3-319-71048-8_1"
    peers: ClassVar = {"tvb": "CoombesByrne"}
    states: ClassVar = ("r", "V", "g", "q")
    inputs: ClassVar = ("c_r",)
    limits: ClassVar = {"r": (0.0, None)}

    Delta: Parameter = parameter(0.5, domain=Positive(), doc="half-width of the excitabilities")
    alpha: Parameter = parameter(0.95, domain=Positive(), unit="1/ms", doc="rate constant of the synapse")
    v_syn: Parameter = parameter(-10.0, domain=Real(), doc="reversal potential of the synapse")
    k: Parameter = parameter(1.0, domain=Positive(), doc="local coupling strength")
    eta: Parameter = parameter(20.0, domain=Real(), doc="centre of the excitabilities")

    def drift(self, t, y: State, u: Inputs) -> State:
        r, V, g, q = y
        dr, dV = with_conductance(r, V, g, self.eta + u[0], self.v_syn, self.Delta)
        return jnp.stack([dr, dV, self.alpha * q, self.alpha * (self.k * jnp.pi * r - g - 2 * q)])

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[0.5], [0.0], [1.0], [0.0]]), n)


class CoombesByrne2D(AbstractModel):
    r"""`CoombesByrne` with a synapse at its steady state, g = k pi r: Coombes & Byrne (2019), "Next generation neural mass
    models", in Nonlinear Dynamics in Computational Neuroscience, Springer.

    $$\dot r = \frac{\Delta}{\pi} + 2 V r - k \pi r^2, \quad
    \dot V = V^2 - (\pi r)^2 + \eta + (v_{syn} - V) k \pi r + c_r$$

    States are the firing rate `r` (1/ms, never negative) and the mean potential `V`. One input `c_r`, the weighted sum of
    other regions' rates, is a current. Units and defaults as in The Virtual Brain: time is in an arbitrary unit, here 1 ms.

    Example:
        >>> model = CoombesByrne2D(k=0.5)
        >>> model.drift(0.0, model.start(84), jnp.zeros((1, 84))).shape
        (2, 84)
    """

    reference: ClassVar = "Coombes & Byrne (2019), doi:10.1007/978-3-319-71048-8_1"
    peers: ClassVar = {"tvb": "CoombesByrne2D", "tvboptim": "CoombesByrne2D"}
    states: ClassVar = ("r", "V")
    inputs: ClassVar = ("c_r",)
    limits: ClassVar = {"r": (0.0, None)}

    Delta: Parameter = parameter(1.0, domain=Positive(), doc="half-width of the excitabilities")
    v_syn: Parameter = parameter(-4.0, domain=Real(), doc="reversal potential of the synapse")
    k: Parameter = parameter(1.0, domain=Positive(), doc="local coupling strength")
    eta: Parameter = parameter(2.0, domain=Real(), doc="centre of the excitabilities")

    def drift(self, t, y: State, u: Inputs) -> State:
        r, V = y
        return jnp.stack(with_conductance(r, V, self.k * jnp.pi * r, self.eta + u[0], self.v_syn, self.Delta))

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[0.2], [-0.5]]), n)


def with_conductance(r: Row, V: Row, g: Row, current: Row, v_syn: Parameter, width: Parameter) -> tuple[Row, Row]:
    """Slopes of rate and mean potential of neurons whose synapses have the conductance g and reverse at v_syn."""
    dr, dV = lorentzian_neurons(r, V, current + (v_syn - V) * g, width, 1.0)
    return dr - g * r, dV
