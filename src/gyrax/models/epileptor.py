"""The Epileptor of partial seizures, and its reduction to two variables."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel


class _AbstractEpileptor(AbstractModel):
    """The two populations of a seizure and their permittivity, alone or beside other states."""

    outputs: ClassVar = ("lfp",)

    a: Parameter = parameter(1.0, domain=Real(), doc="cubic coefficient of x1")
    b: Parameter = parameter(3.0, domain=Real(), doc="quadratic coefficient of x1")
    c: Parameter = parameter(1.0, domain=Real(), doc="constant drive of y1")
    d: Parameter = parameter(5.0, domain=Real(), doc="quadratic drive of y1 by x1")
    r: Parameter = parameter(0.00035, domain=Positive(), doc="rate of the permittivity")
    s: Parameter = parameter(4.0, domain=Real(), doc="linear drive of the permittivity by x1")
    x0: Parameter = parameter(-1.6, domain=Real(), doc="epileptogenicity")
    Iext: Parameter = parameter(3.1, domain=Real(), doc="input to the first population")
    slope: Parameter = parameter(0.0, domain=Real(), doc="linear coefficient of x1 above zero")
    Iext2: Parameter = parameter(0.45, domain=Real(), doc="input to the second population")
    tau: Parameter = parameter(10.0, domain=Positive(), doc="time constant of y2")
    aa: Parameter = parameter(6.0, domain=Real(), doc="drive of y2 by x2")
    bb: Parameter = parameter(2.0, domain=Real(), doc="drive of the second population by the filtered x1")
    Kvf: Parameter = parameter(0.0, domain=Real(), doc="very fast coupling, to x1")
    Kf: Parameter = parameter(0.0, domain=Real(), doc="fast coupling, to x2")
    Ks: Parameter = parameter(0.0, domain=Real(), doc="permittivity coupling, to z")
    tt: Parameter = parameter(1.0, domain=Positive(), doc="speed of everything")
    modification: bool = eqx.field(static=True, default=False)

    @abc.abstractmethod
    def lfp(self, y: State) -> Float[Array, " node"]:
        """Local field potential."""

    def _seizing(self, y: State, u: Inputs) -> State:
        """Derivatives of the six states of `Epileptor`."""
        (x1, y1, z, x2, y2, g), (c_x1, c_x2) = y, u
        gain = jnp.where(x1 < 0, (self.b - self.a * x1) * x1, self.slope - x2 + 0.6 * (z - 4) ** 2)
        h = permittivity(x1, z, self.x0, self.s, sigmoidal=self.modification)
        dx2 = -y2 + x2 - x2**3 + self.Iext2 + self.bb * g - 0.3 * (z - 3.5) + self.Kf * c_x2
        return self.tt * jnp.stack(
            [
                y1 + gain * x1 - z + self.Iext + self.Kvf * c_x1,
                self.c - self.d * x1**2 - y1,
                self.r * (h - z + self.Ks * c_x1),
                dx2,
                (-y2 + jnp.where(x2 < -0.25, 0.0, self.aa * (x2 + 0.25))) / self.tau,
                -0.01 * (g - 0.1 * x1),
            ]
        )


class Epileptor(_AbstractEpileptor):
    r"""Seizure-like events of one region, Jirsa et al. (2014), "On the nature of seizure dynamics", Brain 137(8), with the
    integral $g$ as a sixth variable (their supplementary information 3).

    $$\dot x_1 = y_1 - f_1 - z + I_{ext} + K_{vf} c_{x1}, \quad \dot y_1 = c - d x_1^2 - y_1, \quad
    \dot z = r\,(h - z + K_s c_{x1})$$

    $$\dot x_2 = -y_2 + x_2 - x_2^3 + I_{ext2} + bb\,g - 0.3 (z - 3.5) + K_f c_{x2}, \quad
    \tau \dot y_2 = -y_2 + f_2, \quad \dot g = -0.01 (g - 0.1 x_1)$$

    $$f_1 = \begin{cases} a x_1^3 - b x_1^2 & x_1 < 0 \\ (x_2 - slope - 0.6 (z - 4)^2)\, x_1 & x_1 \ge 0 \end{cases}, \quad
    f_2 = \begin{cases} 0 & x_2 < -0.25 \\ aa\,(x_2 + 0.25) & x_2 \ge -0.25 \end{cases}$$

    $$h = s\,(x_1 - x_0) - \begin{cases} 0.1 z^7 & z < 0 \\ 0 & z \ge 0 \end{cases}$$

    and every derivative times `tt`. The population (x1, y1) makes fast discharges, (x2, y2) spike and wave events; z, the
    permittivity, is slow and switches seizures on and off; g is x1 behind a low-pass filter. All are dimensionless, as is
    time: one unit is 1 ms here, as in The Virtual Brain, and `tt` stretches it. Output `lfp` = x2 - x1 is what a depth
    electrode would see. Above x0 = -2.06 the resting state is gone and seizures come by themselves.

    Inputs `c_x1` and `c_x2` are for differences with other regions' x1 and x2 (`gx.couplings.Difference`), each effect
    behind its own strength, all zero unless switched on: very fast `Kvf`, fast `Kf`, and `Ks` on the permittivity, which
    is negative where seizures recruit other regions (Proix et al. 2014 write $-K_s$). Symbols are The Virtual Brain's: c is
    the paper's $y_0$, r its $1/\tau_0$, tau its $\tau_2$. From there are also Kvf, Kf, slope, tt, and the term below z = 0,
    which the paper lacks and no seizure reaches. Its `s` is declared there but its equations always use 4; here it acts.

    Args:
        modification: permittivity driven by a sigmoid, `h = x0 + 3 / (1 + exp(-(x1 + 0.5) / 0.1))`, as in Proix et al.
            (2014), "Permittivity coupling across brain regions determines seizure recruitment in partial epilepsy", J.
            Neurosci. 34(45). Then x0 is z's resting value (about 3), and s does nothing.

    Example:
        >>> model = Epileptor(x0=-2.2, Ks=-0.5)
        >>> model.read(("z", "lfp"), model.start(84)).shape
        (2, 84)
    """

    states: ClassVar = ("x1", "y1", "z", "x2", "y2", "g")
    inputs: ClassVar = ("c_x1", "c_x2")
    reference: ClassVar = "Jirsa et al. (2014), doi:10.1093/brain/awu133"
    peers: ClassVar = {"tvb": "Epileptor", "tvboptim": "Epileptor"}

    def drift(self, t, y: State, u: Inputs) -> State:
        return self._seizing(y, u)

    def lfp(self, y: State) -> Float[Array, " node"]:
        """Local field potential x2 - x1."""
        return y[3] - y[0]

    def start(self, n: int) -> State:
        """Between seizures."""
        return between_seizures(n)


class Epileptor2D(AbstractModel):
    r"""The Epileptor on its slow time scale, where the second population and y1 follow at once: Proix et al. (2014),
    "Permittivity coupling across brain regions determines seizure recruitment in partial epilepsy", J. Neurosci. 34(45).

    $$\dot x_1 = c - z + I_{ext} + K_{vf} c_{x1} - f x_1, \quad
    f = \begin{cases} a x_1^2 + (d - b) x_1 & x_1 < 0 \\ d x_1 - slope - 0.6 (z - 4)^2 & x_1 \ge 0 \end{cases}$$

    $$\dot z = r\,(h - z + K_s c_{x1}), \quad
    h = 4 (x_1 - x_0) - \begin{cases} 0.1 z^7 & z < 0 \\ 0 & z \ge 0 \end{cases}$$

    and both times `tt`. States, the input `c_x1` (a difference with other regions' x1), units and symbols are those of
    `Epileptor`; x1 no longer discharges in a seizure but stays high. Defaults are The Virtual Brain's, from where are also
    Kvf, slope, tt, the branch above zero, and the term below z = 0.

    Args:
        modification: permittivity driven by a sigmoid, as in `Epileptor`.

    Example:
        >>> Epileptor2D(x0=-2.2).drift(0.0, jnp.array([[-1.5], [3.0]]), jnp.zeros((1, 1))).shape
        (2, 1)
    """

    states: ClassVar = ("x1", "z")
    inputs: ClassVar = ("c_x1",)
    reference: ClassVar = "Proix et al. (2014), doi:10.1523/JNEUROSCI.1417-14.2014"
    peers: ClassVar = {"tvb": "Epileptor2D"}

    a: Parameter = parameter(1.0, domain=Real(), doc="cubic coefficient of x1")
    b: Parameter = parameter(3.0, domain=Real(), doc="quadratic coefficient of x1")
    c: Parameter = parameter(1.0, domain=Real(), doc="constant drive")
    d: Parameter = parameter(5.0, domain=Real(), doc="quadratic coefficient of what y1 was")
    r: Parameter = parameter(0.00035, domain=Positive(), doc="rate of the permittivity")
    x0: Parameter = parameter(-1.6, domain=Real(), doc="epileptogenicity")
    Iext: Parameter = parameter(3.1, domain=Real(), doc="input")
    slope: Parameter = parameter(0.0, domain=Real(), doc="linear coefficient of x1 above zero")
    Kvf: Parameter = parameter(0.0, domain=Real(), doc="very fast coupling, to x1")
    Ks: Parameter = parameter(0.0, domain=Real(), doc="permittivity coupling, to z")
    tt: Parameter = parameter(1.0, domain=Positive(), doc="speed of everything")
    modification: bool = eqx.field(static=True, default=False)

    def drift(self, t, y: State, u: Inputs) -> State:
        (x1, z), (c_x1,) = y, u
        f = jnp.where(
            x1 < 0,
            (self.a * x1 + self.d - self.b) * x1,
            self.d * x1 - self.slope - 0.6 * (z - 4) ** 2,
        )
        h = permittivity(x1, z, self.x0, 4.0, sigmoidal=self.modification)
        dx1 = self.c - z + self.Iext + self.Kvf * c_x1 - f * x1
        return self.tt * jnp.stack([dx1, self.r * (h - z + self.Ks * c_x1)])

    def start(self, n: int) -> State:
        """Between seizures."""
        return jnp.tile(jnp.array([-1.6, 3.5])[:, None], n)


def between_seizures(n: int) -> State:
    """The six states of the `Epileptor` in n regions without a seizure."""
    return jnp.tile(jnp.array([-1.6, -12.0, 3.5, -1.0, 0.0, 0.0])[:, None], n)


def permittivity(
    x1: Float[Array, " node"],
    z: Float[Array, " node"],
    x0: Float[Array, "..."],
    s: Float[Array, "..."] | float,
    *,
    sigmoidal: bool,
) -> Float[Array, " node"]:
    """What the permittivity z relaxes to: a line in x1 that resists z below zero, or a sigmoid."""
    if sigmoidal:
        return x0 + 3 * jax.nn.sigmoid((x1 + 0.5) / 0.1)
    return s * (x1 - x0) - jnp.where(z < 0, 0.1 * z**7, 0.0)
