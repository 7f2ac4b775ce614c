"""Priors on the real line integrate to one, densities to the evidence; what cannot be is said."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy import stats

import gyrax as gx
from conftest import DOUBLE
from gyrax.fitting.space import space_of
from gyrax.inference import Posterior
from gyrax.inference.diagnostics import effective_draws, pareto_k, r_hat
from gyrax.inference.priors import default_prior, described_prior
from known_posteriors import LINE, LINE_PRIORS, LINE_SPEC, Line, line_loss, line_posterior


class One(eqx.Module):
    x: jax.Array

    def __init__(self, x):
        self.x = jnp.asarray(x, float)


def nothing(model, key):
    """A likelihood that tells nothing."""
    return 0.0 * jnp.sum(model.x)


def density(x, domain=None, prior=None):
    model = One(x)
    priors = None if prior is None else {"x": prior}
    return gx.inference.log_density(model, nothing, gx.select(model, gx.Free("x", domain=domain)), priors=priors)


def mass(found, values=lambda x: jnp.ones(()), far=4000.0):
    """The integral of a function of the value over the prior, on the real line by trapezoids."""
    line = jnp.linspace(-far, far, 200001)

    def one(z):
        free = found.space.tree(z[None], found.start)
        return values(found.space.values(z[None])["x"]) * jnp.exp(found(free))

    return float(jnp.trapezoid(jax.jit(jax.vmap(one))(line), line))


AFFINE = dist.transforms.AffineTransform


@pytest.mark.slow
@pytest.mark.parametrize(
    ("domain", "prior", "mean"),
    [
        (gx.Real(scale=3.0), dist.Normal(1.0, 2.0), 1.0),
        (gx.Positive(scale=0.2), dist.Gamma(3.0, 2.0), 1.5),
        (gx.Positive(), dist.LogNormal(0.0, 0.5), np.exp(0.125)),
        (gx.Above(-1.0), dist.TransformedDistribution(dist.Exponential(2.0), AFFINE(-1.0, 1.0)), -0.5),
        (gx.Below(4.0), dist.TransformedDistribution(dist.Exponential(2.0), AFFINE(4.0, -1.0)), 3.5),
        (gx.Interval(0.0, 2.0), dist.Uniform(0.0, 2.0), 1.0),
        (gx.Interval(0.0, 1.0, scale=0.01), dist.Beta(2.0, 6.0), 0.25),
        # less far than the domain
        (gx.Positive(), dist.Uniform(0.5, 2.5), 1.5),
        (gx.Real(), dist.Gamma(3.0, 2.0), 1.5),
        (gx.Positive(), dist.TruncatedNormal(1.0, 0.5, low=0.0), stats.truncnorm(-2, np.inf, 1.0, 0.5).mean()),
        (gx.Real(), dist.TruncatedNormal(0.0, 1.0, high=2.0), stats.truncnorm(-np.inf, 2.0).mean()),
        # those of the domains
        (gx.Interval(0.1, 0.4), None, 0.25),
        (gx.Positive(scale=0.3), None, 0.3 * np.exp(0.5)),
        (gx.Above(2.0, scale=0.3), None, 2 + 0.3 * np.exp(0.5)),
        (gx.Below(2.0, scale=0.3), None, 2 - 0.3 * np.exp(0.5)),
        (gx.Real(scale=5.0), None, 0.0),
    ],
)
@pytest.mark.once
def test_priors_integrate_to_one_on_the_real_line(domain, prior, mean):
    start = 0.2 if domain == gx.Interval(0.1, 0.4) else 2.5 if domain == gx.Above(2.0, scale=0.3) else 0.7
    found = density(start, domain, prior)
    assert mass(found) == pytest.approx(1.0, abs=2e-6)
    assert mass(found, lambda x: x) == pytest.approx(mean, abs=1e-5)
    drawn = jax.vmap(lambda key: found.space.values(found.draw(key).x[None])["x"])(
        jax.random.split(jax.random.key(0), 4000)
    )
    scatter = float(jnp.std(drawn)) / np.sqrt(4000)
    assert abs(float(drawn.mean()) - mean) < 4.5 * scatter
    np.testing.assert_allclose(found.space.values(found.start.x[None])["x"], start, rtol=1e-6)


def test_the_density_is_likelihood_times_prior_and_its_gradient_is_right():
    found = gx.inference.log_density(LINE, line_loss, LINE_SPEC, priors=LINE_PRIORS)
    mean, covariance, evidence = line_posterior()
    exact = stats.multivariate_normal(mean, covariance)
    for at in ([2.0, -1.0], [1.5, 0.3]):
        expected = exact.logpdf(at) + evidence
        assert float(found.at(jnp.asarray(at))) == pytest.approx(expected, rel=1e-9 if DOUBLE else 2e-4)
    check_grads(
        lambda x: found.at(jnp.asarray(x)), (jnp.array([1.9, -0.8]),), 1, modes=["rev"], rtol=None if DOUBLE else 2e-2
    )
    positive = density(0.7, gx.Positive(scale=0.3), dist.Gamma(3.0, 2.0))
    check_grads(
        lambda x: positive.at(jnp.asarray(x)), (jnp.array([0.4]),), 1, modes=["rev"], rtol=None if DOUBLE else 2e-2
    )


@pytest.mark.once
@pytest.mark.slow
def test_other_samplers_take_it():
    blackjax = pytest.importorskip("blackjax")
    found = gx.inference.log_density(LINE, line_loss, LINE_SPEC, priors=LINE_PRIORS)
    mean, covariance, _ = line_posterior()
    kernel = blackjax.nuts(found, step_size=0.5, inverse_mass_matrix=jnp.asarray(covariance))

    @jax.jit
    def run(state, key):
        def step(state, key):
            state, _ = kernel.step(key, state)
            return state, jnp.stack(jax.tree.leaves(state.position))

        return jax.lax.scan(step, state, jax.random.split(key, 2000))

    state, draws = run(kernel.init(found.start), jax.random.key(0))
    np.testing.assert_allclose(draws[100:].mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(draws[100:].T), covariance, rtol=0.2, atol=2e-3)
    assert isinstance(found.model_at(state.position), Line)


@pytest.mark.slow
@pytest.mark.once
def test_masks_maps_groups_and_ties():
    labels = ["a", "b", "c"]
    net = gx.Network(
        gx.models.WongWang(w=np.full(3, 0.6), I_o=np.full(3, 0.3)),
        gx.couplings.Linear(source="S", strength=0.3),
        gx.Connectome(np.ones((3, 3)) - np.eye(3), labels=labels),
    )

    def loss(network, key):
        return jnp.sum((network.model.w - 0.7) ** 2 + network.model.I_o) + network.coupling.strength

    masked = gx.Free("model.w", mask=np.array([True, False, True]))
    maps = gx.by_maps(net, "model.I_o", {"size": [1.0, 2.0, 4.0]})
    spec = gx.select(net, masked, maps, "coupling.strength")
    priors = {"model.w": dist.Uniform(0.2, 1.0), "model.I_o": {"size": dist.Normal(0.0, 0.1)}}
    found = gx.inference.log_density(net, loss, spec, priors=priors)
    names = ("model.w[a]", "model.w[c]", "model.I_o[base]", "model.I_o[size]", "coupling.strength")
    assert set(found.space.names) == set(names)
    text = repr(found)
    assert "each of 2" in text and "model.I_o along size" in text and "Normal(loc=0, scale=0.1)" in text
    drawn = found.model_at(found.draw(jax.random.key(1)))
    assert float(drawn.model.w[1]) == pytest.approx(0.6) and len(set(np.asarray(drawn.model.w).tolist())) == 3
    values = found.space.values(jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(found.start)]))
    np.testing.assert_allclose(values["model.I_o"], [0.3, 0.0], atol=1e-6)
    # by hand: the density of the values, times the slope of the domain
    domain = found.space.parts[[p.name for p in found.space.parts].index("model.w")].domain
    assert (domain.lower, domain.upper) == (0.2, 1.0)
    # uniform between two ends: the slope at the middle of a logistic curve
    slope = 0.8 / 4 * min(4 * domain.scale / 0.8, 1.0)
    of_w = 2 * (np.log(1 / 0.8) + np.log(slope))
    rest = gx.inference.log_density(
        net, loss, gx.select(net, maps, "coupling.strength"), priors={"model.I_o": priors["model.I_o"]}
    )
    both = float(found.log_prior(found.start)), float(rest.log_prior(rest.start))
    assert both[0] - both[1] == pytest.approx(of_w, rel=1e-6)
    with pytest.raises(ValueError, match=r"model\.I_o is free along base, size: give a prior for each"):
        gx.inference.log_density(net, loss, spec, priors={"model.I_o": dist.Normal(0.0, 1.0)})
    with pytest.raises(ValueError, match="has no part 'thickness'"):
        gx.inference.log_density(net, loss, spec, priors={"model.I_o": {"thickness": dist.Normal(0.0, 1.0)}})
    groups = gx.by_groups(net, "model.w", ["x", "y", "x"])
    by = gx.inference.log_density(net, loss, gx.select(net, groups), priors={"model.w": dist.Uniform(0.0, 2.0)})
    assert by.space.names == ("model.w[x]", "model.w[y]")


@pytest.mark.once
def test_ties_move_together_and_the_first_has_the_prior():
    model = Line(1.0, 1.0)
    spec = gx.select(model, gx.Tie("slope", "offset"))
    found = gx.inference.log_density(model, line_loss, spec, priors={"slope": dist.Gamma(2.0, 1.0)})
    drawn = found.model_at(found.draw(jax.random.key(0)))
    assert float(drawn.slope) == float(drawn.offset) > 0
    with pytest.raises(ValueError, match="offset follows slope"):
        gx.inference.log_density(model, line_loss, spec, priors={"offset": dist.Gamma(2.0, 1.0)})


def noisy(model, key):
    return 0.5 * (model.x - jax.random.normal(key)) ** 2


def test_fixed_noise_is_averaged_as_likelihoods():
    model, spec, key = One(0.3), gx.select(One(0.3), "x"), jax.random.key(5)
    prior = {"x": dist.Normal(0.0, 1.0)}
    found = gx.inference.log_density(model, noisy, spec, priors=prior, noise="fixed", realisations=7, key=key)
    each = [float(noisy(model, k)) for k in jax.random.split(key, 7)]
    assert float(found.log_likelihood(found.start)) == pytest.approx(np.log(np.mean(np.exp(-np.array(each)))), rel=1e-5)
    assert "averaged over 7" in repr(found)
    with pytest.raises(ValueError, match="the loss depends on its key"):
        gx.inference.log_density(model, noisy, spec, priors=prior)
    with pytest.raises(ValueError, match="the loss does not depend on its key"):
        gx.inference.log_density(model, nothing, spec, priors=prior, noise="fixed")


BOUNDED = dist.transforms


@pytest.mark.parametrize(
    ("prior", "lower", "upper"),
    [
        (dist.LogUniform(0.2, 3.0), 0.2, 3.0),
        (dist.Pareto(0.25, 2.5), 0.25, np.inf),
        (dist.TransformedDistribution(dist.Uniform(-2.0, 1.0), BOUNDED.ExpTransform()), np.exp(-2.0), np.e),
        (dist.TransformedDistribution(dist.TruncatedNormal(low=-2.0), BOUNDED.ExpTransform()), np.exp(-2.0), np.inf),
        (dist.TransformedDistribution(dist.Uniform(-1.0, 1.0), BOUNDED.SigmoidTransform()), 0.26894142, 0.73105858),
        (dist.TransformedDistribution(dist.Uniform(1.0, 4.0), BOUNDED.PowerTransform(-1.0)), 0.25, 1.0),
    ],
)
def test_a_prior_reaches_as_far_as_what_it_is_made_of(prior, lower, upper):
    """Of a transform NumPyro knows where the whole line comes to, and its densities are not zero outside: what is drawn has all of the prior."""
    model = One(0.5)
    found = gx.inference.log_density(model, lambda m, key: 0.0 * m.x, gx.select(model, "x"), priors={"x": prior})
    (part,) = found.space.parts
    ends = part.domain.from_real(jnp.array([-200.0, 200.0]))
    np.testing.assert_allclose(ends[0], lower, rtol=1e-5)
    assert not np.isfinite(upper) or float(ends[1]) == pytest.approx(upper, rel=1e-5)
    places = np.linspace(-60.0, 200.0, 40001)
    density = np.exp(np.asarray(jax.vmap(lambda x: found.at(x[None]))(jnp.asarray(places)), float))
    assert np.trapezoid(density, places) == pytest.approx(1.0, abs=5e-3)


class Positive(eqx.Module):
    x: jax.Array = gx.parameter(0.5, domain=gx.Positive())


@pytest.mark.parametrize(
    ("model", "priors", "error", "message"),
    [
        (One(0.3), {}, ValueError, "x has no prior, and its domain .* says nothing of its size"),
        (One(0.3), {"y": dist.Normal()}, ValueError, "no parameter 'y'"),
        (One(0.3), {"x": dist.Normal().mask(False)}, ValueError, "is masked"),
        (
            One(0.3),
            {"x": dist.TransformedDistribution(dist.Normal(), BOUNDED.AbsTransform())},
            ValueError,
            "AbsTransform, which takes several values to one",
        ),
        (One(0.3), {"x": 1.0}, TypeError, "takes a distribution of NumPyro"),
        (One(0.3), {"x": dist.Poisson(1.0)}, ValueError, "of whole numbers"),
        (One(0.3), {"x": dist.Delta(0.3)}, ValueError, "a single value"),
        (One(0.3), {"x": dist.ImproperUniform(dist.constraints.real, (), ())}, ValueError, "improper"),
        (One(0.3), {"x": dist.Normal(np.zeros(2), 1.0)}, ValueError, r"has shape \(2,\), and its free numbers \(\)"),
        (One(0.3), {"x": dist.Gamma(2.0, 2.0), (lambda m: m.x): dist.Normal()}, ValueError, "x has two priors"),
        (One(-0.3), {"x": dist.Gamma(2.0, 2.0)}, ValueError, "x = -0.3 lies outside of its prior Gamma"),
        (One([0.3, 0.5]), {"x": dist.Dirichlet(np.ones(2))}, ValueError, "no interval"),
        (
            Positive(),
            {"x": dist.Normal(1.0, 0.1)},
            ValueError,
            r"the prior of x, Normal\(loc=1, scale=0.1\), reaches from -inf to inf, outside",
        ),
        (One(0.3), {"x": dist.Uniform(np.zeros(1), np.ones(1))}, ValueError, "has shape"),
    ],
)
@pytest.mark.once
def test_what_cannot_be_a_prior(model, priors, error, message):
    with pytest.raises(error, match=message):
        gx.inference.log_density(model, nothing, gx.select(model, "x"), priors=priors)


@pytest.mark.once
def test_a_prior_of_what_is_not_free_and_a_density_that_is_not_finite():
    with pytest.raises(ValueError, match="offset has a prior and is not free"):
        gx.inference.log_density(LINE, line_loss, gx.select(LINE, "slope"), priors=LINE_PRIORS)
    with pytest.raises(ValueError, match="the log-density is nan where the model is now"):
        gx.inference.log_density(LINE, lambda m, key: m.slope / m.offset * 0.0, LINE_SPEC, priors=LINE_PRIORS)
    with pytest.raises(ValueError, match="says nothing of its size"):
        default_prior("x", gx.Real())


@pytest.mark.once
def test_checks_of_draws_are_those_of_arviz():
    arviz = pytest.importorskip("arviz")
    rng = np.random.default_rng(0)
    slow = rng.normal(size=(4, 400))
    for t in range(1, 400):
        slow[:, t] = 0.9 * slow[:, t - 1] + rng.normal(size=4)
    for draws in (rng.normal(size=(4, 300)), slow, rng.standard_cauchy((3, 101)), slow + 2 * np.arange(4)[:, None]):
        assert r_hat(draws) == pytest.approx(float(np.asarray(arviz.rhat(draws))), rel=1e-6)
        assert effective_draws(draws) == pytest.approx(float(np.asarray(arviz.ess(draws))), rel=1e-6)
    assert np.isnan(r_hat(np.ones((4, 3)))) and np.isnan(effective_draws(np.ones((4, 30))))
    for scale in (0.1, 1.0, 3.0):
        ratios = scale * rng.normal(size=600) ** 2
        expected = arviz.psislw(ratios)[1] if hasattr(arviz, "psislw") else None
        if expected is not None:
            assert pareto_k(ratios) == pytest.approx(float(expected), abs=1e-4)
    assert pareto_k(np.array([np.nan, 1.0])) == np.inf


@pytest.mark.once
@settings(max_examples=20)
@given(lower=st.floats(-5.0, 4.0), width=st.floats(0.01, 5.0), inside=st.floats(0.05, 0.95), far=st.floats(-30.0, 30.0))
def test_wherever_a_sampler_goes_values_stay_inside_the_prior(lower, width, inside, far):
    upper, start = lower + width, lower + inside * width
    found = density(start, gx.Real(scale=1.0), dist.Uniform(lower, upper))
    vector = jnp.asarray([far], float)
    value = float(found.space.values(vector)["x"])
    assert lower <= value <= upper and np.isfinite(found.at(vector))
    part = found.space.parts[0]
    back = part.reals(part.values(found.start.x))
    np.testing.assert_allclose(back, found.start.x, rtol=1e-6, atol=1e-6)
    # the density of a uniform prior on the real line is the slope of the domain, over the width
    assert float(found.log_prior(found.start)) == pytest.approx(
        float(part.log_slope(found.start.x)) - np.log(width), rel=1e-6, abs=1e-6
    )


@pytest.mark.once
def test_of_several_modules_regions_keep_their_names():
    net = gx.Network(
        gx.models.WongWang(w=np.full(2, 0.6)),
        gx.couplings.Linear(source="S"),
        gx.Connectome(np.ones((2, 2)), labels=["a", "b"]),
    )
    both = {"net": net, "more": One(np.ones(2))}
    spec = gx.select(both, "net.model.w", "more.x", "net.coupling.strength")

    def loss(both, key):
        return both["net"].model.w.sum() + (both["more"].x ** 2).sum() + both["net"].coupling.strength

    found = gx.inference.log_density(both, loss, spec, priors={"more.x": dist.Normal(np.zeros(2), 1.0)})
    assert set(found.space.names) == {
        "net.model.w[a]",
        "net.model.w[b]",
        "more.x[0]",
        "more.x[1]",
        "net.coupling.strength",
    }
    assert "more.x" in repr(found) and "loc of shape (2,)" in repr(found)


@pytest.mark.once
@pytest.mark.parametrize("package", ["numpyro", "flowjax"])
def test_what_is_not_installed_is_named(package, monkeypatch):
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == package] + [package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"this needs {package}.*: pip install 'gyrax\[inference\]'"):
        if package == "numpyro":
            gx.inference.log_density(LINE, line_loss, LINE_SPEC)
        else:
            gx.inference.neural_posterior(
                One(0.5),
                lambda m, key: m.x[None],
                gx.select(One(0.5), "x"),
                np.ones(1),
                priors={"x": dist.Normal(0.0, 1.0)},
            )


@pytest.mark.once
def test_priors_in_words():
    shown = {
        gx.Below(0.0, scale=10.0): "0 - LogNormal(loc=2.3, scale=1)",
        gx.Above(2.0, scale=1.0): "2 + LogNormal(loc=0, scale=1)",
        gx.Interval(0.1, 0.4): "Uniform(low=0.1, high=0.4)",
        gx.Real(scale=5.0): "Normal(loc=0, scale=10)",
    }
    assert {domain: described_prior(default_prior("x", domain)) for domain in shown} == shown


@pytest.mark.once
def test_a_density_is_made_inside_jit_too():
    def value(weight):
        loss = lambda model, key: weight * line_loss(model, key)  # noqa: E731
        found = gx.inference.log_density(LINE, loss, LINE_SPEC, priors=LINE_PRIORS)
        return found(found.start)

    plain = gx.inference.log_density(LINE, line_loss, LINE_SPEC, priors=LINE_PRIORS)
    assert float(jax.jit(value)(1.0)) == pytest.approx(float(plain(plain.start)), rel=1e-9)


def of_regions(labels):
    size = len(labels)
    connectome = gx.Connectome(jnp.ones((size, size)), labels=list(labels))
    net = gx.Network(gx.models.Linear(gamma=-0.5), gx.couplings.Linear(source="x"), connectome)
    return gx.per_region(net, "model.gamma")


class Pair(eqx.Module):
    """A model of a user's own that holds networks."""

    first: gx.Network
    second: gx.Network


