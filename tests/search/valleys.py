"""A small model and losses of it whose lowest points are known, shared so that they compile once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import gyrax as gx


class Point(eqx.Module):
    a: Array = gx.parameter(0.5, domain=gx.Interval(0.0, 2.0))
    b: Array = gx.parameter(1.0, domain=gx.Positive())
    x: Array = eqx.field(default_factory=lambda: jnp.zeros(3))
    frozen: Array = gx.parameter(7.0)


POINT = Point()
SPEC = gx.select(POINT, "a", "b", "x")
LOWEST = np.array([1.5, 0.2, 1.0, 1.0, 1.0])


def at(m):
    return np.concatenate([[float(m.a), float(m.b)], np.asarray(m.x)])


def residuals(m):
    """Of Rosenbrock's valley in x, and a bowl in a and b."""
    return jnp.concatenate([jnp.stack([m.a - 1.5, m.b - 0.2]), 10 * (m.x[1:] - m.x[:-1] ** 2), 1 - m.x])


def valley(m, key):
    off = residuals(m)
    return (off**2).sum(), {"a": m.a, "residuals": off}


def holed(m, key):
    """The valley, in which nothing is finite where a is beyond 1.6, and the gradient alone where b is below 0.15."""
    off = residuals(m)
    hole = jnp.where(m.a > 1.6, jnp.nan, 1.0)
    spread = jnp.where(m.b < 0.15, 0.0, 1.0) * m.x  # of a channel that became constant
    off = off * hole + 0.0 * jnp.sqrt((spread**2).sum() - spread @ spread + jnp.where(m.b < 0.15, 0.0, 1.0))
    return (off**2).sum(), {"residuals": off}


def noisy(m, key):
    off = residuals(m) + jax.random.normal(key, (7,))
    return (off**2).sum(), {"residuals": off}


def find(search, loss=valley, model=POINT, spec=SPEC, **options):
    return search(model, loss, spec, **{"progress": False} | options)
