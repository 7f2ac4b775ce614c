"""Every method against posteriors that are known: a line by algebra, a linear network by sums over a grid."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import gyrax as gx
from conftest import DOUBLE
from gyrax.fitting.space import vector_of
from gyrax.inference import hamiltonian, normal
from known_posteriors import (
    LINE,
    LINE_PRIORS,
    LINE_SPEC,
    NETWORK,
    NETWORK_PRIORS,
    NETWORK_SPEC,
    Line,
    X,
    line,
    line_loss,
    line_posterior,
    network_loss,
    network_posterior,
)

ON_LINE = (LINE, line_loss, LINE_SPEC)
ON_NETWORK = (NETWORK, network_loss, NETWORK_SPEC)


def close(posterior, mean, sd, independent):
    """Means and standard deviations within what so many independent draws scatter."""
    table = posterior.summary()
    assert np.all(np.abs(table["mean"] - mean) < 4 * sd / np.sqrt(independent)), table
    assert np.all(np.abs(table["sd"] / sd - 1) < 4 / np.sqrt(2 * independent)), table


@pytest.fixture(scope="module")
def nuts():
    return gx.inference.nuts(*ON_LINE, priors=LINE_PRIORS, progress=False)


def test_laplace_of_a_line_is_exact():
    mean, covariance, evidence = line_posterior()
    found = gx.inference.laplace(*ON_LINE, priors=LINE_PRIORS, draws=4000)
    close(found, mean, np.sqrt(np.diag(covariance)), 4000)
    assert found.figures["log evidence"] == pytest.approx(evidence, abs=1e-8 if DOUBLE else 1e-3)
    assert found.figures["pareto k"] < 0.3 and "Laplace" in repr(found)
    correlation = np.corrcoef(found.real[0].T)[0, 1]
    assert correlation == pytest.approx(covariance[0, 1] / np.sqrt(np.prod(np.diag(covariance))), abs=0.05)


def test_nuts_of_a_line(nuts):
    mean, covariance, _ = line_posterior()
    table = nuts.summary()
    assert list(table.columns) == ["mean", "sd", "5%", "95%", "r_hat", "ess"] and list(table.index) == [
        "slope",
        "offset",
    ]
    assert (table["ess"] > 500).all() and (table["r_hat"] < 1.01).all()
    close(nuts, mean, np.sqrt(np.diag(covariance)), table["ess"].min())
    np.testing.assert_allclose(table["95%"] - table["5%"], 2 * 1.645 * np.sqrt(np.diag(covariance)), rtol=0.15)
    assert not nuts.statistics["diverging"].any() and nuts.doubts() == []


@pytest.mark.once
@pytest.mark.slow
def test_of_a_linear_network_all_agree_with_a_grid():
    reference, evidence = network_posterior()
    nuts = gx.inference.nuts(*ON_NETWORK, priors=NETWORK_PRIORS, progress=False, key=2)
    close(nuts, *reference.T, nuts.summary()["ess"].min())
    laplace = gx.inference.laplace(*ON_NETWORK, priors=NETWORK_PRIORS, draws=4000)
    np.testing.assert_allclose(laplace.summary()["mean"], reference[:, 0], atol=0.25 * reference[:, 1].max())
    np.testing.assert_allclose(laplace.summary()["sd"], reference[:, 1], rtol=0.15)
    assert laplace.figures["log evidence"] == pytest.approx(evidence, abs=0.1)
    assert laplace.figures["pareto k"] < 0.7


def test_repeated_calls_do_not_compile_again(nuts):
    gx.inference.nuts(
        *ON_LINE, priors=LINE_PRIORS, progress=False, key=4
    )  # what was compiled before may have been forgotten
    hits = hamiltonian._advance._cached._cache_size()
    gx.inference.nuts(
        *ON_LINE, priors={"slope": dist.Normal(0.5, 1.0), "offset": dist.Normal(0.0, 2.0)}, progress=False, key=5
    )
    assert hamiltonian._advance._cached._cache_size() == hits


def test_models_predictions_files_and_arviz(nuts, tmp_path):
    models = nuts.models(3, key=0)
    assert len({float(m.slope) for m in models}) == 3 and isinstance(models[0], Line)
    assert all(np.isclose(nuts.samples["slope"], float(m.slope)).any() for m in models)
    out = nuts.predictive(line, key=0, count=500)["value"]
    mean, covariance, _ = line_posterior()
    design = np.stack([X, np.ones(7)], 1)
    assert out.dims == ("sample", "value_0") and out.shape == (500, 7)
    spread = np.sqrt(np.diag(design @ covariance @ design.T))
    assert (np.abs(out.mean("sample") - design @ mean) < 5 * spread / np.sqrt(500)).all()
    np.testing.assert_allclose(out.std("sample"), spread, rtol=0.2)
    nuts.save(tmp_path / "posterior.npz")
    again = gx.inference.Posterior.load(tmp_path / "posterior.npz", own=[Line])
    np.testing.assert_array_equal(again.real, nuts.real)
    assert repr(again) == repr(nuts) and list(again.statistics) == list(nuts.statistics)
    with pytest.raises(ValueError, match="holds a WongWang, and no posterior"):
        gx.io.save(tmp_path / "model.npz", gx.models.WongWang())
        gx.inference.Posterior.load(tmp_path / "model.npz")
    dataclasses.replace(nuts, real=np.where(np.arange(500)[:, None] == 3, np.nan, nuts.real)).save(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="4 of 2000 draws are not finite"):
        gx.inference.Posterior.load(tmp_path / "bad.npz", own=[Line])
    arviz = pytest.importorskip("arviz")
    data = nuts.to_arviz()
    assert float(arviz.rhat(np.asarray(data.posterior["slope"]))) < 1.01
    assert int(data.sample_stats["diverging"].sum()) == 0


@pytest.mark.slow
def test_regions_keep_their_names():
    net = gx.per_region(NETWORK, "model.gamma")
    spec = gx.select(net, "model.gamma")

    def loss(network, key):
        return -gx.losses.gaussian_log_likelihood(network.model.gamma, jnp.array([-1.0, -2.0, -3.0]), sd=0.1)

    found = gx.inference.laplace(net, loss, spec, priors={"model.gamma": dist.TruncatedNormal(-1.5, 1.0, high=0.0)})
    assert found.samples["model.gamma"].dims == ("chain", "draw", "region")
    assert found.samples["region"].values.tolist() == ["A", "B", "C"]
    assert found.samples["model.gamma"].sel(region="C").mean() == pytest.approx(-3, abs=0.05)
    assert list(found.summary().index) == ["model.gamma[A]", "model.gamma[B]", "model.gamma[C]"]

    def told(network, key):
        gamma = network.model.gamma
        return {
            "gamma": gx.LabelledArray(gamma, [network.labels]),
            "fc": gx.LabelledArray(gamma[:, None] * gamma, [network.labels] * 2),
            "some": gx.LabelledArray(gamma[:2], [network.labels[:2]]),
            "plain": gamma,
        }

    out = found.predictive(told, count=4)
    assert out["gamma"].dims == ("sample", "region") and out["fc"].dims == ("sample", "region", "other")
    assert out["region"].values.tolist() == out["other"].values.tolist() == ["A", "B", "C"]
    assert out["some"].dims == ("sample", "some_0") and out["some_0"].values.tolist() == ["A", "B"]
    assert out["plain"].dims == ("sample", "plain_0") and "plain_0" not in out.coords


@pytest.mark.once
def test_what_the_data_do_not_tell_is_named():
    def product(model, key):
        return -gx.losses.gaussian_log_likelihood((model.slope * model.offset)[None], jnp.ones(1), sd=0.01)

    wide = {"slope": dist.Uniform(-50.0, 50.0), "offset": dist.Uniform(-50.0, 50.0)}

    def away(model, key):
        return -0.5 * (model.slope + model.offset) ** 2 + jnp.exp(-model.slope + model.offset)

    with pytest.raises(ValueError, match=r"no mode was found|does not fall off along"):
        gx.inference.laplace(Line(1.0, 1.0), away, LINE_SPEC, priors={n: dist.Normal(0.0, 1e3) for n in wide}, steps=50)

    def saddle(model, key):
        return 0.5 * model.slope**2 - 0.5 * model.offset**2

    with pytest.raises(ValueError, match=r"does not fall off along offset \+1.00"):
        gx.inference.laplace(Line(0.0, 0.0), saddle, LINE_SPEC, priors={n: dist.Normal(0.0, 1e3) for n in wide})


@pytest.mark.once
def test_what_is_not_normal_is_told():
    def banana(model, key):
        return 0.5 * (model.slope / 3) ** 2 + 0.5 * ((model.offset - model.slope**2) / 0.1) ** 2

    flat = {"slope": dist.Normal(0.0, 100.0), "offset": dist.Normal(0.0, 1000.0)}
    with pytest.warns(gx.inference.SamplingWarning, match="of draws count"):
        found = gx.inference.laplace(Line(0.0, 0.0), banana, LINE_SPEC, priors=flat)
    assert "! the posterior is not as the normal distribution" in repr(found)


@pytest.mark.once
def test_chains_that_disagree_and_draws_that_diverge_are_told(nuts):
    apart = nuts.real + np.array([0.0, 0.5, 0.0, 0.0])[:, None, None] * [0.0, 1.0]
    diverging = nuts.statistics | {"diverging": np.arange(2000).reshape(4, 500) < 3}
    found = dataclasses.replace(nuts, real=apart, statistics=diverging)
    told = found.doubts()
    assert told[0].startswith("3 of 2000 draws diverged") and "disagree, most on offset" in told[1]
    assert all(f"! {doubt}" in repr(found) for doubt in told)


@pytest.mark.slow
@pytest.mark.once
def test_interrupted_it_keeps_what_there_is(monkeypatch):
    original, calls, most = hamiltonian._advance, [], [3]

    def advance(*arguments):
        calls.append(1)
        if len(calls) > most[0]:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(hamiltonian, "_advance", advance)
    with pytest.raises(KeyboardInterrupt, match="before there was a draw"):
        gx.inference.nuts(*ON_LINE, priors=LINE_PRIORS, progress=False)
    calls.clear()
    most[0] = 11  # calls of up to 64 steps: beyond the warm-up
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gx.inference.SamplingWarning)
        found = gx.inference.nuts(*ON_LINE, priors=LINE_PRIORS, progress=False)
    assert (
        4 <= found.real.shape[1] < 500
        and found.interrupted == f"after {found.real.shape[1]} of 500 draws of each chain"
    )
    assert any("it was interrupted" in doubt for doubt in found.doubts()) and "! it was interrupted" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chains": 0}, "chains"),
        ({"target_accept": 1.5}, "target_accept"),
        ({"draws": 1}, "draws"),
        ({"warmup": 0}, "warmup"),
    ],
)
@pytest.mark.once
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        gx.inference.nuts(*ON_LINE, priors=LINE_PRIORS, progress=False, **arguments)


@pytest.mark.once
def test_inside_jit_the_density_has_models(key):
    density = gx.inference.log_density(*ON_LINE, priors=LINE_PRIORS)
    draws = jax.vmap(density.draw)(jax.random.split(key, 3))
    assert jax.vmap(lambda free: density.model_at(free).slope)(draws).shape == (3,)
    assert jax.jit(jax.vmap(density))(draws).shape == (3,)


@pytest.mark.parametrize(
    ("method", "loss"),
    [
        ("laplace", lambda m, key: jnp.floor(3 * m.slope) + jnp.round(m.offset)),
        ("svi", lambda m, key: jnp.floor(3 * m.slope) + jnp.round(m.offset)),
        ("laplace", lambda m, key: jnp.argmax(jnp.stack([m.slope, m.offset, 0.1])).astype(float)),
    ],
)
@pytest.mark.once
def test_a_loss_without_a_slope_is_no_prior_given_back(method, loss):
    options = {"progress": False} if method == "laplace" else {"progress": False, "steps": 10}
    with pytest.raises(ValueError, match="the loss has no slope at all"):
        getattr(gx.inference, method)(LINE, loss, LINE_SPEC, priors=LINE_PRIORS, **options)


@pytest.mark.once
def test_a_start_where_the_likelihood_is_highest_has_a_curvature():
    """No slope at one place is no loss without one."""
    found = gx.inference.laplace(
        Line(0.0, 0.0),
        lambda m, key: 2 * m.slope**2 + 8 * m.offset**2,
        LINE_SPEC,
        priors=LINE_PRIORS,
        draws=4000,
        progress=False,
    )
    np.testing.assert_allclose(found.summary()["sd"], [(1 + 4) ** -0.5, (0.25 + 16) ** -0.5], rtol=0.06)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (lambda m, key: m.slope > 0, "bool"),
        (lambda m, key: jnp.round(m.slope).astype(int), "int"),
        (lambda m, key: m.slope + 1j, "complex"),
    ],
)
def test_a_loss_is_a_real_number(loss, kind):
    for method in (gx.inference.log_density, gx.inference.laplace):
        with pytest.raises(TypeError, match=f"the loss is of {kind}.*, and minus a log-likelihood is a real number"):
            method(LINE, loss, LINE_SPEC, priors=LINE_PRIORS)


@pytest.mark.once
def test_slow_densities_are_compared_one_after_another_or_side_by_side(monkeypatch):
    """Whichever way is quicker, the same ratios."""
    density = gx.inference.log_density(*ON_LINE, priors=LINE_PRIORS)
    vectors = np.random.default_rng(0).normal(size=(70, 2)).astype(density.start.slope.dtype)
    expected = [float(density.at(jnp.asarray(x))) for x in vectors]
    for slow, long in ((np.inf, np.inf), (0.0, np.inf), (0.0, 0.0)):
        monkeypatch.setattr(normal, "_SLOW", slow)
        monkeypatch.setattr(normal, "_LONG", long)
        np.testing.assert_allclose(normal._values(density, vectors, None), expected, rtol=1e-6)


@pytest.mark.once
def test_laplace_compiles_once_and_shows_a_bar(capsys):
    gx.inference.laplace(*ON_LINE, priors=LINE_PRIORS, progress="mode")
    assert "mode" in capsys.readouterr().err
    compiled = [f._cached._cache_size() for f in (normal._around, normal._descended, normal._each, normal.value_at)]
    other = {"slope": dist.Normal(0.5, 1.0), "offset": dist.Normal(0.0, 2.0)}
    gx.inference.laplace(*ON_LINE, priors=other, progress=False, key=3)
    assert compiled == [
        f._cached._cache_size() for f in (normal._around, normal._descended, normal._each, normal.value_at)
    ]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("delay", [None, gx.Delay(speed=3.0)])
def test_curvature_through_a_simulation_is_that_of_differences(delay):
    weights = 0.1 * (np.ones((3, 3)) - np.eye(3))
    coupling = gx.couplings.Linear(source="x", strength=0.3)
    net = gx.Network(gx.models.Linear(gamma=-0.5), coupling, gx.Connectome(weights, 60 * weights), delay)

    def states(net):
        return gx.simulate(net, 20.0, 0.5, start=jnp.ones((1, 3)))["raw"].values.ravel()

    seen, spec = states(net) + 0.01, gx.select(net, "coupling.strength", "model.gamma")
    density = gx.inference.log_density(
        net, lambda n, key: -gx.losses.gaussian_log_likelihood(states(n), seen, sd=0.1), spec
    )
    place, step = vector_of(density.start) + 0.1, 1e-5
    slopes, hessians = normal._around(density, place)
    slope = jax.jit(jax.grad(density.at))
    ends = [(slope(place + step * e) - slope(place - step * e)) / (2 * step) for e in np.eye(2)]
    np.testing.assert_allclose(hessians.sum(0), np.stack(ends, -1), rtol=1e-7)
    np.testing.assert_allclose(slopes.sum(0), slope(place), rtol=1e-12)
