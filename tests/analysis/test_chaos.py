"""Lyapunov exponents against systems whose are published, or known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx


class Lorenz(gx.AbstractModel):
    states = ("x", "y", "z")

    def drift(self, t, y, u):
        x, y_, z = y
        return jnp.stack([10 * (y_ - x), x * (28 - z) - y_, x * y_ - 8 / 3 * z])

    def start(self, n):
        return jnp.ones((3, n)) * jnp.array([[1.0], [2.0], [20.0]])


def alone(model, n=1):
    class Fed(type(model)):
        inputs = ("c",)

    return gx.Network(Fed(), gx.couplings.Linear(source=model.states[0]), np.zeros((n, n)))


@pytest.mark.slow("float64", "float32")
def test_lorenz():
    found = gx.analysis.lyapunov_exponents(
        alone(Lorenz()), 400.0, 0.01, count=3, warm_up=50.0, solver=gx.solvers.RungeKutta4()
    )
    # Sprott (2003), "Chaos and Time-Series Analysis": 0.9056, 0, -14.5723; their sum is -(10 + 1 + 8/3) whatever the run
    np.testing.assert_allclose(found.values, [0.9056, 0.0, -14.5723], atol=0.05)
    assert found.values.sum() == pytest.approx(-13.6667, abs=0.01)
    assert found.chaotic and found.e_folding == pytest.approx(1 / 0.9056, rel=0.06)
    assert 0.1 < found.gradient_horizon() < np.log(10) * found.e_folding
    assert "beyond what float32 holds in" in repr(found)


def growing(each, values):
    """Exponents of a run whose differences grew so much in its stretches of so many ms."""
    values = np.asarray(values, float)
    return gx.analysis.Exponents(np.array([values.mean() / each]), np.array([1e-4]), each * len(values), values)


def test_a_gradient_may_look_back_until_it_has_grown_tenfold():
    assert growing(2.0, np.full(2000, 0.01)).gradient_horizon() == 2.0 * int(np.log(10) / 0.01)
    # beyond half of the run, by the exponent
    assert growing(2.0, np.full(100, 0.01)).gradient_horizon() == 2.0 * int(np.log(10) / 0.01)
    assert growing(2.0, np.full(100, -0.01)).gradient_horizon() == np.inf
    assert growing(2.0, np.full(100, 5.0)).gradient_horizon() == 2.0
    # growth that comes and goes: by a plain loop, less than the mean alone would say
    values = np.random.default_rng(0).normal(0.01, 0.3, 2000)
    found = growing(1.0, values).gradient_horizon(3.0)
    rms = [np.sqrt(np.mean([np.exp(2 * values[i : i + n].sum()) for i in range(2001 - n)])) for n in range(1, 40)]
    assert found == np.argmax(np.array(rms) > 3.0) < np.log(3) / 0.01
    for growth in (1.0, 0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match="growth is a number above 1"):
            growing(1.0, values).gradient_horizon(growth)


@pytest.mark.once
def test_an_exponent_that_still_drifts_says_so():
    """84 modes side by side: a difference turns to the slowest one for longer than the run takes."""
    rates = -0.006 - 0.0002 * np.arange(84)
    net = gx.Network(
        gx.models.Linear(gamma=0.0), gx.couplings.Linear(source="x", weights=np.diag(rates)), np.zeros((84, 84))
    )
    found = gx.analysis.lyapunov_exponents(net, 2000.0, 1.0, warm_up=10.0)
    off = abs(found.values[0] - rates[0])
    assert 1e-4 < off < 3 * found.errors[0] < 10 * off


def test_of_a_linear_network_they_are_the_real_parts_of_its_modes():
    rng = np.random.default_rng(0)
    weights = rng.uniform(size=(4, 4)) * (1 - np.eye(4))
    net = gx.Network(gx.models.Linear(gamma=-3.0), gx.couplings.Linear(source="x"), weights)
    found = gx.analysis.lyapunov_exponents(net, 60.0, 0.02, count=4, warm_up=1.0, solver=gx.solvers.RungeKutta4())
    expected = np.sort(np.linalg.eigvals(-3 * np.eye(4) + weights).real)[::-1]
    np.testing.assert_allclose(found.values, expected, atol=0.02)
    assert found.chaotic is False and found.e_folding == np.inf


@pytest.mark.parametrize("tau", [6.0, 30.0])
def test_of_a_delayed_network_they_are_too(tau):
    b = 0.04
    connectome = gx.Connectome(np.array([[0.0, b], [b, 0.0]]), tau * (1 - np.eye(2)))
    net = gx.Network(gx.models.Linear(gamma=-0.05), gx.couplings.Linear(source="x"), connectome, gx.Delay(speed=1.0))
    found = gx.analysis.lyapunov_exponents(net, 4000.0, 0.5, count=2, warm_up=100.0)
    modes = gx.analysis.modes(net, np.zeros((1, 2)), 3)
    np.testing.assert_allclose(found.values, modes.rates.real[:2], rtol=0.03, atol=3e-4)


def naive_mackey_glass(tau, dt, duration, warm_up=2000.0):
    """By a loop over Heun's steps of the state and of one small difference, and the growth of its norm over what is remembered."""

    def slope(x):
        return 0.2 * (1 - 9 * x**10) / (1 + x**10) ** 2

    ago, grown, counted = round(tau / dt), 0.0, 0
    x, v = [0.9] * (ago + 1), [1.0] * (ago + 1)
    for k in range(round((duration + warm_up) / dt)):
        fed = [0.2 * z / (1 + z**10) for z in (x[-ago - 1], x[-ago])]
        felt = [slope(z) * w for z, w in zip(x[-ago - 1 : -ago + 1], v[-ago - 1 : -ago + 1], strict=True)]
        first, moved = -0.1 * x[-1] + fed[0], -0.1 * v[-1] + felt[0]
        second, later = -0.1 * (x[-1] + dt * first) + fed[1], -0.1 * (v[-1] + dt * moved) + felt[1]
        x.append(x[-1] + dt * (first + second) / 2)
        v.append(v[-1] + dt * (moved + later) / 2)
        if k % 1000 == 999:
            size = np.linalg.norm(v[-ago - 1 :])
            grown, counted = (grown + np.log(size), counted + 1) if k * dt > warm_up else (grown, counted)
            x, v = x[-ago - 1 :], [z / size for z in v[-ago - 1 :]]
    return grown / (counted * 1000 * dt)


