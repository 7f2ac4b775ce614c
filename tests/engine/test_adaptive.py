"""Controlled steps within windows: against closed solutions, scipy and finite differences."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import gyrax as gx

DOUBLE = jnp.result_type(float) == jnp.float64
CONTROLLER = dfx.PIDController(rtol=1e-9, atol=1e-9) if DOUBLE else dfx.PIDController(rtol=1e-6, atol=1e-6)
TAU = 1.03  # no whole step


class Turning(gx.AbstractModel):
    """x' = -a x(t - tau); with a = pi / (2 tau) its solution is cos(a t)."""

    states = ("x",)
    inputs = ("c",)

    def drift(self, t, y, u):
        return -np.pi / 2 / TAU * u


def turning(dt, solver, interpolation="cubic", controller=CONTROLLER, duration=5.0):
    connectome = gx.Connectome([[0.0, 1.0], [1.0, 0.0]], lengths=[[0.0, TAU], [TAU, 0.0]])
    delay = gx.Delay(1.0, interpolation=interpolation)
    net = gx.Network(Turning(), gx.couplings.Linear(source="x"), connectome, delay)
    wave = lambda t: np.cos(np.pi / 2 / TAU * t)  # noqa: E731
    past = wave(-dt * np.arange(round(2 / dt))[::-1])
    start = gx.History(past[:, None, None] * np.ones((1, 2)), period=dt)
    run = gx.simulate(net, duration, dt, solver=solver, stepsize_controller=controller, start=start)
    return np.abs(np.asarray(run["raw"].values)[:, 0, 0] - wave(run["raw"].times)).max()


@pytest.mark.slow
@pytest.mark.skipif(not DOUBLE, reason="the order of convergence needs digits")
@pytest.mark.parametrize("solver", [dfx.Tsit5(), dfx.Kvaerno3()], ids=["Tsit5", "Kvaerno3"])
def test_the_order_is_that_of_the_cubic_interpolation(solver):
    coarse, fine = (turning(dt, solver) for dt in (0.2, 0.1))
    assert fine < 3e-5 and np.log2(coarse / fine) > 3.4, (coarse, fine)


@pytest.mark.slow
def test_a_delay_equation_has_its_closed_solution():
    assert turning(0.05, dfx.Dopri5(), duration=3.0) < 2e-5


def test_a_history_may_be_sampled_otherwise(rounding):
    """Linear between samples: a history that is linear does not mind."""
    connectome = gx.Connectome([[0.0, 1.0], [1.0, 0.0]], lengths=[[0.0, 6.0], [6.0, 0.0]])
    net = gx.Network(Turning(), gx.couplings.Linear(source="x"), connectome, gx.Delay(1.0))
    line = lambda period: gx.History(np.arange(-12, 1e-9, period)[:, None, None] * np.ones((1, 2)), period)  # noqa: E731
    runs = [gx.simulate(net, 10.0, 0.5, start=line(period))["raw"].values for period in (0.5, 3.0, 0.25)]
    np.testing.assert_allclose(runs[1], runs[0], atol=rounding * 10)
    np.testing.assert_allclose(runs[2], runs[0], atol=rounding * 10)


@pytest.mark.slow
def test_a_recording_goes_on_as_a_history(small_connectome, rounding):
    """Without monitors and noise to go on with, the states of an earlier run are all there is to know."""
    net = gx.Network(
        gx.models.Hopf(a=0.1, omega=0.3),
        gx.couplings.Difference(source=("x", "y"), strength=0.1),
        small_connectome,
        gx.Delay(3.0),
    )
    whole = gx.simulate(net, 60.0, 0.5)
    half = gx.simulate(net, 30.0, 0.5)
    again = gx.simulate(net, 30.0, 0.5, start=half["raw"])
    np.testing.assert_allclose(again["raw"].values, whole["raw"].values[60:], atol=rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda run, net: gx.History(np.zeros((2, 5)), 1.0), r"shape \(time, state, node\), got \(2, 5\)"),
        (lambda run, net: gx.History(np.zeros((9, 2, 5)), 0.0), "period is a positive number"),
        (lambda run, net: simulate(net, gx.History(np.zeros((9, 1, 5)), 1.0)), r"states of shape \(1, 5\), expected"),
        (lambda run, net: simulate(net, gx.History(np.zeros((3, 2, 5)), 1.0)), "covers 2 ms, but the longest delay"),
        (lambda run, net: simulate(net, run["mean"]), "samples of all states"),
    ],
)
def test_wrong_histories_are_named(make, message, small_connectome):
    net = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), small_connectome, gx.Delay(3.0))
    run = gx.simulate(net, 20.0, 0.5, monitors={"mean": gx.monitors.TemporalAverage(period=1.0)})
    with pytest.raises(ValueError, match=message):
        make(run, net)


