"""Continuous Hopfield networks: graded response, with a fixed and with a dynamic threshold."""

from typing import ClassVar

import jax.numpy as jnp

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive
from .base import AbstractModel


class Hopfield(AbstractModel):
    r"""Graded-response unit of Hopfield (1984), "Neurons with graded response have collective computational properties like
    those of two-state neurons", PNAS 81(10), equation 5 with the resistance in the input's unit.

    $$\tau_x \dot x = -x + c$$

    One state `x`, the mean potential of a region, without a unit. All that is nonlinear is in what regions send, so input
    `c` comes from `gx.couplings.PreSigmoidal`, whose threshold is fixed; with the connectome as weights, many fixed points
    coexist (Golos, Jirsa & Daucé 2015, "Multistability in large scale models of brain activity", PLoS Comput. Biol. 11).
    Time is arbitrary: 1 unit is taken as 1 ms. Defaults are The Virtual Brain's, whose model has a second state that means
    nothing while the threshold is fixed; here it is a model of its own, `HopfieldDynamic`.

    Example:
        >>> Hopfield(taux=2.0)
        Hopfield(taux=2 ms)
    """

    states: ClassVar = ("x",)
    inputs: ClassVar = ("c",)
    reference: ClassVar = "Hopfield (1984), doi:10.1073/pnas.81.10.3088"
    peers: ClassVar = {"tvb": "Hopfield"}

    taux: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time constant of the potential")

    def drift(self, t, y: State, u: Inputs) -> State:
        return (u - y) / self.taux


class HopfieldDynamic(AbstractModel):
    r"""`Hopfield` whose threshold follows activity, Golos, Jirsa & Daucé (2015), "Multistability in large scale models of
    brain activity", PLoS Comput. Biol. 11(12).

    $$\tau_x \dot x = -x + c, \quad \tau_\theta \dot \theta = -\theta + c_\theta$$

    States: the potential `x` and the threshold `theta` that a region's own output is compared with, both without a unit.
    `c` is what other regions send and `c_theta` what the region itself sends: `gx.couplings.PreSigmoidal` reads both states
    and feeds both inputs. Time constants are The Virtual Brain's: 1 unit of its time is taken as 1 ms.

    Example:
        >>> HopfieldDynamic().drift(0.0, jnp.ones((2, 1)), jnp.zeros((2, 1))).shape
        (2, 1)
    """

    states: ClassVar = ("x", "theta")
    inputs: ClassVar = ("c", "c_theta")
    reference: ClassVar = "Golos, Jirsa & Daucé (2015), doi:10.1371/journal.pcbi.1004644"
    peers: ClassVar = {"tvb": "Hopfield"}

    taux: Parameter = parameter(1.0, domain=Positive(), unit="ms", doc="time constant of the potential")
    tauT: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="time constant of the threshold")

    def drift(self, t, y: State, u: Inputs) -> State:
        (x, theta), (c, c_theta) = y, u
        return jnp.stack([(c - x) / self.taux, (c_theta - theta) / self.tauT])
