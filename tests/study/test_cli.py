"""The command, from outside: what it writes, what it says of wrong input, and that it goes on."""

import dataclasses
import json

import click.testing
import jax
import numpy as np
import pytest
import xarray as xr
import yaml

import gyrax as gx
from gyrax import cli, study
from gyrax.fitting.checkpoint import Checkpoint

SMALL = ("--smoke", "--seeds", "2", "--steps", "4", "--stages", "explore,refine,regional")


def run(*arguments):
    return click.testing.CliRunner().invoke(cli.main, ["fit", *map(str, arguments)])


@pytest.fixture
def files(tmp_path, small_connectome, monkeypatch):
    """A connectome of five regions and a target for it, in files; and a coarse exploration."""
    small_connectome.save(tmp_path / "brain")
    target = np.corrcoef(np.random.default_rng(1).normal(size=(5, 20)) + np.linspace(0, 2, 20))
    np.savetxt(tmp_path / "fc.tsv", target, delimiter="\t")
    recipe = study.RECIPES["WongWang"]
    coarse = {name: (low, 0.8 * high, 2) for name, (low, high, _) in recipe.space.items()}
    monkeypatch.setitem(study.RECIPES, "WongWang", dataclasses.replace(recipe, space=coarse))
    return tmp_path


def data(files):
    return ("--connectome", files / "brain", "--fit", files / "fc.tsv")


@pytest.mark.slow
def test_a_fit_leaves_everything_to_repeat_it(files):
    done = run(*data(files), *SMALL, "--out", files / "out")
    assert done.exit_code == 0, done.output
    assert "Network of 5 regions" in done.output and "unseen: 2 noise seeds never trained on" in done.output
    summary = json.loads((files / "out" / "summary.json").read_text())
    assert [(s["name"], s["n_free"]) for s in summary["stages"]] == [("explore", 2), ("refine", 2), ("regional", 15)]
    for stage in summary["stages"]:
        assert stage["seconds"] > 0 and stage["unseen"]["seeds"] == 2 and stage["unseen"]["r_sd"] >= 0
        assert all(np.isfinite(stage[kind][term]) for kind in ("train", "unseen") for term in ("r", "rmse"))
    settings = yaml.safe_load((files / "out" / "config.yaml").read_text())["settings"]
    assert settings["connectome"] == str(files / "brain") and settings["steps"] == 3
    with xr.open_dataset(files / "out" / "recordings.nc", engine="scipy") as recordings:
        assert dict(recordings.sizes) == {"seed": 2, "time": 20, "region": 5, "source": 5}
        np.testing.assert_allclose(recordings["fc"][0], np.corrcoef(recordings["bold"][0].T), atol=1e-4)
        pairs = np.triu_indices(5, 1)
        agree = np.corrcoef(*(fc[pairs] for fc in recordings["fc"].values))[0, 1]
    np.testing.assert_allclose(summary["ceiling"]["reliability"], agree, atol=1e-4)
    told = summary["ceiling"]["limit"].replace("not told", "too little to tell what limits the fit")
    assert f"Two of these recordings agree by r {agree:.3f}" in done.output and told in done.output
    assert all(sentence in done.output for sentence in summary["verdict"])
    assert (files / "out" / "figure.png").stat().st_size > 10_000
    assert (files / "out" / "report.html").stat().st_size > 50_000
    network = study.prepare(study.Settings.from_plain(settings), files / "out").network
    regional = ("model.w", "model.I_o", "noise.sigma")
    fitted = gx.io.load(files / "out" / "model.npz", gx.per_region(network, *regional))
    assert np.ptp(fitted.model.w) > 0


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_and_ends_the_same(files, monkeypatch):
    whole = run(*data(files), *SMALL, "--out", files / "whole")
    assert whole.exit_code == 0, whole.output
    calls, save = [], Checkpoint.save

    def interrupt(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 2:  # in the middle of the regional stage
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupt)
    stopped = run(*data(files), *SMALL, "--out", files / "out")
    assert stopped.exit_code == 130 and "go on with: gyrax fit --resume --out" in stopped.output
    assert (files / "out" / "stages" / "refine.json").exists()
    resumed = run("--resume", "--out", files / "out")
    assert resumed.exit_code == 0, resumed.output
    models = [gx.io.load(files / name / "model.npz").model.w for name in ("whole", "out")]
    np.testing.assert_array_equal(*models)
    again = run("--resume", "--out", files / "out", "--steps", "9")
    assert again.exit_code == 2 and "was begun with steps 3, not 9" in again.output


