"""SVI, pseudo-marginal Metropolis, flows and calibration, against posteriors that are known."""

import dataclasses
import re
import subprocess
import sys
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pandas as pd
import pytest
from scipy import stats

import gyrax as gx
from conftest import DOUBLE
from gyrax.inference import flows, splines, variational
from gyrax.inference.diagnostics import effective_draws
from known_posteriors import LINE, LINE_PRIORS, LINE_SPEC, SD, Y, line, line_loss, line_posterior

ON_LINE = (LINE, line_loss, LINE_SPEC)
MEAN, COVARIANCE, EVIDENCE = line_posterior()


def measured(model, key):
    return line(model, key) + SD * jax.random.normal(key, (7,))


def loss_of(model, key, data):
    return -gx.losses.gaussian_log_likelihood(line(model, key), data, sd=SD)


def sure(model, key, data):
    """Of noise a third as strong as it is."""
    return -gx.losses.gaussian_log_likelihood(line(model, key), data, sd=SD / 3)


def test_svi_of_a_line_is_exact():
    found = gx.inference.svi(*ON_LINE, priors=LINE_PRIORS, steps=1000, draws=4000, progress=False)
    table = found.summary()
    np.testing.assert_allclose(table["mean"], MEAN, atol=4 * np.sqrt(COVARIANCE.max() / 4000))
    np.testing.assert_allclose(np.cov(found.real[0].T), COVARIANCE, rtol=0.1, atol=1e-3)
    assert found.figures["evidence lower bound"] == pytest.approx(EVIDENCE, abs=1e-4 if DOUBLE else 5e-3)
    assert found.figures["share that counts"] > 0.99


@pytest.mark.once
def test_independent_normals_are_too_narrow_as_theory_says():
    found = gx.inference.svi(
        *ON_LINE, priors=LINE_PRIORS, guide="independent", steps=1500, draws=4000, progress=False, key=1
    )
    assert found.figures["pareto k"] > 0.2 and 0.2 < found.figures["share that counts"] < 0.95
    # the precisions are those of the posterior
    np.testing.assert_allclose(found.summary()["sd"], np.diag(np.linalg.inv(COVARIANCE)) ** -0.5, rtol=0.08)
    np.testing.assert_allclose(found.summary()["mean"], MEAN, atol=0.02)


@pytest.mark.once
def test_svi_says_when_it_has_not_arrived_and_stops_with_the_keyboard(monkeypatch):
    with pytest.warns(gx.inference.SamplingWarning, match="is not as the normal distribution"):
        gx.inference.svi(*ON_LINE, priors=LINE_PRIORS, steps=30, learning_rate=0.01, progress=False)
    with pytest.raises(ValueError, match="learning_rate is a positive number"):
        gx.inference.svi(*ON_LINE, priors=LINE_PRIORS, learning_rate=-1.0)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    original, calls = variational._advance, []

    def later(*arguments):
        calls.append(1)
        return interrupt() if len(calls) > 8 else original(*arguments)

    monkeypatch.setattr(variational, "_advance", later)
    with pytest.warns(gx.inference.SamplingWarning, match=r"it was interrupted after \d+ of 2000 steps"):
        found = gx.inference.svi(*ON_LINE, priors=LINE_PRIORS, progress=False)
    assert found.interrupted.endswith("of 2000 steps") and f"! it was interrupted {found.interrupted}" in repr(found)
    monkeypatch.setattr(variational, "_advance", interrupt)
    with pytest.raises(KeyboardInterrupt, match="after 0 of 2000 steps"):
        gx.inference.svi(*ON_LINE, priors=LINE_PRIORS, progress=False)


def hidden(model, key):
    """Data of a slope that wanders by 0.5 from trial to trial: what is simulated is integrated over."""
    slope = model.slope + 0.5 * jax.random.normal(key)
    return -gx.losses.gaussian_log_likelihood(jnp.stack([slope, model.offset]), jnp.array([1.0, 0.5]), sd=0.5)


