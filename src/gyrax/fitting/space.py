"""The free numbers of a model: what they are called, where they live, and how a vector on the real line becomes a model."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PyTree

from ..labelled import Names
from ..network import Network
from ..parameters.addresses import leaf_names, path_name
from ..parameters.domains import AbstractDomain
from ..parameters.selection import Follows, Free
from ..parameters.splitting import Fixed, join, split


class Part(eqx.Module):
    """One free leaf: its free numbers, each with a name.

    Attributes:
        name: of the leaf.
        domain: that its numbers live in; of coefficients along maps, the real line.
        levels: of a leaf along a basis, which of its numbers are values of the parameter and not coefficients on the real line.
        mask: which entries of the leaf are free, None for all.
        basis: of the leaf on the real line, `(entry, number)`.
        columns: what the columns of the basis are called.
        dims: of the free numbers in tables.
        coords: names along each of them, None where they have none.
        shape: of the free numbers.
        along: of a leaf with a mask, what its own axes are called, and names along each of them.
    """

    name: str = eqx.field(static=True)
    domain: AbstractDomain = eqx.field(static=True)
    levels: tuple[bool, ...] = eqx.field(static=True)
    mask: Any
    basis: Any
    columns: tuple[str, ...] = eqx.field(static=True)
    dims: tuple[str, ...] = eqx.field(static=True)
    coords: tuple[Names | None, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    along: tuple[tuple[str, Names | None], ...] = eqx.field(static=True, default=())

    @property
    def size(self) -> int:
        """How many numbers are free."""
        return int(np.prod(self.shape))

    @property
    def names(self) -> tuple[str, ...]:
        """Of each free number: the leaf's, and in brackets its region."""
        if not self.shape:
            return (self.name,)
        along = [c or tuple(map(str, range(n))) for c, n in zip(self.coords, self.shape, strict=True)]
        return tuple(
            f"{self.name}[{', '.join(names[i] for names, i in zip(along, at, strict=True))}]"
            for at in np.ndindex(*self.shape)
        )

    def laid_out(self, numbers: Float[Array, "*number"]) -> xr.DataArray:
        """One number for each free one, as the leaf has them: of a leaf with a mask NaN where it is not free."""
        values, axes = np.asarray(numbers), tuple(zip(self.dims, self.coords, strict=True))
        if self.mask is not None:
            mask, axes = np.asarray(self.mask), self.along
            values = np.full(mask.shape, np.nan, values.dtype)
            values[mask] = np.asarray(numbers)
        return xr.DataArray(values, {dim: list(c) for dim, c in axes if c is not None}, [dim for dim, _ in axes])

    def values(self, real: Float[Array, "*number"]) -> Float[Array, "*number"]:
        """The free numbers in their unit."""
        found = self.domain.from_real(real)
        return found if self.basis is None else jnp.where(jnp.asarray(self.levels), found, real)

    def reals(self, values: Float[Array, "*number"]) -> Float[Array, "*number"]:
        """The free numbers on the real line."""
        if self.basis is None:
            return self.domain.to_real(values)
        levels = jnp.asarray(self.levels)
        inside = jnp.where(levels, values, self.domain.from_real(jnp.zeros_like(values)))
        return jnp.where(levels, self.domain.to_real(inside), values)

    def log_slope(self, real: Float[Array, "*number"]) -> Float[Array, "*number"]:
        """Logarithm of the slope of `values`."""
        found = self.domain.log_slope(real)
        return found if self.basis is None else jnp.where(jnp.asarray(self.levels), found, 0.0)


