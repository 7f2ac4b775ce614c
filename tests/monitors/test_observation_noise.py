"""Noise on samples: its size and covariance, that nothing else changes, and that cuts of a run do not matter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx
from gyrax.monitors import FC, MEG, Balloon, GlobalAverage, ObservationNoise, Raw, Subsample, TemporalAverage
from toys import LABELS, clock

NET = clock()
KINDS = {
    "raw": Raw(source="drive"),
    "subsample": Subsample(source="drive", period=8.0),
    "average": TemporalAverage(source="drive", period=8.0),
    "global": GlobalAverage(source="drive", period=8.0),
    "balloon": Balloon(source="drive", period=8.0),
    "chain": TemporalAverage(source="drive", period=4.0).then(Subsample(period=8.0)),
    "meg": MEG(gx.LeadField(np.ones((2, 3)), ["A", "B"], LABELS), source="drive", period=8.0, covariance=4.0),
    "fc": FC(source="drive", period=4.0),
}


def few(name, *quick):
    """A case that the quick suite has if it is one of those named."""
    return pytest.param(name, marks=[pytest.mark.slow] * (name not in quick))


@pytest.mark.slow
@pytest.mark.parametrize("name", [few(name, "raw", "balloon", "meg", "fc") for name in KINDS])
def test_noise_has_its_size_and_nothing_else_changes(name, key, rounding):
    monitor = KINDS[name]
    quiet = eqx.tree_at(lambda m: m.covariance, monitor, None) if name == "meg" else monitor
    monitors = {
        "plain": quiet,
        "still": ObservationNoise(quiet, sigma=0.0),
        "some": ObservationNoise(monitor, sigma=0.5),
        "more": ObservationNoise(monitor, sigma=0.5),
    }
    run = gx.simulate(NET, 2000.0, 1.0, monitors=monitors, key=key)
    plain, still, some, more = (run[n] for n in monitors)
    np.testing.assert_allclose(still.values, plain.values, rtol=0, atol=rounding * np.abs(plain.values).max())
    np.testing.assert_array_equal(plain.times, some.times)
    assert (plain.dims, plain.labels) == (some.dims, some.labels)
    noise = np.asarray(some.values - plain.values, float)
    other = np.asarray(more.values - plain.values, float)
    n = noise.size
    sigma = np.hypot(0.5, 2.0) if name == "meg" else 0.5  # the sensors' own noise is independent of it
    assert n >= 9 and abs(noise.std() / sigma - 1) < 4 / np.sqrt(2 * n)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(n), "two names, two noises"


def test_regions_share_noise_by_a_mixing_and_have_sizes_of_their_own(key):
    """By one that is not symmetric: transposed, it would make another covariance."""
    covariance = np.array([[1.0, 0.9, 0.0], [0.9, 2.0, -0.3], [0.0, -0.3, 0.5]])
    sigma = np.array([1.0, 2.0, 3.0])
    monitors = {
        "clean": Subsample(source=("t", "drive"), period=1.0),
        "noisy": ObservationNoise(
            Subsample(source=("t", "drive"), period=1.0), sigma=sigma, mixing=np.linalg.cholesky(covariance)
        ),
    }
    run = gx.simulate(NET, 40_000.0, 1.0, monitors=monitors, key=key)
    noise = np.asarray(run["noisy"].values - run["clean"].values, float)
    expected = covariance * np.outer(sigma, sigma)
    # standard errors from 40 000 samples: sqrt((c_ii c_jj + c_ij^2) / n), at most 0.057
    for rows in np.moveaxis(noise, 1, 0):
        np.testing.assert_allclose(np.cov(rows.T), expected, rtol=0, atol=0.25)
    assert abs(np.corrcoef(noise[:, 0, 1], noise[:, 1, 1])[0, 1]) < 0.02


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", [few(name, "raw", "meg") for name in ("raw", "balloon", "chain", "meg")])
def test_a_run_that_goes_on_has_the_noise_of_one(name, key):
    monitor = ObservationNoise(KINDS[name], sigma=0.5)
    whole = gx.simulate(NET, 96.0, 1.0, monitors=monitor, key=key)["monitor"].values
    first = gx.simulate(NET, 44.0, 1.0, monitors=monitor, key=key)
    second = gx.simulate(NET, 52.0, 1.0, monitors=monitor, key=key, start=first.final)
    parts = np.concatenate([first["monitor"].values, second["monitor"].values])
    np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.once
def test_its_size_is_a_parameter_with_a_gradient(key):
    monitor = ObservationNoise(KINDS["average"], sigma=0.5)

    @jax.jit
    def loss(sigma):
        noisy = eqx.tree_at(lambda m: m.sigma, monitor, sigma)
        return jnp.mean(gx.simulate(NET, 80.0, 1.0, monitors=noisy, key=key)["monitor"].values ** 2)

    h = 1e-4
    numeric = (loss(0.5 + h) - loss(0.5 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(0.5)), numeric, rtol=1e-7)
    assert gx.select(monitor, lambda m: m.sigma).sigma


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sigma": np.ones(2)}, r"sigma has shape \(2,\), the samples are of 3 regions: its last axis is 1 or 3"),
        ({"sigma": np.ones((2, 3))}, r"sigma has shape \(2, 3\), which does not broadcast to one sample \(3,\)"),
        ({"sigma": 1.0, "mixing": np.eye(2)}, r"mixing has shape \(2, 2\), the samples are of 3 regions"),
    ],
)
def test_shapes_that_do_not_fit_are_named(arguments, message, key):
    balloon = Balloon(source="drive", period=8.0)
    with pytest.raises(ValueError, match=message):
        gx.simulate(NET, 80.0, 1.0, monitors=ObservationNoise(balloon, **arguments), key=key)


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sigma": -1.0}, "a sigma is finite and not negative, got -1"),
        ({"sigma": [1.0, np.nan, 1.0]}, "a sigma is finite"),
        ({"sigma": 1.0, "mixing": np.ones(3)}, r"a mixing is a finite matrix \(region, source\)"),
        ({"sigma": 1.0, "mixing": np.full((3, 3), np.inf)}, "a mixing is a finite matrix"),
    ],
)
def test_values_that_are_no_noise_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        ObservationNoise(KINDS["balloon"], **arguments)


def test_it_is_around_a_monitor():
    with pytest.raises(TypeError, match="is around a monitor"):
        ObservationNoise("balloon", sigma=1.0)


def test_a_run_without_a_key_says_so():
    with pytest.raises(ValueError, match="key"):
        gx.simulate(NET, 80.0, 1.0, monitors=ObservationNoise(KINDS["balloon"], sigma=1.0))
