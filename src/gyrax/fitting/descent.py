"""Steps of a fit, many to a call: losses and gradients over realisations and starts, the best of each start kept."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from ..parameters.addresses import leaf_names
from ..parameters.splitting import Fixed, join

#: Steps that one call into XLA may take.
BLOCK = 64
#: Steps in a row without a finite gradient after which there is no hope.
HOPELESS = 10
#: What validation noise is made with. Training folds the step's number in, which is smaller.
_UNSEEN = np.uint32(2**32 - 1)

Optimiser = optax.GradientTransformation | Mapping[str, optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class Validation:
    """Noise on which a fit is judged while it runs, and never trained.

    The best model is then the one with the lowest loss on it, and patience waits for that.

    Args:
        keys: how many realisations, the same every time; made from the fit's key, or give keys of your own.
        every: steps from one look to the next.
        loss: another loss to judge by, such as one of longer recordings; the fit's own if left out.

    Raises:
        ValueError: for no keys, or looks less than a step apart.

    Example:
        >>> Validation(keys=8, every=10)
        Validation(keys=8, every=10, loss=None)
    """

    keys: int | Array = 4
    every: int = 5
    loss: Callable[[Any, Any], Any] | None = None

    def __post_init__(self):
        count = self.keys if isinstance(self.keys, int) else len(self.keys)
        for name, value in (("keys", count), ("every", self.every)):
            if value < 1:
                raise ValueError(f"Validation: {name} is a whole number from 1 on, got {value}")

    def drawn(self, key: Any) -> Array:
        """Its keys, in a fit with this key."""
        if isinstance(self.keys, int):
            return jax.random.split(jax.random.fold_in(key, _UNSEEN), self.keys)
        return self.keys


class Carry(eqx.Module):
    """Where a fit stands. Of several starts, all but `step` have one more axis, the first."""

    free: PyTree
    optimiser: PyTree
    best: PyTree
    best_loss: Array
    best_step: Array
    bad_in_a_row: Array
    step: Any  # None where one start is on its own: all have one

    @property
    def waited(self) -> Any:
        """Steps since the best one."""
        return self.step - 1 - self.best_step


class Descent(eqx.Module):
    """What stays the same in all steps of a fit."""

    fixed: Fixed
    loss: Callable[..., Any]
    optimiser: Optimiser
    key: Any
    held: tuple[Callable[..., Any], Array] | None  # the loss and the keys of validation
    clip: Any
    every: int = eqx.field(static=True)
    realisations: int = eqx.field(static=True)
    common: bool = eqx.field(static=True)
    starts: int | None = eqx.field(static=True)

    def begin(self, free: PyTree) -> Carry:
        """Before the first step. Of several starts, `free` has them stacked."""
        zero = jnp.zeros(() if self.starts is None else self.starts, jnp.int32)
        inf = jnp.full(zero.shape, jnp.inf, jnp.result_type(float))
        state = self.each(self.transform(free).init)(free)
        return Carry(free, state, free, inf, zero, zero, jnp.zeros((), jnp.int32))

    def each(self, function: Callable) -> Callable:
        """A function of one start, for all of them."""
        return function if self.starts is None else jax.vmap(function)

    def transform(self, free: PyTree) -> optax.GradientTransformationExtraArgs:
        """The optimiser, or each leaf's own."""
        if not isinstance(self.optimiser, Mapping):
            return optax.with_extra_args_support(self.optimiser)
        owners = jax.tree.unflatten(jax.tree.structure(free), owners_of(leaf_names(free), self.optimiser))
        return optax.multi_transform({**self.optimiser}, owners)

    def mean(self, loss: Callable[..., Any], free: PyTree, keys: Array) -> Any:
        """Loss and terms of one start, means over keys."""
        one = lambda k: value_and_terms(loss(join(free, self.fixed), k))  # noqa: E731
        if len(keys) == 1:
            return one(keys[0])
        return jax.tree.map(lambda x: x.mean(0), jax.vmap(one)(keys))

    def means(self, loss: Callable[..., Any], free: PyTree, keys: Array) -> Any:
        """The same of every start: all their simulations are one ensemble."""
        if self.starts is None:
            return self.mean(loss, free, keys)
        several = jax.tree.map(lambda x: jnp.repeat(x, len(keys), axis=0), free)
        one = lambda f, k: value_and_terms(loss(join(f, self.fixed), k))  # noqa: E731
        found = jax.vmap(one)(several, jnp.concatenate([keys] * self.starts))
        return jax.tree.map(lambda x: x.reshape(self.starts, len(keys)).mean(1), found)

    def keys(self, step: Array) -> Array:
        base = self.key if self.common else jax.random.fold_in(self.key, step)
        return base[None] if self.realisations == 1 else jax.random.split(base, self.realisations)

    def step(self, carry: Carry) -> tuple[Carry, dict[str, Array]]:
        """One step of all starts, and what happened."""
        keys = self.keys(carry.step)

        def total(free: PyTree):  # starts do not know of each other: the gradient of the sum has the gradient of each
            value, terms = self.means(self.loss, free, keys)
            return value.sum(), (value, terms)

        (_, (value, terms)), gradient = jax.value_and_grad(total, has_aux=True)(carry.free)
        score, new = value, {"loss": value, **terms}
        if self.held is not None:
            judged = (carry.step == 0) | ((carry.step + 1) % self.every == 0)
            look = lambda free: self.means(self.held[0], free, self.held[1])[0]  # noqa: E731  # pyright: ignore[reportOptionalSubscript]
            score = jax.lax.cond(judged, look, lambda free: jnp.full_like(value, jnp.nan), carry.free)
            new["validation"] = score
        one = lambda c, g, v, s: self.move(dataclasses.replace(c, step=carry.step), g, v, s, keys)  # noqa: E731
        later, more = self.each(one)(dataclasses.replace(carry, step=None), gradient, value, score)
        return dataclasses.replace(later, step=carry.step + 1), new | more

    def move(self, carry: Carry, gradient: PyTree, value: Array, score: Array, keys: Array) -> Any:
        """One start's step, taken if it is finite; and whether the parameters before it are the best."""
        bad = jnp.stack([~jnp.isfinite(g).all() for g in jax.tree.leaves(gradient)])
        fine = ~bad.any() & jnp.isfinite(value)
        norm = optax.tree.norm(gradient)
        if self.clip is not None:
            gradient = jax.tree.map(lambda g: g * jnp.minimum(1, self.clip / norm).astype(g.dtype), gradient)
        value_fn = lambda free: self.mean(self.loss, free, keys)[0]  # noqa: E731
        updates, state = self.transform(carry.free).update(
            gradient, carry.optimiser, carry.free, value=value, grad=gradient, value_fn=value_fn
        )
        keep = lambda yes, new, old: jax.tree.map(lambda a, b: jnp.where(yes, a, b), new, old)  # noqa: E731
        better = fine & (score < carry.best_loss)  # NaN, where nobody looked, is no better
        later = Carry(
            keep(fine, optax.apply_updates(carry.free, updates), carry.free),
            keep(fine, state, carry.optimiser),
            keep(better, carry.free, carry.best),
            jnp.where(better, score, carry.best_loss),
            jnp.where(better, carry.step, carry.best_step),
            jnp.where(fine, 0, carry.bad_in_a_row + 1),
            None,
        )
        return later, {"gradient": norm, "nonfinite": bad}


