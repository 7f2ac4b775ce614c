"""Monitors of monitors, averages over nodes, and what reaches the inputs: against NumPy on the raw activity."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_monitors import DT, Contrast, in_parts, ramps

import gyrax as gx
from gyrax.monitors import (
    AfferentCoupling,
    Balloon,
    GlobalAverage,
    HRFBold,
    Raw,
    SpatialAverage,
    Subsample,
    TemporalAverage,
)
from toys import LABELS, clock, drive

SINGLE = jnp.result_type(float) == jnp.float32
NET = clock()


@pytest.mark.slow
@pytest.mark.once
@settings(max_examples=4, phases=[Phase.generate])
@given(st.integers(1, 24), st.integers(1, 6), st.integers(0, 150), st.integers(1, 150))
def test_chains_of_averages_of_ramps_are_exact_wherever_a_run_is_cut(first, times, more, two):
    """An average of averages is the average; a sample of averages is the last; an average of samples of a ramp is exact."""
    p, q, one = first * DT, first * times * DT, first * times + more  # what begins records something
    monitors = {
        "average": TemporalAverage(period=p).then(TemporalAverage(period=q)),
        "last": TemporalAverage(period=p).then(Subsample(period=q)),
        "sampled": Subsample(period=p).then(TemporalAverage(period=q)),
        "thrice": Subsample(period=p).then(Subsample(period=p)).then(TemporalAverage(period=q)),
    }
    found = in_parts(monitors, one * DT, two * DT)
    ends = np.arange(1, (one + two) // (first * times) + 1) * q
    middles = {"average": ends - q / 2, "last": ends - p / 2, "sampled": ends - q / 2, "thrice": ends - q / 2}
    for name, at in middles.items():
        np.testing.assert_allclose(found[name][1], at, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(found[name][0], ramps(at), rtol=2e-5 if SINGLE else 1e-11, err_msg=name)


@pytest.mark.slow
def test_a_balloon_hears_of_a_mean_what_it_would_of_the_mean_itself():
    """Three equal nodes in a group: their mean drives the vessels as each of them does."""
    net = gx.Network(gx.models.WongWang(w=0.9), gx.couplings.Linear(source="S"), gx.Connectome(np.zeros((4, 4))))
    start = np.array([[0.1, 0.1, 0.1, 0.3]])
    group = SpatialAverage([0, 0, 0, 1], labels=["same", "other"], source="S", period=2.0)
    monitors = {
        "balloon": Balloon(source="S", period=400.0),
        "balloon of means": group.then(Balloon(period=400.0)),
        "hrf": HRFBold(source="S", period=400.0),
        "hrf of means": group.then(HRFBold(period=400.0)),
    }
    run = gx.simulate(net, duration=4000.0, dt=2.0, monitors=monitors, start=start)
    for name in ("balloon", "hrf"):
        chained, expected = run[f"{name} of means"], np.asarray(run[name].values)[:, [0, 3]]
        assert chained.labels == ("same", "other") and chained.times.tolist() == run[name].times.tolist()
        assert np.ptp(expected) > 1e-3
        # trapezoids of every second step in place of every step
        np.testing.assert_allclose(chained.values, expected, rtol=0, atol=2e-6)


@pytest.mark.slow
def test_an_average_before_the_balloon_keeps_its_time(rounding):
    """Held values are not joined by lines, which would be late by half a period: against averages by hand."""
    run = gx.simulate(
        NET,
        duration=6000.0,
        dt=4.0,
        monitors={
            "chain": TemporalAverage(source="drive", period=20.0).then(Balloon(period=1000.0)),
            "plain": Balloon(source="drive", period=1000.0),
        },
    )
    np.testing.assert_allclose(run["chain"].values, run["plain"].values, rtol=0, atol=rounding / 10)


@pytest.mark.slow
@pytest.mark.once
def test_periods_that_do_not_fit_each_other(rounding):
    """Chains beside other monitors with periods without a common divisor, each as it would be alone."""
    monitors = {
        "a": TemporalAverage(source="drive", period=3.5).then(Subsample(period=21.0)),
        "b": Subsample(source=("drive", "t"), period=5.5),
        "c": GlobalAverage(period=2.5).then(TemporalAverage(period=12.5)),
        "d": TemporalAverage(source="drive", period=1.5).then(Balloon(period=60.0)),
    }
    together = gx.simulate(NET, duration=150.0, dt=DT, monitors=monitors)
    for name, monitor in monitors.items():
        alone = gx.simulate(NET, duration=150.0, dt=DT, monitors=monitor)["monitor"]
        np.testing.assert_allclose(together[name].values, alone.values, rtol=rounding, atol=rounding)
        np.testing.assert_array_equal(together[name].times, alone.times)


@pytest.mark.slow
def test_means_over_nodes(rounding):
    monitors = {
        "all": GlobalAverage(period=5.0),
        "groups": SpatialAverage([1, 0, 1], labels=["b", "ac"], source=("ramp", "t"), period=5.0),
        "mask": SpatialAverage([True, False, True], labels=["ac"], period=5.0),
        "some": SpatialAverage([-1, 0, -1], period=5.0),
    }
    run = gx.simulate(NET, duration=30.0, dt=DT, monitors=monitors)
    x = ramps(5.0 * np.arange(1, 7))
    np.testing.assert_allclose(run["all"].values[..., 0], x.mean(-1), rtol=rounding)
    expected = np.stack([x[:, ::-1, 1], (x[:, ::-1, 0] + x[:, ::-1, 2]) / 2], -1)
    np.testing.assert_allclose(run["groups"].values, expected, rtol=rounding)
    np.testing.assert_allclose(run["mask"].values[..., 0], (x[..., 0] + x[..., 2]) / 2, rtol=rounding)
    np.testing.assert_allclose(run["some"].values[..., 0], x[..., 1], rtol=rounding)
    assert list(run["groups"].to_xarray()["region"].values) == ["b", "ac"]
    assert list(run["all"].to_xarray()["region"].values) == ["mean"]
    assert run["some"].labels == ("group_0",)


@pytest.mark.slow
def test_a_surface_is_averaged_over_its_regions(rounding):
    surface = gx.Surface([0, 2, 1, 0, 2, 0])
    connectome = gx.Connectome(np.ones((3, 3)), labels=list(LABELS))
    net = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), connectome, surface=surface)
    start = np.random.default_rng(0).normal(0, 0.1, (2, 6))
    monitors = {"raw": Raw(), "regions": SpatialAverage(surface, labels=LABELS, period=1.0)}
    run = gx.simulate(net, duration=10.0, dt=1.0, monitors=monitors, start=start)
    raw = np.asarray(run["raw"].values)
    expected = np.stack([raw[..., [0, 3, 5]].mean(-1), raw[..., 2], raw[..., [1, 4]].mean(-1)], -1)
    np.testing.assert_allclose(run["regions"].values, expected, rtol=rounding, atol=rounding)
    assert run["raw"].to_xarray().dims == ("time", "state", "vertex")
    assert list(run["raw"].to_xarray()["vertex"].values) == list(surface.labels)
    assert list(run["regions"].to_xarray()["region"].values) == list(LABELS)


# What reaches the inputs.


def networks(connectome):
    linear = gx.couplings.Linear(source="S", strength=0.3)
    own = gx.couplings.Difference(source="S", strength=0.2, weights=np.asarray(connectome.weights) ** 2)
    return {
        "at once": gx.Network(gx.models.WongWang(), {"a": linear, "b": own}, connectome),
        "delayed": gx.Network(gx.models.WongWang(), {"a": linear, "b": own}, connectome, gx.Delay(3.0)),
        "interpolated": gx.Network(gx.models.WongWang(), linear, connectome, gx.Delay(3.0, interpolation="linear")),
    }


def afferent(net, raw, start, dt):
    """Sums over all connections at every step, one by one."""
    path = np.concatenate([start[:1], np.asarray(raw, float)[:, 0]])
    w, n = np.asarray(net.connectome.weights, float), len(path)
    lags = np.zeros_like(w)
    if net.delay is not None:
        lags = np.asarray(net.connectome.lengths, float) / 3.0 / dt
        if net.delay.interpolation == "nearest":
            lags = np.round(lags)
    total = np.zeros_like(path)
    for name, coupling in net.couplings.items():
        weights = w if name != "b" else w**2
        for t in range(n):
            for i in range(len(w)):
                for j in range(len(w)):
                    if weights[i, j] == 0:
                        continue
                    at = max(t - lags[i, j], 0.0)
                    before = int(np.floor(at))
                    heard = path[before, j] + (at - before) * (path[min(before + 1, n - 1), j] - path[before, j])
                    own = path[t, i] if name == "b" else 0.0
                    total[t, i] += float(coupling.strength) * weights[i, j] * (heard - own)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["at once", "delayed", "interpolated"])
def test_afferent_coupling_is_the_sum_over_connections(kind, small_connectome, rounding):
    net, start = networks(small_connectome)[kind], np.linspace(0.1, 0.6, 5)[None]
    monitors = {
        "raw": Raw(),
        "in": AfferentCoupling(period=1.0),
        "mean": AfferentCoupling(source="c", period=1.0).then(TemporalAverage(period=4.0)),
    }
    run = gx.simulate(net, duration=32.0, dt=1.0, monitors=monitors, start=start)
    expected = afferent(net, run["raw"].values, start, 1.0)
    np.testing.assert_allclose(run["in"].values[:, 0], expected[1:], rtol=5 * rounding, atol=rounding)
    trapezoids = (expected[:-1] + expected[1:]) / 2
    np.testing.assert_allclose(
        run["mean"].values[:, 0], trapezoids.reshape(8, 4, 5).mean(1), rtol=5 * rounding, atol=rounding
    )
    assert run["in"].source == ("c",) and run["in"].dims == ("time", "state", "region")
    one = gx.simulate(net, duration=13.0, dt=1.0, monitors=monitors, start=start)
    two = gx.simulate(net, duration=19.0, dt=1.0, monitors=monitors, start=one.final)
    for name in monitors:
        parts = np.concatenate([one[name].values, two[name].values])
        np.testing.assert_allclose(parts, run[name].values, rtol=rounding, atol=rounding)


@pytest.mark.slow
def test_afferent_coupling_with_controlled_steps(small_connectome):
    """Where sums from before the window are kept too: what the fixed steps hear, but for the solvers' errors."""
    net, start = networks(small_connectome)["interpolated"], np.linspace(0.1, 0.6, 5)[None]
    steps = dict(stepsize_controller=dfx.PIDController(1e-6, 1e-8), solver=dfx.Tsit5())
    for_both = dict(monitors=AfferentCoupling(period=2.0), start=start)
    fixed, controlled = (gx.simulate(net, 24.0, 0.5, **for_both, **how)["monitor"].values for how in ({}, steps))
    assert np.ptp(fixed) > 0.1
    np.testing.assert_allclose(controlled, fixed, rtol=1e-4)


