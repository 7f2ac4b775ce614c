"""Noise with a memory, noise that regions share, noise that the state shapes, and several at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.network.carrying import begin
from gyrax.noise import increments

SINGLE = jnp.result_type(float) == jnp.float32
N = 4


class Integral(gx.AbstractModel):
    """What drives it, summed up: what noise adds is there to be read."""

    states = ("x", "z")
    inputs = ("c",)
    rate: gx.Array = gx.parameter(0.0, domain=gx.Real(), doc="decay")

    def drift(self, t, y, u):
        return jnp.stack([u[0] - self.rate * y[0], -self.rate * y[1]])


def network(noise, n: int = N, **own) -> gx.Network:
    silent = gx.couplings.Linear(source="x", target="c", strength=own.pop("strength", 1e-12))
    return gx.Network(Integral(**own), silent, gx.Connectome(np.ones((n, n)) - np.eye(n)), noise=noise)


def naive(net, key, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """The process behind `x` by its recursion in float64, and its integral by the trapezoidal rule."""
    noise = net.noises["noise"]
    sigma, tau = float(noise.sigma), float(noise.tau)
    draws = np.asarray(increments(key, jnp.array(0), steps, (1, N), dt), float)[:, 0]
    eta = [np.asarray(begin(net, net.start(), key), float)[2]]
    for dw in draws:
        eta.append(np.exp(-dt / tau) * eta[-1] + sigma * np.sqrt(1 - np.exp(-2 * dt / tau)) * dw / np.sqrt(dt))
    eta = np.array(eta)
    return eta, dt * np.cumsum((eta[1:] + eta[:-1]) / 2, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("where", [{"states": "x"}, {"inputs": "c"}])
def test_equals_the_recursion(where, key):
    """Into a state's derivative or into an input, which here is the same."""
    net = network(gx.noise.OrnsteinUhlenbeck(sigma=0.3, tau=4.0, **where))
    run = gx.simulate(net, 20.0, 0.5, key=key)
    eta, expected = naive(net, key, 40, 0.5)
    np.testing.assert_allclose(run["raw"].values[:, 0], expected, atol=2e-5 if SINGLE else 1e-12)
    np.testing.assert_allclose(run.final.y[2], eta[-1], atol=2e-6 if SINGLE else 1e-12)
    assert run["raw"].values.shape == (40, 2, N) and (np.asarray(run["raw"].values[:, 1]) == 0).all()


