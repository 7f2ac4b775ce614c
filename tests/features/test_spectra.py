"""Spectra and coherence against SciPy and mne-connectivity, their invariants, their gradients, and wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features import (
    BANDS,
    Connectivity,
    Spectrum,
    band_power,
    coherence,
    cross_spectrum,
    imaginary_coherence,
    peak_frequency,
    psd,
    spectral_centroid,
    spectral_slope,
)
from slopes import check_gradient

SINGLE = jnp.result_type(float) == jnp.float32
quick = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
PERIOD, RATE = 4.0, 250.0  # ms, Hz


def signals(seed, samples=400, channels=3):
    """Mixed noise of different size with a rhythm of 10 Hz that every channel has later."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples)[:, None] * PERIOD / 1000
    rhythm = np.sin(2 * np.pi * 10 * t - 0.7 * np.arange(channels))
    mixed = rng.normal(size=(samples, channels)) @ rng.normal(size=(channels, channels)) + rhythm
    return mixed * np.geomspace(0.1, 10.0, channels)


def welch(x, length, overlap=None, window="hann"):
    return scipy.signal.welch(x, RATE, window, length, overlap, axis=0)


def pairwise(function, x, length):
    """A function of SciPy for pairs of series, for all pairs."""
    n = x.shape[1]
    return np.stack(
        [[function(x[:, i], x[:, j], RATE, nperseg=length)[1] for j in range(n)] for i in range(n)]
    ).T.swapaxes(1, 2)


def recording(values, labels=("A", "B", "C")):
    return gx.Recording(jnp.asarray(values), jnp.array(1), PERIOD, 1.0, 0.0, ("time", "region"), ("S",), labels)


@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize(
    ("length", "shared", "window"),
    [(64, 32, "hann"), (65, 32, "hann"), (400, 200, "hann"), (50, 0, "boxcar"), (40, 30, ("kaiser", 3.0))],
)
@pytest.mark.slow("float64", "float32")
def test_psd_equals_scipy(length, shared, window, mean, rounding):
    x = signals(0) + mean
    expected = welch(x, length, shared, window)
    overlap = 0.5 if length == 65 else shared / length
    spectrum = psd(x, segment=length * PERIOD, overlap=overlap, period=PERIOD, window=window)
    np.testing.assert_allclose(spectrum.frequencies, expected[0], rtol=rounding)
    tolerance = (rounding if mean == 0 else 100 * rounding) * expected[1].max(0)
    assert (np.abs(spectrum.power - expected[1]) <= tolerance).all()


def test_a_window_of_values_is_the_window_of_that_name(rounding):
    values = scipy.signal.get_window("hann", 100)
    one, other = (psd(signals(1), segment=400.0, period=PERIOD, window=w).power for w in ("hann", values))
    np.testing.assert_allclose(one, other, rtol=rounding)


@pytest.mark.parametrize(("overlap", "length"), [(0.5, 88), (0.0, 50), (0.75, 144)])
def test_by_default_there_are_eight_segments(overlap, length, rounding):
    x = signals(2)
    shared = int(overlap * length)
    expected = welch(x, length, shared)
    power = psd(x, overlap=overlap, period=PERIOD).power
    np.testing.assert_allclose(power, expected[1], rtol=0, atol=rounding * expected[1].max())
    assert (len(x) - length) // (length - shared) + 1 == 8 > (len(x) - length - 1) // (length + 1 - shared) + 1


def test_recordings_and_vmap(rounding):
    x = signals(3)
    spectrum = psd(recording(x), segment=400.0)
    expected = welch(x, 100)[1]
    np.testing.assert_allclose(spectrum.power, expected, rtol=0, atol=rounding * expected.max())
    assert spectrum.labels == ("A", "B", "C")
    runs = jax.vmap(lambda x: psd(x, segment=400.0, period=PERIOD))(jnp.stack([x, 2 * x]))
    np.testing.assert_allclose(runs.power[1], 4 * runs.power[0], rtol=rounding)
    labelled = runs.to_xarray()
    assert labelled.dims == ("run", "frequency", "channel") and labelled.frequency.values[-1] == 125


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.sampled_from([30, 31]), st.floats(0.1, 10.0))
def test_power_adds_up_to_the_variance(rounding, seed, samples, scale):
    x = scale * signals(seed, samples)
    spectrum = psd(x, segment=samples * PERIOD, period=PERIOD, window="boxcar")
    total = np.asarray(spectrum.power).sum(0) * RATE / samples
    np.testing.assert_allclose(total, x.var(0), rtol=100 * rounding)
    backwards = psd(5 - x[::-1], segment=samples * PERIOD, period=PERIOD, window="boxcar").power
    atol = 100 * rounding * np.asarray(spectrum.power).max()
    np.testing.assert_allclose(backwards, spectrum.power, rtol=0, atol=atol)


