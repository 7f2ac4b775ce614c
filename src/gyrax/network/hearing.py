"""What regions hear of each other through the couplings, and how states that couplings have of their own move."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jaxtyping import Array

from .._types import Features
from ..couplings import AbstractPairCoupling
from .afferent import AbstractAfferent
from .living import Own, source_flow
from .pairs import Messages, bare

if TYPE_CHECKING:
    from .network import Network


def coupled(network: "Network", t: Any, y: Any, afferent: AbstractAfferent | None = None) -> dict[str, Features]:
    """What every coupling feeds to the inputs that it targets, by coupling; arguments as those of `Network.input`."""
    found, own = {}, network.own(y)
    for name, coupling in network.couplings.items():
        weights = _weights(network, name, afferent)
        if isinstance(coupling, AbstractPairCoupling):
            ends = _ends(network, name, t, y, afferent, weights)
            total = weights.total(coupling, ends, own[name].edges if own else {})
        else:
            total = jnp.zeros((), network.settled(y).dtype) if weights is None else network.sent(name, y) @ weights
            late = _late(name, t, afferent)
            total = total if late is None else total + late
        degree = network.weights(coupling).sum(axis=1) if afferent is None else afferent.degree[name]
        fed = bare(coupling).decode(total, network.sources(coupling, y), degree)
        if network.surface is not None and not network.local(coupling):
            fed = network.surface.spread(fed)
        found[name] = fed
    return found


def own_flow(network: "Network", t: Any, y: Any, afferent: AbstractAfferent | None = None) -> dict[str, Own]:
    """Time derivatives of the states that couplings have of their own."""
    found = {}
    for name, own in network.own(y).items():
        coupling, edges = network.couplings[name], {}
        if isinstance(coupling, AbstractPairCoupling) and own.edges:
            messages = _weights(network, name, afferent)
            edges = messages.flow(coupling, _ends(network, name, t, y, afferent, messages), own.edges)
        sources = source_flow(coupling, network.sources(coupling, y), own.sources)
        found[name] = Own({state: row[None] for state, row in sources.items()}, edges)
    return found


def _weights(network: "Network", name: str, afferent: AbstractAfferent | None) -> Any:
    """What the weights of a coupling do, or its connections of pairs; None where all that arrives is late."""
    return network.prepared(network.couplings[name]) if afferent is None else afferent.instant.get(name)


def _late(name: str, t: Any, afferent: AbstractAfferent | None) -> Array | None:
    """What arrives late, if anything does."""
    return afferent.delayed(name, t) if afferent is not None and name in afferent.late else None


def _ends(
    network: "Network", name: str, t: Any, y: Any, afferent: AbstractAfferent | None, messages: Messages
) -> tuple[Array, Array]:
    """Both ends of the connections of a coupling of pairs."""
    x = network.sources(network.couplings[name], y)
    return messages.ends(network.sent(name, y), x, _late(name, t, afferent))
