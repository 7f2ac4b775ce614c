"""Bursters in the unfolding of the degenerate Takens-Bogdanov singularity: seizures by their class of onset and offset."""

import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Inputs, Parameter, State
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractModel

#: Coordinates (mu2, -mu1, nu), each one value or one a region.
Point = tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]


class _Burster(AbstractModel):
    """What both models share: the fast subsystem, and how z moves it along an arc of the sphere."""

    b: Parameter = parameter(1.0, domain=Real(), doc="type of the unfolding, 1 for the focus type")
    R: Parameter = parameter(0.4, domain=Positive(), doc="radius of the sphere in the unfolding")
    dstar: Parameter = parameter(0.3, domain=Real(), doc="distance from rest at which z turns")
    Ks: Parameter = parameter(0.0, domain=Real(), doc="permittivity coupling, to z")
    N: int = eqx.field(static=True, default=1)
    modification: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if not isinstance(self.N, int) or self.N not in (1, 2, 3):
            raise ValueError(f"the branch of the resting state is N=1 (upper), 2 (lower) or 3 (middle); got N={self.N}")

    def burst(self, y: State, c_x: Float[Array, " node"], *, offset: Point, onset: Point) -> tuple[Array, Array, Array]:
        """Derivatives of x and y, and how fast z returns, with the path between two points of the sphere."""
        x, v, z = y[:3]
        mu2, minus_mu1, nu = arc(offset, onset, z, self.R)
        speed = x**3 - mu2 * x + minus_mu1 - v * (nu + self.b * x + x**2)
        away = length(x - self.resting_state(mu2, -minus_mu1), v)
        pull = 0.1 * (z - 0.5) ** 7 if self.modification else 0.0
        return -v, speed, -(away - self.dstar + pull + self.Ks * c_x)

    def resting_state(self, mu2: Float[Array, "..."], mu1: Float[Array, "..."]) -> Float[Array, "..."]:
        """Where x rests: branch `N` of the equilibria of the fast subsystem."""
        return equilibrium(mu2, mu1, self.N)


class EpileptorCodim3(_Burster):
    r"""Fast-slow burster of Saggio et al. (2017), "Fast-slow bursters in the unfolding of a high codimension singularity and
    the ultra-slow transitions of classes", J. Math. Neurosci. 7:7, equations 4 and 7.

    $$\dot x = -y, \quad \dot y = x^3 - \mu_2 x - \mu_1 - y (\nu + b x + x^2)$$

    $$\dot z = -c \left(\sqrt{(x - x_s)^2 + y^2} - d^* + 0.1 (z - 0.5)^7 + K_s c_x\right)$$

    $$(\mu_2, -\mu_1, \nu) = R\,(E \cos z + F \sin z), \quad E = \frac{A}{|A|}, \quad
    F = \frac{(A \times B) \times A}{|(A \times B) \times A|}$$

    The slow z moves the fast (x, y) along an arc of a sphere in the unfolding, from where bursts end, A (`_start`), to where
    they begin, B (`_stop`); where the two points lie decides the class. Defaults are class c2s: onset by a saddle-node,
    offset by a saddle-homoclinic bifurcation. All is dimensionless; one unit of time is 1 ms, as in The Virtual Brain, from
    where are the names and defaults. Input `c_x` is for a difference with other regions' x.

    The resting state $x_s$ solves $x^3 - \mu_2 x - \mu_1 = 0$; where its branch ends in a fold, it is the real part of the
    complex pair. For $\mu_2 < 0$ there is one real root, which branch 1 is here; The Virtual Brain's sum of two cube roots
    there solves nothing.

    Args:
        N: branch of the resting state: 1 for the upper, 2 for the lower one, 3 for the saddle between.
        modification: with the term in $(z - 0.5)^7$, The Virtual Brain's, which holds z where d* is negative.

    Example:
        >>> EpileptorCodim3().drift(0.0, jnp.array([[0.5], [0.0], [0.1]]), jnp.zeros((1, 1))).shape
        (3, 1)
    """

    states: ClassVar = ("x", "y", "z")
    inputs: ClassVar = ("c_x",)
    reference: ClassVar = "Saggio et al. (2017), doi:10.1186/s13408-017-0050-8"
    peers: ClassVar = {"tvb": "EpileptorCodim3"}

    c: Parameter = parameter(0.001, domain=Positive(), doc="rate of z")
    mu1_start: Parameter = parameter(-0.02285, domain=Real(), doc="mu1 where bursts end")
    mu2_start: Parameter = parameter(0.3448, domain=Real(), doc="mu2 where bursts end")
    nu_start: Parameter = parameter(0.2014, domain=Real(), doc="nu where bursts end")
    mu1_stop: Parameter = parameter(-0.07465, domain=Real(), doc="mu1 where bursts begin")
    mu2_stop: Parameter = parameter(0.3351, domain=Real(), doc="mu2 where bursts begin")
    nu_stop: Parameter = parameter(0.2053, domain=Real(), doc="nu where bursts begin")

    def drift(self, t, y: State, u: Inputs) -> State:
        dx, dy, dz = self.burst(
            y,
            u[0],
            offset=(self.mu2_start, -self.mu1_start, self.nu_start),
            onset=(self.mu2_stop, -self.mu1_stop, self.nu_stop),
        )
        return jnp.stack([dx, dy, self.c * dz])

    def start(self, n: int) -> State:
        """Close to rest."""
        return jnp.tile(jnp.array([0.5, 0.0, 0.0])[:, None], n)


