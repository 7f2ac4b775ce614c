"""States that couplings have of their own, of what sends and of connections: rows of a run's state, below the model's."""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._digests import digest
from .._types import Sources
from ..anatomy.transposes import both_ways
from ..couplings import AbstractCoupling, AbstractPairCoupling
from ..couplings.base import taken_by
from .pairs import bare, edges_of

if TYPE_CHECKING:
    from .network import Network


class Own(NamedTuple):
    """States of one coupling by name: of sources, `(1, node)`, and of connections, `(place, list)`."""

    sources: dict[str, Any]
    edges: dict[str, Any]


class Whole(NamedTuple):
    """What the solver steps where couplings have states of their own: the model's states, `(state, node)`, and theirs, by coupling.

    A tree, not rows of one array: of those XLA's CPU backend makes one number after another, as it makes all pieces of the array in one kernel
    (397 us for the gradient of a step with two states of 7056 connections).
    """

    states: Any
    own: dict[str, Own]


def _kept(*arrays: Array) -> list[Array]:
    """The same numbers, as arrays that stand in memory before anything is made of them."""
    same = functools.partial(jax.tree.map, lambda x: x)
    there = jnp.isfinite(arrays[0].reshape(-1)[0])  # whatever it is: both ways lead to the same
    return jax.lax.platform_dependent(
        list(arrays),
        cpu=lambda x: jax.lax.cond(there, same, lambda x: jax.tree.map(jnp.negative, jax.tree.map(jnp.negative, x)), x),
        default=same,
    )


_keep, _ = both_ways("kept", _kept, _kept)


def kept(whole: Whole) -> Whole:
    """The same states, from which XLA's CPU backend computes once what several results share.

    It would make each result from where a step began, a hundred operations each. Of a branch it makes arrays first; a barrier
    does not keep it from anything.
    """
    leaves, tree = jax.tree.flatten(whole)
    return jax.tree.unflatten(tree, _keep(*leaves))


def names_of(coupling: AbstractCoupling) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the states that a coupling has of its own: of sources and of connections."""
    return coupling.source_states, coupling.edge_states if isinstance(coupling, AbstractPairCoupling) else ()


def rows_of(coupling: AbstractCoupling) -> int:
    """Rows that they take: one a state of sources, and those that states of connections fill."""
    sources, edges = names_of(coupling)
    lists = edges_of(coupling)
    return len(sources) + (0 if lists is None else len(edges) * lists.rows)


def _in_rows(network: "Network") -> list[tuple[str, AbstractCoupling]]:
    """The couplings in the order of their rows: by name, for JAX sorts what dicts hold, and a network has passed through it or not."""
    return sorted(network.couplings.items())


def described(network: "Network") -> tuple[str, ...]:
    """The blocks of rows below the model's states, in words that differ where they do."""
    found = []
    for name, coupling in _in_rows(network):
        sources, edges = names_of(coupling)
        found += [f"{name}.{state}" for state in sources]
        if edges:
            lists: Any = coupling.edges  # pyright: ignore[reportAttributeAccessIssue]
            which = digest(lists.heard, lists.counts, lists.owners)[:8]  # others may be as many
            found += [f"{name}.{state} of {lists!r}, {which}" for state in edges]
    return tuple(found)


def full_names(network: "Network") -> tuple[str, ...]:
    """The states that couplings have of their own, with the couplings they are of."""
    return tuple(f"{name}.{state}" for name, c in network.couplings.items() for names in names_of(c) for state in names)


def begun(network: "Network") -> tuple[str, ...]:
    """The dotted names of the parameters that say where states of couplings begin."""
    several = isinstance(network.coupling, dict)
    return tuple(f"coupling.{full}" if several else full for full in full_names(network))


def begin(network: "Network", states: Float[Array, "state node"]) -> Whole:
    """What a run starts with: of couplings, what their parameters of the same names say."""
    found, n, dtype = {}, network.n_nodes, states.dtype
    for name, coupling in network.couplings.items():
        sources, edges = names_of(coupling)
        own = Own({state: jnp.broadcast_to(getattr(coupling, state), (1, n)).astype(dtype) for state in sources}, {})
        for state in edges:
            lists: Any = coupling.edges  # pyright: ignore[reportAttributeAccessIssue]
            own.edges[state] = lists.laid(getattr(coupling, state)).astype(dtype)
        found[name] = own
    return Whole(states, found)


def opened(network: "Network", rows: Float[Array, "row node"]) -> Whole:
    """What a run carries, from rows one below the other."""
    before = len(rows) - network.n_living
    found, states = {}, rows[:before]

    def taken(count: int) -> Array:
        nonlocal before
        before += count
        return rows[before - count : before]

    for name, coupling in _in_rows(network):
        sources, edges = names_of(coupling)
        lists: Any = edges_of(coupling)
        own = {state: taken(1) for state in sources}
        found[name] = Own(own, {state: lists.from_rows(taken(lists.rows)) for state in edges})
    return Whole(states, found)