def test_afferent_coupling_of_a_surface(rounding):
    """A vertex hears what its region hears, and its neighbours."""
    near = gx.couplings.Linear(source="S", strength=0.2, weights=gx.Sparse(np.eye(4, k=1)))
    far = gx.couplings.Linear(source="S", strength=0.5)
    regions = gx.Connectome([[0.0, 1.0], [2.0, 0.0]])
    net = gx.Network(gx.models.WongWang(), {"near": near, "far": far}, regions, surface=gx.Surface([0, 0, 1, 1]))
    start = np.array([[0.1, 0.2, 0.3, 0.5]])
    run = gx.simulate(net, 5.0, 1.0, monitors={"raw": Raw(), "in": AfferentCoupling(period=1.0)}, start=start)
    raw = np.asarray(run["raw"].values)[:, 0]
    first, second = raw[:, :2].mean(1), raw[:, 2:].mean(1)
    heard = np.stack([1.0 * second, 1.0 * second, 2.0 * first, 2.0 * first], 1) * 0.5
    heard[:, :3] += 0.2 * raw[:, 1:]
    np.testing.assert_allclose(run["in"].values[:, 0], heard, rtol=5 * rounding)
    assert run["in"].channel == "vertex"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("at once", marks=pytest.mark.long), "delayed"])
