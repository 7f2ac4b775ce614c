"""Losses against NumPy and SciPy, their least values, invariants, gradients, labels, and wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features import Spectrum
from gyrax.losses import (
    fc_correlation,
    fc_distance,
    fc_rmse,
    gaussian_log_likelihood,
    ks_distance,
    peak_frequency_rmse,
    psd_correlation,
    psd_distance,
    psd_rmse,
    rmse,
    wasserstein,
    weighted_sum,
)
from slopes import slope

SINGLE = jnp.result_type(float) == jnp.float32
EXACT = 5e-3 if SINGLE else 1e-7  # how well differences give a slope
quick = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def series(seed, samples=40, channels=5):
    return np.random.default_rng(seed).normal(size=(samples, channels))


def symmetric(seed, n=5):
    m = np.random.default_rng(seed).uniform(-0.9, 0.9, (n, n))
    return (m + m.T) / 2


def spectrum(seed=0, labels=(), frequencies=9):
    f = np.linspace(1.0, 21.0, frequencies)
    return Spectrum(f, np.random.default_rng(seed).gamma(2.0, size=(frequencies, 3)), labels)


def recording(values, labels="ABC", period=1.0):
    values = jnp.asarray(values)
    return gx.Recording(values, jnp.array(1), period, period, 0.0, ("time", "region"), ("S",), tuple(labels))


def test_losses_equal_numpy(rounding):
    a, b = symmetric(7), symmetric(8)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(rmse(a, b), np.sqrt(np.mean((a - b) ** 2)), rtol=rounding)
    np.testing.assert_allclose(fc_rmse(a, b), np.sqrt(np.mean((a[off] - b[off]) ** 2)), rtol=rounding)
    np.testing.assert_allclose(fc_correlation(a, b), np.corrcoef(a[off], b[off])[0, 1], rtol=10 * rounding)


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.floats(0.1, 10.0), st.floats(-3.0, 3.0), st.permutations(range(5)))
def test_invariants_of_losses(rounding, seed, scale, offset, order):
    a, b = symmetric(seed), symmetric(seed + 1)
    other = a + np.diag(np.arange(5.0))  # another diagonal
    for loss, changed in [(fc_rmse, other), (fc_correlation, scale * other + offset)]:
        expected = float(loss(a, b))
        np.testing.assert_allclose(loss(changed, b), expected, atol=500 * rounding)
        np.testing.assert_allclose(loss(b, changed), expected, atol=500 * rounding)
        np.testing.assert_allclose(loss(a[order][:, order], b[order][:, order]), expected, atol=50 * rounding)
    np.testing.assert_allclose(fc_correlation(-scale * a, b), -fc_correlation(a, b), atol=50 * rounding)
    np.testing.assert_allclose(fc_correlation(a, a), 1.0, atol=50 * rounding)
    np.testing.assert_allclose(rmse(a, a + offset), abs(offset), atol=50 * rounding)
    assert fc_rmse(a, a) == rmse(a, a) == 0


@pytest.mark.slow("float32")
@pytest.mark.parametrize("loss", [rmse, fc_rmse, fc_correlation])
def test_gradients_of_losses_equal_finite_differences(loss):
    a, b = symmetric(9), symmetric(10)
    exact, numeric = slope(lambda a: loss(a, b), a)
    np.testing.assert_allclose(exact, numeric, rtol=5e-3 if SINGLE else 1e-7)
    exact, numeric = slope(lambda b: loss(a, b), b, seed=1)
    np.testing.assert_allclose(exact, numeric, rtol=5e-3 if SINGLE else 1e-7)


@pytest.mark.parametrize("loss", [rmse, fc_rmse])
def test_where_nothing_differs_the_gradient_is_zero(loss):
    """Not 0/0, as a plain root has there; and what is not finite does not pass for a perfect fit."""
    a = jnp.asarray(symmetric(11))
    np.testing.assert_array_equal(jax.grad(loss)(a, a), np.zeros((5, 5)))
    assert np.isnan(jax.jit(loss)(a.at[0, 1].set(jnp.nan), a))


@pytest.mark.parametrize("loss", [rmse, fc_rmse, fc_correlation])
@pytest.mark.parametrize("other", [(1, 3), (3, 1), (3,), (), (4, 4), (1, 1)], ids=str)
def test_nothing_is_broadcast(loss, other):
    a, b = np.random.default_rng(0).normal(size=(3, 3)), np.ones(other)
    for pair in [(a, b), (b, a)]:
        with pytest.raises(ValueError, match=r"the two differ in shape: .* nothing is broadcast here"):
            loss(*pair)


@pytest.mark.parametrize("loss", [fc_rmse, fc_correlation])
def test_matrices_are_square(loss):
    with pytest.raises(ValueError, match=r"expected a square matrix, got shape \(3, 2\)"):
        loss(np.ones((3, 2)), np.ones((3, 2)))


def test_rmse_takes_any_shape(rounding):
    a, b = series(12, 6, 2), series(13, 6, 2)
    np.testing.assert_allclose(rmse(a[:, 0], b[:, 0]), np.sqrt(np.mean((a - b)[:, 0] ** 2)), rtol=rounding)
    np.testing.assert_allclose(rmse(2.0, 5.0), 3.0, rtol=rounding)


def test_small_numbers_keep_their_difference(rounding):
    """Powers of magnetic fields in T^2 are so small that their squares vanish in float32."""
    a, b = 1e-26 * series(14), 1e-26 * series(15)
    np.testing.assert_allclose(rmse(a, b), np.sqrt(np.mean((a - b) ** 2)), rtol=10 * rounding)
    assert np.abs(jax.grad(rmse)(jnp.asarray(a), jnp.asarray(b))).max() > 1e-3


def test_nothing_to_compare():
    for loss, nothing in [(rmse, np.zeros(0)), (fc_rmse, np.ones((1, 1)))]:
        with pytest.raises(ValueError, match=r"there is nothing to compare in arrays of shape \(0,\)"):
            loss(nothing, nothing)


@pytest.mark.slow
def test_fishers_z(rounding):
    a, b = symmetric(16), symmetric(17)
    off = ~np.eye(5, dtype=bool)
    expected = np.corrcoef(np.arctanh(a[off]), np.arctanh(b[off]))[0, 1]
    assert abs(expected - np.corrcoef(a[off], b[off])[0, 1]) > 1e-3
    for x, y in [(a, b), (a + np.diag(1 - np.diag(a)), b)]:  # the diagonal may be one
        np.testing.assert_allclose(fc_correlation(x, y, fisher_z=True), expected, rtol=20 * rounding)
        np.testing.assert_allclose(fc_distance(x, y, fisher_z=True), 1 - expected, rtol=20 * rounding)
    np.testing.assert_allclose(fc_distance(a, 2 * a + 1), 0, atol=20 * rounding)
    np.testing.assert_allclose(fc_distance(a, b), 1 - fc_correlation(a, b), atol=rounding)
    exact, numeric = slope(lambda a: fc_distance(a, b, fisher_z=True), a)
    np.testing.assert_allclose(exact, numeric, rtol=EXACT)
    np.testing.assert_allclose(jax.grad(fc_distance)(jnp.asarray(a), jnp.asarray(a)), 0, atol=100 * rounding)
    b[1, 2] = -1.5
    with pytest.raises(ValueError, match=r"an entry of the second matrix is -1.5: Fisher's z is defined for"):
        fc_correlation(a, b, fisher_z=True)


def test_matrices_that_do_not_vary():
    a = symmetric(18)
    for pair, which in [((np.eye(5), a), "first"), ((a, np.ones((5, 5))), "second")]:
        with pytest.raises(ValueError, match=f"off its diagonal the {which} matrix does not vary"):
            fc_correlation(*pair)


def table(values, labels="ABC"):
    return pd.DataFrame(values, index=list(labels), columns=list(labels))


def array(values, labels="ABC"):
    return xr.DataArray(values, dims=("to", "from"), coords={"to": list(labels), "from": list(labels)})


@pytest.mark.once
@pytest.mark.parametrize("loss", [rmse, fc_rmse, fc_correlation, fc_distance])
@pytest.mark.parametrize(("one", "two"), [(table, table), (table, array), (array, array)])
def test_labels_agree_or_are_refused(loss, one, two, rounding):
    a, b = symmetric(19, 3), symmetric(20, 3)
    expected = loss(a, b)
    for x, y in [(one(a), two(b)), (one(a), b), (a, two(b)), (pd.DataFrame(a), two(b))]:
        np.testing.assert_allclose(loss(x, y), expected, rtol=rounding)
    np.testing.assert_allclose(jax.jit(lambda a: loss(a, two(b)))(a), expected, rtol=10 * rounding)
    with pytest.raises(ValueError, match="labels disagree: number 1 is 'B' in the first, but 'C' in the second"):
        loss(one(a), two(b, "ACB"))


@pytest.mark.parametrize("loss", [fc_rmse, fc_correlation])
def test_rows_and_columns_are_in_one_order(loss):
    a = pd.DataFrame(symmetric(21, 3), index=list("ABC"), columns=list("BAC"))
    with pytest.raises(ValueError, match="number 0 is 'A' in the rows of the second, but 'B' in its columns"):
        loss(symmetric(22, 3), a)


def test_recordings_are_compared_sample_by_sample(rounding):
    a, b = series(23, 6, 3), series(24, 6, 3)
    np.testing.assert_allclose(rmse(recording(a), recording(b)), rmse(a, b), rtol=rounding)
    with pytest.raises(ValueError, match="number 2 is 'C' in the first, but 'D' in the second"):
        rmse(recording(a), recording(b, "ABD"))
    with pytest.raises(ValueError, match="number 0 is 'A' in the first, but 'X' in the second"):
        rmse(recording(a), recording(b).to_xarray().assign_coords(region=["X", "B", "C"]))
    with pytest.raises(ValueError, match="samples of the first are 1 ms apart, those of the second 2 ms"):
        rmse(recording(a), recording(b, period=2.0))


def values_of(count):
    """Among few values, ties are common."""
    return st.lists(st.integers(-8, 8).map(lambda k: k / 4), min_size=count, max_size=count)


def ks(a, b):
    return scipy.stats.ks_2samp(a, b).statistic


narrow = jax.jit(lambda a, b: ks_distance(a, b, width=0.1))
DISTRIBUTIONS = [
    (jax.jit(wasserstein), scipy.stats.wasserstein_distance),
    (jax.jit(ks_distance), ks),
    (narrow, ks),
]


@pytest.mark.slow
@quick
@given(values_of(6), values_of(4), st.permutations(range(6)))
def test_distributions_equal_scipy(rounding, a, b, order):
    a, b = np.array(a), np.array(b)
    for f, reference in DISTRIBUTIONS:
        expected = reference(a, b)
        np.testing.assert_allclose(f(a, b), expected, atol=10 * rounding)
        np.testing.assert_allclose(f(-a, -b), expected, atol=10 * rounding)
        np.testing.assert_allclose(f(a[order] + 3, b + 3), expected, atol=20 * rounding)
        assert f(a, a[order]) == 0


@pytest.mark.slow("float32")
@pytest.mark.parametrize("sizes", [(40, 40), (30, 17), (5, 200)])
def test_smooth_ks_equals_ramps_on_a_grid(sizes, rounding):
    rng = np.random.default_rng(25)
    a, b = rng.normal(size=sizes[0]), 0.7 + rng.normal(size=sizes[1])
    smooth = jax.jit(ks_distance)
    for width in (1e-4, 0.3, 5.0):
        at = np.concatenate([np.linspace(-9, 9, 2001), a - width, a + width, b - width, b + width])
        ramps = [np.mean([np.clip((at - v) / (2 * width) + 0.5, 0, 1) for v in x], 0) for x in (a, b)]
        expected = np.abs(ramps[0] - ramps[1]).max()
        tolerance = (
            (2 if SINGLE else 20) * rounding / min(width, 1)
        )  # the digits that narrow ramps leave to their values
        np.testing.assert_allclose(smooth(a, b, width), expected, atol=tolerance)
        if width == 1e-4:
            np.testing.assert_allclose(expected, scipy.stats.ks_2samp(a, b).statistic, atol=1e-12)


@pytest.mark.slow
def test_smooth_ks_of_many_values_keeps_its_digits():
    rng = np.random.default_rng(26)
    a, b = (np.tanh(rng.normal(m, 0.3, size=100_000)) for m in (0.3, 0.35))
    h, at = 0.02, np.linspace(-1, 1, 401)

    def ramp(x):
        return np.array([np.clip((t - x) / (2 * h) + 0.5, 0, 1).mean() for t in at])

    np.testing.assert_allclose(ks_distance(a, b, h), np.abs(ramp(a) - ramp(b)).max(), atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("f", [wasserstein, lambda a, b: ks_distance(a, b, 0.8)], ids=["wasserstein", "ks"])
def test_gradients_of_distributions(f):
    x = np.random.default_rng(27).normal(size=19) + np.repeat([0.0, 0.5], [12, 7])
    exact, numeric = slope(lambda x: f(x[:12], x[12:]), x, step=5e-4 if SINGLE else 1e-6)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=1e-2 if SINGLE else 1e-6)
    a = jnp.asarray(x[:12])
    np.testing.assert_array_equal(jax.jit(jax.grad(f))(a, a[::-1]), 0)


@pytest.mark.slow
def test_the_width_has_a_slope():
    a, b = np.random.default_rng(28).normal(size=(2, 12))
    exact, numeric = slope(lambda h: ks_distance(a, b, h[0]), np.array([0.8]), step=5e-4 if SINGLE else 1e-6)
    np.testing.assert_allclose(exact, numeric, rtol=1e-2 if SINGLE else 1e-6)


def test_the_exact_ks_is_not_differentiated():
    a, b = jnp.asarray(series(29)[:, 0]), jnp.asarray(series(30)[:, 0])
    with pytest.raises(
        TypeError, match="the exact Kolmogorov-Smirnov distance has no slope: give ks_distance a width="
    ):
        jax.grad(jax.jit(ks_distance))(a, b)

    def loss(a):
        return wasserstein(a, b), ks_distance(jax.lax.stop_gradient(a), b)

    (_, reported), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(a)
    np.testing.assert_allclose(reported, scipy.stats.ks_2samp(a, b).statistic, rtol=1e-6)
    assert np.abs(slopes).max() > 0


@pytest.mark.once
@pytest.mark.parametrize("f", [wasserstein, ks_distance])
def test_wrong_samples(f):
    a = np.arange(3.0)
    for bad in (np.ones((3, 2)), np.ones(0), np.float64(3.0)):
        with pytest.raises(ValueError, match=r"b, the second sample, has shape .*, expected values \(value,\)"):
            f(a, bad)
    with pytest.raises(ValueError, match="value 1 of the first sample is nan: distributions are of finite values"):
        f(np.array([0.0, np.nan]), a)
    assert np.isnan(jax.jit(f)(np.array([0.0, np.nan]), a))


@pytest.mark.once
@pytest.mark.parametrize("width", [0.0, -1.0, np.nan, np.ones(2)], ids=str)
def test_wrong_widths(width):
    with pytest.raises((ValueError, TypeError), match=r"width(=| is) ?.*a (positive )?number"):
        ks_distance(np.arange(3.0), np.arange(3.0), width)


@pytest.mark.slow
def test_spectral_losses_equal_numpy(rounding):
    a, b = spectrum(1), spectrum(2)
    p, q = np.asarray(a.power), np.asarray(b.power)
    expected = np.mean([np.corrcoef(p[:, k], q[:, k])[0, 1] for k in range(3)])
    for x, y in [(a, b), (p, q), (a, q)]:
        np.testing.assert_allclose(psd_rmse(x, y), np.sqrt(np.mean(np.log10(p / q) ** 2)), rtol=10 * rounding)
        np.testing.assert_allclose(psd_correlation(x, y), expected, rtol=20 * rounding)
        np.testing.assert_allclose(psd_distance(x, y), 1 - expected, rtol=20 * rounding)
    np.testing.assert_allclose(psd_rmse(1e-26 * p, 1e-24 * p), 2, rtol=10 * rounding)
    np.testing.assert_allclose(psd_correlation(1e-26 * p, 1e-24 * q), expected, rtol=20 * rounding)


def test_peak_frequencies_are_compared_in_hz(rounding):
    f = np.arange(1.0, 41.0)

    def bump(peaks):
        return Spectrum(f, np.exp(-0.5 * (f[:, None] - np.array(peaks)) ** 2))

    a, b = bump([8.0, 10.0, 20.0]), bump([9.0, 10.0, 23.0])
    np.testing.assert_allclose(peak_frequency_rmse(a, b), np.sqrt((1 + 0 + 9) / 3), rtol=1e-4)
    fine = Spectrum(
        np.arange(1.0, 40.25, 0.25), np.exp(-0.5 * (np.arange(1.0, 40.25, 0.25)[:, None] - [8, 10, 20]) ** 2)
    )
    np.testing.assert_allclose(peak_frequency_rmse(a, fine), 0, atol=1e-3)
    assert peak_frequency_rmse(a, a) == 0
    # The third peak lies above the band, at whose end both have the most power then.
    np.testing.assert_allclose(peak_frequency_rmse(a, b, 5.0, 15.0), np.sqrt(1 / 3), rtol=1e-4)
    with pytest.raises(TypeError, match=r"b, the second, is a .*, expected a Spectrum, which knows its frequencies"):
        peak_frequency_rmse(a, a.power)
    with pytest.raises(ValueError, match="the two differ in shape"):
        peak_frequency_rmse(a, bump([8.0]))
    with pytest.raises(ValueError, match="number 0 is 'A' in the first, but 'B' in the second"):
        peak_frequency_rmse(spectrum(4, tuple("ABC")), spectrum(5, tuple("BAC")))


@pytest.mark.slow("float32")
@quick
@given(st.integers(0, 1000), st.floats(0.1, 10.0), st.permutations(range(3)))
def test_invariants_of_spectral_losses(rounding, seed, scale, order):
    p, q = (np.asarray(spectrum(seed + k).power) for k in range(2))
    for loss in (psd_rmse, psd_correlation, psd_distance):
        np.testing.assert_allclose(loss(q, p), loss(p, q), atol=50 * rounding)
        np.testing.assert_allclose(loss(p[:, order], q[:, order]), loss(p, q), atol=50 * rounding)
        np.testing.assert_allclose(loss(p[::-1], q[::-1]), loss(p, q), atol=50 * rounding)
    np.testing.assert_allclose(psd_distance(p, scale * q), psd_distance(p, q), atol=50 * rounding)
    np.testing.assert_allclose(psd_rmse(p, scale * p), abs(np.log10(scale)), atol=50 * rounding)
    np.testing.assert_allclose(psd_distance(p, p), 0, atol=50 * rounding)
    assert psd_rmse(p, p) == 0


@pytest.mark.slow
@pytest.mark.parametrize("loss", [psd_rmse, psd_distance, peak_frequency_rmse])
def test_gradients_of_spectral_losses(loss):
    a, b = spectrum(6), spectrum(7)

    def of(p):
        return Spectrum(a.frequencies, p)

    exact, numeric = slope(lambda p: loss(of(p), b), a.power + 0.5)
    assert abs(exact) > 1e-3
    np.testing.assert_allclose(exact, numeric, rtol=2e-2 if SINGLE else 1e-6)
    at_equality = jax.grad(lambda p: loss(of(p), a))(a.power)
    np.testing.assert_allclose(at_equality, 0, atol=1e-6)


@pytest.mark.parametrize("loss", [psd_rmse, psd_correlation, psd_distance])
def test_spectra_that_do_not_fit(loss):
    a = spectrum(8, tuple("ABC"))
    f = np.array(a.frequencies)
    f[3] += 0.25
    with pytest.raises(
        ValueError, match=r"frequencies disagree: number 3 is 8.5 Hz in the first, but 8.75 Hz in the second"
    ):
        loss(a, Spectrum(f, a.power))
    with pytest.raises(
        ValueError, match=r"frequencies disagree: number 3 is 8.75 Hz in the first, but 8.5 Hz in the second"
    ):
        loss(Spectrum(f, a.power).to_xarray(), a)
    with pytest.raises(ValueError, match="number 1 is 'B' in the first, but 'C' in the second"):
        loss(a, spectrum(8, tuple("ACB")))
    with pytest.raises(ValueError, match="the two differ in shape"):
        loss(a, spectrum(8, frequencies=8))
    with pytest.raises(ValueError, match=r"expected power \(frequency, channel\), got shape \(9,\)"):
        loss(a.power[:, 0], a.power[:, 0])


@pytest.mark.once
def test_powers_without_logarithm_or_form_are_named():
    a = spectrum(9, tuple("ABC"))
    bad = Spectrum(a.frequencies, a.power.at[2, 1].set(0.0), a.labels)
    with pytest.raises(ValueError, match=r"B of the second has power 0 at 6 Hz, which has no logarithm"):
        psd_rmse(a, bad)
    with pytest.raises(ValueError, match=r"channel 1 of the first has power 0 at frequency 2, which"):
        psd_rmse(bad.power, a.power)
    flat = Spectrum(a.frequencies, a.power.at[:, 1].set(2.0), a.labels)
    with pytest.raises(ValueError, match=r"the power of B of the second never changes over frequency"):
        psd_correlation(a, flat)


def positive(seed, n=4):
    m = np.random.default_rng(seed).normal(size=(n, n))
    return m @ m.T + 0.5 * np.eye(n)


@pytest.mark.slow
def test_likelihood_equals_scipy(rounding):
    rng = np.random.default_rng(31)
    x, mu, sigma, sd = rng.normal(size=4), rng.normal(size=4), positive(32), rng.uniform(0.3, 2.0, 4)
    normal = scipy.stats.multivariate_normal
    for given_, cov in [({"covariance": sigma}, sigma), ({"sd": sd}, np.diag(sd**2)), ({"sd": 0.7}, 0.49 * np.eye(4))]:
        np.testing.assert_allclose(
            gaussian_log_likelihood(x, mu, **given_), normal.logpdf(x, mu, cov), rtol=100 * rounding
        )
        best = gaussian_log_likelihood(mu, mu, **given_)
        assert best > gaussian_log_likelihood(x, mu, **given_)
        at_mean = jax.grad(lambda x, g=given_: gaussian_log_likelihood(x, mu, **g))(jnp.asarray(mu))
        np.testing.assert_allclose(at_mean, 0, atol=rounding)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        gaussian_log_likelihood(x[order], mu[order], covariance=sigma[np.ix_(order, order)]),
        gaussian_log_likelihood(x, mu, covariance=sigma),
        rtol=100 * rounding,
    )


@pytest.mark.parametrize("name", ["x", "mean", "covariance", "sd"])
def test_gradients_of_the_likelihood(name):
    rng = np.random.default_rng(33)
    values = {
        "x": rng.normal(size=4),
        "mean": rng.normal(size=4),
        "covariance": positive(34),
        "sd": rng.uniform(1, 2, 4),
    }
    spread = "sd" if name == "sd" else "covariance"

    def f(value):
        v = values | {name: value if name != "covariance" else (value + value.T) / 2}
        return gaussian_log_likelihood(v["x"], v["mean"], **{spread: v[spread]})

    exact, numeric = slope(f, values[name])
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=2e-2 if SINGLE else 1e-6)


@pytest.mark.once
def test_wrong_likelihoods():
    x = pd.Series(np.zeros(3), index=list("ABC"))
    for arguments in ({}, {"sd": 1.0, "covariance": np.eye(3)}):
        with pytest.raises(ValueError, match="give either covariance= or sd="):
            gaussian_log_likelihood(x, x, **arguments)
    singular = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    skew = np.eye(3) + np.array([[0, 0, 0], [0, 0, 0.2], [0, 0, 0]])
    other = pd.DataFrame(np.eye(3), index=list("ACB"), columns=list("ACB"))
    for arguments, message in [
        (
            {"covariance": singular},
            r"covariance is not positive definite: C has no variance of its own .*variance is 1\)",
        ),
        ({"covariance": np.diag([1.0, -2.0, 1.0])}, r"not positive definite: B has .*variance is -2\)"),
        ({"covariance": skew}, "covariance is not symmetric: 0.2 from B to C, but 0 back"),
        ({"covariance": np.eye(2)}, r"covariance has shape \(2, 2\), expected \(3, 3\)"),
        ({"covariance": other}, "number 1 is 'C' in covariance, but 'B' in the features"),
        ({"sd": np.array([1.0, 1.0, 0.0])}, "sd is 0 for C, expected a positive number"),
        ({"sd": -1.0}, "sd is -1, expected a positive number"),
        ({"sd": np.ones(2)}, r"sd has shape \(2,\), expected one number or \(3,\)"),
        ({"sd": pd.Series(np.ones(3), index=list("BAC"))}, "number 0 is 'B' in sd, but 'A' in the features"),
    ]:
        with pytest.raises(ValueError, match=message):
            gaussian_log_likelihood(x, np.zeros(3), **arguments)
    with pytest.raises(ValueError, match="the two differ in shape"):
        gaussian_log_likelihood(x, np.zeros(2), sd=1.0)
    with pytest.raises(ValueError, match=r"expected features \(feature,\), got shape \(3, 3\)"):
        gaussian_log_likelihood(np.eye(3), np.eye(3), sd=1.0)
    assert np.isnan(jax.jit(lambda c: gaussian_log_likelihood(np.zeros(3), np.zeros(3), covariance=c))(singular))


@pytest.mark.slow
def test_a_fit_reports_the_terms_of_its_loss(rounding):
    model = gx.models.Linear(gamma=-0.5)

    def loss(m, key):
        level, slope = rmse(m.gamma, -1.0), wasserstein(m.gamma[None], jnp.array([-3.0]))
        return weighted_sum({"level": (2.0, level), "slope": (0.5, slope), "idle": (0.0, jnp.log(m.gamma))})

    result = gx.fit(model, loss, gx.select(model, "gamma"), optax.adam(0.05), steps=4, progress=False)
    assert set(result.history) == {"loss", "gradient", "level", "slope", "idle"}
    level, slope = result.history["level"], result.history["slope"]
    np.testing.assert_allclose([level[0], slope[0]], [0.5, 2.5], rtol=rounding)
    np.testing.assert_allclose(result.history["loss"], 2 * level + 0.5 * slope, rtol=rounding)
    assert np.isnan(result.history["idle"]).all()  # reported, and without a hand in the sum
    assert level[-1] < level[0] and slope[-1] < slope[0]


def test_weights_may_be_traced():
    total = jax.jit(lambda w: weighted_sum({"a": (w, 2.0), "b": (1.0, 3.0)})[0])
    assert total(0.5) == 4 and jax.grad(total)(0.5) == 2


@pytest.mark.once
@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({}, ValueError, "no term has a weight above zero"),
        ({"a": (0.0, 1.0)}, ValueError, "no term has a weight above zero"),
        ({"a": (-1.0, 1.0)}, ValueError, "the weight of 'a' is -1.0, expected a finite number, zero or more"),
        ({"a": (np.nan, 1.0)}, ValueError, "the weight of 'a' is nan"),
        ({"a": (np.inf, 1.0)}, ValueError, "the weight of 'a' is inf"),
        ({"a": (1.0, np.ones(2))}, ValueError, r"term 'a' has a weight of shape \(\) and a value of shape \(2,\)"),
        ({"a": (np.ones(2), 1.0)}, ValueError, r"term 'a' has a weight of shape \(2,\)"),
        ({"loss": (1.0, 1.0)}, ValueError, "the history of a fit has a 'loss' of its own: call the term otherwise"),
        ({"gradient": (1.0, 1.0)}, ValueError, "a 'gradient' of its own"),
        ({"nonfinite": (1.0, 1.0)}, ValueError, "a 'nonfinite' of its own"),
        ({"a": 1.0}, TypeError, r"term 'a' is a pair \(weight, value\), got 1.0"),
        ({1: (1.0, 1.0)}, TypeError, "terms are called by text, got 1"),
    ],
)
def test_wrong_terms(terms, error, message):
    with pytest.raises(error, match=message):
        weighted_sum(terms)
