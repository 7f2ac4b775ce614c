"""Gradients, ensembles and fits of couplings with states of their own; cut, relabelled and widened runs."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from conftest import DOUBLE
from living import DT, START, Both, N, drawn, hebb, listens, markram, network, one_each, recorded

pytestmark = pytest.mark.usefixtures("compiled_fast")
CLOSE = dict(rtol=1e-10, atol=1e-12) if DOUBLE else dict(rtol=2e-4, atol=2e-5)
STEPS = 40
P = gx.plasticity
slow = pytest.mark.slow
double = pytest.mark.skipif(not DOUBLE, reason="differences need double precision")

GREY = {"grey": gx.noise.White(sigma=0.05), "brown": gx.noise.OrnsteinUhlenbeck(sigma=0.05, tau=3.0)}


def all_of(delay="linear", noise=None, tag="", without=()):
    """Everything at once: connections and sources with states, late and not, in an order of names that is not the alphabet's."""
    couplings = {
        "slow": markram(),
        "of both": Both(source="x", w=one_each(0.8, 1.1), a=one_each(0.5, 1)[0], delay=gx.NoDelay()),
        "learning": hebb(weights=drawn(0.4, seed=4).weights),
    }
    couplings = {name: coupling for name, coupling in couplings.items() if name not in without}
    return network(couplings, delay, tag=tag, noise=noise)


KEY = jax.random.key(5)


def states(net, start=START, steps=STEPS, **more):
    """All that monitors hear of a run."""
    return gx.simulate(net, steps * DT, DT, start=start, key=KEY, monitors=listens(net), **more)


def loss(net, start=START, steps=STEPS, **more):
    return told(states(net, start, steps, **more))


def told(run):
    """A number of every state at every time, each with a weight of its own."""
    total = 0.0
    for k, recording in enumerate(run.recordings.values()):
        x = jnp.where(jnp.isnan(recording.values), 0, recording.values)
        total = total + jnp.sum(jnp.sin(x + k) * jnp.linspace(0.5, 1.5, x[0].size).reshape(x[0].shape))
    return total


value = eqx.filter_jit(loss)
slopes = eqx.filter_jit(eqx.filter_grad(loss))
LEAVES = {
    "strength": lambda n: n.coupling["slow"].strength,
    "U": lambda n: n.coupling["slow"].U,
    "tau_rec": lambda n: n.coupling["slow"].tau_rec,
    "tau_facil": lambda n: n.coupling["slow"].tau_facil,
    "R": lambda n: n.coupling["slow"].R,
    "u": lambda n: n.coupling["slow"].u,
    "w": lambda n: n.coupling["learning"].w,
    "eta": lambda n: n.coupling["learning"].eta,
    "theta_post": lambda n: n.coupling["learning"].theta_post,
    "own weights": lambda n: n.coupling["learning"].weights,
    "a": lambda n: n.coupling["of both"].a,
    "pace": lambda n: n.coupling["of both"].pace,
    "bias": lambda n: n.coupling["of both"].bias,
    "weights": lambda n: n.connectome.weights,
    "gamma": lambda n: n.model.gamma,
}


def check_differences(net, found, leaves):
    rng = np.random.default_rng(0)
    for name, leaf in leaves.items():
        at = np.asarray(leaf(net), float)
        way, h = rng.normal(size=at.shape) * (at != 0) * np.maximum(abs(at), 0.1), 1e-4
        moved = [float(value(eqx.tree_at(leaf, net, jnp.asarray(at + s * h * way)))) for s in (-2, -1, 1, 2)]
        expected = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
        assert float((np.asarray(leaf(found)) * way).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8), name
        assert abs(expected) > 1e-6, name


