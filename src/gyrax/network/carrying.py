"""What a run carries of a network: the model's states, rows of what remembers below them, and states that couplings have of their own."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import State
from . import living
from .living import Whole

if TYPE_CHECKING:
    from .network import Network


def names_of_rows(network: "Network") -> tuple[str, ...]:
    """What the rows that a run carries are, in words that differ where the rows do."""
    remembered = [f"{row} of {name}" for name in network.memories for row in network.rows(network.noises[name])]
    return (*network.model.states, *remembered, *living.described(network))


def begin(network: "Network", y: State, key: Any) -> Float[Array, "row node"]:
    """The rows with which a run begins: the state, what remembers, drawn from the key, and states of couplings."""
    rows = y
    if network.memories:
        normals = jax.random.normal(jax.random.fold_in(key, 0x0C01), (len(network.noisy), network.n_nodes), y.dtype)
        fresh = network.split(normals)
        rows = jnp.concatenate([y, *(part.begin(fresh[name]) for name, part in network.memories.items())])
    return closed(network, network.whole(rows))


def opened(network: "Network", rows: Float[Array, "row node"]) -> Any:
    """What a run carries, from its rows: these, or a tree of them where couplings have states of their own."""
    return living.opened(network, rows) if network.n_living else rows


def closed(network: "Network", y: Any) -> Float[Array, "row node"]:
    """The rows again."""
    return living.closed(network, y) if isinstance(y, Whole) else y


def stepped(network: "Network", y: Any) -> Any:
    """What the solver steps of what a run carries: all but what remembers."""
    return y._replace(states=network.settled(y)) if isinstance(y, Whole) else network.settled(y)


def limited(network: "Network", y: Any) -> Any:
    """What the solver steps, held inside the limits of the model and of couplings."""
    return living.limited(network, y) if isinstance(y, Whole) else network.model.limit(y)


def remembering(network: "Network", y: Any) -> Float[Array, "row node"]:
    """The rows of what remembers of what a run carries."""
    return (y.states if isinstance(y, Whole) else y)[len(network.model.states) :]


def remembered(
    network: "Network", rows: Float[Array, "row node"], increments: Float[Array, "noisy node"], dt: float
) -> Float[Array, "row node"]:
    """Rows of memory a step later."""
    fresh, own = network.split(increments), remembered_apart(network, rows)
    return jnp.concatenate([part.advance(own[name], fresh[name], dt) for name, part in network.memories.items()])


def remembered_apart(network: "Network", rows: Float[Array, "row node"]) -> dict[str, Float[Array, "own node"]]:
    """Rows of memory by the part whose they are."""
    found, before = {}, 0
    for name in network.memories:
        count = len(network.rows(network.noises[name]))
        found[name], before = rows[before : before + count], before + count
    return found


def with_memory(network: "Network", y: Any, rows: Float[Array, "row node"]) -> Any:
    """What a run carries, of what the solver steps and the rows of what remembers."""
    below = jnp.concatenate([network.settled(y), rows])
    return y._replace(states=below) if isinstance(y, Whole) else below
