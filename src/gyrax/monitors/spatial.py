"""Averages over nodes."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .._kinds import names
from .._types import Channels, Sources, is_known, owned
from ..anatomy.sparse import Lists
from ..anatomy.surface import Surface
from ..parameters.declaring import refuse_names
from .base import AbstractMonitor
from .window import Window


class SpatialAverage(AbstractMonitor):
    """Means over groups of nodes every `period` ms, as they are then: samples `(state, region)`.

    Args:
        groups: what each node belongs to: a `gx.Surface`, whose vertices' regions are averaged; the index of a group for
            every node, -1 for none; or a mask, True for the nodes of one group.
        labels: names of the groups; group_0, group_1, ... if left out.
        source: the states or outputs it reads; left out, all states.
        period: ms between samples.

    Raises:
        ValueError: if groups are neither whole numbers from -1 on nor a mask, one of them is empty, or the labels are of
            another number.

    Example:
        >>> SpatialAverage([0, 0, 1, -1], labels=["left", "right"], source="S", period=10.0)
        SpatialAverage(source=('S',), period=10.0, groups=left (2), right (1) of 4 nodes)
    """

    members: Lists
    counts: Int[Array, " group"]
    nodes: int = eqx.field(static=True)
    labels: tuple[str, ...] = eqx.field(static=True)
    dims: ClassVar = ("state", "region")
    pointwise: ClassVar = True

    def __init__(self, groups: Any, labels: Sequence[str] | None = None, *, source: Any = None, period: float):
        refuse_names(groups, "a group")
        given = np.asarray(groups.region_of if isinstance(groups, Surface) else groups)
        if given.dtype == bool:
            given = np.where(given, 0, -1)
        given = given.astype(np.int64) if given.dtype.kind == "u" else given
        if given.ndim != 1 or given.dtype.kind not in "iu" or given.min(initial=0) < -1 or given.max(initial=-1) < 0:
            raise ValueError(
                "groups gives each node's group, whole numbers from 0 on and -1 for none, or is a mask with some of them True; "
                f"got {given.dtype} of shape {given.shape}"
            )
        inside = np.flatnonzero(given >= 0)
        met, counts = np.unique(given[inside], return_counts=True)
        gaps = met != np.arange(len(met))
        if gaps.any():
            raise ValueError(f"no node is in group {np.argmax(gaps)}: count them without gaps")
        labels = [f"group_{i}" for i in range(len(counts))] if labels is None else names("labels", labels)
        if len(labels) != len(counts):
            raise ValueError(f"there are {len(counts)} groups and {len(labels)} labels")
        self.members = Lists(given[inside], inside, len(counts))
        self.counts, self.nodes, self.labels = owned(counts, jnp.int32), len(given), tuple(labels)
        self.source, self.period = source, period

    def channels(self, nodes: Channels) -> Channels:
        if len(nodes.labels) != self.nodes:
            raise ValueError(f"groups are of {self.nodes} nodes, but there are {len(nodes.labels)}")
        return Channels("region", self.labels)

    def init(self, x: Sources) -> None:
        return None

    def update(self, state: None, window: Window):
        flat = window.last.reshape(-1, window.last.shape[-1])
        there = (self.members.entries < self.counts.sum()).astype(flat.dtype)
        means = self.members.sums(there, flat) / self.counts
        return None, means.reshape(*window.last.shape[:-1], -1)

    def __repr__(self):
        sizes = (
            [""] * len(self.labels)
            if not is_known(self.counts) or self.counts.ndim != 1
            else [f" ({n})" for n in np.asarray(self.counts)]
        )
        shown = [f"{name}{size}" for name, size in zip(self.labels, sizes, strict=True)]
        groups = ", ".join(shown[:4]) + (f", ... ({len(shown)})" if len(shown) > 4 else "")
        return f"SpatialAverage(source={self.source}, period={self.period}, groups={groups} of {self.nodes} nodes)"


class GlobalAverage(AbstractMonitor):
    """The mean over all nodes every `period` ms, as it is then: samples `(state, 1)`.

    Example:
        >>> GlobalAverage(source="S", period=1.0)
        GlobalAverage(source=('S',), period=1.0)
    """

    dims: ClassVar = ("state", "region")
    pointwise: ClassVar = True

    def channels(self, nodes: Channels) -> Channels:
        return Channels("region", ("mean",))

    def init(self, x: Sources) -> None:
        return None

    def update(self, state: None, window: Window):
        return None, window.last.mean(-1, keepdims=True)
