"""Functional connectivity against NumPy, scikit-learn, nilearn and plain loops, its invariants, gradients, and wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features.connectivity import (
    covariance,
    edge_series,
    fc,
    lagged_correlation,
    ledoit_wolf_shrinkage,
    off_diagonal,
    partial_correlation,
)
from slopes import slope

SINGLE = jnp.result_type(float) == jnp.float32
quick = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def series(seed, samples=40, channels=5, mean=0.0):
    """Correlated channels of different size."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(samples, channels)) @ rng.normal(size=(channels, channels))
    return mean + mixed * np.geomspace(0.01, 10.0, channels)


def symmetric(seed, n=5):
    m = np.random.default_rng(seed).uniform(-1, 1, (n, n))
    return (m + m.T) / 2


def recording(values, labels="ABCDE", dims=("time", "region")):
    labels = tuple(labels)
    return gx.Recording(jnp.asarray(values), jnp.array(1), 1.0, 1.0, 0.0, dims, ("S",), labels)


@pytest.mark.parametrize("mean", [0.0, 50.0])
@pytest.mark.parametrize("shape", [(2, 2), (7, 3), (200, 5)])
def test_fc_equals_numpy(shape, mean, rounding):
    x = jnp.asarray(series(1, *shape, mean=mean))
    tolerance = rounding if mean == 0 else 3e4 * rounding  # the digits that a large mean leaves to the small channel
    np.testing.assert_allclose(fc(x), np.corrcoef(np.asarray(x, float).T), rtol=0, atol=tolerance)


@quick
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_fc_is_symmetric_bounded_and_follows_the_regions(rounding, seed, order):
    x = series(seed, 12, 4)
    matrix = np.asarray(fc(x))
    np.testing.assert_allclose(matrix, matrix.T, atol=rounding)
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=rounding)
    assert np.abs(matrix).max() <= 1 + rounding
    np.testing.assert_allclose(fc(x[:, order]), matrix[np.ix_(order, order)], atol=rounding)
    signs = np.array([1, -1, 1, -1])
    scaled = 3.0 + x * signs * [1.0, 2.0, 0.5, 4.0]
    np.testing.assert_allclose(fc(scaled), matrix * np.outer(signs, signs), atol=1000 * rounding)
    np.testing.assert_allclose(fc(x[::-1]), matrix, atol=rounding)


def test_gradients_of_fc_equal_finite_differences():
    x = series(2, 20, 4) / np.geomspace(0.01, 10.0, 4)
    weights = symmetric(3, 4)
    exact, numeric = slope(lambda x: (fc(x) * weights).sum(), x)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=5e-3 if SINGLE else 1e-7)


def test_fc_of_recordings(rounding):
    x = series(4)
    expected = np.corrcoef(x.T)
    np.testing.assert_allclose(fc(recording(x)), expected, atol=rounding)
    one_state = recording(x[:, None], dims=("time", "state", "region"))
    np.testing.assert_allclose(fc(one_state), expected, atol=rounding)
    np.testing.assert_allclose(fc(x[:, None]), expected, atol=rounding)
    np.testing.assert_allclose(jax.jit(fc)(one_state), expected, atol=rounding)


