"""Monitors that hand on activity or averages, and users' own, on activity that is a known function of time."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.monitors import Balloon, HRFBold, Raw, Subsample, TemporalAverage, Window
from toys import SLOPES, Clock, clock, drive

NET = clock()
DT = 0.5


def ramps(t):
    """The states of the clock at the times t, `(time, state, region)`."""
    t = np.asarray(t)[:, None]
    return np.stack([t + 0 * SLOPES, t * SLOPES], 1)


def in_parts(monitors, *durations, dt=DT, net=NET):
    """Values and times of runs that each go on from the one before, put together."""
    runs, start = [], None
    for duration in durations:
        runs.append(gx.simulate(net, duration=duration, dt=dt, monitors=monitors, start=start))
        start = runs[-1].final
    return {
        name: (np.concatenate([r[name].values for r in runs]), np.concatenate([r[name].times for r in runs]))
        for name in monitors
    }


@pytest.mark.slow
@pytest.mark.once
@settings(  # no shrinking: every example compiles
    max_examples=6, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 60), st.integers(1, 200), st.integers(1, 200))
def test_averages_of_ramps_are_exact_wherever_a_run_is_cut(rounding, period, first, second):
    """Also of periods that begin in one run and end in the next; subsamples are the states of their times."""
    monitors = {"mean": TemporalAverage(period=period * DT), "every": Subsample(period=period * DT)}
    monitors["raw"] = Raw()  # for a run of which nothing is recorded is refused
    found = in_parts(monitors, first * DT, second * DT)
    ends = np.arange(1, (first + second) // period + 1) * period * DT
    middles = ends - period * DT / 2
    np.testing.assert_allclose(found["mean"][1], middles, rtol=1e-12)
    np.testing.assert_allclose(found["mean"][0], ramps(middles), rtol=rounding)
    np.testing.assert_allclose(found["every"][1], ends, rtol=1e-12)
    np.testing.assert_array_equal(found["every"][0], ramps(ends))


@pytest.mark.slow
def test_a_run_too_short_for_a_sample_keeps_what_it_saw(rounding):
    monitors = {"mean": TemporalAverage(period=10.0), "raw": Raw()}
    first = gx.simulate(NET, duration=4.0, dt=DT, monitors=monitors)
    assert first["mean"].values.shape == (0, 2, 3) and first["mean"].times.size == 0
    values, times = in_parts(monitors, *5 * [4.0])["mean"]
    np.testing.assert_allclose(times, [5.0, 15.0])
    np.testing.assert_allclose(values, ramps([5.0, 15.0]), rtol=rounding)


def test_averages_are_trapezoidal_sums_of_the_raw_activity(rounding):
    """Half of the first and the last value of a period: a sum of the later values alone would be late by half a step."""
    monitors = {"mean": TemporalAverage(source="drive", period=40.0), "raw": Raw(source="drive")}
    run = gx.simulate(NET, duration=200.0, dt=4.0, monitors=monitors)
    path = np.concatenate([drive([0.0])[:, None], run["raw"].values]).astype(float)
    means = [(path[i : i + 10] + path[i + 1 : i + 11]).mean(0) / 2 for i in range(0, 50, 10)]
    np.testing.assert_allclose(run["mean"].values, means, rtol=0, atol=rounding)


def test_raw_records_every_step_and_sources_in_their_order(rounding):
    run = gx.simulate(NET, duration=20.0, dt=DT, monitors={"all": Raw(), "some": Raw(source=("drive", "ramp"))})
    times = DT * np.arange(1, 41)
    np.testing.assert_array_equal(run["all"].times, times)
    np.testing.assert_array_equal(run["all"].values, ramps(times))
    np.testing.assert_allclose(run["some"].values[:, 0], drive(times), rtol=0, atol=rounding)
    np.testing.assert_array_equal(run["some"].values[:, 1], ramps(times)[:, 1])
    assert run["all"].source == ("t", "ramp") and run["some"].source == ("drive", "ramp")


@pytest.mark.slow
def test_several_monitors_side_by_side_record_what_each_does_alone(rounding):
    """Periods without a common divisor, sources that differ, states and outputs mixed."""
    monitors = {
        "a": TemporalAverage(source="ramp", period=3.5),
        "b": Subsample(source=("drive", "t"), period=5.5),
        "c": Raw(source="drive"),
    }
    together = gx.simulate(NET, duration=77.0, dt=DT, monitors=monitors)
    for name, monitor in monitors.items():
        alone = gx.simulate(NET, duration=77.0, dt=DT, monitors=monitor)["monitor"]
        np.testing.assert_allclose(together[name].values, alone.values, rtol=rounding, atol=rounding)
        np.testing.assert_array_equal(together[name].times, alone.times)


def test_none_one_or_a_dict():
    assert gx.simulate(NET, duration=5.0, dt=DT, monitors={}).recordings == {}
    np.testing.assert_array_equal(gx.simulate(NET, duration=5.0, dt=DT, monitors={}).final.y, ramps([5.0])[0])
    assert list(gx.simulate(NET, duration=5.0, dt=DT).recordings) == ["raw"]
    assert list(gx.simulate(NET, duration=5.0, dt=DT, monitors=Subsample(period=1.0)).recordings) == ["monitor"]


def test_an_output_of_jansen_rit_is_the_difference_of_its_states(small_connectome, rounding):
    coupling = gx.couplings.SigmoidalJansenRit(strength=10.0)
    net = gx.Network(gx.models.JansenRit(), coupling, small_connectome)
    monitors = {
        "psp": Subsample(source="psp", period=10.0),
        "both": Subsample(source=("y1", "y2"), period=10.0),
        "mean": TemporalAverage(source=("psp", "y1", "y2"), period=20.0),
    }
    run = gx.simulate(net, duration=200.0, dt=1.0, monitors=monitors)
    psp, both, mean = (np.asarray(run[name].values) for name in monitors)
    assert psp.std() > 0.1
    np.testing.assert_allclose(psp[:, 0], both[:, 0] - both[:, 1], rtol=0, atol=20 * rounding)
    np.testing.assert_allclose(mean[:, 0], mean[:, 1] - mean[:, 2], rtol=0, atol=40 * rounding)


# A user's own monitors.


class RootMeanSquare(gx.AbstractMonitor):
    """Root mean square of each source over a period."""

    dims: ClassVar = ("state", "region")

    def init(self, x):
        return jnp.zeros_like(x)

    def update(self, state, window):
        state, totals = window.totals(state, window.values**2)
        return state, jnp.sqrt(totals / window.stride)


class Spread(gx.AbstractMonitor):
    """Standard deviation over regions at the end of a period: nothing to remember."""

    dims: ClassVar = ("state",)

    def init(self, x):
        return None

    def update(self, state, window):
        return None, window.last.std(-1)


class Contrast(gx.AbstractMonitor):
    """A weighted sum over regions, averaged: a parameter of the monitor's own, and samples of one number."""

    weights: gx.Array = gx.parameter()
    dims: ClassVar = ()

    def init(self, x):
        return jnp.zeros(())

    def update(self, state, window):
        state, totals = window.totals(state, window.values[:, 0] @ self.weights)
        return state, totals / window.stride


