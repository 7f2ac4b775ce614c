"""A network's drift to first order around a state: what acts at once, and what arrives late."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import Features, Matrix, State
from ..couplings import AbstractPairCoupling
from ..models.groups import Groups
from ..network.afferent import AbstractAfferent, prepared
from ..network.living import full_names
from ..network.network import Network


class _Sums(AbstractAfferent):
    """What delayed couplings bring, given; all else acts at once."""

    sums: dict[str, Features]

    @property
    def late(self) -> tuple[str, ...]:
        return tuple(self.sums)

    def delayed(self, name: str, t: Any) -> Features:
        return self.sums[name]


class Late(NamedTuple):
    """A coupling that takes time: regions send, what is sent arrives after a while, and is felt."""

    felt: Float[Array, "state feature node"]
    weights: Any
    ms: Matrix
    sent: Float[Array, "feature state node"]


class Slopes(eqx.Module):
    r"""$\dot y = A\,y + \sum_{c,j} B_c W_{ij} C_c\, y_j(t - \tau_{ij}) + E \eta$, around a state that stands still.

    Attributes:
        at_once: A, with all couplings that act at once, `(state * node, state * node)`.
        late: couplings that take time, by name.
        memory: E, what each row of coloured noise adds to the derivatives, `(state, row, node)`.
    """

    at_once: Float[Array, "flat flat"]
    late: dict[str, Late]
    memory: Float[Array, "state row node"]

    def jacobian(self, rate: Array | complex) -> Any:
        r"""$J(\lambda)$ of $\dot y = J y$ for activity that grows as $e^{\lambda t}$, with $\lambda$ per ms."""
        found = self.at_once
        for late in self.late.values():
            found = found + between(late, late.weights * _numpy(late.ms).exp(-rate * late.ms), found.shape)
        return found

    def slope(self, rate: Array | complex) -> Any:
        r"""$dJ/d\lambda$."""
        found = 0 * self.at_once
        for late in self.late.values():
            found = found + between(late, -late.ms * late.weights * _numpy(late.ms).exp(-rate * late.ms), found.shape)
        return found


def between(late: Late, heard: Any, shape: tuple[int, ...]) -> Any:
    """What regions make of each other's states."""
    return _numpy(heard).einsum("sfi,ij,ftj->sitj", late.felt, heard, late.sent, optimize=True).reshape(shape)


def _numpy(x: Any) -> Any:
    """NumPy of what is NumPy's, in its precision, for what is not traced; JAX of all else."""
    return np if isinstance(x, np.ndarray) else jnp


def absent(network: Network) -> Bool[np.ndarray, "state node"]:
    """Which states a node does not have, as it is of another group."""
    if isinstance(network.model, Groups):
        return network.model.missing(network.model.states)
    return np.zeros((len(network.model.states), network.n_nodes), bool)


def flow(network: Network, y: State, afferent: AbstractAfferent | None = None) -> State:
    """The drift; what a node does not have goes to zero, where it would stay wherever it is and leave no slope to solve by."""
    found, gone = network.drift(0.0, y, afferent), absent(network)
    return jnp.where(gone, -y, found) if gone.any() else found


def slopes(network: Network, y: State) -> Slopes:
    """How the drift of a network changes with its state, now and as long ago as connections take."""
    delays, rows = network.delays, network.n_rows - len(network.model.states)
    sums = {name: _sums(network, name, y) for name in delays}
    instant = {name: network.prepared(coupling) for name, coupling in network.couplings.items() if name not in delays}
    degree, ones = network.degree(), jnp.ones(y.shape[1:], y.dtype)

    def fed(y, sums, memory):
        return flow(network, y, _Sums(0.0, 1.0, instant, degree, (memory, memory), sums=sums))

    quiet = jnp.zeros((rows, y.shape[1]), y.dtype)
    flat = jax.jacfwd(lambda x: fed(x.reshape(y.shape), sums, quiet).reshape(-1))(y.reshape(-1))

    def along(function, x):
        """What a function of rows does with each row of its own node: `(out, row, node)`."""
        units = jnp.eye(len(x), dtype=x.dtype)[:, :, None] * ones
        return jax.vmap(lambda unit: jax.jvp(function, (x,), (unit,))[1], out_axes=1)(units)

    late = {
        name: Late(
            along(lambda own, name=name: fed(y, sums | {name: own}, quiet), sums[name]),
            network.weights(network.couplings[name]),
            delay.times(network.wiring(network.couplings[name])),
            along(lambda x, name=name: network.sent(name, x), y),
        )
        for name, delay in delays.items()
    }
    return Slopes(flat, late, along(lambda own: fed(y, sums, own), quiet))


def _sums(network: Network, name: str, y: State) -> Features:
    return network.sent(name, y) @ prepared(network.weights(network.couplings[name]))


def check_simple(network: Network) -> None:
    """Refuses what a theory of still states is not of.

    Raises:
        ValueError: for a stimulus, couplings with states of their own or of pairs with delays, or delays on a surface.
    """
    if network.n_living:
        raise ValueError(
            f"couplings of this network have states of their own, {', '.join(full_names(network))}, and the theory here is of the model's alone: "
            "take a coupling without, such as gx.couplings.Linear with the weights that a run came to, or simulate"
        )
    if network.stimulus is not None:
        raise ValueError(
            "around a fixed point nothing changes with time, and this network has a stimulus: build it without one; a constant "
            "drive is a parameter of most models"
        )
    for name in network.delays:
        if isinstance(network.couplings[name], AbstractPairCoupling):
            raise ValueError(
                f"{name} is a coupling of pairs with delays, which has no linear theory here: give it delay=gx.NoDelay(), or the network none"
            )
    if network.surface is not None and network.delays:
        raise ValueError(
            "delays between the regions of a surface have no linear theory here: build the network without a surface"
        )
