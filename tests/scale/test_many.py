"""Fits of many subjects: kept, gone on with, compared."""

import json
import os
import sys

import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import gyrax as gx
from gyrax.scale.kept import file_name, numbers_of, subject_told
from gyrax.scale.many import status_of_fits

pytestmark = pytest.mark.once


def squares(subject):
    return {"loss": float(np.sum(subject**2)), "curve": subject}


SUBJECTS = {"a": np.ones(3), "b": np.arange(4.0)}


def test_results_and_table(tmp_path):
    fits = gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "fits", progress=False)
    assert fits.table["loss"].to_dict() == {"a": 3.0, "b": 14.0}
    assert list(fits.table.columns) == ["loss", "seconds", "error"] and (fits.table["error"] == "").all()
    assert list(fits) == ["a", "b"] and len(fits) == 2 and fits.stopped == "done"
    np.testing.assert_array_equal(fits["b"]["curve"], np.arange(4.0))
    pd.testing.assert_frame_equal(status_of_fits(tmp_path / "fits"), fits.table)
    assert sorted(p.name for p in (tmp_path / "fits").iterdir()) == ["a.json", "a.npz", "b.json", "b.npz", "fits.json"]


def test_a_second_call_does_what_is_missing_or_failed(tmp_path):
    called = []

    def fit(subject, called=called.append):
        called(subject)
        if subject == 2.0 and os.path.exists(tmp_path / "broken"):
            raise ValueError("a bad\nscan")
        return {"loss": subject}

    (tmp_path / "broken").touch()
    out = tmp_path / "fits"
    first = gx.scale.fit_many(fit, {"one": 1.0, "two": 2.0, "three": 3.0}, out=out, progress=False)
    assert called == [1.0, 2.0, 3.0] and first.table.loc["two", "error"] == "ValueError: a bad scan"
    with pytest.raises(KeyError, match="there is no result of 'two': ValueError: a bad scan"):
        first["two"]
    (tmp_path / "broken").unlink()
    again = gx.scale.fit_many(fit, {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0}, out=out, progress=False)
    assert called == [1.0, 2.0, 3.0, 2.0, 4.0]
    assert again.table["loss"].tolist() == [1.0, 2.0, 3.0, 4.0] and not again.tracebacks
    fewer = gx.scale.fit_many(fit, {"four": 4.0}, out=out, progress=False)
    assert fewer.table["loss"].tolist() == [4.0] and len(status_of_fits(out)) == 4


def test_another_function_is_refused_with_what_differs(tmp_path):
    def made(rate):
        def fit(subject):
            return {"loss": rate * subject}

        return fit

    gx.scale.fit_many(made(0.5), {"a": 1.0}, out=tmp_path / "fits", progress=False)
    with pytest.raises(
        ValueError,
        match=r"another function gave: rate, which fit reads, differs: 0.5 there, 0.75 here.*changed='accept'",
    ):
        gx.scale.fit_many(made(0.75), {"a": 1.0}, out=tmp_path / "fits", progress=False)
    with pytest.raises(ValueError, match="the code of fit differs"):
        gx.scale.fit_many(lambda subject: {"loss": -subject}, {"a": 1.0}, out=tmp_path / "fits", progress=False)
    both = gx.scale.fit_many(made(0.75), {"a": 1.0, "b": 1.0}, out=tmp_path / "fits", changed="accept", progress=False)
    assert both.table["loss"].tolist() == [0.5, 0.75]


def test_another_subject_of_the_same_name_is_refused(tmp_path):
    gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "fits", progress=False)
    with pytest.raises(ValueError, match=r"under the names 'b', out=.* holds what was fitted to other data"):
        gx.scale.fit_many(squares, SUBJECTS | {"b": np.zeros(4)}, out=tmp_path / "fits", progress=False)


def test_a_file_that_was_changed_is_another_subject(tmp_path):
    scan = tmp_path / "scan.txt"
    scan.write_text("1")

    def fit(path):
        return {"loss": float(open(path).read())}

    gx.scale.fit_many(fit, {"a": str(scan)}, out=tmp_path / "fits", progress=False)
    scan.write_text("22")
    with pytest.raises(ValueError, match="other data"):
        gx.scale.fit_many(fit, {"a": str(scan)}, out=tmp_path / "fits", progress=False)