@pytest.mark.parametrize("dtype", [int, np.float32])
def test_fc_of_other_dtypes(dtype):
    x = np.round(series(5, 20, 3) * 100).astype(dtype)
    np.testing.assert_allclose(fc(x), np.corrcoef(x.T), atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("spoil", "message"),
    [(np.nan, "is not finite"), (np.inf, "is not finite"), (0.5, "never changes")],
    ids=["nan", "inf", "constant"],
)
def test_a_channel_without_correlations_is_named(spoil, message):
    x = series(6)
    x[slice(None) if spoil == 0.5 else 7, 2] = spoil
    with pytest.raises(ValueError, match=f"^channel 2 {message}: this feature is not defined for it"):
        fc(x)
    with pytest.raises(ValueError, match=f"^C {message}"):
        fc(recording(x))
    matrix = np.asarray(jax.jit(fc)(x))  # where values are not known, NaN in its row and column, and nowhere else
    assert np.isnan(matrix[2]).all() and np.isnan(matrix[:, 2]).all()
    assert np.isfinite(np.delete(np.delete(matrix, 2, 0), 2, 1)).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((20,), r"expected \(time, channel\), got shape \(20,\)"),
        ((20, 2, 5), r"expected \(time, channel\), got shape \(20, 2, 5\): choose one state"),
        ((3, 20, 1, 5), r"got shape \(3, 20, 1, 5\)"),
        ((1, 5), "at least two samples are needed, got 1: simulate longer"),
        ((0, 5), "at least two samples are needed, got 0"),
    ],
)
def test_fc_refuses_other_shapes(shape, message):
    x = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(ValueError, match=message):
        fc(x)
    with pytest.raises(ValueError, match=message):
        jax.jit(fc)(x)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.0, 1e-7], [9e-7, 0.0]], r"\[0, 1\] is 1e-07 and \[1, 0\] 9e-07"),
        ([[np.nan, 1.0], [np.nan, np.nan]], r"\[0, 1\] is 1 and \[1, 0\] nan"),
        ([[0.0, 1.0], [np.nan, 0.0]], r"\[0, 1\] is 1 and \[1, 0\] nan"),
        ([[True, False], [True, True]], r"\[0, 1\] is 0 and \[1, 0\] 1"),
    ],
)
def test_upper_triangle_refuses_halves_that_differ(matrix, message):
    with pytest.raises(ValueError, match="not symmetric: " + message):
        gx.features.upper_triangle(np.array(matrix))


def test_upper_triangle_of_rounded_and_missing_pairs():
    assert gx.features.upper_triangle(np.array([[0.0, 1e-7], [1.000001e-7, 0.0]])).shape == (1,)
    assert np.isnan(gx.features.upper_triangle(np.array([[1.0, np.nan], [np.nan, 1.0]]))).all()
    regions = [f"R{i}" for i in range(14)]
    found = gx.features.upper_triangle(gx.LabelledArray(np.ones((14, 14)), [regions, regions]))
    assert repr(found) == "LabelledArray(91 from 'R0, R1' to 'R12, R13'; 1 to 1)"


def test_upper_triangle_has_each_pair_once():
    matrix = np.array([[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1.0]])
    np.testing.assert_allclose(gx.features.upper_triangle(matrix), matrix[np.triu_indices(3, 1)])
    named = gx.features.upper_triangle(gx.LabelledArray(matrix, (("a", "b", "c"), ("a", "b", "c"))))
    assert named.labels == ("a, b", "a, c", "b, c")
    np.testing.assert_allclose(jax.jit(gx.features.upper_triangle)(jnp.asarray(matrix)), [0.1, 0.2, 0.3], rtol=1e-6)
    matrix[0, 1] = 0.5
    with pytest.raises(ValueError, match=r"\[0, 1\] is 0.5 and \[1, 0\] 0.1"):
        gx.features.upper_triangle(matrix)
    for wrong in (np.ones(3), np.ones((2, 3)), np.ones((1, 1))):
        with pytest.raises(ValueError, match=r"square|at least 2"):
            gx.features.upper_triangle(wrong)


def test_off_diagonal_goes_row_by_row():
    np.testing.assert_array_equal(off_diagonal(np.arange(9).reshape(3, 3)), [1, 2, 3, 5, 6, 7])
    assert off_diagonal(np.ones((1, 1))).shape == (0,)
    for shape in [(3,), (2, 3), (2, 2, 2)]:
        with pytest.raises(ValueError, match=r"expected a square matrix, got shape \(" + ", ".join(map(str, shape))):
            off_diagonal(np.ones(shape))