def simulate(net, start):
    return gx.simulate(net, 5.0, 0.5, start=start)


def oscillators(connectome, delay=None):
    coupling = gx.couplings.Difference(source=("x", "y"), strength=0.1)
    return gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, connectome, delay)


@pytest.mark.slow
def test_without_delays_it_is_scipys_solution(small_connectome):
    net = oscillators(small_connectome)
    start = np.linspace(-0.5, 0.5, 10).reshape(2, 5)
    monitors = {"raw": gx.monitors.Raw(), "mean": gx.monitors.TemporalAverage(period=5.0)}
    run = gx.simulate(
        net, 20.0, 1.0, solver=dfx.Tsit5(), stepsize_controller=CONTROLLER, start=start, monitors=monitors
    )
    flow = jax.jit(lambda y: net.drift(0.0, y))
    found = solve_ivp(
        lambda t, y: np.asarray(flow(y.reshape(2, 5)), float).ravel(), (0, 20), start.ravel(), rtol=1e-9, atol=1e-9,
        t_eval=run["raw"].times,
    )  # fmt: skip
    np.testing.assert_allclose(run["raw"].values, found.y.T.reshape(-1, 2, 5), atol=1e-7 if DOUBLE else 2e-5)
    assert run["mean"].values.shape == (4, 2, 5)


@pytest.mark.slow
def test_it_agrees_with_fine_steps_and_goes_on_exactly(small_connectome, rounding):
    net = oscillators(small_connectome, gx.Delay(3.0, interpolation="cubic"))
    settings = dict(dt=0.25, solver=dfx.Tsit5(), stepsize_controller=CONTROLLER)
    start = np.linspace(-0.5, 0.5, 10).reshape(2, 5)
    whole = gx.simulate(net, 20.0, start=start, **settings)
    fine = gx.simulate(net, 20.0, 0.01, start=start)
    np.testing.assert_allclose(whole["raw"].values[-1], fine["raw"].values[-1], atol=2e-4)
    half = gx.simulate(net, 10.0, start=start, **settings)
    rest = gx.simulate(net, 10.0, start=half.final, **settings)
    # Not to the last digit: where a window begins, the controller tries its first step anew.
    np.testing.assert_allclose(rest["raw"].values, whole["raw"].values[40:], atol=1e-6 if DOUBLE else rounding * 10)


@pytest.mark.slow
def test_gradients_equal_finite_differences_in_both_modes(small_connectome):
    net = oscillators(small_connectome, gx.Delay(3.0, bounds=(0.5, 20.0), interpolation="cubic"))

    def value(p, autodiff="reverse"):
        changed = eqx.tree_at(lambda n: (n.coupling.strength, n.delay.speed), net, (p[0], p[1]))
        start = np.linspace(-0.5, 0.5, 10).reshape(2, 5)
        run = gx.simulate(
            changed, 10.0, 0.5, solver=dfx.Tsit5(), stepsize_controller=CONTROLLER, start=start, autodiff=autodiff
        )
        return jnp.sum(run.final.y**2)

    p, steps = jnp.array([0.1, 3.0]), np.array([1e-5, 1e-5]) if DOUBLE else np.array([3e-3, 0.1])
    gradient = jax.jit(jax.grad(value))(p)
    call = jax.jit(value)
    numeric = [(call(p.at[i].add(h)) - call(p.at[i].add(-h))) / (2 * h) for i, h in enumerate(steps)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4 if DOUBLE else 2e-2, atol=1e-4)
    forward = jax.jit(jax.jacfwd(lambda p: value(p, "forward")))(p)
    np.testing.assert_allclose(forward, gradient, rtol=1e-5 if DOUBLE else 1e-3)


def test_a_controller_wants_no_noise(small_connectome, key):
    net = gx.Network(
        gx.models.WongWang(), gx.couplings.Linear(source="S"), small_connectome, noise=gx.noise.White(sigma=0.1)
    )
    with pytest.raises(ValueError, match="for networks without noise"):
        gx.simulate(net, 10.0, 1.0, solver=dfx.Tsit5(), stepsize_controller=CONTROLLER, key=key)
