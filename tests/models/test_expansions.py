"""Expansions of second order against JAX's nested derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gyrax.models.expansions import Expansion, at_least, erfc, sqrt

pytestmark = pytest.mark.once
DIRECTIONS = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
FUNCTIONS = {
    "sums": lambda x, y: 2.0 - x + (y - 3.0) * 4.0 + 1.0 - (x + y),
    "products": lambda x, y: x * y * x + y**2 * 3.0,
    "quotients": lambda x, y: x / (1.0 + y) + 2.0 / x + y / 3.0,
    "roots": lambda x, y: sqrt(x * x + y * y) * y,
    "erfc": lambda x, y: erfc((x - y) / 2.0) * x,
    "limits": lambda x, y: at_least(x * y, 0.5) * x + at_least(y, 10.0),
}
#: Relative and absolute, of values, slopes and second derivatives.
TOLERANCES = (1e-13, 0.0), (1e-11, 1e-12), (1e-10, 1e-11)
size = st.floats(0.3, 2.0)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(x=size, y=size)
def test_arithmetic_has_the_derivatives_of_jax(name, x, y):
    point = jnp.array([x, y])
    for (found, expected), (rtol, atol) in zip(both_ways(name, point), TOLERANCES, strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@functools.partial(jax.jit, static_argnames="name")  # once a function, not once an example
def both_ways(name, point):
    """Value, slopes and second derivatives: each by expansion and by JAX."""
    function = FUNCTIONS[name]
    found = function(*(Expansion(point[i], DIRECTIONS[:, i], jnp.zeros(3)) for i in range(2)))

    def along(t, direction):
        return function(*(point + t * direction))

    slope = jax.grad(along)
    slopes, curvatures = (jnp.stack([f(0.0, d) for d in DIRECTIONS]) for f in (slope, jax.grad(slope)))
    return (found.value, along(0.0, DIRECTIONS[0])), (found.first, slopes), (found.second, curvatures)


def test_far_tails_have_slopes_of_zero_and_finite_gradients():
    def tail(x):
        end = erfc(Expansion(x, jnp.array([1e200]), jnp.array([1e300])))
        return end.value + (end.first + end.second)[0]

    for x in (-1e3, 1e3):
        value, slope = jax.value_and_grad(tail)(x)
        assert value in (0.0, 2.0) and slope == 0


def test_only_squares_are_powers():
    with pytest.raises(ValueError, match="not raised to 3"):
        Expansion(jnp.array(1.0), jnp.ones(1), jnp.zeros(1)) ** 3
