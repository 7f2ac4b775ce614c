"""Which connections there are, as lists of equal length in which long rows go on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from .._static import AbstractByContent
from .transposes import both_ways

#: Share of all pairs from which on the rest is given a place too, so that their weights may grow from zero.
DENSE = 0.5
#: What one more list costs, in places: its target's values are copied for it, and its sum is added where the target's first list stands.
_ONE_MORE = 8
#: Share of the cost of lists as long as the longest row below which long rows go on in lists of their own.
_WORTH = 0.8


@dataclasses.dataclass(frozen=True, eq=False)
class Edges(AbstractByContent):
    """Connections in lists of equal length, whom a target hears. Static, for they fix the shapes of what is computed for each.

    Lists are the last axis, the first of each target and then those in which long rows go on: what belongs to a target is there for all
    the connections of a list without being copied. What fills a list up repeats its last connection, and does not count.

    Attributes:
        heard: the source at each place, `(place, list)`.
        counts: whether a place is a connection and not there to fill up, `(place, list)`.
        owners: the targets of the lists after the first of each.
    """

    heard: Int[np.ndarray, "place list"]
    counts: Bool[np.ndarray, "place list"]
    owners: Int[np.ndarray, " more"] = dataclasses.field(default_factory=lambda: np.zeros(0, int))

    @classmethod
    def of(cls, connected: Bool[np.ndarray, "target source"]) -> "Edges":
        """Those of a matrix.

        Example:
            >>> Edges.of(np.array([[False, True], [False, False]]))
            Edges(1 connections of 2 targets, in lists of 1)
        """
        degree = connected.sum(1)
        length = _length(degree)
        lists = np.maximum(-(-degree // length), 1)
        owners = np.repeat(np.arange(len(degree)), lists - 1)
        before = np.arange(len(owners)) - np.repeat(np.cumsum(lists - 1) - lists, lists - 1)
        number, targets = np.append(np.zeros_like(degree), before), np.append(np.arange(len(degree)), owners)
        place, many = number * length + np.arange(length)[:, None], degree[targets]
        heard = np.argsort(~connected, axis=1, kind="stable")[targets, np.clip(place, 0, np.maximum(many - 1, 0))]
        return cls(heard, place < many, owners)

    @classmethod
    def among_all(cls, connected: Bool[np.ndarray, "target source"]) -> "Edges":
        """Those of a matrix with a place for every pair, the sources one after another; those that are not connected do not count.

        Example:
            >>> Edges.among_all(np.array([[False, True], [True, False]]))
            Edges(2 connections of 2 targets, in lists of 2)
        """
        n = len(connected)
        return cls(np.broadcast_to(np.arange(n)[:, None], (n, n)).copy(), np.ascontiguousarray(connected.T))

    def __repr__(self):
        return f"Edges({int(self.counts.sum())} connections of {self.n_targets} targets, in lists of {len(self.heard)})"

    @property
    def shape(self) -> tuple[int, int]:
        """`(place, list)`."""
        return self.heard.shape[0], self.heard.shape[1]

    @property
    def n_targets(self) -> int:
        return self.shape[1] - len(self.owners)

    @functools.cached_property
    def targets(self) -> Int[np.ndarray, "place list"]:
        """The target at each place."""
        return np.broadcast_to(np.append(np.arange(self.n_targets), self.owners), self.shape)

    @functools.cached_property
    def every(self) -> bool:
        """Whether the places are the sources, one after another."""
        rows, lists = self.shape
        return rows == lists == self.n_targets and bool((self.heard == np.arange(rows)[:, None]).all())

    def connected(self, sources: int) -> Bool[np.ndarray, "target source"]:
        """Which pairs they are."""
        found = np.zeros((self.n_targets, sources), bool)
        found[self.targets[self.counts], self.heard[self.counts]] = True
        return found

    def take(self, matrix: Shaped[Array, "target source"]) -> Shaped[Array, "place list"]:
        """Entries of a matrix; what fills up has that of the connection it repeats."""
        return matrix.T if self.every else matrix[self.targets, self.heard]

    def laid(self, value: Shaped[Array, "..."]) -> Shaped[Array, "place list"]:
        """One value for all, one a target or one a connection, `(target, source)`, at every place."""
        if value.ndim == 2:
            return self.take(value)
        return jnp.broadcast_to(self.for_lists(value[None])[0] if value.ndim else value, self.shape)

    def put(self, values: Float[Array, "place list"], sources: int, fill: float = 0.0) -> Float[Array, "target source"]:
        """The matrix of which these are the entries, and others where there is no connection."""
        matrix = jnp.full((self.n_targets, sources), fill, values.dtype)
        return matrix.at[self.targets[self.counts], self.heard[self.counts]].set(values[self.counts])

    def gather(self, x: Float[Array, "feature source"]) -> Float[Array, "feature place list"]:
        """What each place hears of values of the sources."""
        if self.every:  # a product, so that its transpose is one
            return jnp.einsum("fp,t->fpt", x, jnp.ones(self.shape[1], x.dtype))
        # hidden from the compiler, which is slow where it knows the indices (see Lists.sums)
        heard = jax.lax.optimization_barrier(jnp.asarray(self.heard, jnp.int32))
        return jnp.stack([jax.lax.optimization_barrier(row)[heard] for row in x])

    def for_lists(self, x: Shaped[Array, "row target"]) -> Shaped[Array, "row list"]:
        """Values of the targets, for each of their lists."""
        return _for_lists(x, edges=self)[0] if len(self.owners) else x

    def of_targets(self, x: Float[Array, "row list"]) -> Float[Array, "row target"]:
        """Sums of the lists of each target."""
        return _of_targets(x, edges=self)[0] if len(self.owners) else x

    @functools.cached_property
    def going_on(self) -> tuple[Int[np.ndarray, "more long"], Int[np.ndarray, " target"]]:
        """Of targets that have more lists than one, which those are, by number among such lists; and each target's number among such targets.

        What is missing has the number after the last.
        """
        long, which, count = np.unique(self.owners, return_inverse=True, return_counts=True)
        lists = np.full((count.max(), len(long)), len(self.owners))
        rank = np.arange(len(self.owners)) - np.repeat(np.cumsum(count) - count, count)
        lists[rank, which] = np.arange(len(self.owners))
        number = np.full(self.n_targets, len(long))
        number[long] = np.arange(len(long))
        return lists, number

    def for_all(self, holds: Bool[Array, "..."], axis: int) -> Bool[Array, "..."]:
        """Whether something holds for all lists of each target; they lie along this axis."""
        if not len(self.owners):
            return holds
        each = jnp.moveaxis(holds, axis, 0)
        n = self.n_targets
        return jnp.moveaxis(each[:n].at[self.owners].min(each[n:]), 0, axis)

    # As a run ends, with what else is carried of the nodes: in rows as wide as there are targets

    @property
    def rows(self) -> int:
        """How many such rows a value a place takes."""
        return -(-self.heard.size // self.n_targets)

    def in_rows(self, values: Float[Array, "place list"]) -> Float[Array, "row target"]:
        """A value a place in rows, of which the last may be filled up with zeros."""
        if not len(self.owners):
            return values
        left = self.rows * self.n_targets - self.heard.size
        return jnp.pad(values.reshape(-1), (0, left)).reshape(self.rows, self.n_targets)

    def from_rows(self, rows: Float[Array, "row target"]) -> Float[Array, "place list"]:
        """The values at their places again."""
        return rows.reshape(-1)[: self.heard.size].reshape(self.shape) if len(self.owners) else rows


# Few numbers are gathered, there and back: XLA's CPU backend takes longer for a scatter of as many, which it makes one by one with all that is
# computed for it (16 us instead of 6 for a step of 84 regions with 102 lists), and a product grows with their square.


def _copied(x: Shaped[Array, "row target *batch"], edges: Edges) -> list[Array]:
    return [jnp.concatenate([x, x[:, edges.owners]], 1)]


def _added(x: Shaped[Array, "row list *batch"], edges: Edges) -> list[Array]:
    lists, number = edges.going_on
    none = jnp.zeros_like(x[:, :1])
    more = jnp.concatenate([x[:, edges.n_targets :], none], 1)[:, lists].sum(1)
    return [x[:, : edges.n_targets] + jnp.concatenate([more, none], 1)[:, number]]


_for_lists, _of_targets = both_ways("lists", _copied, _added)


def _length(degree: Int[np.ndarray, " target"]) -> int:
    """How long lists are best: as long as the longest row, or shorter if long rows in several take much less."""
    longest = max(int(degree.max(initial=0)), 1)

    def cost(length: int) -> int:
        more = int(np.maximum(-(-degree // length) - 1, 0).sum())
        return (len(degree) + more) * length + _ONE_MORE * more

    best = min(range(longest, 0, -1), key=cost)
    return best if cost(best) < _WORTH * cost(longest) else longest
