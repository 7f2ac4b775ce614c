"""What a coupling of pairs needs at every step, laid out once for a run."""

import copy
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Features, Sources, is_traced
from ..anatomy.edges import DENSE, Edges
from ..anatomy.sparse import Sparse
from ..anatomy.transposes import both_ways
from ..couplings.base import AbstractCoupling, taken_by
from ..couplings.pairwise import AbstractPairCoupling
from ..delays import AbstractDelay
from ..parameters.declaring import Parametric

# Sums over places are products with ones: a sum that XLA's CPU backend fuses with what it sums makes one number after another, 86 us for
# 7056 hyperbolic tangents where vectors take 6. Ones first, there and back: otherwise it lays the other factor out anew, across.


def _spread(x: Float[Array, "row list *batch"], places: int) -> list[Array]:
    return [jnp.einsum("p,rt...->rpt...", jnp.ones(places, x.dtype), x)]


def _collected(x: Float[Array, "row place list *batch"], places: int) -> list[Array]:
    return [jnp.einsum("p,rpt...->rt...", jnp.ones(places, x.dtype), x)]


_at_places, _over_places = both_ways("places", _spread, _collected)


class Messages(eqx.Module):
    """The connections of a coupling of pairs, with their weights and what else is their own.

    Attributes:
        edges: which there are.
        weights: of each.
        own: the connections' parameters by name, one value or one for each; None for one that this coupling does not have.
        now: of delayed connections, the share of the source's present value in what arrives; None where no delay comes to no step,
            or all act at once.
    """

    edges: Edges = eqx.field(static=True)
    weights: Float[Array, "place list"]
    own: dict[str, Float[Array, "..."] | None]
    now: Float[Array, "place list"] | None = None

    @classmethod
    def of(cls, coupling: AbstractPairCoupling, weights: Float[Array, "target source"] | None = None) -> "Messages":
        """Of a coupling in a network, with these weights, or one each."""
        assert coupling.edges is not None
        fixed = [name for name in coupling.of_connections if name not in coupling.edge_states]
        edges, own = coupling.edges, {name: getattr(coupling, name) for name in fixed}
        each = {name: x if x is None or x.ndim < 2 else edges.take(x) for name, x in own.items()}
        weigh = jnp.ones(edges.shape) if weights is None else edges.take(weights)
        return cls(edges, jnp.where(edges.counts, weigh, 0), each)

    def ends(self, sent: Features, x: Sources, late: Float[Array, "feature place list"] | None) -> tuple[Array, Array]:
        """Both ends of all connections: what arrives there, `(feature, place, list)`, and the targets' rows, `(source, place, list)`.

        Args:
            sent: what the sources send now, `(feature, source)`.
            x: the targets' own rows.
            late: what arrives along each connection, if there are delays.
        """
        if late is None:
            source = self.edges.gather(sent)
        else:
            source = late
            if self.now is not None:
                source = source + self.now * self.edges.gather(sent)
        if self.edges.every and not self.edges.counts.all():
            # nobody's difference to itself, nor its slope
            source = source + np.where(self.edges.counts, 0, 1).astype(source.dtype)
        return source, self.everywhere(x)

    def made(self, coupling: AbstractPairCoupling, ends: tuple[Array, Array], states: dict[str, Array]) -> Any:
        """The messages of all places, `(message, place, list)`."""
        return self._of_lists(coupling).message(*ends, **self._handed(type(coupling).message, states))

    def flow(self, coupling: AbstractPairCoupling, ends: tuple[Array, Array], states: dict[str, Array]) -> Any:
        """Time derivatives of the connections' states by name, each `(place, list)`, if the coupling is as it should be."""
        if not states:
            return {}
        found = self._of_lists(coupling).edge_drift(*ends, **self._handed(type(coupling).edge_drift, states))
        return {name: self._counted(x) for name, x in found.items()} if isinstance(found, dict) else found

    def _of_lists(self, coupling: AbstractPairCoupling) -> Any:
        """The bare coupling, in which what is one a region is one a list: as wide as the ends."""
        found = bare(coupling)
        if not len(self.edges.owners):
            return found

        def laid(x: Any) -> Any:
            if getattr(x, "shape", None) != (self.edges.n_targets,):
                return x
            return self.edges.for_lists(x[None])[0] if eqx.is_inexact_array(x) else x[self.edges.targets[0]]

        return jax.tree.map(laid, found, is_leaf=is_foreign)

    def _handed(self, method: Any, states: dict[str, Array]) -> dict[str, Any]:
        """What a method of the coupling takes by name: parameters and states of the connections."""
        targets = jnp.ones(self.edges.n_targets, self.weights.dtype)
        found = {}
        for name in taken_by(method, 2):
            x = states[name] if name in states else self.own[name]
            found[name] = x if x is None or x.ndim == 2 else self.everywhere((x * targets)[None])[0]
        return found

    def total(self, coupling: AbstractPairCoupling, ends: tuple[Array, Array], states: dict[str, Array]) -> Features:
        """Weighted sums of the messages, `(message, target)`, from both ends of the connections and what states they have."""
        weighted = self._counted(self.weights * self.made(coupling, ends, states))
        return self.edges.of_targets(_over_places(weighted, places=self.edges.shape[0])[0])

    def _counted(self, x: Array) -> Array:
        """What connections make; zero at places that are none, where it may be anything."""
        return x if self.edges.counts.all() else jnp.where(self.edges.counts, x, 0)

    def everywhere(self, x: Sources) -> Float[Array, "source place list"]:
        """Values of the targets, at all their places."""
        return _at_places(self.edges.for_lists(x), places=self.edges.shape[0])[0]


