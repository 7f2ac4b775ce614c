"""The hand-written adjoint against plain autodiff, forward mode and finite differences, whatever the cut of the run."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax._engine import lengths, running
from naive import wiring
from toys import counting

pytestmark = pytest.mark.usefixtures("compiled_fast")

DOUBLE = jnp.result_type(float) == jnp.float64
#: Relative to the largest entry of a leaf.
CLOSE = 1e-8 if DOUBLE else 2e-3
N = 6
SLOW = pytest.mark.slow


def spread(low, high):
    """A parameter of every region's own."""
    return np.linspace(low, high, N)


def hopf(connectome, delay):
    """Two couplings side by side, of two features and one; one of them over weights of its own."""
    own = np.asarray(connectome.weights).T * (np.asarray(connectome.weights) > 0)
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02, weights=own),
    }
    model = gx.models.Hopf(a=spread(0.05, 0.2), omega=spread(0.2, 0.4))
    return gx.Network(model, coupling, connectome, delay, gx.noise.White(sigma=0.02, states="x"))


def jansen_rit(connectome, delay):
    coupling = gx.couplings.SigmoidalJansenRit(strength=spread(20.0, 60.0))
    noise = gx.noise.White(sigma=0.002, states="y4")
    return gx.Network(gx.models.JansenRit(mu=spread(0.1, 0.3)), coupling, connectome, delay, noise)


def wong_wang(connectome, delay):
    coupling = gx.couplings.Linear(source="S", strength=0.3)
    noise = gx.noise.White(sigma=spread(0.01, 0.03))
    return gx.Network(gx.models.WongWang(w=spread(0.4, 0.8)), coupling, connectome, delay, noise)


NETWORKS = {"hopf": hopf, "jansen_rit": jansen_rit, "wong_wang": wong_wang}
STARTS = {"hopf": 0.1, "jansen_rit": 0.5, "wong_wang": 0.1}
MONITORS = {
    "hopf": {"raw": gx.monitors.Raw(), "mean": gx.monitors.TemporalAverage(period=20.0)},
    "jansen_rit": {"raw": gx.monitors.Raw(source=("psp", "y0")), "hrf": gx.monitors.HRFBold(source="psp", period=30.0)},
    "wong_wang": {
        "every": gx.monitors.Subsample(period=15.0),
        "bold": gx.monitors.Balloon(source="S", period=30.0, kappa=spread(0.5, 0.8)),
    },
}
RAW = {"raw": gx.monitors.Raw()}
#: What brings the samples of a monitor to about one.
SIZES = {"bold": 1e2, "hrf": 1e1}


def problem(name, tag, delay=None, monitors=None, **kwargs):
    """Free and fixed parts of a network, its monitors and its start: free is all that a gradient may be asked for."""
    delay = gx.Delay(3.0) if delay is None else delay
    net = NETWORKS[name](wiring(f"{tag}-{name}", **kwargs), delay)
    start = jnp.asarray(STARTS[name] * np.linspace(0.5, 1.5, len(net.model.states) * N).reshape(-1, N))
    everything = net, MONITORS[name] if monitors is None else monitors, start
    spec = jax.tree.map(eqx.is_inexact_array, everything)
    fixed = lambda s: (s[0].delay.speed, s[0].connectome.lengths)  # noqa: E731
    return eqx.partition(everything, eqx.tree_at(fixed, spec, (False, False)))


def total(tree, seed=0):
    """A sum of all numbers with random weights, and of their squares."""
    rng, out = np.random.default_rng(seed), 0.0
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)):
        out = out + jnp.vdot(jnp.asarray(rng.normal(size=leaf.shape)), leaf) + jnp.vdot(leaf, leaf)
    return out


def outcome(run, final=True):
    """All that a run gives, as one number."""
    samples = {name: r.values * SIZES.get(name, 1.0) for name, r in run.recordings.items()}
    return total(samples) + (total((run.final.y, run.final.history, run.final.monitors), 1) if final else 0.0)


def closely(found, expected, tolerance=CLOSE):
    """Every leaf, relative to its largest entry; in single precision tiny leaves are rounding of large numbers."""
    found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
    assert len(found) == len(expected)
    floor = 0.0 if DOUBLE else 1e-4 * max(np.abs(b).max() for b in expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(floor, np.abs(b).max()))


def simulated(free, fixed, steps=60.0, **kwargs):
    net, monitors, start = eqx.combine(free, fixed)
    return gx.simulate(net, steps, 1.0, monitors=monitors, start=start, **{"key": jax.random.key(7), **kwargs})


def gradient(free, fixed, **kwargs):
    return jax.jit(jax.grad(lambda free: outcome(simulated(free, fixed, **kwargs))))(free)


def directions(free, fixed):
    """For every leaf one random direction, of its own size; no weights where there is no connection."""
    rng = np.random.default_rng(4)
    leaves, tree = jax.tree.flatten(free)
    connected = eqx.combine(free, fixed)[0].delay.spans.connected
    found = []
    for i, leaf in enumerate(leaves):
        moves = [jnp.zeros_like(x) for x in leaves]
        size = np.abs(leaf).max() if leaf.shape == (N, N) else np.abs(leaf)
        moves[i] = jnp.asarray(rng.normal(size=leaf.shape) * size * (connected if leaf.shape == (N, N) else 1))
        found.append(jax.tree.unflatten(tree, moves))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n != "wong_wang")) for n in NETWORKS])
