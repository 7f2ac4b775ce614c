"""The data that ship with the package: the published numbers, with their attribution."""

import runpy
import sys
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gyrax.anatomy.connectome import Connectome
from gyrax.datasets import connectomes as datasets

TVB = {"tvb66": 66, "tvb68": 68, "tvb76": 76, "tvb96": 96, "tvb192": 192}
SCRIPT = Path(__file__).parents[2] / "scripts" / "build_dk84.py"


@pytest.fixture(scope="module")
def dk84():
    return datasets.load("dk84")


def test_dk84_holds_the_published_numbers(dk84):
    weights, lengths, fc = dk84.connectome.weights, dk84.connectome.lengths, dk84.fc
    assert dk84.connectome.n_regions == 84
    assert dk84.connectome.labels[:2] == ("L.BSTS", "L.CACG") and dk84.connectome.labels[-1] == "R.CER"
    for matrix in (weights, lengths, fc):
        assert matrix.shape == (84, 84) and matrix.dtype == jnp.result_type(float)
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(jnp.diag(matrix), 0)
    # read off the first lines of the tables by eye
    np.testing.assert_allclose(weights[0, [1, 2, 6]], [6.9554071, 884.94769, 20900.293], rtol=1e-7)
    np.testing.assert_allclose(lengths[0, [1, 2, 6]], [142.47572, 119.155, 38.183376], rtol=1e-7)
    np.testing.assert_allclose(fc[0, [1, 2, 6]], [0.19282651, 0.39253664, 0.43376952], rtol=1e-7)
    np.testing.assert_allclose([weights.max(), lengths.max(), fc.max()], [210222.86, 224.2162, 0.87845576], rtol=1e-6)


def test_dk84_is_stored_in_full_precision():
    with resources.as_file(resources.files("gyrax") / "data" / "dk84.npz") as path, np.load(path) as stored:
        assert {stored[name].dtype for name in ("weights", "lengths", "fc")} == {np.dtype("float64")}
        assert stored["weights"][0, 1] == 6.9554071


def test_attribution_travels_with_the_data(dk84):
    text = (resources.files("gyrax") / "data" / "dk84.LICENCE.txt").read_text()
    for words in (dk84.licence + dk84.citation, repr(dk84), text):
        assert "CC-BY-4.0" in words and "10.1038/s41467-023-38626-y" in words


def test_repr_tells_what_it_is(dk84):
    assert "'dk84'" in repr(dk84) and "84 regions" in repr(dk84) and "fc: 84 x 84" in repr(dk84)
    assert "Dataset" in repr(jax.tree.map(lambda _: True, dk84))


def test_names_and_unknown_names():
    assert datasets.names() == ("dk84", *TVB)
    with pytest.raises(ValueError, match=r"no dataset of the name 'dk48'.*did you mean 'dk84'.*datasets: dk84"):
        datasets.load("dk48")
    with pytest.raises(ValueError, match=r"no dataset of the name '\.\./secret'.*'dk84'"):
        datasets.load("../secret")


def test_dataset_is_a_pytree(dk84):
    doubled = jax.jit(lambda d: jax.tree.map(lambda x: 2 * x, d))(dk84)
    np.testing.assert_array_equal(doubled.fc, 2 * dk84.fc)
    assert doubled.name == "dk84" and doubled.connectome.labels == dk84.connectome.labels


