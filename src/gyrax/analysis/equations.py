"""Matrix equations of linear theory."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

#: Steps of the iteration; a dozen are usual, for each doubles the digits.
_MOST = 40


def lyapunov(a: Float[Array, "flat flat"], q: Float[Array, "flat flat"]) -> Float[Array, "flat flat"]:
    r"""X of $A X + X A^\top + Q = 0$, the covariance of $\dot x = A x$ + white noise of intensity Q; NaN unless A is stable.

    By Newton's iteration for the sign of A (Roberts 1980, Int. J. Control 32), of which $\pm 1$ are fixed points: inverses and
    products alone, so that it runs on any device, where Schur forms do not. Both derivatives are equations of the same kind.

    Example:
        >>> float(lyapunov(jnp.array([[-0.5]]), jnp.array([[2.0]]))[0, 0])
        2.0
    """
    chain = _signs(jax.lax.stop_gradient(a))

    def left(x):
        return -(a @ x + x @ a.T)

    def solve(_, q):
        x = _signed(chain, q)
        # once more for what is left: near the edge of stability the first one loses digits
        return x + _signed(chain, q - left(x))

    def solve_transposed(_, q):
        turned = chain._replace(inverses=chain.inverses.mT)
        x = _signed(turned, q)
        return x + _signed(turned, q + a.T @ x + x @ a)

    return jax.lax.custom_linear_solve(left, q, solve, solve_transposed)


def growing(a: Float[Array, "flat flat"]) -> Float[Array, ""]:
    """How many eigenvalues of a matrix have a positive real part, by the trace of its sign; NaN where one has none.

    Example:
        >>> float(growing(jnp.diag(jnp.array([-1.0, 2.0, -3.0]))))
        1.0
    """
    found = (len(a) + jnp.trace(_signs(a).sign)) / 2
    return jnp.where(jnp.abs(found - jnp.round(found)) < 0.1, jnp.round(found), jnp.nan)


class _Signs(NamedTuple):
    """How a matrix became its sign: what serves every equation with it."""

    sign: Float[Array, "flat flat"]
    inverses: Float[Array, "step flat flat"]
    scales: Float[Array, " step"]
    steps: Int[Array, ""]


def _signed(chain: _Signs, q: Array) -> Array:
    """The solution by the sign iteration, NaN where the sign of A is not minus one."""

    def step(k, x):
        back, c = chain.inverses[k], chain.scales[k]
        return (c * x + back @ x @ back.T / c) / 2

    x = jax.lax.fori_loop(0, chain.steps, step, q)
    return jnp.where(jnp.linalg.norm(chain.sign + jnp.eye(len(q))) < 0.1, x / 2, jnp.nan)


def _signs(a: Array) -> _Signs:
    """The sign of a matrix, with what becomes of any right side on the way: twice the solution of the Lyapunov equation, if it is -1."""
    n, eps = len(a), jnp.finfo(a.dtype).eps

    def going(carry):
        found, moved = carry
        return (moved > 10 * n * eps) & (found.steps < _MOST)

    def step(carry):
        (z, inverses, scales, count), moved = carry
        back = jnp.linalg.inv(z)
        # scaled so that large and small eigenvalues come near one together, until they are there
        c = jnp.where(moved > 0.1, jnp.sqrt(jnp.linalg.norm(back) / jnp.linalg.norm(z)), 1.0)
        after = (c * z + back / c) / 2
        moved = jnp.linalg.norm(after - z) / jnp.linalg.norm(after)
        return _Signs(after, inverses.at[count].set(back), scales.at[count].set(c), count + 1), moved

    start = _Signs(a, jnp.zeros((_MOST, n, n), a.dtype), jnp.ones(_MOST, a.dtype), jnp.array(0))
    return jax.lax.while_loop(going, step, (start, jnp.asarray(jnp.inf, a.dtype)))[0]