def test_gradients_of_afferent_coupling(kind, small_connectome):
    """By the hand-written adjoint: against forward mode for every weight and parameter, and against differences."""
    net = networks(small_connectome)[kind]

    def value(scale, weights, autodiff="reverse"):
        changed = gx.Network(
            gx.models.WongWang(w=0.6 * scale),
            {"a": gx.couplings.Linear(source="S", strength=0.3 * scale), "b": net.couplings["b"]},
            gx.Connectome(weights, small_connectome.lengths),
            None if net.delay is None else gx.Delay(3.0, bounds=net.delay.bounds),
        )
        monitors = {
            "in": AfferentCoupling(period=2.0).then(TemporalAverage(period=8.0)),
            "S": TemporalAverage(period=8.0),
        }
        run = gx.simulate(
            changed, 24.0, 1.0, monitors=monitors, start=np.linspace(0.1, 0.6, 5)[None], autodiff=autodiff
        )
        return jnp.sum(run["in"].values ** 2) * 1e2 + run["S"].values.sum()

    weights = small_connectome.weights
    slopes, each = jax.jit(jax.grad(value, (0, 1)))(jnp.ones(()), weights)
    forward = jax.jit(lambda s, w: jax.jvp(lambda s: value(s, weights, "forward"), (s,), (jnp.ones(()),))[1])
    tolerance = 2e-4 if SINGLE else 1e-9
    np.testing.assert_allclose(slopes, forward(jnp.ones(()), weights), rtol=tolerance)
    direction = jnp.asarray(np.random.default_rng(1).uniform(0.5, 1, weights.shape)) * (weights != 0)
    along = jax.jit(lambda h: value(jnp.ones(()), weights + h * direction))
    h = 1e-2 if SINGLE else 1e-5
    numeric = (along(h) - along(-h)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(each, direction), numeric, rtol=5e-3 if SINGLE else 1e-6)


