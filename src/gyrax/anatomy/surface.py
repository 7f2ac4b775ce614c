"""Surfaces: nodes finer than the regions of a connectome."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._kinds import names
from .._types import has_shape, owned
from .sparse import Lists


class Surface(eqx.Module):
    """Vertices that lie in the regions of a connectome: the model lives on them, the connectome couples the regions.

    A region sends what the mean of its vertices is; each of its vertices hears what the region hears. Vertices couple to
    each other by a coupling with `gx.Sparse` weights.

    Args:
        region_of: the index of every vertex's region, `(vertex,)`.
        labels: names of the vertices; vertex_0, vertex_1, ... if left out.

    Raises:
        ValueError: for indices that are no whole numbers or negative, or labels of another number.

    Example:
        >>> import gyrax as gx
        >>> near = gx.couplings.Linear(source="S", strength=0.1, weights=gx.Sparse(np.eye(5, k=1)))
        >>> far = gx.couplings.Linear(source="S", strength=0.5)
        >>> regions = gx.Connectome([[0, 1], [1, 0]], lengths=[[0, 30], [30, 0]])
        >>> surface = Surface([0, 0, 1, 1, 1])
        >>> net = gx.Network(gx.models.WongWang(), {"near": near, "far": far}, regions, gx.Delay(3.0), surface=surface)
        >>> gx.simulate(net, 20.0, 1.0)["raw"].values.shape
        (20, 1, 5)
    """

    region_of: Int[Array, " vertex"]
    counts: Int[Array, " region"]
    members: Lists
    labels: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, region_of: Any, labels: Any = None):
        regions = np.asarray(region_of)
        whole = regions.dtype.kind in "iu"
        if regions.ndim != 1 or not len(regions) or not whole or regions.min() < 0:
            raise ValueError(
                "region_of gives the index of every vertex's region, whole numbers from 0 on; got "
                f"{regions.dtype} of shape {regions.shape}"
                + (f" from {regions.min()}" if whole and regions.size else "")
            )
        labels = [f"vertex_{i}" for i in range(len(regions))] if labels is None else names("labels", labels)
        if len(labels) != len(regions):
            raise ValueError(f"there are {len(regions)} vertices and {len(labels)} labels")
        self.labels = tuple(labels)
        counts = np.bincount(regions)
        self.region_of, self.counts = owned(regions, jnp.int32), owned(counts, jnp.int32)
        self.members = Lists(regions, np.arange(len(regions)), len(counts))

    def mean(self, x: Float[Array, "row vertex"]) -> Float[Array, "row region"]:
        """Of the vertices of each region."""
        there = (self.members.entries < x.shape[1]).astype(x.dtype)
        return self.members.sums(there, x) / self.counts

    def spread(self, x: Float[Array, "row region"]) -> Float[Array, "row vertex"]:
        """Each vertex has what its region has."""
        return x[:, self.region_of]

    def __repr__(self):
        if not has_shape(self.counts):
            return super().__repr__()
        return f"Surface({len(self.labels)} vertices in {self.counts.shape[0]} regions)"
