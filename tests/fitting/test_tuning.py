"""Tuning rules against a plain NumPy loop of simulation and rule, the fixed points of the equations, and what must never change."""

import functools
import shutil
import sys

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import gyrax as gx
from exc_inh import WEIGHTS, network, rate, run, wiener
from gyrax.fitting import blocks
from gyrax.fitting.rules import EIB, FIC, AbstractRule
from gyrax.fitting.tuning import TuneResult, _named, tune

SINGLE = jnp.result_type(float) == jnp.float32
PERIOD, DT = 80.0, 4.0
STEPS = round(PERIOD / DT)
OFF = ~np.eye(5, dtype=bool)
TARGET = np.array(
    [
        [1.0, 0.5, -0.2, 0.3, 0.1],
        [0.5, 1.0, 0.4, 0.2, 0.6],
        [-0.2, 0.4, 1.0, 0.7, 0.0],
        [0.3, 0.2, 0.7, 1.0, 0.35],
        [0.1, 0.6, 0.0, 0.35, 1.0],
    ]
)
MEAN = gx.monitors.TemporalAverage(source="S_e", period=PERIOD)
quiet = functools.partial(tune, period=PERIOD, dt=DT, progress=False)


def eib(**arguments) -> EIB:
    return EIB(TARGET, **{"monitor": MEAN, "window": 6, "ramp": 10, "rate": 0.3} | arguments)


def trapezoid(path: np.ndarray) -> np.ndarray:
    """Mean over time of states at the start and after each step."""
    return (path[:-1] + path[1:]).mean(0) / 2


def loop(key, pieces: int, rate_fic: float = 0.2, rate_eib: float = 0.3, window: int = 6, ramp: int = 10) -> dict:
    """Simulation, FIC and EIB in a plain loop, as the papers' equations have them."""
    J_i, lre, ffi = np.linspace(0.9, 1.3, 5), WEIGHTS.copy(), 0.5 * WEIGHTS
    dw = wiener(key, pieces * STEPS, DT).reshape(pieces, STEPS, 2, 5)
    y, bold, found = np.full((2, 5), 0.001), [], {"activity": [], "departure": [], "r": [], "rmse": []}
    for piece in range(pieces):
        path = run(y, dw[piece], DT, J_i, lre, ffi)
        y, (s_e, s_i) = path[-1], trapezoid(path)
        J_i = np.maximum(J_i + rate_fic * (s_i * s_e - 0.25 * s_i), 0)
        found["activity"].append(s_e.mean())
        found["departure"].append(np.sqrt(((s_e - 0.25) ** 2).mean()))
        bold.append(s_e)
        if len(bold) < window:
            found["r"].append(np.nan)
            found["rmse"].append(np.nan)
            continue
        fc = np.corrcoef(np.array(bold[-window:]).T)
        found["r"].append(np.corrcoef(fc[OFF], TARGET[OFF])[0, 1])
        found["rmse"].append(np.sqrt(((fc - TARGET)[OFF] ** 2).mean()))
        for i in range(5):
            error = np.sqrt(np.mean([(TARGET[i, j] - fc[i, j]) ** 2 for j in range(5) if j != i]))
            for j in range(5):
                change = min((piece + 1) / ramp, 1) * rate_eib * (TARGET[i, j] - fc[i, j]) * error * WEIGHTS[i, j]
                lre[i, j], ffi[i, j] = max(lre[i, j] + change, 0), max(ffi[i, j] - change, 0)
    return {"J_i": J_i, "lre": lre, "ffi": ffi, "y": y} | {name: np.array(values) for name, values in found.items()}


def found(result: TuneResult) -> dict[str, np.ndarray]:
    net = result.network
    weights = {name: net.coupling[name].weights for name in ("lre", "ffi")}
    history = {name.split(".")[1]: values for name, values in result.history.items()}
    return {"J_i": net.model.J_i, "y": result.final.y, **weights, **history}


@pytest.fixture(scope="module")
def both() -> TuneResult:
    """FIC and EIB together, 14 pieces."""
    return quiet(network(), [FIC(rate=0.2), eib()], steps=14, key=jax.random.key(7))


