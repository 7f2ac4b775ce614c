"""The same study of many subjects by the command line: whose files are whose, what is refused, and what goes on."""

import os
import shutil
import types
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pytest
import yaml

import gyrax as gx
from gyrax import cli
from gyrax.scale.clusters import client_of, read_cluster
from gyrax.study import subjects

pytestmark = pytest.mark.once

NAMES = ("sub-01", "sub-02", "sub-10")


@pytest.fixture
def study(tmp_path, small_connectome, monkeypatch):
    """Three subjects with a connectome and two scans each, and one atlas of all."""
    rng = np.random.default_rng(2)
    for name in NAMES:
        folder = tmp_path / "study" / name
        (folder / "func").mkdir(parents=True)
        small_connectome.save(folder / "dwi")
        for scan in ("rest1", "rest2"):
            series = rng.normal(size=(40, 5)) + np.outer(rng.normal(size=40), np.linspace(0, 2, 5))
            np.savetxt(
                folder / "func" / f"{name}_{scan}.tsv", series, delimiter="\t", header="A\tB\tC\tD\tE", comments=""
            )
    (tmp_path / "study" / ".cache").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "study"


GIVEN = {"connectome": "dwi", "fit": ("func/*rest1.tsv",), "test": ("func/*rest2.tsv",), "tr": 1.0}


def test_each_subject_has_files_of_its_own(study):
    found = subjects.read_subjects(study, GIVEN, Path("out"))
    assert tuple(found) == NAMES
    for name, subject in found.items():
        assert subject.name == name
        own = {kind: str(study / name / "func" / f"{name}_{kind}.tsv") for kind in ("rest1", "rest2")}
        assert subject.settings["connectome"] == str(study / name / "dwi")
        assert subject.settings["fit"] == [own["rest1"]] and subject.settings["test"] == [own["rest2"]]
        assert subject.settings["tr"] == 1.0 and subject.settings["steps"] == gx.study.Settings().steps
        assert {own["rest1"], own["rest2"]} < {path for path, _, _ in subject.files}
    smoke = subjects.read_subjects(study, GIVEN, Path("out"), smoke=True)["sub-01"]
    assert smoke.settings["steps"] == 3
    both = subjects.read_subjects(study, GIVEN | {"fit": ("func/*.tsv",), "test": ()}, Path("out"))["sub-02"]
    assert [Path(path).name for path in both.settings["fit"]] == ["sub-02_rest1.tsv", "sub-02_rest2.tsv"]


def test_what_no_subject_has_is_shared_by_all(study, small_connectome):
    small_connectome.save("group")
    found = subjects.read_subjects(study, GIVEN | {"connectome": "group"}, Path("out"))
    assert {subject.settings["connectome"] for subject in found.values()} == {str(Path("group").absolute())}
    alone = {name: value for name, value in GIVEN.items() if name != "connectome"}
    assert subjects.read_subjects(study, alone, Path("out"))["sub-01"].settings["connectome"] == "dk84"


def test_some_of_the_folders(study):
    assert tuple(subjects.read_subjects("study/sub-0*", GIVEN, Path("out"))) == NAMES[:2]
    assert tuple(subjects.read_subjects(f"{study}/sub-1*", GIVEN, Path("out"))) == NAMES[2:]
    (study / "results").mkdir()
    assert tuple(subjects.read_subjects(study, GIVEN, study / "results")) == NAMES


@pytest.mark.parametrize(
    ("where", "given", "message"),
    [
        (
            "study",
            {"fit": ("func/*rest3.tsv",)},
            r"--fit func/\*rest3.tsv: 3 of 3 subjects have none: sub-01, sub-02, sub-10",
        ),
        ("study", {"fit": ()}, "--fit names the scans within each subject's folder"),
        ("study", {"fit": ("/tmp/x.tsv",)}, "begins there"),
        ("nowhere", {}, "there is no folder nowhere"),
        ("study/sub-3*", {}, "has no folder in it"),
        ("study", {"model": 3}, "model is a text"),
        ("study", {"test": ("func/sub-01*",)}, r"2 of 3 subjects have none: sub-02, sub-10.* move their folders"),
    ],
)
def test_what_subjects_lack_is_told_before_anything_is_computed(where, given, message, study):
    with pytest.raises((OSError, ValueError, TypeError), match=message):
        subjects.read_subjects(where, GIVEN | given, Path("out"))


