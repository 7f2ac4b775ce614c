"""Every option of `gyrax fit` against the settings that a study is prepared with; no study is run."""

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import click.testing
import jax
import numpy as np
import optax
import pytest
import yaml

import gyrax as gx
from gyrax import cli, study

pytestmark = pytest.mark.once


class Prepared:
    """What the command prepares, and what becomes of it."""

    def __init__(self):
        self.settings, self.out, self.x64, self.ends = None, None, None, None

    def prepare(self, settings, out):
        self.settings, self.out, self.x64 = settings, out, bool(jax.config.jax_enable_x64)
        free = settings.free or ("coupling.strength", "model.w")
        return SimpleNamespace(
            network=7,
            data=SimpleNamespace(notes=("a note",)),
            structure=SimpleNamespace(how="sqrt", why="it is better"),
            planned=(SimpleNamespace(name="explore"), SimpleNamespace(name="refine")),
            free=free,
            run=self.run,
            table=lambda: "the table",
            files=("a.json", "b.png"),
        )

    def run(self):
        if self.ends is not None:
            raise self.ends


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """In an empty folder, in float32."""
    found = Prepared()
    monkeypatch.setattr(study, "prepare", found.prepare)
    monkeypatch.chdir(tmp_path)
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield found
    jax.config.update("jax_enable_x64", before)


def run(*arguments):
    return click.testing.CliRunner().invoke(cli.main, ["fit", *map(str, arguments)])


