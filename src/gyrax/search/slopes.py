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
        value, rest = function(x)

        def push(tangent: Array) -> Array:
            return jax.jvp(lambda x: function(x)[0], (x,), (tangent,))[1]

        columns = jax.lax.map(push, jnp.eye(x.size, dtype=x.dtype), batch_size=min(_TOGETHER, x.size))
        return value, columns.T, rest
    value, pull, rest = jax.vjp(function, x, has_aux=True)

    def back(cotangent: Array) -> Array:
        return pull(cotangent)[0]

    rows = jax.lax.map(back, jnp.eye(value.size, dtype=value.dtype), batch_size=min(_TOGETHER, value.size))
    return value, rows, rest
