"""What connections have become: states of their own, as matrices or as means over groups of regions."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import Channels
from ..anatomy.edges import Edges
from ..labelled import places
from ..network import Network
from .base import AbstractMonitor
from .window import Window


class Connections(AbstractMonitor):
    """States that connections have of their own every `period` ms, as they are then: samples `(state, target, source)`.

    NaN stands where there is no connection: no weight. A matrix of 84 regions in float32 is 28 kB a sample: choose the period by how
    slowly the states move, or record means over groups.

    Args:
        source: names of states, such as "w", all of one coupling; where several couplings have one of that name, "coupling.w". Left out, all
            states of the connections of the only coupling that has some.
        period: ms between samples.
        groups: names of groups, each with the labels of its regions: samples are means over the connections from one group to another. Regions
            in none are left out; NaN where two groups have no connection.

    Raises:
        ValueError: for a region in two groups, or none in one; in a run for regions or states that the network does not have.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.1), gx.plasticity.TsodyksMarkram(source="x", strength=0.01), jnp.ones((3, 3)) - jnp.eye(3))
        >>> run = gx.simulate(net, 10.0, 1.0, monitors={"R": gx.monitors.Connections(source="R", period=10.0)})
        >>> run["R"].to_xarray().sizes
        Frozen({'time': 1, 'state': 1, 'target': 3, 'source': 3})
    """

    groups: tuple[tuple[str, tuple[str, ...]], ...] | None = eqx.field(default=None, static=True, kw_only=True)
    edges: Edges | None = eqx.field(default=None, static=True, kw_only=True, repr=False)
    labels: tuple[str, ...] = eqx.field(default=(), static=True, kw_only=True, repr=False)
    dims: ClassVar = ("state", "target", "source")
    pointwise: ClassVar = True
    of_connections: ClassVar = True

    def __init__(self, source: Any = None, *, period: float, groups: Any = None):
        self.source, self.period, self.edges, self.labels = source, period, None, ()
        self.groups = None if groups is None else _checked(groups)

    def of(self, network: Network) -> "Connections":
        states = network.edge_states(self.source)
        ((name, _), *_) = states.values()
        coupling: Any = network.couplings[name]
        if self.groups is not None:
            places([label for _, members in self.groups for label in members], network.labels)
        bound = copy.copy(self)
        for field, value in (("source", tuple(states)), ("edges", coupling.edges), ("labels", network.labels)):
            object.__setattr__(bound, field, value)
        return bound

    def channels(self, nodes: Channels) -> Channels:
        return Channels("target", nodes.labels if self.groups is None else tuple(name for name, _ in self.groups))

    def init(self, x: Any) -> None:
        return None

    def begin(self, x: Any, dt: float) -> None:  # values of connections, where other monitors have those of nodes
        return None

    def update(self, state: None, window: Window):
        assert self.edges is not None
        values, there = window.last[:, :-1], window.last[:, -1:] != 0  # as a run hands it on (network/living.py)
        if self.groups is None:
            n, values = len(self.labels), jnp.where(there, values, jnp.nan)
            matrix = jnp.full((*values.shape[:2], n, n), jnp.nan, values.dtype)
            targets, counts = self.edges.targets, self.edges.counts
            return None, matrix.at[..., targets[counts], self.edges.heard[counts]].set(values[..., counts])
        return None, self._means(values, there)

    def _means(
        self, values: Float[Array, "stride state place list"], there: Bool[Array, "stride 1 place list"]
    ) -> Float[Array, "stride state group group"]:
        assert self.edges is not None and self.groups is not None
        group = np.full(len(self.labels), -1)
        for number, (_, members) in enumerate(self.groups):
            group[places(members, self.labels)] = number
        many, (to, of) = len(self.groups), (group[self.edges.targets], group[self.edges.heard])
        inside = self.edges.counts & (to >= 0) & (of >= 0)
        pair = np.where(inside, to * many + of, many**2)  # what is in no pair of groups comes last, and is left out
        total = jnp.zeros((*values.shape[:2], many**2 + 1), values.dtype)
        sums = total.at[..., pair].add(jnp.where(there, values, 0))[..., :-1]
        counts = total[:, :1].at[..., pair].add(there.astype(values.dtype))[..., :-1]
        means = jnp.where(counts > 0, sums / jnp.maximum(counts, 1), jnp.nan)
        return means.reshape(*values.shape[:2], many, many)


def _checked(groups: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names of groups and their regions, each in one.

    Raises:
        TypeError: for what is no dict of lists of labels.
        ValueError: for an empty group, or a region in two.
    """
    if not isinstance(groups, Mapping) or not all(isinstance(name, str) for name in groups):
        raise TypeError(
            f'groups is a dict of lists of labels by name, {{"left": [...], "right": [...]}}; got {groups!r}'
        )
    if not groups:
        raise ValueError("groups is empty: leave it out for all connections")
    found, met = [], {}
    for name, members in groups.items():
        several = isinstance(members, Iterable) and not isinstance(members, str)
        given = tuple(members) if several else ()
        if not several or not all(isinstance(label, str) for label in given):
            raise TypeError(f"group '{name}' is a list of labels of regions, got {members!r}")
        if not given:
            raise ValueError(f"group '{name}' has no regions: leave it out")
        for label in given:
            if label in met:
                twice = f"group '{name}' twice" if met[label] == name else f"groups '{met[label]}' and '{name}'"
                raise ValueError(f"region {label} is in the {twice}: each is in one at most, once")
            met[label] = name
        found.append((name, given))
    return tuple(found)
