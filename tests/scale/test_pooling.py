"""Partial pooling against closed forms: normal means with known errors, REML by scipy, curvature by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

import gyrax as gx
from conftest import DOUBLE
from gyrax.scale import cohort_loss, random_effects, standard_errors

NAMES = tuple(f"s{i}" for i in range(6))
RNG = np.random.default_rng(1)
MEASURED = RNG.normal(1.0, 0.5, 6)
ERROR, SD = 0.4, 0.3
A = "network.model.a"
#: a = 0.5 u, the default's size, on the real line of its domain.
SCALE = 0.5


def network(a=0.0):
    return gx.Network(gx.models.Hopf(a=a), gx.couplings.Linear(source="x", target="c_x"), np.ones((2, 2)) - np.eye(2))


def cohort():
    made = gx.Cohort(dict.fromkeys(NAMES, network()), dict(zip(NAMES, MEASURED, strict=True)))
    return gx.per_subject(made, A)


def misses(net, data, key):
    """Minus the log-likelihood of one measured number."""
    return 0.5 * ((net.model.a - data) / ERROR) ** 2


def fitted(loss, start, steps=400):
    found = gx.fit(start, loss, gx.select(start, A), optax.adam(0.05), steps=steps, validation=None, progress=False)
    return np.asarray(found.model.network.model.a)


def test_partial_pooling_is_the_posterior_mean_of_normal_means():
    pooled = fitted(cohort_loss(misses, {A: SD / SCALE}), cohort())
    drawn = SD**2 / (SD**2 + ERROR**2)
    np.testing.assert_allclose(pooled, MEASURED.mean() + drawn * (MEASURED - MEASURED.mean()), rtol=2e-3)
    np.testing.assert_allclose(fitted(cohort_loss(misses), cohort()), MEASURED, rtol=2e-3)
    complete = gx.Cohort(dict.fromkeys(NAMES, network()), dict(zip(NAMES, MEASURED, strict=True)))
    np.testing.assert_allclose(fitted(cohort_loss(misses), complete), MEASURED.mean(), rtol=2e-3)


def test_the_loss_is_the_sum_and_its_terms_are_means():
    def loss(net, data, key):
        return misses(net, data, key), {"a": net.model.a, "residuals": (net.model.a - data)[None]}

    total, terms = cohort_loss(loss)(cohort(), None)
    each = 0.5 * (MEASURED / ERROR) ** 2
    np.testing.assert_allclose(total, each.sum(), rtol=1e-5)
    np.testing.assert_allclose(terms["subject"], each.mean(), rtol=1e-5)
    assert terms["residuals"].shape == (6, 1) and terms["a"] == 0
    pooled = cohort_loss(loss, {A: 0.5 / SCALE})(
        eqx.tree_at(lambda c: c.network.model.a, cohort(), jnp.asarray(MEASURED)), None
    )[1]
    np.testing.assert_allclose(pooled["pooling"], 2 * ((MEASURED - MEASURED.mean()) ** 2).sum(), rtol=1e-5)
    assert "residuals" not in pooled  # whose squares the penalty is no part of


def test_what_a_subject_does_depends_on_no_other():
    """Adam divides by the gradient's size: a mean over subjects would move each by a little less, the more there are."""
    whole = fitted(cohort_loss(misses), cohort(), steps=20)
    alone = fitted(cohort_loss(misses), cohort().subset(NAMES[2:3]), steps=20)
    np.testing.assert_allclose(alone, whole[2:3], rtol=1e-15 if DOUBLE else 1e-6)


def test_shared_parameters_are_as_sure_as_all_subjects_together():
    """The loss as minus a log-likelihood of all data: of one number that six measured, with the error of the mean."""
    all_share = gx.Cohort(dict.fromkeys(NAMES, network(1.0)), dict(zip(NAMES, MEASURED, strict=True)))
    priors = {A: dist.Normal(0.0, 100.0)}
    density = gx.inference.log_density(all_share, cohort_loss(misses), gx.select(all_share, A), priors=priors)
    bent = jax.hessian(lambda x: density.log_likelihood(jax.tree.map(lambda _: x, density.start)))(jnp.asarray(1.0))
    np.testing.assert_allclose(-bent, 6 / (ERROR / SCALE) ** 2, rtol=1e-4)


