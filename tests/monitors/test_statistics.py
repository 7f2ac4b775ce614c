"""Streams of covariances, correlations and spectra against NumPy and SciPy on the raw activity, wherever runs are cut."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_monitors import DT, in_parts

import gyrax as gx
from gyrax.monitors import FC, PSD, Balloon, Covariance, Raw, Subsample, TemporalAverage
from toys import LABELS, clock, drive

SINGLE = jnp.result_type(float) == jnp.float32
NET = clock()
quick = settings(max_examples=4, phases=[Phase.generate])


def chunks(x, n):
    return x[: len(x) // n * n].reshape(-1, n, x.shape[1])


@pytest.mark.slow
@pytest.mark.once
@quick
@given(st.integers(2, 90), st.integers(1, 150), st.integers(1, 150))
def test_covariances_are_numpys_wherever_a_run_is_cut(period, one, two):
    monitors = {"cov": Covariance(source="ramp", period=period * DT), "raw": Raw(source="ramp")}
    found = in_parts(monitors, one * DT, two * DT)
    raw = np.asarray(found["raw"][0], float)[:, 0]
    expected = np.array([np.cov(x.T) for x in chunks(raw, period)]).reshape(-1, 3, 3)
    np.testing.assert_allclose(found["cov"][0], expected, rtol=1e-5 if SINGLE else 1e-11)
    np.testing.assert_allclose(found["cov"][1], (np.arange(len(expected)) + 0.5) * period * DT)


def test_fc_is_numpys_also_far_from_zero(rounding):
    """A mean a thousand times the spread leaves float32 some digits: the sums are about the mean."""
    monitors = {"fc": FC(source="drive", period=600.0), "cov": Covariance(source="drive", period=600.0)}
    run = gx.simulate(NET, 2400.0, 3.0, monitors=monitors | {"raw": Raw(source="drive")})
    raw = np.asarray(run["raw"].values, float)[:, 0]
    expected = np.array([np.corrcoef(x.T) for x in chunks(raw, 200)])
    np.testing.assert_allclose(run["fc"].values, expected, rtol=0, atol=50 * rounding)
    np.testing.assert_allclose(run["cov"].values, [np.cov(x.T) for x in chunks(raw, 200)], rtol=50 * rounding)
    labelled = run["fc"].to_xarray()
    assert labelled.dims == ("time", "region", "other") and list(labelled["other"].values) == list(LABELS)


@pytest.mark.slow
def test_fc_of_bold_is_that_of_the_samples(rounding):
    bold = Balloon(source="drive", period=200.0)
    run = gx.simulate(NET, 8000.0, 5.0, monitors={"bold": bold, "fc": bold.then(FC(period=4000.0))})
    expected = [np.corrcoef(x.T) for x in chunks(np.asarray(run["bold"].values, float), 20)]
    np.testing.assert_allclose(run["fc"].values, expected, rtol=0, atol=1e-4 if SINGLE else 1e-9)


@pytest.mark.slow
@pytest.mark.once
@quick
@given(st.sampled_from([2, 4, 10, 32]), st.integers(2, 9), st.integers(1, 140), st.integers(1, 140))
def test_spectra_are_welchs_wherever_a_run_is_cut(segment, halves, one, two):
    period = segment // 2 * halves
    monitors = {"psd": PSD(segment * 4.0, source="drive", period=period * 4.0), "raw": Raw(source="drive")}
    found = in_parts(monitors, one * 4.0, two * 4.0, dt=4.0)
    raw = np.asarray(found["raw"][0], float)[:, 0]
    _, expected = scipy.signal.welch(chunks(raw, period), 250.0, nperseg=segment, axis=1)
    atol = (1e-5 if SINGLE else 1e-11) * np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(found["psd"][0], expected, rtol=1e-4 if SINGLE else 1e-9, atol=atol)


def test_spectra_of_another_monitors_samples_are_labelled(rounding):
    monitors = {
        "psd": Subsample(source="drive", period=8.0).then(PSD(64.0, period=128.0)),
        "every": Subsample(source="drive", period=8.0),
    }
    run = gx.simulate(NET, 512.0, 4.0, monitors=monitors)
    frequencies, expected = scipy.signal.welch(
        chunks(np.asarray(run["every"].values, float)[:, 0], 16), 125.0, nperseg=8, axis=1
    )
    np.testing.assert_allclose(run["psd"].values, expected, rtol=1e-3 if SINGLE else 1e-9, atol=1e-9)
    spectrum = gx.features.Spectrum.of(run["psd"])
    np.testing.assert_allclose(spectrum.power, expected.mean(0), rtol=1e-3 if SINGLE else 1e-9, atol=1e-9)
    np.testing.assert_allclose(spectrum.frequencies, frequencies)
    assert spectrum.labels == LABELS
    with pytest.raises(ValueError, match=r"expected what monitors.PSD recorded, .* got \('time', 'state', 'region'\)"):
        gx.features.Spectrum.of(run["every"])
    labelled = run["psd"].to_xarray()
    assert labelled.dims == ("time", "frequency", "region")
    np.testing.assert_allclose(labelled["frequency"], frequencies)


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_the_run():
    monitors = {"fc": FC(source="drive", period=500.0), "psd": PSD(40.0, source="drive", period=500.0)}
    sizes = []
    for duration in (500.0, 4000.0):
        final = gx.simulate(NET, duration, 2.0, monitors=monitors).final
        sizes.append({name: sum(x.size for x in jax.tree.leaves(s)) for name, s in final.monitors.items()})
    assert sizes[0] == sizes[1] == {"fc": 3 + 9, "psd": 3 * (10 + 10 + 11)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fc", "cov", "psd"])
def test_gradients_equal_finite_differences(kind, small_connectome, key):
    """Through a delayed network with noise."""
    make = {
        "fc": FC(source="S", period=40.0),
        "cov": Covariance(source="S", period=40.0),
        "psd": PSD(16.0, source="S", period=40.0),
    }

    coupling = gx.couplings.Linear(source="S", strength=0.4)
    still = gx.Network(gx.models.WongWang(w=0.7), coupling, small_connectome, gx.Delay(3.0), gx.noise.White(0.02))

    @jax.jit
    def value(scale):
        where = lambda n: (n.model.w, n.coupling.strength)  # noqa: E731
        net = eqx.tree_at(where, still, tuple(scale * x for x in where(still)))
        run = gx.simulate(net, 80.0, 1.0, monitors={kind: make[kind]}, key=key)
        size = {"fc": 1.0, "cov": 1e4, "psd": 1e4}[kind]
        weights = jnp.cos(jnp.arange(run[kind].values.size)).reshape(run[kind].values.shape)
        return size * (weights * run[kind].values).sum()

    h = 2e-2 if SINGLE else 1e-5
    exact, numeric = jax.grad(value)(1.0), (value(1 + h) - value(1 - h)) / (2 * h)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=2e-2 if SINGLE else 1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        (FC(period=10.0), "FC is of one state or output, not of 2"),
        (PSD(4.0, period=8.0), "PSD is of one state or output, not of 2"),
        (Covariance(source="t", period=1.0), "needs two samples at least: its period is one step of 1 ms"),
        (PSD(5.0, source="t", period=10.0), "segment = 5 ms is no even number of steps of 1 ms"),
        (PSD(4.0, source="t", period=9.0), "period = 9 ms is no multiple of half a segment of 4 ms"),
    ],
)
def test_what_does_not_fit_is_named(monitor, message):
    with pytest.raises(ValueError, match=message):
        gx.simulate(NET, 40.0, 1.0, monitors=monitor)


def test_a_segment_fits_its_period():
    with pytest.raises(ValueError, match=r"a segment of 20.0 ms does not fit a period of 10.0 ms"):
        PSD(20.0, source="t", period=10.0)
    assert TemporalAverage(period=2.0).then(FC(period=10.0)).stamp == 5.0
    assert drive([0.0]).shape == (1, 3)