@pytest.mark.slow("float64", "float32")
def test_both_rules_equal_a_plain_loop(both, key, rounding):
    ours, expected = found(both), loop(key, 14)
    assert abs(expected["lre"] - WEIGHTS).max() > 0.05 and np.isnan(expected["r"][:5]).all()
    for name, values in expected.items():
        # correlations of six samples, and what is made of them, magnify the rounding of the states
        wide = name in ("r", "rmse", "lre", "ffi", "J_i", "y")
        np.testing.assert_allclose(ours[name], values, atol=(500 if wide else 50) * rounding, err_msg=name)


@pytest.mark.slow
def test_goes_on_exactly_where_it_stopped(both):
    rules = [FIC(rate=0.2), eib()]
    first = quiet(network(), rules, steps=9, key=jax.random.key(7))
    second = quiet(first.network, rules, steps=5, start=first)
    for name, value in found(both).items():
        ours = found(second)[name]
        earlier = [] if name in ("J_i", "lre", "ffi", "y") else [found(first)[name]]
        np.testing.assert_array_equal(np.concatenate([*earlier, ours]), value, err_msg=name)


@pytest.mark.slow
def test_a_rule_that_changes_nothing_is_one_long_run(key, rounding):
    """Monitors of several samples a piece, and a slow one, go on over pieces."""
    bold = gx.monitors.Balloon(source="S_e", period=PERIOD)

    class Watch(AbstractRule):
        def monitors(self, period):
            return {"fast": gx.monitors.TemporalAverage(source="S_i", period=20.0), "bold": bold}

        def update(self, network, state, recordings):
            fast, slow = recordings["fast"].values, recordings["bold"].values
            assert fast.shape == (4, 1, 5) and slow.shape == (1, 5)
            return network, state, {"fast": fast[-1].sum(), "slow": slow.sum()}

    result = quiet(network(), [Watch()], steps=5, key=key)
    monitors = {"fast": gx.monitors.TemporalAverage(source="S_i", period=20.0), "bold": bold}
    whole = gx.simulate(network(), 5 * PERIOD, DT, monitors=monitors, key=key)
    np.testing.assert_allclose(result.final.y, whole.final.y, rtol=50 * rounding)
    np.testing.assert_allclose(result.history["Watch.fast"], whole["fast"].values[3::4].sum((1, 2)), rtol=50 * rounding)
    slow = np.asarray(whole["bold"].values.sum(1))
    np.testing.assert_allclose(
        result.history["Watch.slow"], slow, rtol=1e-3 if SINGLE else 1e-9, atol=50 * rounding * abs(slow).max()
    )
    assert int(result.final.step) == 5 * STEPS


# Where the rules lead


def fixed_point(target: float) -> float:
    """The J_i at which an isolated region rests with S_e at the target."""
    s_i = brentq(lambda s: -s / 10 + 1e-3 * rate(0.15 * target - s + 0.7 * 0.382, 615, 177, 0.087), 0, 1, xtol=1e-15)
    needed = target / 100 / ((1 - target) * 0.641e-3)  # Hz
    x_e = brentq(lambda x: rate(x, 310, 125, 0.16) - needed, 0.2, 0.6, xtol=1e-15)
    return (1.4 * 0.15 * target + 0.382 - x_e) / s_i


@pytest.mark.slow
def test_fic_ends_at_the_analytic_fixed_point():
    """Isolated regions without noise, each with a target of its own."""
    targets = np.array([0.15, 0.2, 0.25, 0.3, 0.35])
    net = network(sigma=None, scale=0.0)
    result = quiet(net, [FIC(rate=2.0, target=targets)], steps=1500)
    np.testing.assert_allclose(
        result.network.model.J_i, [fixed_point(t) for t in targets], rtol=1e-3 if SINGLE else 1e-6
    )
    assert result.history["FIC.departure"][-1] < 1e-4 < 0.03 < result.history["FIC.departure"][0]


@pytest.mark.slow
def test_fic_reaches_its_target_within_the_noise(key):
    result = quiet(network(), [FIC(rate=0.1)], steps=1500, key=key)
    mean = gx.monitors.TemporalAverage(source="S_e", period=60_000.0)
    run = gx.simulate(result.network, 120_000.0, DT, monitors={"mean": mean}, key=jax.random.key(1))
    np.testing.assert_allclose(run["mean"].values[-1, 0], 0.25, atol=0.03)
    assert abs(result.history["FIC.activity"][-1000:].mean() - 0.25) < 0.02