@pytest.mark.once
@pytest.mark.parametrize("second", ["cd", "cde", "ab"])
@pytest.mark.parametrize("kind", [dict, Pair])
def test_regions_are_those_of_the_network_that_a_leaf_is_of(kind, second):
    both = kind(first=of_regions("ab"), second=of_regions(second))
    space = space_of(both, gx.select(both, "first.model.gamma", "second.model.gamma"))
    names = [f"first.model.gamma[{x}]" for x in "ab"] + [f"second.model.gamma[{x}]" for x in second]
    assert list(space.names) == names
    found = Posterior(both, space, np.arange(3.0 * space.size).reshape(1, 3, -1), {}, "hand", {})
    samples, dims = found.samples, ("region", "region") if second == "ab" else ("first.region", "second.region")
    for leaf, dim, labels in zip(("first.model.gamma", "second.model.gamma"), dims, ("ab", second), strict=True):
        assert samples[leaf].dims == ("chain", "draw", dim)
        assert samples[leaf][dim].values.tolist() == list(labels)
    assert list(found.summary().index) == names and "second.model.gamma[" in repr(found)

    def levels(model, key):
        net = model["second"] if kind is dict else model.second
        return {"y": gx.LabelledArray(net.model.gamma, [net.labels])}

    predicted = found.predictive(levels, count=2)["y"]
    assert predicted.dims == ("sample", dims[1]) and predicted[dims[1]].values.tolist() == list(second)


class Draws(eqx.Module):
    """Free numbers that have the names of axes of a posterior."""

    draw: jnp.ndarray
    chain: jnp.ndarray


@pytest.mark.once
def test_leaves_with_the_names_of_axes_are_called_otherwise_in_a_table():
    model = Draws(jnp.zeros(()), jnp.zeros(2))
    space = space_of(model, gx.select(model, "draw", "chain"))
    found = Posterior(model, space, np.arange(12.0).reshape(2, 2, 3), {}, "hand", {})
    assert list(found.samples) == ["draw_value", "chain_value"]
    assert list(found.summary().index) == ["draw", "chain[0]", "chain[1]"]
    np.testing.assert_array_equal(found.samples["draw_value"], found.real[..., 0])