def test_a_connectome_that_some_subjects_lack_is_not_taken_from_elsewhere(study, small_connectome):
    small_connectome.save("dwi")
    (study / "sub-02" / "dwi").rename(study / "sub-02" / "other")
    with pytest.raises(FileNotFoundError, match="--connectome dwi: 1 of 3 subjects have none: sub-02"):
        subjects.read_subjects(study, GIVEN, Path("out"))


@pytest.fixture
def fitted(monkeypatch):
    """Studies that do not compute: which were run, and which are to fail."""
    ran, broken, unread, read = [], set(), set(), []

    def prepare(settings, out, progress=True):
        read.append(out.name)
        if out.name in unread:
            raise ValueError(f"{settings.fit[0]} has\n  3 rows")

        def run():
            (out / "config.yaml").write_text(yaml.safe_dump({"settings": settings.plain()}))
            if out.name in broken:
                raise FloatingPointError("the loss is nan")
            ran.append(out.name)
            return gx.models.WongWang(w=0.1 * len(out.name))

        unseen = {"r": 0.5, "r_sd": 0.1, "rmse": 0.2, "mean_r": 0.6}
        stage = {"name": "refine", "unseen": unseen, "tests": {"a": 0.2, "b": 0.4}}
        return types.SimpleNamespace(
            network="the network", data="the data", run=run, stages=[stage], free=("w", "coupling.strength"), out=out
        )

    monkeypatch.setattr(subjects, "prepare", prepare)
    return types.SimpleNamespace(ran=ran, broken=broken, unread=unread, read=read)


def run(*more, out="out"):
    arguments = ["--subjects", "study", "--connectome", "dwi", "--fit", "func/*rest1.tsv", "--tr", "1", "--out", out]
    return click.testing.CliRunner().invoke(cli.main, ["fit", *arguments, *more])


def test_a_subject_that_fails_stops_nothing_and_is_tried_again(study, fitted):
    fitted.broken.add("sub-02")
    done = run()
    assert done.exit_code == 1 and fitted.ran == ["sub-01", "sub-10"], done.output
    assert (
        "3 subjects, sub-01 to sub-10" in done.output
        and "1 of 3 failed; the same command tries them again" in done.output
    )
    table = pd.read_csv("out/subjects.csv", index_col="subject")
    assert table.loc["sub-02", "error"] == "FloatingPointError: the loss is nan"
    row = table.loc["sub-10"]
    assert (row["stage"], row["r"], row["r of the mean"]) == ("refine", 0.5, 0.6)
    np.testing.assert_allclose([row["r of tests"], row["w"]], [0.3, 0.6], rtol=1e-6)
    fitted.broken.clear()
    again = run()
    assert again.exit_code == 0 and fitted.ran == ["sub-01", "sub-10", "sub-02"], again.output
    status = click.testing.CliRunner().invoke(cli.main, ["status", "out"])
    assert status.exit_code == 0 and "sub-02" in status.output