def is_foreign(x: Any) -> bool:
    """Whether something is a module that is not gyrax's, such as a neural network in a drift: its arrays have shapes of their own."""
    return isinstance(x, eqx.Module) and not isinstance(x, Parametric)


def bare(coupling: AbstractCoupling) -> Any:
    """The coupling without what its methods are handed: `self.lag` would be a matrix of other shape than the ends, `self.R` where R began."""

    def handed(c):
        return [*of_connections(c), *(getattr(c, name) for name in c.source_states)]

    if not handed(coupling):
        return coupling
    return eqx.tree_at(handed, coupling, replace_fn=lambda _: None, is_leaf=lambda x: x is None)


def edges_of(coupling: AbstractCoupling) -> Edges | None:
    """The connections of a coupling of pairs in a network; None for any other coupling."""
    return coupling.edges if isinstance(coupling, AbstractPairCoupling) else None


def of_connections(coupling: AbstractCoupling) -> list[Any]:
    """The parameters of which each connection may have its own; none of a coupling that is no one of pairs."""
    names = coupling.of_connections if isinstance(coupling, AbstractPairCoupling) else ()
    return [getattr(coupling, name) for name in names]


def connected(coupling: AbstractCoupling, name: str, weights: Any, delay: AbstractDelay | None) -> AbstractCoupling:
    """A coupling of pairs with its connections: those with a weight, or all where that is not known yet, and a delay if any has. Others as they are.

    Raises:
        ValueError: for sparse weights.
    """
    if not isinstance(coupling, AbstractPairCoupling):
        return coupling
    if isinstance(weights, Sparse):
        raise ValueError(
            f"{name} is a coupling of pairs, which takes an array of weights: zeros in it cost nothing. gx.Sparse is for weighted sums"
        )
    there = np.ones(weights.shape, bool) if is_traced(weights) else np.asarray(weights) != 0
    # no region is connected to itself if it was not from the start: messages of a difference to itself may be anything
    mask = there | ~np.eye(len(there), dtype=bool) if there.mean() > DENSE else there
    if delay is not None:
        assert delay.spans is not None
        mask = mask & delay.spans.connected
    edges = Edges.among_all(mask) if delay is None and there.mean() > DENSE else Edges.of(mask)
    found = copy.copy(coupling)
    object.__setattr__(found, "edges", edges)  # a static field, of a class whose __init__ may be the user's own
    return found


def check_edges(coupling: AbstractPairCoupling, name: str, weights: Any, labels: tuple[str, ...]) -> Any:
    """The weights, after a check that each is of a connection that the network was built with.

    Raises:
        ValueError: naming the regions (inside jit: a runtime error, without the names).
    """
    assert coupling.edges is not None
    absent = ~coupling.edges.connected(weights.shape[1])
    if not absent.any():
        return weights
    if is_traced(weights):
        message = f"{name} has a weight where there was no connection when the network was built: build it anew with these weights"
        return eqx.error_if(weights, (absent & (weights != 0)).any(), message)
    new = np.argwhere(absent & (np.asarray(weights) != 0))
    if len(new):
        i, j = new[0]
        raise ValueError(
            f"this network was built without a connection of {name} from {labels[j]} to {labels[i]}: build it anew with these weights"
        )
    return weights
