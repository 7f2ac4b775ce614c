"""The three stages of a study: which noise each hears, what its figures are figures of, what it leaves behind.

Nothing is simulated: a recording is drawn from its key and from the network's parameters, and the keys that are really
drawn from are written down.
"""

import contextlib
import copy
import dataclasses
import functools
import html
import itertools
import json
import re
import shutil
import sys
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import yaml

import gyrax as gx
from gyrax import study
from gyrax._formats import writing
from gyrax._formats.locking import held
from gyrax.study import config, judging, mismatch, report, stages
from gyrax.study import study as whole_study

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("compiled_fast")]

N, SEEDS, REALISATIONS, STEPS = 4, 5, 3, 8
#: No other test has these durations: what is compiled here has no simulation in it.
TIMES = {"period": 500.0, "warm_up": 1_500.0, "duration": 7_000.0, "judged": 9_500.0}
STAGES = ("explore", "refine", "regional")
SETTINGS = study.Settings(
    steps=STEPS,
    seeds=SEEDS,
    realisations=REALISATIONS,
    seed=11,
    stages=STAGES,
    free=("coupling.strength", "model.w"),
    regional=("model.w",),
    weights="raw",
    **TIMES,
)


class Ear:
    """Remembers, of one study, who drew from which key and for how many ms."""

    def __init__(self):
        self.stage, self.heard, self.evaluations, self.fits, self.sweeps = None, {}, [], {}, []

    @contextlib.contextmanager
    def during(self, stage):
        self.stage = stage
        yield
        jax.effects_barrier()
        self.stage = None

    def keys(self, stage):
        return [key for key, _ in self.heard[stage]]


#: Whose study is under way: what is compiled for one study calls on the ear of the next.
EARS: list[Ear] = []


def hear(key, duration):
    EARS[-1].heard.setdefault(EARS[-1].stage, []).append((tuple(np.asarray(key).tolist()), float(duration)))


def simulate(network, duration, dt, *, monitors, key):
    """In place of a simulation: some waves as strong as the parameters say, and noise."""
    (name, monitor), *_ = monitors.items()
    count = round(duration / monitor.period)
    jax.debug.callback(functools.partial(hear, duration=duration), jax.random.key_data(key))
    waves = np.sin(np.arange(count)[:, None] * (0.5 + 0.1 * np.arange(3)))
    mix = np.random.default_rng(0).normal(size=(3, N))
    values = network.coupling.strength * network.model.w * (waves @ mix) + 0.3 * jax.random.normal(key, (count, N))
    # what comes before it counts is far from all that follows
    values = values.at[: round(TIMES["warm_up"] / monitor.period)].add(100.0 * np.arange(N))
    return {name: SimpleNamespace(values=values[:, None])}


def measured(seed=1, order=slice(None)):
    """A connectome, a scan to fit, and one held out."""
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.1, 1, (N, N)) * (1 - np.eye(N))
    connectome = gx.Connectome(weights[order, order], labels=list("ABCD"))
    fit, test = (
        study.Scan.of(np.corrcoef(np.random.default_rng(s).normal(size=(N, 9))), connectome, name=name)
        for s, name in ((seed, "rest1"), (seed + 1, "rest2"))
    )
    return study.Data(connectome, (fit,), (test,))


@pytest.fixture(scope="module")
def data():
    return measured()


def begun(data, out, settings=SETTINGS):
    structure = study.scaled(data.connectome, settings.weights)
    return study.Study(settings, data, structure, out, progress=False)