def test_other_settings_and_other_scans_are_refused_by_name(study, fitted):
    assert run().exit_code == 0
    steps = gx.study.Settings().steps
    other = run("--steps", "7")
    said = f"gyrax: sub-01 was begun in out with steps {steps}, not 7: go on with that, or name another --out"
    assert other.exit_code == 2 and said in other.output
    path = study / "sub-02" / "func" / "sub-02_rest1.tsv"
    text, about = path.read_text(), path.stat()
    path.write_text(text.replace("0", "1"))
    os.utime(path, (1, 1))
    changed = run()
    assert (
        changed.exit_code == 2 and f"gyrax: {path} has changed since sub-02 was fitted to it in out" in changed.output
    )
    path.write_text(text)
    os.utime(path, ns=(about.st_mtime_ns, about.st_mtime_ns))
    (study / "sub-10" / "dwi" / "notes.txt").write_text("seen by nobody")
    new = run()
    assert new.exit_code == 2 and f"{study / 'sub-10' / 'dwi' / 'notes.txt'} is new since sub-10" in new.output
    (study / "sub-10" / "dwi" / "notes.txt").unlink()
    Path("out/sub-02/files.json").unlink()  # and without it, by the digest
    path.write_text(text.replace("0", "1"))
    assert "'sub-02'" in run().output and len(fitted.ran) == 3


def test_subjects_may_be_added_and_mended(study, fitted):
    shutil.move(study / "sub-02", "elsewhere")
    fitted.broken.add("sub-10")
    assert run().exit_code == 1 and fitted.ran == ["sub-01"]
    shutil.move("elsewhere", study / "sub-02")
    fitted.broken.clear()
    path = study / "sub-10" / "func" / "sub-10_rest1.tsv"
    path.write_text(path.read_text().replace("0", "1"))
    fitted.read.clear()
    done = run()
    assert done.exit_code == 0 and fitted.ran == ["sub-01", "sub-02", "sub-10"], done.output
    assert fitted.read[:2] == ["sub-02", "sub-10"] and "the first to fit, sub-02" in done.output
    assert run().exit_code == 0 and len(fitted.ran) == 3


def test_subjects_that_cannot_be_read_are_told_before_any_is_fitted(study, fitted):
    fitted.unread |= {"sub-01", "sub-10"}
    done = run()
    scan = study / "sub-10" / "func" / "sub-10_rest1.tsv"
    assert done.exit_code == 1 and fitted.ran == ["sub-02"] and fitted.read[:3] == list(NAMES)
    assert (
        f"note: sub-10 cannot be fitted: {scan} has 3 rows\n" in done.output and "first to fit, sub-02" in done.output
    )
    table = pd.read_csv("out/subjects.csv", index_col="subject")
    assert table["error"].notna().tolist() == [True, False, True]
    fitted.unread.add("sub-02")
    done = run(out="other")
    assert done.exit_code == 2 and "gyrax: no subject can be fitted; sub-01: ValueError: " in done.output
    assert not Path("other").exists()


def test_status_of_fits_leaves_nothing_out(study, fitted):
    fitted.unread.add("sub-02")
    assert run().exit_code == 1
    status = click.testing.CliRunner().invoke(cli.main, ["status", "out"]).output
    assert "..." not in status and f"ValueError: {study / 'sub-02' / 'func' / 'sub-02_rest1.tsv'} has 3 rows" in status
    assert all(column in status for column in ("rmse", "r of the mean", "seconds"))


