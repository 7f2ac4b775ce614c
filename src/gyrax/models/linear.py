"""The linear model, whose every statistic is known in closed form."""

from typing import ClassVar

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Below
from .base import AbstractModel


class Linear(AbstractModel):
    r"""Linear decay: $\dot x = \gamma x + c$, the model of The Virtual Brain's name.

    With linear coupling and white noise it is an Ornstein-Uhlenbeck process, whose covariance solves a Lyapunov equation.

    Example:
        >>> Linear(gamma=-0.1)
        Linear(gamma=-0.1 1/ms)
    """

    states: ClassVar = ("x",)
    inputs: ClassVar = ("c",)
    reference: ClassVar = "Galán (2008), doi:10.1371/journal.pone.0002148"
    peers: ClassVar = {"tvb": "Linear", "tvboptim": "Linear"}

    gamma: Parameter = parameter(-10.0, domain=Below(0.0), unit="1/ms", doc="rate of decay")

    def drift(self, t, y: State, u: Inputs) -> State:
        return self.gamma * y + u
