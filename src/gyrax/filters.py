"""Which leaves are free: `select` names them, `split` takes them out unconstrained, `join` puts them back.

A spec is an ordinary equinox filter spec: a tree like the network with `True` at a free leaf. `Free` and `Tie` say more
(another domain, part of an array, leaves that move together); equinox itself reads them as True and False.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from ._types import is_traced
from .domains import AbstractDomain, Real

Model = TypeVar("Model")
Where = str | Callable[[Any], Any]


class Free:
    """A free leaf with a domain of this experiment's own, or of which only a part is free.

    Args:
        where: a function of the network that returns a leaf (or a Module: all its parameters), or a dotted path.
        domain: replaces the domain the parameter was declared with.
        mask: True where the array is free, of the leaf's shape; the rest keeps its value and never sees the optimiser.

    Example:
        >>> Free("model.w", mask=np.array([True, False]))
        Free('model.w', mask=1 of 2)
    """

    def __init__(self, where: Where, *, domain: AbstractDomain | None = None, mask: Any = None):
        if domain is not None and not isinstance(domain, AbstractDomain):
            raise TypeError(f"domain= takes a domain such as Positive() or Interval(0, 1), got {domain!r}")
        self.where, self.domain = where, domain
        self.mask = None if mask is None else np.asarray(mask)
        if self.mask is not None and self.mask.dtype != bool:
            raise TypeError(f"mask= takes True and False, of the leaf's shape; got dtype {self.mask.dtype}")

    def __call__(self, leaf: Any) -> bool:
        return True

    def __repr__(self):
        extra = "" if self.domain is None else f", domain={self.domain!r}"
        extra += "" if self.mask is None else f", mask={self.mask.sum()} of {self.mask.size}"
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


def _name(path: Sequence[Any]) -> str:
    return ".".join(str(getattr(k, "name", getattr(k, "key", getattr(k, "idx", k)))) for k in path)


def leaf_names(tree: PyTree) -> list[str]:
    """Dotted names of a tree's leaves, in flattening order.

    Example:
        >>> leaf_names({"a": [1.0, 2.0]})
        ['a.0', 'a.1']
    """
    return [_name(path) for path, _ in jtu.tree_flatten_with_path(tree)[0]]


def _trainable(leaf: Any) -> bool:
    return eqx.is_inexact_array(leaf) or isinstance(leaf, float)


class _Token:
    """Stands for a leaf while a selection runs; nothing can be computed from it."""

    def __init__(self, index: int):
        self.index = index


_AS_THEY_ARE = "a selection returns leaves of the network as they are, such as lambda n: n.model.w"


def _find(tree: PyTree, where: Where, wholes: bool = True) -> list[int]:
    """Indices of the leaves that `where` names."""
    names, leaves = leaf_names(tree), jax.tree.leaves(tree)
    if isinstance(where, str):
        found = [i for i, name in enumerate(names) if name == where or name.startswith(where + ".")]
        if not found:
            free = [n for n, leaf in zip(names, leaves, strict=True) if _trainable(leaf)]
            close = difflib.get_close_matches(where, free, n=1) or [
                n for n in free if n.rsplit(".", 1)[-1] == where.rsplit(".", 1)[-1]
            ]
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise ValueError(f"no parameter '{where}'; {hint}there are: {', '.join(free)}")
    else:
        tokens = jax.tree.unflatten(jax.tree.structure(tree), [_Token(i) for i in range(len(leaves))])
        try:
            taken = jax.tree.leaves(where(tokens))
        except AttributeError as error:
            raise ValueError(f"{error}; the leaves are: {', '.join(names)}") from error
        except TypeError as error:  # arithmetic on a token
            raise ValueError(f"{_AS_THEY_ARE}; this one raised {error}") from error
        if not taken or not all(isinstance(token, _Token) for token in taken):
            raise ValueError(f"{_AS_THEY_ARE}; this one returned {where(tree)!r}")
        found = [token.index for token in taken]
    if len(found) == 1 or not wholes:
        for i in found:
            if not _trainable(leaves[i]):
                raise TypeError(f"{names[i]} is {leaves[i]!r}: only floating-point arrays can be free")
        return found
    return [i for i in found if _trainable(leaves[i])]


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
            (first, *more), *others = (_find(model, w, wholes=False) for w in (item.first, *item.others))
            if more:
                raise ValueError(f"{item!r}: the first is one leaf, not {1 + len(more)}")
            mark(first, True)
            for index in (i for found in others for i in found):
                _check_tie(names, leaves, first, index)
                mark(index, Follows(first))
        elif isinstance(item, Free):
            for index in _find(model, item.where):
                shape = jnp.shape(leaves[index])
                if item.mask is not None and item.mask.shape != shape:
                    raise ValueError(f"the mask for {names[index]} has shape {item.mask.shape}, the leaf {shape}")
                if item.mask is not None and not item.mask.any():
                    raise ValueError(f"the mask for {names[index]} frees nothing: it is False everywhere")
                mark(index, item)
        else:
            for index in _find(model, item):
                mark(index, True)
    return jax.tree.unflatten(jax.tree.structure(model), marks)


def _check_tie(names: list[str], leaves: list[Any], first: int, other: int) -> None:
    a, b = leaves[first], leaves[other]
    if jnp.shape(a) != jnp.shape(b):
        raise ValueError(f"{names[other]} {jnp.shape(b)} cannot follow {names[first]} {jnp.shape(a)}: shapes differ")
    if not is_traced(a, b) and not np.array_equal(a, b):
        raise ValueError(f"{names[other]} is to follow {names[first]} but starts elsewhere: give both one value first")


def domains(tree: PyTree) -> list[AbstractDomain]:
    """The declared domain of every leaf, in flattening order; `Real()` where none was declared.

    Example:
        >>> import gyrax as gx
        >>> domains(gx.couplings.Linear(source="S"))
        [Positive(scale=1.0)]
    """
    found = []
    for path, _ in jtu.tree_flatten_with_path(tree)[0]:
        node, domain = tree, Real()
        for key in path:
            if isinstance(key, jtu.GetAttrKey):
                fields = getattr(type(node), "__dataclass_fields__", {})
                metadata = fields[key.name].metadata if key.name in fields else {}
                domain = metadata.get("domain", domain)
                node = getattr(node, key.name)
            else:
                node = node[key.key if isinstance(key, jtu.DictKey) else getattr(key, "idx", None)]
        found.append(domain)
    return found


class Rule(eqx.Module):
    """How one free leaf comes back: which leaf, through which domain, and which part of it."""

    index: int = eqx.field(static=True)
    domain: AbstractDomain = eqx.field(static=True)
    positions: Any  # of the free entries in the flattened leaf, None if all are free
    held: Any  # the whole leaf, for the entries that are not


class Fixed(eqx.Module):
    """Everything that is not free, and how to put the free leaves back. Made by `split`, used by `join`."""

    leaves: tuple[Any, ...]
    rules: tuple[Rule, ...]
    kept: tuple[int, ...] = eqx.field(static=True)
    follows: tuple[tuple[int, int], ...] = eqx.field(static=True)
    treedef: Any = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __repr__(self):
        free = ", ".join(self.names[r.index] for r in self.rules)
        return f"Fixed({len(self.leaves)} frozen leaves; free: {free})"


def split(model: Model, spec: PyTree) -> tuple[Model, Fixed]:
    """Takes the free leaves out, on the real line.

    Returns:
        `free`: a tree like the model with unconstrained arrays where the spec is free (only the free entries of a masked
        leaf) and None elsewhere: optax, optimistix, BlackJAX and NumPyro take it as it is. `fixed`: the rest.

    Raises:
        ValueError: if a start lies outside or on the edge of its domain, naming leaf, value and domain; if nothing is free.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.WongWang(w=0.5)
        >>> free, fixed = split(model, select(model, "w"))
        >>> round(float(join(free, fixed).w), 6)
        0.5
    """
    leaves, treedef = jax.tree.flatten(model)
    names, declared = leaf_names(model), domains(model)
    marks = _broadcast(spec, model)
    free: list[Any] = [None] * len(leaves)
    rules, follows = [], []
    for i, (leaf, mark) in enumerate(zip(leaves, marks, strict=True)):
        if isinstance(mark, Follows):
            follows.append((i, mark.index))
        elif mark is True or isinstance(mark, Free):
            override = mark if isinstance(mark, Free) else Free("")
            value = jnp.asarray(leaf, jnp.result_type(float) if isinstance(leaf, float) else leaf.dtype)
            domain = override.domain or declared[i]
            if override.domain is not None:
                domain = domain.scaled_to(getattr(declared[i], "scale", None) or 0.0)
            positions = None if override.mask is None else jnp.asarray(np.flatnonzero(override.mask))
            inside = value if positions is None else value.reshape(-1)[positions]
            _check_start(names[i], inside, domain)
            free[i] = domain.to_real(inside)
            rules.append(Rule(i, domain, positions, None if positions is None else value))
    if not rules:
        raise ValueError("the spec frees no leaf: make it with select(model, ...)")
    check = getattr(model, "check_free", None)  # a network knows what has no gradient
    if check is not None:
        check([names[rule.index] for rule in rules])
    kept = tuple(i for i, x in enumerate(free) if x is None and i not in dict(follows))
    fixed = Fixed(tuple(leaves[i] for i in kept), tuple(rules), kept, tuple(follows), treedef, tuple(names))
    return jax.tree.unflatten(treedef, free), fixed


def _broadcast(spec: PyTree, model: PyTree) -> list[Any]:
    """A mark a leaf, from a spec that may be a prefix of the model and may hold functions of the leaf."""

    def spread(mark: Any, part: PyTree) -> PyTree:
        if isinstance(mark, bool | Free | Follows):
            # A prefix such as True means what can be trained beneath it; a rule of one leaf stands as it is.
            return jax.tree.map(lambda leaf: mark if mark is False or _trainable(leaf) else False, part)
        if callable(mark):
            return jax.tree.map(lambda leaf: bool(mark(leaf)) and _trainable(leaf), part)
        raise TypeError(f"a filter spec holds True, False or functions of a leaf; got {mark!r}")

    return jax.tree.leaves(jax.tree.map(spread, spec, model))


def _check_start(name: str, value: Any, domain: AbstractDomain) -> None:
    if is_traced(value):
        return
    outside = ~np.asarray(domain.contains(value))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        where = f"{name}{list(at) if at else ''}"
        raise ValueError(
            f"{where} = {np.asarray(value)[at]:.6g} does not lie inside its domain {domain!r}: start inside it, or give "
            "another with Free(where, domain=...)"
        )


def join(free: PyTree, fixed: Fixed) -> Any:
    """The model again, with the free leaves back in their domains. Inverse of `split`; works under jit, grad and vmap.

    Raises:
        ValueError: if `free` is not of the split that `fixed` is of.
    """
    values, names = jax.tree.leaves(free), leaf_names(free)
    expected = [fixed.names[rule.index] for rule in fixed.rules]
    if names != expected:
        raise ValueError(f"`free` has {names} and `fixed` expects {expected}: not one split's two")
    leaves: list[Any] = [None] * len(fixed.names)
    for i, leaf in zip(fixed.kept, fixed.leaves, strict=True):
        leaves[i] = leaf
    for rule, real in zip(fixed.rules, values, strict=True):
        value = rule.domain.from_real(real)
        if rule.positions is not None:
            if jnp.shape(value) != rule.positions.shape:
                raise ValueError(
                    f"`free` has {jnp.shape(value)} entries of {fixed.names[rule.index]} and `fixed` expects "
                    f"{rule.positions.shape}: another mask"
                )
            value = rule.held.reshape(-1).at[rule.positions].set(value).reshape(rule.held.shape)
        leaves[rule.index] = value
    for i, source in fixed.follows:
        leaves[i] = leaves[source]
    return jax.tree.unflatten(fixed.treedef, leaves)


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
    if not where:
        raise ValueError("which leaves? name at least one, such as lambda n: n.model.w or 'model.w'")
    leaves, treedef = jax.tree.flatten(network)
    names = leaf_names(network)
    for i in (i for w in where for i in _find(network, w)):
        n, shape = network.width(names[i]), jnp.shape(leaves[i])  # pyright: ignore[reportAttributeAccessIssue]
        if shape not in ((), (1,), (n,)):
            raise ValueError(f"{names[i]} has shape {shape}: only a scalar becomes one value for each of {n} regions")
        value = jnp.asarray(leaves[i], jnp.result_type(leaves[i]))  # never weakly typed
        leaves[i] = jnp.broadcast_to(value, (n,))
    return jax.tree.unflatten(treedef, leaves)
