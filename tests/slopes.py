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


def check_gradient(f, x):
    """Compares the two along a direction as large as the series, by differences of fourth order: float32 needs large steps."""
    single = jnp.result_type(float) == jnp.float32
    direction = np.random.default_rng(0).normal(size=np.shape(x)) * np.std(x, axis=0)
    step = 1e-2 if single else 1e-5
    g = jax.jit(lambda h: f(jnp.asarray(x) + h * direction))
    exact = float(jax.jit(jax.grad(g))(0.0))
    near, far = g(step) - g(-step), g(2 * step) - g(-2 * step)
    assert abs(exact) > 1e-3
    np.testing.assert_allclose(exact, float((8 * near - far) / (12 * step)), rtol=1e-2 if single else 1e-6)
