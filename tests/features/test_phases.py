"""Filters, phases, envelopes and synchrony against SciPy, mne-connectivity and plain loops, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features.phases import (
    analytic,
    bandpass,
    chimera,
    envelope,
    envelope_correlation,
    group_orders,
    kuramoto_order,
    metastability,
    phase,
    plv,
    wpli,
)
from slopes import check_gradient

SINGLE = jnp.result_type(float) == jnp.float32
quick = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
PERIOD, RATE = 4.0, 250.0  # ms, Hz
GROUPS = ["R", "L", "R", "L"]


def signals(seed, samples=500, channels=4):
    """Mixed noise of different size with a rhythm of 10 Hz that every channel has later."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples)[:, None] * PERIOD / 1000
    rhythm = np.sin(2 * np.pi * 10 * t - 0.7 * np.arange(channels))
    mixed = rng.normal(size=(samples, channels)) @ rng.normal(size=(channels, channels)) + rhythm
    return mixed * np.geomspace(0.1, 10.0, channels)


def rhythms(seed, samples=500, channels=4):
    """Band-passed by SciPy."""
    sos = scipy.signal.butter(4, (8, 13), "bandpass", fs=RATE, output="sos")
    return scipy.signal.sosfiltfilt(sos, signals(seed, samples, channels), axis=0)


def angles(x):
    return np.angle(scipy.signal.hilbert(x, axis=0))


def recording(values, dims=("time", "region")):
    return gx.Recording(jnp.asarray(values), jnp.array(1), PERIOD, 1.0, 0.0, dims, ("S",), tuple("ABCD"))


@pytest.mark.slow("float32")
@pytest.mark.parametrize("mean", [0.0, 1000.0])
@pytest.mark.parametrize(("order", "low", "high"), [(4, 8.0, 13.0), (2, 30.0, 80.0), (1, 4.0, 124.0)])
def test_bandpass_equals_scipy_away_from_the_ends(order, low, high, mean, rounding):
    x = signals(0, 3000)
    sos = scipy.signal.butter(order, (low, high), "bandpass", fs=RATE, output="sos")
    filtered = bandpass(x + mean, low, high, order=order, period=PERIOD)
    difference = np.abs(filtered - scipy.signal.sosfiltfilt(sos, x, axis=0)) / x.std(0)
    assert difference[1400:1600].max() < (10 * rounding if mean == 0 else 3e3 * rounding)


def test_the_ends_are_turned_about_the_first_and_last_sample(rounding):
    """The same as filtering the extended series and cutting: what is further away than the filter rings does not matter."""
    x = signals(1, 400)
    left, right = 2 * x[0] - x[:0:-1], 2 * x[-1] - x[-2::-1]
    extended = np.concatenate([left, x, right])
    sos = scipy.signal.butter(2, (10, 60), "bandpass", fs=RATE, output="sos")
    expected = scipy.signal.sosfiltfilt(sos, extended, axis=0)[399:799]
    filtered = bandpass(x, 10, 60, order=2, period=PERIOD)
    assert (np.abs(filtered - expected) / x.std(0)).max() < 10 * rounding


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.floats(0.1, 10.0), st.permutations(range(4)))
def test_invariants_of_bandpass(rounding, seed, scale, order):
    x = signals(seed, 300)
    filtered = bandpass(x, 8, 13, period=PERIOD)
    np.testing.assert_allclose(
        bandpass(x[::-1], 8, 13, period=PERIOD)[::-1], filtered, atol=50 * rounding
    )  # zero phase
    other = bandpass(scale * x[:, order] + 3, 8, 13, period=PERIOD)
    np.testing.assert_allclose(other, scale * filtered[:, order], atol=50 * scale * rounding)


