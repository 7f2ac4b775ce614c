"""Two options at once, in runs that go on: what one of them needs to know must not be lost by the other."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import gyrax as gx

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("compiled_fast")]

WEIGHTS = np.array([[0.0, 0.5, 0.2], [0.3, 0.0, 0.9], [0.7, 0.1, 0.0]])
LENGTHS = np.array([[0.0, 7.0, 2.0], [4.0, 0.0, 11.0], [9.0, 5.0, 0.0]])
LABELS = ["A", "B", "C"]
PATTERN = {"A": 1.0, "C": -0.5}
#: On from before the run is cut until after it, and never the same twice.
WAVE = gx.stimuli.Sine(frequency=30.0, amplitude=0.4) * gx.stimuli.Pulse(onset=2.0, duration=15.0, rise=2.0)
CONTROL = {"solver": dfx.Tsit5(), "stepsize_controller": dfx.PIDController(rtol=1e-9, atol=1e-11)}
START = np.array([[0.1, -0.2, 0.3]])


def network(delay=None, noise=None, surface=None) -> gx.Network:
    far = gx.couplings.Linear(source="x", strength=0.1)
    pattern = PATTERN if surface is None else np.linspace(-1, 1, len(surface.region_of))
    driven = gx.stimuli.Stimulus(WAVE, pattern, target="c")
    connectome = gx.Connectome(WEIGHTS, LENGTHS, labels=LABELS)
    return gx.Network(gx.models.Linear(gamma=-0.1), far, connectome, delay, noise, surface=surface, stimulus=driven)


def halves(net, first=7.5, whole=20.0, **options):
    """A run in one piece and in two, from start to end."""
    one = gx.simulate(net, whole, 0.5, **options)
    begun = gx.simulate(net, first, 0.5, **options)
    options = {name: value for name, value in options.items() if name not in ("key", "start")}
    ended = gx.simulate(net, whole - first, 0.5, start=begun.final, **options)
    values = np.concatenate([begun["raw"].values, ended["raw"].values])
    assert np.ptp(values[round(2 * first) :], axis=0).min() > 1e-3  # something happens after the cut
    return np.asarray(one["raw"].values), values


@pytest.mark.slow
def test_controlled_steps_of_a_stimulated_network_go_on_at_its_time():
    """Against SciPy: a stimulus that began anew after the cut would be 7.5 ms late."""

    def flow(t, x):
        return -0.1 * x + 0.1 * WEIGHTS @ x + np.array([1.0, 0.0, -0.5]) * float(WAVE(t))

    one, two = halves(network(), start=START, **CONTROL)
    times = 0.5 * np.arange(1, 41)
    expected = solve_ivp(flow, (0, 20), START[0], rtol=1e-10, atol=1e-12, t_eval=times, max_step=0.25).y.T
    np.testing.assert_allclose(one[:, 0], expected, atol=1e-7)
    np.testing.assert_allclose(two, one, atol=1e-8)


@pytest.mark.slow
def test_controlled_steps_with_delays_and_a_stimulus_go_on():
    delay = gx.Delay(3.0, interpolation="cubic")
    one, two = halves(network(delay), start=START, **CONTROL)
    np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_interpolated_delays_with_a_stimulus_and_noise_go_on_exactly(interpolation, key):
    noise = {"fast": gx.noise.White(sigma=0.02), "slow": gx.noise.OrnsteinUhlenbeck(sigma=0.05, tau=4.0, inputs="c")}
    net = network(gx.Delay(3.0, interpolation=interpolation), noise)
    one, two = halves(net, start=START, key=key)
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-14)


def test_a_stimulated_surface_with_delays_goes_on_exactly():
    surface = gx.Surface([2, 0, 1, 0, 2])
    one, two = halves(network(gx.Delay(3.0, interpolation="linear"), surface=surface), start=np.full((1, 5), 0.1))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-14)
    assert one.shape == (40, 1, 5) and len(set(one[-1, 0].round(6))) == 5


@pytest.mark.slow
def test_an_ensemble_of_stimulated_networks_goes_on_exactly(key):
    """Coloured noise, a key each; every member where it was."""
    net = network(gx.Delay(3.0), gx.noise.OrnsteinUhlenbeck(sigma=0.05, tau=4.0, states="x"))
    keys = jax.random.split(key, 2)
    begin = jax.vmap(lambda k: gx.simulate(net, 7.5, 0.5, key=k, start=START).final)
    rest = jax.vmap(lambda final: gx.simulate(net, 5.0, 0.5, start=final)["raw"].values)(begin(keys))
    alone = [gx.simulate(net, 12.5, 0.5, key=k, start=START)["raw"].values[15:] for k in keys]
    np.testing.assert_allclose(rest, jnp.stack(alone), rtol=0, atol=1e-13)
    assert np.abs(rest[0] - rest[1]).max() > 1e-3