@pytest.mark.parametrize("subject_of", [str, lambda sd: {"path": str(sd / "a")}, lambda sd: ([sd], 1)])
def test_a_change_in_a_folder_or_behind_a_path_within_is_another_subject(subject_of, tmp_path):
    sd = tmp_path / "sd"
    (sd / "deeper").mkdir(parents=True)
    (sd / "a").write_text("1")
    (sd / "nowhere").symlink_to(tmp_path / "none")
    (sd / "around").symlink_to(sd)

    def fit(path):
        return {"loss": 1.0}

    def again():
        return gx.scale.fit_many(
            fit, {"s": subject_of(sd)}, out=sd / "fits", progress=False
        )  # out= within is passed over

    again()
    assert len(again()) == 1
    (sd / "a").write_text("22")
    with pytest.raises(ValueError, match="other data"):
        again()
    (sd / "a").write_text("1")
    os.utime(sd / "a", (1, 1))
    with pytest.raises(ValueError, match="other data"):
        again()


def test_a_new_file_in_a_folder_is_another_subject(tmp_path):
    (tmp_path / "sd").mkdir()
    told = subject_told(tmp_path / "sd")
    (tmp_path / "sd" / "b").touch()
    assert subject_told(tmp_path / "sd").parts != told.parts


def test_a_result_is_tied_to_its_subject(tmp_path):
    called = []

    def fit(subject, called=called.append):
        called(subject)
        return {"loss": subject}

    def again():
        return gx.scale.fit_many(fit, {"a": 1.0, "b": 2.0}, out=tmp_path, progress=False)

    again()
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    first, second = a.read_bytes(), b.read_bytes()
    assert len(first) == len(second)
    a.write_bytes(second)
    b.write_bytes(first)
    for name in ("a", "b"):
        with pytest.raises(ValueError, match=rf"{name}.npz is damaged, or another subject's.*Delete it"):
            again()[name]
    a.write_bytes(first)
    for content in (b"", second[:100], second + b"x"):
        b.write_bytes(content)
        called.clear()
        assert np.isnan(status_of_fits(tmp_path).loc["b", "seconds"])
        assert again()["b"]["loss"] == 2.0 and called == [2.0]
    about = json.loads((tmp_path / "b.json").read_text())
    del about["result"]  # as earlier versions wrote it
    (tmp_path / "b.json").write_text(json.dumps(about))
    called.clear()
    assert again()["b"]["loss"] == 2.0 and not called
    (tmp_path / "a.json").write_text((tmp_path / "b.json").read_text())
    with pytest.raises(ValueError, match=r"a.json is damaged \(it is of 'b'\)"):
        again()


def test_a_refused_call_leaves_the_folder_as_it_was(tmp_path):
    gx.scale.fit_many(squares, SUBJECTS, out=tmp_path, progress=False)
    before = (tmp_path / "fits.json").read_text()
    with pytest.raises(ValueError, match="other data"):
        gx.scale.fit_many(
            lambda subject: 1.0,
            {"b": np.zeros(4), "c": np.zeros(1)},
            out=tmp_path,
            changed="accept",
            progress=False,
        )
    assert (tmp_path / "fits.json").read_text() == before


def test_a_fit_that_calls_sys_exit_is_one_that_failed():
    fits = gx.scale.fit_many(lambda subject: sys.exit(3) if subject == 1 else 2.0, {"a": 1, "b": 2}, progress=False)
    assert list(fits) == ["b"] and "SystemExit, with 3" in fits.table.loc["a", "error"]


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("fits", {"names": [1, 2]}, "its names makes no sense: "),
        ("fits", {"names": "abc"}, "its names makes no sense: 'abc'"),
        ("fits", {"fit": []}, r"its fit makes no sense: \[\]"),
        ("fits", {"fit": {}}, "its fit makes no sense"),
        ("fits", None, "it is a list"),
        ("a", None, "it is a list"),
        ("a", {"row": []}, "its row makes no sense"),
        ("a", {"row": {"seconds": 1.0}}, "its row makes no sense"),
        ("a", {"row": {"seconds": {"float": "x"}, "error": ""}}, "its row makes no sense"),
        ("a", {"row": {"seconds": 1.0, "error": "", "loss": [1]}}, "its row makes no sense"),
        ("a", {"result": {"size": "x"}}, "its result makes no sense"),
    ],
)
def test_damaged_texts_are_named(name, change, said, tmp_path):
    gx.scale.fit_many(squares, SUBJECTS, out=tmp_path, progress=False)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps([] if change is None else json.loads(path.read_text()) | change))
    for call in (
        lambda: gx.scale.fit_many(squares, SUBJECTS, out=tmp_path, progress=False),
        lambda: status_of_fits(tmp_path),
    ):
        with pytest.raises(ValueError, match=rf"{name}.json is damaged \({said}"):
            call()


