"""Windowed reads against plain sums over pairs, and whole runs whatever the split into windows."""

import contextlib
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax._engine import reads
from gyrax._engine.reads import SLACK, WindowedSum, inner_window, windows
from naive import loop, wiring

EPS = np.finfo(jnp.result_type(float)).eps


class Case:
    """Random connections, delays, weights and a history, drawn from a seed."""

    def __init__(self, seed, n, share, window, repeats, features, batch, taps, own):
        rng = np.random.default_rng(seed)
        self.n, self.window, self.features, self.batch, self.taps = n, window, features, batch, taps
        self.depth = max(window, taps) + int(rng.integers(1, 15))
        self.tick = window * repeats
        self.tail = () if batch is None else (batch,)
        self.connected = rng.random((n, n)) < share
        self.connected[rng.integers(n)] = False  # hears nobody
        self.connected[:, rng.integers(n)] = False  # is heard by nobody
        if not self.connected.any():
            self.connected[0, -1] = True
        self.steps = rng.integers(0, self.depth - taps + 1, (n, n))
        where = (n, n, *(self.tail if own else ()))
        self.weights = [rng.normal(size=where) for _ in range(taps)]
        self.rng = rng

    def numbers(self, *shape):
        return self.rng.normal(size=(*shape, *self.tail))

    @property
    def columns(self):
        return self.depth + self.tick + SLACK

    def prepare(self, weights, transposed):
        return WindowedSum.prepare(
            self.connected,
            jnp.asarray(self.steps),
            tuple(jnp.asarray(w) for w in weights),
            transposed=transposed,
            window=self.window,
            features=self.features,
            columns=self.columns,
            depth=self.depth,
            batch=self.batch,
        )

    def buffer(self, past):
        """`(node, column, feature[, batch])` as the engine lays it out."""
        return jnp.asarray(past.reshape(self.n, -1, *self.tail))

    def pairs(self):
        for i, j in np.argwhere(self.connected):
            for tap, w in enumerate(self.weights):
                yield i, j, self.steps[i, j] + tap, w[i, j]

    def heard(self, past):
        """`(step, feature, target[, batch])` of a tick, pair by pair."""
        out = np.zeros((self.tick, self.features, self.n, *self.tail))
        for i, j, back, w in self.pairs():
            for t in range(self.tick):
                out[t, :, i] += w * past[j, self.depth + t - back]
        return out

    def answered(self, ahead):
        """The same with sources and targets exchanged and time reversed."""
        out = np.zeros((self.tick, self.features, self.n, *self.tail))
        for i, j, back, w in self.pairs():
            for t in range(self.tick):
                out[t, :, j] += w * ahead[i, t + back]
        return out

    def read(self, sums, buffer):
        """`(step, feature, node[, batch])` of a tick, window after window."""
        found = jax.lax.map(lambda at: sums.read(buffer, at), self.window * jnp.arange(self.tick // self.window))
        return found.reshape(-1, *found.shape[2:])


cases = st.builds(
    Case,
    seed=st.integers(0, 10**6),
    n=st.integers(2, 8),
    share=st.sampled_from([0.2, 0.5, 1.0]),
    window=st.integers(1, 20),
    repeats=st.integers(1, 3),
    features=st.integers(1, 3),
    batch=st.sampled_from([None, 3]),
    taps=st.sampled_from([1, 2, 4]),
    own=st.booleans(),
)
#: Groups of sources that are added up together. None: in one gather, as on other platforms than the CPU.
groups = st.sampled_from([1, 3, 8, None])


@contextlib.contextmanager
def cut(group):
    with pytest.MonkeyPatch.context() as patch:
        if group is None:
            patch.setattr(reads.jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
        else:
            patch.setattr(reads, "_TOGETHER", group)
        yield


def close(a, b):
    assert np.shape(a) == np.shape(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=200 * EPS * max(1.0, np.abs(b).max()))


@pytest.mark.slow
@given(cases, groups)
@settings(max_examples=12)
@example(Case(0, 8, 1.0, 1, 3, 1, None, 1, True), 3)
@example(Case(1, 7, 1.0, 3, 2, 2, 3, 2, True), 8)
@example(Case(1, 7, 1.0, 3, 2, 2, 3, 2, True), None)
@example(Case(0, 8, 0.5, 5, 3, 2, None, 2, True), None)
def test_reads_are_plain_sums_over_pairs(case, group):
    past = case.numbers(case.n, case.columns, case.features)
    heard = case.numbers(case.tick, case.features, case.n)
    weights = [w if case.batch is None or w.ndim == 3 else np.repeat(w[..., None], 3, -1) for w in case.weights]

    @jax.jit
    def read(weights, each, buffer, heard):
        forward, back = (case.read(case.prepare(weights, way), buffer) for way in (False, True))
        place = lambda each: case.prepare(each, False).weights  # noqa: E731
        found = case.prepare(each, False).correlate(buffer, heard)
        return forward, back, jax.vjp(place, each)[1](found)[0]

    with cut(group):
        forward, back, carried = read(case.weights, weights, case.buffer(past), heard)
    close(forward, case.heard(past))
    close(back, case.answered(past))
    products = [np.zeros_like(w) for w in weights]
    for i, j in np.argwhere(case.connected):
        for tap in range(case.taps):
            first = case.depth - case.steps[i, j] - tap
            products[tap][i, j] = (past[j, first : first + case.tick] * heard[:, :, i]).sum((0, 1))
    for a, b in zip(carried, products, strict=True):
        close(a, b)


@pytest.mark.slow
@given(cases, groups)
@settings(max_examples=6)
def test_the_transpose_is_the_adjoint(case, group):
    """<read(x), y> = <x, read_T(y)> over a tick, what was sent before it included."""
    before = -(-case.depth // case.window) * case.window  # whole windows that cover the past
    past = case.depth + case.tick
    x = case.numbers(case.n, case.columns, case.features)
    x[:, past:] = 0
    y = case.numbers(case.tick, case.features, case.n)
    forth = jax.jit(lambda w, x: case.read(case.prepare(w, False), x))
    back = jax.jit(lambda w, y: case.read(case.prepare(w, True), y))
    with cut(group):
        there = (np.asarray(forth(case.weights, case.buffer(x)), float) * y).sum()
        tick, case.tick = case.tick, case.tick + before
        ahead = np.zeros((case.n, case.columns, case.features, *case.tail))
        ahead[:, before : before + tick] = np.moveaxis(y, 2, 0)
        answer = np.asarray(back(case.weights, case.buffer(ahead)), float)[before - case.depth :]
    again = (np.moveaxis(x[:, :past], 0, 2) * answer).sum()
    scale = np.abs(y).sum() * np.abs(x).max() * max(np.abs(w).max() for w in case.weights)
    assert abs(there - again) < 20 * EPS * scale


@pytest.mark.slow
def test_who_is_not_heard_is_not_read():
    """What fills up the lists weighs nothing, not even where the buffer is not finite."""
    case = Case(2, 6, 0.4, 4, 2, 1, None, 1, True)
    alone = np.flatnonzero(~case.connected.any(0))
    past = case.numbers(case.n, case.columns, case.features)
    sums = case.prepare(case.weights, False)
    clean = case.read(sums, case.buffer(past))
    past[alone] = np.nan
    np.testing.assert_array_equal(case.read(sums, case.buffer(past)), clean)


delays = st.integers(2, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 90), min_size=n * n, max_size=n * n).map(lambda x: np.reshape(x, (n, n))),
        st.lists(st.booleans(), min_size=n * n, max_size=n * n).map(lambda x: np.reshape(x, (n, n))),
    )
)


@given(delays, st.integers(1, 64))
def test_windows_within_windows_are_what_the_delays_allow(fewest_connected, window):
    fewest, connected = fewest_connected
    for length in (window, windows(fewest, connected)):
        inner = inner_window(fewest, connected, length)
        short = fewest[connected & (fewest < length)]
        assert length % inner == 0
        assert (short >= inner).all() or inner == 1
        longer = [k for k in range(inner + 1, length + 1) if length % k == 0]
        assert all((short < k).any() for k in longer)  # no longer one would do


def test_windows_are_as_long_as_pays():
    every = ~np.eye(20, dtype=bool)
    assert windows(np.full((20, 20), 1), every) == 1
    assert windows(np.full((20, 20), 64), every) >= 16
    assert windows(np.zeros((3, 3), int), np.zeros((3, 3), bool)) == reads._LONGEST_WINDOW
    some = np.full((20, 20), 40)
    some[3, 4] = 4  # a single short one does not hold up the others
    assert windows(some, every) > 4 == inner_window(some, every, windows(some, every))


@given(
    st.floats(0.5, 20.0),
    st.floats(0.7, 1.4),
    st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    st.sampled_from(["nearest", "linear", "cubic"]),
)
def test_the_reach_covers_every_speed_within_bounds(speed, faster, dt, interpolation):
    connectome = wiring("reach", longest=60.0)
    bounds = tuple(float(x) for x in np.array([1.0, 60.0]) / speed * np.array([1 / 1.5, 1.5]))
    net = gx.Network(
        gx.models.WongWang(),
        gx.couplings.Linear(source="S"),
        connectome,
        gx.Delay(speed, bounds=bounds, interpolation=interpolation),
    )
    fewest, most = net.delay.reach(dt)
    steps, shares = gx.Delay(speed * faster, interpolation=interpolation).steps(connectome, dt)
    connected = net.delay.spans.connected
    assert (np.asarray(steps) >= fewest)[connected].all()
    assert (np.asarray(steps) + len(shares) - 1 <= most)[connected].all()


WIRINGS = {
    "all": dict(longest=20.0),  # some round to no step
    "sparse": dict(n=8, share=0.3, longest=40.0, deaf=True),
    "far": dict(share=0.6, shortest=18.0, longest=48.0, deaf=True),
}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.long] * (i > 0)) for i, k in enumerate(WIRINGS)])
def test_whole_runs_do_not_depend_on_the_windows(kind, key, rounding, monkeypatch):
    coupling = {
        "far": gx.couplings.Difference(source=("x", "y"), strength=0.05),
        "more": gx.couplings.Linear(source="y", target="c_x", strength=0.02),
    }
    noise = gx.noise.White(sigma=0.01, states="x")
    expected, least = None, {"all": 0, "sparse": 0, "far": 6}[kind]
    for window in {"all": (1, 2, 8), "sparse": (1, 4, 16), "far": (4, 8, 16)}[kind]:
        picked = []
        pick = lambda *lags, k=window, seen=picked: seen.append(lags) or k  # noqa: E731
        monkeypatch.setattr(importlib.import_module("gyrax._engine.running"), "windows", pick)
        connectome = wiring(f"{kind}{window}", **WIRINGS[kind])
        net = gx.Network(gx.models.Hopf(a=0.1, omega=0.3), coupling, connectome, gx.Delay(3.0), noise)
        run = gx.simulate(net, duration=32.0, dt=1.0, key=key)
        ((fewest, connected),) = picked
        assert fewest[connected].min() == least and fewest[connected].max() >= 7
        expected = loop(net, 32, 1.0, key) if expected is None else expected
        assert np.abs(np.asarray(run["raw"].values) - expected).max() < rounding * 10
