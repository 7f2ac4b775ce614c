"""Autocorrelation and complexity against plain loops, published examples and statsmodels' definition, and gradients."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.features.dynamics import autocorrelation, autocorrelation_time, lempel_ziv, permutation_entropy

SINGLE = jnp.result_type(float) == jnp.float32
quick = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decaying(seed, samples=300, times=(2.0, 5.0, 10.0)):
    """First-order autoregressive noise of known time constants, in samples."""
    noise = np.random.default_rng(seed).normal(size=(samples, len(times)))
    return np.stack(
        [scipy.signal.lfilter([1], [1, -np.exp(-1 / t)], c) for t, c in zip(times, noise.T, strict=True)], 1
    )


def recording(values):
    return gx.Recording(jnp.asarray(values), jnp.array(1), 4.0, 1.0, 0.0, ("time", "region"), ("S",), ("A", "B", "C"))


def naive(x, lags):
    c = x - x.mean(0)
    return np.stack([(c[k:] * c[: len(c) - k]).sum(0) for k in range(lags + 1)]) / (c**2).sum(0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e-15])
@pytest.mark.parametrize(("samples", "lags"), [(50, None), (51, 7), (50, 0), (2, 1), (200, 199)])
def test_autocorrelation_equals_a_loop(samples, lags, size, rounding):
    x = decaying(0, samples)
    expected = naive(x, samples - 1 if lags is None else lags)
    np.testing.assert_allclose(autocorrelation(size * x, lags), expected, atol=5 * rounding)
    np.testing.assert_allclose(
        jax.jit(autocorrelation, static_argnums=1)(recording(x), lags), expected, atol=5 * rounding
    )


def test_autocorrelation_beside_a_large_mean(rounding):
    x = np.round(decaying(1) * 64) / 64
    np.testing.assert_allclose(autocorrelation(x + 1024), naive(x, 299), atol=100 * rounding)


@pytest.mark.slow
@quick
@given(st.integers(0, 1000), st.floats(0.1, 10.0))
def test_invariants_of_autocorrelation(rounding, seed, scale):
    x = decaying(seed, 60)
    rho = np.asarray(autocorrelation(x))
    assert np.abs(rho).max() <= 1 + 10 * rounding
    np.testing.assert_allclose(rho[0], 1, atol=10 * rounding)
    np.testing.assert_allclose(rho[1:].sum(0), -0.5, atol=100 * rounding)
    np.testing.assert_allclose(autocorrelation(3 - scale * x[::-1]), rho, atol=500 * rounding)
    tau = np.asarray(autocorrelation_time(x, period=2.0))
    np.testing.assert_allclose(autocorrelation_time(-scale * x[::-1], period=3.0), 1.5 * tau, rtol=100 * rounding)


@pytest.mark.slow
def test_autocorrelation_time_is_the_area_up_to_the_first_zero(rounding):
    x = decaying(2)
    rho = naive(x, 299)
    expected = []
    for c in rho.T:
        k = int(np.argmax(c <= 0))
        expected.append(4.0 * np.trapezoid(np.concatenate([c[:k], [0.0]])))
    assert min(expected) > 4.0
    np.testing.assert_allclose(autocorrelation_time(x, period=4.0), expected, rtol=20 * rounding)
    np.testing.assert_allclose(autocorrelation_time(recording(x)), expected, rtol=20 * rounding)
    np.testing.assert_allclose(jax.jit(autocorrelation_time)(recording(x)), expected, rtol=20 * rounding)
    both = jax.vmap(lambda x: autocorrelation_time(x, period=4.0))(jnp.stack([x, x[::-1]]))
    np.testing.assert_allclose(both, [expected, expected], rtol=20 * rounding)


@pytest.mark.slow
def test_autocorrelation_times_of_known_processes():
    x = decaying(3, 40_000)
    np.testing.assert_allclose(autocorrelation_time(x, period=2.0), [4.0, 10.0, 20.0], rtol=0.1)
    alternating = np.array([1.0, -1.0] * 10)[:, None]
    np.testing.assert_allclose(autocorrelation_time(alternating, period=2.0), 1.0, rtol=1e-5)


@pytest.mark.slow("float32")
@pytest.mark.parametrize("feature", ["autocorrelation", "time"])
def test_gradients_equal_finite_differences(feature):
    x = decaying(4, 100)
    weights = np.random.default_rng(0).normal(size=(100, 3))
    f = {
        "autocorrelation": lambda x: (autocorrelation(x) * weights).sum(),
        "time": lambda x: autocorrelation_time(x, period=4.0) @ weights[0],
    }[feature]
    direction = np.random.default_rng(1).normal(size=x.shape)
    step = 1e-2 if SINGLE else 1e-5
    g = jax.jit(lambda h: f(jnp.asarray(x) + h * direction))
    exact = float(jax.grad(g)(0.0))
    assert abs(exact) > 1e-2
    np.testing.assert_allclose(exact, float(g(step) - g(-step)) / (2 * step), rtol=1e-2 if SINGLE else 1e-6)


@pytest.mark.once
def test_wrong_input_is_refused():
    x = decaying(5, 20)
    for lags in (20, -1):
        with pytest.raises(ValueError, match=f"lags.* from 0 .*got (lags = )?{lags}"):
            autocorrelation(x, lags)
    with pytest.raises(ValueError, match="how far apart are the samples"):
        autocorrelation_time(x)
    for order in (1, 0):
        with pytest.raises(ValueError, match=f"patterns are of two samples or more, got order = {order}"):
            permutation_entropy(x, order)
    with pytest.raises(ValueError, match="at least 21 samples are needed, got 20"):
        permutation_entropy(x, 21)
    x[:, 1] = 0.5
    for f in (autocorrelation, lambda x: autocorrelation_time(x, period=1.0), lempel_ziv, permutation_entropy):
        with pytest.raises(ValueError, match="channel 1 never changes"):
            f(x)


@pytest.mark.parametrize("f", [lempel_ziv, permutation_entropy])
@pytest.mark.parametrize("read", [lambda x: x, recording], ids=["array", "recording"])
def test_counts_refuse_to_be_traced(f, read):
    x = jnp.asarray(decaying(6, 20))
    for transform in (jax.jit, jax.vmap, jax.grad):
        given_ = x[None] if transform is jax.vmap else x
        with pytest.raises(TypeError, match=f"{f.__name__} counts patterns in NumPy: it has no gradient"):
            transform(lambda x: f(read(x)))(given_)


def words(bits):
    """Exhaustive history by its definition: every word is grown until it is in no part of what is before its last letter."""
    text, history = "".join(map(str, bits)), []
    while text:
        before = "".join(history)
        for length in range(1, len(text) + 1):
            seen = (before + text[: length - 1])[:]
            if not any(seen[i : i + length] == text[:length] for i in range(len(seen))):
                break
        history.append(text[:length])
        text = text[length:]
    return history


def test_the_history_of_the_paper():
    bits = [0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1]
    assert words(bits) == ["0", "001", "10", "100", "1000", "101"]
    assert lempel_ziv(np.array(bits)[:, None])[0] == 6 * np.log2(16) / 16


@quick
@given(st.lists(st.integers(0, 1), min_size=4, max_size=60).filter(lambda b: 0 < sum(b) <= len(b) // 2))
def test_lempel_ziv_equals_its_definition(bits):
    """Zeros in the majority, so that the median is zero or between the two and the bits are those of the signal."""
    n = len(bits)
    assert lempel_ziv(np.array(bits)[:, None])[0] == pytest.approx(len(words(bits)) * np.log2(n) / n)


def test_lempel_ziv_of_channels():
    rng = np.random.default_rng(7)
    noise, rhythm = rng.normal(size=4000), np.tile([1.0, 2.0, 3.0, 0.0], 1000)
    x = np.stack([noise, rhythm, 100 + 3 * noise], 1)
    found = lempel_ziv(recording(x))
    assert isinstance(found, np.ndarray) and found.shape == (3,)
    assert 0.95 < found[0] < 1.1 and found[1] < 0.02
    np.testing.assert_allclose(found[2], found[0])


def naive_entropy(x, order):
    counts = {p: 0 for p in itertools.permutations(range(order))}
    for t in range(len(x) - order + 1):
        counts[tuple(sorted(range(order), key=lambda i: (x[t + i], i)))] += 1
    share = np.array([c for c in counts.values() if c]) / sum(counts.values())
    return -(share * np.log(share)).sum() / math.log(math.factorial(order))


@pytest.mark.parametrize(("order", "bits"), [(2, 0.918), (3, 1.522)])
def test_the_permutation_entropies_of_the_paper(order, bits):
    x = np.array([4, 7, 9, 10, 6, 11, 3])[:, None]
    found = permutation_entropy(x, order) * np.log2(math.factorial(order))
    np.testing.assert_allclose(found, bits, atol=5e-4)


@quick
@given(st.lists(st.integers(0, 5), min_size=8, max_size=40).filter(lambda x: len(set(x)) > 1), st.integers(2, 5))
def test_permutation_entropy_equals_a_loop(x, order):
    values = np.array(x)[:, None]
    found = permutation_entropy(np.concatenate([values, 10 + 3 * values], 1), order)
    np.testing.assert_allclose(found, naive_entropy(x, order), atol=1e-12)


def test_permutation_entropies_of_noise_and_of_a_ramp():
    x = np.stack([np.random.default_rng(8).normal(size=20_000), np.arange(20_000.0)], 1)
    noise, ramp = permutation_entropy(recording(np.concatenate([x, x[:, :1]], 1)))[:2]
    assert 0.999 < noise <= 1 and ramp == 0 and not np.signbit(ramp)