@pytest.mark.once
@pytest.mark.slow
def test_pseudo_marginal_draws_are_of_the_exact_posterior():
    """Even of one realisation a step, where fixed noise is far off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gx.inference.SamplingWarning)
        found = gx.inference.pseudo_marginal(
            LINE, hidden, LINE_SPEC, priors=LINE_PRIORS, warmup=1000, draws=6000, progress=False
        )
    sd = np.array([(1 / 1 + 1 / 0.5) ** -0.5, (1 / 4 + 1 / 0.25) ** -0.5])
    mean = np.array([1.0 / 0.5, 0.5 / 0.25]) * sd**2
    table = found.summary()
    assert (table["ess"] > 500).all()
    assert (np.abs(table["mean"] - mean) < 4 * sd / np.sqrt(table["ess"])).all(), table
    np.testing.assert_allclose(table["sd"], sd, rtol=0.15)
    assert 0.1 < found.figures["accepted"] < 0.35 and "with 1 new realisation a step" in repr(found)
    assert found.figures["sd of the log-likelihood"] == pytest.approx(0.8, abs=0.6)
    fixed = gx.inference.laplace(LINE, hidden, LINE_SPEC, priors=LINE_PRIORS, noise="fixed", realisations=1)
    assert fixed.summary()["sd"]["slope"] < 0.85 * sd[0]  # as if that noise were known
    many = gx.inference.laplace(LINE, hidden, LINE_SPEC, priors=LINE_PRIORS, noise="fixed", realisations=400)
    assert many.summary()["sd"]["slope"] == pytest.approx(sd[0], rel=0.15)


@pytest.mark.once
def test_pseudo_marginal_needs_noise_and_says_when_it_scatters_too_much():
    with pytest.raises(ValueError, match="the loss does not depend on its key"):
        gx.inference.pseudo_marginal(*ON_LINE, priors=LINE_PRIORS)

    def wild(model, key):
        return 10 * jax.random.normal(key) + model.slope**2 + model.offset**2

    with pytest.warns(gx.inference.SamplingWarning, match="estimates of the log-likelihood scatter by"):
        gx.inference.pseudo_marginal(LINE, wild, LINE_SPEC, priors=LINE_PRIORS, warmup=50, draws=100, progress=False)


@pytest.fixture(scope="module")
def learnt():
    return gx.inference.learn_posterior(
        LINE, measured, LINE_SPEC, priors=LINE_PRIORS, simulations=3000, progress=False, key=1
    )


@pytest.mark.once
@pytest.mark.slow
def test_a_flow_learns_the_posterior(learnt):
    errors = []
    for k in range(20):  # data from the prior, for each its posterior by algebra
        keys = jax.random.split(jax.random.key(100 + k))
        truth = np.asarray(jax.random.normal(keys[0], (2,))) * [1.0, 2.0]
        data = np.asarray(measured(type(LINE)(*truth), keys[1]))
        design = np.stack([np.linspace(-1, 2, 7), np.ones(7)], 1)
        mean = COVARIANCE @ (design.T @ data) / SD**2
        table = learnt.given(data).summary()
        errors.append(
            [*((table["mean"] - mean) / np.sqrt(np.diag(COVARIANCE))), *(table["sd"] / np.sqrt(np.diag(COVARIANCE)))]
        )
    errors = np.array(errors)
    assert np.abs(errors[:, :2]).mean() < 0.35, errors  # in standard deviations of the posterior
    assert np.abs(np.log(errors[:, 2:])).mean() < 0.25, errors


@pytest.mark.once
@pytest.mark.long
def test_few_simulations_of_many_features_are_doubted(learnt):
    def features(model, key):
        return jnp.concatenate([measured(model, key), jax.random.normal(jax.random.fold_in(key, 1), (50,))])

    many = gx.inference.learn_posterior(
        LINE, features, LINE_SPEC, priors=LINE_PRIORS, simulations=600, progress=False, key=1
    )
    assert many.gap > 0.5 > learnt.gap
    with pytest.warns(gx.inference.SamplingWarning, match="these were too few for so many features"):
        many.given(many.simulated[0])


@pytest.mark.once
@pytest.mark.slow
def test_a_flow_refuses_what_it_has_not_seen(learnt):
    assert "Learnt from 3000 simulations of 7 features: 2 free numbers" in repr(learnt)
    with pytest.raises(ValueError, match=r"observed value\[2\] is 99.*simulations reach from"):
        learnt.given(Y + 100)
    with pytest.raises(ValueError, match=r"observed 'value' has shape \(6,\)"):
        learnt.given(Y[:6])
    with pytest.raises(ValueError, match=r"observed value\[3\] is not finite"):
        learnt.given(np.where(np.arange(7) == 3, np.nan, Y))
    with pytest.raises(ValueError, match="observed has fc, and the simulated features are value"):
        learnt.given({"fc": Y})
    with pytest.warns(gx.inference.SamplingWarning, match="together the observed features"):
        learnt.given(Y + np.array([4.0, -4.0, 0, 0, 0, 0, 0]))


def untrained(key, parameters, features, progress):
    """The numbers of a flow that was not trained, and what it is made by."""
    design = {"parameters": parameters.shape[1], "features": features.shape[1], "layers": 2, "knots": 4, "width": 8}
    leaves = jax.tree.leaves(eqx.filter(splines._built(key, **design), eqx.is_array))
    return tuple(leaves), (*design.items(), ("FlowJAX", splines.flowjax_version())), 1.0, 0.1


FRESH = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
import gyrax as gx
from known_posteriors import Line, Y
learnt = gx.inference.Learnt.load(sys.argv[1], own=[Line])
np.save(sys.argv[1] + ".npy", learnt.given(Y, draws=50).real)
"""