@pytest.mark.slow
def test_its_deviation_and_memory_are_what_they_say_whatever_the_step(key):
    """From the first sample on; over a step of many time constants nothing is remembered."""
    noise = gx.noise.OrnsteinUhlenbeck(sigma=0.3, tau=4.0)
    y, dt = begin(network(noise, 4000), jnp.zeros((2, 4000)), key)[2:], 3.0
    later = np.asarray(noise.advance(y, increments(key, jnp.array(3), 1, (2, 4000), dt)[0], dt))
    for values in (np.asarray(y), later):
        np.testing.assert_allclose(values.std(), 0.3, rtol=4 / np.sqrt(2 * 8000))
    correlation = np.corrcoef(np.ravel(y), later.ravel())[0, 1]
    assert abs(correlation - np.exp(-dt / 4.0)) < 4 / np.sqrt(8000)
    halves = noise.advance(noise.advance(y, jnp.zeros_like(y), dt / 2), jnp.zeros_like(y), dt / 2)
    np.testing.assert_allclose(halves, np.exp(-dt / 4.0) * y, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.once
def test_goes_on_exactly_and_in_ensembles(key):
    net = network(gx.noise.OrnsteinUhlenbeck(sigma=0.3, tau=4.0, states="x"), rate=0.1)
    whole = gx.simulate(net, 20.0, 0.5, key=key)["raw"].values
    first = gx.simulate(net, 7.0, 0.5, key=key)
    rest = gx.simulate(net, 13.0, 0.5, start=first.final)["raw"].values
    np.testing.assert_allclose(np.concatenate([first["raw"].values, rest]), whole, atol=1e-14)
    keys = jax.random.split(key, 3)
    several = jax.vmap(lambda k: gx.simulate(net, 5.0, 0.5, key=k)["raw"].values)(keys)
    np.testing.assert_allclose(several, [gx.simulate(net, 5.0, 0.5, key=k)["raw"].values for k in keys], atol=1e-14)
    assert np.abs(several[0] - several[1]).max() > 0.01


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("delay", [None, pytest.param(gx.Delay(3.0), marks=pytest.mark.slow)])
def test_gradients_of_its_parameters_equal_differences(delay, key):
    """Of deviation, time constant and mixing, with and without the hand-written adjoint; beside white noise."""
    rng = np.random.default_rng(0)
    noise = {
        "slow": gx.noise.OrnsteinUhlenbeck(sigma=0.3, tau=4.0, inputs="c", mixing=rng.normal(size=(N, 2))),
        "fast": gx.noise.Multiplicative(lambda y: 1 + y**2, sigma=0.1, states="z"),
    }
    far = gx.couplings.Linear(source="x", strength=0.02)
    connectome = gx.Connectome(np.ones((N, N)) - np.eye(N), lengths=6 * (np.ones((N, N)) - np.eye(N)))
    net = gx.Network(Integral(rate=0.2), far, connectome, delay, noise)

    @jax.jit
    def loss(values):
        where = lambda n: (n.noise["slow"].sigma, n.noise["slow"].tau, n.noise["slow"].mixing, n.noise["fast"].sigma)  # noqa: E731
        return jnp.mean(gx.simulate(eqx.tree_at(where, net, values), 10.0, 0.5, key=key)["raw"].values ** 2)

    values = (net.noise["slow"].sigma, net.noise["slow"].tau, net.noise["slow"].mixing, net.noise["fast"].sigma)
    gradient = jax.grad(loss)(values)
    for i, value in enumerate(values):
        direction = rng.normal(size=value.shape)
        ends = [loss((*values[:i], value + h * direction, *values[i + 1 :])) for h in (1e-5, -1e-5)]
        np.testing.assert_allclose(jnp.vdot(gradient[i], direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-5)


@pytest.mark.slow
def test_regions_share_noise_by_their_covariance(key):
    """Also a covariance without an inverse: regions that share all of it."""
    covariance = np.array([[1.0, 0.8, 0.0, 0.3], [0.8, 2.0, 0.1, 0.0], [0.0, 0.1, 0.5, 0.0], [0.3, 0.0, 0.0, 1.0]])
    for wanted in (covariance, np.ones((N, N))):
        mixing = gx.noise.factor(wanted)
        np.testing.assert_allclose(mixing @ mixing.T, wanted, atol=1e-5)
        net = network(gx.noise.White(0.1, states="x", mixing=mixing))
        steps = np.diff(np.asarray(gx.simulate(net, 4000.0, 1.0, key=key)["raw"].values, float)[:, 0], axis=0)
        np.testing.assert_allclose(np.cov(steps.T) / 0.01, wanted, atol=5 * np.sqrt(2 / 4000) * 2)
    one = gx.noise.White(0.1, states="x", mixing=jnp.array([[1.0], [2.0], [0.0], [-1.0]]))
    values = np.asarray(gx.simulate(network(one), 5.0, 1.0, key=key)["raw"].values)[:, 0]
    np.testing.assert_allclose(values, values[:, :1] * [1.0, 2.0, 0.0, -1.0], atol=1e-6)


def test_several_noises_add_up(key, rounding):
    """Two white ones on one state are one of their joint variance; each with draws of its own."""
    both = {"a": gx.noise.White(0.3, states="x"), "b": gx.noise.White(0.4, states=("x", "z"))}
    net = network(both)
    assert net.noisy == ("x", "x", "z")
    values = np.asarray(gx.simulate(net, 5.0, 0.5, key=key)["raw"].values)
    draws = np.asarray(increments(key, jnp.array(0), 10, (3, N), 0.5), float)
    expected = np.cumsum(np.stack([0.3 * draws[:, 0] + 0.4 * draws[:, 1], 0.4 * draws[:, 2]], axis=1), axis=0)
    np.testing.assert_allclose(values, expected, rtol=10 * rounding, atol=10 * rounding)


@pytest.mark.slow
def test_multiplicative_noise_is_the_solvers(key):
    """Geometric Brownian motion: Heun's (Stratonovich) and Euler-Maruyama's (Ito) differ by the drift they are known for."""
    noise = gx.noise.Multiplicative(lambda y: y, sigma=0.1, states="x")
    start = np.ones((2, 200))
    found = {}
    for solver in (gx.solvers.Heun(), gx.solvers.EulerMaruyama()):
        net = network(noise, 200)
        run = gx.simulate(
            net, 50.0, 0.05, key=key, solver=solver, start=start, monitors=gx.monitors.Subsample(period=50.0)
        )
        found[type(solver).__name__] = np.log(np.asarray(run["monitor"].values, float)[0, 0])
    w = np.asarray(increments(key, jnp.array(0), 1000, (1, 200), 0.05), float).sum(0)[0]
    np.testing.assert_allclose(found["Heun"], 0.1 * w, atol=0.01)
    np.testing.assert_allclose(found["EulerMaruyama"], 0.1 * w - 0.005 * 50, atol=0.05)
    assert abs((found["EulerMaruyama"] - 0.1 * w).mean() + 0.25) < 0.005


def test_repr_and_errors(key):
    net = network({"slow": gx.noise.OrnsteinUhlenbeck(inputs="c"), "fast": gx.noise.White(states="z")})
    assert "  noise slow:  on c: OrnsteinUhlenbeck(inputs=('c',), sigma=0.01, tau=5 ms)" in repr(net)
    for noise, message in (
        (gx.noise.White(states="w"), "noise drives 'w'"),
        (gx.noise.OrnsteinUhlenbeck(inputs="w"), "noise feeds 'w'"),
        (gx.noise.White(mixing=np.ones((3, 2))), r"mixing of shape \(3, 2\): expected \(node, source\) with 4"),
        (gx.noise.White(mixing=np.ones((4, 5))), "mixes 5 sources: at most as many as nodes, 4"),
        ({"fast": gx.noise.White(sigma=np.ones(3))}, r"noise.fast.sigma has shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            network(noise)
    with pytest.raises(ValueError, match="to states or to inputs"):
        gx.noise.OrnsteinUhlenbeck(states="x", inputs="c")
    with pytest.raises(ValueError, match="has noise: give simulate a key"):
        gx.simulate(net, 1.0, 0.5)
    with pytest.raises(ValueError, match="carried x, z in 4 nodes, this network carries x, z, c of slow"):
        gx.simulate(net, 1.0, 0.5, key=key, start=gx.simulate(network(None), 1.0, 0.5).final)
    for covariance, message in (
        (np.ones((2, 3)), "a covariance is"),
        ([[1, 2], [0, 1]], "finite and symmetric"),
        ([[1, 2], [2, 1]], "no negative eigenvalue"),
    ):
        with pytest.raises(ValueError, match=message):
            gx.noise.factor(covariance)
