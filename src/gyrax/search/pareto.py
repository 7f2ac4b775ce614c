"""Points of a front moved downhill in all their terms at once."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..fitting.objective import length

#: Steps of Frank and Wolfe's method towards the shortest mean of gradients.
_WEIGHING = 50


def common_descent(gradients: Float[Array, "term number"]) -> Float[Array, " number"]:
    """The shortest mean of gradients: against it, none of the terms rises (Desideri 2012, "Multiple-gradient descent algorithm").

    Zero where no direction is downhill for all: the point is Pareto-stationary.

    Example:
        >>> common_descent(jnp.array([[1.0, 0.0], [0.0, 1.0]])).round(3).tolist()
        [0.5, 0.5]
    """
    products = gradients @ gradients.T
    count = len(gradients)

    def towards(weights: Array, _: None) -> tuple[Array, None]:
        along = products @ weights
        end = jnp.zeros(count, weights.dtype).at[jnp.argmin(along)].set(1.0) - weights
        bend = end @ products @ end
        share = jnp.where(bend > 0, -(end @ along) / jnp.where(bend > 0, bend, 1.0), 0.0)
        return weights + jnp.clip(share, 0.0, 1.0) * end, None

    weights, _ = jax.lax.scan(towards, jnp.full(count, 1 / count, gradients.dtype), None, length=_WEIGHING)
    return weights @ gradients


def no_worse(new: Float[Array, " term"], old: Float[Array, " term"]) -> Bool[Array, ""]:
    """Whether no term rose and one fell.

    Example:
        >>> bool(no_worse(jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0])))
        True
    """
    return jnp.isfinite(new).all() & (new <= old).all() & (new < old).any()


def direction(gradients: Float[Array, "term number"]) -> Float[Array, " number"]:
    """The common descent of gradients of length one each, so that no term counts more for being steep; not of length one itself."""
    sizes = jax.vmap(length)(gradients)[:, None]
    return common_descent(jnp.where(sizes > 0, gradients / jnp.where(sizes > 0, sizes, 1.0), 0.0))


class Downhill(eqx.Module):
    """Where points of a front stand: the points, their terms and gradients, and how long their next steps are."""

    points: Float[Array, "point number"]
    terms: Float[Array, "point term"]
    gradients: Float[Array, "point term number"]
    length: Float[Array, " point"]

    @classmethod
    def at(cls, points: Array, terms: int, length: float) -> "Downhill":
        """Before anybody looked: the first move stays, and finds terms and gradients, so that nothing else need be compiled for it."""
        count, numbers = points.shape
        nowhere = jnp.zeros((count, terms, numbers), points.dtype)
        unknown = jnp.full((count, terms), jnp.inf, points.dtype)
        return cls(points, unknown, nowhere, jnp.full(count, length, points.dtype))

    def moved(self, function: Callable) -> "Downhill":
        """One step of every point, taken where it leaves no term worse; half as long a step where it would.

        Args:
            function: terms and gradients of all points, `(point, term)` and `(point, term, number)`.
        """

        def unit(gradients: Array) -> Array:
            found = direction(gradients)
            size = jnp.linalg.norm(found)
            return jnp.where(size > 1e-6, found / jnp.where(size > 0, size, 1.0), 0.0)

        ways = jax.vmap(unit)(self.gradients)
        points = self.points - self.length[:, None] * ways
        terms, gradients = function(points)
        finite = jnp.isfinite(gradients).all((1, 2))
        taken = jax.vmap(no_worse)(terms, self.terms) & finite

        def keep(new: Array, old: Array) -> Array:
            return jnp.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return Downhill(
            keep(points, self.points),
            keep(terms, self.terms),
            keep(gradients, self.gradients),
            jnp.where(jnp.isinf(self.terms).all(1), 1.0, jnp.where(taken, 1.2, 0.5)) * self.length,
        )