@pytest.mark.parametrize("shape", [(2, 3), (7, 1), (40, 5)])
def test_covariance_equals_numpy(shape, rounding):
    x = series(14, *shape, mean=1.0)
    np.testing.assert_allclose(covariance(x), np.atleast_2d(np.cov(x.T)), rtol=0, atol=100 * rounding * x.var(0).max())


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 6), (30, 5), (400, 3)])
def test_shrinkage_equals_scikit_learn(shape, rounding):
    sklearn = pytest.importorskip("sklearn.covariance")
    x = series(15, *shape)
    expected, amount = sklearn.ledoit_wolf(x)
    samples = shape[0] / (shape[0] - 1)  # there, covariances are over all samples
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ledoit_wolf_shrinkage(x), amount, rtol=500 * rounding)
    np.testing.assert_allclose(covariance(x, "ledoit-wolf") / samples, expected, atol=500 * rounding * scale)
    np.testing.assert_allclose(covariance(x, amount) / samples, expected, atol=50 * rounding * scale)
    np.testing.assert_allclose(ledoit_wolf_shrinkage(1e-9 * x), amount, rtol=500 * rounding)  # small units
    shrunk = sklearn.shrunk_covariance(np.cov(x.T), 0.3)
    np.testing.assert_allclose(jax.jit(covariance)(x, 0.3), shrunk, atol=50 * rounding * np.abs(shrunk).max())


@pytest.mark.slow
def test_where_nothing_is_to_shrink():
    assert ledoit_wolf_shrinkage(series(16, 10, 1)) == 0
    even = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # its covariance is the identity
    assert ledoit_wolf_shrinkage(even) == 0
    assert np.isfinite(jax.grad(ledoit_wolf_shrinkage)(jnp.asarray(even))).all()
    assert ledoit_wolf_shrinkage(np.zeros((4, 2))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 6), (30, 5)])
def test_shrunk_correlations_equal_nilearn(shape, rounding):
    """Which shrinks the standardised signals too, for correlations; for partial ones, those that it is given."""
    nilearn, sklearn = pytest.importorskip("nilearn.connectome"), pytest.importorskip("sklearn.covariance")
    x = series(17, *shape)
    z = (x - x.mean(0)) / x.std(0)
    for kind, f in (("correlation", fc), ("partial correlation", partial_correlation)):
        measure = nilearn.ConnectivityMeasure(sklearn.LedoitWolf(store_precision=False), kind=kind, standardize=False)
        expected = measure.fit_transform([z])[0]
        np.testing.assert_allclose(f(x, "ledoit-wolf"), expected, atol=1000 * rounding)


@pytest.mark.slow("float32")
def test_partial_correlation_equals_that_of_residuals(rounding):
    x = series(18, 30, 5) + 3.0
    found = np.asarray(partial_correlation(x))
    for i in range(5):
        for j in range(5):
            others = np.column_stack([np.ones(30), np.delete(x, [i, j], 1)])
            rest = [x[:, k] - others @ np.linalg.lstsq(others, x[:, k], rcond=None)[0] for k in (i, j)]
            np.testing.assert_allclose(found[i, j], np.corrcoef(rest)[0, 1], atol=5e-4 if SINGLE else 1e-9)
    np.testing.assert_allclose(jax.jit(partial_correlation)(x), found, atol=1000 * rounding)


def test_what_has_no_inverse():
    x = series(19, 5, 5)
    with pytest.raises(ValueError, match="5 samples of 5 channels: their correlation matrix has no inverse"):
        partial_correlation(x)
    x = series(19, 30, 5)
    x[:, 4] = x[:, :4].sum(1)
    with pytest.raises(ValueError, match=r"channels depend on each other .* its least eigenvalue is"):
        partial_correlation(x)
    assert np.isfinite(partial_correlation(x, 0.1)).all()


@pytest.mark.parametrize("f", [fc, covariance, partial_correlation])
@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, np.nan, "ledoit", np.ones(2)], ids=str)
def test_shrinkage_is_a_part(f, shrinkage):
    with pytest.raises(ValueError, match="shrinkage is a number from 0 to 1 or 'ledoit-wolf', got"):
        f(series(20), shrinkage)


