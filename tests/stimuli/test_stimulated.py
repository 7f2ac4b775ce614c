"""Networks that are stimulated, against solutions by hand and SciPy's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import gyrax as gx
from naive import wiring

SINGLE = jnp.result_type(float) == jnp.float32
s = gx.stimuli
CONNECTOME = wiring("S")
WEIGHTS = np.asarray(CONNECTOME.weights, float)
PATTERN = np.array([0.0, 1.0, 0.0, -0.5, 0.0, 2.0])
LABELLED = {"S1": 1.0, "S3": -0.5, "S5": 2.0}


def network(stimulus, delay=None, noise=None) -> gx.Network:
    far = gx.couplings.Linear(source="x", strength=0.02)
    return gx.Network(gx.models.Linear(gamma=-0.1), far, CONNECTOME, delay, noise, stimulus=stimulus)


@pytest.mark.slow
def test_equals_the_equations_solved_by_scipy():
    waveform = s.Sine(frequency=25.0, amplitude=0.3) * s.DoubleExponential(onset=5.0, tau_rise=2.0, tau_decay=10.0)
    net = network(s.Stimulus(waveform, LABELLED, target="c") + s.Stimulus(0.01, target="c"))

    def flow(t, x):
        given = 0.01 + PATTERN * float(waveform(t))
        return -0.1 * x + 0.02 * WEIGHTS @ x + given

    expected = solve_ivp(flow, (0, 40), np.zeros(6), rtol=1e-9, atol=1e-11, t_eval=[10, 20, 30, 40], max_step=0.5).y.T
    monitors = gx.monitors.Subsample(period=10.0)
    run = gx.simulate(net, 40.0, 0.1, monitors=monitors, solver=gx.solvers.RungeKutta4(), start=np.zeros((1, 6)))
    np.testing.assert_allclose(run["monitor"].values[:, 0], expected, atol=2e-5 if SINGLE else 2e-7)


def test_a_constant_one_shifts_the_resting_state_as_it_should():
    net = network(s.Stimulus(0.03, LABELLED, target="c"))
    end = gx.simulate(net, 400.0, 0.5, monitors={}).final.y[0]
    expected = np.linalg.solve(0.1 * np.eye(6) - 0.02 * WEIGHTS, 0.03 * PATTERN)
    np.testing.assert_allclose(end, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_time_goes_on_with_a_run_and_monitors_of_inputs_hear_it(rounding):
    net = network(s.Stimulus(s.Ramp(onset=3.0, duration=10.0, amplitude=0.1), "S2", target="c"), delay=gx.Delay(4.0))
    whole = gx.simulate(net, 20.0, 0.5)["raw"].values
    first = gx.simulate(net, 7.0, 0.5)
    rest = gx.simulate(net, 13.0, 0.5, start=first.final)["raw"].values
    np.testing.assert_allclose(np.concatenate([first["raw"].values, rest]), whole, rtol=10 * rounding)
    silent = eqx.tree_at(lambda n: n.coupling.strength, net, jnp.asarray(1e-20))
    heard = gx.simulate(silent, 20.0, 0.5, monitors=gx.monitors.AfferentCoupling(period=0.5))["monitor"]
    expected = 0.1 * np.clip((np.asarray(heard.times) - 3.0) / 10.0, 0, 1)
    np.testing.assert_allclose(heard.values[:, 0, 2], expected, atol=1e-6)
    assert np.abs(heard.values[:, 0, [0, 1, 3, 4, 5]]).max() < 1e-15


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("delay", [None, gx.Delay(4.0)])
def test_gradients_of_its_parameters_equal_differences(delay):
    pulse = s.Pulse(onset=4.03, duration=5.0, amplitude=0.4, rise=2.0)
    net = network(s.Stimulus(pulse, LABELLED, target="c"), delay)
    free, fixed = eqx.partition(net.stimulus, eqx.is_inexact_array)

    @jax.jit
    def loss(free):
        driven = eqx.tree_at(lambda n: n.stimulus, net, eqx.combine(free, fixed))
        return jnp.mean(gx.simulate(driven, 20.0, 0.1)["raw"].values ** 2)

    gradient = jax.grad(loss)(free)
    leaves, tree = jax.tree.flatten(free)
    assert len(leaves) == 5
    for i, (leaf, slope) in enumerate(zip(leaves, jax.tree.leaves(gradient), strict=True)):
        direction = np.random.default_rng(i).normal(size=leaf.shape)
        ends = []
        for h in (1e-5, -1e-5):
            moved = [*leaves[:i], leaf + h * direction, *leaves[i + 1 :]]
            ends.append(loss(jax.tree.unflatten(tree, moved)))
        assert float(jnp.abs(slope).max()) > 1e-6
        np.testing.assert_allclose(jnp.vdot(slope, direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


def test_reaches_one_group():
    model = gx.Groups({"odd": (gx.models.Linear(gamma=-0.1), ["S1", "S3", "S5"]), "even": (gx.models.Hopf(), ...)})
    far = gx.couplings.Linear(source="odd.x", target="even.c_x", strength=1e-20)
    net = gx.Network(model, far, CONNECTOME, stimulus=s.Stimulus(0.02, LABELLED, target="odd.c"))
    end = gx.simulate(net, 200.0, 0.5, monitors={}, start=np.zeros((3, 6))).final.y
    np.testing.assert_allclose(end[0], 0.2 * PATTERN, rtol=1e-4)
    np.testing.assert_allclose(end[1:], 0, atol=1e-15)


def test_repr_and_errors():
    net = network(s.Stimulus(0.5, "S1", target="c"))
    assert "  stimulus  Stimulus(" in repr(net)
    with pytest.raises(ValueError, match="the stimulus feeds 'd', but the inputs of Linear are"):
        network(s.Stimulus(0.5, target="d"))
    with pytest.raises(ValueError, match="the stimulus is for region 'S9'"):
        network(s.Stimulus(0.5, "S9", target="c"))
    with pytest.raises(ValueError, match=r"pattern of shape \(4,\): expected one value a region \(6,\)"):
        network(s.Stimulus(0.5, np.ones(4), target="c"))
