"""Couplings of pairs where few regions hear many others: their lists go on, and a run is what it is with lists as long as the longest row."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from conftest import DOUBLE
from gyrax.anatomy import edges
from living import DELAYS, DT, START, Both, N, hebb, listens, loop, markram, one_each, recorded

pytestmark = pytest.mark.usefixtures("compiled_fast")
CLOSE = dict(rtol=1e-10, atol=1e-12) if DOUBLE else dict(rtol=2e-4, atol=2e-5)
STEPS, KEY = 40, jax.random.key(5)
slow = pytest.mark.slow
ALL = DELAYS | {"cubic": gx.Delay(speed=3.0, interpolation="cubic", bounds=(0.5, 60.0))}


class Apart(gx.AbstractPairCoupling):
    """Without states, with values of connections and of targets."""

    strength: gx.Array = gx.parameter(0.05, domain=gx.Positive())
    bias: gx.Array = gx.parameter(0.1, domain=gx.Real(scale=1.0))
    steep: gx.Array = gx.parameter(1.0, domain=gx.Positive())

    def message(self, x_source, x_target, bias, steep):
        return jnp.tanh(steep * (x_source - x_target) - bias)

    def decode(self, total, x, degree):
        return self.strength * total


def wired():
    """One region hears all others, another one four, the rest one or two."""
    rng, there = np.random.default_rng(0), np.zeros((N, N), bool)
    for i, many in enumerate((1, 5, 2, 1, 4, 1)):
        there[i, rng.choice(np.delete(np.arange(N), i), many, replace=False)] = True
    weights = rng.uniform(0.2, 1, (N, N)) * there
    return gx.Connectome(weights, rng.uniform(4, 40, (N, N)), labels=list("abcdef"))


def network(delay, couplings=None, long=True, **more):
    """With lists that go on, or as long as the longest row."""
    if couplings is None:
        couplings = {
            "slow": markram(),
            "both": Both(source="x", w=one_each(0.8, 1.1), a=one_each(0.5, 1)[0]),
            "apart": Apart(source="x", bias=one_each(0, 0.5), steep=one_each(0.5, 2)[0]),
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "_ONE_MORE", 1)
        patch.setattr(edges, "_WORTH", 2.0 if long else 0.0)
        net = gx.Network(gx.models.Linear(gamma=-0.1), couplings, wired(), ALL[delay], **more)
    for coupling in net.couplings.values():
        assert bool(len(coupling.edges.owners)) == long
    return net


def run(net, start=START, steps=STEPS, **more):
    return gx.simulate(net, steps * DT, DT, start=start, key=KEY, monitors=listens(net), **more)


def told(run):
    total = 0.0
    for k, (_, recording) in enumerate(sorted(run.recordings.items())):
        x = jnp.where(jnp.isnan(recording.values), 0, recording.values)
        total = total + jnp.sum(jnp.sin(x + k) * jnp.linspace(0.5, 1.5, x[0].size).reshape(x[0].shape))
    return total


@eqx.filter_jit
def slopes(net):
    def loss(net):
        found = run(net)
        return told(found), found

    (_, found), slope = eqx.filter_value_and_grad(loss, has_aux=True)(net)
    return found, slope


def plastic():
    return {"slow": markram(), "learning": hebb()}


@pytest.mark.parametrize("delay", ["linear", pytest.param("none", marks=slow), pytest.param("nearest", marks=slow)])
def test_runs_and_gradients_are_loops_over_connections(delay):
    """Gradients: as differences of the loops."""
    net = network(delay, plastic())
    found, slope = slopes(net)
    found = recorded(found)
    for name, values in loop(net, START[0], STEPS).items():
        np.testing.assert_allclose(found[name], values[1::2], err_msg=name, **CLOSE)
    if not DOUBLE:
        return

    def by_loops(net):
        paths = {name: np.nan_to_num(x[1::2]) for name, x in loop(net, START[0], STEPS).items()}
        total = 0.0
        for k, (_, monitor) in enumerate(sorted(listens(net).items())):
            x = np.stack([paths[full] for full in monitor.source], 1)
            total += (np.sin(x + k) * np.linspace(0.5, 1.5, x[0].size).reshape(x[0].shape)).sum()
        return total

    leaves = [
        lambda n: n.coupling["slow"].strength,
        lambda n: n.coupling["slow"].R,
        lambda n: n.coupling["learning"].w,
        lambda n: n.coupling["learning"].theta_post,
        lambda n: n.connectome.weights,
    ]
    leaves += [lambda n: n.delay.speed] if delay == "linear" else []
    rng, h = np.random.default_rng(0), 1e-5
    for leaf in leaves:
        at = np.asarray(leaf(net), float)
        way = rng.normal(size=at.shape) * (at != 0)
        one, other = (by_loops(eqx.tree_at(leaf, net, jnp.asarray(at + s * h * way))) for s in (1, -1))
        expected = (one - other) / (2 * h)
        assert abs(expected) > 1e-3
        assert float((np.asarray(leaf(slope)) * way).sum()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "delay", ["nearest", *(pytest.param(delay, marks=slow) for delay in ("none", "linear", "short", "cubic"))]
)
def test_lists_that_go_on_are_as_good_as_long_ones(delay):
    noise = gx.noise.White(sigma=0.05)
    (found, slope), (expected, same) = (slopes(network(delay, long=long, noise=noise)) for long in (True, False))
    for name, values in recorded(expected).items():
        np.testing.assert_allclose(recorded(found)[name], values, err_msg=name, rtol=1e-11, atol=1e-13)
    leaves = zip(jax.tree.leaves(slope), jax.tree.leaves(same), strict=True)
    for one, other in leaves:
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-11)


@pytest.mark.once
@slow
@pytest.mark.parametrize("delay", ["none", "linear", "short"])
def test_forward_mode_and_ensembles_say_the_same(delay):
    net = network(delay)

    def of(R, **more):
        return told(run(eqx.tree_at(lambda n: n.coupling["slow"].R, net, R), **more))

    at, way = net.coupling["slow"].R, jnp.asarray(one_each(-1, 1))
    forward = jax.jit(lambda x: jax.jvp(lambda x: of(x, autodiff="forward"), (x,), (way,))[1])
    each = jax.jit(jax.value_and_grad(of))
    value, slope = each(at)
    assert float(forward(at)) == pytest.approx(float(jnp.vdot(slope, way)), rel=1e-10)
    several = jnp.stack([at, 0.9 * at, 0.8 * at])
    values, many = jax.jit(jax.vmap(jax.value_and_grad(of)))(several)
    np.testing.assert_allclose(values[0], value, rtol=1e-11)
    np.testing.assert_allclose(many, [each(x)[1] for x in several], rtol=1e-9, atol=1e-12)


@pytest.mark.once
def test_a_run_goes_on_to_the_bit_and_is_learnt():
    net = network("nearest", plastic())
    first = run(net, steps=24)
    assert first.final.y.shape == (net.n_rows, N)
    rest, whole = run(net, first.final, steps=16), run(net)
    for name in listens(net):
        both = jnp.concatenate([part[name].values for part in (first, rest)])
        np.testing.assert_array_equal(both, whole[name].values, err_msg=name)
    np.testing.assert_array_equal(rest.final.y, whole.final.y)
    learnt = gx.plasticity.as_learnt(net, whole.final)
    there = np.asarray(net.connectome.weights) != 0
    for row, state in enumerate(("R", "u")):
        found = np.asarray(getattr(learnt.coupling["slow"], state))
        np.testing.assert_array_equal(found[there], np.asarray(whole["slow's"].values)[-1, row][there])
    again = run(learnt, start=whole.final.y[:1], steps=2)
    np.testing.assert_allclose(again["slow's"].values[0], run(net, whole.final, steps=2)["slow's"].values[0], atol=0.1)
    other = network("nearest", plastic(), long=False)
    with pytest.raises(ValueError, match=r"in lists of .* this network carries"):
        run(other, first.final)


@pytest.mark.once
def test_means_over_groups_and_where_a_run_fails():
    net = network("none", {"only": hebb(w=1.0, tau=1.0)})
    groups = {"one": ["b", "a"], "other": ["d", "e", "f"]}
    monitors = {"each": gx.monitors.Connections(period=DT), "means": gx.monitors.Connections(period=DT, groups=groups)}
    found = gx.simulate(net, 4 * DT, DT, start=START, monitors=monitors)
    each, means = np.asarray(found["each"].values), np.asarray(found["means"].values)
    where = [[net.labels.index(label) for label in members] for members in groups.values()]
    for a, to in enumerate(where):
        for b, of in enumerate(where):
            np.testing.assert_allclose(
                means[:, 0, a, b], np.nanmean(each[:, 0][:, to][:, :, of].reshape(4, -1), axis=1), **CLOSE
            )

    class Bursts(gx.AbstractPairCoupling):
        """A connection that is lost, of a message that does not tell."""

        edge_states = ("w",)
        rate: gx.Array = gx.parameter(0.0)
        w: gx.Array = gx.parameter(1.0)

        def message(self, x_source, x_target):
            return 0 * x_source

        def edge_drift(self, x_source, x_target, w, rate):
            return {"w": rate * w}

    last = np.flatnonzero(np.asarray(net.connectome.weights)[1])[-1]  # in a list after the first
    rate = np.zeros((N, N))
    rate[1, last] = 1e200 if DOUBLE else 1e30
    net = network("none", {"c": Bursts(source="x", rate=rate)})
    with pytest.warns(RuntimeWarning, match="first in b:"):
        lost = gx.simulate(net, 8 * DT, DT, start=START, monitors={})
    assert (np.asarray(lost.failed_at) >= 0).tolist() == [False, True, False, False, False, False]