@contextlib.contextmanager
def listening(figure=False):
    """No simulation, and an ear on every fit, sweep and evaluation of the study."""
    ear = Ear()
    EARS.append(ear)
    fit, sweep, evaluate = gx.fit, gx.sweep, gx.evaluate

    def fit_heard(*args, **kwargs):
        stage = kwargs["checkpoint"].name.split(".")[0]
        with ear.during(stage):
            ear.fits[stage] = kwargs, fit(*args, **kwargs)
        return ear.fits[stage][1]

    def sweep_heard(*args, **kwargs):
        with ear.during("explore"):
            ear.sweeps.append((args, kwargs, sweep(*args, **kwargs)))
        return ear.sweeps[-1][2]

    def evaluate_heard(network, features, keys):
        name = f"evaluation {len(ear.evaluations)}"
        with ear.during(name):
            ear.evaluations.append((name, evaluate(network, features, keys)))
        return ear.evaluations[-1][1]

    recipe = study.RECIPES["WongWang"]
    coarse = {"coupling.strength": (0.3, 0.8, 2), "model.w": (0.1, 0.6, 3)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(study.RECIPES, "WongWang", dataclasses.replace(recipe, space=coarse))
        patch.setattr(mismatch, "simulate", simulate)
        patch.setattr(stages, "fit", fit_heard)
        patch.setattr(stages, "sweep", sweep_heard)
        patch.setattr(judging, "evaluate", evaluate_heard)
        patch.setattr(whole_study, "evaluate", evaluate_heard)
        if not figure:
            patch.setattr(report, "draw", lambda *args: None)
            patch.setattr(report, "write_report", lambda *args: None)
        yield ear


def done(data, out, settings=SETTINGS, figure=False):
    with listening(figure) as ear:
        one = begun(data, out, settings)
        fitted = one.run()
    return SimpleNamespace(study=one, ear=ear, fitted=fitted, out=out, stages={s["name"]: s for s in one.stages})


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return done(data, tmp_path_factory.mktemp("study"), figure=True)


def figures_of(whole, stage, kind):
    """The keys that a stage's figures were computed from: those of the evaluation with these figures."""
    wanted = whole.stages[stage][kind]
    means = {name: found.mean for name, found in whole.ear.evaluations if "r" in found.values}
    same = [name for name, mean in means.items() if (mean["r"], mean["rmse"]) == (wanted["r"], wanted["rmse"])]
    assert len(same) == 1, (stage, kind, same)
    return whole.ear.heard[same[0]]


@pytest.mark.slow("float64", "float32")
def test_no_stage_ever_trained_on_the_noise_that_fits_are_judged_on(whole):
    trained = {key for stage in STAGES for key in whole.ear.keys(stage)}
    for stage in STAGES:
        judged = {key for key, _ in figures_of(whole, stage, "unseen")}
        assert len(judged) == SEEDS and not judged & trained


def test_all_stages_are_judged_on_the_same_noise_and_it_is_what_is_recorded(whole):
    judged = [sorted(figures_of(whole, stage, "unseen")) for stage in STAGES]
    assert judged[0] == judged[1] == judged[2]
    (name,) = (name for name, found in whole.ear.evaluations if "value" in found.values)
    assert sorted(whole.ear.heard[name]) == judged[0]


@pytest.mark.parametrize("stage", STAGES)
def test_train_figures_are_of_the_noise_trained_on(whole, stage):
    keys = {key for key, _ in figures_of(whole, stage, "train")}
    assert keys and keys <= set(whole.ear.keys(stage))


def test_train_figures_are_of_the_best_step(data, whole):
    """At the durations of the training they are what the fit had found there: on common noise the best step, on new the last model."""
    for stage in ("refine", "regional"):
        _, result = whole.ear.fits[stage]
        keys = [key for key, _ in figures_of(whole, stage, "train")]
        assert len(keys) == REALISATIONS
        if stage == "regional":
            assert eqx.tree_equal(result.model, result.last) and result.best_step == STEPS
            continue
        with listening():
            loss = whole.study.loss(TIMES["duration"])
            keys = jax.random.wrap_key_data(jnp.array(keys, jnp.uint32))
            again = gx.evaluate(result.model, loss.terms, keys).mean
        for term in ("r", "rmse"):
            assert again[term] == pytest.approx(result.history[term][result.best_step], rel=1e-12)


def test_the_stages_hear_noise_of_their_own(whole):
    keys = [set(whole.ear.keys(stage)) for stage in STAGES]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]


def held_out_of(whole, stage="refine"):
    kwargs, _ = whole.ear.fits[stage]
    return {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in kwargs["validation"].drawn(kwargs["key"])}