def test_bandpass_keeps_what_it_was_given(rounding):
    x = signals(2)
    expected = bandpass(x, 8, 13, period=PERIOD)
    assert isinstance(expected, jax.Array) and expected.shape == x.shape
    assert bandpass(x[:, None], 8, 13, period=PERIOD).shape == x[:, None].shape
    one_state = recording(x[:, None], dims=("time", "state", "region"))
    for given_ in (recording(x), one_state):
        filtered = jax.jit(lambda r: bandpass(r, 8, 13))(given_)
        assert isinstance(filtered, gx.Recording) and filtered.labels == tuple("ABCD") and filtered.period == PERIOD
        assert filtered.values.shape == given_.values.shape
        np.testing.assert_allclose(filtered.values.reshape(x.shape), expected, atol=50 * rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(low=0.0, high=13.0),
            "a band goes from low to high, between 0 and 125 Hz, half the sampling rate; got 0 to 13 Hz",
        ),
        (dict(low=13.0, high=8.0), "got 13 to 8 Hz"),
        (dict(low=8.0, high=125.0), "got 8 to 125 Hz"),
        (dict(low=8.0, high=np.nan), "got 8 to nan"),
        (dict(low=0.4, high=8.0), "2 s do not hold one cycle of 0.4 Hz: simulate longer, or filter from higher up"),
        (dict(low=8.0, high=13.0, order=0), "the order of a filter is at least 1, got 0"),
        (dict(low=8.0, high=13.0, period=None), "how far apart are the samples"),
    ],
    ids=str,
)
def test_filters_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bandpass(signals(3), **(dict(period=PERIOD) | arguments))


@pytest.mark.slow("float32")
@pytest.mark.parametrize("samples", [50, 51, 2])
def test_the_analytic_signal_equals_scipy(samples, rounding):
    x = signals(4, samples)
    for mean in (0.0, 20.0):
        expected = scipy.signal.hilbert(x + mean, axis=0)
        np.testing.assert_allclose(analytic(x + mean), expected, atol=20 * rounding * (1 + mean) * np.abs(x).max())
        np.testing.assert_allclose(
            envelope(x + mean), np.abs(expected), atol=20 * rounding * (1 + mean) * np.abs(x).max()
        )
    expected = scipy.signal.hilbert(x, axis=0)
    turned = np.exp(1j * np.asarray(phase(recording(x)), float)) * np.abs(expected)
    np.testing.assert_allclose(turned, expected, atol=20 * rounding * np.abs(x).max())


def test_the_imaginary_part_keeps_its_digits_beside_a_large_mean(rounding):
    """Of values that the mean leaves exact."""
    x = np.round(signals(5) / np.geomspace(0.1, 10.0, 4) * 16) / 16
    expected = scipy.signal.hilbert(x, axis=0).imag
    np.testing.assert_allclose(analytic(x + 65536).imag, expected, atol=20 * rounding * np.abs(x).max())


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e-15], ids=["volts", "tesla"])
def test_envelope_correlations_equal_numpy(size, rounding):
    x = rhythms(6)
    expected = np.corrcoef(np.abs(scipy.signal.hilbert(x, axis=0)).T)
    np.testing.assert_allclose(envelope_correlation(size * x), expected, atol=20 * rounding)


def orthogonalised(x):
    """Hipp et al., equation by equation, pair by pair."""
    z = scipy.signal.hilbert(x, axis=0)
    expected = np.zeros((x.shape[1],) * 2)
    for i in range(x.shape[1]):
        for j in set(range(x.shape[1])) - {i}:
            for a, b in [(i, j), (j, i)]:
                lagged = np.abs((z[:, b] * z[:, a].conj() / np.abs(z[:, a])).imag)
                expected[i, j] += np.corrcoef(np.abs(z[:, a]), lagged)[0, 1] / 2
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e-15], ids=["volts", "tesla"])
def test_orthogonalised_envelope_correlations_equal_a_loop(size, rounding):
    x = rhythms(7)
    ours = envelope_correlation(size * x, leakage=True)
    np.testing.assert_allclose(ours, orthogonalised(x), atol=50 * rounding)
    trimmed = scipy.signal.hilbert(x, axis=0)[25:-25]
    expected = np.corrcoef(np.abs(trimmed).T)
    np.testing.assert_allclose(envelope_correlation(recording(x), trim=100.0), expected, atol=20 * rounding)
    np.testing.assert_allclose(envelope_correlation(x, trim=100.0, period=PERIOD), expected, atol=20 * rounding)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("leakage", [False, True])
def test_envelope_correlations_equal_those_of_mne_connectivity(leakage, rounding):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    x = rhythms(8)
    arguments = dict(orthogonalize="pairwise" if leakage else False, log=False, absolute=False, verbose=False)
    theirs = mne_connectivity.envelope_correlation(x.T[None], **arguments).combine().get_data("dense")[:, :, 0]
    np.testing.assert_allclose(envelope_correlation(x, leakage=leakage), theirs, atol=50 * rounding)


