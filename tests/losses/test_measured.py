"""Likelihoods of measured connectivity and spectra, against what scatters in simulated series and against exact likelihoods."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, stats

import gyrax as gx

RNG = np.random.default_rng(0)


def ar(phi, count, samples, rng=RNG):
    """Autoregressive series of the first order with variance one, `(sample, series)`."""
    noise = rng.normal(size=(samples + 200, count)) * np.sqrt(1 - phi**2)
    return signal.lfilter([1.0], [1.0, -phi], noise, axis=0)[200:]


@pytest.mark.once
def test_fisher_z_is_the_normal_density_of_each_pair():
    rng = np.random.default_rng(1)
    fc, target = (np.corrcoef(rng.normal(size=(4, 30))) for _ in range(2))
    samples = rng.uniform(10, 50, (4, 4))
    samples = (samples + samples.T) / 2
    i, j = np.triu_indices(4, 1)
    expected = stats.norm.logpdf(np.arctanh(target[i, j]), np.arctanh(fc[i, j]), 1 / np.sqrt(samples[i, j] - 3)).sum()
    found = gx.losses.fisher_z_log_likelihood(fc, target, samples=samples)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    where = np.array([True, False, True, True])
    some = [(a, b) for a, b in zip(i, j, strict=True) if 1 not in (a, b)]
    expected = sum(stats.norm.logpdf(np.arctanh(target[a, b]), np.arctanh(fc[a, b]), 1 / np.sqrt(20)) for a, b in some)
    assert float(gx.losses.fisher_z_log_likelihood(fc, target, samples=23, where=where)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.once
@pytest.mark.parametrize(("one", "two"), [(0.0, 0.0), (0.9, 0.0), (0.8, 0.8), (0.9, 0.6), (-0.5, 0.8)])
def test_effective_samples_are_those_by_which_correlations_scatter(one, two):
    """Of 3000 pairs of series: Fisher's z has the variance 1 / (n - 3)."""
    rng, n, pairs = np.random.default_rng(2), 800, 3000
    a, b = ar(one, pairs, n, rng), ar(two, pairs, n, rng)
    z = np.arctanh(stats.pearsonr(a, b, axis=0).statistic)
    exact = n / (1 + 2 * sum((n - k) / n * (one * two) ** k for k in range(1, n)))
    estimated = [float(gx.features.effective_samples(np.stack([a[:, k], b[:, k]], 1))[0, 1]) for k in range(60)]
    assert (exact - 3) * z.var() == pytest.approx(1.0, abs=0.12)
    assert np.mean(estimated) == pytest.approx(exact, rel=0.08)


@pytest.mark.once
def test_effective_samples_keep_names_and_are_those_of_a_loop():
    x = ar(0.7, 3, 300)
    found = gx.features.effective_samples(__import__("pandas").DataFrame(x, columns=["A", "B", "C"]))
    assert found.labels == ("A", "B", "C")
    centre, last = x - x.mean(0), round(2 * np.sqrt(300))
    total = 0.0
    for k in range(1, last + 1):
        a, b = ((centre[k:, i] * centre[:-k, i]).sum() / (centre[:, i] ** 2).sum() for i in (0, 2))
        total += (0.5 * (1 + np.cos(np.pi * k / last))) ** 2 * (300 - k) / 300 * a * b
    assert float(found[0, 2]) == pytest.approx(300 / (1 + 2 * total), rel=1e-6)


@pytest.mark.once
def test_whittle_is_the_gamma_density():
    rng = np.random.default_rng(3)
    model, power = rng.gamma(3.0, size=(2, 10, 2))
    for segments in (1, 4):
        expected = stats.gamma.logpdf(power, segments, scale=model / segments).sum()
        found = gx.losses.whittle_log_likelihood(model, power, segments=segments)
        assert float(found) == pytest.approx(expected, rel=1e-6)
    f = np.arange(10.0)
    spectra = [gx.features.Spectrum(f, x, ("A", "B")) for x in (model, power)]
    expected = stats.expon.logpdf(power[2:6], scale=model[2:6]).sum()
    assert float(gx.losses.whittle_log_likelihood(*spectra, low=2.0, high=5.0)) == pytest.approx(expected, rel=1e-6)
    expected = stats.expon.logpdf(power[1:], scale=model[1:]).sum()  # the mean is not of the spectrum
    assert float(gx.losses.whittle_log_likelihood(*spectra)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.once
def test_whittle_tends_to_the_exact_likelihood():
    """Of an autoregressive series: differences between parameters, a sample, go to zero as series become long."""
    for n in (256, 4096):
        x = ar(0.6, 20, n, np.random.default_rng(5))
        measured = gx.features.psd(x, segment=float(n), overlap=0.0, window="boxcar", period=1.0)

        def exact(phi, x=x):
            first = stats.norm.logpdf(x[0], 0, 1)
            return first + stats.norm.logpdf(x[1:], phi * x[:-1], np.sqrt(1 - phi**2)).sum(0)

        def whittle(phi, measured=measured):
            cycles = np.asarray(measured.frequencies) / 1000  # a sample
            power = 2 / 1000 * (1 - phi**2) / np.abs(1 - phi * np.exp(-2j * np.pi * cycles)) ** 2
            found = []
            for k in range(20):
                spectra = (
                    gx.features.Spectrum(measured.frequencies, p[:, None]) for p in (power, measured.power[:, k])
                )
                found.append(float(gx.losses.whittle_log_likelihood(*spectra, high=499.8)))
            return np.array(found)

        apart = (exact(0.7) - exact(0.5)) - (whittle(0.7) - whittle(0.5))
        size = np.abs(exact(0.7) - exact(0.5)).mean()
        assert np.abs(apart).mean() < 1.0, n  # nats, whatever the length
    assert size > 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: gx.losses.fisher_z_log_likelihood(a, a, samples=2.0), "more than 3 effective samples"),
        (lambda a: gx.losses.fisher_z_log_likelihood(a, a, samples=np.ones(3)), "samples has shape"),
        (
            lambda a: gx.losses.fisher_z_log_likelihood(a, a + np.triu(np.full((3, 3), 0.1), 1), samples=9),
            "target is not symmetric",
        ),
        (lambda a: gx.losses.fisher_z_log_likelihood(5 * a, a, samples=9), "an entry of fc is 1.5 in size"),
        (lambda a: gx.losses.fisher_z_log_likelihood(a[:2], a[:2], samples=9), "expected a square matrix"),
        (
            lambda a: gx.losses.fisher_z_log_likelihood(a, a, samples=9, where=np.array([True, False, False])),
            "no pair of regions",
        ),
        (lambda a: gx.losses.whittle_log_likelihood(a, -a), "has no logarithm"),
        (lambda a: gx.losses.whittle_log_likelihood(a, a, low=3.0), "give a Spectrum"),
        (lambda a: gx.losses.whittle_log_likelihood(a, a, segments=0), "segments"),
    ],
)
@pytest.mark.once
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.where(np.eye(3, dtype=bool), 1.0, 0.3))


def test_inside_jit_frequencies_that_are_not_known_leave_the_mean_out():
    import jax

    power = jnp.array([[5.0], [1.0], [2.0]])

    def value(frequencies):
        spectrum = gx.features.Spectrum(frequencies, power)
        return gx.losses.whittle_log_likelihood(spectrum, spectrum)

    f = jnp.array([0.0, 1.0, 2.0])
    assert float(jax.jit(value)(f)) == pytest.approx(float(value(np.asarray(f))), rel=1e-6)