def test_labelled():
    spectrum = psd(recording(signals(4)), segment=400.0)
    labelled = spectrum.to_xarray()
    assert labelled.dims == ("frequency", "channel") and list(labelled.channel.values) == ["A", "B", "C"]
    assert labelled.frequency.attrs["units"] == "Hz" and labelled.name == "power"
    assert float(labelled.sel(frequency=10.0, channel="C")) == float(spectrum.power[4, 2])
    assert repr(spectrum) == "Spectrum(51 frequencies from 0 to 125 Hz, 3 channels)"
    pairs = cross_spectrum(signals(4), segment=400.0, period=PERIOD)
    assert pairs.to_xarray().dims == ("frequency", "channel", "other") and "channel" not in pairs.to_xarray().coords
    assert float(pairs.to_xarray()[3, 1, 2].imag) == float(pairs.values[3, 1, 2].imag)
    assert repr(pairs) == "Connectivity(51 frequencies from 0 to 125 Hz, 3 channels)"
    seen = []
    jax.jit(lambda s: seen.append(repr(s)))(spectrum)
    assert seen == ["Spectrum(51 frequencies, 3 channels)"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(segment=1604.0), r"segment = 1604 ms is longer than the series of 1600 ms"),
        (dict(segment=401.0), r"segment = 401 ms is not a whole number of samples of 4 ms: take 400 or 404"),
        (dict(segment=4.0), r"segment = 4 ms is 1 samples, and at least two"),
        (dict(segment=0.0), r"segment = 0 ms is 0 samples"),
        (dict(segment=-40.0), r"segment is a number of ms, not negative; got -40"),
        (dict(segment=np.nan), r"segment is a number of ms"),
        (dict(segment=400.0, overlap=1.0), r"overlap is the part .* from 0 to below 1; got 1.0"),
        (dict(segment=400.0, overlap=-0.1), r"overlap is the part"),
        (dict(segment=400.0, window=np.ones(99)), r"a window of shape \(99,\) for segments of 100 samples"),
        (dict(segment=400.0, period=None), r"how far apart are the samples\? give period="),
    ],
    ids=str,
)
def test_segments_that_do_not_fit_are_refused(arguments, message):
    x, arguments = signals(5), dict(period=PERIOD) | arguments
    for f in (psd, cross_spectrum, coherence, imaginary_coherence):
        with pytest.raises(ValueError, match=message):
            f(x, **arguments)
        with pytest.raises(ValueError, match=message):
            jax.jit(lambda x, f=f: f(x, **arguments))(x)


@pytest.mark.once
def test_too_few_samples_or_segments_are_refused():
    with pytest.raises(ValueError, match="8 samples are too few for eight segments: give segment= in ms"):
        psd(signals(6, 8), period=PERIOD)
    for f in (coherence, imaginary_coherence):
        with pytest.raises(ValueError, match="one segment alone says nothing about coherence"):
            f(signals(6), segment=1600.0, period=PERIOD)
        with pytest.raises(ValueError, match="channel 1 never changes"):
            f(signals(6) * [1, 0, 1], segment=400.0, period=PERIOD)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(frequencies=[1.0, 1.0], power=np.ones((2, 1))), "from low to high"),
        (dict(frequencies=[-1.0, 1.0], power=np.ones((2, 1))), "none negative"),
        (dict(frequencies=[0.0, 1.0], power=np.ones((2, 1)), labels=("A", "B")), "2 labels for 1 channels"),
    ],
)
def test_spectra_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        Spectrum(**arguments)


def spectrum_of(seed=7):
    return psd(signals(seed), segment=400.0, period=PERIOD)


@pytest.mark.parametrize("band", [(5.0, 20.0), (0.0, 125.0), (9.0, 21.0), BANDS["alpha"]])
def test_band_power_equals_the_trapezoidal_rule(band, rounding):
    spectrum = spectrum_of()
    f, p = np.asarray(spectrum.frequencies, float), np.asarray(spectrum.power, float)
    inside = (f >= band[0]) & (f <= band[1])
    expected, whole = np.trapezoid(p[inside], f[inside], axis=0), np.trapezoid(p, f, axis=0)
    for traced in (False, True):
        power = (jax.jit if traced else lambda f: f)(lambda s: band_power(s, *band))(spectrum)
        np.testing.assert_allclose(power, expected, rtol=rounding)
    np.testing.assert_allclose(band_power(spectrum, *band, relative=True), expected / whole, rtol=rounding)