def test_changing_the_sd_compiles_nothing_anew():
    traced = []

    def loss(net, data, key):
        traced.append(0)
        return misses(net, data, key)

    step = eqx.filter_jit(lambda loss, c: loss(c, None)[0])
    values = [float(step(cohort_loss(loss, {A: sd}), gx.per_subject(cohort(), A))) for sd in (0.1, 0.2)]
    assert len(traced) == 1 and values[0] == values[1]  # all are at the mean
    with pytest.raises(ValueError, match=r"the sd of network.model.a has shape \(3,\): expected one number"):
        cohort_loss(misses, {A: np.ones(3)})(cohort(), None)


def test_random_effects_are_those_of_restricted_maximum_likelihood():
    u, e = RNG.normal(2.0, 0.7, 12), RNG.uniform(0.1, 0.9, 12)

    def minus_twice(log_variance):
        inside = np.diag(e**2 + np.exp(log_variance))
        ones, inverse = np.ones(12), np.linalg.inv(inside)
        mean = ones @ inverse @ u / (ones @ inverse @ ones)
        return np.linalg.slogdet(inside)[1] + np.log(ones @ inverse @ ones) + (u - mean) @ inverse @ (u - mean)

    best = minimize_scalar(minus_twice, bounds=(-10, 3), method="bounded", options={"xatol": 1e-10})
    found = random_effects(u, e)
    np.testing.assert_allclose(found.sd, np.exp(best.x / 2), rtol=1e-5)
    weights = 1 / (e**2 + found.sd**2)
    np.testing.assert_allclose(found.mean, weights @ u / weights.sum(), rtol=1e-10)
    np.testing.assert_allclose(found.error, weights.sum() ** -0.5, rtol=1e-10)
    np.testing.assert_allclose(found.values, found.mean + found.sd**2 * weights * (u - found.mean), rtol=1e-10)
    alike = random_effects(u * 1e-3, np.full(12, 0.5))
    assert alike.sd == 0 and np.ptp(alike.values) == 0


@pytest.mark.once
def test_values_and_errors_of_other_subjects_are_refused():
    values = pd.Series([0.0, 1.0, 2.0], list("abc"))
    errors = pd.Series([0.1, 0.2, 0.3], list("cba"))
    xarray_errors = xr.DataArray([0.1, 0.2, 0.3], {"subject": list("cba")}, ["subject"])
    for wrong in (errors, xarray_errors):
        with pytest.raises(ValueError, match=r"number 0 is 'a' in values and 'c' in errors: write errors.reindex"):
            random_effects(values, wrong)
    numbered = values.set_axis([0, 1, 2])
    with pytest.raises(ValueError, match=r"number 0 is 0 in values and 2 in errors"):
        random_effects(numbered, errors.set_axis([2, 1, 0]))
    with pytest.raises(ValueError, match=r"values has 3 subjects and errors 2"):
        random_effects(values, errors[:2])
    expected = random_effects([0.0, 1.0, 2.0], [0.3, 0.2, 0.1])
    for right in (errors.reindex(values.index), np.array([0.3, 0.2, 0.1])):
        np.testing.assert_array_equal(random_effects(values, right).values, expected.values)


def test_the_sd_between_subjects_is_found_again():
    sds = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        e = rng.uniform(0.2, 0.6, 20)
        sds.append(random_effects(rng.normal(0, 0.4, 20) + e * rng.normal(size=20), e).sd)
    assert abs(np.mean(np.square(sds)) - 0.16) < 3 * np.std(np.square(sds)) / np.sqrt(40)


