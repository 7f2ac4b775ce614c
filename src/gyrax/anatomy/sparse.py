"""Sums over few of many: weights of which most are zero, as between the vertices of a surface."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Features, has_shape, is_known, owned
from .products import AbstractWeights, Product

#: What one more list costs, in places of a list: its sum is added where its row's first list stands.
_ONE_MORE = 8


class Lists(eqx.Module):
    """What each row reads, as lists of equal length that gather and sum in one go; long rows go on in lists at the end.

    Attributes:
        entries: which connection stands there; their number, where a list is filled up.
        heard: which column it reads.
        owners: the rows of the lists after the first of each row.
    """

    entries: Int[Array, "list place"]
    heard: Int[Array, "list place"]
    owners: Int[Array, " more"]

    def __init__(self, rows: np.ndarray, columns: np.ndarray, n: int):
        counts = np.bincount(rows, minlength=n)

        def more(length):  # lists of a row after its first
            return np.maximum(-(-counts // length) - 1, 0)

        lengths = np.unique(counts[counts > 0]) if counts.any() else np.ones(1, int)
        length = min(lengths, key=lambda k: (n + more(k).sum()) * k + _ONE_MORE * more(k).sum())
        extra = more(length)
        order = np.argsort(rows, kind="stable")
        rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows[order]]
        later = n + (np.cumsum(extra) - extra)[rows[order]] + rank // length - 1
        lists = np.where(rank < length, rows[order], later)
        entries = np.full((n + extra.sum(), length), len(rows))
        entries[lists, rank % length] = order
        # What fills up reads what the list reads anyway, so that no other row's NaN gets in.
        heard = np.append(columns, 0)[np.where(entries < len(rows), entries, entries[:, :1])]
        self.entries, self.heard = (owned(x, jnp.int32) for x in (entries, heard))
        self.owners = owned(np.repeat(np.arange(n), extra), jnp.int32)

    def spread(self, values: Float[Array, " connection"]) -> Float[Array, "list place"]:
        """A value a connection, at its place; zero where a list is filled up."""
        return jnp.append(values, 0)[jax.lax.optimization_barrier(self.entries)]

    def sums(self, weights: Float[Array, "list place"], x: Float[Array, "feature column"]) -> Features:
        """Weighted sums of what the rows read."""
        # XLA's CPU backend is ten times slower at gathers of slices, and three times where it knows the indices or weights
        # when it compiles: a barrier hides them. Without one before each row, what makes the row would be made anew for every
        # number read. One barrier each: what is linear and what is not may not pass one together.
        heard, weights = map(jax.lax.optimization_barrier, (self.heard, weights))
        sums = jnp.stack([jnp.sum(weights * jax.lax.optimization_barrier(row)[heard], -1) for row in x])
        first = len(self.entries) - len(self.owners)
        return sums[:, :first].at[:, self.owners].add(sums[:, first:]) if len(self.owners) else sums


class Sparse(eqx.Module):
    """Weights of which most are zero, `(target, source)`: only those that are not are kept, each a parameter.

    Args:
        weights: a SciPy sparse matrix or array, a JAX `BCOO`, or a dense matrix. What is stored counts as a connection, even
            if it is zero; entries for the same pair are added.

    Raises:
        ValueError: a weight is not finite, or there are not two axes.

    Example:
        >>> from scipy.sparse import eye_array
        >>> Sparse(0.5 * eye_array(16000))
        Sparse(16000 x 16000, 16000 connections, weights 0.5 to 0.5)
    """

    values: Float[Array, " connection"]
    lists: Lists
    back: Lists
    shape: tuple[int, int] = eqx.field(static=True)

    def __init__(self, weights: Any):
        matrix = _coordinates(weights)
        if bad := np.sum(~np.isfinite(matrix.data)):
            raise ValueError(f"{bad} of {matrix.nnz} weights are not finite")
        self.shape = matrix.shape
        self.values = owned(matrix.data, jnp.result_type(float))
        self.lists, self.back = both_ways(matrix.row, matrix.col, matrix.shape)

    @property
    def product(self) -> Product:
        """The weights in place for the many steps of a run."""
        return _product(self.values, self.lists, self.back)

    def sum(self, axis: int) -> Float[Array, " target"]:
        """What leads to each target, together; `axis` is 1, as of a matrix."""
        assert axis == 1
        return self.lists.sums(self.lists.spread(self.values), jnp.ones((1, self.shape[1])))[0]

    def __repr__(self):
        if not has_shape(self.values):
            return super().__repr__()
        size = f"{self.shape[0]} x {self.shape[1]}, {self.values.shape[-1]} connections"
        if not is_known(self.values) or not self.values.size:
            return f"Sparse({size})"
        return f"Sparse({size}, weights {float(self.values.min()):.4g} to {float(self.values.max()):.4g})"


class SparseSum(AbstractWeights):
    """Weights at their places in lists."""

    weights: Float[Array, "list place"]
    lists: Lists

    def sums(self, x: Float[Array, "feature source *batch"]) -> Float[Array, "feature target *batch"]:
        of_one = functools.partial(self.lists.sums, self.weights)
        return of_one(x) if x.ndim == 2 else jax.vmap(of_one, in_axes=-1, out_axes=-1)(x)

    def shares(
        self, x: Float[Array, "feature source *batch"], bar: Float[Array, "feature target *batch"]
    ) -> Float[Array, "list place"]:
        def sums(weights):
            return SparseSum(weights, self.lists).sums(x)

        (found,) = jax.linear_transpose(sums, self.weights)(bar)
        return found


def both_ways(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> tuple[Lists, Lists]:
    """Lists of what each row reads, and of what reads each column."""
    return Lists(rows, columns, shape[0]), Lists(columns, rows, shape[1])


def few_of(connected: np.ndarray, weights: Float[Array, "target source"]) -> Product:
    """Those entries of a dense matrix between which there is a connection."""
    rows, columns = np.nonzero(connected)
    return _product(weights[rows, columns], *both_ways(rows, columns, connected.shape))


def _product(values: Float[Array, " connection"], there: Lists, back: Lists) -> Product:
    return Product(SparseSum(there.spread(values), there), SparseSum(back.spread(values), back))


def _coordinates(weights: Any) -> Any:
    """A SciPy array of coordinates, each pair once."""
    import scipy.sparse

    if hasattr(weights, "indices") and hasattr(weights, "todense") and not scipy.sparse.issparse(weights):  # a BCOO
        where = np.asarray(weights.indices)
        weights = scipy.sparse.coo_array((np.asarray(weights.data), (where[:, 0], where[:, 1])), shape=weights.shape)
    if not scipy.sparse.issparse(weights) and np.ndim(weights) != 2:
        raise ValueError(f"weights are a matrix (target, source), got shape {np.shape(weights)}")
    matrix: Any = scipy.sparse.csr_array(weights).astype(float)
    matrix.sum_duplicates()
    return matrix.tocoo()