@pytest.mark.slow
def test_bands_that_touch_add_up_and_edges_survive_rounding(rounding):
    spectrum = psd(signals(8, 700), segment=1000.0, period=PERIOD)
    parts = sum(band_power(spectrum, *BANDS[name]) for name in BANDS)
    np.testing.assert_allclose(parts, band_power(spectrum, 1.0, 80.0), rtol=rounding)
    # In thirds of a Hz nothing is stored exactly; two bins each.
    for error in (1e-7, -1e-7):
        spectrum = Spectrum(np.arange(300) / 3 * (1 + error), np.ones((300, 1)))
        for k in range(1, 298, 4):
            assert band_power(spectrum, k / 3, (k + 1) / 3) > 0.33


@pytest.mark.once
@pytest.mark.parametrize(
    ("band", "message"),
    [
        ((20.0, 10.0), "a band goes from low to high Hz, neither negative; got 20.0 to 10.0"),
        ((-1.0, 10.0), "neither negative"),
        ((np.nan, 10.0), "got nan to 10"),
        ((100.0, 126.0), "a band up to 126 Hz goes beyond 125 Hz, the highest"),
        ((1.0, 10.0), "a band from 1 Hz begins below 2.5 Hz, .* segments of at least 1000 ms"),
        ((8.0, 11.0), "must lie in the band of 8 to 11 Hz, and 1 does: take longer segments"),
        ((8.0, 9.0), "and 0 does"),
    ],
)
def test_bands_that_are_not_resolved_are_refused(band, message):
    spectrum = spectrum_of()
    pairs = coherence(signals(7), segment=400.0, period=PERIOD)
    for f in (band_power, peak_frequency, spectral_centroid):
        with pytest.raises(ValueError, match=message):
            f(spectrum, *band)
        # Inside jit too, as long as the spectrum was estimated there.
        with pytest.raises(ValueError, match=message):
            jax.jit(lambda x, f=f: f(psd(x, segment=400.0, period=PERIOD), *band))(signals(7))
    with pytest.raises(ValueError, match=message):
        pairs.band(*band)
    if band[0] > 0:
        with pytest.raises(ValueError, match=message):
            spectral_slope(spectrum, *band)


@pytest.mark.once
@pytest.mark.slow
def test_channels_without_power_are_named():
    power = np.ones((5, 2))
    power[1:3, 1] = 0
    spectrum = Spectrum(np.arange(5.0), power, ("A", "B"))
    for f in (peak_frequency, spectral_centroid):
        with pytest.raises(ValueError, match="B has no power at all in the band"):
            f(spectrum, 1, 2)
        assert np.isfinite(f(spectrum)).all()
    with pytest.raises(ValueError, match="B has no power at some frequency"):
        spectral_slope(spectrum, 2, 4)
    with pytest.raises(ValueError, match="channel 0 has no power at all"):
        band_power(Spectrum(np.arange(5.0), np.zeros((5, 1))), 1, 3, relative=True)
    with pytest.raises(ValueError, match="sharpness is at least 1"):
        peak_frequency(spectrum, sharpness=0.5)
    with pytest.raises(ValueError, match="needs a band above 0 Hz, got low = 0"):
        spectral_slope(spectrum, 0.0, 3.0)