class EpileptorCodim3SlowMod(_Burster):
    r"""`EpileptorCodim3` whose class changes ultra-slowly, Saggio et al. (2017), equations 4 and 7, with the two ends of the
    path on arcs of their own.

    $$A = R\,(G \cos u_A + H \sin u_A), \quad B = R\,(L \cos u_B + M \sin u_B), \quad \dot u_A = c_A, \quad \dot u_B = c_B$$

    with G, H from the points `_Ain` and `_Aend` of the offset, and L, M from `_Bin` and `_Bend` of the onset, as E, F from A, B
    there. The states x, y, z, the input `c_x`, `N`, `modification` and the unit of time are those of `EpileptorCodim3`; names
    and defaults are The Virtual Brain's.

    Example:
        >>> EpileptorCodim3SlowMod().drift(0.0, jnp.zeros((5, 1)), jnp.zeros((1, 1)))[3:].shape
        (2, 1)
    """

    states: ClassVar = ("x", "y", "z", "uA", "uB")
    inputs: ClassVar = ("c_x",)
    reference: ClassVar = "Saggio et al. (2017), doi:10.1186/s13408-017-0050-8"
    peers: ClassVar = {"tvb": "EpileptorCodim3SlowMod"}

    c: Parameter = parameter(0.002, domain=Positive(), doc="rate of z")
    cA: Parameter = parameter(0.0001, domain=Positive(), doc="rate at which the offset moves")
    cB: Parameter = parameter(0.00012, domain=Positive(), doc="rate at which the onset moves")
    mu1_Ain: Parameter = parameter(0.05494, domain=Real(), doc="mu1 of the offset at uA = 0")
    mu2_Ain: Parameter = parameter(0.2731, domain=Real(), doc="mu2 of the offset at uA = 0")
    nu_Ain: Parameter = parameter(0.287, domain=Real(), doc="nu of the offset at uA = 0")
    mu1_Bin: Parameter = parameter(-0.0461, domain=Real(), doc="mu1 of the onset at uB = 0")
    mu2_Bin: Parameter = parameter(0.243, domain=Real(), doc="mu2 of the onset at uB = 0")
    nu_Bin: Parameter = parameter(0.3144, domain=Real(), doc="nu of the onset at uB = 0")
    mu1_Aend: Parameter = parameter(0.06485, domain=Real(), doc="mu1 that the offset moves towards")
    mu2_Aend: Parameter = parameter(0.07337, domain=Real(), doc="mu2 that the offset moves towards")
    nu_Aend: Parameter = parameter(-0.3878, domain=Real(), doc="nu that the offset moves towards")
    mu1_Bend: Parameter = parameter(0.03676, domain=Real(), doc="mu1 that the onset moves towards")
    mu2_Bend: Parameter = parameter(-0.02792, domain=Real(), doc="mu2 that the onset moves towards")
    nu_Bend: Parameter = parameter(-0.3973, domain=Real(), doc="nu that the onset moves towards")

    def drift(self, t, y: State, u: Inputs) -> State:
        A_in, A_end = (self.mu2_Ain, -self.mu1_Ain, self.nu_Ain), (self.mu2_Aend, -self.mu1_Aend, self.nu_Aend)
        B_in, B_end = (self.mu2_Bin, -self.mu1_Bin, self.nu_Bin), (self.mu2_Bend, -self.mu1_Bend, self.nu_Bend)
        offset, onset = arc(A_in, A_end, y[3], self.R), arc(B_in, B_end, y[4], self.R)
        dx, dy, dz = self.burst(y, u[0], offset=offset, onset=onset)
        still = jnp.zeros_like(dx)
        return jnp.stack([dx, dy, self.c * dz, self.cA + still, self.cB + still])

    def start(self, n: int) -> State:
        """Close to rest, at the beginning of the two arcs."""
        return jnp.tile(jnp.array([0.5, 0.0, 0.0, 0.0, 0.0])[:, None], n)


