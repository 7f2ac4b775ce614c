"""Which connections there are, as lists of equal length."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._static import AbstractByContent

#: Share of all pairs from which on the rest is given a place too, so that their weights may grow from zero.
DENSE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Edges(AbstractByContent):
    """Connections in lists, one a target: whom it hears. Static, for they fix the shapes of what is computed for each.

    Lists are as long as the longest; what fills up repeats the last of its list, and does not count. Targets are the last axis, so
    that what belongs to a target is there for all its connections without being copied.

    Attributes:
        heard: the source at each place, `(place, target)`.
        counts: whether a place is a connection and not there to fill up, `(place, target)`.
    """

    heard: Int[np.ndarray, "place target"]
    counts: Bool[np.ndarray, "place target"]

    @classmethod
    def of(cls, connected: Bool[np.ndarray, "target source"]) -> "Edges":
        """Those of a matrix.

        Example:
            >>> Edges.of(np.array([[False, True], [False, False]]))
            Edges(1 connections of 2 targets, 1 at most)
        """
        degree = connected.sum(1)
        places = max(int(degree.max(initial=0)), 1)
        heard = np.argsort(~connected, axis=1, kind="stable")[:, :places]
        there = np.arange(places) < degree[:, None]
        last = np.take_along_axis(heard, np.maximum(degree - 1, 0)[:, None], 1)
        return cls(np.ascontiguousarray(np.where(there, heard, last).T), np.ascontiguousarray(there.T))

    @classmethod
    def among_all(cls, connected: Bool[np.ndarray, "target source"]) -> "Edges":
        """Those of a matrix with a place for every pair, the sources one after another; those that are not connected do not count.

        Example:
            >>> Edges.among_all(np.array([[False, True], [True, False]]))
            Edges(2 connections of 2 targets, 2 at most)
        """
        n = len(connected)
        return cls(np.broadcast_to(np.arange(n)[:, None], (n, n)).copy(), np.ascontiguousarray(connected.T))

    def __repr__(self):
        return (
            f"Edges({int(self.counts.sum())} connections of {self.counts.shape[1]} targets, {len(self.heard)} at most)"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """`(place, target)`."""
        return self.heard.shape[0], self.heard.shape[1]

    @functools.cached_property
    def targets(self) -> Int[np.ndarray, "place target"]:
        """The target at each place."""
        return np.broadcast_to(np.arange(self.shape[1]), self.shape)

    @functools.cached_property
    def every(self) -> bool:
        """Whether the places are the sources, one after another."""
        return self.shape[0] == self.shape[1] and bool((self.heard == np.arange(self.shape[0])[:, None]).all())

    def connected(self, sources: int) -> Bool[np.ndarray, "target source"]:
        """Which pairs they are."""
        found = np.zeros((self.shape[1], sources), bool)
        found[self.targets[self.counts], self.heard[self.counts]] = True
        return found

    def take(self, matrix: Shaped[Array, "target source"]) -> Shaped[Array, "place target"]:
        """Entries of a matrix; what fills up has that of the connection it repeats."""
        return matrix.T if self.every else matrix[self.targets, self.heard]

    def put(
        self, values: Float[Array, "place target"], sources: int, fill: float = 0.0
    ) -> Float[Array, "target source"]:
        """The matrix of which these are the entries, and others where there is no connection."""
        matrix = jnp.full((self.shape[1], sources), fill, values.dtype)
        return matrix.at[self.targets[self.counts], self.heard[self.counts]].set(values[self.counts])

    def gather(self, x: Float[Array, "feature source"]) -> Float[Array, "feature place target"]:
        """What each place hears of values of the sources."""
        if self.every:  # a product, so that its transpose is one
            return jnp.einsum("fp,t->fpt", x, jnp.ones(self.shape[1], x.dtype))
        # hidden from the compiler, which is slow where it knows the indices (see Lists.sums)
        heard = jax.lax.optimization_barrier(jnp.asarray(self.heard, jnp.int32))
        return jnp.stack([jax.lax.optimization_barrier(row)[heard] for row in x])