@double
@pytest.mark.parametrize(
    ("delay", "noise", "without"),
    [
        ("linear", None, ("learning",)),
        pytest.param("none", GREY, (), marks=slow),
        pytest.param("linear", GREY, (), marks=slow),
        pytest.param("short", GREY, (), marks=slow),
    ],
)
def test_gradients_are_differences(delay, noise, without):
    net = all_of(delay, noise, without=without)
    found = slopes(net)
    leaves = {} if delay == "none" else {"speed": lambda n: n.delay.speed}
    for name, leaf in LEAVES.items():
        if name not in ("w", "eta", "theta_post", "own weights") or "learning" not in without:
            leaves[name] = leaf
    check_differences(net, found, leaves)
    for name, state in (("slow", "R"), ("of both", "w")):  # what no connection has says nothing
        none = np.asarray(net.weights(net.coupling[name])) == 0
        assert (np.asarray(getattr(found.coupling[name], state))[none] == 0).all()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("delay", ["none", pytest.param("linear", marks=slow)])
def test_gradients_do_not_depend_on_who_listens(delay):
    """With monitors of the model's states alone, and with those of all others beside."""
    net = all_of(delay, without=("learning",))

    def of(net, monitors):
        return jnp.sum(gx.simulate(net, STEPS * DT, DT, start=START, monitors=monitors)["x"].values ** 2)

    every = listens(net)
    alone, among = (eqx.filter_jit(eqx.filter_grad(of))(net, m) for m in ({"x": every["x"]}, every))
    for name in ("strength", "R", "a", "weights", "gamma"):
        found, expected = LEAVES[name](alone), LEAVES[name](among)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13, err_msg=name)
        assert (np.asarray(found) != 0).any()


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", ["none", "linear", "short"])
def test_forward_mode_says_the_same(delay):
    """Of all numbers at once, limits that hold some states included."""
    net = all_of(delay, GREY)
    net = eqx.tree_at(lambda n: n.coupling["of both"].w, net, 1.19 * jnp.ones((N, N)))
    held = np.asarray(states(net)["of both's"].values)
    assert (held == 1.2).any()
    moving, still = eqx.partition(net, eqx.is_inexact_array)
    rng = np.random.default_rng(0)
    ways = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)) * (x != 0), moving)
    forward = jax.jit(lambda n, v: jax.jvp(lambda n: loss(eqx.combine(n, still), autodiff="forward"), (n,), (v,))[1])
    back = jax.tree.map(lambda g, v: jnp.vdot(g, v), eqx.filter(slopes(net), eqx.is_inexact_array), ways)
    assert float(forward(moving, ways)) == pytest.approx(float(sum(jax.tree.leaves(back))), rel=1e-10)


def closely(found, expected, leaves, **how):
    for name, leaf in leaves.items():
        np.testing.assert_allclose(leaf(found), leaf(expected), err_msg=name, **how)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", ["none", pytest.param("linear", marks=pytest.mark.long)])