@pytest.mark.slow
def test_a_batch_of_chains_is_each_of_them(small_connectome, rounding):
    net = networks(small_connectome)["delayed"]
    monitors = {"in": AfferentCoupling(period=1.0).then(GlobalAverage(period=2.0)).then(Balloon(period=10.0))}
    simulate = lambda start: gx.simulate(net, 40.0, 1.0, monitors=monitors, start=start)["in"].values  # noqa: E731
    starts = jnp.asarray(np.random.default_rng(2).uniform(0, 0.5, (3, 1, 5)))
    together = jax.vmap(simulate)(starts)
    for i in range(3):
        np.testing.assert_allclose(together[i], simulate(starts[i]), rtol=100 * rounding, atol=rounding / 10)


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Raw().then(Subsample(period=2.0)), "Raw has no period: Subsample"),
        (lambda: Subsample(period=2.0).then(Raw()), "Raw has no period"),
        (
            lambda: Subsample(period=2.0).then(Balloon(period=3.0)),
            "Balloon samples every 3 ms what Subsample says every 2 ms: its period must be a multiple",
        ),
        (lambda: Subsample(period=2.0).then(TemporalAverage(source="x", period=4.0)), r"not to source=\('x',\): leave it out"),
        (
            lambda: Contrast(period=2.0, weights=np.ones(3)).then(Subsample(period=4.0)),
            "Contrast says one number at a time: Subsample listens to",
        ),
        (lambda: SpatialAverage([0, 2], period=1.0), "no node is in group 1: count them without gaps"),
        (lambda: SpatialAverage([0, 1], ["a"], period=1.0), "there are 2 groups and 1 labels"),
        (lambda: SpatialAverage([0.5], period=1.0), "whole numbers from 0 on and -1 for none, .* got float64"),
        (lambda: SpatialAverage([False, False], period=1.0), "with some of them True"),
        (lambda: gx.simulate(NET, 4.0, DT, monitors=SpatialAverage([0, 1], period=1.0)), "monitor 'monitor' does not fit the network: groups are of 2 nodes, but there are 3"),
        (lambda: gx.simulate(NET, 4.0, DT, monitors=AfferentCoupling(source="t", period=1.0)), r"reads 't', but Clock has the inputs \('c',\)"),
        (
            lambda: gx.simulate(NET, 6.0, DT, monitors=Subsample(period=0.75).then(Subsample(period=1.5))),
            "the period of Subsample is 0.75 ms, no whole number of steps of 0.5 ms",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_chain_tells_what_it_is_and_keeps_to_it():
    chain = GlobalAverage(source="t", period=1.0).then(Balloon(period=5.0))
    assert repr(chain).startswith("GlobalAverage(source=('t',), period=1.0).then(Balloon(")
    final = gx.simulate(NET, 5.0, DT, monitors={"x": chain}).final
    other = GlobalAverage(source="t", period=2.5).then(Balloon(period=5.0))
    with pytest.raises(
        ValueError, match="monitor 'x' was Balloon of GlobalAverage every 1 ms of t every 5 ms in the run"
    ):
        gx.simulate(NET, 4.0, DT, monitors={"x": other}, start=final)
    assert np.isclose(drive([0.0])[0, 0], 0.15 * np.sin(0.3) + 0.06 * np.sin(1.1) + 0.03 * np.sin(2.0))
