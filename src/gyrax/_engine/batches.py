"""Many simulations at once: under `vmap`, with the batch as the last axis of all that changes during a run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .loops import Axes, Engine


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
            out = do(*_together(engine, size, flags, arrays))
            out = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), out)
        return out, jax.tree.map(lambda _: True, out)

    return eqx.combine(one(*leaves), other[0])


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