def test_every_gradient_equals_plain_autodiff(name, monkeypatch):
    """All parameters, weights with zeros among them, start and monitors; several ticks, windows of two lengths."""
    monkeypatch.setattr(lengths, "_TICK", 30)
    free, fixed = problem(name, "all", longest=30.0)
    reverse = gradient(free, fixed)
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(reverse))
    closely(reverse, gradient(free, fixed, autodiff="forward"))
    if DOUBLE:
        ways = directions(free, fixed)
        exact = jnp.array([sum(map(jnp.vdot, jax.tree.leaves(reverse), jax.tree.leaves(way))) for way in ways])
        value, step = jax.jit(lambda free: outcome(simulated(free, fixed))), 1e-5
        moved = lambda way, h: value(jax.tree.map(lambda x, y: x + h * y, free, way))  # noqa: E731
        numeric = np.array([(moved(way, step) - moved(way, -step)) / (2 * step) for way in ways])
        np.testing.assert_allclose(exact, numeric, rtol=2e-5, atol=1e-8 * np.abs(exact).max())


@pytest.mark.slow
def test_a_gradient_goes_through_a_coupling_held_for_a_step(monkeypatch):
    monkeypatch.setattr(lengths, "_TICK", 30)
    free, fixed = problem("hopf", "held", monitors=RAW)
    solver = gx.solvers.Heun(coupling_once=True)
    held = gradient(free, fixed, solver=solver)
    closely(held, gradient(free, fixed, solver=solver, autodiff="forward"))
    if DOUBLE:
        (way, *_), step = directions(free, fixed), 1e-5
        value = jax.jit(
            lambda h: outcome(simulated(jax.tree.map(lambda x, y: x + h * y, free, way), fixed, solver=solver))
        )
        exact = sum(map(jnp.vdot, jax.tree.leaves(held), jax.tree.leaves(way)))
        np.testing.assert_allclose(exact, (value(step) - value(-step)) / (2 * step), rtol=2e-5)


@pytest.mark.slow
def test_forward_mode_agrees():
    """`jax.jacfwd` along one direction of every leaf."""
    free, fixed = problem("hopf", "forward", monitors=RAW)
    ways = directions(free, fixed)
    along = lambda hs: jax.tree.map(lambda x, *ys: x + sum(h * y for h, y in zip(hs, ys, strict=True)), free, *ways)  # noqa: E731
    value = lambda hs: outcome(simulated(along(hs), fixed, steps=30.0, autodiff="forward"))  # noqa: E731
    reverse = gradient(free, fixed, steps=30.0)
    exact = [sum(map(jnp.vdot, jax.tree.leaves(reverse), jax.tree.leaves(way))) for way in ways]
    closely([jnp.array(exact)], [jax.jit(jax.jacfwd(value))(jnp.zeros(len(ways)))])


@pytest.mark.slow("float64", "float32")
def test_a_gradient_for_all_of_a_network_is_one_for_delays_too():
    """Delays that round to whole steps have the gradient zero."""
    net = wong_wang(wiring("whole", shortest=6.0), gx.Delay(3.0))
    found = eqx.filter_grad(lambda net: outcome(gx.simulate(net, 20.0, 1.0, key=jax.random.key(0))))(net)
    assert found.delay.speed == 0 and not np.any(found.connectome.lengths)
    assert np.any(found.connectome.weights)


@pytest.mark.slow
def test_a_gradient_goes_through_a_run_that_goes_on():
    """Two runs are one of double length, for histories, monitors in the middle of a period, and the noise."""
    monitors = {"mean": gx.monitors.TemporalAverage(period=10.0)}
    free, fixed = problem("wong_wang", "on", monitors=monitors, longest=30.0)

    def two(free):
        first = simulated(free, fixed, steps=25.0)
        net, monitors, _ = eqx.combine(free, fixed)
        second = gx.simulate(net, 35.0, 1.0, monitors=monitors, start=first.final)
        values = {n: jnp.concatenate([r[n].values for r in (first, second)]) * SIZES.get(n, 1.0) for n in monitors}
        return total(values) + total((second.final.y, second.final.history, second.final.monitors), 1)

    value, found = jax.jit(jax.value_and_grad(two))(free)
    one, expected = jax.jit(jax.value_and_grad(lambda free: outcome(simulated(free, fixed))))(free)
    np.testing.assert_allclose(value, one, rtol=CLOSE)
    closely(found, expected)


CUTS = {
    "ticks": [(lengths, "_TICK", 12)],
    "recomputed": [(running, "_KEPT", 0), (lengths, "_TICK", 12), (running, "_CHUNK", 212)],
    "windows": [(running, "windows", lambda *lags: 2)],
}


