"""Connectivity dynamics against neurolib (stored) and plain loops, their invariants, gradients, and wrong input."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import hilbert

import gyrax as gx
from gyrax.features.connectivity_dynamics import fcd, fcd_values, phase_fcd, windowed_fc
from gyrax.losses import ks_distance
from slopes import slope

SINGLE = jnp.result_type(float) == jnp.float32
quick = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


def signals(seed, samples=40, channels=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, channels)) @ rng.normal(size=(channels, channels))


def recording(values, period=1.0):
    labels = tuple("ABCDE"[: values.shape[1]])
    return gx.Recording(jnp.asarray(values), jnp.array(1), period, period, 0.0, ("time", "region"), ("S",), labels)


def loop(x, length, stride):
    """Windowed FC, and correlations between it, entry by entry."""
    windows = [x[t : t + length] for t in range(0, len(x) - length + 1, stride)]
    matrices = np.array([np.corrcoef(window.T) for window in windows])
    n = x.shape[1]
    edges = [[m[i, j] for i in range(n) for j in range(i + 1, n)] for m in matrices]
    return matrices, np.array([[np.corrcoef(a, b)[0, 1] for b in edges] for a in edges])


@pytest.fixture(scope="module")
def neurolib():
    return dict(np.load(Path(__file__).parents[1] / "data" / "fcd.npz"))


@pytest.mark.slow
def test_fcd_equals_neurolib(neurolib, rounding):
    window, step = (float(neurolib[name]) * 2000.0 for name in ("window", "step"))
    found = {name: fcd(neurolib[name], window, step, period=2000.0) for name in "xy"}
    assert found["x"].shape == (12, 12)
    for name in "xy":
        np.testing.assert_allclose(found[name], neurolib[f"fcd_{name}"], atol=20 * rounding)
    ks = ks_distance(fcd_values(found["x"]), fcd_values(found["y"]))
    np.testing.assert_allclose(ks, neurolib["ks"], rtol=rounding)
    assert 0.2 < neurolib["ks"] < 0.9


@pytest.mark.slow("float32")
@pytest.mark.parametrize(("length", "stride"), [(5, 1), (8, 3), (20, 20), (13, 27)])
@pytest.mark.slow("float64")
def test_windows_equal_a_loop(length, stride, rounding):
    x = signals(1)
    matrices, expected = loop(x, length, stride)
    found = windowed_fc(x, 0.5 * length, 0.5 * stride, period=0.5)
    assert found.shape == matrices.shape
    np.testing.assert_allclose(found, matrices, atol=20 * rounding)
    np.testing.assert_allclose(fcd(x, 0.5 * length, 0.5 * stride, period=0.5), expected, atol=100 * rounding)


def test_windows_of_a_recording_know_its_period(rounding):
    x = signals(2)
    found = windowed_fc(recording(x, 2.0), window=20.0, step=10.0)
    np.testing.assert_allclose(found, loop(x, 10, 5)[0], atol=20 * rounding)
    np.testing.assert_allclose(jax.jit(lambda r: windowed_fc(r, 20.0, 10.0))(recording(x, 2.0)), found, atol=rounding)
    assert windowed_fc(x, 40.0, 1.0, period=1.0).shape == (1, 4, 4)


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.permutations(range(4)), st.floats(0.5, 3.0), st.floats(-2.0, 2.0))
def test_fcd_does_not_depend_on_scale_or_order(rounding, seed, order, scale, offset):
    x = signals(seed)
    found = np.asarray(fcd(x, 10.0, 6.0, period=1.0))
    np.testing.assert_allclose(found, found.T, atol=rounding)
    np.testing.assert_allclose(np.diag(found), 1, atol=10 * rounding)
    np.testing.assert_allclose(fcd(scale * x[:, order] + offset, 10.0, 6.0, period=1.0), found, atol=200 * rounding)


@pytest.mark.slow
def test_gradients_of_dynamics():
    x = signals(3, 24)
    weights = np.random.default_rng(0).normal(size=(4, 4))
    exact, numeric = slope(lambda x: (fcd(x, 9.0, 5.0, period=1.0) * weights).sum(), x)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=5e-3 if SINGLE else 1e-6)
    mixed = np.random.default_rng(1).normal(size=(24, 24))
    exact, numeric = slope(lambda x: (phase_fcd(x) * mixed).sum(), x - x.mean(0), step=None if SINGLE else 1e-6)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=2e-2 if SINGLE else 1e-5)


def test_values_above_the_diagonal():
    m = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(fcd_values(m), [1, 2, 3, 6, 7, 11])
    np.testing.assert_array_equal(fcd_values(m, apart=2), [2, 3, 7])
    for apart in (0, 4):
        with pytest.raises(ValueError, match=f"apart is from 1 to 3 for 4 windows, got {apart}"):
            fcd_values(m, apart)
    with pytest.raises(ValueError, match=r"expected a square matrix \(window, window\), got shape \(4, 3\)"):
        fcd_values(m[:, :3])


@pytest.mark.slow
def test_phase_fcd_equals_a_loop(rounding):
    x = signals(4, 30)
    theta = np.angle(hilbert(x - x.mean(0), axis=0))
    patterns = [[np.cos(t[i] - t[j]) for i in range(4) for j in range(i + 1, 4)] for t in theta]
    expected = [[np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for b in patterns] for a in patterns]
    np.testing.assert_allclose(phase_fcd(x - x.mean(0)), expected, atol=50 * rounding)
    np.testing.assert_allclose(jax.jit(phase_fcd)(x - x.mean(0)), expected, atol=50 * rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("window", "step", "message"),
    [
        (7.0, 2.0, r"window = 7 ms is not a whole number of samples of 2 ms: take 6 or 8"),
        (8.0, 3.0, r"step = 3 ms is not a whole number of samples of 2 ms: take 2 or 4"),
        (82.0, 2.0, r"window = 82 ms is longer than the recording, 80 ms"),
        (2.0, 2.0, r"window = 2 ms is 1 samples, and a correlation needs two or more"),
        (8.0, 0.0, r"step = 0 ms, expected one sample or more"),
        (-8.0, 2.0, r"window is a number of ms, not negative; got -8"),
        (float("nan"), 2.0, r"window is a number of ms"),
    ],
)
def test_wrong_windows(window, step, message):
    x = recording(signals(5), 2.0)
    for f in (windowed_fc, fcd):
        with pytest.raises(ValueError, match=message):
            f(x, window, step)


def test_too_little_for_dynamics():
    x = signals(6)
    with pytest.raises(ValueError, match="window = 30 ms and step = 11 ms leave one window in 40 samples"):
        fcd(x, 30.0, 11.0, period=1.0)
    with pytest.raises(ValueError, match="how far apart are the samples"):
        fcd(x, 10.0, 5.0)
    for f in (lambda x: fcd(x, 10.0, 5.0, period=1.0), phase_fcd):
        with pytest.raises(ValueError, match="at least 3 channels are needed, got 2"):
            f(x[:, :2])


@pytest.mark.once
def test_a_channel_constant_in_a_window_is_named():
    x = signals(7)
    x[12:23, 2] = 0.5
    with pytest.raises(ValueError, match=r"^C never changes in window 3 \(24 to 44 ms\): .*take longer windows"):
        fcd(recording(x, 2.0), window=20.0, step=8.0)
    found = jax.jit(lambda x: windowed_fc(x, 10.0, 4.0, period=1.0))(x)
    bad = ~np.isfinite(np.asarray(found)).all((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(bad), [3])
    y = np.ones((6, 1)) * [1.0, 2.0, 4.0] * (-1.0) ** np.arange(6)[:, None]  # all channels go together
    with pytest.raises(ValueError, match="the connectivity of window 0 never changes from pair to pair"):
        fcd(y, 2.0, 2.0, period=1.0)
