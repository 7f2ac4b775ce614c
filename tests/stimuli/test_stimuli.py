"""Waveforms against SciPy and formulas in NumPy, patterns and sums against what they say."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import signal

from gyrax import stimuli as s

SINGLE = jnp.result_type(float) == jnp.float32
T = np.arange(0.0, 400.0, 0.7)
TOLERANCE = 3e-4 if SINGLE else 1e-9


def values(waveform, t=T) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(waveform))(jnp.asarray(t)))


def trapezium(t, onset, duration, rise):
    """Linear interpolation between the corners."""
    return np.interp(t, [onset, onset + rise, onset + duration, onset + duration + rise], [0, 1, 1, 0])


def test_pulses_ramps_and_sines():
    pulse = s.Pulse(onset=20.0, duration=50.0, amplitude=3.0, rise=5.0)
    np.testing.assert_allclose(values(pulse), 3 * trapezium(T, 20, 50, 5), atol=TOLERANCE)
    np.testing.assert_allclose(
        values(s.Ramp(onset=20.0, duration=50.0, amplitude=2.0)), 2 * np.interp(T, [20, 70], [0, 1]), atol=TOLERANCE
    )
    sine = s.Sine(frequency=7.0, amplitude=2.0, phase=0.3, offset=0.5)
    np.testing.assert_allclose(values(sine), 2 * np.sin(2 * np.pi * 7 * T / 1000 + 0.3) + 0.5, atol=TOLERANCE)
    np.testing.assert_allclose(values(s.Constant(0.25)), 0.25)


@pytest.mark.parametrize("count", [None, 3])
def test_a_train_is_its_pulses_added_up(count):
    """Also pulses longer than the period, which overlap."""
    for duration in (15.0, 90.0):
        train = s.PulseTrain(onset=10.0, period=40.0, duration=duration, amplitude=2.0, rise=4.0, count=count)
        onsets = 10.0 + 40.0 * np.arange(20 if count is None else count)
        expected = 2 * sum(trapezium(T, onset, duration, 4.0) for onset in onsets)
        np.testing.assert_allclose(values(train), expected, atol=TOLERANCE)
    square = s.PulseTrain(period=40.0, duration=10.0, rise=1e-3)
    inside = (np.abs(T % 10) > 0.05) & (np.abs(T % 10) < 9.95)
    np.testing.assert_allclose(
        values(square)[inside], signal.square(2 * np.pi * T / 40, 0.25)[inside] / 2 + 0.5, atol=1e-5
    )


def test_a_chirp_is_scipys():
    sweep = s.Chirp(f0=3.0, f1=25.0, duration=400.0, amplitude=2.0)
    expected = signal.chirp(T / 1000, f0=3, t1=0.4, f1=25, phi=-90)
    np.testing.assert_allclose(values(sweep), 2 * expected, atol=TOLERANCE)
    after = T[T > 200] + 200.0
    late = s.Chirp(f0=3.0, f1=25.0, duration=100.0, onset=100.0)
    phase = lambda f, t: np.unwrap(np.angle(signal.hilbert(f(t))))  # noqa: E731
    slope = np.diff(phase(lambda t: values(late, t), after))[50:-50] / (2 * np.pi * 0.7e-3)
    np.testing.assert_allclose(slope.mean(), 25.0, rtol=0.01)


@pytest.mark.parametrize("taus", [(2.0, 20.0), (20.0, 2.0), (5.0, 5.0), (5.0, 5.0001)])
def test_double_exponentials_peak_at_their_amplitude(taus):
    rise, decay = min(taus), max(taus)
    if decay - rise < 0.01:
        expected = np.maximum(T - 30, 0) / 5 * np.exp(1 - np.maximum(T - 30, 0) / 5)
    else:
        shape = lambda x: np.exp(-x / decay) - np.exp(-x / rise)  # noqa: E731
        peak = rise * decay / (decay - rise) * np.log(decay / rise)
        expected = shape(np.maximum(T - 30, 0)) / shape(peak)
    found = s.DoubleExponential(onset=30.0, tau_rise=taus[0], tau_decay=taus[1], amplitude=3.0)
    np.testing.assert_allclose(values(found), 3 * expected, atol=2e-4 if 0 < decay - rise < 1 or SINGLE else TOLERANCE)
    slopes = jax.jit(jax.vmap(jax.grad(lambda w, t: w(t)), (None, 0)))(found, jnp.asarray(T))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


def test_recorded_series_are_interpolated():
    series = np.random.default_rng(0).normal(size=(30, 3))
    for outside, ends in (("hold", {}), ("zero", {"left": 0.0, "right": 0.0})):
        found = values(s.Recorded(series, period=10.0, onset=40.0, outside=outside))
        for k in range(3):
            expected = np.interp(T, 40 + 10.0 * np.arange(30), series[:, k], **ends)
            np.testing.assert_allclose(found[:, k], expected, atol=TOLERANCE)
        one = values(s.Recorded(series[:, 1], period=10.0, onset=40.0, outside=outside))
        np.testing.assert_array_equal(one, found[:, 1])


def test_waveforms_add_and_multiply():
    a, b = s.Sine(frequency=5.0), s.Ramp(onset=10.0)
    expected = (2 * values(a) + 0.5) * values(b) + values(b)
    np.testing.assert_allclose(values((2 * a + 0.5) * b + b), expected, atol=TOLERANCE)
    assert len(jax.tree.leaves(a * b + 0.1)) == 4 + 3 + 1


LABELS = ("A", "B", "C")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, 1.0),
        ("B", [0, 1, 0]),
        (["C", "A"], [1, 0, 1]),
        ({"C": 2.0, "B": -1.0}, [0, -1, 2]),
        ([1.0, 2.0, 3.0], [1, 2, 3]),
    ],
)
def test_patterns_find_their_regions(pattern, expected):
    placed = s.Stimulus(s.Constant(2.0), pattern, target="c").resolved(LABELS)
    np.testing.assert_allclose(placed(1.0)["c"], 2 * np.array(expected))
    assert placed.targets == ("c",)


@pytest.mark.slow
def test_stimuli_add_up_by_input_and_show_what_they_do():
    one = s.Stimulus(s.Ramp(duration=10.0), {"A": 1.0}, target="c")
    both = (one + s.Stimulus(0.5, "B", target="c") + 2 * s.Stimulus(0.25, target="d")).resolved(LABELS)
    np.testing.assert_allclose(both(5.0)["c"], [0.5, 0.5, 0])
    np.testing.assert_allclose(both(5.0)["d"], 0.5)
    shown = both.sample(20.0, 5.0)
    assert shown.dims == ("time", "input", "region") and shown.sel(input="c", region="A").values[-1] == 1.0
    axes = np.ravel(both.plot(20.0))
    assert len(axes) == 4
    ax = s.Sine().plot(100.0)
    assert ax.get_xlabel() == "time (ms)"
    plt.close("all")


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.Pulse(duration=-1.0), "Pulse.duration is -1"),
        (lambda: s.PulseTrain(period=5.0, rise=6.0), "does not fit into a period"),
        (lambda: s.PulseTrain(count=0), "count is the number of pulses"),
        (lambda: s.Recorded([1.0], period=1.0, outside="hold"), "two samples or more"),
        (lambda: s.Recorded([1.0, np.nan], period=1.0, outside="hold"), r"values\[1\] is nan"),
        (lambda: s.Stimulus(1.0, ["A", "A"]), "names every region once"),
        (lambda: s.Stimulus(1.0, {}), "one number a region"),
        (lambda: s.Stimulus(1.0, [1.0, np.inf]), "weight of 1 is inf"),
        (lambda: s.Stimulus(1.0, "D").resolved(LABELS), "the stimulus is for region 'D'"),
        (lambda: s.Stimulus(1.0, [1.0, 2.0]).resolved(LABELS), r"pattern of shape \(2,\)"),
        (
            lambda: s.Stimulus(s.Recorded(np.ones((4, 2)), period=1.0, outside="hold")).resolved(LABELS),
            "waveform of shape",
        ),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()