def test_what_is_mixed_without_a_lag_does_not_correlate():
    x = rhythms(9)
    mixed = np.concatenate([x[:, :2], x[:, :1] * 3, -x[:, 1:2] / 7], 1)
    correlations = np.asarray(envelope_correlation(mixed, leakage=True))
    assert correlations[0, 2] == correlations[1, 3] == 0 and (np.diag(correlations) == 0).all()
    assert np.abs(correlations[0, 1]) > 0.05
    np.testing.assert_allclose(correlations, correlations.T)


def naive_plv(angle):
    n = angle.shape[1]
    return np.array([[abs(np.exp(1j * (angle[:, i] - angle[:, j])).mean()) for j in range(n)] for i in range(n)])


def test_phase_locking_equals_a_loop(rounding):
    x = rhythms(10)
    np.testing.assert_allclose(plv(x), naive_plv(angles(x)), atol=20 * rounding)
    np.testing.assert_allclose(plv(1e-15 * x), naive_plv(angles(x)), atol=20 * rounding)
    np.testing.assert_allclose(plv(recording(x), trim=200.0), naive_plv(angles(x)[50:-50]), atol=20 * rounding)
    np.testing.assert_allclose(plv(angles(x), phases=True), naive_plv(angles(x)), atol=20 * rounding)
    np.testing.assert_allclose(jax.jit(plv)(recording(x)), naive_plv(angles(x)), atol=20 * rounding)


def lags(x, length, shared, window="hann"):
    """Imaginary parts of the cross-spectra of the segments, one by one."""
    taper = scipy.signal.get_window(window, length) if isinstance(window, str) else window
    starts = range(0, len(x) - length + 1, length - shared)
    c = np.stack(
        [np.fft.rfft((x[a : a + length] - x[a : a + length].mean(0)) * taper[:, None], axis=0) for a in starts]
    )
    return (c.conj()[..., :, None] * c[..., None, :]).imag


@pytest.mark.parametrize("size", [1.0, 1e-15], ids=["volts", "tesla"])
@pytest.mark.slow("float64")
def test_wpli_equals_a_loop(size, rounding):
    x = signals(11)
    lag = lags(x, 50, 25)
    with np.errstate(invalid="ignore"):
        expected = np.abs(lag.sum(0)) / np.abs(lag).sum(0)
    off = ~np.eye(4, dtype=bool)
    ours = wpli(recording(size * x), segment=200.0)
    np.testing.assert_allclose(ours.values[1:-1, off], expected[1:-1, off], atol=(1e3 if SINGLE else 50) * rounding)
    assert (np.asarray(ours.values)[:, ~off] == 0).all() and (np.asarray(ours.values)[[0, -1]] == 0).all()
    assert ours.labels == tuple("ABCD") and ours.frequencies[-1] == 125


@pytest.mark.slow
def test_wpli_equals_that_of_mne_connectivity(rounding):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    x = signals(12, 1000)
    epochs = x.reshape(10, 100, 4).swapaxes(1, 2)
    found = mne_connectivity.spectral_connectivity_epochs(
        epochs, method="wpli", mode="fourier", sfreq=RATE, fmin=12.5, fmax=120, verbose=False
    )
    ours = wpli(x, segment=400.0, overlap=0.0, period=PERIOD, window=np.hanning(100))
    chosen = np.isin(np.round(ours.frequencies, 3), np.round(found.freqs, 3))
    assert chosen.sum() == len(found.freqs) > 40
    theirs = found.get_data("dense")
    i, j = np.tril_indices(4, -1)
    np.testing.assert_allclose(ours.values[chosen][:, i, j].T, theirs[i, j], atol=(1e3 if SINGLE else 50) * rounding)


def test_wpli_of_a_lag_is_one_and_of_mixing_zero(rounding):
    x = signals(13, channels=1)
    late = np.concatenate([x[1:], x, 2 * x[:1]])[: len(x)]
    values = np.asarray(wpli(np.concatenate([x, 4 * x, late], 1), segment=200.0, period=PERIOD).values)
    assert (values[:, 0, 1] == 0).all()
    np.testing.assert_allclose(values, values.swapaxes(1, 2), atol=rounding)
    assert values[2:8, 0, 2].min() > 0.9