def test_build_script(tmp_path):
    source = tmp_path / "tables"
    Connectome([[0, 0.1], [0.1, 0]], lengths=[[0, 5], [5, 0]], labels=["A", "B"]).save(source)
    (source / "fc.tsv").write_text("0\t0.123456789012\n0.123456789012\t0\n")
    build = runpy.run_path(str(SCRIPT))["build"]
    build(source, tmp_path / "one.npz")
    build(source, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as stored:
        assert stored["fc"][0, 1] == 0.123456789012 and list(stored["labels"]) == ["A", "B"]
    (source / "fc.tsv").write_text("0\n")
    with pytest.raises(ValueError, match=r"fc.tsv is \(1, 1\)"):
        build(source, tmp_path / "three.npz")


@pytest.fixture(scope="module")
def tvb():
    pytest.importorskip("tvb_data")
    return {name: datasets.load(name) for name in TVB}


@pytest.mark.parametrize("name", TVB)
def test_tvb_datasets(name, tvb):
    data, n = tvb[name], TVB[name]
    assert data.name == name and data.connectome.n_regions == n and data.fc is None
    for value, shape in (
        (data.connectome.weights, (n, n)),
        (data.connectome.lengths, (n, n)),
        (data.connectome.centres, (n, 3)),
    ):
        assert value.shape == shape and value.dtype == jnp.result_type(float)
    assert data.description.startswith(f"{n} ") and "tvb-data does not say" in data.description
    for words in (data.licence + data.citation, repr(data)):
        assert "GPL-3.0-or-later" in words and "10.3389/fninf.2013.00010" in words
    assert ("CoCoMac" in data.citation) == (name not in ("tvb66", "tvb68"))
    assert f"{n} regions" in repr(data) and "fc: none" in repr(data)


def test_tvb_datasets_are_as_described(tvb):
    weights, lengths = (
        {name: np.asarray(getattr(data.connectome, field)) for name, data in tvb.items()}
        for field in ("weights", "lengths")
    )
    even = {name: np.allclose(w, w.T, rtol=1e-3, atol=1e-4) for name, w in weights.items()}
    assert even == {"tvb66": True, "tvb68": True, "tvb76": False, "tvb96": False, "tvb192": False}
    for name in ("tvb76", "tvb96", "tvb192"):
        assert weights[name].min() == 0 and weights[name].max() == 3
    np.testing.assert_array_equal(weights["tvb96"], np.round(weights["tvb96"]))
    assert all(np.diag(w).any() for w in weights.values())
    part = tvb["tvb192"].connectome.subset(tvb["tvb76"].connectome.labels)
    np.testing.assert_allclose(part.weights, weights["tvb76"], atol=2e-4)
    assert np.abs(np.asarray(part.lengths) - lengths["tvb76"]).max() > 50
    others = [label for label in tvb["tvb192"].connectome.labels if label not in part.labels]
    centres = np.asarray(tvb["tvb192"].connectome.subset(others).centres)
    assert len(others) == 116 and np.ptp(centres, axis=0).max() == 0
    front, back = (tvb["tvb76"].connectome.subset([label]).centres[0] for label in ("rPFCPOL", "rV1"))
    assert front[0] > 60 and back[0] < -60


def test_a_dataset_without_fc_is_a_pytree(tvb):
    doubled = jax.jit(lambda d: jax.tree.map(lambda x: 2 * x, d))(tvb["tvb68"])
    np.testing.assert_array_equal(doubled.connectome.weights, 2 * tvb["tvb68"].connectome.weights)
    assert doubled.fc is None and "Dataset" in repr(jax.tree.map(lambda _: True, tvb["tvb68"]))


def test_tvb_datasets_need_tvb_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "tvb_data", None)
    assert "tvb76" in datasets.names()
    with pytest.raises(ImportError, match=r"this needs tvb_data: pip install 'gyrax\[tvb\]'"):
        datasets.load("tvb76")
    with pytest.raises(ValueError, match=r"no dataset of the name 'tvb67': did you mean 'tvb\d\d'"):
        datasets.load("tvb67")


def test_nothing_of_tvb_data_is_among_ours():
    folder = resources.files("gyrax") / "data"
    assert {path.name for path in folder.iterdir()} == {"dk84.npz", "dk84.LICENCE.txt", "aln.LICENCE.txt", "tables"}
    assert {path.name for path in (folder / "tables").iterdir()} == {"aln.npz"}