@pytest.mark.slow
@pytest.mark.once
def test_what_was_learnt_is_kept_in_a_file(tmp_path, monkeypatch):
    """A fresh process draws the same from it; what was cut short, or learnt by heart, says so."""

    original, calls = flows._batch, []

    def batch(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(flows, "_CALL", 120)
    monkeypatch.setattr(flows, "_batch", batch)
    monkeypatch.setattr(flows, "trained_flow", untrained)
    learnt = gx.inference.learn_posterior(
        LINE, measured, LINE_SPEC, priors=LINE_PRIORS, simulations=300, progress=False, key=1
    )
    assert len(learnt.simulated) == 120 and "interrupted after 120 of 300 simulations" in repr(learnt)
    doubted = dataclasses.replace(learnt, gap=1.4)
    with pytest.warns(gx.inference.SamplingWarning, match="these were too few for so many features"):
        found = doubted.given(Y, draws=50)
    assert found.interrupted == "after 120 of 300 simulations" and len(found.doubts()) == 2
    learnt.save(tmp_path / "learnt.npz")
    tests = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path / "learnt.npz"), tests], check=True, timeout=300)
    there = np.load(tmp_path / "learnt.npz.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gx.inference.SamplingWarning)
        np.testing.assert_allclose(there, learnt.given(Y, draws=50).real, rtol=1e-12)
    other = dataclasses.replace(learnt, weights=learnt.weights[:-1])
    with pytest.raises(ValueError, match=r"makes it of other arrays: install flowjax=="):
        other.given(Y)
    gx.io.save(tmp_path / "model.npz", gx.models.WongWang())
    with pytest.raises(ValueError, match="holds a WongWang, and nothing that was learnt"):
        gx.inference.Learnt.load(tmp_path / "model.npz")


@pytest.mark.once
@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (np.zeros(6), r"observed 'value' has shape \(6,\), and the simulated feature \(7,\)"),
        (np.where(np.arange(7) == 3, np.nan, Y), r"observed value\[d\] is not finite"),
        ({"fc": Y}, "observed has fc, and the simulated features are value"),
        (pd.Series(Y, list("abcdegf")), "labels disagree"),
    ],
)
def test_observed_features_are_looked_at_before_anything_is_simulated(observed, message, monkeypatch):
    def never(*arguments):
        raise AssertionError("it was simulated")

    def features(model, key):
        return gx.LabelledArray(measured(model, key), [tuple("abcdefg")])

    monkeypatch.setattr(flows, "_batch", never)
    with pytest.raises(ValueError, match=message):
        gx.inference.neural_posterior(LINE, features, LINE_SPEC, observed, priors=LINE_PRIORS, progress=False)


