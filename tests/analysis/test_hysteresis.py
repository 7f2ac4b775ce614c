"""Slow turns of a parameter against a loop of NumPy's, the branches themselves, and one long run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from conftest import DOUBLE
from toys import counting

DT, DURATION = 0.1, 40.0
VALUES = np.linspace(-1.2, 1.2, 25)


class Cubic(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    p: gx.Array = gx.parameter(-1.2)

    def drift(self, t, y, u):
        return self.p + y - y**3 / 3 + u

    def start(self, n):
        return jnp.full((1, n), -2.0)


def pair(strength=0.0, delay=None, **parts):
    connectome = gx.Connectome(np.array([[0.0, 1.0], [0.5, 0.0]]), 30 * (1 - np.eye(2)), labels=["A", "B"])
    return gx.Network(Cubic(), gx.couplings.Linear(source="x", strength=strength), connectome, delay, **parts)


@pytest.fixture(scope="module")
def uncoupled():
    return gx.analysis.adiabatic_scan(pair(), "model.p", VALUES, DURATION, DT)


def test_a_bistable_model_switches_at_the_folds_of_its_branch(uncoupled):
    branch = gx.analysis.continuation(pair(), "model.p", (-1.2, 1.2), start=np.full((1, 2), -2.3))
    low, high = np.sort(branch.folds["model.p"].values)
    mean = uncoupled["mean"].sel(state="x", region="A")
    up, down = VALUES[mean.sel(direction="up") > 0].min(), VALUES[mean.sel(direction="down") < 0].max()
    assert up == VALUES[high < VALUES].min() and down == VALUES[low > VALUES].max()
    differs = uncoupled.differs()
    between = (low < VALUES) & (high > VALUES)
    np.testing.assert_array_equal(differs.values[between], True)
    assert not differs.values[(down > VALUES) | (up < VALUES)].any()
    assert "up and down differ from -0." in repr(uncoupled)
    # far from the folds the settled state is a point of the branch
    for value, reached in zip(VALUES[:4], mean.sel(direction="up").values[:4], strict=True):
        at = branch.values[branch.values[:, 0, 0] < -1, 0, 0]
        np.testing.assert_allclose(reached, np.interp(value, branch.at[branch.values[:, 0, 0] < -1], at), atol=2e-3)


def naive(values, strength, lag, keeps_history=True):
    """The same by a loop over Heun's steps: mean, min and max of the second half at each value, `(value, region)`."""
    weights, x, found = strength * np.array([[0.0, 1.0], [0.5, 0.0]]), np.full(2, -2.0), []
    past = [x] * (lag + 1)

    def drift(x, heard, p):
        return p + x - x**3 / 3 + weights @ heard

    for p in values:
        path = []
        if not keeps_history:
            past = [x] * (lag + 1)
        for _ in range(round(DURATION / DT)):
            first = drift(x, past[-lag - 1], p)
            second = drift(x + DT * first, past[-lag], p)
            x = x + DT * (first + second) / 2
            past = [*past[1:], x]
            path.append(x)
        half = np.array(path[len(path) // 2 :])
        found.append([half.mean(0), half.min(0), half.max(0)])
    return np.array(found)


def test_it_is_a_loop_of_numpy_s_that_keeps_what_is_under_way():
    lag = 250  # 25 ms, more than half of what each value is given
    net = pair(0.3, gx.Delay(speed=30 / (lag * DT)))
    found = gx.analysis.adiabatic_scan(net, lambda n: n.model.p, VALUES[::3], DURATION, DT, settle=DURATION / 2)
    ways = np.r_[VALUES[::3], VALUES[::3][::-1]]
    expected, forgetful = naive(ways, 0.3, lag), naive(ways, 0.3, lag, keeps_history=False)
    n = len(VALUES[::3])
    for k, name in enumerate(("mean", "min", "max")):
        got = np.concatenate([found[name].values[0, :, 0], found[name].values[1, ::-1, 0]])
        np.testing.assert_allclose(got, expected[:, k], atol=1e-9 if DOUBLE else 1e-3)
    assert len(got) == 2 * n and np.abs(expected - forgetful).max() > 0.02  # so that it tells


@pytest.mark.slow
def test_a_knob_that_is_not_turned_leaves_one_long_run():
    net = pair(0.2, gx.Delay(speed=6.0), noise=gx.noise.White(sigma=0.1))
    near = -1.2 + 1e-9 * np.arange(2) if DOUBLE else np.array([-1.2, -1.1999998])
    key = jax.random.key(3)
    found = gx.analysis.adiabatic_scan(
        net, "model.p", near, DURATION, DT, settle=0.0, function=lambda run: run["raw"].values[:, 0], key=key
    )
    whole = np.asarray(gx.simulate(net, 4 * DURATION, DT, key=key)["raw"].values)[:, 0]
    ways = [found["value"].values[0, 0], found["value"].values[0, 1], *found["value"].values[1, ::-1]]
    np.testing.assert_allclose(np.concatenate(ways), whole, atol=1e-6 if DOUBLE else 1e-3)


def test_no_value_is_traced_again():
    model, count = counting()
    net = gx.Network(model(), gx.couplings.Linear(source="S"), np.zeros((2, 2)))
    gx.analysis.adiabatic_scan(net, "model.I_o", [0.30, 0.31], 20.0, 1.0)
    before = len(count)
    gx.analysis.adiabatic_scan(net, "model.I_o", np.linspace(0.29, 0.33, 6), 20.0, 1.0)
    assert len(count) == before


def test_what_a_function_measures_keeps_its_labels():
    net = pair(noise=gx.noise.White(sigma=0.1))
    found = gx.analysis.adiabatic_scan(
        net,
        "model.p",
        [-1.2, -1.1],
        DURATION,
        DT,
        function=lambda run: {"fc": gx.features.fc(run["raw"]), "first": run["raw"].values[0, 0, 0]},
        monitors={"raw": gx.monitors.Raw(source="x")},
        key=0,
    )
    assert found["fc"].dims == ("direction", "model.p", "region", "other")
    assert found["fc"].region.values.tolist() == ["A", "B"] and found["first"].dims == ("direction", "model.p")


def test_regions_turn_together_by_a_value_each():
    net = gx.per_region(pair(), "model.p")
    values = VALUES[::6, None] + np.array([0.0, 0.1])
    found = gx.analysis.adiabatic_scan(net, "model.p", values, DURATION, DT, states="x")
    assert found["mean"].dims == ("direction", "model.p", "state", "region")
    np.testing.assert_array_equal(found.to_xarray()["model.p values"], values)


def test_with_noise_only_what_noise_does_not_make_differs():
    net = pair(noise=gx.noise.White(sigma=0.05))
    found = gx.analysis.adiabatic_scan(net, "model.p", np.linspace(1.0, 1.2, 5), 2 * DURATION, DT, key=1)
    assert not found.differs(0.5).any()
    both = gx.analysis.adiabatic_scan(net, "model.p", np.linspace(-1.2, 1.2, 7), DURATION, DT, key=1)
    assert both.differs().values[2:5].any() and not both.differs().values[[0, -1]].any()


@pytest.mark.once
def test_what_cannot_be_turned_is_said(uncoupled):
    def scan(values=(0.0, 1.0), duration=DURATION, **options):
        return gx.analysis.adiabatic_scan(options.pop("net", pair()), "model.p", values, duration, DT, **options)

    with pytest.raises(ValueError, match=r"rising, and after model.p = 1 comes 0"):
        scan([1.0, 0.0])
    with pytest.raises(ValueError, match=r"two numbers at least, got shape \(1,\)"):
        scan([1.0])
    with pytest.raises(ValueError, match=r"settle is a part of the 40 ms at each value, got 40 ms"):
        scan(settle=40.0)
    with pytest.raises(ValueError, match=r"give function= too"):
        scan(monitors=gx.monitors.Raw())
    with pytest.raises(ValueError, match=r"leave states= or function= out"):
        scan(states="x", function=lambda run: run["raw"].values.mean())
    with pytest.raises(ValueError, match=r"monitor 'mean' has a sample every 15 ms: take a multiple"):
        scan(
            function=lambda run: run["mean"].values.mean(), monitors={"mean": gx.monitors.TemporalAverage(period=15.0)}
        )
    with pytest.raises(ValueError, match=r"noise: give simulate a key"):
        scan(net=pair(noise=gx.noise.White()))
    with (
        pytest.raises(ValueError, match=r"stopped on the way up at model.p = 1e\+08: a state is not finite"),
        pytest.warns(RuntimeWarning),
    ):
        scan([1e8, 2e8])
    with pytest.raises(ValueError, match=r"lies outside of its domain"):
        gx.analysis.adiabatic_scan(pair(), "coupling.strength", [-1.0, 1.0], DURATION, DT)
    with pytest.raises(ValueError, match=r"apart is a share of a range"):
        uncoupled.differs(2.0)
    assert uncoupled.plot(region="B").get_xlabel() == "model.p"
    with pytest.raises(ValueError, match=r"no variable 'what'"):
        uncoupled.plot("what")


class Exploding(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    h: gx.Array = gx.parameter(-1.0)

    def drift(self, t, y, u):
        return self.h * y + jnp.where(self.h > 0.5, y**3, 0) + u

    def start(self, n):
        return jnp.ones((1, n))


def exploding():
    return gx.Network(Exploding(), gx.couplings.Linear(source="x"), np.zeros((1, 1)))


def test_what_was_finished_is_kept():
    with pytest.warns(RuntimeWarning) as said:
        found = gx.analysis.adiabatic_scan(exploding(), "model.h", [-1.0, 0.1, 0.6], 20.0, DT)
    assert "the scan stopped on the way down at model.h = 0.6: a state is not finite" in str(said[-1].message)
    # x' = h x from 1 on, as long as it is small
    up, down = np.log(found["max"].values[:, :, 0, 0])
    np.testing.assert_allclose(up, [-10.0, -18.0, -6.0], atol=0.2)
    assert np.isnan(down).all() and found.done == 3 and found["mean"].dims[:2] == ("direction", "model.h")
    assert not found.differs().any() and "3 of 6 values are kept" in repr(found) and "cannot be compared" in repr(found)


def given(steps):
    """What a function gives that counts its calls: `steps` by call."""
    calls = iter(steps)

    def function(run):
        out = next(calls)
        if isinstance(out, BaseException):
            raise out
        return out

    return function


def measured(steps):
    return gx.analysis.adiabatic_scan(exploding(), "model.h", [-1.0, -0.9, -0.8], 1.0, 0.5, function=given(steps))


def test_an_interrupt_keeps_what_there_is():
    with pytest.warns(RuntimeWarning, match="interrupted; 5 of 6 values are kept"):
        found = measured([1, 2, 3, 3, 7, KeyboardInterrupt()])
    assert found["value"].values[0].tolist() == [1, 2, 3] and found["value"].values[1, 1:].tolist() == [7, 3]
    assert found.differs().values.tolist() == [False, True, False]
    assert "differ at -0.9" in repr(found) and "after 5 of 6 values: interrupted" in found.stopped
    with pytest.raises(KeyboardInterrupt):
        measured([KeyboardInterrupt()])


@pytest.mark.once
@pytest.mark.parametrize("gap", [np.nan, np.inf])
def test_one_unknown_number_hides_nothing(gap):
    found = measured([{"a": np.array([x, np.nan])} for x in (0.0, 0.0, gap, 1.0, 1.0, 0.0)])
    assert found.differs().values.tolist() == [False, True, False]
    assert found.unknown.values.tolist() == [False, False, True]
    said = repr(found)
    assert "up and down differ at -0.9" in said and "not compared at -0.8, where something is not finite" in said
    assert "1 of 2 numbers of 'a', finite nowhere" in said
    nothing = measured([np.nan] * 6)
    assert "differ nowhere" in repr(nothing) and "not compared: 'value' is finite nowhere" in repr(nothing)


@pytest.mark.once
def test_a_function_gives_the_same_at_all_values():
    with pytest.raises(
        ValueError, match=r"function gave 'a' at the first value, and 'a', 'b' on the way up at model.h = -0.9"
    ):
        measured([{"a": 1.0}, {"a": 1.0, "b": 1.0}])
    with pytest.raises(ValueError, match=r"function gave 'a', 'b' at the first value, and 'a' on the way down"):
        measured([{"a": 1.0, "b": 1.0}] * 4 + [{"a": 1.0}])
    with pytest.raises(
        ValueError, match=r"in other shapes at other values: \(\) at the first, and \(2,\) on the way up"
    ):
        measured([{"a": 1.0}, {"a": np.ones(2)}])
    with pytest.raises(ValueError, match="with other labels at other values"):
        measured([gx.LabelledArray(np.ones(2), (names,)) for names in (("A", "B"), ("B", "A"))])