@pytest.mark.slow
def test_eib_improves_the_connectivity_it_is_given(key):
    """A target that the network can have: that of the same network with other weights."""
    bold, keys = gx.monitors.TemporalAverage(source="S_e", period=PERIOD), jax.random.split(key)
    teacher = eqx.tree_at(lambda n: n.coupling["lre"].weights, network(), jnp.asarray(WEIGHTS[::-1, ::-1] * 2.0))
    fc = lambda net, k: gx.features.fc(gx.simulate(net, 160_000.0, DT, monitors={"b": bold}, key=k)["b"])  # noqa: E731
    target = fc(teacher, keys[0])
    rule = EIB(target, monitor=bold, window=500, ramp=0, rate=0.02)
    result = quiet(network(), [FIC(), rule], steps=1200, key=keys[1])
    before, after = (float(gx.losses.fc_rmse(fc(net, keys[0]), target)) for net in (network(), result.network))
    assert after < 0.8 * before


# What must never change


def recordings(samples: np.ndarray) -> dict[str, gx.Recording]:
    """As of one piece, `(time, region)`."""
    values = jnp.asarray(samples[:, None], jnp.result_type(float))
    labels = tuple("ABCDE")
    return {
        "bold": gx.Recording(values, jnp.asarray(1), PERIOD, DT, 0.0, ("time", "state", "region"), ("S_e",), labels)
    }


ONE = recordings(np.zeros((1, 5)))
update = eqx.filter_jit(lambda rule, net, state, recordings: rule.update(net, state, recordings))
windows = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=(6, 5)))


@pytest.mark.slow
@hypothesis.given(window=windows, strength=st.floats(0.01, 100.0), pieces=st.integers(0, 30))
def test_weights_stay_at_zero_or_more_and_zeros_stay(window, strength, pieces):
    rule, net = eib(rate=strength), network()
    state = (jnp.asarray(window, jnp.result_type(float)), jnp.asarray(6, jnp.int32), jnp.asarray(pieces, jnp.int32))
    sample = eqx.tree_at(lambda r: r["bold"].values, ONE, jnp.asarray(window[:1, None], jnp.result_type(float)))
    new, (kept, samples, count), _ = update(rule, net, state, sample)
    assert int(count) == pieces + 1 and int(samples) == 6
    np.testing.assert_array_equal(kept, np.concatenate([window[1:], window[:1]]).astype(kept.dtype))
    fc = np.corrcoef(np.asarray(kept).T)
    rises = (fc < TARGET)[WEIGHTS > 0]
    for name, sign in (("lre", 1), ("ffi", -1)):
        before, after = np.asarray(net.coupling[name].weights), np.asarray(new.coupling[name].weights)
        assert (after >= 0).all() and (after[WEIGHTS == 0] == 0).all()
        moved = (sign * (after - before))[WEIGHTS > 0]
        assert ((moved >= 0) == rises)[np.abs(moved) > 1e-6].all()
    assert jnp.array_equal(new.model.J_i, net.model.J_i)


@hypothesis.given(s_e=st.lists(st.floats(0, 1), min_size=5, max_size=5), strength=st.floats(0.01, 1e3))
def test_fic_keeps_inhibition_at_zero_or_more_and_moves_towards_the_target(s_e, strength):
    rule, net, s_i = FIC(rate=strength), network(), np.linspace(0.05, 0.2, 5)
    record = eqx.tree_at(lambda r: r.values, ONE["bold"], jnp.asarray([[s_e, s_i]], jnp.result_type(float)))
    new, state, history = update(rule, net, None, {"mean": record})
    change = np.asarray(new.model.J_i) - np.asarray(net.model.J_i)
    assert state is None and (np.asarray(new.model.J_i) >= 0).all()
    np.testing.assert_allclose(history["activity"], np.mean(s_e), rtol=1e-5, atol=1e-6)
    apart = np.array(s_e) - 0.25
    assert (np.sign(change) == np.sign(apart))[np.abs(apart) > 1e-3].all()
    assert all(jnp.array_equal(new.coupling[c].weights, net.coupling[c].weights) for c in ("lre", "ffi"))