def test_two_parameters_are_refined_on_common_noise_and_regional_ones_on_new(whole):
    """A realisation is heard once a step, so from so many keys one can tell."""
    held = held_out_of(whole)
    refined, regional = [k for k in whole.ear.keys("refine") if k not in held], whole.ear.keys("regional")
    assert len(refined) == STEPS // 4 * REALISATIONS and len(set(refined)) == REALISATIONS
    assert held and held <= set(
        whole.ear.keys("refine")
    )  # it is judged, from where it began on, by noise that it does not hear
    assert len(regional) == len(set(regional)) == STEPS * REALISATIONS


def test_the_exploration_hears_one_noise_in_all_candidates(whole):
    assert len(set(whole.ear.keys("explore"))) == 1


def test_fits_hear_the_duration_and_judgements_the_judged_one_both_after_the_warm_up(whole):
    for stage in STAGES:
        assert {time for _, time in whole.ear.heard[stage]} == {TIMES["warm_up"] + TIMES["duration"]}
    for name, _ in whole.ear.evaluations:
        assert {time for _, time in whole.ear.heard[name]} == {TIMES["warm_up"] + TIMES["judged"]}


@pytest.mark.slow
def test_another_seed_hears_other_noise_in_every_stage_and_judgement(data, whole, tmp_path):
    settings = dataclasses.replace(SETTINGS, seed=12, steps=1)
    other = done(data, tmp_path, settings)
    ours, theirs = ({key for keys in x.ear.heard.values() for key, _ in keys} for x in (whole, other))
    assert not ours & theirs
    heard = [key for key in other.ear.keys("refine") if key not in held_out_of(other)]
    assert len(heard) == len(other.ear.keys("regional")) == REALISATIONS  # a step each, at least


def test_a_stage_begins_where_the_one_before_ended(whole):
    args, _, grid = whole.ear.sweeps[0]
    at = int(grid["value"].values.argmin())
    assert grid["value"].shape == (6,) and list(args[2]) == ["coupling.strength", "model.w"]
    begun = whole.ear.fits["refine"][1].history
    with listening():
        start = gx.best(grid, whole.study.network)[0]
        keys = jax.random.wrap_key_data(
            jnp.array(sorted(set(whole.ear.keys("refine")) - held_out_of(whole)), jnp.uint32)
        )
        terms = gx.evaluate(start, whole.study.loss(TIMES["duration"]).terms, keys).mean
        assert float(start.model.w) == pytest.approx(float(args[2]["model.w"][at]))
        assert float(start.coupling.strength) == pytest.approx(float(args[2]["coupling.strength"][at]))
    assert begun["r"][0] == pytest.approx(terms["r"], rel=1e-12)
    refined, regional = (gx.io.load(whole.out / "stages" / f"{n}.npz", shaped(whole, n)) for n in STAGES[1:])
    # a step of Adam moves no parameter by more than its rate, and the eight here by no more than eight
    moved = np.abs(np.asarray(regional.model.w) - float(refined.model.w))
    assert 0 < moved.max() < 0.5 and np.ptp(regional.model.w) > 0
    assert float(regional.coupling.strength) == float(refined.coupling.strength)  # frozen by then


def shaped(whole, name):
    return gx.per_region(whole.study.network, "model.w") if name == "regional" else whole.study.network


def test_what_is_written_is_the_last_stage(whole):
    assert all((whole.out / name).stat().st_size > 0 for name in whole.study.files)
    summary = json.loads((whole.out / "summary.json").read_text())
    assert [s["name"] for s in summary["stages"]] == list(STAGES)
    assert [s["n_free"] for s in summary["stages"]] == [2, 2, N]
    assert summary["stages"] == whole.study.stages
    written = gx.io.load(whole.out / "model.npz", shaped(whole, "regional"))
    kept = gx.io.load(whole.out / "stages" / "regional.npz", shaped(whole, "regional"))
    np.testing.assert_array_equal(written.model.w, kept.model.w)
    np.testing.assert_array_equal(written.model.w, whole.fitted.model.w)
    regional = whole.ear.fits["regional"][1]
    np.testing.assert_array_equal(written.model.w, regional.model.model.w)
    with np.load(whole.out / "stages" / "regional.history.npz") as history:
        np.testing.assert_array_equal(history["loss"], regional.history["loss"])
        assert len(history["loss"]) == STEPS