@pytest.mark.once
@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda m, key: jnp.stack([m.slope, 1.0]), r"value\[1\] is the same in all of 200 simulations"),
        (lambda m, key: jnp.stack([m.slope, jnp.nan * m.offset]), "of 200 simulations 0 have finite features"),
    ],
)
def test_features_that_tell_nothing(features, message, monkeypatch):
    """After the first of many simulations, not the last."""
    monkeypatch.setattr(flows, "_CALL", 200)
    with pytest.raises(ValueError, match=message):
        gx.inference.learn_posterior(LINE, features, LINE_SPEC, priors=LINE_PRIORS, simulations=10**6, progress=False)


@pytest.mark.once
def test_calibration_is_of_what_was_learnt(monkeypatch):
    monkeypatch.setattr(flows, "trained_flow", untrained)
    d = numpyro.distributions
    model = gx.models.Linear(gamma=-0.5)
    spec = gx.select(model, "gamma")

    def features(m, key):
        return m.gamma[None] + 0.1 * jax.random.normal(key, (1,))

    prior = {"gamma": d.Uniform(-2.0, -0.1)}
    learnt = gx.inference.learn_posterior(model, features, spec, priors=prior, simulations=100, progress=False)

    def calibrated(prior, spec=spec, **options):
        return gx.inference.calibration(
            model, features, None, spec, priors=prior, method=learnt, repetitions=20, progress=False, **options
        )

    with pytest.raises(
        ValueError, match=r"learnt of gamma as 1 numbers in .*-2.*and free is gamma as 1 numbers in .*-1\.9"
    ):
        calibrated({"gamma": d.Uniform(-1.9, -0.2)})
    with pytest.raises(ValueError, match=r"with the prior of gamma, Uniform.*prior now is of gamma, .*runcated"):
        calibrated({"gamma": d.TruncatedNormal(-1.0, 0.3, low=-2.0, high=-0.1)})
    with pytest.raises(ValueError, match="learnt of gamma, and free are slope, offset"):
        learnt.check_of(gx.inference.log_density(*ON_LINE, priors=LINE_PRIORS).space, ())
    with pytest.raises(ValueError, match="a posterior has 50 draws"):
        calibrated(prior, options={"draws": 50})
    with pytest.raises(ValueError, match=r"the feature 'value' is complex"):
        gx.inference.learn_posterior(model, lambda m, key: m.gamma[None] * 1j, spec, priors=prior, progress=False)
    with pytest.raises(ValueError, match=r"observed 'value' is complex"):
        learnt.given(np.array([-1.0 + 1j]))


@pytest.mark.once
def test_single_draws_far_from_all_others_are_doubted():
    space = gx.inference.log_density(*ON_LINE, priors=LINE_PRIORS).space
    real = np.random.default_rng(0).standard_t(6, size=(1, 4000, 2))
    figures = {"loss on held-out simulations": 1.0}
    found = gx.inference.Posterior(LINE, space, real, {}, "a neural posterior", figures)
    assert not found.doubts()
    real[0, 7, 1] = 40.0
    assert "1 of 4000 draws lie more than 12 standard deviations" in found.doubts()[0] and "offset" in found.doubts()[0]