OWN = {
    "rms": RootMeanSquare(source=("drive", "ramp"), period=21.0),
    "spread": Spread(source=("ramp", "drive"), period=15.0),
    "contrast": Contrast(source="drive", period=10.5, weights=np.array([1.0, -2.0, 0.5])),
}


def own_expected(steps):
    """What they record of so many steps, by plain NumPy."""
    t = DT * np.arange(1, steps + 1)
    x = np.stack([drive(t), ramps(t)[:, 1]], 1)
    rms = [np.sqrt((x[i - 42 : i] ** 2).mean(0)) for i in range(42, steps + 1, 42)]
    spread = x[29::30][:, ::-1].std(-1)
    contrast = [(x[i - 21 : i, 0] @ [1.0, -2.0, 0.5]).mean() for i in range(21, steps + 1, 21)]
    return {"rms": rms, "spread": spread, "contrast": contrast}


@pytest.mark.slow
@pytest.mark.once
def test_own_monitors_equal_numpy_wherever_a_run_is_cut(rounding):
    found = in_parts(OWN, DT * 37, DT * 378, DT * 5)
    for name, expected in own_expected(420).items():
        values, times = found[name]
        np.testing.assert_allclose(values, expected, rtol=5 * rounding, atol=2 * rounding, err_msg=name)
        np.testing.assert_allclose(times, OWN[name].period * np.arange(1, len(expected) + 1))