def closed(network: "Network", whole: Whole) -> Float[Array, "row node"]:
    """The rows again."""
    blocks = [whole.states]
    for name, coupling in _in_rows(network):
        (sources, edges), lists, own = names_of(coupling), edges_of(coupling), whole.own[name]
        blocks += [own.sources[state] for state in sources]
        blocks += [lists.in_rows(own.edges[state]) for state in edges]  # pyright: ignore[reportOptionalMemberAccess]
    return jnp.concatenate(blocks)


def finite(network: "Network", y: Any, axis: int) -> Bool[Array, "..."]:
    """Whether all numbers that a run carries of each node are; `axis` is that of their rows, before that of the nodes."""
    if not isinstance(y, Whole):
        return jnp.isfinite(y).all(axis)
    found = [jnp.isfinite(y.states).all(axis)]
    for name, own in y.own.items():
        lists: Any = edges_of(network.couplings[name])
        found += [jnp.isfinite(x).all(axis) for x in own.sources.values()]
        found += [lists.for_all(jnp.isfinite(x).all(axis), axis) for x in own.edges.values()]
    return functools.reduce(jnp.logical_and, found)


def counted(network: "Network", rows: Float[Array, "row node"]) -> Float[Array, "row node"]:
    """1 for each number of the rows, 0 for those of pairs that are not connected."""
    if not network.n_living:
        return jnp.ones_like(rows)
    whole = opened(network, jnp.ones_like(rows))
    for name, own in whole.own.items():
        if own.edges:
            there = network.prepared(network.couplings[name]).weights != 0
            own.edges.update({state: there.astype(rows.dtype) for state in own.edges})
    return closed(network, whole)


def limited(network: "Network", whole: Whole) -> Whole:
    """The states held inside the limits of model and couplings."""
    held = {}
    for name, own in whole.own.items():
        limits = network.couplings[name].limits
        held[name] = Own(*({k: _within(x, *limits[k]) if k in limits else x for k, x in each.items()} for each in own))
    return Whole(network.model.limit(whole.states), held)


def _within(x: Array, low: float | None, high: float | None) -> Array:
    # jnp.clip shares its gradient out where a value is the limit, by a division of every number: 28 us a step for 7056
    x = x if low is None else jnp.where(x < low, low, x)
    return x if high is None else jnp.where(x > high, high, x)


def encoded(coupling: AbstractCoupling, x: Sources, own: dict[str, Any]) -> Any:
    """What regions send: of their sources, and of what states these have."""
    if not own:
        return coupling.encode(x)
    return bare(coupling).encode(x, **{name: own[name][0] for name in taken_by(type(coupling).encode, 1)})


def source_flow(coupling: AbstractCoupling, x: Sources, own: dict[str, Any]) -> Any:
    """Time derivatives of the states of sources by name, `(node,)`, if the coupling is as it should be."""
    if not own:
        return {}
    states = {name: own[name][0] for name in taken_by(type(coupling).source_drift, 1)}
    return bare(coupling).source_drift(x, **states)


def between(
    network: "Network", messages: dict[str, Any], names: tuple[str, ...], y: Any
) -> Float[Array, "state place list"]:
    """States of connections of one coupling by their full names, and as a last row 1 where there is a weight, 0 elsewhere."""
    name, rows = names[0].rpartition(".")[0], network.own(y)
    there = jnp.asarray(messages[name].weights != 0)
    return jnp.stack(
        [*(rows[name].edges[full.rpartition(".")[2]] for full in names), there.astype(network.settled(y).dtype)]
    )


def edge_states(network: "Network", asked: tuple[str, ...] | None) -> dict[str, tuple[str, str]]:
    """The states of connections that short or full names mean: coupling and state, by full name.

    Raises:
        ValueError: if there are none, a name means none or several, or they are of more than one coupling.
    """
    there = {
        f"{name}.{state}": (name, state)
        for name, coupling in network.couplings.items()
        for state in names_of(coupling)[1]
    }
    if not there:
        raise ValueError(
            "connections of this network have no states of their own: see gx.plasticity, and edge_states of gx.AbstractPairCoupling"
        )
    found = {}
    for short in asked if asked is not None else there:
        meant = [full for full, (_, state) in there.items() if short in (full, state)]
        if len(meant) != 1:
            many = f"means {' and '.join(meant)}" if meant else "is no state of connections"
            raise ValueError(f"'{short}' {many}: there are {', '.join(there)}")
        if meant[0] in found:
            raise ValueError(f"{', '.join(asked or ())} name {meant[0]} twice: once is enough")
        found[meant[0]] = there[meant[0]]
    if len({name for name, _ in found.values()}) > 1:
        raise ValueError(
            f'{", ".join(found)} are of more than one coupling: give each coupling a monitor of its own, source=("{next(iter(found))}",)'
        )
    return found