@pytest.mark.slow
@pytest.mark.once
def test_calibration_tells_right_from_wrong():
    arguments = (LINE, measured)
    right = gx.inference.calibration(
        *arguments, loss_of, LINE_SPEC, priors=LINE_PRIORS, repetitions=60, progress=False, key=3
    )
    assert (
        right.calibrated
        and right.doubted == 0
        and "no fault found; 60 repetitions see only those as large as" in repr(right)
    )
    assert right.coverage(0.9).between(0.8, 0.98).all() and (right.chances() > 0.005).all()
    assert right.ranks.shape == (60, 2) and right.ranks.min() >= 0 and right.ranks.max() <= 99
    wrong = gx.inference.calibration(
        *arguments, sure, LINE_SPEC, priors=LINE_PRIORS, repetitions=40, progress=False, key=3
    )
    assert not wrong.calibrated and "NOT calibrated" in repr(wrong) and (wrong.coverage(0.9) < 0.7).all()
    assert len(right.plot()) == 2
    assert right.to_xarray()["number"].values.tolist() == ["slope", "offset"]
    with pytest.raises(ValueError, match="level is the part"):
        right.coverage(1.5)


@pytest.mark.once
def test_ranks_of_exact_posteriors_are_even():
    """The bookkeeping alone, on draws that are of the posterior: chi-square rejects as often as it says."""
    rng, chances = np.random.default_rng(0), []
    for _ in range(200):
        truth = rng.normal(size=(50, 1))
        draws = rng.normal(size=(50, 99))
        ranks = (draws < truth).sum(1, keepdims=True)
        found = gx.inference.Calibration(("x",), ranks, ranks / 99, "exact draws", 0)
        chances.append(found.chances()["x"])
    assert np.mean(np.array(chances) < 0.1) == pytest.approx(0.1, abs=0.07)


def calibrated(below):
    """A calibration whose truth had these parts of its draws below."""
    below = np.asarray(below, float).reshape(len(below), -1)
    ranks = np.minimum((100 * below).astype(int), 99)
    return gx.inference.Calibration(tuple("xyz"[: below.shape[1]]), ranks, below, "exact draws", 0)


@pytest.mark.once
def test_coverage_counts_beside_the_ranks():
    """Fewer than 20 ranks are in two bins, in which too narrow and too wide look alike; 50 % of 30 that hold 27 % are found at 1.6 %."""
    rng = np.random.default_rng(1)
    wide, narrow = (stats.norm.cdf(size * rng.normal(size=30)) for size in (0.2, 3.0))
    for below, word in ((wide, "held the truth in 100%"), (narrow, "intervals of 50% of x held the truth in")):
        found = calibrated(below)
        assert not found.calibrated and f"NOT calibrated: {word}" in repr(found).replace(
            "the ranks of x are uneven", word
        )
    for count, held in ((30, 8), (100, 39)):  # as often inside, whatever else: the exact test
        inside = np.where(np.arange(count) < held, 0.5, 0.9)
        found = calibrated(np.where(np.arange(count) % 2, inside, 1 - inside)).summary()
        assert found.loc["x", "p of 50%"] == pytest.approx(stats.binomtest(held, count, 0.5).pvalue)
        assert found.loc["x", "50%"] == pytest.approx(held / count)
    few = calibrated(rng.uniform(size=12))
    assert not few.calibrated and "too few to tell anything, which takes 20" in repr(few)
    with pytest.raises(ValueError, match=r"give repetitions= from 20 on"):
        gx.inference.calibration(LINE, measured, loss_of, LINE_SPEC, priors=LINE_PRIORS, repetitions=19)


@pytest.mark.once
def test_the_level_of_a_calibration_is_that_of_all_its_tests():
    """Right posteriors are called wrong in at most one of twenty checks, and faults that it says it finds it finds."""
    rng = np.random.default_rng(0)
    right = [calibrated(rng.uniform(size=(50, 3))).calibrated for _ in range(200)]
    assert 0.92 < np.mean(right) <= 1.0
    text = repr(calibrated(rng.uniform(size=(50, 3))))
    said = float(re.search(r"intervals of 90% that hold the truth in less than (\d+)%", text)[1]) / 100
    scale = stats.norm.ppf(0.5 + said / 2) / stats.norm.ppf(0.95)
    found = [calibrated(stats.norm.cdf(rng.normal(size=(50, 3)) / scale)).calibrated for _ in range(100)]
    assert np.mean(found) < 0.2