def arc(A: Point, B: Point, angle: Float[Array, " node"], R: Float[Array, "..."]) -> Point:
    """The point of the great circle from A through B, on the sphere of radius R, at an angle from A.

    Where A and B lie in one direction there is no circle, and the point goes from A towards the origin.
    """
    E = _direction(A)
    along = sum(e * b for e, b in zip(E, B, strict=True))
    F = _direction([b - along * e for e, b in zip(E, B, strict=True)])
    x, y, z = (R * (e * jnp.cos(angle) + f * jnp.sin(angle)) for e, f in zip(E, F, strict=True))
    return x, y, z


def _direction(point: Point | list[Array]) -> list[Array]:
    size = length(*point)
    return [x / jnp.where(size > 0, size, 1.0) for x in point]


def length(*coordinates: Float[Array, "..."]) -> Float[Array, "..."]:
    """Euclidean norm whose slope at zero is zero, not the 0/0 of the square root.

    Example:
        >>> jax.grad(length)(0.0, 0.0).item()
        0.0
    """
    square = sum(x * x for x in coordinates)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def equilibrium(mu2: Float[Array, "..."], mu1: Float[Array, "..."], branch: int) -> Float[Array, "..."]:
    """Real part of the root of `x^3 - mu2 x - mu1` on the upper (1), lower (2) or middle (3) branch.

    Of three real roots it is the greatest, the least or the middle one. Of one real root and a complex pair, it is the pair
    where the branch has ended in a fold (upper: mu1 < 0 < mu2; lower: all but that; middle: always).

    Example:
        >>> [round(equilibrium(jnp.array(1.0), jnp.array(0.0), n).item(), 6) for n in (1, 2, 3)]
        [1.0, -1.0, 0.0]
    """
    three, single, among = _roots(mu2, mu1, branch)
    return jnp.where(three, among, jnp.where(_is_single(mu2, mu1, branch), single, -single / 2))


def _roots(mu2: Array, mu1: Array, branch: int) -> tuple[Array, Array, Array]:
    """Whether all roots are real; if not, the real one; if so, the one of the branch."""
    p, q = mu1 / 2, mu2 / 3
    inside = q**3 - p**2
    three = inside > 0
    # the cube root of the larger sum: the smaller one loses its digits
    large = jnp.cbrt(jnp.abs(p) + jnp.sqrt(jnp.where(three, 0.0, -inside)))
    single = jnp.where(p < 0, -1.0, 1.0) * (large + q / jnp.where(large > 0, large, 1.0))
    angle = jnp.arctan2(jnp.sqrt(jnp.where(three, inside, 0.0)), p) + {1: 0.0, 2: 2.0, 3: -2.0}[branch] * jnp.pi
    return three, single, 2 * jnp.sqrt(jnp.where(three, q, 0.0)) * jnp.cos(angle / 3)


def _is_single(mu2: Array, mu1: Array, branch: int) -> Array:
    """Whether the branch is the real root, where there is only one (the others are the real part of the pair)."""
    folded = (mu1 < 0) & (mu2 > 0)
    return {1: ~folded, 2: folded, 3: jnp.zeros_like(folded)}[branch]


@equilibrium.defjvp
def _equilibrium_jvp(branch, primals, tangents):
    # The implicit function of x^3 - mu2 x - mu1: what autodiff makes of cube roots cancels, and is 0/0 at folds.
    (mu2, mu1), (dmu2, dmu1) = primals, tangents
    three, single, among = _roots(mu2, mu1, branch)
    alone = _is_single(mu2, mu1, branch)
    x = jnp.where(three, among, single)
    slope = 3 * x**2 - mu2
    least = jnp.finfo(slope.dtype).eps ** 0.5 * (x**2 + jnp.abs(mu2)) + jnp.finfo(slope.dtype).tiny
    slope = jnp.where(jnp.abs(slope) < least, jnp.where(slope < 0, -least, least), slope)
    moved = (x * dmu2 + dmu1) / slope
    return equilibrium(mu2, mu1, branch), jnp.where(three | alone, moved, -moved / 2)