def test_spread_over_seeds_is_the_sample_standard_deviation(whole):
    for stage in STAGES:
        wanted = whole.stages[stage]["unseen"]
        (found,) = (f for _, f in whole.ear.evaluations if "r" in f.values and f.mean["r"] == wanted["r"])
        assert wanted["r_sd"] == pytest.approx(float(found.sd["r"])) and wanted["seeds"] == SEEDS


def test_the_ceiling_compares_the_last_stage(whole, data):
    with xr.open_dataset(whole.out / "recordings.nc", engine="scipy") as found:
        limit = gx.ceiling(found["fc"].values, data.target, whole.stages["regional"]["train"]["r"])
        bold, times = found["bold"].values, found["time"].values
        np.testing.assert_allclose(found["target"], data.target)
        np.testing.assert_allclose(found["test"][0], data.test[0].fc)
        assert list(found["region"].values) == list(found["source"].values) == list("ABCD")
    summary = json.loads((whole.out / "summary.json").read_text())["ceiling"]
    for name in ("unseen", "reliability", "highest", "without_noise", "limit"):
        assert summary[name] == getattr(limit, name)
    assert summary["unseen"] == pytest.approx(whole.stages["regional"]["unseen"]["r"], rel=1e-6)
    # what was recorded before the warm-up ended is left out, and the times say so
    assert bold.shape == (SEEDS, 19, N) and np.abs(bold).max() < 50
    np.testing.assert_allclose(times, 1_500 + 500 * np.arange(1, 20))


def test_the_loss_is_of_the_settings(data):
    loss = begun(data, "nowhere").loss(1100.0)
    assert (loss.duration, loss.warm_up, loss.dt, loss.monitor.period) == (1500.0, 1_500.0, 10.0, 500.0)
    np.testing.assert_allclose(loss.target, data.target, rtol=1e-6)


def test_the_table_tells_every_stage_below_what_it_is_compared_with(whole, data):
    head, *lines = whole.study.table().splitlines()
    columns = ["free", "seconds", "train r", "unseen r", "sd", "rmse", "mean r", "test: rest2"]
    assert head.split("  ")[0] == "" and [x for x in map(str.strip, head.split("  ")) if x] == columns
    for line, name in zip(lines[3:], STAGES, strict=False):
        stage = whole.stages[name]
        train, unseen = stage["train"], stage["unseen"]
        figures = (train["r"], unseen["r"], unseen["r_sd"], unseen["rmse"], unseen["mean_r"], stage["tests"]["rest2"])
        expected = [name, str(stage["n_free"]), f"{stage['seconds']:.1f}", *(f"{x:.3f}" for x in figures)]
        assert line.split() == expected
    assert f"unseen: {SEEDS} noise seeds never trained on, 9.5 s of BOLD each" in lines[6]
    pairs = np.triu_indices(N, 1)
    one, two = data.target[pairs], data.test[0].fc[pairs]
    assert lines[2].split()[-1] == f"{np.corrcoef(one, two)[0, 1]:.3f}"
    fcs = next(
        f
        for n, f in whole.ear.evaluations
        if "fc" in f.values and f.mean["r"] == whole.stages["regional"]["unseen"]["r"]
    )
    mean = np.asarray(fcs["fc"]).mean(0)[pairs]
    assert whole.stages["regional"]["unseen"]["mean_r"] == pytest.approx(np.corrcoef(mean, one)[0, 1], rel=1e-5)
    assert whole.stages["regional"]["tests"]["rest2"] == pytest.approx(np.corrcoef(mean, two)[0, 1], rel=1e-5)


