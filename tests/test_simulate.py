"""The engine against a plain loop, against itself cut differently, and against wrong input."""

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax._engine.lengths import piece, plan
from naive import loop
from toys import clock, counting

SOLVERS = {"euler": gx.solvers.EulerMaruyama(), "heun": gx.solvers.Heun(), "rk4": gx.solvers.RungeKutta4()}


def wong_wang(connectome, delay=None, **kwargs):
    coupling = gx.couplings.Linear(source="S", strength=0.3)
    return gx.Network(gx.models.WongWang(**kwargs), coupling, connectome, delay, gx.noise.White(sigma=0.02))


def jansen_rit(connectome, delay=None):
    coupling = gx.couplings.SigmoidalJansenRit(strength=20.0)
    noise = gx.noise.White(sigma=0.001, states="y4")
    return gx.Network(gx.models.JansenRit(), coupling, connectome, delay, noise)


def hopf(connectome, delay=None):
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02),
    }
    return gx.Network(
        gx.models.Hopf(a=0.1, omega=0.3), coupling, connectome, delay, gx.noise.White(sigma=0.01, states="x")
    )


NETWORKS = {"wong_wang": wong_wang, "jansen_rit": jansen_rit, "hopf": hopf}


@pytest.mark.slow("float32")
@pytest.mark.parametrize("delayed", [False, True], ids=["instant", "delayed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_a_plain_loop(name, delayed, small_connectome, key, rounding):
    net = NETWORKS[name](small_connectome, gx.Delay(3.0) if delayed else None)
    run = gx.simulate(net, duration=30.0, dt=0.5, key=key)
    expected = loop(net, 60, 0.5, key)
    assert np.abs(np.asarray(run["raw"].values) - expected).max() < rounding * np.abs(expected).max() * 10


@pytest.mark.slow("float32")
@pytest.mark.parametrize("scheme", SOLVERS)
def test_every_solver_equals_its_plain_loop(scheme, small_connectome, key, rounding):
    net = hopf(small_connectome, gx.Delay(3.0))
    run = gx.simulate(net, duration=20.0, dt=0.5, key=key, solver=SOLVERS[scheme])
    expected = loop(net, 40, 0.5, key, scheme)
    assert np.abs(np.asarray(run["raw"].values) - expected).max() < rounding * 10


@pytest.mark.slow("float32")
@pytest.mark.parametrize("delayed", [False, True], ids=["instant", "delayed"])
@pytest.mark.parametrize("scheme", ["heun", "rk4"])
def test_a_coupling_once_a_step_is_held_through_its_stages(scheme, delayed, small_connectome, key, rounding):
    """A coupling that depends on the target's own state too; the input of every stage is another."""
    net = hopf(small_connectome, gx.Delay(3.0) if delayed else None)
    solver = dataclasses.replace(SOLVERS[scheme], coupling_once=True)
    run = gx.simulate(net, duration=20.0, dt=0.5, key=key, solver=solver)
    expected = loop(net, 40, 0.5, key, scheme, coupling_once=True)
    assert np.abs(np.asarray(run["raw"].values) - expected).max() < rounding * 10
    assert np.abs(expected - loop(net, 40, 0.5, key, scheme)).max() > 1e-4


@pytest.mark.slow
def test_delays_that_round_to_no_step_are_instantaneous(small_connectome, key, rounding):
    net = wong_wang(small_connectome, gx.Delay(speed=20.0))  # 0.3 to 1.2 ms
    run = gx.simulate(net, duration=30.0, dt=1.0, key=key)
    expected = loop(net, 30, 1.0, key)
    assert np.abs(np.asarray(run["raw"].values) - expected).max() < rounding


@pytest.mark.slow
def test_a_diffrax_solver_gives_the_same(small_connectome, key, rounding):
    net = wong_wang(small_connectome, gx.Delay(3.0))
    ours = gx.simulate(net, duration=20.0, dt=0.5, key=key)["raw"].values
    theirs = gx.simulate(net, duration=20.0, dt=0.5, key=key, solver=dfx.Heun())["raw"].values
    np.testing.assert_allclose(ours, theirs, atol=rounding)
    quiet = eqx.tree_at(lambda n: n.noise, net, None)
    smooth = gx.simulate(quiet, duration=20.0, dt=0.5, solver=dfx.Tsit5())["raw"].values
    coarse = gx.simulate(quiet, duration=20.0, dt=0.5)["raw"].values
    np.testing.assert_allclose(smooth, coarse, atol=2e-4)


@pytest.mark.slow
def test_our_solvers_work_in_diffeqsolve(small_connectome):
    net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S", strength=0.3), small_connectome)
    run = gx.simulate(net, duration=10.0, dt=0.5)
    solution = dfx.diffeqsolve(net.terms(), gx.solvers.Heun(), 0.0, 10.0, 0.5, net.start())
    np.testing.assert_allclose(solution.ys[-1], run.final.y, rtol=1e-5)


MONITORS = {
    "raw": gx.monitors.Raw(),
    "every": gx.monitors.Subsample(period=6.0),
    "mean": gx.monitors.TemporalAverage(period=10.0),
    "bold": gx.monitors.Balloon(source="S", period=60.0),
    "hrf": gx.monitors.HRFBold(source="S", period=45.0),
}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("first", [pytest.param(180.0, marks=pytest.mark.slow), 67.0])
@pytest.mark.parametrize("delayed", [False, True], ids=["instant", "delayed"])
def test_one_run_equals_two(first, delayed, small_connectome, key, rounding):
    """Noise, delays and monitors go on exactly, also from the middle of a period."""
    net = wong_wang(small_connectome, gx.Delay(3.0) if delayed else None)
    whole = gx.simulate(net, duration=360.0, dt=1.0, monitors=MONITORS, key=key)
    one = gx.simulate(net, duration=first, dt=1.0, monitors=MONITORS, key=key)
    two = gx.simulate(net, duration=360.0 - first, dt=1.0, monitors=MONITORS, start=one.final)
    for name in MONITORS:
        values = np.concatenate([one[name].values, two[name].values])
        np.testing.assert_allclose(values, whole[name].values, rtol=1e-9, atol=rounding, err_msg=name)
        np.testing.assert_allclose(np.concatenate([one[name].times, two[name].times]), whole[name].times)
    np.testing.assert_allclose(two.final.y, whole.final.y, atol=rounding)


@pytest.mark.slow
@pytest.mark.once
def test_samples_do_not_depend_on_the_company(small_connectome, key, rounding):
    """Other monitors change the cut of a run, never what a monitor records."""
    net = wong_wang(small_connectome, gx.Delay(3.0))
    together = gx.simulate(net, duration=360.0, dt=1.0, monitors=MONITORS, key=key)
    for name in ("every", "mean", "bold"):
        alone = gx.simulate(net, duration=360.0, dt=1.0, monitors={name: MONITORS[name]}, key=key)
        np.testing.assert_allclose(alone[name].values, together[name].values, rtol=1e-9, atol=rounding, err_msg=name)


@pytest.mark.slow
def test_times_are_ends_of_steps_and_middles_of_averages(small_connectome, key):
    run = gx.simulate(wong_wang(small_connectome), duration=60.0, dt=0.5, monitors=MONITORS, key=key)
    np.testing.assert_allclose(run["raw"].times, 0.5 * np.arange(1, 121))
    np.testing.assert_allclose(run["every"].times, 6.0 * np.arange(1, 11))
    np.testing.assert_allclose(run["mean"].times, 10.0 * np.arange(6) + 5.0)
    np.testing.assert_array_equal(run["every"].values, run["raw"].values[11::12])


def linear_delay(dt, scheme="heun", speed=2.0):
    """x' = -x(t - 1), constant past 1: x = 1 - t, then 1 - t + (t - 1)^2 / 2, ..."""

    class Pure(gx.AbstractModel):
        states = ("x",)
        inputs = ("c",)

        def drift(self, t, y, u):
            return -u

        def start(self, n):
            return jnp.ones((1, n))

    connectome = gx.Connectome([[0.0, 1.0], [1.0, 0.0]], lengths=[[0, 2.0], [2.0, 0]])
    net = gx.Network(Pure(), gx.couplings.Linear(source="x"), connectome, gx.Delay(speed))
    run = gx.simulate(net, duration=3.0, dt=dt, solver=SOLVERS[scheme])
    t = run["raw"].times
    exact = sum((-1) ** k * np.clip(t - (k - 1), 0, None) ** k / np.prod(range(1, k + 1)) for k in range(1, 5)) + 1
    return np.abs(np.asarray(run["raw"].values)[:, 0, 0] - exact).max()


@pytest.mark.slow
@pytest.mark.skipif(jnp.result_type(float) == jnp.float32, reason="the order of convergence needs digits")
@pytest.mark.parametrize("scheme", ["heun", "rk4"])
def test_a_linear_delay_equation_converges_at_second_order(scheme):
    errors = [linear_delay(dt, scheme) for dt in (0.1, 0.05, 0.025)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 1.9).all(), (errors, orders)


def test_a_linear_delay_equation_has_its_closed_solution():
    assert linear_delay(0.01) < 2e-5


@pytest.mark.slow
@pytest.mark.once
@given(
    st.integers(1, 400), st.lists(st.integers(1, 90), min_size=1, max_size=3), st.integers(0, 200), st.integers(1, 20)
)
def test_a_plan_covers_the_run_and_no_piece_straddles_a_period(steps, periods, elapsed, window):
    segments = plan(steps, [[(p, elapsed % p)] for p in periods], window)
    assert sum(s.steps for s in segments) == steps and len(segments) <= 3
    at = elapsed
    for segment in segments:
        assert segment.tick % segment.window == 0 and segment.window <= window
        for period in periods:
            part = piece(segment.tick, [(period, at % period)], segment.steps)
            assert segment.tick % part == 0
            for begin in range(at, at + segment.steps, part):
                inside = [s for s in range(begin + 1, begin + part) if s % period == 0]
                assert (begin % period == 0 and part % period == 0) or not inside
        at += segment.steps


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("periods", [(7, 30), (7, 30, 11), (13, 4)])
def test_periods_that_do_not_fit_leave_long_ticks(periods):
    for segment in plan(10_000, [[(p, 3)] for p in periods], 8)[:-1]:
        assert segment.tick >= 64 or segment.ticks == 1


@pytest.mark.slow
@pytest.mark.once
@given(
    st.integers(20, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.integers(0, 60), max_size=2, unique=True),
)
@settings(max_examples=4)
def test_samples_do_not_depend_on_the_cut(steps, period, other, joints):
    """Averages of a ramp and samples at whole steps, of a run in up to three parts."""
    net = clock()
    monitors = {
        "average": gx.monitors.TemporalAverage(source="ramp", period=float(period)),
        "sample": gx.monitors.Subsample(source="t", period=float(other)),
        "raw": gx.monitors.Raw(source="t"),  # for a run of which nothing is recorded is refused
    }
    ends = sorted({j for j in joints if 0 < j < steps} | {steps})
    final, averages, samples = None, [], []
    for begin, end in zip([0, *ends], ends, strict=False):
        run = gx.simulate(net, float(end - begin), 1.0, monitors=monitors, start=final)
        final = run.final
        averages.append(run["average"].values)
        samples.append(run["sample"].values)
    n = np.arange(1, steps // period + 1)
    np.testing.assert_allclose(np.concatenate(averages)[:, 0, 0], (n - 0.5) * period, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(samples)[:, 0, 0], np.arange(1, steps // other + 1) * other)


def test_non_finite_states_are_reported_with_time_and_region(small_connectome, key):
    class Explosive(gx.models.Linear):
        def drift(self, t, y, u):
            return self.gamma * y**3 + u

    class Saturating(gx.couplings.Linear):  # or the coupling would carry the infinity everywhere within the step
        def encode(self, x):
            return jnp.tanh(x)

    def later(model, gamma):  # which a linear model would not be built with
        return eqx.tree_at(lambda m: m.gamma, model, jnp.asarray(gamma))

    coupling = Saturating(source="x", strength=0.01)
    growth = np.array([-1.0, -1.0, 2.0, -1.0, -1.0])
    net = gx.Network(later(Explosive(), growth), coupling, small_connectome)
    with pytest.warns(RuntimeWarning, match=r"not finite from \d+ ms on, first in C:"):
        run = gx.simulate(net, duration=100.0, dt=1.0, start=np.ones((1, 5)))
    values = np.asarray(run["raw"].values)[:, 0, 2]
    assert run.failure.startswith(f"a state is not finite from {1 + np.argmin(np.isfinite(values))} ms on")
    assert not run.finite and "NOT FINITE" in repr(run)
    assert gx.simulate(net, duration=100.0, dt=1.0, start=np.zeros((1, 5))).finite


@pytest.mark.once
def test_the_value_of_a_parameter_compiles_nothing_anew(small_connectome, key):
    Counting, count = counting()
    coupling = gx.couplings.Linear(source="S")
    for i, w in enumerate([0.5, 0.6, 0.7]):
        net = gx.Network(Counting(w=w), coupling, small_connectome, noise=gx.noise.White(sigma=0.01 + w))
        count.clear()  # building a network traces its drift once, for the shapes
        gx.simulate(net, duration=20.0, dt=1.0, key=jax.random.key(i))
        assert bool(count) == (i == 0)


@pytest.mark.slow
def test_vmap_over_keys_equals_a_loop(small_connectome, key, rounding):
    net = wong_wang(small_connectome, gx.Delay(3.0))
    keys = jax.random.split(key, 3)
    simulate = lambda k: gx.simulate(net, duration=30.0, dt=1.0, key=k)  # noqa: E731
    together = jax.vmap(simulate)(keys)
    for i, k in enumerate(keys):
        np.testing.assert_allclose(together["raw"].values[i], simulate(k)["raw"].values, atol=rounding)
    assert together["raw"].to_xarray().dims == ("run", "time", "state", "region")


@pytest.mark.slow
@pytest.mark.parametrize("delayed", [False, True], ids=["instant", "delayed"])
def test_gradients_equal_finite_differences(delayed, small_connectome, key):
    net = wong_wang(small_connectome, gx.Delay(3.0) if delayed else None)
    spec = gx.select(net, "coupling.strength", "model.w", "noise.sigma", "connectome.weights")
    free, fixed = eqx.partition(net, spec)
    monitors = {"bold": gx.monitors.Balloon(source="S", period=50.0), "raw": gx.monitors.Raw()}

    @jax.jit
    def value(free):
        run = gx.simulate(eqx.combine(free, fixed), duration=200.0, dt=1.0, monitors=monitors, key=key)
        return 1e3 * jnp.mean(run["bold"].values ** 2) + jnp.mean(run["raw"].values ** 2)

    gradient = jax.jit(jax.grad(value))(free)
    direction = jax.tree.map(lambda x: jnp.asarray(np.random.default_rng(0).normal(size=x.shape), x.dtype) * x, free)
    step = 1e-2 if jnp.result_type(float) == jnp.float32 else 1e-4
    move = lambda h: jax.tree.map(lambda a, b: a + h * b, free, direction)  # noqa: E731
    numeric = (value(move(step)) - value(move(-step))) / (2 * step)
    exact = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(exact, numeric, rtol=5e-3 if step > 1e-3 else 1e-5)


@pytest.mark.slow
def test_forward_mode_agrees_with_reverse(small_connectome, key):
    net = wong_wang(small_connectome, gx.Delay(3.0))

    def value(w):
        return jnp.mean(
            gx.simulate(eqx.tree_at(lambda n: n.model.w, net, w), duration=40.0, dt=1.0, key=key, autodiff="forward")[
                "raw"
            ].values
            ** 2
        )

    w = jnp.asarray(0.6)
    np.testing.assert_allclose(jax.jacfwd(value)(w), jax.grad(value)(w), rtol=1e-4)


@pytest.mark.slow("float32")
def test_renumbering_regions_renumbers_the_result(small_connectome, rounding):
    order = np.array([3, 0, 4, 1, 2])
    quiet = lambda c: gx.Network(  # noqa: E731
        gx.models.WongWang(), gx.couplings.Linear(source="S", strength=0.3), c, gx.Delay(3.0)
    )
    start = np.linspace(0.05, 0.3, 5)[None]
    one = gx.simulate(quiet(small_connectome), duration=40.0, dt=1.0, start=start)["raw"].values
    two = gx.simulate(quiet(small_connectome.subset(list(order))), duration=40.0, dt=1.0, start=start[:, order])[
        "raw"
    ].values
    np.testing.assert_allclose(two, one[:, :, order], atol=rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(duration=10.3), "not a whole number of steps of dt = 0.5 ms; take 10 or 10.5 ms"),
        (dict(dt=-1.0), "dt is a positive number"),
        (dict(key=None), "give simulate a key"),
        (dict(monitors={"m": gx.monitors.Subsample(period=0.7)}), "the period of 'm' = 0.7 ms is not a whole number"),
        (dict(monitors={"m": gx.monitors.Raw(source="V")}), "monitor 'm' reads 'V'"),
        (dict(start=np.zeros((1, 4))), r"start has shape \(1, 4\), expected \(state, node\) = \(1, 5\)"),
        (dict(solver=dfx.SPaRK()), "needs Levy areas"),
        (dict(solver=dfx.SemiImplicitEuler()), "separate terms"),
    ],
)
def test_wrong_input_is_named(change, message, small_connectome, key):
    arguments = dict(duration=10.0, dt=0.5, key=key) | change
    with pytest.raises(ValueError, match=message):
        gx.simulate(wong_wang(small_connectome), **arguments)


@pytest.mark.once
@pytest.mark.slow
def test_a_history_of_another_network_is_refused(small_connectome, key):
    slow, fast = (wong_wang(small_connectome, gx.Delay(speed)) for speed in (2.0, 3.0))
    final = gx.simulate(slow, duration=20.0, dt=1.0, key=key).final
    with pytest.raises(ValueError, match="a network with other delays"):
        gx.simulate(fast, duration=20.0, dt=1.0, start=final)
    with pytest.raises(ValueError, match=r"had dt = 1.0 ms"):
        gx.simulate(slow, duration=20.0, dt=0.5, start=final)
    with pytest.raises(ValueError, match="no history for the delayed coupling"):
        gx.simulate(
            fast, duration=20.0, dt=1.0, start=gx.simulate(wong_wang(small_connectome), 20.0, 1.0, key=key).final
        )


@pytest.mark.once
@pytest.mark.slow
def test_a_delay_outside_of_its_bounds_is_named(small_connectome, key):
    net = wong_wang(small_connectome, gx.Delay(3.0))
    faster = eqx.tree_at(lambda n: n.delay.speed, net, jnp.asarray(4.0))
    with pytest.raises(ValueError, match=r"the delay from \w to \w is .* ms, outside of the bounds"):
        gx.simulate(faster, duration=20.0, dt=1.0, key=key)
    wide = wong_wang(small_connectome, gx.Delay(3.0, bounds=(1.0, 20.0)))
    gx.simulate(eqx.tree_at(lambda n: n.delay.speed, wide, jnp.asarray(4.0)), duration=20.0, dt=1.0, key=key)
    with pytest.raises(Exception, match="a conduction delay left its bounds"):
        jax.block_until_ready(jax.jit(lambda n: gx.simulate(n, duration=20.0, dt=1.0, key=key).final.y)(faster))
