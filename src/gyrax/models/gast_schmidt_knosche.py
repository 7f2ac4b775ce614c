"""Bursting mean fields of quadratic integrate-and-fire neurons with short-term adaptation."""

import abc
from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel
from .montbrio_pazo_roxin import Row, lorentzian_neurons


class _Adapting(AbstractModel):
    """What both kinds of adaptation share: the neurons, and an alpha function of their rate."""

    reference: ClassVar = "Gast, Schmidt & Knösche (2020), doi:10.1162/neco_a_01300"
    states: ClassVar = ("r", "V", "A", "B")
    inputs: ClassVar = ("c_r", "c_V")
    limits: ClassVar = {"r": (0.0, None)}

    tau: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="membrane time constant")
    tau_A: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="time constant of adaptation")
    alpha: Parameter = parameter(0.5, domain=Positive(), unit="ms", doc="adaptation per rate")
    I: Parameter = parameter(0.0, domain=Real(), doc="external current")
    Delta: Parameter = parameter(2.0, domain=Positive(), doc="half-width of the excitabilities")
    J: Parameter = parameter(21.2132, domain=Real(), doc="synaptic weight")
    eta: Parameter = parameter(-6.0, domain=Real(), doc="centre of the excitabilities")
    cr: Parameter = parameter(1.0, domain=Real(), doc="weight of the input from rates")
    cv: Parameter = parameter(0.0, domain=Real(), doc="weight of the input from potentials")

    @abc.abstractmethod
    def adapted(self, recurrent: Row, A: Row) -> Row:
        """The neurons' own current under adaptation."""

    def drift(self, t, y: State, u: Inputs) -> State:
        (r, V, A, B), (c_r, c_V) = y, u
        own = self.adapted(self.J * self.tau * r, A)
        current = self.eta + own + self.I + self.cr * c_r + self.cv * c_V
        neurons = lorentzian_neurons(r, V, current, self.Delta, self.tau)
        return jnp.stack([*neurons, B / self.tau_A, (self.alpha * r - 2 * B - A) / self.tau_A])


class GastSchmidtKnoscheSD(_Adapting):
    r"""Quadratic integrate-and-fire neurons whose synapses depress, Gast, Schmidt & Knösche (2020), "A mean-field description
    of bursting dynamics in spiking neural networks with short-term adaptation", Neural Comput. 32(9).

    $$\tau \dot r = \frac{\Delta}{\pi \tau} + 2 r V, \quad
    \tau \dot V = V^2 - (\pi \tau r)^2 + \eta + J \tau r (1 - A) + I + c_r C_r + c_V C_V$$

    $$\tau_A \dot A = B, \quad \tau_A \dot B = \alpha r - 2 B - A$$

    States are the firing rate `r` (1/ms, never negative), the mean membrane potential `V`, the depression `A` (the share of
    the synaptic weight that is lost) and `B`, its slope in units of tau_A. Two inputs, sums over other regions' r (`c_r`) and V
    (`c_V`), both act on V with the weights `cr` and `cv`. Defaults are those of The Virtual Brain, with its arbitrary
    unit of time as 1 ms; J is 15 sqrt(Delta).

    Example:
        >>> model = GastSchmidtKnoscheSD(alpha=0.4)
        >>> model.drift(0.0, model.start(84), jnp.zeros((2, 84))).shape
        (4, 84)
    """

    peers: ClassVar = {"tvb": "GastSchmidtKnosche_SD"}

    def adapted(self, recurrent: Row, A: Row) -> Row:
        return recurrent * (1 - A)

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[0.1], [-1.5], [0.05], [0.0]]), n)


class GastSchmidtKnoscheSF(_Adapting):
    r"""Quadratic integrate-and-fire neurons whose spike frequency adapts, Gast, Schmidt & Knösche (2020), "A mean-field
    description of bursting dynamics in spiking neural networks with short-term adaptation", Neural Comput. 32(9).

    $$\tau \dot r = \frac{\Delta}{\pi \tau} + 2 r V, \quad
    \tau \dot V = V^2 - (\pi \tau r)^2 + \eta + J \tau r - A + I + c_r C_r + c_V C_V$$

    $$\tau_A \dot A = B, \quad \tau_A \dot B = \alpha r - 2 B - A$$

    States are the firing rate `r` (1/ms, never negative), the mean membrane potential `V`, the adaptation current `A` and `B`,
    its slope in units of tau_A. Two inputs, sums over other regions' r (`c_r`) and V (`c_V`), both act on V with the
    weights `cr` and `cv`. Defaults are those of The Virtual Brain, with its arbitrary unit of time as 1 ms; J is
    15 sqrt(Delta).

    Example:
        >>> model = GastSchmidtKnoscheSF(alpha=8.0)
        >>> model.drift(0.0, model.start(84), jnp.zeros((2, 84))).shape
        (4, 84)
    """

    peers: ClassVar = {"tvb": "GastSchmidtKnosche_SF"}

    alpha: Parameter = parameter(10.0, domain=Positive(), unit="ms", doc="adaptation current per rate")
    eta: Parameter = parameter(1.0, domain=Real(), doc="centre of the excitabilities")

    def adapted(self, recurrent: Row, A: Row) -> Row:
        return recurrent - A

    def start(self, n: int) -> State:
        return jnp.tile(jnp.array([[0.1], [-1.5], [1.0], [0.0]]), n)
