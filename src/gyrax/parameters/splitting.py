"""Takes the free leaves of a model out, unconstrained, and puts them back."""

import inspect
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._kinds import expect, refused
from .._types import is_traced
from .addresses import domains, leaf_names, tell, trainable
from .domains import AbstractDomain
from .selection import Follows, Free

Model = TypeVar("Model")


class Rule(eqx.Module):
    """How one free leaf comes back: which leaf, through which domain, and which part of it."""

    index: int = eqx.field(static=True)
    domain: AbstractDomain = eqx.field(static=True)
    positions: Any  # of the free entries in the flattened leaf, None if all are free
    held: Any  # the whole leaf, for the entries that are not
    basis: Any = None  # of what the leaf is on the real line, (entry, number), if not each entry by itself
    parts: tuple[str, ...] = eqx.field(static=True, default=())  # what the columns of the basis are called


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
        ValueError: if a start lies outside or on the edge of its domain, naming leaf, value and domain; for a free leaf
            without a number; if nothing is free.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.WongWang(w=0.5)
        >>> free, fixed = split(model, gx.select(model, "w"))
        >>> round(float(join(free, fixed).w), 6)
        0.5
    """
    if isinstance(spec, str) or inspect.isclass(spec) or spec is None:
        what = spec if isinstance(spec, str) else "model.w"
        raise refused("spec", spec, "the leaves that are free", f"gx.select(model, {what!r})")
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
            if not inside.size:
                raise ValueError(
                    f"{names[i]} is free and has no number: its shape is {value.shape}; leave it out of the spec"
                )
            _check_start(names[i], inside, domain)
            free[i], basis = domain.to_real(inside), None
            if override.basis is not None:
                free[i], basis = _along(names[i], free[i], override)
            held = None if positions is None else value
            rules.append(Rule(i, domain, positions, held, basis, override.parts if basis is not None else ()))
    if not rules:
        raise ValueError("the spec frees no leaf: make it with select(model, ...)")
    tell(model, "check_free", [names[rule.index] for rule in rules])  # a network knows what has no gradient
    kept = tuple(i for i, x in enumerate(free) if x is None and i not in dict(follows))
    fixed = Fixed(tuple(leaves[i] for i in kept), tuple(rules), kept, tuple(follows), treedef, tuple(names))
    return jax.tree.unflatten(treedef, free), fixed


def _along(name: str, real: Any, mark: Free) -> tuple[Any, Any]:
    """The numbers that a leaf is along a basis, and the basis."""
    basis: Any = mark.basis
    real = jnp.broadcast_to(real, len(basis))
    numbers = jnp.asarray(np.linalg.pinv(basis), real.dtype) @ real
    if not is_traced(real):
        off = np.abs(basis @ np.asarray(numbers, float) - np.asarray(real, float))
        if off.max() > 1e-4 * (1 + np.abs(np.asarray(real)).max()):
            raise ValueError(
                f"{name} differs between regions as {mark!r} does not, most at number {int(off.argmax())}: start from one "
                f"value for all, such as gx.per_region of a network whose {name} is a scalar"
            )
    return numbers, jnp.asarray(basis, real.dtype)


def _broadcast(spec: PyTree, model: PyTree) -> list[Any]:
    """A mark a leaf, from a spec that may be a prefix of the model and may hold functions of the leaf."""

    def spread(mark: Any, part: PyTree) -> PyTree:
        if isinstance(mark, bool | Free | Follows):
            # A prefix such as True means what can be trained beneath it; a rule of one leaf stands as it is.
            return jax.tree.map(lambda leaf: mark if mark is False or trainable(leaf) else False, part)
        if callable(mark):
            return jax.tree.map(lambda leaf: bool(mark(leaf)) and trainable(leaf), part)
        raise TypeError(f"a filter spec holds True, False or functions of a leaf; got {mark!r}")

    try:
        return jax.tree.leaves(jax.tree.map(spread, spec, model))
    except TypeError as error:
        raise TypeError(f"spec= is not one of this model: {error}") from error
    except ValueError as error:  # a page of JAX's about trees
        raise ValueError(
            "spec= is not one of this model, but of one that is built otherwise: make it of this one, as by gx.select(model, ...)"
        ) from error


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
    expect(
        "fixed", fixed, Fixed, "what `split` returned beside `free`", "fixed, of free, fixed = gx.split(model, spec)"
    )
    values, names = jax.tree.leaves(free), leaf_names(free)
    expected = [fixed.names[rule.index] for rule in fixed.rules]
    if names != expected:
        raise ValueError(f"`free` has {names} and `fixed` expects {expected}: not one split's two")
    leaves: list[Any] = [None] * len(fixed.names)
    for i, leaf in zip(fixed.kept, fixed.leaves, strict=True):
        leaves[i] = leaf
    for rule, real in zip(fixed.rules, values, strict=True):
        if rule.basis is not None:
            real = jnp.matmul(rule.basis, real, precision="highest")
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