@jax.jit
def matrices(x):
    return plv(x), envelope_correlation(x), wpli(x, segment=80.0, period=PERIOD).values


@jax.jit
def of_phases(x):
    return plv(x, phases=True), kuramoto_order(x, phases=True), chimera(x, GROUPS, phases=True)


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_invariants_of_synchrony(rounding, seed, order):
    x = signals(seed, 100)
    for one, other in zip(matrices(x), matrices(x[:, order] * [1.0, 2.0, 0.3, 5.0]), strict=True):
        np.testing.assert_allclose(other, np.asarray(one)[..., order, :][..., order], atol=3e3 * rounding)
        np.testing.assert_allclose(one, one.swapaxes(-1, -2), atol=10 * rounding)
        assert np.abs(one).max() <= 1 + 10 * rounding
    turned = angles(x) + np.linspace(0, 20, 100)[:, None]  # where they all go together does not matter
    for one, other in zip(of_phases(angles(x)), of_phases(turned), strict=True):
        np.testing.assert_allclose(one, other, atol=100 * rounding)


@pytest.mark.slow
def test_order_parameters_equal_numpy(rounding):
    x = rhythms(14)
    u = np.exp(1j * angles(x))
    orders = np.stack([np.abs(u[:, [1, 3]].mean(1)), np.abs(u[:, [0, 2]].mean(1))], 1)  # L, R
    for trim, kept in [(0.0, slice(None)), (40.0, slice(10, -10))]:
        arguments = dict(trim=trim, period=PERIOD)
        order = np.abs(u[kept].mean(1))
        np.testing.assert_allclose(kuramoto_order(x, **arguments), order, atol=20 * rounding)
        np.testing.assert_allclose(metastability(x, **arguments), order.std(), rtol=50 * rounding)
        np.testing.assert_allclose(group_orders(x, GROUPS, **arguments), orders[kept], atol=20 * rounding)
        expected = ((orders[kept] - orders[kept].mean(1, keepdims=True)) ** 2).sum(1).mean()  # over M - 1 = 1
        np.testing.assert_allclose(chimera(x, np.array(GROUPS), **arguments), expected, rtol=50 * rounding)
    np.testing.assert_allclose(chimera(angles(x), GROUPS, phases=True), chimera(x, GROUPS), rtol=200 * rounding)
    np.testing.assert_allclose(
        jax.jit(lambda r: chimera(r, GROUPS))(recording(x)), chimera(x, GROUPS), rtol=50 * rounding
    )


def test_chimeras_of_known_index(rounding):
    """m of M groups in step, the others spread evenly: variance m (M - m) / (M (M - 1))."""
    spread = np.linspace(0, 2 * np.pi, 5, endpoint=False)
    for m, index in [(0, 0.0), (1, 1 / 3), (2, 1 / 3), (3, 0.0)]:
        phases = np.concatenate([np.zeros(5)] * m + [spread] * (3 - m))[None] + np.linspace(0, 9, 7)[:, None]
        found = chimera(phases, np.repeat([0, 1, 2], 5), phases=True)
        np.testing.assert_allclose(found, index, atol=20 * rounding)
        expected = np.repeat([[1.0] * m + [0.0] * (3 - m)], 7, 0)
        np.testing.assert_allclose(
            group_orders(phases, np.repeat([0, 1, 2], 5), phases=True), expected, atol=20 * rounding
        )