@pytest.mark.slow
def test_centroid_and_peak(rounding):
    spectrum = spectrum_of(9)
    f, p = np.asarray(spectrum.frequencies, float), np.asarray(spectrum.power, float)
    inside = (f >= 5) & (f <= 20)
    expected = (f[:, None] * p)[inside].sum(0) / p[inside].sum(0)
    np.testing.assert_allclose(spectral_centroid(spectrum, 5, 20), expected, rtol=rounding)
    np.testing.assert_allclose(jax.jit(spectral_centroid)(spectrum), (f @ p) / p[1:].sum(0), rtol=rounding)
    weights = p[inside] ** 10.0
    expected = (f[inside] @ weights) / weights.sum(0)
    for scale in (1.0, 1e-20):  # powers whose tenth power float32 cannot hold
        scaled = Spectrum(f, scale * spectrum.power)
        np.testing.assert_allclose(peak_frequency(scaled, 5, 20), expected, rtol=10 * rounding)
    highest = f[1:][p[1:].argmax(0)]
    distances = [np.abs(peak_frequency(spectrum, sharpness=s) - highest).max() for s in (1.0, 10.0, 100.0, 1e4)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3 < 1 < distances[0]


@quick
@given(st.floats(-3.0, 3.0), st.floats(1e-3, 1e3), st.integers(2, 10))
def test_the_slope_of_a_power_law_is_its_exponent(rounding, exponent, scale, low):
    f = np.arange(41.0)
    power = np.concatenate([[0.0], scale * f[1:] ** exponent])[:, None]  # nothing at 0 Hz, as after detrending
    np.testing.assert_allclose(spectral_slope(Spectrum(f, power), low, 40.0), exponent, atol=100 * rounding)


def test_the_slope_is_a_regression(rounding):
    spectrum = spectrum_of(10)
    f, p = np.asarray(spectrum.frequencies, float), np.asarray(spectrum.power, float)
    inside = (f >= 5) & (f <= 60)
    expected = [scipy.stats.linregress(np.log(f[inside]), np.log(c[inside])).slope for c in p.T]
    np.testing.assert_allclose(spectral_slope(spectrum, 5, 60), expected, rtol=10 * rounding)
    np.testing.assert_allclose(jax.jit(lambda s: spectral_slope(s, 5, 60))(spectrum), expected, rtol=10 * rounding)


@pytest.mark.parametrize("length", [50, 65])
@pytest.mark.slow("float32")
def test_cross_spectra_equal_scipy(length, rounding):
    x = signals(11)
    pairs = cross_spectrum(x, segment=length * PERIOD, period=PERIOD)
    expected = pairwise(scipy.signal.csd, x, length)
    assert np.abs(pairs.values - expected).max() <= 10 * rounding * np.abs(expected).max()
    power = psd(x, segment=length * PERIOD, period=PERIOD).power
    np.testing.assert_allclose(np.diagonal(pairs.values, axis1=1, axis2=2).real, power, rtol=10 * rounding)


@pytest.mark.parametrize("size", [1.0, 1e-15], ids=["volts", "tesla"])
@pytest.mark.parametrize("length", [50, 65])
def test_coherences_equal_scipy(length, size, rounding):
    x = signals(12)
    squared = coherence(recording(size * x), segment=length * PERIOD)
    np.testing.assert_allclose(squared.values, pairwise(scipy.signal.coherence, x, length), atol=20 * rounding)
    assert squared.labels == ("A", "B", "C")
    cross = pairwise(scipy.signal.csd, x, length)
    auto = np.sqrt(np.diagonal(cross, axis1=1, axis2=2).real)
    imaginary = imaginary_coherence(size * x, segment=length * PERIOD, period=PERIOD).values
    np.testing.assert_allclose(imaginary, cross.imag / (auto[:, :, None] * auto[:, None]), atol=20 * rounding)


@pytest.mark.slow
def test_coherences_equal_those_of_mne_connectivity(rounding):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    epochs = signals(13, 1000).reshape(10, 100, 3).swapaxes(1, 2)
    found = mne_connectivity.spectral_connectivity_epochs(
        epochs, method=["coh", "imcoh"], mode="fourier", sfreq=RATE, fmin=12.5, fmax=120, verbose=False
    )
    arguments = dict(segment=400.0, overlap=0.0, period=PERIOD, window=np.hanning(100))
    ours = [coherence(signals(13, 1000), **arguments), imaginary_coherence(signals(13, 1000), **arguments)]
    chosen = np.isin(np.round(ours[0].frequencies, 3), np.round(found[0].freqs, 3))
    assert chosen.sum() == len(found[0].freqs) > 40
    for i, j in [(1, 0), (2, 0), (2, 1)]:
        theirs = [c.get_data("dense")[i, j] for c in found]
        np.testing.assert_allclose(np.sqrt(ours[0].values[chosen, i, j]), theirs[0], atol=20 * rounding)
        # Theirs is the cross-spectrum X_i conj(X_j), ours and SciPy's conj(X_i) X_j.
        np.testing.assert_allclose(-ours[1].values[chosen, i, j], theirs[1], atol=20 * rounding)


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.permutations(range(3)))
def test_invariants_of_coherence(rounding, seed, order):
    x = signals(seed, 60)
    arguments = dict(segment=80.0, period=PERIOD)
    squared, imaginary = coherence(x, **arguments).values, imaginary_coherence(x, **arguments).values
    assert squared.min() >= 0 and squared.max() <= 1 + 10 * rounding
    np.testing.assert_allclose(np.diagonal(squared, axis1=1, axis2=2), 1, atol=10 * rounding)
    np.testing.assert_allclose(imaginary, -imaginary.swapaxes(1, 2), atol=10 * rounding)
    assert (imaginary**2 <= squared + 10 * rounding).all()
    turned = x[:, order] * [-1.0, 2.0, 0.5]
    np.testing.assert_allclose(
        coherence(turned, **arguments).values, squared[:, order][:, :, order], atol=50 * rounding
    )