def test_columns_of_one_name_are_numbered_apart():
    one, two = {"a": {"b": 1}, "a.b": 2}, {"a.b": 2, "a": {"b": 1}}
    assert numbers_of(one) == numbers_of(two) == {"a.b": 1, "a.b (2)": 2}
    assert sorted(numbers_of(one | {"a.b (2)": 3}).items()) == [("a.b", 1), ("a.b (2)", 3), ("a.b (3)", 2)]
    own = {"seconds": 5, "result.seconds": 7}
    table = gx.scale.fit_many(lambda subject: own, {"s": 0}, progress=False).table
    assert table.loc["s", ["result.seconds", "result.seconds (2)"]].tolist() == [7, 5]


def test_what_nothing_can_look_into_is_said(tmp_path):
    class Reader:
        __slots__ = ()

    opaque = iter([1])
    with pytest.warns(
        RuntimeWarning, match=r"cannot tell.*fit reads opaque \(list_iterator\).*a holds something \(object\)"
    ):
        gx.scale.fit_many(
            lambda subject: {"loss": 1.0 if opaque else 0.0}, {"a": object()}, out=tmp_path / "f", progress=False
        )


def test_an_interrupt_keeps_what_ended(tmp_path, ctrl_c):
    def fit(subject):
        if subject == 2.0 and os.path.exists(tmp_path / "now"):
            ctrl_c()
        return {"loss": subject}

    (tmp_path / "now").touch()
    subjects = {"one": 1.0, "two": 2.0, "three": 3.0}
    fits = gx.scale.fit_many(fit, subjects, out=tmp_path / "fits", progress=False)
    assert fits.stopped == "interrupted" and list(fits) == ["one"]
    assert fits.table["error"].tolist() == ["", "not fitted yet", "not fitted yet"]
    (tmp_path / "now").unlink()
    assert len(gx.scale.fit_many(fit, subjects, out=tmp_path / "fits", progress=False)) == 3


def test_a_killed_call_leaves_whole_files(tmp_path):
    gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "fits", progress=False)
    (tmp_path / "fits" / "b.npz").unlink()  # what is said of it came last: killed in between, there is no json
    assert np.isnan(status_of_fits(tmp_path / "fits").loc["b", "seconds"])
    (tmp_path / "fits" / ".a.npz.1-ff.partial.npz").touch()
    again = gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "fits", progress=False)
    assert len(again) == 2 and not list((tmp_path / "fits").glob(".*"))
    (tmp_path / "fits" / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a.json is damaged .*delete it"):
        gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "fits", progress=False)


def test_what_no_file_can_hold_ends_all_at_once_or_is_a_failure_of_its_own(tmp_path):
    with pytest.raises(TypeError, match=r"fit returned for 'a' what cannot be kept in out="):
        gx.scale.fit_many(lambda subject: object(), SUBJECTS, out=tmp_path / "one", progress=False)
    fits = gx.scale.fit_many(
        lambda subject: object() if subject.size == 4 else 1.0, SUBJECTS, out=tmp_path / "two", progress=False
    )
    assert list(fits) == ["a"] and fits.table.loc["a", "value"] == 1.0 and "TypeError" in fits.table.loc["b", "error"]


def test_folders_of_others_and_names_that_are_one_file_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"is no folder of fits, and holds notes.txt"):
        gx.scale.fit_many(squares, SUBJECTS, out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"'a' and 'A' are one file"):
        gx.scale.fit_many(squares, {"a": 1, "A": 2}, out=tmp_path / "fits", progress=False)
    with pytest.raises(ValueError, match="a file: name another"):
        gx.scale.fit_many(squares, SUBJECTS, out=tmp_path / "notes.txt", progress=False)
    with pytest.raises(FileNotFoundError, match="holds no fits"):
        status_of_fits(tmp_path)
    assert file_name("../x") == "%2E./x".replace("/", "%2F") and file_name("Fits") == "%46its"


def test_a_fit_is_told_by_loss_terms_and_parameters(tmp_path):
    network = gx.models.Linear(gamma=-2.0)

    def fit(target):
        def loss(model, key):
            off = model.gamma - target
            return off**2, {"off": off}

        return gx.fit(network, loss, gx.select(network, "gamma"), optax.sgd(0.1), steps=3, key=0, progress=False)

    fits = gx.scale.fit_many(fit, {"near": -1.9, "far": -1.0}, out=tmp_path / "fits", progress=False)
    row, result = fits.table.loc["far"], fits["far"]
    assert row["loss"] == result.best_loss and row["gamma"] == float(result.model.gamma)
    assert row["off"] == result.history["off"][result.best_step] and row["stopped"] == "steps"
    assert type(result) is gx.FitResult and jnp.isfinite(row["seconds"])