def test_entries_that_do_not_count_pull_at_nothing_and_are_not_told_of():
    """As a plain update has it: only the pairs of four regions, errors over those; the rest of the target may be missing."""
    there = np.array([True, True, False, True, True])
    target = TARGET.copy()
    target[2], target[:, 2] = np.nan, np.nan
    rule = EIB(target, monitor=MEAN, window=6, ramp=0, rate=0.3, where=there)
    result = quiet(network(), [rule], steps=8, key=jax.random.key(2))
    whole = quiet(network(), [eib(ramp=0)], steps=6, key=jax.random.key(2))
    lre = result.network.coupling["lre"].weights
    np.testing.assert_array_equal(lre[2], WEIGHTS[2].astype(lre.dtype))
    np.testing.assert_array_equal(lre[:, 2], WEIGHTS[:, 2].astype(lre.dtype))
    assert np.isfinite(result.history["EIB.r"][6:]).all() and np.isfinite(result.history["EIB.rmse"][6:]).all()
    # the same activity up to the first change: its connectivity is known
    window = jnp.asarray(whole.states["EIB"][0])
    kept = np.ix_(there, there)
    found, off = np.corrcoef(np.asarray(window).T)[kept], ~np.eye(4, dtype=bool)
    assert result.history["EIB.r"][5] == pytest.approx(np.corrcoef(found[off], TARGET[kept][off])[0, 1], abs=1e-4)
    rmse = np.sqrt(((found - TARGET[kept])[off] ** 2).mean())
    assert result.history["EIB.rmse"][5] == pytest.approx(rmse, abs=1e-5)


def test_what_counts_is_checked():
    with pytest.raises(ValueError, match="where= leaves 0 entries of EIB's target"):
        EIB(TARGET, monitor=MEAN, where=np.zeros(5, bool))
    with pytest.raises(ValueError, match=r"where= has shape \(3,\)"):
        EIB(TARGET, monitor=MEAN, where=np.ones(3, bool))
    other = EIB(TARGET, monitor=MEAN, where=pd.Series(np.ones(5, bool), list("UVWXY")))
    with pytest.raises(ValueError, match="labels disagree"):
        quiet(network(), [other], steps=1)


@pytest.mark.slow("float32")
def test_nothing_is_learned_until_the_window_is_full(key):
    rules = [FIC(rate=0.2), eib()]
    result = quiet(network(), rules, steps=5, key=key)
    assert np.isnan(result.history["EIB.r"]).all()
    np.testing.assert_array_equal(result.network.coupling["lre"].weights, network().coupling["lre"].weights)
    later = quiet(result.network, rules, steps=1, start=result)
    assert np.isfinite(later.history["EIB.r"]).all()
    assert (later.network.coupling["lre"].weights != network().coupling["lre"].weights).any()


def test_the_window_slides_by_all_samples_of_a_piece(rounding):
    """Four samples a piece, in windows of six and of three; while the first fills, nothing changes."""
    net, samples = network(), np.random.default_rng(0).normal(size=(3, 4, 5))
    for size, expected in ((6, samples.reshape(12, 5)[6:]), (3, samples[2, 1:])):
        rule, now = eib(window=size), net
        state = rule.init(net)
        for piece in range(3):
            now, state, history = update(rule, now, state, recordings(samples[piece]))
            full = 4 * (piece + 1) >= size
            assert (
                np.isnan(history["r"])
                == (not full)
                == jnp.array_equal(*(n.coupling["lre"].weights for n in (now, net)))
            )
        np.testing.assert_allclose(state[0], expected, rtol=rounding)
        assert (int(state[1]), int(state[2])) == (size, 3)


def test_excitation_alone_can_learn():
    net, rule = network(), eib(inhibition=None)
    full = (
        jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.result_type(float)),
        *map(jnp.asarray, (6, 3)),
    )
    new, *_ = update(rule, net, full, ONE)
    np.testing.assert_array_equal(new.coupling["ffi"].weights, net.coupling["ffi"].weights)
    assert (new.coupling["lre"].weights != net.coupling["lre"].weights).any()


# Rules of one's own, and what comes back


def counting() -> tuple[AbstractRule, list[int]]:
    count: list[int] = []

    class Counting(FIC):
        def update(self, network, state, recordings):
            count.append(1)
            return super().update(network, state, recordings)

    return Counting, count


@pytest.mark.slow
def test_other_rates_weights_and_steps_compile_nothing_anew(key):
    rule, count = counting()
    quiet(network(), [rule(rate=0.1)], steps=3, key=key)
    before = len(count)
    quiet(network(scale=0.7), [rule(rate=0.3, target=0.2)], steps=400, key=jax.random.key(9))
    assert before > 0 and len(count) == before


def test_rules_of_one_kind_are_numbered():
    first, second, third = FIC(rate=0.1), FIC(rate=0.2), eib()
    assert _named([first, third, second]) == {"FIC": first, "EIB": third, "FIC_1": second}
    odd = type("My_Rule", (FIC,), {})
    assert list(_named([odd(), odd(), first])) == ["My_Rule", "My_Rule_1", "FIC"]