def test_all_of_a_shrinkage_leaves_the_identity(rounding):
    x = series(21)
    np.testing.assert_allclose(fc(x, 1.0), np.eye(5), atol=rounding)
    np.testing.assert_allclose(covariance(x, 1), np.eye(5) * x.var(0, ddof=1).mean(), rtol=10 * rounding)


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_lagged_correlation_equals_a_loop(lag, rounding):
    x = series(22, 20, 4)
    found = np.asarray(lagged_correlation(x, 2.5 * lag, period=2.5))
    for i in range(4):
        for j in range(4):
            expected = np.corrcoef(x[lag:, i], x[: 20 - lag, j])[0, 1]
            np.testing.assert_allclose(found[i, j], expected, atol=20 * rounding)
    if lag == 0:
        np.testing.assert_allclose(found, fc(x), atol=rounding)
    else:
        assert np.abs(found - found.T).max() > 0.1
    np.testing.assert_allclose(lagged_correlation(recording(x, "ABCD"), float(lag)), found, atol=rounding)


def test_rows_receive_and_columns_send(rounding):
    rng = np.random.default_rng(23)
    sender = rng.normal(size=50)
    x = np.stack([sender[3:], sender[:-3]], 1)  # channel 1 repeats channel 0, three samples later
    np.testing.assert_allclose(lagged_correlation(x, 3.0, period=1.0)[1, 0], 1.0, rtol=10 * rounding)


@pytest.mark.once
@pytest.mark.parametrize(
    ("lag", "period", "message"),
    [
        (3.0, 2.0, "lag = 3 ms is not a whole number of samples of 2 ms: take 2 or 4"),
        (-2.0, 2.0, "lag = -2 ms is negative: take the transposed matrix of lag = 2 ms"),
        (38.0, 2.0, "lag = 38 ms leaves 1 of 20 samples to correlate, at least 2 are needed"),
        (80.0, 2.0, "lag = 80 ms leaves 0 of 20 samples to correlate"),
        (2.0, None, "how far apart are the samples"),
    ],
)
def test_wrong_lags(lag, period, message):
    with pytest.raises(ValueError, match=message):
        lagged_correlation(series(24, 20, 3), lag, period)


def test_a_channel_constant_but_at_an_end():
    x = series(25, 6, 3)
    x[1:, 1] = 2.0
    with pytest.raises(ValueError, match=r"^B never changes in its last 5 samples"):
        lagged_correlation(recording(x, "ABC"), 1.0)
    with pytest.raises(ValueError, match=r"^B never changes in its first 5 samples"):
        lagged_correlation(recording(x[::-1], "ABC"), 1.0)


def test_edge_series(rounding):
    x = series(26, 15, 4)
    z = (x - x.mean(0)) / x.std(0)
    expected = [[row[i] * row[j] for i in range(4) for j in range(i + 1, 4)] for row in z]
    np.testing.assert_allclose(edge_series(x), expected, atol=200 * rounding)
    np.testing.assert_allclose(edge_series(x).mean(0), np.asarray(fc(x))[np.triu_indices(4, 1)], atol=10 * rounding)
    with pytest.raises(ValueError, match="at least 2 channels are needed, got 1"):
        edge_series(x[:, :1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "f",
    [
        lambda x: fc(x, "ledoit-wolf"),
        lambda x: covariance(x, "ledoit-wolf"),
        partial_correlation,
        lambda x: partial_correlation(x, 0.2),
        lambda x: lagged_correlation(x, 2.0, period=1.0),
        lambda x: edge_series(x)[:4, :4],
    ],
    ids=["shrunk fc", "shrunk covariance", "partial", "shrunk partial", "lagged", "edges"],
)
def test_gradients_of_connectivity_equal_finite_differences(f):
    x = series(27, 12, 4) / np.geomspace(0.01, 10.0, 4)
    weights = np.random.default_rng(3).normal(size=(4, 4))
    exact, numeric = slope(lambda x: (f(x) * weights).sum(), x, seed=2)
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, numeric, rtol=1e-2 if SINGLE else 1e-6)