def test_standard_errors_are_those_of_the_curvature():
    """Of two parameters together, by the inverse of their matrix; not of each with the other held."""
    omega = "network.model.omega"
    both = gx.per_subject(cohort(), omega)
    start = eqx.tree_at(lambda c: c.network.model.a, both, jnp.asarray(MEASURED))

    def loss(net, data, key):
        x, y = net.model.a - data, net.model.omega - 0.5
        return 0.5 * (x**2 / 0.04 + 3 * x * y + 5 * data**2 * y**2)

    found = standard_errors(start, cohort_loss(loss, {A: 0.01}), [A, omega])
    omegas = gx.parameters.domains(start)[gx.parameters.leaf_names(start).index(omega)]
    for i in range(6):

        def of_one(u, data=MEASURED[i]):
            x, y = SCALE * u[0] - data, omegas.from_real(u[1]) - 0.5
            return 0.5 * (x**2 / 0.04 + 3 * x * y + 5 * data**2 * y**2)

        real = jnp.array([MEASURED[i] / SCALE, omegas.to_real(jnp.asarray(1.0))])
        expected = np.sqrt(np.diag(np.linalg.inv(jax.hessian(of_one)(real))))
        for k, name in enumerate((A, omega)):
            np.testing.assert_allclose(found[name][0][i], real[k], rtol=1e-5)
            np.testing.assert_allclose(found[name][1][i], expected[k], rtol=1e-3)


def test_what_is_refused():
    with pytest.raises(
        ValueError,
        match=r"network.model.omega is shared by all subjects.*gx.per_subject\(cohort, 'network.model.omega'\)",
    ):
        cohort_loss(misses, {"network.model.omega": 0.1})(cohort(), None)
    with pytest.raises(ValueError, match="did you mean"):
        cohort_loss(misses, {"network.model.b": 0.1})(cohort(), None)
    for sd in (0.0, -1.0, np.inf, [0.1, np.nan]):
        with pytest.raises(ValueError, match="is a positive number"):
            cohort_loss(misses, {A: sd})
    with pytest.raises(TypeError, match=r"must be a scalar.*shape \(2,\)"):
        cohort_loss(lambda net, data, key: jnp.ones(2))(cohort(), None)
    with pytest.raises(ValueError, match="has a term 'pooling' of its own"):
        cohort_loss(lambda net, data, key: (misses(net, data, key), {"pooling": data}))(cohort(), None)
    with pytest.raises(ValueError, match="one number a subject, of three or more"):
        random_effects([1.0, 2.0], [0.1, 0.1])
    for errors in ([0.1, 0.0, 0.1], [0.1, np.nan, 0.1]):
        with pytest.raises(ValueError, match="errors finite and positive"):
            random_effects([1.0, 2.0, 3.0], errors)
    for wrong in (lambda net, key: 0.0, lambda: 0.0):
        with pytest.raises(
            TypeError, match=r"loss= is called as loss\(network, data, key\).*write loss=lambda network"
        ):
            cohort_loss(wrong)
        with pytest.raises(TypeError, match=r"function= is called as function\(network, data, key\)"):
            cohort().map(wrong)
    flat = cohort_loss(lambda net, data, key: -((net.model.a - data) ** 2))
    with pytest.raises(ValueError, match="the loss of s0 has no positive curvature"):
        standard_errors(cohort(), flat, [A])
    wide = gx.Cohort(dict.fromkeys(NAMES, gx.per_region(network(), "model.a")))
    with pytest.raises(ValueError, match=r"has shape \(2,\) in each subject"):
        standard_errors(gx.per_subject(wide, A), cohort_loss(misses), [A])


@pytest.mark.skipif(DOUBLE, reason="annotations are checked first")
def test_wrong_kinds():
    for wrong in (None, 3, "loss"):
        with pytest.raises(TypeError, match="loss= takes a function"):
            cohort_loss(wrong)
    for wrong in (0.1, [A], {3: 0.1}):
        with pytest.raises(TypeError, match="pooled= takes a dict"):
            cohort_loss(misses, wrong)
    with pytest.raises(TypeError, match="cohort= takes a cohort"):
        cohort_loss(misses)(network(), None)