class Space(eqx.Module):
    """Where the free leaves of a model live together: vectors on the real line, and trees as `split` makes them.

    Attributes:
        parts: the free leaves.
        follows: pairs of names, of leaves and of those that they follow.
    """

    parts: tuple[Part, ...]
    follows: tuple[tuple[str, str], ...] = eqx.field(static=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all free numbers."""
        return tuple(name for part in self.parts for name in part.names)

    @property
    def size(self) -> int:
        """How many numbers are free."""
        return sum(part.size for part in self.parts)

    def pieces(self, vector: Float[Array, " number"]) -> list[Array]:
        """What of a vector is of which leaf."""
        ends = np.cumsum([part.size for part in self.parts])
        return [x.reshape(part.shape) for x, part in zip(jnp.split(vector, ends[:-1]), self.parts, strict=True)]

    def values(self, vector: Float[Array, " number"]) -> dict[str, Array]:
        """The free numbers in their unit, by leaf."""
        return {part.name: part.values(x) for part, x in zip(self.parts, self.pieces(vector), strict=True)}

    def tree(self, vector: Float[Array, " number"], like: PyTree) -> PyTree:
        """A vector as the free leaves of a model, each in its own precision."""
        found = [x.astype(leaf.dtype) for x, leaf in zip(self.pieces(vector), jax.tree.leaves(like), strict=True)]
        return jax.tree.unflatten(jax.tree.structure(like), found)

    def split(self, model: PyTree) -> tuple[PyTree, Fixed]:
        """The free leaves of a model, and the rest."""
        names = leaf_names(model)
        place = {name: i for i, name in enumerate(names)}
        marks: list[Any] = [False] * len(names)
        for part in self.parts:
            mask = None if part.mask is None else np.asarray(part.mask)
            basis = None if part.basis is None else np.asarray(part.basis, float)
            marks[place[part.name]] = Free(part.name, domain=part.domain, mask=mask, basis=basis, parts=part.columns)
        for name, first in self.follows:
            marks[place[name]] = Follows(place[first])
        return split(model, jax.tree.unflatten(jax.tree.structure(model), marks))

    def model(self, vector: Float[Array, " number"], like: PyTree, fixed: Fixed) -> Any:
        """The model at a vector."""
        return join(self.tree(vector, like), fixed)


def vector_of(free: PyTree) -> Float[Array, " number"]:
    """The free leaves one after another.

    Example:
        >>> vector_of({"a": jnp.ones(2), "b": jnp.zeros(())}).tolist()
        [1.0, 1.0, 0.0]
    """
    return jnp.concatenate([jnp.ravel(x).astype(jnp.result_type(float)) for x in jax.tree.leaves(free)])


def space_of(model: PyTree, spec: PyTree) -> Space:
    """The free leaves that a spec names, with the names of their regions.

    In tables, axes of several networks with different regions are called after the network, such as 'left.region': one table has one
    list of names to an axis.
    """
    _, fixed = split(model, spec)
    networks = _networks(model)
    return Space(
        tuple(_part(model, fixed, rule, networks) for rule in fixed.rules),
        tuple((fixed.names[i], fixed.names[first]) for i, first in fixed.follows),
    )


def region_axes(model: PyTree) -> dict[Names, tuple[str, str]]:
    """What axes of the regions of each network in a model are called in tables, the first of a value and the second, by their names.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(), gx.couplings.Linear(source="x"), gx.Connectome(jnp.ones((2, 2)), labels=["a", "b"]))
        >>> region_axes((net, 1.0))
        {('a', 'b'): ('region', 'other')}
    """
    found: dict[Names, tuple[str, str]] = {}
    for of in _networks(model).values():
        found.setdefault(of.labels, (of.axis("region"), of.axis("other")))
    return found


def apart(name: str, taken: Iterable[str]) -> str:
    """What a leaf is called in a table that has names of its own.

    Example:
        >>> apart("gamma", ["chain", "draw"]), apart("draw", ["chain", "draw"])
        ('gamma', 'draw_value')
    """
    return f"{name}_value" if name in taken else name


class _Labelled(NamedTuple):
    """A part of a model with names of regions, and what stands before the names of its axes."""

    labels: Names
    prefix: str

    def axis(self, dim: str) -> str:
        return self.prefix + dim


def _networks(model: PyTree) -> dict[str, _Labelled]:
    """Every network in a model (and what else has names of regions and is in none), by where it is; itself by nothing."""
    found = jax.tree_util.tree_flatten_with_path(model, is_leaf=_is_labelled)[0]
    parts = {path_name(path): part for path, part in found if _is_labelled(part)}
    several = {tuple(part.labels) for part in parts.values() if isinstance(part, Network)}
    several = several or {tuple(part.labels) for part in parts.values()}
    plain = {tuple(part.labels): len(several) == 1 and tuple(part.labels) in several for part in parts.values()}
    return {
        path: _Labelled(tuple(part.labels), "" if plain[tuple(part.labels)] else f"{path}.")
        for path, part in parts.items()
    }


def _is_labelled(part: Any) -> bool:
    labels = getattr(part, "labels", None)
    return isinstance(labels, tuple | list) and bool(labels) and all(isinstance(label, str) for label in labels)


def _part(model: PyTree, fixed: Fixed, rule: Any, networks: Mapping[str, _Labelled]) -> Part:
    name, (way, leaf) = fixed.names[rule.index], jax.tree_util.tree_flatten_with_path(model)[0][rule.index]
    path = next((p for p in (path_name(way[:i]) for i in range(len(way) + 1)) if p in networks), "")
    of = networks.get(path, _Labelled((), ""))
    labels, shape = of.labels, jnp.shape(leaf)
    if rule.basis is not None:
        columns = np.asarray(rule.basis)
        # a group's value, and the base of maps, are values of the parameter: of the others a step is one on the real line
        levels = tuple(set(np.unique(column)) <= {0.0, 1.0} for column in columns.T)
        parts, count = rule.parts, columns.shape[1]
        return Part(name, rule.domain, levels, None, columns, parts, (f"{name}_part",), (parts,), (count,))
    if rule.positions is None:
        dims, coords = _dims(name, shape, labels)
        dims = tuple(of.axis(dim) if dim in ("region", "target", "source") else dim for dim in dims)
        return Part(name, rule.domain, (), None, None, (), dims, coords, shape)
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[np.asarray(rule.positions)] = True
    dims, along = _dims(name, shape, labels)
    entries = tuple(
        ", ".join(str(i) if c is None else c[i] for c, i in zip(along, at, strict=True)) for at in np.argwhere(mask)
    )
    whole = tuple(zip(dims, along, strict=True))
    return Part(name, rule.domain, (), mask, None, (), (f"{name}_entry",), (entries,), (len(entries),), whole)


def _dims(name: str, shape: tuple[int, ...], labels: Names) -> tuple[tuple[str, ...], tuple[Names | None, ...]]:
    """What the axes of a leaf are called in tables, and what lies along them."""
    n = len(labels)
    if n and shape == (n,):
        return ("region",), (labels,)
    if n and shape == (n, n):
        return ("target", "source"), (labels, labels)
    return tuple(f"{name}_{k}" for k in range(len(shape))), tuple(labels if n and k == n else None for k in shape)
