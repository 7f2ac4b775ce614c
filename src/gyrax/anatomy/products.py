"""Weighted sums whose transposes are as fast as themselves.

A gradient goes back through a sum over sources by a sum over targets. What JAX makes of the first is no good program for the
second: of a gather, a scatter, which takes seven times as long on a CPU; of a product with a matrix whose targets lie side by
side, one that goes across. So the same weights are laid out for both ways, once for a run, and each way's transpose is the other.
JAX learns that by a primitive of our own, the only thing that has a transpose of its own in every transformation.
"""

import abc
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from .._types import Features, Matrix


class AbstractWeights(eqx.Module):
    """Weights, laid out for sums in one direction. Its one leaf of floats is what the sums are linear in."""

    @abc.abstractmethod
    def sums(self, x: Float[Array, "feature source *batch"]) -> Float[Array, "feature target *batch"]:
        """Over the sources, for each target."""

    @abc.abstractmethod
    def shares(
        self, x: Float[Array, "feature source *batch"], bar: Float[Array, "feature target *batch"]
    ) -> Float[Array, "..."]:
        """What each weight has of the sums' cotangent, laid out as the weights are: what it weighs times what that is asked for."""


class Padded(AbstractWeights):
    """A matrix with its targets last and padded to whole vector registers: a third faster at 84 regions."""

    weights: Float[Array, "source padded_target"]
    targets: int = eqx.field(static=True)

    @classmethod
    def of(cls, weights: Matrix) -> "Padded":
        """Of `(target, source)`."""
        return cls(jnp.pad(weights.T, ((0, 0), (0, -len(weights) % 8))), len(weights))

    def sums(self, x: Float[Array, "feature source *batch"]) -> Float[Array, "feature target *batch"]:
        if x.ndim == 2:
            return (x @ self.weights)[:, : self.targets]
        # The weights first, so that the batch stays last.
        return jnp.einsum("st,fsb->ftb", self.weights[:, : self.targets], x)

    def shares(
        self, x: Float[Array, "feature source *batch"], bar: Float[Array, "feature target *batch"]
    ) -> Float[Array, "source padded_target"]:
        # Of a single feature XLA makes no product of matrices but one number after another, for each of which it makes anew what
        # leads to its factors: 44 us for 2 at 84 regions. A second feature, of zeros, keeps it from that.
        if x.ndim == 2:
            x, bar = (jnp.pad(rows, ((0, 1), (0, 0))) for rows in (x, bar))
        share = jnp.einsum("fs...,ft...->st", x, bar)
        return jnp.pad(share, ((0, 0), (0, -self.targets % 8)))


class Product(eqx.Module):
    """`x @ product` for x `(feature, source)`: the weights in place for the many steps of a run, there and back.

    Attributes:
        there: from sources to targets.
        back: the same weights, from targets to sources. No number depends on them but derivatives.
    """

    there: AbstractWeights
    back: AbstractWeights

    @classmethod
    def of(cls, weights: Matrix) -> "Product":
        """Of a matrix `(target, source)`.

        Example:
            >>> product = Product.of(jnp.array([[0.0, 2.0], [3.0, 0.0]]))
            >>> (jnp.array([[1.0, 10.0]]) @ product).tolist()
            [[20.0, 3.0]]
        """
        return cls(Padded.of(weights), Padded.of(weights.T))

    def __rmatmul__(self, x: Float[Array, "feature source"]) -> Features:
        (there, one), (back, other) = jax.tree.flatten(self.there), jax.tree.flatten(self.back)
        return _product.bind(*there, *back, x, there=one, back=other)


# The primitive: leaves of `there`, leaves of `back`, x; `there` and `back` are the structures of their trees.

_product = Primitive("weighted_sums")


def _apart(arguments: Any, there: Any) -> tuple[Any, Any, Any]:
    n = there.num_leaves
    return arguments[:n], arguments[n:-1], arguments[-1]


@_product.def_impl
@functools.partial(jax.jit, static_argnames=("there", "back"))
def _sums(*arguments: Any, there: Any, back: Any) -> Array:
    leaves, _, x = _apart(arguments, there)
    return jax.tree.unflatten(there, leaves).sums(x)


@_product.def_abstract_eval
def _shape(*arguments: Any, there: Any, back: Any) -> Any:
    like = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arguments]
    out = jax.eval_shape(functools.partial(_sums, there=there, back=back), *like)
    return arguments[-1].update(shape=out.shape, dtype=out.dtype, weak_type=False)


def _tangent(primals: Any, tangents: Any, *, there: Any, back: Any) -> tuple[Any, Any]:
    """Linear in x and in the weights, each by itself; of the weights, both layouts move together."""
    value = functools.partial(_product.bind, there=there, back=back)
    *weights, x = primals
    *moved, dx = tangents
    out = value(*primals)
    parts = [] if isinstance(dx, ad.Zero) else [value(*weights, dx)]
    if not all(isinstance(new, ad.Zero) for new in moved):
        # Whole numbers, which say where the weights stand, do not move.
        parts.append(value(*map(_instead, weights, moved), x))
    return out, sum(parts[1:], parts[0])


def _instead(old: Any, new: Any) -> Any:
    if not isinstance(new, ad.Zero):
        return new
    return jnp.zeros_like(old) if eqx.is_inexact_array(old) else old


def _transpose(bar: Any, *arguments: Any, there: Any, back: Any) -> list[Any]:
    (leaves, others, x), nothing = _apart(arguments, there), [None] * len(arguments)
    if isinstance(bar, ad.Zero):
        return nothing
    if ad.is_undefined_primal(x):
        return [*nothing[1:], _product.bind(*others, *leaves, bar, there=back, back=there)]
    moved = [ad.is_undefined_primal(leaf) for leaf in leaves]  # the weights, in which the sums are linear too
    standing = [jnp.zeros(w.aval.shape, w.aval.dtype) if m else w for m, w in zip(moved, leaves, strict=True)]
    share = jax.tree.unflatten(there, standing).shares(x, bar)
    return [share if m else None for m in moved] + nothing[len(moved) :]


def _batched(arguments: Any, axes: Any, *, there: Any, back: Any) -> tuple[Array, int]:
    """One batch of what is sent is the last axis; of the weights too, or of batches, as ordinary operations."""
    (*weights, x), (*own, axis) = arguments, axes
    if all(where is None for where in own) and x.ndim == 3:
        return _product.bind(*weights, jnp.moveaxis(x, axis, -1), there=there, back=back), 2
    out = jax.vmap(functools.partial(_sums, there=there, back=back), in_axes=tuple(axes), out_axes=-1)(*arguments)
    return out, out.ndim - 1


ad.primitive_jvps[_product] = _tangent
ad.primitive_transposes[_product] = _transpose
batching.primitive_batchers[_product] = _batched
mlir.register_lowering(_product, mlir.lower_fun(_sums, multiple_results=False))