@eqx.filter_jit
def advance(descent: Descent, carry: Carry, limits: Array) -> tuple[Carry, dict[str, Array]]:
    """Steps, at most `limits[0]` (and BLOCK); what happened at each goes into buffers of that length.

    It stops where patience (`limits[1]`) or hope ends, so that how many steps are taken does not depend on the block.
    """
    shapes = jax.eval_shape(descent.step, carry)[1]
    buffers = jax.tree.map(lambda s: jnp.zeros((BLOCK, *s.shape), s.dtype), shapes)

    def go_on(x):
        i, carry, _ = x
        return (i < limits[0]) & ((carry.waited < limits[1]) & (carry.bad_in_a_row < HOPELESS)).any()

    def body(x):
        i, carry, buffers = x
        carry, new = descent.step(carry)
        return i + 1, carry, jax.tree.map(lambda b, n: b.at[i].set(n), buffers, new)

    return jax.lax.while_loop(go_on, body, (jnp.zeros((), jnp.int32), carry, buffers))[1:]


def value_and_terms(out: Any) -> tuple[Any, dict[str, Any]]:
    """What a loss returned, with its named terms, if any."""
    value, terms = out if isinstance(out, tuple) and len(out) == 2 else (out, {})
    if not isinstance(terms, dict):
        raise TypeError(f"what a loss returns beside its value is a dict of named scalars, got {terms!r}")
    return value, terms


def owners_of(names: list[str], optimisers: Mapping[str, Any]) -> list[str]:
    """For each free leaf the name, of itself or of what it is part of, that has an optimiser.

    Raises:
        ValueError: for a leaf without one, with two, or an optimiser without a leaf.

    Example:
        >>> owners_of(["model.w", "coupling.strength"], {"model": None, "coupling.strength": None})
        ['model', 'coupling.strength']
    """
    owners = []
    for name in names:
        found = [owner for owner in optimisers if f"{name}.".startswith(f"{owner}.")]
        if len(found) != 1:
            what = f"{len(found)} optimisers ({', '.join(found)})" if found else "no optimiser"
            raise ValueError(f"{name} is free and has {what}: give each free leaf one; they are {', '.join(names)}")
        owners += found
    idle = [owner for owner in optimisers if owner not in owners]
    if idle:
        raise ValueError(f"the optimiser of '{idle[0]}' has no free leaf; they are {', '.join(names)}")
    return owners
