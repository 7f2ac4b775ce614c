"""Steps of a fit, many to a call: losses and gradients over realisations and starts, the best of each start kept."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from .._kinds import expect_function, whole
from ..parameters.addresses import leaf_names
from .blocks import compiled_steps
from .evolution import Evolution, perturbing, smoothed
from .objective import AbstractObjective, Objective, keys_of, length

#: Steps that one call into XLA may take.
BLOCK = 64
#: Steps in a row without a finite gradient after which there is no hope.
HOPELESS = 10
#: What validation noise is made with. Training folds the step's number in, which is smaller.
_UNSEEN = np.uint32(2**32 - 1)

#: What a record has beside the mean: the loss on every key of the validation.
VALIDATION_EACH = "validation on each key"

Optimiser = optax.GradientTransformation | Mapping[str, optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class Validation:
    """Noise on which a fit is judged while it runs, and never trained.

    The best model is then the one with the lowest loss on it, and patience waits for that. Where noise is new at every step, the
    lowest loss of a step is the luckiest draw.

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
        if isinstance(self.keys, jax.Array) and self.keys.ndim:
            whole("keys", len(self.keys))
        else:
            whole("keys", self.keys)
        whole("every", self.every)
        if self.loss is not None:
            expect_function("loss", self.loss, "lambda model, key: ...")

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


class Held(NamedTuple):
    """What a fit is judged on while it runs: an objective, and noise that is never trained on."""

    objective: AbstractObjective
    keys: Array


class Moves:
    """An optimiser, the same as another one that computes the same: `optax.adam(0.01)` in a cell that is run again makes a new one.

    Attributes:
        optimiser: an optax optimiser, or one for each free leaf.
        computes: a digest of what an update of it does now: a rate that it calls a function for may have changed.
        told: whether that says all of it; one that calls the host is the same only if it is the very same one.
    """

    def __init__(self, optimiser: Optimiser, computes: str = "", told: bool = False):
        self.optimiser, self.computes, self.told = optimiser, computes, told

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Moves) or self.computes != other.computes:
            return False
        return (self.told and other.told) or self.optimiser is other.optimiser

    def __hash__(self) -> int:
        return hash(self.computes)


