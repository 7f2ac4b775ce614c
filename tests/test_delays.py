"""Delays that are no whole steps: against the plain loop, finite differences and the theory of delayed oscillators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from naive import loop

DIFFERENCES = 1e-2, 5e-3
if jnp.result_type(float) == jnp.float64:
    DIFFERENCES = 1e-5, 1e-6


def network(connectome, delay):
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02),
    }
    return gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, connectome, delay, gx.noise.White(sigma=0.01))


@pytest.mark.parametrize("speed", [0.7, 3.0, 25.0])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_equals_a_plain_loop(interpolation, speed, small_connectome, key, rounding):
    net = network(small_connectome, gx.Delay(speed, interpolation=interpolation))
    run = gx.simulate(net, duration=30.0, dt=0.5, key=key)
    expected = loop(net, 60, 0.5, key)
    np.testing.assert_allclose(run["raw"].values, expected, atol=rounding * 10)


def test_a_delay_for_every_connection(small_connectome, key, rounding):
    lengths = np.asarray(small_connectome.lengths)
    given = gx.simulate(network(small_connectome, gx.Delay(3.0, interpolation="linear")), 30.0, 0.5, key=key)
    own = network(small_connectome, gx.ConnectionDelays(lengths / 3.0, interpolation="linear"))
    np.testing.assert_allclose(gx.simulate(own, 30.0, 0.5, key=key).final.y, given.final.y, atol=rounding)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("leaf", ["delay.speed", "connectome.lengths", "delay.ms"])
def test_gradients_of_delays_equal_finite_differences(leaf, interpolation, small_connectome, key):
    lengths = np.asarray(small_connectome.lengths)
    bounds = (0.2, 40.0)
    delay = gx.Delay(2.9, bounds=bounds, interpolation=interpolation)
    if leaf == "delay.ms":
        delay = gx.ConnectionDelays(lengths / 2.9, bounds=bounds, interpolation=interpolation)
    net = network(small_connectome, delay)
    free, fixed = eqx.partition(net, gx.select(net, leaf))

    @jax.jit
    def value(free):
        return jnp.mean(gx.simulate(eqx.combine(free, fixed), 60.0, 1.0, key=key)["raw"].values[20:] ** 2) * 100

    step, tolerance = DIFFERENCES
    gradient = jax.tree.leaves(jax.jit(jax.grad(value))(free))[0]
    direction = np.random.default_rng(0).normal(size=gradient.shape)
    move = lambda h: jax.tree.map(lambda x: x + h * direction.astype(x.dtype), free)  # noqa: E731
    numeric = (value(move(step)) - value(move(-step))) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum(), numeric, rtol=tolerance, atol=tolerance * 1e-2)
