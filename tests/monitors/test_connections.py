"""What connections have become: matrices, means over groups, names, periods and gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from conftest import DOUBLE
from living import DT, START, Both, N, drawn, hebb, listens, markram, network, one_each, recorded

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("compiled_fast")]
CLOSE = dict(rtol=1e-12) if DOUBLE else dict(rtol=1e-5)
Connections = gx.monitors.Connections
GROUPS = {"left": ["b", "a"], "right": ["d", "f"], "alone": ["e"]}


def plastic(density=0.5):
    return network({"z": markram(), "b": hebb()}, "nearest", density)


@pytest.fixture(scope="module")
def found():
    monitors = {
        "all": Connections(source=("z.u", "z.R"), period=1.0),
        "late": Connections(source="w", period=2.5),
        "means": Connections(source=("R", "u"), period=1.0, groups=GROUPS),
    }
    return plastic(), gx.simulate(plastic(), 10.0, DT, start=START, monitors=monitors)


def test_samples_are_matrices_with_names(found):
    net, run = found
    x = run["all"].to_xarray()
    assert x.dims == ("time", "state", "target", "source") and x.sizes["time"] == 10
    assert list(x.state.values) == ["z.u", "z.R"] and list(x.source.values) == list("abcdef") == list(x.target.values)
    np.testing.assert_allclose(x.time, np.arange(1.0, 11.0))
    np.testing.assert_array_equal(np.isnan(x.values[0, 0]), np.asarray(net.connectome.weights) == 0)
    np.testing.assert_allclose(run["late"].times, [2.5, 5, 7.5, 10])
    assert run["late"].source == ("b.w",)
    whole = recorded(gx.simulate(net, 10.0, DT, start=START, monitors=listens(net, DT)))
    np.testing.assert_allclose(x.values[:, 0], whole["z.u"][1::2], **CLOSE)
    np.testing.assert_allclose(run["late"].values[:, 0], whole["b.w"][4::5], **CLOSE)


def test_regions_are_chosen_on_both_sides(found):
    _, run = found
    few = run["all"].for_regions(["e", "b"])
    np.testing.assert_array_equal(few.values, np.asarray(run["all"].values)[..., [4, 1], :][..., [4, 1]])
    assert few.labels == ("e", "b")


def test_means_over_groups_are_loops(found):
    net, run = found
    each, means = np.asarray(run["all"].values), run["means"]
    assert means.labels == tuple(GROUPS) and means.values.shape == (10, 2, 3, 3)
    assert list(means.to_xarray().target.values) == list(GROUPS)
    for a, to in enumerate(GROUPS.values()):
        for b, of in enumerate(GROUPS.values()):
            at = np.ix_([net.labels.index(i) for i in to], [net.labels.index(j) for j in of])
            for state, other in ((0, 1), (1, 0)):
                values = each[-1, other][at]
                values = values[~np.isnan(values)]
                expected = values.mean() if values.size else np.nan
                np.testing.assert_allclose(means.values[-1, state, a, b], expected, **CLOSE)
    assert np.isnan(means.values[-1, 0, 2, 2]) and not np.isnan(means.values[-1, 0, 0, 1])


@pytest.mark.slow("float64")
def test_gradients_of_means_pass_what_is_not_there_by():
    net = network(hebb(), density=0.5)

    @eqx.filter_jit
    def last(w, groups):
        there = eqx.tree_at(lambda n: n.coupling.w, net, w)
        monitor = {"w": Connections(period=5.0, groups=groups)}
        return jnp.nansum(gx.simulate(there, 5.0, DT, start=START, monitors=monitor)["w"].values ** 2)

    w, way = net.coupling.w, np.random.default_rng(0).normal(size=(N, N))
    for groups in (None, GROUPS):
        slope = jnp.vdot(jax.grad(last)(w, groups), way)
        ahead, back = last(w + 1e-5 * way, groups), last(w - 1e-5 * way, groups)
        assert np.isfinite(slope) and float(slope) == pytest.approx(float(ahead - back) / 2e-5, rel=1e-7)


def test_a_state_that_is_no_number_is_not_averaged_away():
    """What a run has lost is not passed over as a connection that is not there."""

    class Lost(gx.AbstractPairCoupling):
        edge_states = ("w",)
        w: gx.Array = gx.parameter(1.0)

        def message(self, x_source, x_target):
            return 0 * x_source

        def edge_drift(self, x_source, x_target, w):
            return {"w": jnp.sqrt(x_source[0] - 1)}  # no number for those below

    net = network(Lost(source="x"), density=0.9)
    monitors = {"w": Connections(period=DT), "means": Connections(period=DT, groups={"all": list("abcdef")})}
    with pytest.warns(RuntimeWarning, match="not finite"):
        run = gx.simulate(net, 2.0, DT, start=START, monitors=monitors)
    assert np.isnan(run["means"].values[0, 0, 0, 0])
    assert not run.finite


def test_side_by_side():
    net = plastic()
    monitors = {"w": Connections(source="w", period=5.0), "m": Connections(source="R", period=5.0, groups=GROUPS)}
    starts = jnp.stack([START, 2 * START])
    many = jax.vmap(lambda start: gx.simulate(net, 5.0, DT, start=start, monitors=monitors))(starts)
    for k, start in enumerate(starts):
        one = gx.simulate(net, 5.0, DT, start=start, monitors=monitors)
        for name in monitors:
            np.testing.assert_allclose(many[name].values[k], one[name].values, rtol=1e-10)
    assert many["w"].to_xarray().dims == ("run", "time", "state", "target", "source")


def test_an_instrument_may_add_noise():
    net, quiet = plastic(), Connections(source="w", period=1.0)
    noisy = gx.monitors.ObservationNoise(quiet, sigma=1e-3)
    run = gx.simulate(net, 5.0, DT, start=START, monitors={"quiet": quiet, "noisy": noisy}, key=jax.random.key(0))
    assert run["noisy"].source == ("b.w",) and run["noisy"].dims == run["quiet"].dims
    apart = np.asarray(run["noisy"].values - run["quiet"].values)
    assert 0.5e-3 < np.nanstd(apart) < 2e-3
    np.testing.assert_array_equal(np.isnan(apart[0, 0]), np.asarray(net.connectome.weights) == 0)


def heard(monitor, net=None):
    return gx.simulate(net or plastic(), 5.0, DT, start=START, monitors={"it": monitor})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, r"b\.w are of more than one coupling: give each coupling a monitor of its own, source=\(\"z\.R\",\)"),
        (("R", "w"), r"z\.R, b\.w are of more than one coupling"),
        ("q", r"'q' is no state of connections: there are z\.R, z\.u, b\.w"),
        ("x", r"'x' is no state of connections"),
        (("R", "z.R"), r"R, z\.R name z\.R twice"),
    ],
)
def test_names_that_mean_nothing_or_too_much_are_refused(source, words):
    with pytest.raises(ValueError, match="monitor 'it': .*" + words):
        heard(Connections(source=source, period=1.0))


def test_other_networks_are_refused():
    two = network({"a": hebb(), "b": Both(source="x")})
    with pytest.raises(ValueError, match=r"'w' means a\.w and b\.w: there are a\.w, b\.w, b\.trace"):
        heard(Connections(source="w", period=1.0), two)
    assert heard(Connections(source="b.w", period=1.0), two)["it"].source == ("b.w",)
    assert two.edge_states(("trace",)) == {"b.trace": ("b", "trace")}
    none = network(gx.plasticity.TsodyksMarkramSources(source="x"))
    with pytest.raises(ValueError, match=r"have no states of their own: see gx\.plasticity"):
        heard(Connections(period=1.0), none)
    with pytest.raises(ValueError, match="have no states of their own"):
        none.edge_states()


@pytest.mark.parametrize(
    ("groups", "kind", "words"),
    [
        ([["a"], ["b"]], TypeError, "groups is a dict of lists of labels"),
        ({"left": "ab"}, TypeError, "group 'left' is a list of labels of regions, got 'ab'"),
        ({"left": [1, 2]}, TypeError, "group 'left' is a list of labels"),
        ({"left": 3}, TypeError, "group 'left' is a list of labels of regions, got 3"),
        ({"left": []}, ValueError, "group 'left' has no regions"),
        ({}, ValueError, "groups is empty"),
        ({"left": ["a"], "right": ["b", "a"]}, ValueError, "region a is in the groups 'left' and 'right'"),
        ({"left": ["a", "a"]}, ValueError, "region a is in the group 'left' twice"),
        ({1: ["a"]}, TypeError, "groups is a dict of lists of labels"),
    ],
)
def test_groups_that_are_none_are_refused(groups, kind, words):
    with pytest.raises(kind, match=words):
        Connections(period=1.0, groups=groups)


def test_what_no_run_can_record_is_refused():
    with pytest.raises(ValueError, match="monitor 'it': there is no region 'q'"):
        heard(Connections(source="w", period=1.0, groups={"left": ["a", "q"]}))
    for period in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="positive period in ms"):
            Connections(period=period)
    with pytest.raises(ValueError, match="the period of 'it'"):
        heard(Connections(source="w", period=0.7))
    listener = gx.monitors.Subsample(period=1.0)
    with pytest.raises(ValueError, match="Connections listens to connections of the network, not to Subsample"):
        listener.then(Connections(period=2.0))
    with pytest.raises(ValueError, match=r"Connections says \('state', 'target', 'source'\) at a time"):
        Connections(period=1.0).then(gx.monitors.Subsample(period=2.0))


def test_values_are_those_at_their_own_time():
    """The first sample of a period of one step is after a step, and parameters of connections are where a run begins."""
    net = network(hebb(w=one_each(-1, 1)))
    w = np.asarray(gx.simulate(net, 1.0, DT, start=START, monitors=Connections(period=DT))["monitor"].values[0, 0])
    k1 = net.drift(0.0, net.whole(jnp.asarray(START)))
    half = jax.tree.map(lambda y, d: y + DT * d, net.whole(jnp.asarray(START)), k1)
    both = jax.tree.map(lambda a, b: (a + b) / 2, k1, net.drift(0.0, half)).own["coupling"].edges["w"]
    there = np.asarray(drawn().weights) != 0
    expected = one_each(-1, 1) + DT * np.asarray(net.coupling.edges.put(both, N))
    np.testing.assert_allclose(w[there], expected[there], **CLOSE)
