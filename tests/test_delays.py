"""Delays that are no whole steps: against the plain loop, finite differences and the theory of delayed oscillators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax._engine.prepare import assemble, resolve
from gyrax.anatomy.sparse import SparseSum
from naive import loop

SLOW = pytest.mark.slow
DIFFERENCES = 1e-2, 5e-3
if jnp.result_type(float) == jnp.float64:
    DIFFERENCES = 1e-5, 1e-6


def network(connectome, delay):
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02),
    }
    return gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, connectome, delay, gx.noise.White(sigma=0.01))


@pytest.mark.slow("float32")
@pytest.mark.parametrize("speed", [pytest.param(0.7, marks=SLOW), 3.0, pytest.param(25.0, marks=SLOW)])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_equals_a_plain_loop(interpolation, speed, small_connectome, key, rounding):
    net = network(small_connectome, gx.Delay(speed, interpolation=interpolation))
    run = gx.simulate(net, duration=30.0, dt=0.5, key=key)
    expected = loop(net, 60, 0.5, key)
    np.testing.assert_allclose(run["raw"].values, expected, atol=rounding * 10)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", [pytest.param("nearest", marks=SLOW), "linear"])
def test_few_connections_without_delay(interpolation, key, rounding):
    """They are summed as lists, not as a matrix."""
    rng = np.random.default_rng(1)
    weights, lengths = rng.uniform(0.1, 0.3, (12, 12)), rng.uniform(6.0, 24.0, (12, 12))
    lengths[[0, 7, 9], [4, 2, 2]] = 0.0
    net = network(gx.Connectome(weights, lengths), gx.Delay(3.0, interpolation=interpolation))
    parts = assemble(resolve(net, {}, gx.solvers.Heun(), None, 0.5), jnp.array(0))
    assert all(isinstance(weights.there, SparseSum) for weights in parts.instant.values())
    expected = loop(net, 40, 0.5, key)
    np.testing.assert_allclose(gx.simulate(net, 20.0, 0.5, key=key)["raw"].values, expected, atol=rounding * 10)


@pytest.mark.slow("float32")
def test_a_delay_for_every_connection(small_connectome, key, rounding):
    lengths = np.asarray(small_connectome.lengths)
    given = gx.simulate(network(small_connectome, gx.Delay(3.0, interpolation="linear")), 30.0, 0.5, key=key)
    own = network(small_connectome, gx.ConnectionDelays(lengths / 3.0, interpolation="linear"))
    np.testing.assert_allclose(gx.simulate(own, 30.0, 0.5, key=key).final.y, given.final.y, atol=rounding)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leaf", "interpolation"),
    [
        ("delay.speed", "cubic"),
        ("connectome.lengths", "linear"),
        pytest.param("delay.speed", "linear", marks=pytest.mark.long),
        pytest.param("delay.ms", "linear", marks=pytest.mark.long),
        pytest.param("connectome.lengths", "cubic", marks=pytest.mark.long),
        pytest.param("delay.ms", "cubic", marks=pytest.mark.long),
    ],
)
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


class Kuramoto(gx.AbstractCoupling):
    """sum of K sin(theta_j - theta_i), by the formula for the sine of a difference."""

    strength: gx.Array = gx.parameter(0.5)

    def encode(self, x):
        return jnp.concatenate([jnp.sin(x), jnp.cos(x)])

    def decode(self, total, x, degree):
        return self.strength * (jnp.cos(x) * total[:1] - jnp.sin(x) * total[1:])


class Phase(gx.AbstractModel):
    states = ("theta",)
    inputs = ("c",)
    omega: gx.Array = gx.parameter(0.8)

    def drift(self, t, y, u):
        return self.omega + u


@pytest.mark.slow
def test_two_delayed_oscillators_change_their_frequency_as_theory_says():
    """In step: Omega = omega - K sin(Omega tau), so dOmega/dtau = -K Omega cos(Omega tau) / (1 + K tau cos(Omega tau))."""
    K, omega, tau = 0.5, 0.8, 1.3
    connectome = gx.Connectome([[0.0, 1.0], [1.0, 0.0]])

    def frequency(tau):
        delay = gx.ConnectionDelays(tau * jnp.ones((2, 2)), bounds=(0.5, 2.0), interpolation="cubic")
        net = gx.Network(Phase(), Kuramoto(source="theta", strength=K), connectome, delay)
        theta = gx.simulate(net, 60.0, 0.05, start=jnp.array([[0.0, 0.1]]))["raw"].values[:, 0, 0]
        return (theta[-1] - theta[-401]) / 20.0

    value, slope = jax.jit(jax.value_and_grad(frequency))(jnp.asarray(tau))
    found = omega
    for _ in range(200):
        found = omega - K * np.sin(found * tau)
    c = np.cos(found * tau)
    np.testing.assert_allclose(value, found, rtol=1e-3)
    np.testing.assert_allclose(slope, -K * found * c / (1 + K * tau * c), rtol=1e-2 if DIFFERENCES[0] > 1e-4 else 1e-3)


def test_rounded_delays_are_not_set_free(small_connectome):
    net = network(small_connectome, gx.Delay(3.0))
    with pytest.raises(ValueError, match=r"delay\.speed is free, but these delays round to whole steps"):
        gx.split(net, gx.select(net, "delay.speed"))
    moving = network(small_connectome, gx.Delay(3.0, bounds=(1.0, 16.0), interpolation="linear"))
    gx.split(moving, gx.select(moving, "delay.speed"))


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gx.Delay(interpolation="spline"), "interpolation"),
        (lambda: gx.ConnectionDelays([[0.0, -1.0], [1.0, 0.0]]), "at least 0 ms, got -1.0"),
        (lambda: gx.ConnectionDelays([[0.0, np.inf], [1.0, 0.0]]), "finite"),
        (lambda: pair(gx.ConnectionDelays(np.ones((3, 3)))), r"delays have shape \(3, 3\)"),
        (lambda: pair(gx.ConnectionDelays(np.ones((2, 2)), bounds=(2.0, 3.0))), "from B to A is 1 ms, outside"),
    ],
)
def test_wrong_delays_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def pair(delay):
    connectome = gx.Connectome([[0.0, 1.0], [1.0, 0.0]], labels=["A", "B"])
    net = gx.Network(Phase(), Kuramoto(source="theta"), connectome, delay)
    return gx.simulate(net, 1.0, 0.5)