class Descent(eqx.Module):
    """What stays the same in all steps of a fit.

    Attributes:
        objective: what is descended.
        moves: the optimiser.
        key: every step's keys are made from it and the step's number.
        held: what the best model is chosen by; None for the objective itself.
        clip: gradients longer than this are shortened; None for never.
        every: steps from one look at what is held out to the next.
        realisations: keys a step.
        common: whether all steps have the same.
        starts: how many there are side by side; None for one, without an axis of its own.
        evolution: how gradients are estimated; None for exact ones.
    """

    objective: Objective
    moves: Moves = eqx.field(static=True)
    key: Any
    held: Held | None
    clip: Any
    every: int = eqx.field(static=True)
    realisations: int = eqx.field(static=True)
    common: bool = eqx.field(static=True)
    starts: int | None = eqx.field(static=True)
    evolution: Evolution | None = eqx.field(static=True)

    def begin(self, free: PyTree) -> Carry:
        """Before the first step. Of several starts, `free` has them stacked."""
        zero = jnp.zeros(() if self.starts is None else self.starts, jnp.int32)
        inf = jnp.full(zero.shape, jnp.inf, jnp.result_type(float))
        state = self.each(self.transform(free).init)(free)
        return Carry(free, state, free, inf, zero, zero, jnp.zeros((), jnp.int32))

    def anew(self, saved: Callable[[str], Any], steps: int) -> Carry:
        """From the parameters and the step of an earlier descent, by another objective or optimiser, to so many steps in all.

        Raises:
            ValueError: if there is no step left, so that nothing would be the best.
        """
        begun, step = self.begin(saved("free")), saved("step")
        if int(step) >= steps:
            raise ValueError(f"steps={steps} counts the {int(step)} that the checkpoint has taken: give more")
        return dataclasses.replace(begun, step=step, best_step=jnp.broadcast_to(step, begun.best_step.shape))

    def each(self, function: Callable) -> Callable:
        """A function of one start, for all of them."""
        return function if self.starts is None else jax.vmap(function)

    def transform(self, free: PyTree) -> optax.GradientTransformationExtraArgs:
        """The optimiser, or each leaf's own."""
        optimiser = self.moves.optimiser
        if not isinstance(optimiser, Mapping):
            return optax.with_extra_args_support(optimiser)
        owners = jax.tree.unflatten(jax.tree.structure(free), owners_of(leaf_names(free), optimiser))
        return optax.multi_transform({**optimiser}, owners)

    def keys(self, step: Array) -> Array:
        base = self.key if self.common else jax.random.fold_in(self.key, step)
        return keys_of(base, self.realisations)

    def means(self, keys: Array, step: Array, starts: int | None) -> Callable[[PyTree], tuple[Array, dict[str, Array]]]:
        """Value and terms of so many starts on these keys, as a function of the free leaves that is differentiated."""
        if self.evolution is not None:
            return smoothed(self.objective, self.evolution, keys, starts, perturbing(self.key, step))
        return lambda free: self.objective.means(free, keys, starts)

    def step(self, carry: Carry) -> tuple[Carry, dict[str, Array]]:
        """One step of all starts, and what happened."""
        keys = self.keys(carry.step)
        means = self.means(keys, carry.step, self.starts)

        def total(free: PyTree):  # starts do not know of each other: the gradient of the sum has the gradient of each
            value, terms = means(free)
            return value.sum(), (value, terms)

        (_, (value, terms)), gradient = jax.value_and_grad(total, has_aux=True)(carry.free)
        score, new = value, {"loss": value, **terms}
        held = self.held
        if held is not None:
            judged = (carry.step == 0) | ((carry.step + 1) % self.every == 0)

            def look(free: PyTree):
                return held.objective.each(free, held.keys, self.starts)

            def pass_by(free: PyTree):
                return jnp.full((*value.shape, len(held.keys)), jnp.nan, value.dtype)

            each = jax.lax.cond(judged, look, pass_by, carry.free)
            score = each.mean(-1)
            new |= {"validation": score, VALIDATION_EACH: each}

        def move(alone: Carry, gradient: PyTree, value: Array, score: Array):
            return self.move(dataclasses.replace(alone, step=carry.step), gradient, value, score, keys)

        later, more = self.each(move)(dataclasses.replace(carry, step=None), gradient, value, score)
        return dataclasses.replace(later, step=carry.step + 1), new | more

    def move(self, carry: Carry, gradient: PyTree, value: Array, score: Array, keys: Array) -> Any:
        """One start's step, taken if it is finite; and whether the parameters before it are the best."""
        bad = jnp.stack([~jnp.isfinite(g).all() for g in jax.tree.leaves(gradient)])
        fine = ~bad.any() & jnp.isfinite(value)
        norm = length(ravel_pytree(gradient)[0])
        if self.clip is not None:
            gradient = jax.tree.map(lambda g: g * jnp.minimum(1, self.clip / norm).astype(g.dtype), gradient)

        means = self.means(keys, carry.step, None)

        def value_fn(free: PyTree):
            return means(free)[0]

        updates, state = self.transform(carry.free).update(
            gradient, carry.optimiser, carry.free, value=value, grad=gradient, value_fn=value_fn
        )

        def keep(yes: Array, new: PyTree, old: PyTree):
            return jax.tree.map(lambda a, b: jnp.where(yes, a, b), new, old)

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
def advance(
    descent: Descent, carry: Carry, most_steps: Array, patience: Array
) -> tuple[Array, Carry, dict[str, Array]]:
    """Steps, at most so many (and BLOCK); it stops where patience or hope ends."""

    def go_on(carry: Carry):
        return ((carry.waited < patience) & (carry.bad_in_a_row < HOPELESS)).any()

    return compiled_steps(descent.step, carry, most_steps, go_on, BLOCK)


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
