"""A sweep as a file, and the commands."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import gyrax as gx
from gyrax.cli import main
from gyrax.scale.described import read_study

pytestmark = pytest.mark.once

CODE = """
import gyrax as gx

def model():
    return gx.models.WongWang()

def product(m, key):
    return m.w * m.I_o
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
        "  seed: {seeds: 2}\n  cube: {latin_hypercube: {b: [100, 110]}, count: 3, seed: 1}\n"
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
        (("  w:", "  v:"), "no parameter 'v'"),
    ],
)
def test_the_line_that_is_wrong(folder, change, said):
    (folder / "study.yaml").write_text(GOOD.replace(*change, 1))
    done = ran("sweep", folder / "study.yaml")
    assert done.exit_code == 2 and done.output.count("\n") == 1 and said in done.output, done.output


def test_status_of_what_is_no_store(tmp_path):
    done = ran("status", tmp_path / "nothing.zarr")
    assert done.exit_code == 2 and "is no store of gx.sweep" in done.output
