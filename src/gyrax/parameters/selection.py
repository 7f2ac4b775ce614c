"""Which leaves are free: `select` names them.

A spec is an ordinary equinox filter spec: a tree like the network with `True` at a free leaf. `Free` and `Tie` say more
(another domain, part of an array, leaves that move together); equinox itself reads them as True and False.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import PyTree

from .._kinds import names as several
from .._kinds import reals, refused
from .._types import is_traced
from .addresses import Where, domains, find, leaf_names, replace
from .declaring import refuse_names
from .domains import AbstractDomain

Model = TypeVar("Model")


class Free:
    """A free leaf with a domain of this experiment's own, or of which only a part is free.

    Args:
        where: a function of the network that returns a leaf (or a Module: all its parameters), or a dotted path.
        domain: replaces the domain the parameter was declared with.
        mask: True where the array is free, of the leaf's shape; the rest keeps its value and never sees the optimiser.
        basis: `(region, part)`: on the real line of its domain the leaf is `basis @ numbers`, and these are free. What
            `by_maps` and `by_groups` make.
        parts: what the columns of the basis are called.

    Example:
        >>> Free("model.w", mask=np.array([True, False]))
        Free('model.w', mask=1 of 2)
    """

    def __init__(
        self,
        where: Where,
        *,
        domain: AbstractDomain | None = None,
        mask: Any = None,
        basis: Any = None,
        parts: tuple[str, ...] = (),
    ):
        if domain is not None and not isinstance(domain, AbstractDomain):
            raise TypeError(f"domain= takes a domain such as Positive() or Interval(0, 1), got {domain!r}")
        self.where, self.domain = where, domain
        refuse_names(mask, "a mask")
        self.mask = None if mask is None else np.array(mask)
        if self.mask is not None and self.mask.dtype != bool:
            raise TypeError(f"mask= takes True and False, of the leaf's shape; got dtype {self.mask.dtype}")
        self.basis = None if basis is None else np.array(reals("basis", basis), float)
        if self.basis is not None and (self.basis.ndim != 2 or not np.isfinite(self.basis).all()):
            raise ValueError(f"basis= is a finite matrix (region, part), got shape {self.basis.shape}")
        if self.basis is not None and self.mask is not None:
            raise ValueError("a leaf is free along a basis or in part of its entries: leave basis= or mask= out")
        count = 0 if self.basis is None else self.basis.shape[1]
        self.parts = several("parts", parts) or tuple(f"part_{i}" for i in range(count))
        if len(self.parts) != count:
            raise ValueError(f"parts are names of the {count} columns of the basis, got {len(self.parts)}")

    def coefficients(self, network: Any) -> pd.Series:
        """What a network's leaf is made of, by the name of each part of the basis.

        A base (and the value of a group) is in the unit of the parameter; the coefficient of a map is on the real line of the
        domain, where a step of 1 is about the size of the declared default.

        Raises:
            ValueError: if the leaf is free without a basis.
        """
        if self.basis is None:
            raise ValueError(f"{self!r} has no basis: read the values themselves, such as network.model.w")
        index = find(network, self.where)[0]
        domain = self.domain or domains(network)[index]
        leaf = jnp.broadcast_to(jax.tree.leaves(network)[index], len(self.basis))
        numbers = np.linalg.pinv(self.basis) @ np.asarray(domain.to_real(leaf), float)
        levels = np.asarray(domain.from_real(jnp.asarray(numbers)), float)
        values = [
            level if name == "base" or set(column) <= {0.0, 1.0} else number
            for name, column, level, number in zip(self.parts, self.basis.T, levels, numbers, strict=True)
        ]
        return pd.Series(values, self.parts)

    def __call__(self, leaf: Any) -> bool:
        return True

    def __repr__(self):
        extra = "" if self.domain is None else f", domain={self.domain!r}"
        extra += "" if self.mask is None else f", mask={self.mask.sum()} of {self.mask.size}"
        several = f"{len(self.parts)} parts" if len(self.parts) > 6 else " + ".join(self.parts)
        extra += "" if self.basis is None else f", by {several}"
        return f"Free({self.where!r}{extra})"


class Tie:
    """Leaves that share one value: the first is free, the others follow it.

    Example:
        >>> Tie("model.a", "model.b")
        Tie('model.a', 'model.b')
    """

    def __init__(self, first: Where, *others: Where):
        if not others:
            raise ValueError("Tie needs at least two leaves: the one that is free and those that follow it")
        self.first, self.others = first, others

    def __repr__(self):
        return f"Tie({', '.join(map(repr, (self.first, *self.others)))})"


class Follows:
    """What a spec holds at a leaf that follows another. Equinox reads it as False."""

    def __init__(self, index: int):
        self.index = index

    def __call__(self, leaf: Any) -> bool:
        return False


def select(model: PyTree, *where: Where | Free | Tie) -> PyTree:
    """The filter spec in which the named leaves are free and all others frozen.

    Args:
        model: a Network or any other tree.
        where: functions such as `lambda n: n.model.w`, dotted paths such as `"model.w"`, `Free(...)` or `Tie(...)`. One
            that returns a whole Module frees all its floating-point leaves.

    Raises:
        ValueError: if a name does not exist (the closest is suggested), a leaf is named twice, or a mask does not fit.
        TypeError: if a leaf cannot be trained.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.WongWang()
        >>> spec = select(model, lambda m: m.w, Free("I_o", domain=gx.Interval(0.2, 0.5)))
        >>> spec.w, spec.J_N
        (True, False)
    """
    if not where:
        raise ValueError("select what? name at least one leaf, such as lambda n: n.model.w or 'model.w'")
    names, leaves = leaf_names(model), jax.tree.leaves(model)
    marks: list[Any] = [False] * len(leaves)

    def mark(index: int, what: Any) -> None:
        if marks[index] is not False:
            raise ValueError(f"{names[index]} is selected twice")
        marks[index] = what

    for item in where:
        if isinstance(item, Tie):
            (first, *more), *others = (find(model, w, wholes=False) for w in (item.first, *item.others))
            if more:
                raise ValueError(f"{item!r}: the first is one leaf, not {1 + len(more)}")
            mark(first, True)
            for index in (i for found in others for i in found):
                _check_tie(names, leaves, first, index)
                mark(index, Follows(first))
        elif isinstance(item, Free):
            for index in find(model, item.where):
                shape = jnp.shape(leaves[index])
                if item.mask is not None and item.mask.shape != shape:
                    raise ValueError(f"the mask for {names[index]} has shape {item.mask.shape}, the leaf {shape}")
                if item.mask is not None and not item.mask.any():
                    raise ValueError(f"the mask for {names[index]} frees nothing: it is False everywhere")
                if item.basis is not None and shape not in ((), (len(item.basis),)):
                    raise ValueError(f"the basis for {names[index]} has {len(item.basis)} rows, the leaf shape {shape}")
                mark(index, item)
        else:
            for index in find(model, item):
                mark(index, True)
    return jax.tree.unflatten(jax.tree.structure(model), marks)


def _check_tie(names: list[str], leaves: list[Any], first: int, other: int) -> None:
    a, b = leaves[first], leaves[other]
    if jnp.shape(a) != jnp.shape(b):
        raise ValueError(f"{names[other]} {jnp.shape(b)} cannot follow {names[first]} {jnp.shape(a)}: shapes differ")
    if not is_traced(a, b) and not np.array_equal(a, b):
        raise ValueError(f"{names[other]} is to follow {names[first]} but starts elsewhere: give both one value first")


def per_connection(network: Model, *where: Where) -> Model:
    """The network with one value a connection, `(target, source)`, equal to start with, in place of the named scalars.

    For parameters that the messages of a coupling of pairs name (`gx.AbstractPairCoupling`). Free those that count with a mask:
    `gx.Free("coupling.lag", mask=weights != 0)`.

    Raises:
        ValueError: if a leaf is no parameter of connections, or neither a scalar nor already one value a connection.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Kuramoto(), gx.couplings.Sakaguchi(source="theta"), gx.datasets.load("dk84").connectome)
        >>> per_connection(net, "coupling.lag").coupling.lag.shape
        (84, 84)
    """

    def wide(name: str) -> tuple[int, ...]:
        if not network.of_connections(name):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                f"{name} is no parameter of connections: those are arguments of the message of a gx.AbstractPairCoupling"
            )
        return (network.width(name),) * 2  # pyright: ignore[reportAttributeAccessIssue]

    return _widened(network, where, wide, "'coupling.lag'", "one value for each connection, ({0}, {0})")


def per_region(network: Model, *where: Where) -> Model:
    """The network with one value a region, equal to start with, in place of the named scalars.

    Raises:
        ValueError: if a leaf is neither a scalar nor already one value a region.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.datasets.load("dk84").connectome)
        >>> per_region(net, lambda n: n.model.w).model.w.shape
        (84,)
    """

    def wide(name: str) -> tuple[int, ...]:
        return (network.width(name),)  # pyright: ignore[reportAttributeAccessIssue]

    return _widened(network, where, wide, "lambda n: n.model.w or 'model.w'", "one value for each of {0} regions")


def _widened(
    network: Model, where: tuple[Where, ...], wide: Callable[[str], tuple[int, ...]], line: str, what: str
) -> Model:
    """The network with leaves of a shape in place of scalars."""
    if not hasattr(network, "width"):
        raise refused("network", network, "a network", "gx.Network(model, coupling, connectome)")
    if not where:
        raise ValueError(f"which leaves of the network? name at least one, such as {line}")
    names, leaves, changed = leaf_names(network), jax.tree.leaves(network), {}
    for i in (i for w in where for i in find(network, w)):
        shape, now = wide(names[i]), jnp.shape(leaves[i])
        if now not in ((), (1,), shape):
            raise ValueError(f"{names[i]} has shape {now}: only a scalar becomes {what.format(shape[0])}")
        changed[i] = jnp.broadcast_to(jnp.asarray(leaves[i], jnp.result_type(leaves[i])), shape)  # never weakly typed
    return replace(network, changed)
