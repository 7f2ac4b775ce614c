"""Many simulations at once: under `vmap`, with the batch as the last axis of all that changes during a run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .loops import Axes, Engine

#: Bytes that members of an ensemble which run at once carry from step to step: about what a core's own cache holds. Beyond it a step of each
#: takes two to four times as long.
_CACHE = 2**19
#: Members at once in any case: fewer do not make up for what a step of a loop costs.
_FEWEST = 16


def ensemble(engine: Engine, job: Callable, arguments: tuple) -> Any:
    """The job for one simulation; under vmap, for all of them together, with the batch as the last axis.

    Without delays nothing is sliced, and JAX batches as it likes: a tenth faster with 64 at once, a quarter with their gradient.
    """
    if not engine.features:
        return job(engine, *arguments)
    arrays, static = eqx.partition(arguments, eqx.is_array)
    leaves, tree = jax.tree.flatten(arrays)
    other: list[Any] = []

    def do(engine, arrays):
        out, rest = eqx.partition(job(engine, *eqx.combine(arrays, static)), eqx.is_array)
        other[:] = [rest]
        return out

    @jax.custom_batching.custom_vmap
    def one(*leaves):
        return do(engine, jax.tree.unflatten(tree, leaves))

    @one.def_vmap
    def many(size, batched, *leaves):
        flags, arrays = jax.tree.unflatten(tree, batched), jax.tree.unflatten(tree, leaves)
        if any(flags[0].steps.values()):  # delays of their own: no slices in common
            axes = tuple(0 if b else None for b in batched)
            out = jax.vmap(lambda *x: do(engine, jax.tree.unflatten(tree, x)), in_axes=axes, axis_size=size)(*leaves)
        else:
            out = _in_groups(
                lambda several, arrays: do(*_together(engine, several, flags, arrays)), size, flags, arrays
            )
        return out, jax.tree.map(lambda _: True, out)

    return eqx.combine(one(*leaves), other[0])


def _in_groups(do: Callable, size: int, flags: Any, arrays: Any) -> Any:
    """All members of a batch, with the batch first: on a CPU as many at once as its cache holds, one group after another."""
    leaves, tree = jax.tree.flatten(arrays)
    batched = jax.tree.leaves(flags)
    carry = zip(jax.tree.leaves(arrays[1]), jax.tree.leaves(flags[1]), strict=True)
    at_once = max(_FEWEST, int(_CACHE / sum(x.nbytes / (size if b else 1) for x, b in carry)))
    groups = -(-size // at_once) if jax.default_backend() == "cpu" else 1
    each = -(-size // groups)

    def split(x: Any) -> Any:
        """By groups; the last member fills up the last one."""
        more = [jnp.repeat(x[-1:], groups * each - size, axis=0)] if groups * each > size else []
        return jnp.concatenate([x, *more]).reshape(groups, each, *x.shape[1:])

    def group(mine: list[Any]) -> Any:
        left = iter(mine)
        own = [next(left) if b else x for x, b in zip(leaves, batched, strict=True)]
        return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), do(each, jax.tree.unflatten(tree, own)))

    several = [x for x, b in zip(leaves, batched, strict=True) if b]
    if groups == 1:
        return group(several)
    out = jax.lax.map(group, [split(x) for x in several])
    return jax.tree.map(lambda x: x.reshape(groups * each, *x.shape[2:])[:size], out)


def _together(engine: Engine, size: int, flags: Any, arrays: Any) -> tuple[Engine, Any]:
    """The engine for a batch, and its arguments with the batch where it wants it.

    Arguments are parts, carry and key, then what else there is; `flags` say which of their leaves have a batch. Parts and key
    keep it first, all others get it last. The carry's step is a plain number, the same for all.
    """
    parts, carry, key, *rest = arrays
    axes = Axes(jax.tree.map(lambda b: 0 if b else None, flags[0]), flags[2])
    engine = dataclasses.replace(engine, batch=size, axes=axes)

    def last(batched, x):
        return jnp.moveaxis(x, 0, -1) if batched else jnp.broadcast_to(x[..., None], (*x.shape, size))

    moved = jax.tree.map(last, (flags[1], *flags[3:]), (carry, *rest))
    return engine, (parts, dataclasses.replace(moved[0], step=carry.step), key, *moved[1:])
