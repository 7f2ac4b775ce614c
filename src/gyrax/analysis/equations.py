"""Matrix equations of linear theory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Steps of the iteration; a dozen are usual, for each doubles the digits.
_MOST = 60


def lyapunov(a: Float[Array, "flat flat"], q: Float[Array, "flat flat"]) -> Float[Array, "flat flat"]:
    r"""X of $A X + X A^\top + Q = 0$, the covariance of $\dot x = A x$ + white noise of intensity Q; NaN unless A is stable.

    By Newton's iteration for the sign of A (Roberts 1980, Int. J. Control 32), of which $\pm 1$ are fixed points: inverses and
    products alone, so that it runs on any device, where Schur forms do not. Both derivatives are equations of the same kind.

    Example:
        >>> float(lyapunov(jnp.array([[-0.5]]), jnp.array([[2.0]]))[0, 0])
        2.0
    """

    def left(x):
        return -(a @ x + x @ a.T)

    def solve(_, q):
        x = _signed(a, q)
        # once more for what is left: near the edge of stability the first one loses digits
        return x + _signed(a, q - left(x))

    def solve_transposed(_, q):
        x = _signed(a.T, q)
        return x + _signed(a.T, q + a.T @ x + x @ a)

    return jax.lax.custom_linear_solve(left, q, solve, solve_transposed)


def growing(a: Float[Array, "flat flat"]) -> Float[Array, ""]:
    """How many eigenvalues of a matrix have a positive real part, by the trace of its sign; NaN where one has none.

    Example:
        >>> float(growing(jnp.diag(jnp.array([-1.0, 2.0, -3.0]))))
        1.0
    """
    z, _ = _sign(a, jnp.zeros_like(a))
    found = (len(a) + jnp.trace(z)) / 2
    return jnp.where(jnp.abs(found - jnp.round(found)) < 0.1, jnp.round(found), jnp.nan)


def _signed(a: Array, q: Array) -> Array:
    """The solution by the sign iteration, NaN where the sign of A is not minus one."""
    z, x = _sign(a, q)
    return jnp.where(jnp.linalg.norm(z + jnp.eye(len(z))) < 0.1, x / 2, jnp.nan)


def _sign(a: Array, q: Array) -> tuple[Array, Array]:
    """The sign of a matrix, and what becomes of q on the way: twice the solution of the Lyapunov equation, if it is -1."""
    n, eps = len(a), jnp.finfo(a.dtype).eps

    def going(carry):
        _, _, moved, count = carry
        return (moved > 10 * n * eps) & (count < _MOST)

    def step(carry):
        z, x, moved, count = carry
        back = jnp.linalg.inv(z)
        # scaled so that large and small eigenvalues come near one together, until they are there
        c = jnp.where(moved > 0.1, jnp.sqrt(jnp.linalg.norm(back) / jnp.linalg.norm(z)), 1.0)
        after = (c * z + back / c) / 2
        moved = jnp.linalg.norm(after - z) / jnp.linalg.norm(after)
        return after, (c * x + back @ x @ back.T / c) / 2, moved, count + 1

    z, x, *_ = jax.lax.while_loop(going, step, (a, q, jnp.asarray(jnp.inf, a.dtype), 0))
    return z, x