@pytest.mark.once
def test_what_is_finished_of_a_calibration_is_kept(monkeypatch):
    calls, original = [], gx.inference.laplace

    def sometimes(*arguments, **options):
        calls.append(1)
        if len(calls) in (3, 8):
            raise RuntimeError(f"number {len(calls)}\nis odd")
        if len(calls) == 26:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    options = {"priors": LINE_PRIORS, "repetitions": 30, "method": sometimes, "progress": False}
    with pytest.warns(gx.inference.SamplingWarning, match="2 of 25 repetitions failed and are left out"):
        found = gx.inference.calibration(LINE, measured, loss_of, LINE_SPEC, **options)
    assert found.ranks.shape == (23, 2) and found.interrupted and len(found.failed) == 2
    assert "RuntimeError: number 3 is odd (gyrax: in repetition 2 of a calibration, with slope [" in found.failed[0]
    assert "it was interrupted" in repr(found) and "2 of 25 repetitions failed" in repr(found)
    calls[:] = [1] * 25
    with pytest.raises(KeyboardInterrupt):
        gx.inference.calibration(LINE, measured, loss_of, LINE_SPEC, **options)

    def ended(*arguments, **options):
        calls.append(1)
        found = original(*arguments, **options)
        return dataclasses.replace(found, interrupted="after 5 of 500 draws") if len(calls) == 22 else found

    calls.clear()
    options["method"] = ended
    found = gx.inference.calibration(LINE, measured, loss_of, LINE_SPEC, **options)
    assert found.interrupted and len(found.ranks) == 21  # one that was cut short is not judged


@pytest.mark.once
def test_calibration_passes_on_what_went_wrong():
    def broken(model, key, data):
        return jnp.log(-1.0) * model.slope * data.sum()

    with pytest.raises(ValueError, match="the log-density is nan") as caught:
        gx.inference.calibration(LINE, measured, broken, LINE_SPEC, priors=LINE_PRIORS, progress=False)
    assert "in repetition 0 of a calibration, with slope [" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="the simulated data are not finite"):
        gx.inference.calibration(
            LINE, lambda m, key: m.slope / 0.0, loss_of, LINE_SPEC, priors=LINE_PRIORS, progress=False
        )
    with pytest.raises(ValueError, match="draws, and the rank of the truth is among 99"):
        gx.inference.calibration(
            LINE, measured, loss_of, LINE_SPEC, priors=LINE_PRIORS, options={"draws": 20}, progress=False
        )


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["nuts", *(pytest.param(name, marks=pytest.mark.long) for name in ("svi", "learnt"))]
)
def test_intervals_hold_the_truth_as_often_as_they_say(method, learnt):
    kinds = {
        "nuts": (gx.inference.nuts, {"chains": 2, "warmup": 200, "draws": 400}),
        "svi": (gx.inference.svi, {"steps": 500}),
        "learnt": (learnt, {}),
    }
    chosen, options = kinds[method]
    found = gx.inference.calibration(
        LINE,
        measured,
        None if method == "learnt" else loss_of,
        LINE_SPEC,
        priors=LINE_PRIORS,
        method=chosen,
        options=options,
        progress=False,
    )
    assert found.calibrated and found.coverage(0.9).between(0.85, 0.95).all(), found


@pytest.mark.once
def test_pictures():
    found = gx.inference.laplace(*ON_LINE, priors=LINE_PRIORS)
    assert [ax.get_ylabel() for ax in found.plot()] == ["slope", "offset"]
    assert effective_draws(found.real[..., 0]) > 300
    assert eqx.is_array(found.real)