@pytest.mark.slow
def test_mackey_and_glass():
    class Decay(gx.AbstractModel):
        states, inputs = ("x",), ("c",)

        def drift(self, t, y, u):
            return -0.1 * y + u

        def start(self, n):
            return jnp.full((1, n), 0.9)

    coupling = gx.couplings.Coupling(pre=lambda x: 0.2 * x / (1 + x**10), source="x")
    connectome = gx.Connectome(np.ones((1, 1)), np.full((1, 1), 31.8))
    net = gx.Network(Decay(), coupling, connectome, gx.Delay(speed=1.0))
    # two runs of chaos, which rounding parts: each is off by its error, a twentieth of the exponent together
    found = gx.analysis.lyapunov_exponents(net, 160_000.0, 0.1, warm_up=2000.0)
    assert found.values[0] == pytest.approx(naive_mackey_glass(31.8, 0.1, 160_000.0), rel=0.12)
    assert found.chaotic


def test_noise_is_that_of_the_run():
    net = gx.Network(
        gx.models.Linear(gamma=-0.5), gx.couplings.Linear(source="x"), np.zeros((2, 2)), noise=gx.noise.White(sigma=0.1)
    )
    found = gx.analysis.lyapunov_exponents(net, 100.0, 0.1, key=jax.random.key(0))
    assert found.values[0] == pytest.approx(-0.5, abs=0.01)
    with pytest.raises(ValueError, match="give simulate a key"):
        gx.analysis.lyapunov_exponents(net, 100.0, 0.1)


def test_what_cannot_be_is_said():
    net = gx.Network(gx.models.Linear(gamma=-0.5), gx.couplings.Linear(source="x"), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="count is 7, and a state with its past has 2 numbers"):
        gx.analysis.lyapunov_exponents(net, 100.0, 0.1, count=7)
    with pytest.raises(ValueError, match="5 steps: an exponent needs ten"):
        gx.analysis.lyapunov_exponents(net, 0.5, 0.1)
