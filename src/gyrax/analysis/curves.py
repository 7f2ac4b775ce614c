"""A curve of fixed points: a network whose states and one number of it are the unknowns."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._kinds import shown
from .._types import State
from ..network.network import Network
from ..parameters.addresses import find_one, leaf_names, replace
from .resting import tolerance
from .slopes import Slopes, absent, flow, slopes
from .stability import eigen

#: Newton's steps back to the curve.
_NEWTON = 8
#: Modes that are asked for of a delayed network beside those that grow; more take longer.
_ASKED = 2


def moved(network: Network, parameter: Any) -> tuple[str, int]:
    """Name and index of the leaf that a parameter names, in errors by this argument's name."""
    if not isinstance(parameter, str) and (not callable(parameter) or isinstance(parameter, type)):
        raise TypeError(
            f"parameter= takes a dotted path or a function that returns a leaf, got {shown(parameter)}: write parameter='model.w'"
        )
    index = find_one(network, parameter)
    return leaf_names(network)[index], index


class Curve(eqx.Module):
    """What is followed: a network, which of its leaves moves and how far, and in which units steps are measured.

    Attributes:
        network: whose leaf moves.
        sizes: of states and the parameter, `(flat + 1,)`.
        index: of the leaf.
        ends: of the parameter.
    """

    network: Network
    sizes: Float[np.ndarray, " place"]
    index: int = eqx.field(static=True)
    ends: tuple[float, float] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.network.model.states), self.network.n_nodes

    @property
    def metric(self) -> np.ndarray:
        """So that many regions weigh no more than the parameter."""
        return np.r_[np.full(len(self.sizes) - 1, 1 / self.network.n_nodes), 1.0]

    def norm(self, way: np.ndarray) -> float:
        return float(np.sqrt(way**2 @ self.metric))


class Point(NamedTuple):
    """A place on a branch.

    Attributes:
        place: states and the parameter, in their units, `(flat + 1,)`.
        way: where the branch goes from here, in the same.
        rates: of its modes, the first first.
        kind: 'fold', 'hopf' or 'branch point'; otherwise empty.
        crossing: the rate of the mode that crosses zero there, or of the first one.
    """

    place: np.ndarray
    way: np.ndarray
    rates: np.ndarray
    kind: str = ""
    crossing: complex | np.complexfloating = 0.0


def drift(curve: Curve, place: Float[Array, " place"]) -> Float[Array, " flat"]:
    """The drift at a place in units of the sizes."""
    return flow(_with(curve.network, curve.index, place[-1] * curve.sizes[-1]), state(curve, place)).reshape(-1)


def state(curve: Curve, place: Float[Array, " place"]) -> State:
    """The states at a place, in their own units."""
    return (place[:-1] * curve.sizes[:-1]).reshape(curve.shape)


def _with(network: Network, index: int, value: Array) -> Network:
    """The network with one number of it changed."""
    return replace(network, {index: jnp.broadcast_to(value, jnp.shape(jax.tree.leaves(network)[index]))})


@eqx.filter_jit
def jacobian(curve: Curve, place: Float[Array, " place"]) -> Float[Array, "flat place"]:
    """The drift's derivatives by the states and the parameter, in units of the sizes."""
    return jax.jacfwd(lambda place: drift(curve, place))(place)


@eqx.filter_jit
def back_to(
    curve: Curve, guess: Float[Array, " place"], normal: Float[Array, " place"]
) -> tuple[Float[Array, " place"], Float[Array, " place"], Bool[Array, ""]]:
    """The place on the branch beside a guess, in the plane of a normal; the tangent there, and whether there is one."""
    eps = jnp.finfo(guess.dtype).eps

    def bordered(place):
        jacobian = jax.jacfwd(lambda place: drift(curve, place))(place)
        rows = jnp.maximum(jnp.abs(jacobian).max(1), jnp.finfo(guess.dtype).tiny)
        return jnp.concatenate([jacobian / rows[:, None], normal[None]]), rows

    def going(carry):
        place, moved, count = carry
        enough = jnp.maximum(tolerance(guess.dtype), 20 * eps * jnp.abs(place).max())
        return ~(moved <= enough) & (count < _NEWTON) & jnp.isfinite(place).all()

    def step(carry):
        place, _, count = carry
        matrix, rows = bordered(place)
        off = jnp.append(drift(curve, place) / rows, normal @ (place - guess))
        move = -jnp.linalg.solve(matrix, off)
        return place + move, jnp.abs(move).max(), count + 1

    place, moved, _ = jax.lax.while_loop(going, step, (guess, jnp.asarray(jnp.inf, guess.dtype), 0))
    enough = jnp.maximum(tolerance(guess.dtype), 20 * eps * jnp.abs(place).max())
    way = jnp.linalg.solve(bordered(place)[0], jnp.zeros_like(guess).at[-1].set(1.0))
    return place, way, (moved <= enough) & jnp.isfinite(way).all()


@eqx.filter_jit
def _slopes_at(curve: Curve, place: Float[Array, " place"]) -> Slopes:
    return slopes(_with(curve.network, curve.index, place[-1] * curve.sizes[-1]), state(curve, place))


def rates_at(curve: Curve, place: np.ndarray) -> np.ndarray:
    """Rates of the modes there, the first first; of a delayed network all that grow, and some more."""
    found, count = _slopes_at(curve, as_array(place / curve.sizes)), _ASKED
    gone = absent(curve.network)
    if not found.late:
        there = np.flatnonzero(~gone)
        rates: Any = np.linalg.eigvals(np.asarray(found.at_once, float)[np.ix_(there, there)]).astype(complex)
        return rates[np.lexsort((-rates.imag, -rates.real))]
    while True:
        rates = eigen(found, count, gone)[0]
        if len(rates) < count or rates[-1].real < 0:
            return rates
        count *= 2


def as_array(place: np.ndarray) -> Array:
    """A place in the default precision."""
    return jnp.asarray(place, jnp.result_type(float))
