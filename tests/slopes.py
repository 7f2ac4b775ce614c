"""Derivatives two ways."""

import jax
import jax.numpy as jnp
import numpy as np


def slope(f, x, seed=0, step=None):
    """Derivative along one direction: by autodiff and by differences."""
    direction = np.random.default_rng(seed).normal(size=np.shape(x))
    step = step or (2e-3 if jnp.result_type(float) == jnp.float32 else 1e-5)
    g = jax.jit(lambda h: f(jnp.asarray(x) + h * direction))
    exact = jax.grad(g)(0.0)
    return float(exact), float((g(step) - g(-step)) / (2 * step))
