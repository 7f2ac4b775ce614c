"""Heterogeneous populations in three modes: the integrals that the reduced sets share."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from .._types import Parameter

Modes = Float[Array, "mode node"]
#: Modes of a population, and quantiles of the distribution between which the integrals are taken.
COUNT, GRID = 3, 1500


def _integrals() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Over each mode's share of a standard normal distribution, by the trapezoidal rule: of 1, of z, and of the density."""
    z = ndtri(np.arange(1, GRID + 1) / (GRID + 1))
    width = np.convolve(np.diff(z), [0.5, 0.5])
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    one, first, share = (np.sum((width * f).reshape(COUNT, -1), 1)[:, None] for f in (np.ones_like(z), z, density))
    return one, first, share


_WIDTH, _FIRST, _SHARE = _integrals()


def extent(sigma: Parameter) -> Float[Array, "mode ..."]:
    r"""Width of the excitabilities in each mode, $\int_{V_i \ne 0} dz$, when their standard deviation is sigma.

    A mode is constant inside and normalised, so that with w the width $\int V_i\,dz = w^{1/2}$, $\int V_i^3\,dz = w^{-1/2}$
    and $\int V_i^4\,dz = w^{-1}$.
    """
    return sigma * jnp.asarray(_WIDTH, jnp.result_type(float))


def excitability(mu: Parameter, sigma: Parameter) -> Float[Array, "mode ..."]:
    r"""Mean excitability of each mode as a current on it, $\int z V_i\,dz$."""
    mean = mu + sigma * jnp.asarray(_FIRST / _WIDTH, jnp.result_type(float))
    return jnp.sqrt(extent(sigma)) * mean


def mean_field(x: Modes) -> Modes:
    r"""What each mode hears of a population, $\int V_i\,dz \sum_k x_k \int g V_k\,dz$ with g the density of excitabilities.

    Sigma cancels: the density is as high as the modes are narrow.
    """
    root = jnp.asarray(np.sqrt(_WIDTH), x.dtype)
    return root * jnp.sum(x * jnp.asarray(_SHARE, x.dtype) / root, 0)