def test_a_horizon_is_a_chain_of_runs_that_take_their_start_as_given(delay):
    net = all_of(delay, GREY)

    def chained(net):
        first = states(net, steps=STEPS // 2)
        start = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, first.final)
        return told(first) + told(states(net, start, STEPS // 2))

    def cut(net):
        return loss(net, gradient_horizon=STEPS * DT / 2)

    found, expected = (eqx.filter_jit(eqx.filter_grad(f))(net) for f in (cut, chained))
    closely(found, expected, LEAVES, rtol=1e-8, atol=1e-10)
    there = abs(np.asarray(LEAVES["R"](slopes(net)) - LEAVES["R"](found))).max()
    assert there > 1e-6  # the whole way back says more
    plain, same = (recorded(states(net, **how)) for how in ({}, {"gradient_horizon": STEPS * DT / 2}))
    for name, values in plain.items():
        np.testing.assert_array_equal(same[name], values, err_msg=name)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", ["none", pytest.param("linear", marks=pytest.mark.long)])
def test_what_is_recomputed_is_what_was(delay, monkeypatch):
    kept = slopes(all_of(delay, GREY), steps=60)
    engine = sys.modules["gyrax._engine.running"], sys.modules["gyrax._engine.lengths"]
    for where, name, few in ((engine[0], "_KEPT", 0), (engine[1], "_TICK", 6), (engine[0], "_CHUNK", 80)):
        monkeypatch.setattr(where, name, few)
    again = slopes(all_of(delay, GREY, tag="again"), steps=60)
    closely(again, kept, LEAVES, rtol=1e-9, atol=1e-11)


LATE = pytest.param("nearest", marks=slow("float64"))


@pytest.mark.parametrize("delay", [pytest.param("none", marks=slow), LATE])
def test_side_by_side_they_are_what_each_is_alone(delay):
    net = all_of(delay)
    rng = np.random.default_rng(7)
    several = [
        ("strength", LEAVES["strength"], jnp.asarray([0.02, 0.05, 0.08])),
        ("w", LEAVES["w"], jnp.asarray(rng.normal(size=(3, N, N)))),
    ]
    for name, leaf, values in several:

        def of(x, leaf=leaf):
            return states(eqx.tree_at(leaf, net, x))

        many = jax.jit(jax.vmap(lambda x: [r.values for r in of(x).recordings.values()]))(values)
        alone = [eqx.filter_jit(of)(x).recordings.values() for x in values]
        for k, found in enumerate(many):
            expected = np.stack([list(one)[k].values for one in alone])
            np.testing.assert_allclose(found, expected, err_msg=name, **CLOSE)


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", ["none", pytest.param("linear", marks=pytest.mark.long)])
def test_so_are_their_gradients(delay):
    net = all_of(delay, GREY)
    values = jnp.asarray(np.random.default_rng(7).normal(size=(3, N, N)))

    def slope(w):
        return jax.grad(lambda w: loss(eqx.tree_at(LEAVES["w"], net, w)))(w)

    many, alone = jax.jit(jax.vmap(slope))(values), jnp.stack([jax.jit(slope)(w) for w in values])
    np.testing.assert_allclose(many, alone, rtol=1e-9, atol=1e-11)

    def shared(strengths):  # of what all have in common
        def each(strength, w):
            there = eqx.tree_at(LEAVES["strength"], net, strength)
            return loss(eqx.tree_at(LEAVES["w"], there, w))

        return jnp.sum(jax.vmap(lambda s: each(s, LEAVES["w"](net)))(strengths))

    strengths = jnp.asarray([0.02, 0.05])
    one = jax.jit(jax.grad(lambda s: loss(eqx.tree_at(LEAVES["strength"], net, s))))
    np.testing.assert_allclose(jax.jit(jax.grad(shared))(strengths), [one(s) for s in strengths], rtol=1e-9)


@pytest.mark.once
@pytest.mark.slow
def test_rules_and_where_weights_begin_are_fitted():
    import optax

    net = network(hebb(eta=0.8, w=0.0), density=0.4)
    there = np.asarray(net.connectome.weights) != 0
    truth = gx.per_connection(net, "coupling.w")
    truth = eqx.tree_at(lambda n: n.coupling.w, truth, jnp.where(there, one_each(-1, 1), 0))
    want = states(truth)["x"].values

    def error(model, key):
        return jnp.mean((states(model)["x"].values - want) ** 2)

    begun = gx.per_connection(net, "coupling.w")
    spec = gx.select(begun, gx.Free("coupling.w", mask=there), "coupling.eta")
    first = float(error(begun, KEY))
    result = gx.fit(begun, error, spec, optax.adam(0.05), steps=60, key=KEY, progress=False)
    assert float(error(result.model, KEY)) < 0.1 * first
    assert (np.asarray(result.model.coupling.w)[~there] == 0).all()


MEANS = {"mean": gx.monitors.TemporalAverage(source=("x", "of both.a"), period=3 * DT)}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    ("delay", "without"),
    [("none", ("learning",)), pytest.param("none", (), marks=slow), pytest.param("linear", (), marks=slow)],
)
def test_a_cut_run_goes_on_to_the_bit(delay, without):
    net = all_of(delay, GREY, without=without)
    monitors = listens(net) | MEANS
    runs, start = [], START
    for steps in (23, 17):  # neither a multiple of all periods
        runs.append(gx.simulate(net, steps * DT, DT, start=start, key=KEY, monitors=monitors))
        start = runs[-1].final
    whole = gx.simulate(net, STEPS * DT, DT, start=START, key=KEY, monitors=monitors)
    for name in monitors:
        both = jnp.concatenate([run[name].values for run in runs])
        np.testing.assert_array_equal(both, whole[name].values, err_msg=name)
    np.testing.assert_array_equal(start.y, whole.final.y)
    for name, past in whole.final.history.items():
        np.testing.assert_array_equal(start.history[name], past)


@pytest.mark.once
def test_a_run_of_other_rows_is_no_start():
    few = drawn(0.3)
    others = gx.Connectome(np.asarray(few.weights).T, few.lengths, labels=few.labels)
    assert (np.asarray(few.weights) != 0).sum(1).max() == (np.asarray(others.weights) != 0).sum(1).max()
    start = gx.simulate(gx.Network(gx.models.Linear(gamma=-0.1), hebb(), few), 1.0, DT, monitors={}).final
    for other in (
        gx.Network(gx.models.Linear(gamma=-0.1), hebb(), others),  # as many connections, between others
        gx.Network(gx.models.Linear(gamma=-0.1), markram(), few),
        gx.Network(gx.models.Linear(gamma=-0.1), gx.couplings.Linear(source="x"), few),
    ):
        with pytest.raises(ValueError, match=r"carried x, coupling\.w of Edges\(.* in 6 nodes, this network carries x"):
            gx.simulate(other, 1.0, DT, monitors={}, start=start)


heard = eqx.filter_jit(lambda net, start: [r.values for r in states(net, start).recordings.values()])


def dense(order=slice(None), **changed):
    """Every pair has a place, so that all of these run one program."""
    take = np.ix_(np.arange(N)[order], np.arange(N)[order])
    own = {k: getattr(markram(), k) for k in ("U", "tau_rec", "R")} | changed
    own = {k: np.asarray(x)[take] for k, x in own.items()}
    weights = own.pop("weights", np.asarray(drawn().weights)[take])
    bias, a = one_each(0, 0.5)[take], one_each(0.5, 1)[0][order]
    couplings = {"one": markram(**own), "other": Both(source="x", bias=bias, a=a)}
    return gx.Network(gx.models.Linear(gamma=-0.1), couplings, weights)


@pytest.mark.once
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(N)))
def test_regions_have_no_order(order):
    order = np.array(order)
    plain, moved = heard(dense(), START), heard(dense(order), START[:, order])
    for one, other in zip(plain, moved, strict=True):
        expected = one[..., order] if one.ndim == 3 else one[..., order, :][..., order]
        np.testing.assert_allclose(other, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.once
@settings(max_examples=15, deadline=None)
@given(
    pair=st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)),
    U=st.floats(0.01, 0.99),
    tau=st.floats(1.0, 1e4),
    R=st.floats(0.0, 1.0),
)
def test_a_connection_of_no_weight_changes_nothing(pair, U, tau, R):
    weights = np.array(drawn().weights)
    weights[pair] = 0
    changed = {k: np.array(getattr(markram(), k)) for k in ("U", "tau_rec", "R")}
    plain = heard(dense(weights=weights), START)
    for name, x in zip(("U", "tau_rec", "R"), (U, tau, R), strict=True):
        changed[name][pair] = x
    for one, other in zip(plain, heard(dense(weights=weights, **changed), START), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow("float64")
@pytest.mark.parametrize("delay", ["none", "linear"])
def test_lists_of_connections_are_as_good_as_all_pairs(delay):
    """A network built within jit, where weights are not known yet, has a place for every pair."""
    few = network(hebb(), delay, 0.25)
    weights = np.asarray(few.connectome.weights)
    assert few.coupling.edges.shape[0] < N

    @jax.jit
    def wide(w):
        connectome = gx.Connectome(w, drawn(0.25).lengths, labels=few.labels)
        net = gx.Network(gx.models.Linear(gamma=-0.1), hebb(), connectome, few.delay)
        return [r.values for r in states(net).recordings.values()]

    for one, other in zip(heard(few, START), wide(weights), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