def fitted(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


OPTIONS = {
    "model": (["--model", "Hopf"], {"model": "Hopf"}),
    "free": (["--free", "model.w", "--free", "model.I_o"], {"free": ("model.w", "model.I_o")}),
    "steps": (["--steps", 17], {"steps": 17}),
    "seeds": (["--seeds", 13], {"seeds": 13}),
    "one seed": (["--seeds", 1], {"seeds": 1}),
    "x64": (["--x64"], {"x64": True}),
    "dk84": (["--connectome", "dk84", "--fit", "dk84"], {}),
    "tr": (["--tr", 0.72], {"tr": 0.72}),
    "weights": (["--weights", "log"], {"weights": "log"}),
    "stages": (["--stages", "regional, explore"], {"stages": ("explore", "regional")}),
    "regional": (["--regional", "model.w", "--regional", "noise.sigma"], {"regional": ("model.w", "noise.sigma")}),
    "fcd": (["--fcd", 60, 3], {"fcd": (60.0, 3.0), "duration": 600_000.0, "judged": 1_200_000.0}),
    "connectome alone": (["--connectome", "dk84"], {}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_its_own_setting_and_no_other(name, prepared):
    arguments, changed = OPTIONS[name]
    fitted(*arguments)
    assert prepared.settings == dataclasses.replace(study.Settings(), **changed)
    assert prepared.x64 == changed.get("x64", False)


def test_without_options_a_study_is_the_default_one_in_a_new_folder(prepared):
    fitted()
    assert prepared.settings == study.Settings() and prepared.out == Path("gyrax-fit")
    assert not prepared.x64


def test_files_are_kept_by_their_absolute_paths(prepared, tmp_path):
    """A fit that goes on may be asked to from another folder."""
    fitted(
        "--connectome", "brain", "--fit", "a.tsv", "--fit", "b.tsv", "--test", "c.tsv", "--maps", "m", "--atlas", "x"
    )
    expected = {"connectome": str(tmp_path / "brain"), "test": (str(tmp_path / "c.tsv"),)}
    expected |= {"fit": (str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv"))}
    expected |= {"maps": str(tmp_path / "m"), "atlas": str(tmp_path / "x")}
    assert prepared.settings == study.Settings(**expected)
    fitted("--fit", "fc.tsv")  # of the same regions as the connectome that comes with the package
    assert prepared.settings == study.Settings(fit=(str(tmp_path / "fc.tsv"),))
    assert run("--connectome", "brain").exit_code == 2


def test_a_smoke_run_is_the_smaller_study_with_the_same_options(prepared):
    fitted("--smoke", "--model", "Hopf", "--x64", "--seeds", 1, "--steps", 2, "--out", "there")
    asked = study.Settings(model="Hopf", x64=True, seeds=1, steps=2)
    assert prepared.settings == asked.smaller() != asked
    assert prepared.x64 and prepared.out == Path("there")


@pytest.mark.parametrize("arguments", [["--steps", 0], ["--seeds", 0], ["--seeds", -1], ["--steps", "x"], ["--colour"]])
def test_what_is_no_option_or_no_number_is_refused_before_anything_is_prepared(arguments, prepared):
    assert run(*arguments).exit_code == 2 and prepared.settings is None


KEPT = study.Settings(connectome="/c", fit=("/t",), model="Hopf", free=("model.a",), steps=5, seeds=6, x64=True, seed=9)


def keep(folder, settings=KEPT, age=0):
    """A fit that was begun there, so many seconds ago."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"settings": settings.plain()}))
    at = (folder / "config.yaml").stat().st_mtime - age
    os.utime(folder / "config.yaml", (at, at))


def test_a_fit_goes_on_with_the_settings_it_began_with(prepared):
    keep("mine")
    fitted("--resume", "--out", "mine")
    assert prepared.settings == KEPT and prepared.out == Path("mine") and prepared.x64


def test_the_latest_fit_goes_on_if_none_is_named(prepared):
    for name, seeds, age in (("gyrax-fit", 2, 50), ("gyrax-fit-2", 3, 10), ("gyrax-fit-3", 4, 90)):
        keep(name, dataclasses.replace(KEPT, seeds=seeds, x64=False), age)
    fitted("--resume")
    assert prepared.out == Path("gyrax-fit-2") and prepared.settings.seeds == 3 and not prepared.x64


SAME = {
    "connectome": "/c",
    "fit": "/t",
    "model": "Hopf",
    "free": "model.a",
    "steps": 5,
    "seeds": 6,
    "x64": None,
}
OTHER = {"connectome": "/d", "fit": "/u", "model": "WongWang", "free": "model.w", "steps": 4, "seeds": 7}


@pytest.mark.parametrize("name", SAME)
def test_a_fit_that_goes_on_may_be_told_what_it_knows(name, prepared):
    keep("mine")
    value = [] if SAME[name] is None else [SAME[name]]
    with_it = ["--fit", "/t"] if name == "connectome" else []
    fitted("--resume", "--out", "mine", f"--{name}", *value, *with_it)
    assert prepared.settings == KEPT


@pytest.mark.parametrize("name", [*OTHER, "x64"])
def test_a_fit_that_goes_on_does_not_become_another(name, prepared):
    keep("mine", dataclasses.replace(KEPT, x64=False))
    value = [] if name == "x64" else [OTHER[name]]
    with_it = ["--fit", "/t"] if name == "connectome" else []
    done = run("--resume", "--out", "mine", f"--{name}", *value, *with_it)
    assert done.exit_code == 2 and f"was begun with {name} " in done.output and prepared.settings is None


def test_where_there_is_nothing_to_go_on_with_it_says_so(prepared):
    Path("empty").mkdir()
    for arguments, message in (
        (("--resume",), "there is no gyrax-fit here to go on with: name its folder with --out"),
        (("--resume", "--out", "empty"), "empty holds no fit to go on with: leave out --resume to begin one there"),
        (("--connectome", "brain"), "a connectome of your own needs scans of your own: give --fit"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2 and message in done.output and prepared.settings is None


def test_a_new_fit_takes_the_first_free_name(prepared):
    for taken, expected in (("gyrax-fit", "gyrax-fit-2"), ("gyrax-fit-2", "gyrax-fit-3")):
        Path(taken).mkdir()
        fitted()
        assert prepared.out == Path(expected)


def test_a_new_fit_may_have_an_empty_folder_but_no_file_and_no_full_one(prepared):
    Path("empty").mkdir()
    fitted("--out", "empty")
    assert prepared.out == Path("empty")
    Path("file").write_text("")
    keep("full")
    for name in ("file", "full"):
        done = run("--out", name)
        assert done.exit_code == 2 and f"{name} is not empty" in done.output


def test_the_command_says_what_it_does_and_what_it_left(prepared):
    lines = fitted("--out", "there", "--free", "model.w").splitlines()
    assert lines == [
        "7",
        repr(SimpleNamespace(notes=("a note",))),
        "note: a note",
        "weights: sqrt, it is better",
        "stages: explore, refine; free: model.w",
        "",
        "the table",
        "",
        "in there: a.json, b.png",
    ]


@pytest.mark.parametrize(
    ("ends", "code", "message"),
    [
        (
            study.StudyInterrupted("in stage 'refine' after 3 of 20 steps"),
            130,
            "stopped in stage 'refine' after 3 of 20 steps; go on with: gyrax fit --resume --out there",
        ),
        (KeyboardInterrupt(), 130, "stopped between steps; go on with: gyrax fit --resume --out there"),
        (FloatingPointError("no candidate\n  stayed finite"), 2, "gyrax: no candidate stayed finite"),
        (ValueError("x.json is damaged: delete it"), 2, "gyrax: x.json is damaged: delete it"),
        (OSError(28, "No space left on device", "there/a.npz"), 2, "gyrax: there/a.npz: No space left on device"),
        (BlockingIOError("there is in use by process 7"), 2, "gyrax: there is in use by process 7"),
    ],
)
def test_how_a_fit_ends_that_does_not_finish(ends, code, message, prepared):
    prepared.ends = ends
    done = run("--out", "there")
    assert done.exit_code == code and message in done.output.splitlines()
    assert message in done.stderr.splitlines() and "the table" not in done.output


def test_a_full_disk_after_the_first_file_says_how_to_go_on(prepared):
    keep("there")
    prepared.ends = OSError(28, "No space left on device", "there/stages/refine.npz")
    done = run("--resume", "--out", "there")
    assert done.exit_code == 2 and done.stderr == (
        "gyrax: there/stages/refine.npz: No space left on device; what was finished is kept: go on with gyrax fit --resume "
        "--out there\n"
    )


def test_what_a_killed_fit_left_before_its_first_file_is_in_nobodys_way(prepared):
    Path("there").mkdir()
    for name in ("study.lock", ".config.yaml.7-ab.partial"):
        Path("there", name).write_text("")
    fitted("--out", "there")
    assert prepared.out == Path("there")


@pytest.mark.parametrize("text", ["", "settings: {steps: x}", "\x00"])
def test_a_damaged_configuration_is_one_line(text, prepared):
    keep("mine")
    Path("mine/config.yaml").write_text(text)
    done = run("--resume", "--out", "mine")
    assert done.exit_code == 2 and done.stderr.startswith("gyrax: mine/config.yaml is damaged (")
    assert done.stderr.count("\n") == 1 and prepared.settings is None


def test_a_mistake_in_the_package_is_not_taken_for_wrong_input(prepared):
    prepared.ends = ZeroDivisionError("a mistake")
    assert isinstance(run().exception, ZeroDivisionError)


def test_the_command_knows_its_version():
    done = click.testing.CliRunner().invoke(cli.main, ["--version"])
    assert done.exit_code == 0 and gx.__version__ in done.output


# What the settings do: prepared in earnest, not run


@pytest.fixture
def files(small_connectome, tmp_path):
    small_connectome.save(tmp_path / "brain")
    target = np.corrcoef(np.random.default_rng(1).normal(size=(5, 20)))
    np.savetxt(tmp_path / "fc.tsv", target, delimiter="\t")
    return str(tmp_path / "brain"), str(tmp_path / "fc.tsv"), target


def test_a_folder_that_cannot_be_is_one_line_before_anything_is_computed(files):
    for out, why in (("/dev/null/x", "Not a directory"), ("n" * 300, "File name too long")):
        done = run("--connectome", files[0], "--fit", files[1], "--out", out)
        assert done.exit_code == 2 and why in done.stderr and done.stderr.count("\n") == 1
        assert "what was finished" not in done.stderr


def test_an_empty_checkpoint_and_another_target_are_one_line(files, tmp_path, monkeypatch):
    """They were "Aborted!", and nothing at all."""
    out = tmp_path / "out"
    settings = study.Settings(files[0], files[1:2])
    one = study.prepare(settings, out, progress=False)
    monkeypatch.setattr(study.Study, "_run", lambda self: gx.fit(*FIT, checkpoint=out / "stages" / "fit.npz", steps=1))
    fitted("--connectome", files[0], "--fit", files[1], "--out", out)
    (out / "stages" / "fit.npz").write_bytes(b"")
    done = run("--resume", "--out", out)
    assert done.exit_code == 2 and "fit.npz is damaged, or no checkpoint" in done.stderr
    np.savetxt(files[1], one.target[::-1, ::-1], delimiter="\t")
    done = run("--resume", "--out", out)
    assert (
        done.exit_code == 2
        and f"what is fitted ({files[1]}) is not what the fit in {out} was begun with" in done.stderr
    )
    assert done.stderr.count("\n") == 1


MODEL = gx.models.Linear(gamma=-0.5)
FIT = (MODEL, lambda m, key: (m.gamma + 1.0) ** 2, gx.select(MODEL, "gamma"), optax.sgd(0.1))


def test_a_study_is_of_its_files_and_its_model(files, small_connectome, tmp_path):
    connectome, given, target = files
    settings = study.Settings(connectome, (given,), model="Hopf", weights="raw", period=1500.0, warm_up=3000.0)
    one = study.prepare(settings, tmp_path, progress=False)
    assert isinstance(one.network.model, gx.models.Hopf) and one.network.labels == small_connectome.labels
    weights = np.asarray(small_connectome.weights, float) * (1 - np.eye(5))
    np.testing.assert_allclose(one.network.connectome.weights, weights / weights.sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(one.target, target, atol=1e-9)
    assert (one.settings, one.out, one.progress) == (settings, tmp_path, False)
    loss = one.loss(4500.0)
    assert (loss.monitor.period, loss.warm_up, loss.duration, loss.dt) == (1500.0, 3000.0, 4500.0, 20.0)
    other = study.prepare(study.Settings(connectome, (given,)), tmp_path)
    assert isinstance(other.network.model, gx.models.WongWang) and other.progress
    assert isinstance(other.loss(1.0).monitor, gx.monitors.HRFBold)


@pytest.mark.parametrize(
    ("free", "regional"),
    [
        ((), ("model.w", "model.I_o", "noise.sigma")),
        (("model.w",), ("model.w",)),
        (("coupling.strength", "model.I_o"), ("model.I_o",)),
        (("coupling.strength",), ()),
        (("model.I_o", "model.w"), ("model.I_o", "model.w")),
    ],
)
def test_free_parameters_and_those_of_every_region(free, regional, files, tmp_path):
    one = study.prepare(study.Settings(files[0], files[1:2], free=free), tmp_path)
    assert one.free == (free or ("coupling.strength", "model.w")) and one.regional == regional


def test_what_is_measured_is_put_in_the_order_of_the_connectome(files, tmp_path):
    connectome, _, target = files
    order = [0, 1, 3, 2, 4]
    labels = [list("ABCDE")[i] for i in order]
    with open(tmp_path / "labelled.csv", "w") as file:
        file.write("," + ",".join(labels) + "\n")
        rows = zip(labels, target[np.ix_(order, order)], strict=True)
        file.writelines(f"{name}," + ",".join(map(str, row)) + "\n" for name, row in rows)
    one = study.prepare(study.Settings(connectome, (str(tmp_path / "labelled.csv"),)), tmp_path)
    np.testing.assert_allclose(one.target, target, atol=1e-9)
