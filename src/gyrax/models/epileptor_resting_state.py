"""The Epileptor beside a population that oscillates between seizures."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .epileptor import Epileptor, _AbstractEpileptor, between_seizures


class EpileptorRestingState(_AbstractEpileptor):
    r"""Epileptor and a generic oscillator of healthy rhythms, Courtiol et al. (2020), "Dynamical mechanisms of interictal
    resting-state functional connectivity in epilepsy", J. Neurosci. 40(29).

    $$\dot x_{rs} = d_{rs} \tau_{rs} (-f_{rs} x_{rs}^3 + e_{rs} x_{rs}^2 + \alpha_{rs} y_{rs} + \gamma_{rs} I_{rs}
    + \gamma_{rs} K_{rs} c_{rs})$$

    $$\dot y_{rs} = d_{rs} (a_{rs} + b_{rs} x_{rs} - \beta_{rs} y_{rs}) / \tau_{rs}$$

    The first six states, the inputs `c_x1` and `c_x2`, the parameters and the unit of time are those of `Epileptor`, and
    `tt` is the speed of those six only. The oscillator (x_rs, y_rs) does not feel them: both meet in the output `lfp`
    = p (x2 - x1) + (1 - p) x_rs. Input `c_rs` is for other regions' x_rs. Defaults are The Virtual Brain's.

    Example:
        >>> model = EpileptorRestingState(p=0.5)
        >>> model.read(("lfp",), model.start(84)).shape
        (1, 84)
    """

    states: ClassVar = (*Epileptor.states, "x_rs", "y_rs")
    inputs: ClassVar = (*Epileptor.inputs, "c_rs")
    reference: ClassVar = "Courtiol et al. (2020), doi:10.1523/JNEUROSCI.0905-19.2020"
    peers: ClassVar = {"tvb": "EpileptorRestingState"}

    tau_rs: Parameter = parameter(1.0, domain=Positive(), doc="separation of the oscillator's two time scales")
    I_rs: Parameter = parameter(0.0, domain=Real(), doc="input to the oscillator")
    a_rs: Parameter = parameter(-2.0, domain=Real(), doc="vertical shift of y_rs's nullcline")
    b_rs: Parameter = parameter(-10.0, domain=Real(), doc="linear drive of y_rs by x_rs")
    d_rs: Parameter = parameter(0.02, domain=Positive(), doc="speed of the oscillator")
    e_rs: Parameter = parameter(3.0, domain=Real(), doc="quadratic coefficient of x_rs")
    f_rs: Parameter = parameter(1.0, domain=Real(), doc="cubic coefficient of x_rs")
    alpha_rs: Parameter = parameter(1.0, domain=Real(), doc="drive of x_rs by y_rs")
    beta_rs: Parameter = parameter(1.0, domain=Real(), doc="decay of y_rs")
    gamma_rs: Parameter = parameter(1.0, domain=Real(), doc="scale of the oscillator's input and coupling")
    K_rs: Parameter = parameter(1.0, domain=Real(), doc="coupling to x_rs")
    p: Parameter = parameter(0.0, domain=Real(), doc="share of the Epileptor in the field potential")

    def drift(self, t, y: State, u: Inputs) -> State:
        x, w = y[6:]
        drive = self.alpha_rs * w - self.f_rs * x**3 + self.e_rs * x**2 + self.gamma_rs * (self.I_rs + self.K_rs * u[2])
        dx = self.d_rs * self.tau_rs * drive
        dw = self.d_rs * (self.a_rs + self.b_rs * x - self.beta_rs * w) / self.tau_rs
        return jnp.concatenate([self._seizing(y[:6], u[:2]), jnp.stack([dx, dw])])

    def lfp(self, y: State) -> Float[Array, " node"]:
        """Local field potential p (x2 - x1) + (1 - p) x_rs."""
        return self.p * (y[3] - y[0]) + (1 - self.p) * y[6]

    def start(self, n: int) -> State:
        """Between seizures, the oscillator close to its rest."""
        return jnp.concatenate([between_seizures(n), jnp.zeros((2, n))])
