"""Linear functions in pairs that are each other's transpose, where what JAX makes of one is no good program for the other."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


def both_ways(name: str, there: Callable[..., Any], back: Callable[..., Any]) -> tuple[Callable, Callable]:
    """Two functions as JAX then knows them, in every transformation.

    Args:
        name: of the pair, in what JAX prints.
        there: `there(*arrays, **known)`, linear in the arrays, which may have axes of batches behind their own, all of them or none;
            `known` are hashable. It returns a list of arrays.
        back: its transpose, of the same `known`.

    Example:
        >>> def repeated(x, times):
        ...     return [jnp.stack([x] * times)]
        >>> def added(x, times):
        ...     return [x.sum(0)]
        >>> repeat, add = both_ways("repeated", repeated, added)
        >>> jax.grad(lambda x: repeat(x, times=3)[0].sum())(1.0).item()
        3.0
    """
    one, other = (_linear(f"{name}_{way}", function) for way, function in (("there", there), ("back", back)))
    for primitive, transpose in ((one, other), (other, one)):
        ad.primitive_jvps[primitive] = functools.partial(_tangent, primitive)
        ad.primitive_transposes[primitive] = functools.partial(_transposed, transpose)
    return one.bind, other.bind


def _linear(name: str, function: Callable[..., Any]) -> Primitive:
    primitive = Primitive(name)
    primitive.multiple_results = True

    @functools.lru_cache
    def compiled(**known):
        return jax.jit(functools.partial(function, **known))

    @primitive.def_impl
    def run(*arrays, **known):
        return compiled(**known)(*arrays)

    @primitive.def_abstract_eval
    def shapes(*arrays, **known):
        like = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
        out = jax.eval_shape(functools.partial(function, **known), *like)
        return [arrays[0].update(shape=x.shape, dtype=x.dtype, weak_type=False) for x in out]

    def batched(arrays, axes, **known):
        size = next(x.shape[axis] for x, axis in zip(arrays, axes, strict=True) if axis is not None)
        last = [
            jnp.broadcast_to(x[..., None], (*x.shape, size)) if axis is None else jnp.moveaxis(x, axis, -1)
            for x, axis in zip(arrays, axes, strict=True)
        ]
        out = primitive.bind(*last, **known)
        return out, [x.ndim - 1 for x in out]

    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True))
    return primitive


def _tangent(primitive: Primitive, primals: Any, tangents: Any, **known: Any) -> tuple[Any, Any]:
    moved = [ad.instantiate_zeros(dx) for dx in tangents]
    return primitive.bind(*primals, **known), primitive.bind(*moved, **known)


def _transposed(transpose: Primitive, bars: Any, *arrays: Any, **known: Any) -> list[Array]:
    return transpose.bind(*(ad.instantiate_zeros(bar) for bar in bars), **known)
