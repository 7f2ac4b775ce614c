"""What is known is checked inside jit as well as outside, in whatever precision it comes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gyrax as gx

FINE = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
POWER = np.array([[4.0, 1.0], [2.0, 3.0], [1.0, 2.0], [3.0, 1.0]])
F = np.array([0.0, 1.0, 2.0, 3.0])


def changed(values, at, to):
    """One entry changed, and with it its mirror image in a square."""
    new = values.copy()
    new[at] = to
    if new.ndim == 2 and new.shape[0] == new.shape[1]:
        new[at[::-1]] = to
    return new


def spectrum(power):
    return gx.features.Spectrum(F, power)


losses = gx.losses
WRONG = {
    "fisher_z": (
        lambda x, bad: losses.fisher_z_log_likelihood(x, bad, samples=20.0),
        FINE,
        changed(FINE, (0, 1), 1.5),
        "an entry of target is 1.5 in size",
    ),
    "fisher_z, one triangle": (
        lambda x, bad: losses.fisher_z_log_likelihood(x, bad, samples=20.0),
        FINE,
        FINE + np.triu(np.full((3, 3), 0.1), 1),
        "target is not symmetric",
    ),
    "fisher_z, a covariance": (
        lambda x, bad: losses.fisher_z_log_likelihood(x, bad, samples=20.0),
        FINE,
        0.5 * FINE,
        r"target is 0.5 at \[0, 0\].*is it a covariance",
    ),
    "fc_correlation": (
        lambda x, bad: losses.fc_correlation(x, bad, fisher_z=True),
        FINE,
        changed(FINE, (0, 1), -1.0),
        "an entry of the second matrix is -1",
    ),
    "fc_correlation, even": (
        losses.fc_correlation,
        FINE,
        np.ones((3, 3)),
        "off its diagonal the second matrix does not vary",
    ),
    "whittle": (
        losses.whittle_log_likelihood,
        POWER,
        changed(POWER, (2, 1), 0.0),
        "channel 1 of the periodogram has power 0 at frequency 2",
    ),
    "whittle of spectra": (
        lambda x, bad: losses.whittle_log_likelihood(spectrum(x), bad, low=1.0, high=3.0),
        POWER,
        spectrum(changed(POWER, (2, 1), 0.0)),
        "channel 1 of the periodogram has power 0 at 2 Hz",
    ),
    "psd_rmse of spectra made inside": (
        lambda x, bad: losses.psd_rmse(spectrum(x), spectrum(bad)),
        POWER,
        changed(POWER, (3, 0), 0.0),
        "channel 0 of the second has power 0 at 3 Hz",
    ),
    "psd_rmse": (losses.psd_rmse, POWER, changed(POWER, (3, 0), -1.0), "channel 0 of the second has power -1"),
    "psd_correlation": (
        losses.psd_correlation,
        POWER,
        np.ones((4, 2)),
        "the power of channel 0 of the second never changes over frequency",
    ),
    "wasserstein": (losses.wasserstein, F, changed(F, (1,), np.nan), "value 1 of the second sample is nan"),
    "ks_distance": (
        lambda x, bad: losses.ks_distance(x, bad, width=0.1),
        F,
        changed(F, (2,), np.inf),
        "value 2 of the second sample is inf",
    ),
    "gaussian": (
        lambda x, bad: losses.gaussian_log_likelihood(x, F[:3], covariance=bad),
        F[:3],
        changed(FINE, (0, 1), 2.0),
        "covariance is not positive definite: feature 1",
    ),
    "gaussian, one triangle": (
        lambda x, bad: losses.gaussian_log_likelihood(x, F[:3], covariance=bad),
        F[:3],
        FINE + np.triu(np.ones((3, 3)), 1),
        "covariance is not symmetric",
    ),
    "rmse": (losses.rmse, FINE, changed(FINE, (0, 1), np.nan), r"entry \[0, 1\] of the second is nan"),
    "fc_rmse": (losses.fc_rmse, FINE, changed(FINE, (0, 1), np.nan), r"entry \[0, 1\] of the second is nan"),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_known_is_checked_inside_jit(name, dtype):
    function, given, bad, message = WRONG[name]
    bad = bad.astype(dtype) if isinstance(bad, np.ndarray) else bad
    with pytest.raises(ValueError, match=message):
        function(jnp.asarray(given), bad)
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda x: function(x, bad))(jnp.asarray(given))
    with pytest.raises(ValueError, match=message):
        jax.grad(lambda x: function(x, bad))(jnp.asarray(given))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.inf, "samples is inf"),
        (np.array([[0.0, 9.0, 9.0], [9.0, 0.0, 9.0], [9.0, 30.0, 0.0]]), r"samples is not symmetric"),
        (np.array([[0.0, 9.0, 9.0], [9.0, 0.0, 9.0], [9.0, -5.0, 0.0]]), "samples is -5"),
        (np.array([[0.0, 9.0, 9.0], [np.nan, 0.0, 9.0], [9.0, 9.0, 0.0]]), "samples is nan"),
    ],
)
@pytest.mark.once
def test_numbers_of_samples_are_of_pairs(samples, message):
    with pytest.raises(ValueError, match=message):
        losses.fisher_z_log_likelihood(FINE, FINE, samples=samples)


@pytest.mark.once
def test_diagonals_that_are_ones_within_rounding_or_empty_are_those_of_correlations():
    expected = float(losses.fisher_z_log_likelihood(FINE, FINE, samples=20.0))
    for diagonal in (0.0, 0.9996, np.nan):
        target = FINE.copy()
        np.fill_diagonal(target, diagonal)
        where = ~np.eye(3, dtype=bool)
        assert float(losses.fisher_z_log_likelihood(FINE, target, samples=20.0, where=where)) == pytest.approx(expected)
    target[0] = target[:, 0] = 7.0  # of a region that does not count
    found = losses.fisher_z_log_likelihood(FINE, target, samples=20.0, where=np.array([False, True, True]))
    assert np.isfinite(float(found))


def test_power_outside_of_a_band_that_is_traced_counts_for_nothing():
    """Neither in the value nor in its slope, where it is zero; and what is known beside it is still looked at."""
    silent = changed(POWER, (0, 0), 0.0)
    whittle = losses.whittle_log_likelihood

    def value(f, model, power):
        return whittle(gx.features.Spectrum(f, model), gx.features.Spectrum(f, power), segments=3)

    expected = float(value(F, jnp.asarray(silent), jnp.asarray(silent)))
    found, slope = jax.jit(jax.value_and_grad(value, argnums=1))(
        jnp.asarray(F), jnp.asarray(silent), jnp.asarray(silent)
    )
    assert float(found) == pytest.approx(expected, rel=1e-5) and np.isfinite(slope).all() and (slope[0] == 0).all()
    known = spectrum(changed(POWER, (2, 1), 0.0))
    traced = jax.jit(lambda f: whittle(gx.features.Spectrum(f, POWER), known))
    with pytest.raises(ValueError, match="has power 0 at 2 Hz"):
        traced(jnp.asarray(F))  # the frequencies of the other are known
    alone = jax.jit(lambda f: whittle(gx.features.Spectrum(f, POWER), gx.features.Spectrum(f, known.power)))
    assert not np.isfinite(alone(jnp.asarray(F)))
    rmse = jax.jit(lambda f: losses.psd_rmse(gx.features.Spectrum(f, POWER), gx.features.Spectrum(f, known.power)))
    with pytest.raises(ValueError, match="has power 0 at frequency 2"):
        rmse(jnp.asarray(F))
