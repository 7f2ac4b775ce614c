"""The exact mean field of quadratic integrate-and-fire neurons."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class MontbrioPazoRoxin(AbstractModel):
    r"""Mean field of infinitely many quadratic integrate-and-fire neurons, all coupled to all, Montbrió, Pazó & Roxin (2015),
    "Macroscopic description for networks of spiking neurons", Phys. Rev. X 5, 021028.

    $$\tau \dot r = \frac{\Delta}{\pi \tau} + \frac{\Gamma r}{\pi} + 2 r V, \quad
    \tau \dot V = V^2 - (\pi \tau r)^2 + \eta + J \tau r + I + c_r C_r + c_V C_V$$

    States are the firing rate `r` (1/ms, never negative) and the mean membrane potential `V` (dimensionless). Excitability
    and synaptic weights of the neurons are Lorentzian: centres eta and J, half-widths Delta and Gamma. Two inputs,
    sums over other regions' r (`c_r`) and V (`c_V`), both act on V with the weights `cr` and `cv`.

    Defaults are those of The Virtual Brain, where time has no unit: at tau = 1 ms one unit is 1 ms. They lie where a
    silent node and an active focus coexist, as in the paper's figure 2. The Virtual Brain has Gamma as a parameter too, but
    its equations leave it out; here it acts as in the paper.

    Example:
        >>> model = MontbrioPazoRoxin(eta=-4.6, J=14.5, Delta=0.7)
        >>> model.drift(0.0, model.start(84), jnp.zeros((2, 84))).shape
        (2, 84)
    """

    reference: ClassVar = "Montbrió, Pazó & Roxin (2015), doi:10.1103/PhysRevX.5.021028"
    peers: ClassVar = {"tvb": "MontbrioPazoRoxin", "tvboptim": "MontbrioPazoRoxin"}
    states: ClassVar = ("r", "V")
    inputs: ClassVar = ("c_r", "c_V")
    limits: ClassVar = {"r": (0.0, None)}

    tau: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="membrane time constant")
    Delta: Parameter = parameter(1.0, domain=Positive(), doc="half-width of the excitabilities")
    eta: Parameter = parameter(-5.0, domain=Real(), doc="centre of the excitabilities")
    J: Parameter = parameter(15.0, domain=Real(), doc="centre of the synaptic weights")
    Gamma: Parameter = parameter(0.0, domain=Real(), doc="half-width of the synaptic weights, 0 or more")
    I: Parameter = parameter(0.0, domain=Real(), doc="external current")
    cr: Parameter = parameter(1.0, domain=Real(), doc="weight of the input from rates")
    cv: Parameter = parameter(0.0, domain=Real(), doc="weight of the input from potentials")

    def drift(self, t, y: State, u: Inputs) -> State:
        (r, V), (c_r, c_V) = y, u
        current = self.eta + self.J * self.tau * r + self.I + self.cr * c_r + self.cv * c_V
        # weights spread by Gamma spread the recurrent current, so that the whole current's half-width grows with the rate
        return jnp.stack(lorentzian_neurons(r, V, current, self.Delta + self.Gamma * self.tau * r, self.tau))

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[0.1], [-1.5]]), n)


Row = Float[Array, " node"]


def lorentzian_neurons(r: Row, V: Row, current: Row, width: Parameter, tau: Parameter | float) -> tuple[Row, Row]:
    """Slopes of rate and mean potential of quadratic integrate-and-fire neurons whose currents are Lorentzian.

    Args:
        r: firing rate.
        V: mean membrane potential.
        current: centre of the currents.
        width: their half-width.
        tau: membrane time constant.

    Example:
        >>> rest = lorentzian_neurons(jnp.array([1.0]), jnp.array([-0.5]), jnp.array([9.6196]), jnp.array(jnp.pi), 1.0)
        >>> bool(jnp.allclose(jnp.stack(rest), 0.0, atol=1e-4))
        True
    """
    dr = (width / (jnp.pi * tau) + 2 * V * r) / tau
    dV = (V**2 - (jnp.pi * tau * r) ** 2 + current) / tau
    return dr, dV
