"""Coloured noise against its closed forms: not estimated from draws, but from what a step makes of a given one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.network.carrying import begin

SIGMA, TAU = np.array([0.1, 0.3, 0.7]), np.array([2.0, 5.0, 11.0])
NOISE = gx.noise.OrnsteinUhlenbeck(sigma=SIGMA, tau=TAU, states="x")


def step(noise, eta, normal, dt):
    """One step from a value and a standard normal number."""
    wide = jnp.ones((1, 3))
    return np.asarray(noise.advance(eta * wide, normal * np.sqrt(dt) * wide, dt))[0]


@pytest.mark.parametrize("dt", [0.01, 1.0, 30.0])
def test_a_step_keeps_its_correlation_and_its_deviation(dt, rounding):
    """Linear in both: what is kept is exp(-dt / tau), and what is fresh fills the variance up to sigma squared."""
    kept, fresh = step(NOISE, 1.0, 0.0, dt), step(NOISE, 0.0, 1.0, dt)
    np.testing.assert_allclose(kept, np.exp(-dt / TAU), rtol=10 * rounding)
    np.testing.assert_allclose(fresh**2, SIGMA**2 * -np.expm1(-2 * dt / TAU), rtol=10 * rounding)
    np.testing.assert_allclose(step(NOISE, 2.0, -3.0, dt), 2 * kept - 3 * fresh, rtol=50 * rounding, atol=rounding)


def test_steps_in_between_change_nothing(rounding):
    """Correlation and variance over 3 ms, in one step and in six."""
    kept, variance = np.ones(3), np.zeros(3)
    for _ in range(6):
        one, fresh = step(NOISE, 1.0, 0.0, 0.5), step(NOISE, 0.0, 1.0, 0.5)
        kept, variance = kept * one, variance * one**2 + fresh**2
    np.testing.assert_allclose(kept, step(NOISE, 1.0, 0.0, 3.0), rtol=20 * rounding)
    np.testing.assert_allclose(variance, step(NOISE, 0.0, 1.0, 3.0) ** 2, rtol=20 * rounding)


def test_the_wiener_process_behind_it_has_the_amplitude_that_gives_this_deviation(rounding):
    """Of d eta = -eta / tau dt + D dW the variance is D^2 tau / 2, and a short step adds D dW."""
    amplitude = np.broadcast_to(np.asarray(NOISE.diffusion(0.0, jnp.ones((1, 3)))), (1, 3))[0]
    np.testing.assert_allclose(amplitude**2 * TAU / 2, SIGMA**2, rtol=10 * rounding)
    np.testing.assert_allclose(step(NOISE, 0.0, 1.0, 1e-4) / np.sqrt(1e-4), amplitude, rtol=1e-4)


class Still(gx.AbstractModel):
    states = ("x", "z")
    inputs = ("c",)

    def drift(self, t, y, u):
        return jnp.stack([u[0], 0 * y[1]])


def network(noise):
    silent = gx.couplings.Linear(source="z", target="c", strength=1e-12)
    return gx.Network(Still(), silent, gx.Connectome(np.ones((3, 3)) - np.eye(3)), noise=noise)


def test_the_first_draw_is_sigma_times_what_no_region_shares(key, rounding):
    """Twice the deviation, twice the draw; the time constant says nothing of it; each key has its own."""
    drawn = lambda noise, key: np.asarray(begin(network(noise), jnp.zeros((2, 3)), key))[2]  # noqa: E731
    first = drawn(NOISE, key)
    normal = first / SIGMA
    np.testing.assert_allclose(drawn(eqx.tree_at(lambda n: n.sigma, NOISE, 2 * NOISE.sigma), key), 2 * first)
    np.testing.assert_allclose(drawn(eqx.tree_at(lambda n: n.tau, NOISE, 3 * NOISE.tau), key), first)
    assert len(set(normal)) == 3 and np.abs(drawn(NOISE, jax.random.key(8)) - first).min() > 1e-3
    many = jax.vmap(lambda k: begin(network(NOISE), jnp.zeros((2, 3)), k)[2])(jax.random.split(key, 4000))
    cov = np.cov(np.asarray(many / SIGMA, float).T)
    np.testing.assert_allclose(cov, np.eye(3), atol=5 * np.sqrt(2 / 4000))


@pytest.mark.slow
@pytest.mark.once
def test_groups_hear_coloured_noise_in_their_own_regions_alone(key):
    """And go on exactly: what the noise was is part of where a run ended."""
    model = gx.Groups({"a": (Still(), [2, 0]), "b": (gx.models.Hopf(a=-0.1, omega=0.2), ...)})
    far = gx.couplings.Linear(source="a.x", target="b.c_x", strength=1e-12)
    noise = gx.noise.OrnsteinUhlenbeck(sigma=0.3, tau=4.0, states="a.x")
    net = gx.Network(model, far, gx.Connectome(np.ones((3, 3)) - np.eye(3)), noise=noise)
    whole = gx.simulate(net, 12.0, 0.5, key=key)
    values = np.asarray(whole["raw"].values)
    x = values[:, net.model.states.index("a.x")]
    assert np.isnan(x[:, 1]).all() and np.abs(np.diff(x[:, [0, 2]], axis=0)).min() > 0
    assert np.nanmax(np.abs(values[:, net.model.states.index("a.z")])) == 0
    first = gx.simulate(net, 5.0, 0.5, key=key)
    rest = gx.simulate(net, 7.0, 0.5, start=first.final)
    np.testing.assert_allclose(rest["raw"].values, values[10:], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rest.final.y, whole.final.y, rtol=1e-12, atol=1e-15)