def test_the_verdict_says_whether_the_model_adds_anything(whole):
    one = copy.copy(whole.study)
    one.stages = [json.loads(json.dumps(whole.stages["regional"]))]
    scans = next(row for row in one.references if row["name"] == "the training scans")["tests"]["rest2"]
    best = max(row["tests"]["rest2"] for row in one.references)
    assert scans <= best
    for r, words in (
        (best + 0.1, "the model adds to that"),
        (best, "adds nothing to that"),
        (best - 0.1, "knows less than that"),
    ):
        one.stages[0]["tests"]["rest2"] = r
        assert words in report.verdict(one)[-1] and f"by r {r:.3f}" in report.verdict(one)[-1]
    one.stages[0]["tests"] = {}
    assert "hold one out with --test" in report.verdict(one)[-1]
    one.stages[0]["train"]["r"] = one.stages[0]["unseen"]["r"] + 0.2
    assert any("learnt noise by heart" in sentence for sentence in report.verdict(one))


def test_the_report_is_one_page_with_everything(whole):
    text = (whole.out / "report.html").read_text()
    for part in (*whole.study.table().splitlines()[0].split("  "), *report.verdict(whole.study)):
        assert html.escape(part.strip()).replace("&#x27;", "&#39;") in text
    assert text.count("<svg") >= 4 and "prefers-color-scheme: dark" in text and "@media print" in text
    assert not re.search(r'(src|href)="(?!#|data:)', text)  # nothing is fetched from anywhere
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_stage_on_disk_is_not_computed_again(data, whole, tmp_path):
    """Of a study without its last stage that stage alone is computed, with the same outcome."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "config.yaml").write_bytes((whole.out / "config.yaml").read_bytes())
    for name in ("explore.npz", "explore.json", "refine.npz", "refine.json"):
        (tmp_path / "stages" / name).write_bytes((whole.out / "stages" / name).read_bytes())
    again = done(data, tmp_path)
    assert not again.ear.sweeps and list(again.ear.fits) == ["regional"]
    np.testing.assert_array_equal(again.fitted.model.w, whole.fitted.model.w)
    for name in STAGES:
        ours, theirs = (dict(x.stages[name], seconds=0) for x in (again, whole))
        assert ours == theirs
    third = done(data, tmp_path)  # and of a whole one nothing, regional parameters included
    assert not third.ear.sweeps and not third.ear.fits
    np.testing.assert_array_equal(third.fitted.model.w, whole.fitted.model.w)


@pytest.mark.slow
def test_of_one_seed_there_is_no_spread_and_no_ceiling(data, tmp_path):
    two = {"free": ("coupling.strength",), "regional": (), "stages": STAGES[:2]}
    settings = dataclasses.replace(SETTINGS, seeds=1, steps=1, **two)
    alone = done(data, tmp_path, settings)
    assert [s["name"] for s in alone.study.stages] == ["explore", "refine"]
    assert all(s["unseen"]["r_sd"] == 0 and s["unseen"]["seeds"] == 1 for s in alone.study.stages)
    assert "ceiling" not in json.loads((tmp_path / "summary.json").read_text())
    assert alone.study.ceiling is None and "agree" not in alone.study.table()


@pytest.mark.parametrize(
    ("free", "message"),
    [("coupling.strength", "no candidate has a stable fixed point"), ("model.I_o", "of the exploration stayed finite")],
)
def test_an_exploration_without_a_finite_candidate_says_so(free, message, data, tmp_path):
    one = begun(data, tmp_path, dataclasses.replace(SETTINGS, free=(free,)))
    one.network = eqx.tree_at(lambda n: n.model.w, one.network, jnp.nan)
    with listening(), pytest.raises(FloatingPointError, match=message):
        one.run()


def test_the_configuration_repeats_the_study(whole):
    kept = yaml.safe_load((whole.out / "config.yaml").read_text())
    assert study.Settings.from_plain(kept["settings"]) == SETTINGS
    assert kept["versions"]["gyrax"] == gx.__version__ and kept["versions"]["jax"] == jax.__version__
    assert kept["versions"]["python"].split(".")[:2] == [str(x) for x in sys.version_info[:2]]


def test_a_smaller_study_is_smaller_in_every_way():
    whole = study.Settings(connectome="c", fit=("t",), model="Hopf", free=("model.a",), seed=3, period=500.0)
    times = {"warm_up": 5_000.0, "duration": 20_000.0, "judged": 20_000.0}
    assert whole.smaller() == dataclasses.replace(whole, steps=3, seeds=2, realisations=2, **times)
    fewer = study.Settings(steps=2, seeds=1, x64=True).smaller()
    assert (fewer.steps, fewer.seeds, fewer.x64) == (2, 1, True)
    assert study.Settings(fcd=(30.0, 5.0)).smaller().judged == 105_000.0


def test_a_free_parameter_that_no_recipe_explores_is_explored_about_its_value(data):
    one = begun(data, "nowhere", dataclasses.replace(SETTINGS, free=("model.I_o", "noise.sigma"), regional=()))
    assert one.free == ("model.I_o", "noise.sigma") and one.regional == ("model.I_o",)
    task = stages.Task("explore", one.network, one.free, None, None, one.settings, one.recipe, None, progress=False)
    space, grid = stages._candidates(task)
    assert grid
    np.testing.assert_allclose(space["model.I_o"], 0.32 * np.linspace(0.5, 1.5, 11))
    np.testing.assert_allclose(stages._around(task, "model.w"), np.linspace(0.1, 0.8, 15))


def test_strengths_are_explored_in_units_of_where_the_fixed_point_is_lost(data):
    one = begun(data, "nowhere")
    task = stages.Task("explore", one.network, one.free, None, None, one.settings, one.recipe, None, progress=False)
    space, grid = stages._candidates(task)
    assert not grid and list(space) == ["coupling.strength", "model.w"]
    count = len(set(space["model.w"].tolist()))
    strengths = space["coupling.strength"].reshape(-1, count)
    lost = study.critical(one.network, "coupling.strength", 20.0, {"model.w": space["model.w"][:count]})
    np.testing.assert_allclose(strengths, np.outer(np.linspace(0.7, 1.3, 13), lost))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nope"}, "no model 'nope' here"),
        ({"model": "Hopf", "stages": ("connectivity",)}, "Hopf has no stage 'connectivity' here"),
        ({"free": ("model.nope",)}, "no parameter 'model.nope'"),
        ({"regional": ("model.W",)}, "no parameter 'model.W'; did you mean 'model.w'"),
        ({"regional": ("model.w", "model.w")}, "model.w is selected twice"),
        ({"free": ("coupling.strength",), "stages": ("regional",)}, "the stage 'regional' has nothing to free"),
    ],
)
def test_what_would_stop_a_later_stage_is_said_before_the_first(settings, message, data, tmp_path):
    with pytest.raises(ValueError, match=message):
        study.Study.of(data.connectome, fit=data.fit, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_study_of_one_scan_in_memory_and_of_a_prior_on_disk(data, whole):
    one = study.Study.of(data.connectome, fit=data.fit[0].fc, out="nowhere", stages=("explore",))
    assert one.settings.fit == ("fit 0",) and one.data.test == ()
    series = np.random.default_rng(0).normal(size=(40, N))
    drawn = study.Study.of(data.connectome, fit=[series], tr=0.72, prior=whole.out, out="nowhere")
    fcs = next(f for _, f in whole.ear.evaluations if "value" in f.values)["value"]
    z = np.mean([np.arctanh(np.clip(np.corrcoef(x.T), -0.999999, 0.999999)) for x in fcs], 0)
    pairs = np.triu_indices(N, 1)
    np.testing.assert_allclose(drawn.data.prior.fc[pairs], np.tanh(z)[pairs], atol=1e-5)
    with pytest.raises(ValueError, match="period is 1000 ms, and the scans have a TR of 720 ms"):
        study.Study.of(data.connectome, fit=[series], tr=0.72, out="nowhere", period=1000.0)


def test_a_tr_and_dynamics_are_of_what_a_study_is(data):
    series = np.random.default_rng(0).normal(size=(90, N))
    ways = [{"tr": 2.0}, {"tr": 0.72}, {"tr": 0.72, "fcd": (9.0, 1.5)}, {"tr": 0.72, "fcd": (18.0, 1.5)}]
    told = [str(study.Study.of(data.connectome, fit=[series], out="nowhere", **way).config()["data"]) for way in ways]
    assert len(set(told)) == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stages", ("explore", "dance"), "stages is some of explore, .*, got 'dance'"),
        ("stages", ("maps",), "no file of maps is given: --maps FILE"),
        ("weights", "cubic", "weights is auto, raw, sqrt or log, got 'cubic'"),
        ("fit", (), "fit is one scan or several, got none"),
        ("fcd", (60.0,), "fcd is the s of a window"),
        ("fcd", (60.0, -3.0), "fcd is the s of a window"),
    ],
)
def test_choices_are_checked(name, value, message):
    with pytest.raises(ValueError, match=message):
        study.Settings(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.2, 1.5], 60.0, 3.0), "values are correlations"),
        (([0.2, np.nan], 60.0, 3.0), "values are correlations"),
        (([], 60.0, 3.0), "values are correlations"),
        (([0.2, 0.3], 0.0, 3.0), "window is a positive number of ms, got 0"),
        (([0.2, 0.3], 60.0, -3.0), "step is a positive number of ms, got -3"),
    ],
)
def test_dynamics_are_correlations_over_positive_times(arguments, message):
    with pytest.raises(ValueError, match=message):
        study.Dynamics(*arguments)


def test_a_recording_too_short_for_its_windows_is_refused():
    assert study.Settings(fcd=(60.0, 3.0)).judged == 1_200_000.0 and study.Settings(fcd=(60, 3)).duration == 600_000.0
    with pytest.raises(ValueError, match="duration is 50 s, too short for windows of 60 s that are 3 s apart"):
        study.Settings(fcd=(60.0, 3.0), duration=50_000.0)


# Files that were stopped, changed or damaged


class Killed(BaseException):
    """Ends a process on the spot: nothing cleans up after it."""


def dying(at):
    """A patch that kills at the n-th of the moments at which a file is written, brought to the disk, or renamed."""
    count = iter(range(10**6))

    def wrap(act):
        def instead(*args, **kwargs):
            if next(count) == at:
                raise Killed
            return act(*args, **kwargs)

        return instead

    patch = pytest.MonkeyPatch()
    patch.setattr(writing.os, "replace", wrap(writing.os.replace))
    patch.setattr(writing, "_to_disk", wrap(writing._to_disk))
    unlink = writing.Path.unlink
    patch.setattr(writing.Path, "unlink", lambda x, **kwargs: None if writing.is_partial(x) else unlink(x, **kwargs))
    return patch


@pytest.mark.slow
def test_a_study_that_is_killed_over_and_over_ends_the_same(data, whole, tmp_path):
    """At moments of every file: before it is on the disk, before it has its name, after; what was left is cleared away."""
    kills = 0
    for at in itertools.accumulate(itertools.count()):  # 0, 1, 3, 6 and so on
        patch = dying(at)
        try:
            again = done(data, tmp_path)
            break
        except Killed:
            kills += 1
        finally:
            patch.undo()
    assert kills > 4
    again = done(data, tmp_path)  # unharmed, and without what the dead left
    np.testing.assert_array_equal(again.fitted.model.w, whole.fitted.model.w)
    assert [dict(x, seconds=0) for x in again.study.stages] == [dict(x, seconds=0) for x in whole.study.stages]
    names = [sorted(str(x.relative_to(y)) for x in y.rglob("*")) for y in (tmp_path, whole.out)]
    assert names[0] == [name for name in names[1] if name not in ("figure.png", "report.html")]


def copied(whole, folder):
    shutil.copytree(whole.out, folder, dirs_exist_ok=True)
    return folder


DAMAGES = {
    "stages/refine.json": (b"", "delete .*refine.json, and the stage is computed again"),
    "stages/explore.json": (b'{"name": "explore"}', "no judgement of the stage 'explore'.*delete .*explore.json"),
    "stages/regional.npz": (b"PK half of it", "delete .*regional.json, and the stage is computed again"),
    "stages/refine.npz": (None, "delete .*refine.json, and the stage is computed again"),
    "config.yaml": (b"", "it is empty.*: mend it, or begin another fit in another folder"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named_with_what_to_do(name, data, whole, tmp_path):
    content, message = DAMAGES[name]
    file = copied(whole, tmp_path) / name
    file.unlink() if content is None else file.write_bytes(content)
    with listening(), pytest.raises(ValueError, match=message) as told:
        begun(data, tmp_path).run()
    assert f"{file} is damaged" in str(told.value)


def test_another_study_does_not_go_on_with_these_files(data, whole, tmp_path):
    """Of other data of the same size, of other settings, or of nobody knows what."""
    copied(whole, tmp_path)
    before = (tmp_path / "config.yaml").read_bytes()
    changed = {
        r"what is fitted \(dk84\) is not what the fit in .* was begun with": (measured(5), SETTINGS),
        r"the connectome \(dk84\) is not what the fit": (measured(order=slice(None, None, -1)), SETTINGS),
        "was begun with seed 11, not 12": (data, dataclasses.replace(SETTINGS, seed=12)),
    }
    for message, (other, settings) in changed.items():
        with pytest.raises(ValueError, match=message):
            begun(other, tmp_path, settings).run()
    one = begun(data, tmp_path)
    one.network = eqx.tree_at(lambda n: n.model.I_o, one.network, jnp.asarray(0.3))
    with pytest.raises(ValueError, match="the network is not what"):
        one.run()
    assert (tmp_path / "config.yaml").read_bytes() == before
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"has stages of a study, but no config\.yaml"):
        begun(data, tmp_path).run()


def test_the_configuration_is_written_once(data, whole, tmp_path, monkeypatch):
    """A study that goes on with other versions leaves what it was begun with."""
    copied(whole, tmp_path)
    before = (tmp_path / "config.yaml").read_bytes()
    monkeypatch.setattr(config, "version", lambda name: "99.0")
    done(data, tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_two_studies_in_one_folder_do_not_meet(data, whole, tmp_path):
    copied(whole, tmp_path)
    with held(tmp_path, tmp_path / "study.lock"), pytest.raises(BlockingIOError, match=r"is in use by process \d+ on"):
        begun(data, tmp_path).run()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("steps", "80", TypeError),
        ("steps", 0, ValueError),
        ("steps", 2.5, TypeError),
        ("seeds", True, TypeError),
        ("seed", -1, ValueError),
        ("realisations", 10**12, ValueError),
        ("period", float("nan"), ValueError),
        ("duration", float("inf"), ValueError),
        ("judged", 0.0, ValueError),
        ("warm_up", -1.0, ValueError),
        ("warm_up", None, TypeError),
        ("x64", "yes", TypeError),
        ("free", ["model.w"], TypeError),
        ("free", (1,), TypeError),
        ("fit", "x.tsv", TypeError),
        ("connectome", 3, TypeError),
    ],
)
def test_settings_are_of_their_type_and_range(name, value, kind, tmp_path):
    with pytest.raises(kind, match=f"^{name} is "):
        study.Settings(**{name: value})
    kept = study.Settings().plain()
    if isinstance(value, tuple | list) and value == ["model.w"]:  # as YAML has it
        value = "model.w"
    text = yaml.safe_dump({"settings": kept | {name: list(value) if isinstance(value, tuple) else value}})
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.yaml is damaged \({name} is .*\): mend it, or begin another"):
        config.read_settings(tmp_path)


def test_numbers_of_numpy_are_numbers(tmp_path):
    settings = study.Settings(steps=np.int64(5), period=np.float32(500), warm_up=0)
    assert settings == study.Settings(steps=5, period=500.0, warm_up=0.0)
    yaml.safe_dump(settings.plain())


@pytest.mark.parametrize(
    "text",
    ["", "just a text", "[1, 2", "settings: 3", "settings: {steps: 3}", "\x00", "[" * 500, "settings: {colour: red}"],
)
def test_a_damaged_configuration_is_one_sentence(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml is damaged \(.*\): mend it, or begin another") as told:
        config.read_settings(tmp_path)
    assert "\n" not in str(told.value)