@pytest.mark.slow
def test_every_stage_of_a_scan_with_names_and_maps_goes_on_where_it_was_stopped(files, monkeypatch):
    """From series that lack a region, with maps, dynamics, and a scan held out; killed in the middle of the balance rule."""
    rng = np.random.default_rng(2)
    labels = gx.Connectome.load(files / "brain").labels
    for name in ("rest1", "rest2"):
        x = rng.normal(size=(120, 4)) + rng.normal(size=(120, 1))
        lines = ["\t".join(labels[:4]), *("\t".join(map(str, row)) for row in x)]
        (files / f"{name}.tsv").write_text("\n".join(lines))
    maps = ["region,myelin,gradient", *(f"{name},{i % 3},{i * i}" for i, name in enumerate(labels[::-1]))]
    (files / "maps.csv").write_text("\n".join(maps))
    given = ["--connectome", files / "brain", "--fit", files / "rest1.tsv", "--test", files / "rest2.tsv", "--tr", 0.72]
    given += ["--maps", files / "maps.csv", "--fcd", 18, 3.6, *SMALL[:-2], "--stages", "explore,maps,connectivity"]
    whole = run(*given, "--out", files / "whole")
    assert whole.exit_code == 0, whole.output
    summary = json.loads((files / "whole" / "summary.json").read_text())
    connected = int((np.asarray(gx.Connectome.load(files / "brain").weights) * (1 - np.eye(5)) > 0).sum())
    assert [s["n_free"] for s in summary["stages"]] == [2, 1 + 3 * 3, 5 + 2 * connected]
    for stage in summary["stages"]:
        assert 0 <= stage["unseen"]["ks"] <= 1 and stage["unseen"]["fcd"] >= 0
        assert np.isfinite(stage["tests"][str(files / "rest2.tsv")])
    assert f"has nothing of 1 regions, which count nowhere: {labels[4]}" in whole.output

    calls, save = [], Checkpoint.save

    def interrupt(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupt)
    stopped = run(*given, "--out", files / "out")
    assert stopped.exit_code == 130, stopped.output
    assert run("--resume", "--out", files / "out").exit_code == 0
    ours, theirs = (gx.io.load(files / name / "model.npz") for name in ("out", "whole"))
    np.testing.assert_array_equal(ours.coupling["lre"].weights, theirs.coupling["lre"].weights)


def wrong(files, name, matrix):
    np.savetxt(files / name, matrix, delimiter="\t")
    return files / name


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda f: ("--connectome", f / "nowhere", "--fit", f / "fc.tsv"), "nowhere"),
        (lambda f: ("--connectome", f / "brain"), "needs scans of your own"),
        (lambda f: ("--connectome", f / "brain", "--fit", f / "no.tsv"), "no.tsv"),
        (
            lambda f: ("--connectome", f / "brain", "--fit", wrong(f, "x.tsv", np.eye(4))),
            "has 4 regions without names, and the connectome 5",
        ),
        (
            lambda f: ("--connectome", f / "brain", "--fit", wrong(f, "x.tsv", 2 * np.ones((5, 5)))),
            "outside of [-1, 1]",
        ),
        (lambda f: ("--connectome", f / "brain", "--fit", wrong(f, "x.tsv", np.full((5, 5), np.nan))), "x.tsv"),
        (
            lambda f: (
                "--connectome",
                f / "brain",
                "--fit",
                wrong(f, "x.tsv", np.tri(5) + 0.1 * np.eye(5, k=1) - 0.5),
            ),
            "is not symmetric",
        ),
        (lambda f: (*data(f), "--free", "model.ww"), "no parameter 'model.ww'; did you mean 'model.w'?"),
        (lambda f: (*data(f), "--free", "connectome.weights"), "connectome.weights is no scalar"),
        (lambda f: (*data(f), "--test", f / "fc.tsv"), "the test scan is the training scan"),
        (lambda f: (*data(f), "--fcd", "60", "3"), "is connectivity alone: its dynamics need the series"),
        (lambda f: (*data(f), "--stages", "explore,maps"), "no file of maps is given: --maps FILE"),
        (lambda f: (*data(f), "--model", "Hopf", "--stages", "connectivity"), "Hopf has no stage 'connectivity'"),
        (lambda f: (*data(f), "--model", "WongWong"), "no model 'WongWong' here; there are WongWang, Hopf"),
        (lambda f: (*data(f), "--out", f / "brain"), "is not empty"),
        (lambda f: ("--resume", "--out", f / "brain"), "holds no fit to go on with"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, files):
    given = arguments(files)
    done = run(*given) if "--out" in given else run(*given, "--out", files / "out")
    assert done.exit_code == 2, done.output
    assert message in done.output and done.output.count("\n") == 1 and "Traceback" not in done.output
    assert not (files / "out").exists()


def test_a_second_fit_never_overwrites_the_first(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "gyrax-fit").mkdir()
    assert cli._folder(None, False).name == "gyrax-fit-2"
    with pytest.raises(ValueError, match="there is no gyrax-fit here"):
        cli._folder(None, True)


def test_the_other_model_is_ready_to_fit(files):
    settings = study.Settings(str(files / "brain"), (str(files / "fc.tsv"),), model="Hopf").smaller()
    prepared = study.prepare(settings, files / "out")
    value, terms = prepared.loss(settings.duration)(prepared.network, jax.random.key(0))
    assert (
        np.isfinite(value) and prepared.free == ("coupling.strength", "model.a") and prepared.regional == ("model.a",)
    )
    np.testing.assert_allclose(value, 1 - terms["r"] + 2 * terms["rmse"], rtol=1e-5)