def test_several_subjects_need_a_folder_and_one_needs_no_cluster(study, fitted):
    done = click.testing.CliRunner().invoke(cli.main, ["fit", "--subjects", "study", "--fit", "func/*rest1.tsv"])
    assert done.exit_code == 2 and "--out names the folder" in done.output
    Path("slurm.yaml").write_text("kind: slurm\njobs: 2\n")
    done = click.testing.CliRunner().invoke(cli.main, ["fit", "--cluster", "slurm.yaml"])
    assert done.exit_code == 2 and "--cluster is for several subjects" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs: 3\n", "has no kind"),
        ("kind: slum\njobs: 3\n", "line 1: kind is one of local, ssh, htcondor"),
        ("kind: slurm\n", "has no jobs: how many workers"),
        ("kind: slurm\njobs: many\n", "line 2: jobs= takes a whole number"),
        ("kind: slurm\nkind: pbs\njobs: 3\n", "line 2: kind stands there twice"),
        ("kind: ssh\n", "has hosts, a list"),
        ("kind: [local]\njobs: 2\n", r"line 1: kind is one of local, .*; got \['local'\]"),
        ("kind: ssh\nhosts: []\n", r"line 2: hosts is a list of two names or more, .* got \[\]"),
        ("kind: ssh\nhosts: [a]\n", r"line 2: hosts is a list of two names or more"),
        ("kind: ssh\nhosts: [a, b]\njobs: 3\n", "line 3: an ssh cluster has no jobs"),
        ("kind: ssh\nhosts: [a, b]\nworker_options: 3\n", "line 3: worker_options is a dict"),
        ("kind: local\njobs: 2\nn_workers: 5\n", "line 3: jobs says how many workers there are"),
        ("kind: slurm\njobs: 2\nn_workers: 5\n", "line 3: jobs says how many workers there are"),
        ("kind: local\njobs: 2\npreload: {a: 1}\n", "line 3: preload is a list of modules"),
        ("kind: slurm\njobs: 2\nwalltime: [1, 2]\n", r"line 3: walltime is a time, such as 04:00:00, got \[1, 2\]"),
        ("kind: slurm\njobs: 2\nworker_extra_args: --lifetime\n", "line 3: worker_extra_args is a list"),
        ("- kind\n", "is to have kind"),
        ("kind: [\n", "is no YAML"),
    ],
)
def test_a_cluster_is_told_with_its_line(text, message, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_cluster(tmp_path / "c.yaml")


def test_a_cluster_is_what_its_file_says(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("kind: pbs\njobs: 4\nmemory: 16GB\nwalltime: 12:00:00\ncores: 2\n")
    kind, jobs, given = read_cluster(file)
    assert (kind, jobs, given["walltime"], given["cores"], given["memory"]) == ("pbs", 4, "12:00:00", 2, "16GB")
    assert given["worker_extra_args"] == ["--preload", "gyrax.scale.workers"] and "jobs" not in given
    file.write_text("kind: ssh\nhosts: [a, b, c]\nworker_options: {n_workers: 2}\n")
    kind, jobs, given = read_cluster(file)
    assert jobs is None and given["hosts"] == ["a", "b", "c"]
    assert given["worker_options"] == {"nthreads": 1, "n_workers": 2, "preload": ["gyrax.scale.workers"]}
    ours = ["--preload", "gyrax.scale.workers"]
    for written, wanted in (
        ("[--lifetime, 230m, --nanny-port, 1]", ["--lifetime", "230m", "--nanny-port", "1", *ours]),
        (str(ours), ours),
    ):
        file.write_text(f"kind: slurm\njobs: 2\nworker_extra_args: {written}\n")
        assert read_cluster(file)[2]["worker_extra_args"] == wanted
    file.write_text("kind: local\njobs: 2\npreload: mine\n")
    assert read_cluster(file)[2] == {"n_workers": 2, "threads_per_worker": 1, "preload": ["mine", ours[1]]}
    pytest.importorskip("dask_jobqueue")
    file.write_text("kind: slurm\njobs: 2\nmemory: 1GB\ncolour: red\n")
    with pytest.raises(ValueError, match=r"c.yaml: SLURMCluster does not begin: .*colour"), client_of(file):
        pass


@pytest.mark.slow("float64")
def test_a_cluster_of_a_file_computes_what_one_process_does(study, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "local.yaml").write_text("kind: local\njobs: 2\ndashboard_address: null\n")
    small = ("--smoke", "--stages", "explore", "--seeds", "2")
    here, there = run(*small), run(*small, "--cluster", "local.yaml", out="there")
    assert (here.exit_code, there.exit_code) == (0, 0), here.output + there.output
    one, two = (
        pd.read_csv(f"{out}/subjects.csv", index_col="subject").drop(columns="seconds") for out in ("out", "there")
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
    assert (tmp_path / "there" / "sub-10" / "report.html").exists()
