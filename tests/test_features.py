"""Functional connectivity and losses against NumPy, their invariants, their gradients, and wrong input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features import fc, off_diagonal
from gyrax.losses import fc_correlation, fc_rmse, rmse

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


def slope(f, x, seed=0):
    """Derivative along one direction: by autodiff and by differences."""
    direction = np.random.default_rng(seed).normal(size=np.shape(x))
    step = 2e-3 if SINGLE else 1e-5
    g = jax.jit(lambda h: f(jnp.asarray(x) + h * direction))
    exact = jax.grad(g)(0.0)
    return float(exact), float((g(step) - g(-step)) / (2 * step))


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


def test_off_diagonal_goes_row_by_row():
    np.testing.assert_array_equal(off_diagonal(np.arange(9).reshape(3, 3)), [1, 2, 3, 5, 6, 7])
    assert off_diagonal(np.ones((1, 1))).shape == (0,)
    for shape in [(3,), (2, 3), (2, 2, 2)]:
        with pytest.raises(ValueError, match=r"expected a square matrix, got shape \(" + ", ".join(map(str, shape))):
            off_diagonal(np.ones(shape))


def test_losses_equal_numpy(rounding):
    a, b = symmetric(7), symmetric(8)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(rmse(a, b), np.sqrt(np.mean((a - b) ** 2)), rtol=rounding)
    np.testing.assert_allclose(fc_rmse(a, b), np.sqrt(np.mean((a[off] - b[off]) ** 2)), rtol=rounding)
    np.testing.assert_allclose(fc_correlation(a, b), np.corrcoef(a[off], b[off])[0, 1], rtol=10 * rounding)


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
    assert np.isnan(loss(a.at[0, 1].set(jnp.nan), a))


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
