"""What cortical columns are made of: the response of a synapse, and the sigmoid from potential to firing rate."""

import jax
from jaxtyping import Array, Float

from .._types import Parameter


def synapse(
    x: Float[Array, "..."], y: Float[Array, "..."], dy: Float[Array, "..."], gain: Parameter, rate: Parameter
) -> Float[Array, "..."]:
    r"""Second derivative of a postsynaptic potential: $\ddot y = H \kappa x - 2 \kappa \dot y - \kappa^2 y$.

    The answer to an impulse is $H \kappa t e^{-\kappa t}$, highest (H / e) at t = 1 / kappa. A rate x that stays leads to
    the potential H x / kappa.

    Args:
        x: presynaptic firing rate, 1/ms.
        y: potential, mV.
        dy: its derivative, mV/ms.
        gain: H, mV.
        rate: kappa, 1/ms.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y, dy, gain, rate = jnp.array([2.0, 3.0, 0.0, 3.0, 2.0])
        >>> float(synapse(x, y, dy, gain, rate))
        0.0
    """
    return gain * rate * x - 2 * rate * dy - rate**2 * y


def firing_rate(
    v: Float[Array, "..."], half: Parameter, threshold: Parameter, steepness: Parameter
) -> Float[Array, "..."]:
    r"""Firing rate at a potential, the sigmoid of Jansen & Rit (1995): $2 e_0 / (1 + e^{r (v_0 - v)})$.

    Args:
        v: potential, mV.
        half: e_0, half of the highest rate, 1/ms.
        threshold: v_0, the potential at which the rate is e_0, mV.
        steepness: r, 1/mV.

    Example:
        >>> import jax.numpy as jnp
        >>> v, half, threshold, steepness = jnp.array([6.0, 0.0025, 6.0, 0.56])
        >>> round(float(firing_rate(v, half, threshold, steepness)), 6)
        0.0025
    """
    return 2 * half * jax.nn.sigmoid(steepness * (v - threshold))
