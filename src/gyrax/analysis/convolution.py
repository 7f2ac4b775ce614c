"""Covariances of what a kernel makes of linear fluctuations, without frequencies."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Terms of a series for matrices of norm 1/2 at most, and how often what it gives may be doubled.
_TERMS, _DOUBLED = 14, 30


def convolved(
    flow: Float[Array, "flat flat"],
    covariance: Float[Array, "flat flat"],
    kernel: Float[Array, " time"],
    step: float,
) -> Float[Array, "flat flat"]:
    r"""Covariances of $b(t) = \sum_i k_i\, \bar x_i$, averages of x over steps of h, where $\dot x = J x$ + white noise.

    $C(\tau) = e^{J \tau} C$ at later times, so that $\operatorname{cov} b = K C + C K^\top$ with $K = r_0 \varphi_2(J h) + \varphi_1(J h)^2
    \sum_m r_m E^{m-1}$, $E = e^{J h}$, and r the autocorrelation of the kernel. The polynomial takes twice the square root of its degree in
    products (Paterson & Stockmeyer 1973, SIAM J. Comput. 2): 80 for a kernel of 1600 steps, where an integral over frequencies solves a
    complex system for each of more than a hundred.

    Args:
        flow: J, per ms.
        covariance: of the activity, C.
        kernel: $k_i$, with the step in them.
        step: h, ms.

    Example:
        >>> one, whole = jnp.eye(1), jnp.ones(200)
        >>> round(float(convolved(-one, one / 2, 0.1 * whole, 0.1)[0, 0]), 4)  # an integral of an Ornstein-Uhlenbeck process: T - 1 + exp(-T)
        19.0
    """
    n, count = len(flow), len(kernel)
    r = jnp.correlate(kernel, kernel, "full")[count - 1 :]
    size = math.isqrt(count - 1) + 1
    coefficients = jnp.pad(r[1:], (0, size * size - count + 1)).reshape(size, size)
    transition, first, second = _phi(step * flow)
    last, powers = jax.lax.scan(lambda p, _: (p @ transition, p), jnp.eye(n, dtype=flow.dtype), None, length=size)
    blocks = (coefficients @ powers.reshape(size, -1)).reshape(size, n, n)
    total = jax.lax.scan(lambda total, block: (total @ last + block, None), jnp.zeros_like(flow), blocks[::-1])[0]
    found = (r[0] * second + first @ first @ total) @ covariance
    return found + found.T


def _phi(z: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, "n n"]]:
    r"""$e^z$, $\varphi_1 = (e^z - 1) / z$ and $\varphi_2 = (e^z - 1 - z) / z^2$, by series and doubling: quotients lose slow modes in rounding."""
    eye = jnp.eye(len(z), dtype=z.dtype)
    size = jax.lax.stop_gradient(jnp.abs(z).sum(0).max())
    times = jnp.clip(jnp.ceil(jnp.log2(2 * jnp.maximum(size, 0.5))), 0, _DOUBLED)
    small = z / 2**times
    second = jnp.zeros_like(z)
    for k in range(_TERMS, 1, -1):
        second = (eye + small @ second) / k
    first = eye + small @ second
    whole = eye + small @ first

    def doubled(found):
        whole, first, second = found
        return whole @ whole, first @ (whole + eye) / 2, (first @ first + 2 * second) / 4

    def step(found, k):
        return jax.lax.cond(k < times, doubled, lambda found: found, found), None

    return jax.lax.scan(step, (whole, first, second), jnp.arange(_DOUBLED))[0]
