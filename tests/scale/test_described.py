"""A sweep as a file, and the commands."""

import sys

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import gyrax as gx
from gyrax.cli import main
from gyrax.scale import sweeping
from gyrax.scale.described import read_study

pytestmark = pytest.mark.once

CODE = """
import gyrax as gx

def model():
    return gx.models.WongWang()

def product(m, key):
    return m.w * m.I_o

NUMBER = 3

def ends():
    raise SystemExit(0)

def lacks(*_):
    return {}["x"]

def refused(m, key):
    return gx.scale.Seeds(0)

def quits(m, key):
    raise SystemExit(0)
"""
GOOD = """model: mine_described.py:model
function: mine_described.py:product
store: found.zarr
space:
  w: {linear: [0.1, 1.0, 4]}
  I_o: {log: [1e-2, 1, 3]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine_described.py").write_text(CODE)
    return tmp_path


def ran(*arguments):
    return CliRunner().invoke(main, [str(x) for x in arguments])


def test_a_study_from_its_file_to_its_store(folder):
    (folder / "study.yaml").write_text(GOOD)
    done = ran("sweep", folder / "study.yaml")
    assert done.exit_code == 0, done.output
    assert "12 of 12 points done" in done.output and "12 of 12" in ran("status", folder / "found.zarr").output
    found = xr.open_zarr(folder / "found.zarr", consolidated=False, chunks=None)
    np.testing.assert_allclose(found["value"], np.outer(np.linspace(0.1, 1, 4), np.geomspace(1e-2, 1, 3)), rtol=1e-6)
    assert "12 of 12" in ran("sweep", folder / "study.yaml").output  # which computes nothing


def test_axes_of_several(folder):
    (folder / "study.yaml").write_text(
        GOOD.split("space:")[0]
        + "space:\n  lists: {together: {w: [0.1, 0.2], I_o: [0.1, 0.2]}}\n  box: {sobol: {J_N: [0.1, 0.2], a: [200, 300, log]}, count: 4}\n"
        "  seed: {seeds: 2}\n  cube: {count: 3, seed: 1, latin_hypercube: {b: [100, 110]}}\n"
    )
    axes = gx.scale.axes.read_space(gx.models.WongWang(), read_study(folder / "study.yaml")["space"], True)
    assert [axis.length for axis in axes] == [2, 4, 2, 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("store:", "sture:"), "study.yaml, line 3: there is no sture; there are model"),
        (("store: found.zarr\n", ""), "has no store"),
        (("mine_described.py:product", "mine_described.py:sum"), "line 2: mine_described.py has no sum"),
        (("mine_described.py:product", "other.py:sum"), "line 2: there is no"),
        (("mine_described.py:product", "product"), "line 2: expected 'file.py:name'"),
        (("[0.1, 1.0, 4]", "[0.1, 1.0]"), r"line 5: linear is [first, last, count], got [0.1, 1.0]"),
        (("log:", "lag:"), "line 6: expected a list of numbers, or one of linear, log"),
        (("  I_o:", "  w:"), "line 6: w stands there twice"),
        (("{log: [1e-2, 1, 3]}", "high"), "line 6: expected a list of numbers"),
        (("space:", "space: ["), "is no YAML"),
        (("  w:", "  v:"), "line 5: no parameter 'v'"),
        (("0.1, 1.0, 4", "-1, 1.0, 4"), "line 5: w = -1 does not lie inside its domain"),
        (("0.1, 1.0, 4", "0.1, 1.0, true"), "line 5: linear is [first, last, count], got [0.1, 1.0, True]"),
        (("0.1, 1.0, 4", "0.1, 1.0, -2"), "line 5: linear is [first, last, count], with a count from 1 on"),
        (("0.1, 1.0, 4", "low, 1.0, 4"), "line 5: linear is [first, last, count], got ['low', 1.0, 4]"),
        (("[1e-2, 1, 3]", "[0, 1, 3]"), "line 6: the ends of log are both above 0, got 0 and 1"),
        (
            ("w: {linear: [0.1, 1.0, 4]}", "x: {sobol: {w: [0, 1]}}"),
            "line 5: how many points? say {sobol: {...}, count",
        ),
        (
            ("w: {linear: [0.1, 1.0, 4]}", "x: {sobol: {w: [0, 1]}, n: 4}"),
            "line 5: beside sobol there is count and seed",
        ),
        (("w: {linear: [0.1, 1.0, 4]}", "x: {seeds: many}"), "line 5: seeds= takes a whole number"),
        (
            ("w: {linear: [0.1, 1.0, 4]}", "x: {together: {w: [0.1, 0.2], J_N: [0.1]}}"),
            "line 5: a list of points takes as many",
        ),
        (("w: {linear: [0.1, 1.0, 4]}", "x: {together: {I_o: [1, 2]}}"), "line 6: I_o is given twice"),
        (("space:", "memory: 2GB\nspace:"), "line 4: memory takes a number of bytes, got '2GB': write memory: 2e9"),
        (("space:", "memory: 0\nspace:"), "line 4: memory is a number of bytes above 0"),
        (("space:", "batch: 0\nspace:"), "line 4: batch is a whole number from 1 on, got 0"),
        (("space:", "realisations: 1.5\nspace:"), "line 4: realisations takes a whole number"),
        (("space:", "key: x\nspace:"), "line 4: key takes a whole number from 0 on, got 'x': write key: 10"),
        (("space:", "grid: 1\nspace:"), "line 4: grid takes True or False"),
        (("space:", "grid: false\nspace:"), "line 7: a list of points takes as many values of each: 4 of w, 3 of I_o"),
        (("I_o: {log: [1e-2, 1, 3]}", "x: {seeds: 2}\ngrid: false"), "line 6: grid=False is a list of points"),
        (("mine_described.py:product", "mine_described.py:NUMBER"), "line 2: function= takes a function, got 3"),
        (("mine_described.py:model", "mine_described.py:ends"), "line 1: /"),
        (("mine_described.py:model", "mine_described.py:lacks"), "in lacks: KeyError: 'x'"),
    ],
)
def test_the_line_that_is_wrong(folder, change, said):
    (folder / "study.yaml").write_text(GOOD.replace(*change, 1))
    done = ran("sweep", folder / "study.yaml")
    assert done.exit_code == 2 and done.output.count("\n") == 1 and said in done.output, done.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lacks", "mine_described.py, line 16, in lacks: KeyError: 'x'"),
        ("refused", "mine_described.py, line 19, in refused: ValueError: count is a whole number from 1 on, got 0"),
        ("quits", "mine_described.py, line 22, in quits: sys.exit(0) is called, which ends Python"),
    ],
)
def test_what_a_function_raises_is_one_line_that_says_where(folder, name, said):
    (folder / "study.yaml").write_text(GOOD.replace("product", name))
    done = ran("sweep", folder / "study.yaml")
    assert done.exit_code == 2 and done.output.count("\n") == 1 and said in done.output, done.output


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)", "{}['x']", "import no_such_package", "def f(:"])
def test_a_file_that_does_not_run_is_told_with_the_line_that_names_it(folder, code):
    (folder / "mine_described.py").write_text(code)
    (folder / "study.yaml").write_text(GOOD)
    for _ in range(2):  # what failed is not taken for a module the second time
        done = ran("sweep", folder / "study.yaml")
        assert done.exit_code == 2 and "study.yaml, line 1: " in done.output and "has no" not in done.output
        assert done.output.count("\n") == 1 and ("line 2, in <module>: sys.exit(0)" in done.output) == ("exit" in code)


def test_a_mistake_in_gyrax_keeps_its_traceback(folder, monkeypatch):
    code = compile("def mistaken(*args, **kwargs):\n    return {}['x']", f"{gx.__path__[0]}/mistaken.py", "exec")
    exec(code, names := {})
    (folder / "study.yaml").write_text(GOOD)
    monkeypatch.setattr(sweeping, "read_space", names["mistaken"])
    assert isinstance(ran("sweep", folder / "study.yaml").exception, KeyError)


def test_a_function_that_changed_is_refused_and_the_same_one_goes_on(folder):
    (folder / "study.yaml").write_text(GOOD)
    assert ran("sweep", folder / "study.yaml").exit_code == 0
    sys.modules.pop("mine_described")  # as a new process has it
    assert ran("sweep", folder / "study.yaml").exit_code == 0
    sys.modules.pop("mine_described")
    (folder / "mine_described.py").write_text(CODE.replace("m.w * m.I_o", "m.w * m.I_o + 1"))
    done = ran("sweep", folder / "study.yaml")
    assert done.exit_code == 2 and "the function" in done.output and done.output.count("\n") == 1, done.output


def test_status_of_what_is_no_store(tmp_path):
    done = ran("status", tmp_path / "nothing.zarr")
    assert done.exit_code == 2 and "is no store of gx.sweep" in done.output
