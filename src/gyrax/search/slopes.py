"""Functions with their derivatives at hand, so that a step into nonsense can be told from a good one before it is taken."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._warned import warn

#: Rows or columns of a Jacobian that are made at once.
_TOGETHER = 32


def guarded(function: Callable[[Array], tuple[Array, Array, Any]]) -> Callable[[Array, Any], tuple[Array, Any]]:
    """A function of the real line whose value is infinite wherever itself or its derivative is not finite.

    Solvers step back from what is infinite. A finite loss with a gradient of NaN, as of a channel that became constant,
    would be taken, and nothing after it is finite.

    Args:
        function: of a vector: what is to become small, its derivative (one more axis, the last), and anything else.

    Returns:
        A function of the vector and of arguments that are not used, with its derivative as JAX wants it.
    """

    def looked(x: Array) -> tuple[Array, Array, Any]:
        value, slope, rest = function(x)
        fine = jnp.isfinite(value).all() & jnp.isfinite(slope).all()
        return jnp.where(fine, value, jnp.inf), jnp.where(fine, slope, 0.0), rest

    @jax.custom_jvp
    def inner(x: Array) -> tuple[Array, Any]:
        value, _, rest = looked(x)
        return value, rest

    @inner.defjvp
    def _(primals: Any, tangents: Any):
        value, slope, rest = looked(*primals)
        (tangent,) = tangents
        still = jax.tree.map(jnp.zeros_like, rest)
        return (value, rest), (slope @ tangent, still)

    def outer(x: Array, arguments: Any) -> tuple[Array, Any]:
        return inner(x)

    return outer


def goes_forward(function: Callable[[Array], Any], x: Array) -> bool:
    """Whether forward mode passes. The adjoint of a simulation goes backward alone."""

    def push(x: Array) -> Any:
        return jax.jvp(function, (x,), (x,))

    try:
        jax.jit(push).lower(x)  # what has no forward mode says so no earlier
    except TypeError as error:
        if "forward-mode" not in str(error):
            raise
        return False
    return True


def choose(function: Callable[[Array], Array], x: Array) -> bool:
    """Whether to go forward for a Jacobian: where there are fewer numbers than residuals, and it passes.

    Warns:
        RuntimeWarning: if it would be better and does not pass.
    """
    count = jax.eval_shape(function, x).size
    if x.size > count:
        return False
    if goes_forward(function, x):
        return True
    if count > 4 * x.size:
        warn(
            f"the loss goes backward alone, so that {count} residuals take {count} runs a step; simulate(..., autodiff='forward') "
            f"in the loss would take {x.size}, one a free number"
        )
    return False


def jacobian(
    function: Callable[[Array], tuple[Array, Any]], x: Float[Array, " number"], forward: bool
) -> tuple[Float[Array, " residual"], Float[Array, "residual number"], Any]:
    """Residuals, their derivatives, and what else the function returned, in so many runs at a time that memory allows."""
    if forward:

        def push(units: Array) -> tuple[Array, Array, Any]:
            # what does not depend on the direction is computed once
            return jax.vmap(lambda unit: jax.jvp(function, (x,), (unit,), has_aux=True), out_axes=(None, 0, None))(
                units
            )

        value, columns, rest = jax.lax.map(push, _units(x.size, x.dtype))
        return value[0], columns.reshape(-1, columns.shape[-1])[: x.size].T, jax.tree.map(lambda a: a[0], rest)
    value, pull, rest = jax.vjp(function, x, has_aux=True)
    rows = jax.lax.map(jax.vmap(lambda unit: pull(unit)[0]), _units(value.size, value.dtype))
    return value, rows.reshape(-1, x.size)[: value.size], rest


def _units(count: int, dtype: Any) -> Float[Array, "call together count"]:
    """Directions in calls of one size, for another size would be compiled once more; the last call is filled with zeros."""
    calls = -(-count // _TOGETHER)
    together = -(-count // calls)
    return jnp.eye(calls * together, count, dtype=dtype).reshape(calls, together, count)