def test_the_mean_over_a_band(rounding):
    pairs = coherence(signals(14), segment=400.0, period=PERIOD)
    f = np.asarray(pairs.frequencies)
    expected = np.asarray(pairs.values)[(f >= 8) & (f <= 13)].mean(0)
    np.testing.assert_allclose(pairs.band(8, 13), expected, rtol=rounding)
    np.testing.assert_allclose(jax.jit(lambda c: c.band(8, 13))(pairs), expected, rtol=rounding)
    cross = cross_spectrum(signals(14), segment=400.0, period=PERIOD)
    assert jnp.iscomplexobj(cross.band(8, 13))


WEIGHTS = np.random.default_rng(0).normal(size=(3, 3))
FEATURES = {
    "psd": lambda s: (jnp.log(s.power[1:]) * jnp.linspace(-1, 1, 50)[:, None]).sum() / 10,
    "band_power": lambda s: jnp.log(band_power(s, 5, 20)) @ WEIGHTS[0],
    "relative": lambda s: band_power(s, 5, 20, relative=True) @ WEIGHTS[1],
    "peak": lambda s: peak_frequency(s, 5, 40, sharpness=3.0) @ WEIGHTS[0],
    "centroid": lambda s: spectral_centroid(s, 5, 40) @ WEIGHTS[0],
    "slope": lambda s: spectral_slope(s, 5, 60) @ WEIGHTS[0],
}


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.slow("float64", "float32")
def test_gradients_of_spectra_equal_finite_differences(name):
    check_gradient(lambda x: FEATURES[name](psd(x, segment=400.0, period=PERIOD)), signals(15))


@pytest.mark.parametrize(
    "feature",
    [
        lambda x, **k: jnp.abs(cross_spectrum(x, **k).band(5, 20) / jnp.var(x)),
        lambda x, **k: coherence(x, **k).band(5, 20),
        lambda x, **k: imaginary_coherence(x, **k).band(5, 20),
    ],
    ids=["cross_spectrum", "coherence", "imaginary_coherence"],
)
@pytest.mark.slow("float64", "float32")
def test_gradients_of_coherence_equal_finite_differences(feature):
    check_gradient(lambda x: (feature(x, segment=400.0, period=PERIOD) * WEIGHTS).sum(), signals(16))


@pytest.mark.slow
def test_gradients_where_there_is_no_power():
    """Zeros and finite numbers, not 0/0 and 0 * inf: at 0 Hz, in channels that a model keeps still, outside of bands."""
    x = signals(17) * [1, 0, 1]
    arguments = dict(segment=400.0, period=PERIOD, window="boxcar")

    @jax.jit
    @jax.grad
    def gradient(x):
        spectrum = psd(x, **arguments)
        moving = Spectrum(spectrum.frequencies, spectrum.power.at[0].set(0)[:, ::2])
        of_spectra = (
            peak_frequency(moving).sum() + spectral_slope(moving, 5, 60).sum() + band_power(spectrum, 5, 9).sum()
        )
        x = x[:, ::2]
        return (
            of_spectra + coherence(x, **arguments).values.sum() + imaginary_coherence(x, **arguments).values[:, 0].sum()
        )

    assert np.isfinite(gradient(x)).all()
    assert np.abs(gradient(x)[:, 0]).max() > 0
    silent = jax.jit(lambda x: coherence(x, **arguments).values)(x)
    assert np.isnan(np.asarray(silent)[:, 1]).all() and np.asarray(silent)[1:, 0, 0] == pytest.approx(1, abs=1e-4)


def test_shapes_are_checked():
    # Called here as it is by the constructors, where in tests the check of the annotations comes first.
    spectrum = spectrum_of()
    with pytest.raises(ValueError, match=r"expected .*\(frequency, channel\) at \(51,\) freq.* got shape \(50, 3\)"):
        spectrum._check(spectrum.power[1:], 1, ())
    for shape in [(51, 3), (51, 3, 2), (51, 51, 3)]:
        with pytest.raises(ValueError, match=r"expected .*\(frequency, channel, channel\) at \(51,\) freq"):
            spectrum._check(np.ones(shape), 2, ())
    with pytest.raises(ValueError, match="3 labels for 2 channels"):
        Connectivity(np.arange(3.0), np.ones((3, 2, 2)), ("A", "B", "C"))
