"""What a run leaves behind: times to the last digit, labels, files, and words about what went wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import gyrax as gx
from gyrax.monitors import Balloon, Raw, Subsample, TemporalAverage
from toys import LABELS, clock

NET = clock()
MONITORS = {"mean": TemporalAverage(period=2.0), "bold": Balloon(source="drive", period=5.0)}


def recording(values, first=1, period=1.0, dt=1.0, stamp=0.0, dims=("time", "region"), source=("S",), labels=LABELS):
    return gx.Recording(jnp.asarray(values), jnp.array(first), period, dt, stamp, dims, source, labels)


@pytest.fixture(scope="module")
def run():
    return gx.simulate(NET, duration=10.0, dt=0.5, monitors=MONITORS)


def test_times_of_long_runs_keep_their_digits():
    """At 60 s in steps of 0.1 ms float32 knows 4 microseconds; times added up step by step would be off by more."""
    late = recording(np.zeros((50, 3)), first=600_001, period=0.1, dt=0.1)
    assert late.times.dtype == np.float64
    np.testing.assert_allclose(late.times, (600_001 + np.arange(50)) / 10, rtol=0, atol=1e-9)
    average = recording(np.zeros((3, 3)), first=36_007_200, period=720.0, dt=0.1, stamp=360.0)  # after an hour
    np.testing.assert_allclose(average.times, 3_600_720.0 + 720.0 * np.arange(3) - 360.0, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(average.to_xarray()["time"], average.times)
    assert average.to_xarray()["time"].dtype == np.float64


def test_times_of_a_run_that_goes_on_late():
    monitors = {"every": Subsample(period=0.5), "raw": gx.monitors.Raw()}  # or it would record nothing
    start = gx.simulate(NET, duration=0.1, dt=0.1, monitors=monitors).final
    start = gx.Final(
        start.y, start.history, start.monitors, jnp.array(600_001, jnp.int32), None, 0.1, start.phases, start.kinds
    )
    run = gx.simulate(NET, duration=2.4, dt=0.1, monitors={"every": Subsample(period=0.5)}, start=start)
    np.testing.assert_allclose(run["every"].times, 60_000.5 + 0.5 * np.arange(5), rtol=0, atol=1e-9)
    assert int(run.final.step) == 600_025


def test_a_recording_becomes_a_labelled_array(run):
    mean, bold = run["mean"].to_xarray(), run["bold"].to_xarray()
    assert mean.dims == ("time", "state", "region") and bold.dims == ("time", "region")
    assert mean.shape == (5, 2, 3) and bold.shape == (2, 3)
    np.testing.assert_allclose(mean["time"], [1.0, 3.0, 5.0, 7.0, 9.0])
    np.testing.assert_allclose(bold["time"], [5.0, 10.0])
    assert list(mean["state"].values) == ["t", "ramp"] and "state" not in bold.coords
    assert list(mean["region"].values) == list(bold["region"].values) == list(LABELS)
    assert mean["time"].attrs == {"units": "ms"}
    assert mean.attrs == {"period_ms": 2.0, "dt_ms": 0.5}
    np.testing.assert_array_equal(mean.sel(state="ramp", region="B"), run["mean"].values[:, 1, 1])


def test_an_axis_that_is_no_list_of_regions_gets_no_labels():
    lead = recording(np.zeros((4, 7)), dims=("time", "region"))  # seven electrodes, three regions
    assert "region" not in lead.to_xarray().coords
    other = recording(np.zeros((4, 3)), dims=("time", "sensor"))
    assert set(other.to_xarray().coords) == {"time"}


@pytest.mark.slow
def test_ensembles_have_runs_in_front_and_one_time():
    starts = jnp.asarray(np.arange(24.0).reshape(2, 2, 2, 3)[:, :1].repeat(4, 1))
    simulate = lambda start: gx.simulate(NET, duration=10.0, dt=0.5, monitors=MONITORS, start=start)  # noqa: E731
    one = jax.vmap(simulate)(starts[0])
    two = jax.vmap(jax.vmap(simulate))(starts)
    assert one["mean"].to_xarray().dims == ("run", "time", "state", "region")
    assert one["mean"].to_xarray().shape == (4, 5, 2, 3)
    assert two["mean"].to_xarray().dims == ("run", "run_1", "time", "state", "region")
    assert list(two["bold"].to_xarray()["region"].values) == list(LABELS)
    for many in (one, two):
        np.testing.assert_allclose(many["mean"].times, [1.0, 3.0, 5.0, 7.0, 9.0])
        np.testing.assert_allclose(many["mean"].to_xarray()["time"], many["mean"].times)
    assert repr(one["mean"]) == "Recording(run: 4, time: 5, state: 2, region: 3; t, ramp every 2 ms)"
    assert one.finite and one.failure == ""


def test_a_batch_of_one_keeps_its_times():
    one = jax.vmap(lambda s: gx.simulate(NET, duration=10.0, dt=0.5, monitors=MONITORS, start=s))(jnp.zeros((1, 2, 3)))
    np.testing.assert_allclose(one["bold"].times, [5.0, 10.0])


def test_a_file_gives_back_what_was_written(run, tmp_path):
    for name in MONITORS:
        data = run[name].to_xarray()
        data.to_netcdf(tmp_path / f"{name}.nc", engine="scipy")
        with xr.open_dataarray(tmp_path / f"{name}.nc", engine="scipy") as back:
            xr.testing.assert_identical(back.load().rename(None), data)
            assert back["time"].attrs["units"] == "ms" and back["time"].dtype == np.float64
            assert back.dtype == data.dtype


def test_a_recording_and_a_run_tell_what_they_hold(run):
    assert repr(run["mean"]) == "Recording(time: 5, state: 2, region: 3; t, ramp every 2 ms)"
    assert repr(run["bold"]) == "Recording(time: 2, region: 3; drive every 5 ms)"
    lines = repr(run).split("\n")
    assert lines[0] == "Run of 10 ms in 20 steps"
    assert lines[1:] == [f"  bold      {run['bold']!r}", f"  mean      {run['mean']!r}"]  # JAX sorts
    assert repr(run.final) == "Final(state (2, 3) at 10 ms, monitors: bold, mean)"


def test_a_name_that_is_not_there_is_answered_with_those_that_are(run):
    with pytest.raises(KeyError, match="no recording 'fmri'; this run has bold, mean"):
        run["fmri"]
    with pytest.raises(KeyError, match="no recording 'raw'; this run has none"):
        gx.simulate(NET, duration=1.0, dt=0.5, monitors={})["raw"]


def test_a_recording_goes_through_jit(run):
    doubled = jax.jit(lambda r: jax.tree.map(lambda x: 2 * x, r))(run["mean"])
    np.testing.assert_array_equal(doubled.values, 2 * np.asarray(run["mean"].values))
    shown = []
    jax.jit(lambda r: shown.append(repr(r)) or r.final.y)(run)
    assert shown[0].startswith("Run of 10 ms") and "NOT FINITE" not in shown[0]


#: Where a run ended does not matter here.
FINAL = gx.simulate(NET, duration=0.1, dt=0.1, monitors={}).final


def failed(at, labels=LABELS):
    return gx.Run({}, FINAL, jnp.asarray(at, jnp.int32), 0.5, 400, tuple(labels))


def test_a_failure_says_when_and_where():
    assert failed([-1, -1, -1]).finite and failed([-1, -1, -1]).failure == ""
    run = failed([130, 120, 120])
    assert not run.finite
    assert run.failure.startswith("a state is not finite from 60 ms on, first in B, C: take a smaller dt")
    assert repr(run) == f"Run of 200 ms in 400 steps\n  NOT FINITE: {run.failure}"
    assert "from 60 ms on, first in A:" in failed([120, -1, 130]).failure
    many = failed([7] * 8 + [9], "ABCDEFGHI").failure
    assert "from 3.5 ms on, first in A, B, C, D, E and 3 more: take" in many


def test_a_failure_in_an_ensemble_is_the_first_of_all_runs():
    run = jax.vmap(failed)(jnp.array([[-1, 140, -1], [-1, -1, -1], [-1, 150, 120]]))
    assert not run.finite
    assert "from 60 ms on, first in C:" in run.failure


def test_a_start_that_is_not_finite_is_found_at_once():
    start = jnp.array([[0.0, np.nan, 0.0], [0.0, 0.0, 0.0]])
    run = jax.jit(lambda start: gx.simulate(NET, duration=2.0, dt=0.5, start=start, monitors={"raw": Raw()}))(start)
    assert run.failure.startswith("a state is not finite from 0 ms on, first in B")
    for known in (start, np.asarray(start)):
        with pytest.raises(ValueError, match=r"start\[0, 1\] is nan"):
            gx.simulate(NET, duration=2.0, dt=0.5, start=known)
    assert np.isnan(run["raw"].values[:, 0, 1]).all() and np.isfinite(np.asarray(run["raw"].values)[:, :, [0, 2]]).all()


def test_after_is_what_a_later_look_at_the_run_would_be(run):
    bold, mean = run["bold"].after(5.0), run["mean"].after(4.0)
    np.testing.assert_array_equal(bold.values, run["bold"].values[1:])
    np.testing.assert_allclose(bold.times, [10.0])
    np.testing.assert_allclose(mean.times, [5.0, 7.0, 9.0])
    np.testing.assert_array_equal(run["mean"].after(0.0).values, run["mean"].values)
    xr.testing.assert_equal(mean.to_xarray(), run["mean"].to_xarray().isel(time=slice(2, None)))


@pytest.mark.slow
def test_after_under_vmap_and_jit(key):
    def late(key):
        return gx.simulate(NET, duration=10.0, dt=0.5, monitors=MONITORS, key=key)["mean"].after(6.0)

    both = jax.vmap(late)(jax.random.split(key, 2))
    assert both.values.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(both.times, [7.0, 9.0])
    whole = jax.vmap(lambda k: gx.simulate(NET, 10.0, 0.5, monitors=MONITORS, key=k)["mean"])(jax.random.split(key, 2))
    np.testing.assert_array_equal(whole.after(6.0).values, both.values)


@pytest.mark.once
@pytest.mark.parametrize(
    ("duration", "message"),
    [
        (3.0, "3.0 ms is no multiple of the period of 2 ms: take 2 or 4 ms"),
        (-2.0, "-2.0 ms is no multiple"),
        (10.0, "nothing is left after 10 ms: the recording is 10 ms long"),
    ],
)
def test_after_what_does_not_fit(duration, message, run):
    with pytest.raises(ValueError, match=message):
        run["mean"].after(duration)