@pytest.fixture(scope="module")
def uncut():
    free, fixed = problem("wong_wang", "uncut", monitors=RAW, longest=40.0, share=0.6, deaf=True)
    return gradient(free, fixed, steps=84.0, autodiff="forward")


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("cut", [pytest.param("ticks", marks=SLOW), pytest.param("recomputed", marks=SLOW), "windows"])
def test_a_gradient_does_not_depend_on_the_cut(cut, uncut, monkeypatch):
    for where, name, value in CUTS[cut]:
        monkeypatch.setattr(where, name, value)
    free, fixed = problem("wong_wang", cut, monitors=RAW, longest=40.0, share=0.6, deaf=True)
    closely(gradient(free, fixed, steps=84.0), uncut)


@pytest.mark.slow
@pytest.mark.once
def test_a_gradient_goes_through_segments():
    """1100 steps are three long ticks, kept or not, and a short one."""
    monitors = {"mean": gx.monitors.TemporalAverage(period=30.0)}
    free, fixed = problem("wong_wang", "segments", monitors=monitors)
    found = gradient(free, fixed, steps=1100.0)
    closely(found, gradient(free, fixed, steps=1100.0, autodiff="forward"))


# Horizons


@pytest.mark.slow
def test_a_horizon_is_a_state_taken_as_given(monkeypatch):
    """As plain autodiff has it, and as a chain of runs between which no gradient passes."""
    free, fixed = problem("wong_wang", "horizon", monitors=RAW, longest=40.0)
    found = gradient(free, fixed, gradient_horizon=30.0)
    closely(found, gradient(free, fixed, gradient_horizon=30.0, autodiff="forward"))

    def chain(free):
        net, monitors, start = eqx.combine(free, fixed)
        begin = lambda start: gx.simulate(net, 30.0, 1.0, monitors=monitors, start=start, key=jax.random.key(7))  # noqa: E731
        runs = [begin(start)]
        given = jax.lax.stop_gradient(eqx.filter(runs[0].final, eqx.is_inexact_array))
        runs.append(begin(eqx.combine(given, runs[0].final)))
        final = runs[-1].final
        values = jnp.concatenate([run["raw"].values for run in runs])
        return total({"raw": values}) + total((final.y, final.history, final.monitors), 1)

    expected = jax.jit(jax.grad(chain))(free)
    but_weights = lambda tree: eqx.tree_at(lambda f: f[0].connectome.weights, tree, None)  # noqa: E731
    closely(but_weights(found), but_weights(expected))
    # What is heard at that moment is given too: its weights see a little less than in the chain, which reads it anew.


@pytest.mark.slow
@pytest.mark.once
def test_a_horizon_as_long_as_the_run_is_none():
    free, fixed = problem("wong_wang", "far", monitors=RAW)
    expected = gradient(free, fixed, steps=40.0)
    for autodiff in ("reverse", "forward"):
        closely(gradient(free, fixed, steps=40.0, gradient_horizon=40.0, autodiff=autodiff), expected)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("autodiff", ["reverse", "forward"])
def test_nothing_passes_a_horizon(autodiff):
    net, _, start = eqx.combine(*problem("wong_wang", "nothing", shortest=9.0))

    def late(start):
        run = gx.simulate(
            net,
            61.0,
            1.0,
            start=start,
            key=jax.random.key(7),
            gradient_horizon=30.0,
            autodiff=autodiff,
            monitors={"every": gx.monitors.Subsample(period=6.0)},
        )
        return total(run["every"].values[5:]), total(run["every"].values[:5])

    after, before = jax.jit(jax.jacrev(late))(start)
    assert np.all(np.asarray(after) == 0) and np.all(np.asarray(before) != 0)


@pytest.mark.slow
@pytest.mark.once
@given(st.integers(1, 500), st.lists(st.integers(1, 90), max_size=3), st.integers(1, 16), st.integers(1, 300))
@settings(max_examples=200)
@example(303, [18], 4, 100)
@example(61, [90, 8], 1, 10)
def test_every_horizon_is_the_start_of_a_tick(steps, periods, window, horizon):
    starts, at = set(), 0
    for segment in lengths.plan(steps, [[(p, 0)] for p in periods], window, horizon):
        starts |= {at + segment.tick * k for k in range(segment.ticks)}
        at += segment.steps
    assert at == steps and set(range(0, steps, horizon)) <= starts


@pytest.mark.once
@pytest.mark.slow("float64")
def test_the_value_of_a_parameter_traces_no_gradient_anew():
    Counting, count = counting()
    connectome = wiring("counted")
    for i, w in enumerate([0.5, 0.6, 0.7]):
        coupling = gx.couplings.Linear(source="S", strength=w)
        net = gx.Network(Counting(w=w), coupling, connectome, gx.Delay(3.0), gx.noise.White(sigma=0.01 + w))
        count.clear()  # building a network traces its drift once, for the shapes
        counted(net, jax.random.key(i))
        assert bool(count) == (i == 0)


def counted(net, key):
    """Not inside jit: the loops themselves must be found again."""
    loss = lambda strength: outcome(  # noqa: E731
        gx.simulate(eqx.tree_at(lambda n: n.coupling.strength, net, strength), 20.0, 1.0, key=key)
    )
    return jax.grad(loss)(net.coupling.strength)