@pytest.mark.slow("float32")
def test_result_tells_plots_and_survives_an_interruption(key, monkeypatch):
    result = quiet(network(), [FIC(), eib()], steps=7, key=key)
    text = repr(result)
    assert "7 pieces of 80 ms" in text and "FIC.activity" in text and "EIB.r " in text and "nan" not in text
    assert result.stopped == "steps" and result.seconds > 0 and "interrupted" not in text
    assert {line.get_label() for line in result.plot().lines} == set(result.history)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["gyrax.fitting.tuning"], "_advance", interrupt)
    stopped = quiet(network(), [FIC()], steps=7, key=key)
    assert stopped.stopped == "interrupted" and len(stopped.history["FIC.activity"]) == 1
    assert "interrupted" in repr(stopped)


# Checkpoints


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Three pieces of a tuning of six, and the checkpoint that they left."""
    file = tmp_path_factory.mktemp("tuned") / "tune.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_SECONDS", 0.0)  # a file after every piece
        quiet(network(), [FIC(rate=0.2), eib()], steps=3, key=jax.random.key(7), checkpoint=file)
    return file


@pytest.fixture
def file(kept, tmp_path):
    return shutil.copy(kept, tmp_path / "tune.npz")


@pytest.mark.once
def test_a_tuning_goes_on_from_its_checkpoint_to_the_bit(file, key):
    rules = [FIC(rate=0.2), eib()]
    whole = quiet(network(), rules, steps=6, key=key)
    resumed = quiet(network(), rules, steps=6, key=key, checkpoint=file)
    finished = quiet(network(), rules, steps=6, key=key, checkpoint=file)
    for other in (resumed, finished):
        for name, values in found(whole).items():
            np.testing.assert_array_equal(found(other)[name], values)
        assert int(other.final.step) == 6 * STEPS and len(other.history["EIB.r"]) == 6


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(rules=[FIC(rate=0.3), eib()]), "rule FIC.rate differs: 0.2 there, 0.3 here"),
        (dict(rules=[FIC(rate=0.2)]), "the rules differs"),
        (dict(period=2 * PERIOD), "period differs: 80.0 there, 160.0 here"),
        (dict(key=jax.random.key(8)), "the key differs"),
        (dict(start=jnp.full((2, 5), 0.1)), "where it starts differs"),
        (dict(network=network(scale=0.7)), "differs"),
    ],
)
@pytest.mark.slow("float64")
def test_the_checkpoint_of_another_tuning_is_refused(change, message, file, key):
    arguments = dict(network=network(), rules=[FIC(rate=0.2), eib()], steps=6, key=key, checkpoint=file) | change
    with pytest.raises(ValueError, match="is the checkpoint of another run: ") as told:
        quiet(**arguments)
    assert message in str(told.value) and "changed=" not in str(told.value)


# Errors


def without(what: str) -> gx.Network:
    return eqx.tree_at(lambda n: n.coupling[what].weights, network(), None)


LABELS = list("ABDCE")


@pytest.mark.once
@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda: quiet(network(), [], steps=1), ValueError, r"one rule at least, such as \[gx.FIC\(\)\]"),
        (lambda: quiet(network(), FIC(), steps=1), ValueError, "list of one rule at least"),
        (lambda: quiet(network(), ["FIC"], steps=1), TypeError, "'FIC' is no rule"),
        (lambda: quiet(network(), [FIC()], steps=0), ValueError, "from 1 on, got 0"),
        (lambda: quiet(network(), [FIC()], steps=1), ValueError, "has noise: give"),
        (
            lambda: quiet(network(), [FIC(leaf="model.J_e")], steps=1),
            ValueError,
            "no parameter 'model.J_e'; did you mean",
        ),
        (lambda: quiet(network(), [FIC(leaf="coupling")], steps=1), ValueError, "coupling is 4 parameters: coupling"),
        (
            lambda: quiet(network(), [FIC(leaf="model.I_o")], steps=1),
            ValueError,
            r"gx.per_region\(network, 'model.I_o'\)",
        ),
        (lambda: quiet(network(), [FIC(target=np.ones(3))], steps=1), ValueError, r"target has shape \(3,\)"),
        (lambda: quiet(network(), [FIC(excitation="S")], steps=1), ValueError, "'FIC.mean' reads 'S'"),
        (lambda: quiet(without("lre"), [eib()], steps=1), ValueError, "acts over the connectome's weights: give it"),
        (lambda: quiet(network(), [eib(excitation="coupling.w")], steps=1), ValueError, "no parameter 'coupling.w'"),
        (lambda: quiet(network(), [eib(excitation="model.J_i")], steps=1), ValueError, r"model.J_i has shape \(5,\)"),
        (lambda: quiet(network(), [EIB(TARGET[:4, :4], monitor=MEAN)], steps=1), ValueError, r"the network 5 regions"),
        (lambda: EIB(TARGET[:4], monitor=MEAN), ValueError, r"got shape \(4, 5\)"),
        (lambda: EIB(2 * TARGET, monitor=MEAN), ValueError, "no correlations, such as 1"),
        (lambda: EIB(np.nan * TARGET, monitor=MEAN), ValueError, "no correlations, such as nan"),
        (lambda: eib(window=1), ValueError, "a window of 1 samples"),
        (lambda: eib(ramp=-1), ValueError, "ramp is a whole number from 0 on"),
        (
            lambda: quiet(network(), [EIB(pd.DataFrame(TARGET, LABELS, LABELS), monitor=MEAN)], steps=1),
            ValueError,
            "number 2 is 'D' in EIB's target, but 'C' in the network",
        ),
        (
            lambda: quiet(network(), [eib(monitor=gx.monitors.TemporalAverage(source="S_e", period=60.0))], steps=1),
            ValueError,
            "samples every 60 ms, which does not divide the pieces of period = 80 ms",
        ),
        (
            lambda: quiet(
                network(), [eib(monitor=gx.monitors.TemporalAverage(period=PERIOD))], steps=1, key=jax.random.key(0)
            ),
            ValueError,
            r"samples of shape \(2, 5\), expected one value a region",
        ),
    ],
)
def test_what_does_not_fit_is_refused(act, kind, message):
    with pytest.raises(kind, match=message):
        act()


@pytest.mark.once
def test_going_on_with_another_window_is_refused(both):
    with pytest.raises(ValueError, match=r"EIB remembers something else in start= .* from start.final"):
        quiet(both.network, [FIC(rate=0.2), eib(window=7)], steps=1, start=both)


@pytest.mark.once
def test_negative_weights_are_refused():
    net = eqx.tree_at(lambda n: n.coupling["ffi"].weights, network(), jnp.asarray(-WEIGHTS))
    with pytest.raises(ValueError, match=r"coupling.ffi.weights has negative ones"):
        quiet(net, [eib()], steps=1)


def own(change) -> AbstractRule:
    class Own(FIC):
        def update(self, network, state, recordings):
            return change(network, state, *super().update(network, state, recordings))

    return Own()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda net, s, new, t, h: (eqx.tree_at(lambda n: n.model.J_i, net, jnp.ones(())), t, h),
            TypeError,
            r"J_i: float.*\[5\]",
        ),
        (lambda net, s, new, t, h: (new, jnp.ones(2), h), TypeError, "Own changes what it remembers in shape"),
        (lambda net, s, new, t, h: (new, t, {"J": new.model.J_i}), TypeError, r"Own reports 'J' of shape \(5,\)"),
        (
            lambda net, s, new, t, h: (eqx.tree_at(lambda n: n.model.J_i, net, net.model.J_i * jnp.nan), t, h),
            FloatingPointError,
            "after piece 0 of 80 ms, a rule has made model.J_i nan",
        ),
    ],
)
def test_a_rule_that_breaks_the_network_is_told(change, kind, message, key):
    with pytest.raises(kind, match=message):
        quiet(network(), [own(change)], steps=1000, key=key)


def test_activity_that_explodes_is_told():
    class Watch(AbstractRule):
        def monitors(self, period):
            return {}

        def update(self, network, state, recordings):
            return network, state, {}

    net = gx.Network(gx.models.Linear(gamma=-1.0), {}, gx.Connectome(np.zeros((2, 2)), labels=["A", "B"]))
    net = eqx.tree_at(lambda n: n.model.gamma, net, jnp.asarray([-1.0, 1.0]))
    with pytest.raises(FloatingPointError, match=r"in piece \d+ of 20 ms .* first in B"):
        tune(net, [Watch()], steps=1000, period=20.0, dt=0.5, start=jnp.ones((1, 2)), progress=False)
