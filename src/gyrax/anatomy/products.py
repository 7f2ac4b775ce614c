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
    def sums(self, x: Float[Array, "feature source"]) -> Features:
        """Over the sources, for each target."""


class Padded(AbstractWeights):
    """A matrix with its targets last and padded to whole vector registers: a third faster at 84 regions."""

    weights: Float[Array, "source padded_target"]
    targets: int = eqx.field(static=True)

    @classmethod
    def of(cls, weights: Matrix) -> "Padded":
        """Of `(target, source)`."""
        return cls(jnp.pad(weights.T, ((0, 0), (0, -len(weights) % 8))), len(weights))

    def sums(self, x: Float[Array, "feature source"]) -> Features:
        return (x @ self.weights)[:, : self.targets]


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
    """Linear in the weights and in x, each by itself."""
    value = functools.partial(_product.bind, there=there, back=back)
    (leaves, others, x), (moved, _, dx) = _apart(primals, there), _apart(tangents, there)
    parts = []
    if not isinstance(dx, ad.Zero):
        parts.append(value(*leaves, *others, dx))
    if not all(isinstance(leaf, ad.Zero) for leaf in moved):
        # By ordinary operations: what is asked of the weights is a number for each connection, and no sum.
        leaves = [old if isinstance(new, ad.Zero) else new for old, new in zip(leaves, moved, strict=True)]
        parts.append(jax.tree.unflatten(there, leaves).sums(x))
    out = value(*primals)
    return out, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(out)


def _transpose(bar: Any, *arguments: Any, there: Any, back: Any) -> list[Any]:
    leaves, others, _ = _apart(arguments, there)
    if isinstance(bar, ad.Zero):
        return [None] * len(arguments)
    return [None] * (len(arguments) - 1) + [_product.bind(*others, *leaves, bar, there=back, back=there)]


def _batched(arguments: Any, axes: Any, *, there: Any, back: Any) -> tuple[Array, int]:
    """As ordinary operations, batch last: the sums of a batch are products of matrices, which JAX transposes as well."""
    out = jax.vmap(functools.partial(_sums, there=there, back=back), in_axes=tuple(axes), out_axes=-1)(*arguments)
    return out, out.ndim - 1


ad.primitive_jvps[_product] = _tangent
ad.primitive_transposes[_product] = _transpose
batching.primitive_batchers[_product] = _batched
mlir.register_lowering(_product, mlir.lower_fun(_sums, multiple_results=False))