@pytest.mark.parametrize("name", ["rms", "spread", "contrast"])
def test_own_monitors_alone(name, rounding):
    """Without company a window is as long as a tick can be: many whole periods at once."""
    values = gx.simulate(NET, duration=DT * 840, dt=DT, monitors=OWN[name])["monitor"].values
    np.testing.assert_allclose(values, own_expected(840)[name], rtol=5 * rounding, atol=2 * rounding)


@pytest.mark.slow
def test_own_monitors_have_labels_and_gradients(rounding):
    run = gx.simulate(NET, duration=210.0, dt=DT, monitors=OWN)
    assert run["spread"].to_xarray().dims == ("time", "state")
    assert list(run["spread"].to_xarray()["state"].values) == ["ramp", "drive"]
    assert run["contrast"].to_xarray().dims == ("time",)

    @jax.jit
    def value(weights):
        monitor = Contrast(source="drive", period=10.5, weights=weights)
        return gx.simulate(NET, duration=21.0, dt=DT, monitors=monitor)["monitor"].values.sum()

    means = drive(DT * np.arange(1, 43)).reshape(2, 21, 3).mean(1).sum(0)
    np.testing.assert_allclose(jax.grad(value)(jnp.ones(3)), means, rtol=10 * rounding)


@pytest.mark.slow
def test_a_monitor_keeps_its_samples_in_any_batch(rounding):
    monitors = {"mean": TemporalAverage(period=10.5), "rms": OWN["rms"]}
    starts = np.arange(12.0).reshape(2, 2, 3)
    simulate = lambda start: gx.simulate(NET, duration=63.0, dt=DT, monitors=monitors, start=start)  # noqa: E731
    together = jax.vmap(simulate)(jnp.asarray(starts))
    for i, start in enumerate(starts):
        for name in monitors:
            np.testing.assert_allclose(together[name].values[i], simulate(start)[name].values, rtol=rounding)


@pytest.mark.parametrize("period", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("monitor", [Subsample, TemporalAverage, Balloon, HRFBold, RootMeanSquare])
def test_a_period_is_positive(monitor, period):
    with pytest.raises(ValueError, match=f"{monitor.__name__} needs a positive period in ms, got {period}"):
        monitor(source="S", period=period)


@pytest.mark.parametrize("source", [(), ("t", "t"), (1,)])
def test_sources_are_names_that_differ(source):
    with pytest.raises(TypeError, match="expected a name or several that differ"):
        Subsample(source=source, period=1.0)


@pytest.mark.once
def test_a_source_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"monitor 'x' reads 'drvie', but Clock has the states .* outputs"):
        gx.simulate(NET, duration=5.0, dt=DT, monitors={"x": Subsample(source=("t", "drvie"), period=1.0)})


def test_a_monitor_tells_what_it_is():
    assert repr(TemporalAverage(source="S", period=10.0)) == "TemporalAverage(source=('S',), period=10.0)"
    assert "kappa=0.7 1/s" in repr(Balloon(source="S", period=720.0, kappa=0.7))
    assert Clock.outputs == ("drive", "quiet")


def test_an_average_over_many_pieces_loses_nothing():
    """As of a run of hours: 50 000 pieces of one average, in float32 too."""
    pieces = 50_000
    values = jnp.asarray(0.1 + 1e-3 * np.random.default_rng(0).normal(size=(pieces, 1, 1, 1)), float)

    @jax.jit
    def run(values):
        def piece(state, x):
            path, step = x
            window = Window(path, path[0], step, step, None, 1.0, pieces, held=True)
            return window.averages(state)

        state, means = jax.lax.scan(piece, Window.nothing(values[0, 0]), (values, jnp.arange(1, pieces + 1)))
        return state, means[-1]

    state, mean = run(values)
    np.testing.assert_allclose(np.asarray(mean, float).item(), np.asarray(values, float).mean(), rtol=2e-7)
    assert not np.asarray(state).any()