@pytest.mark.once
def test_wrong_groups_channels_and_trims_are_refused():
    x = rhythms(15)
    for groups, message in [
        (["L", "R", "L"], r"groups name the group of every channel: 4 of them, got shape \(3,\)"),
        (["L", "R", "L", "L"], "group R has one channel, which is always in step with itself"),
    ]:
        for f in (group_orders, chimera):
            with pytest.raises(ValueError, match=message):
                f(x, groups)
    with pytest.raises(ValueError, match="a chimera needs two groups or more that may differ, got one"):
        chimera(x, ["L"] * 4)
    for f in (plv, kuramoto_order, metastability):
        with pytest.raises(ValueError, match="one channel alone is always in step with itself"):
            f(x[:, :1])
    for f in (plv, kuramoto_order, envelope_correlation):
        with pytest.raises(ValueError, match="trim = 1000 ms at either end leaves fewer than two of 500 samples"):
            f(x, trim=1000.0, period=PERIOD)
        with pytest.raises(ValueError, match="trim = 42 ms is not a whole number of samples of 4 ms: take 40 or 44"):
            f(x, trim=42.0, period=PERIOD)
        with pytest.raises(ValueError, match="trim is a number of ms, not negative"):
            f(x, trim=-4.0, period=PERIOD)
        with pytest.raises(ValueError, match="how far apart are the samples"):
            f(x, trim=40.0)
    with pytest.raises(ValueError, match="channel 2 never changes"):
        envelope_correlation(x * [1, 1, 0, 1])
    with pytest.raises(ValueError, match="one segment alone says nothing"):
        wpli(x, segment=2000.0, period=PERIOD)


WEIGHTS = np.triu(np.random.default_rng(0).normal(size=(4, 4)), 1)
FEATURES = {
    "bandpass": lambda x: (bandpass(x, 8, 13, period=PERIOD) ** 2 / jnp.var(x, axis=0)).mean(),
    "envelope": lambda x: jnp.log(envelope(x)).mean(0) @ WEIGHTS[0],
    "phase": lambda x: jnp.sin(phase(x) + jnp.arange(4)).mean() * 10,
    "aec": lambda x: (envelope_correlation(x) * WEIGHTS).sum(),
    "aec_leakage": lambda x: (envelope_correlation(x, leakage=True) * WEIGHTS).sum(),
    "plv": lambda x: (plv(x) * WEIGHTS).sum(),
    "wpli": lambda x: (wpli(x, segment=200.0, period=PERIOD).values[2] * WEIGHTS).sum(),  # 10 Hz
    "kuramoto": lambda x: (kuramoto_order(x) * jnp.linspace(-1, 1, 200)).mean() * 10,
    "metastability": lambda x: metastability(x) * 10,
    "chimera": lambda x: chimera(x, GROUPS) * 10,
}


def clear(seed, unrest=0.03):
    """Rhythms that noise moves, but whose amplitudes and lags stay clear of zero, where some features have kinks."""
    t = np.arange(200)[:, None] * PERIOD / 1000
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(size=(200, 4)), 0) * unrest
    swing = 1 + 0.4 * np.sin(2 * np.pi * t * rng.uniform(0.5, 2.0, 4) + rng.uniform(0, 6, 4))
    return swing * np.sin(2 * np.pi * 10 * t + 0.6 * np.arange(4) + drift)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.slow("float64")
def test_gradients_equal_finite_differences(name):
    # Lags that keep their sign have a wPLI of one and no gradient.
    check_gradient(FEATURES[name], clear(16, unrest=0.1 if name == "wpli" else 0.03))


@pytest.mark.slow
def test_gradients_where_the_amplitude_is_zero():
    """Zeros and finite numbers, not 0/0: phases of a channel that a model keeps still, channels alike, channels in step."""
    x = clear(17)
    x[:, 3] = x[:, 2]

    @jax.jit
    @jax.grad
    def gradient(x):
        still = x * jnp.array([1, 0, 1, 1])
        single = (
            phase(still).sum() + envelope(still).sum() + kuramoto_order(x).sum() + metastability(x) + chimera(x, GROUPS)
        )
        pairs = plv(x) + envelope_correlation(x) + envelope_correlation(x, leakage=True)
        return single + pairs.sum() + wpli(x, segment=200.0, period=PERIOD).values.sum()

    assert np.isfinite(gradient(x)).all()
    assert np.abs(gradient(x)[:, 0]).max() > 0
    balanced = jnp.array([[0.0, jnp.pi, 1.0, 1.0 + jnp.pi]] * 3)  # cancel at all times
    assert np.isfinite(
        jax.grad(lambda x: metastability(x, phases=True) + kuramoto_order(x, phases=True).sum())(balanced)
    ).all()
    in_step = jnp.ones((3, 4))
    assert np.isfinite(jax.grad(lambda x: metastability(x, phases=True))(in_step)).all()
    assert metastability(in_step, phases=True) == 0
