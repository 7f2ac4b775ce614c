"""Connectomes from the formats of the field: real files against an independent reading, and what is refused."""

import bz2
import hashlib
import io
import json
import sys
import zipfile
from importlib import resources
from pathlib import Path

import equinox as eqx
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given
from test_connectome import parts

import gyrax as gx
from gyrax.anatomy.connectome import Connectome

WEIGHTS = np.array([[0.0, 2.0, 0.5], [1.0, 0.0, 4.0], [0.0, 3.0, 0.0]])
LENGTHS = np.array([[0.0, 20.0, 30.0], [20.0, 0.0, 40.0], [30.0, 40.0, 0.0]])
CENTRES = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0], [7.0, 8.0, -9.0]])
LABELS = ("V1", "V2", "MT")
FULL = {"weights": WEIGHTS, "lengths": LENGTHS, "labels": LABELS, "centres": CENTRES}
TVB = ("connectivity_66", "connectivity_68", "connectivity_76", "connectivity_96", "connectivity_192", "paupau")
REFERENCE = Path(__file__).parents[1] / "data" / "tvb_connectivity.npz"  # by scripts/reference_tvb_connectivity.py


def same(one, two):
    return bool(eqx.tree_equal(one, two))


def refused(error, words, read, *arguments, **named):
    with pytest.raises(error) as caught:
        read(*arguments, **named)
    for word in words:
        assert word in str(caught.value)


def table(values, mark=" "):
    return "\n".join(mark.join(map(str, row)) for row in np.asarray(values)) + "\n"


# ---- The Virtual Brain


@pytest.fixture(scope="module")
def tvb_files():
    pytest.importorskip("tvb_data")
    with resources.as_file(resources.files("tvb_data") / "connectivity") as folder:
        yield folder


@pytest.mark.parametrize("name", TVB)
def test_tvb_zips_against_numpy(name, tvb_files):
    with zipfile.ZipFile(tvb_files / f"{name}.zip") as archive:

        def member(stem, **how):
            (path,) = [path for path in archive.namelist() if path.rpartition("/")[2].startswith(stem + ".txt")]
            data = archive.read(path)
            return np.loadtxt(io.BytesIO(bz2.decompress(data) if path.endswith("bz2") else data), **how)

        made = Connectome.load(tvb_files / f"{name}.zip")
        assert made.labels == tuple(member("centres", usecols=0, dtype=str))
        for value, expected in (
            (made.weights, member("weights")),
            (made.lengths, member("tract_lengths")),
            (made.centres, member("centres", usecols=(1, 2, 3))),
        ):
            assert value.dtype == jnp.result_type(float)
            np.testing.assert_array_equal(value, jnp.asarray(expected, float))
    assert same(gx.io.read_tvb_zip(tvb_files / f"{name}.zip"), made)


@pytest.mark.parametrize("name", TVB)
def test_tvb_zips_against_tvb(name, tvb_files, rounding):
    """Labels, sums of rows and columns, and what the simulator of The Virtual Brain sends along the connections."""
    made = gx.io.read_tvb_zip(tvb_files / f"{name}.zip")
    with np.load(REFERENCE) as stored:
        known = {key.partition(".")[2]: stored[key] for key in stored.files if key.startswith(name + ".")}
    assert hashlib.sha256("\n".join(made.labels).encode()).hexdigest() == str(known["labels"])
    weights, lengths = np.asarray(made.weights, float), np.asarray(made.lengths, float)
    for value, expected in (
        (weights.sum(1), known["received"]),
        (weights.sum(0), known["sent"]),
        (lengths.sum(1), known["length_to"]),
        (lengths.sum(0), known["length_from"]),
        (np.asarray(made.centres, float).sum(0), known["centre"]),
    ):
        np.testing.assert_allclose(value, expected, rtol=rounding, atol=rounding * np.abs(expected).max())
    # its simulator keeps weights and history in single precision
    np.testing.assert_allclose(weights @ known["state"], known["coupling"], rtol=2e-6)


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


ROWS = "V1 1 2 3\nV2 -4 5 6\nMT 7 8 -9\n"
MEMBERS = {"weights.txt": table(WEIGHTS), "tract_lengths.txt": table(LENGTHS), "centres.txt": ROWS}


@pytest.mark.parametrize(
    "members",
    [
        MEMBERS,
        {f"brain/{name}": text for name, text in MEMBERS.items()} | {"__MACOSX/brain/weights.txt": b"\x00\xff"},
        {f"{name}.bz2": bz2.compress(text.encode()) for name, text in MEMBERS.items()},
        {f"sub-01_{name.upper()}": text for name, text in MEMBERS.items()},
        MEMBERS | {"centres.txt": ROWS.replace("\n", " None \n  ") + "\n", "areas.txt": "1\n2\n3", "info.txt": ""},
        {**MEMBERS, "centers.txt": ROWS.replace(" ", "\t"), "centres.txt": None},
        {"lengths.csv": table(LENGTHS, ","), "weights.csv": table(WEIGHTS, ","), "centres.csv": ROWS.replace(" ", ",")},
    ],
    ids=["plain", "in a folder", "bz2", "with a subject", "further columns and files", "spelt centers", "csv"],
)
def test_tvb_zip_layouts(members, tmp_path):
    members = {name: data for name, data in members.items() if data is not None}
    path = zipped(tmp_path / "brain.zip", members)
    assert same(gx.io.read_tvb_zip(str(path)), Connectome(**FULL))
    assert same(Connectome.load(path), Connectome(**FULL))


def test_tvb_zip_with_less(tmp_path):
    path = zipped(tmp_path / "a.zip", {"weights.txt": table(WEIGHTS)})
    assert same(Connectome.load(path), Connectome(WEIGHTS))
    path = zipped(tmp_path / "b.zip", {"weights.txt": table(WEIGHTS), "centres.txt": table(CENTRES)})
    assert same(Connectome.load(path), Connectome(WEIGHTS, centres=CENTRES))
    np.savetxt(tmp_path / "lengths.txt", LENGTHS)
    assert same(Connectome.load(path, lengths=tmp_path / "lengths.txt"), Connectome(WEIGHTS, LENGTHS, centres=CENTRES))


@pytest.mark.once
@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ({"info.txt": ""}, FileNotFoundError, ["brain.zip has no 'weights', only ['info.txt']"]),
        (MEMBERS | {"a/weights.txt": "0"}, ValueError, ["has both weights.txt and a/weights.txt: keep one"]),
        ({"weights.txt": "0", "tract_length.txt": "0"}, ValueError, ["'tract_length' but no 'tract_lengths': rename"]),
        (MEMBERS | {"weights.txt": "0 1\n1 x\n"}, TypeError, ["weights.txt: entry [1, 1] (line 2 of the file) is 'x'"]),
        (MEMBERS | {"weights.txt": "0 1\n1\n"}, ValueError, ["brain.zip/weights.txt: line 2 has 1 entries"]),
        (
            MEMBERS | {"weights.txt": table(WEIGHTS[:2])},
            ValueError,
            ["weights.txt has shape (2, 3), expected a square"],
        ),
        (MEMBERS | {"weights.txt": table(-WEIGHTS)}, ValueError, ["weights.txt: entry [0, 1] (row 'V1'", "is -2"]),
        (MEMBERS | {"tract_lengths.txt": "1"}, ValueError, ["tract_lengths.txt has shape (1, 1), expected (3, 3)"]),
        (MEMBERS | {"centres.txt": "V1 1\nV2 2\nV3 3\n"}, ValueError, ["centres.txt: line 1 has 2 entries", "label x"]),
        (MEMBERS | {"centres.txt": "V 1 2 3 4\n"}, ValueError, ["centres.txt: 1 labels, but", "weights.txt has 3"]),
        (MEMBERS | {"centres.txt": ROWS.replace("MT", "V2")}, ValueError, ["'V2' is both label 1 and label 2"]),
        (MEMBERS | {"centres.txt": ROWS.replace("8", "?")}, TypeError, ["centres.txt: entry [2, 1] (line 3", "'?'"]),
        ({"weights.txt": b"\xff\xfe0\x00"}, ValueError, ["brain.zip/weights.txt: not text in UTF-8"]),
        (
            {"weights.txt.bz2": b"no bz2"},
            ValueError,
            ["brain.zip/weights.txt.bz2: cannot be read as text: Invalid data"],
        ),
    ],
)
def test_tvb_zip_refused(members, error, words, tmp_path):
    path = zipped(tmp_path / "brain.zip", members)
    for read in (gx.io.read_tvb_zip, Connectome.load):
        refused(error, [*words, str(path)], read, path)


@pytest.mark.once
def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "brain.zip").write_text("no zip")
    refused(ValueError, ["brain.zip: cannot be read as .zip"], Connectome.load, tmp_path / "brain.zip")
    refused(FileNotFoundError, ["did you mean 'brain.zip'"], gx.io.read_tvb_zip, tmp_path / "brian.zip")


# ---- MATLAB

CELL = np.array(LABELS, object)
SPELLINGS = {
    "weights": {"weights": WEIGHTS, "lengths": LENGTHS, "labels": CELL, "centres": CENTRES},
    "SC": {"SC": WEIGHTS, "dist": LENGTHS, "region_labels": np.array(LABELS), "coords": CENTRES, "FC": WEIGHTS},
    "nested": {"subject": {"Connectivity": WEIGHTS, "Tract_Lengths": LENGTHS}, "ROI_names": CELL, "Centers": CENTRES},
    "sparse": {"connectome": scipy.sparse.csc_array(WEIGHTS), "distance": LENGTHS, "names": CELL, "xyz": CENTRES},
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_mat_guesses_common_names(name, tmp_path):
    scipy.io.savemat(tmp_path / "c.mat", SPELLINGS[name], do_compression=True)
    assert same(gx.io.read_mat(str(tmp_path / "c.mat")), Connectome(**FULL))
    assert same(Connectome.load(tmp_path / "c.mat"), Connectome(**FULL))


def test_mat_takes_names(tmp_path):
    variables = {"A": WEIGHTS, "B": {"C": LENGTHS}, "D": CELL, "E": CENTRES, "weights": LENGTHS, "SC": LENGTHS}
    scipy.io.savemat(tmp_path / "c.mat", variables)
    made = gx.io.read_mat(tmp_path / "c.mat", weights="A", lengths="B.C", labels="D", centres="E")
    assert same(made, Connectome(**FULL))


def test_mat_of_one_region_and_of_integers(tmp_path):
    one = {"weights": 0.5, "lengths": np.uint8(3), "labels": "V1", "centres": [1.0, 2.0, 3.0]}
    scipy.io.savemat(tmp_path / "c.mat", one)
    assert same(Connectome.load(tmp_path / "c.mat"), Connectome([[0.5]], [[3]], ["V1"], [[1, 2, 3]]))


def save_hdf5(path, variables):
    """As MATLAB writes version 7.3: a header of its own, columns first, text as numbers, cells as references."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if isinstance(value, dict):
                for field, inner in value.items():
                    file[f"{name}/{field}"] = np.asarray(inner).T
            elif scipy.sparse.issparse(value):
                group = file.create_group(name)
                group.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
                group["data"], group["ir"], group["jc"] = value.data, value.indices, value.indptr
            elif value is CELL:
                references = []
                for i, text in enumerate(value):
                    file[f"#refs#/{i}"] = np.array([[ord(c)] for c in text], np.uint16)
                    file[f"#refs#/{i}"].attrs["MATLAB_class"] = np.bytes_("char")
                    references.append(file[f"#refs#/{i}"].ref)
                file.create_dataset(name, data=np.array([references], h5py.ref_dtype), dtype=h5py.ref_dtype)
            elif np.asarray(value).dtype.kind == "U":
                codes = np.array([[ord(c) for c in text] for text in np.char.ljust(value, 2)], np.uint16)
                file[name] = codes.T
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
            else:
                file[name] = np.asarray(value).T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.mark.parametrize("name", SPELLINGS)
def test_mat_of_version_7_3(name, tmp_path):
    save_hdf5(tmp_path / "c.mat", SPELLINGS[name])
    assert same(Connectome.load(tmp_path / "c.mat"), Connectome(**FULL))


def test_mat_that_matlab_wrote():
    """The one file of version 7.3 among the tests of scipy: 0:pi/4:2*pi as a row."""
    pytest.importorskip("h5py")
    folder = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
    if not folder.is_dir():
        pytest.skip("scipy is installed without its tests")
    file = folder / "testhdf5_7.4_GLNX86.mat"
    refused(ValueError, ["no variable is known for weights", "testdouble (1, 9)"], gx.io.read_mat, file)
    refused(ValueError, ["'testdouble' in", "shape (1, 9)"], gx.io.read_mat, file, weights="testdouble")
    refused(ValueError, ["cannot be read as .mat"], gx.io.read_mat, folder / "corrupted_zlib_data.mat")


def test_mat_of_version_7_3_needs_h5py(tmp_path, monkeypatch):
    save_hdf5(tmp_path / "c.mat", SPELLINGS["weights"])
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(ImportError, ["h5py", "pip install 'gyrax[io]'"], gx.io.read_mat, tmp_path / "c.mat")


@pytest.mark.once
@pytest.mark.parametrize(
    ("variables", "named", "error", "words"),
    [
        ({"A": WEIGHTS}, {}, ValueError, ["no variable is known for weights", "weights=...", "the file has A (3, 3)"]),
        ({"SC": WEIGHTS, "weights": WEIGHTS}, {}, ValueError, ["'SC' and 'weights' may both be weights: say which"]),
        ({"SC": WEIGHTS, "dist": LENGTHS, "length": LENGTHS}, {}, ValueError, ["'dist' and 'length' may both be len"]),
        ({"SC": WEIGHTS}, {"weights": "SD"}, ValueError, ["has no 'SD': choose from 'SC'", "SC (3, 3)"]),
        ({"SC": WEIGHTS}, {"lengths": "dist"}, ValueError, ["has no 'dist'"]),
        ({"SC": -WEIGHTS}, {}, ValueError, ["weights ('SC' in", "entry [0, 1]", "is -2"]),
        ({"SC": WEIGHTS[:2]}, {}, ValueError, ["weights ('SC' in", "shape (2, 3), expected a square"]),
        ({"SC": CELL}, {}, TypeError, ["weights ('SC' in", "entry [0, 0] is 'V1', expected a real number"]),
        ({"SC": WEIGHTS, "labels": [1, 2, 3]}, {}, TypeError, ["labels ('labels' in", "label 0 is", "expected text"]),
        ({"SC": WEIGHTS, "labels": CELL[:2]}, {}, ValueError, ["labels ('labels' in", "2 labels, but weights ('SC'"]),
        ({"SC": WEIGHTS, "labels": CELL[[0, 1, 0]]}, {}, ValueError, ["'V1' is both label 0 and label 2"]),
        ({}, {}, ValueError, ["the file has nothing"]),
    ],
)
def test_mat_refused(variables, named, error, words, tmp_path):
    scipy.io.savemat(tmp_path / "c.mat", variables)
    refused(error, [*words, str(tmp_path / "c.mat")], gx.io.read_mat, tmp_path / "c.mat", **named)


@pytest.mark.once
def test_what_is_no_mat_is_refused(tmp_path):
    (tmp_path / "c.mat").write_text("no mat, but long enough to have a header of the right length" * 5)
    refused(ValueError, ["c.mat: cannot be read as .mat"], Connectome.load, tmp_path / "c.mat")
    (tmp_path / "c.mat").write_text("")
    refused(ValueError, ["c.mat: cannot be read as .mat"], Connectome.load, tmp_path / "c.mat")
    refused(FileNotFoundError, ["there is no"], gx.io.read_mat, tmp_path / "d.mat")


# ---- networkx


@given(parts())
def test_networkx_round_trip(given_parts):
    pytest.importorskip("networkx")
    whole = Connectome(**given_parts)
    joined = np.asarray(whole.weights) != 0
    lengths = None if whole.lengths is None or not joined.any() else np.asarray(whole.lengths) * joined
    expected = Connectome(whole.weights, lengths, whole.labels, whole.centres)
    assert same(gx.io.from_networkx(gx.io.to_networkx(whole)), expected)


@given(st.integers(1, 6), st.booleans(), st.integers(0, 2**32 - 1))
def test_networkx_against_its_own_matrix(n, directed, seed):
    """`to_numpy_array` has the source in the row, and the default order of the nodes."""
    nx = pytest.importorskip("networkx")
    graph = nx.gnp_random_graph(n, 0.5, seed=seed, directed=directed)
    graph.add_edge(0, 0)
    rng = np.random.default_rng(seed)
    for _, _, data in graph.edges(data=True):
        data["strength"], data["mm"] = float(np.float32(rng.uniform())), int(rng.integers(1, 99))
    made = gx.io.from_networkx(nx.relabel_nodes(graph, "n{}".format), weight="strength", length="mm")
    assert made.labels == tuple(f"n{i}" for i in range(n))
    np.testing.assert_array_equal(made.weights, nx.to_numpy_array(graph, weight="strength").T)
    np.testing.assert_array_equal(made.lengths, nx.to_numpy_array(graph, weight="mm").T)
    assert gx.io.from_networkx(graph, weight="strength").labels == tuple(f"region_{i}" for i in range(n))
    back = gx.io.to_networkx(made)
    np.testing.assert_array_equal(nx.to_numpy_array(back).T, made.weights)
    assert back.is_directed() and list(back) == list(made.labels)


def test_networkx_direction_and_positions():
    nx = pytest.importorskip("networkx")
    graph = nx.DiGraph()
    graph.add_node("V1", centre=(1, 2, 3))
    graph.add_node("V2", centre=np.array([4.0, 5.0, 6.0]))
    graph.add_edge("V1", "V2", weight=2)
    made = gx.io.from_networkx(graph)
    assert same(made, Connectome([[0, 0], [2, 0]], labels=["V1", "V2"], centres=[[1, 2, 3], [4, 5, 6]]))
    assert gx.io.to_networkx(made).nodes["V2"] == {"centre": (4.0, 5.0, 6.0)}


@pytest.mark.once
def test_networkx_refused(monkeypatch):
    nx = pytest.importorskip("networkx")
    graph = nx.Graph([("A", "B", {"weight": 1.0, "length": 3.0}), ("B", "C", {"weight": 1.0})])
    refused(ValueError, ["the edge from 'B' to 'C' has no 'length'"], gx.io.from_networkx, graph)
    refused(ValueError, ["from 'A' to 'B' has no 'w': networkx.set_edge"], gx.io.from_networkx, graph, weight="w")
    refused(TypeError, ["Graph or DiGraph, got MultiGraph"], gx.io.from_networkx, nx.MultiGraph(graph))
    refused(TypeError, ["Graph or DiGraph, got ndarray"], gx.io.from_networkx, WEIGHTS)
    refused(ValueError, ["edge attribute 'weight' has shape (0, 0)"], gx.io.from_networkx, nx.Graph())
    graph["B"]["C"]["length"] = "far"
    refused(TypeError, ["'length' of the edge from 'B' to 'C' is 'far'"], gx.io.from_networkx, graph)
    graph["B"]["C"]["length"] = -1
    refused(ValueError, ["edge attribute 'length': entry [1, 2] (row 'B', col", "is -1"], gx.io.from_networkx, graph)
    graph["B"]["C"]["length"] = 1
    graph.nodes["B"]["centre"] = (0, 0, 0)
    refused(ValueError, ["node 'A' has no 'centre', but 'B' has"], gx.io.from_networkx, graph)
    monkeypatch.setitem(sys.modules, "networkx", None)
    refused(ImportError, ["networkx", "pip install 'gyrax[graphs]'"], gx.io.from_networkx, graph)
    refused(ImportError, ["networkx", "pip install 'gyrax[graphs]'"], gx.io.to_networkx, Connectome(WEIGHTS))


# ---- pandas


@given(parts())
def test_frame_round_trip(given_parts):
    whole = Connectome(**given_parts)
    frame = whole.to_frame()
    assert isinstance(frame, pd.DataFrame) and tuple(frame.index) == tuple(frame.columns) == whole.labels
    lengths = None if whole.lengths is None else whole.to_frame("lengths")
    assert same(Connectome(frame, lengths, whole.labels, whole.centres), whole)


def test_frame_has_targets_down():
    assert Connectome(**FULL).to_frame().loc["V2", "MT"] == 4.0
    refused(ValueError, ["what='centres'"], Connectome(**FULL).to_frame, "centres")
    refused(ValueError, ["no lengths to tabulate"], Connectome(WEIGHTS).to_frame, "lengths")


# ---- BIDS: relationship matrices (BEP017)

SYMMETRIC = LENGTHS / 10
FACTS = {"RelationshipMeasure": "m", "Directed": True, "Weighted": True, "ValidDiagonal": True, "Software": "none"}
INDICES = "matrix_index\tnode_file\tnode_index\tlabel\n2\tDK\t2\tMT\n0\tDK\t0\tV1\n1\tDK\t1\tV2\n"


def write(folder, files):
    for name, content in files.items():
        if content is None:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) if isinstance(content, dict) else content, encoding="utf-8")
    return folder


RELMAT = {
    "atlas-DK_meas-streamlineCount_relmat.dense.tsv": table(WEIGHTS, "\t"),
    "atlas-DK_meas-streamlineCount_relmat.json": FACTS,
    "atlas-DK_meas-tractLength_relmat.dense.tsv": table(LENGTHS, "\t"),
    "atlas-DK_meas-tractLength_relmat.json": FACTS | {"MeasureUnits": "mm"},
    "atlas-DK_meas-BoldCorrelation_relmat.dense.tsv": table(-LENGTHS, "\t"),
    "atlas-DK_meas-BoldCorrelation_relmat.json": FACTS,
    "atlas-DK_nodeindices.tsv": INDICES,
}
COUNT, LENGTH = "atlas-DK_meas-streamlineCount_relmat", "atlas-DK_meas-tractLength_relmat"


def test_relmat_folder(tmp_path):
    write(tmp_path, RELMAT)
    expected = Connectome(WEIGHTS, LENGTHS, LABELS)
    assert same(Connectome.load(tmp_path), expected)
    assert same(gx.io.read_bids_connectivity(tmp_path), expected)
    assert same(gx.io.read_bids_connectivity(tmp_path, "tractLength", "streamlineCount").lengths, expected.weights)


def test_relmat_file(tmp_path):
    write(tmp_path, RELMAT)
    file, lengths = tmp_path / f"{COUNT}.dense.tsv", tmp_path / f"{LENGTH}.dense.tsv"
    assert same(Connectome.load(file), Connectome(WEIGHTS, labels=LABELS))
    assert same(Connectome.load(file, lengths=lengths), Connectome(WEIGHTS, LENGTHS, LABELS))
    assert same(gx.io.read_bids_connectivity(file), Connectome(WEIGHTS, labels=LABELS))


def test_relmat_units_and_diagonal(tmp_path):
    for unit, factor in (("cm", 10), ("m", 1000), ("mm", 1), ("", 1)):
        facts = FACTS | {"MeasureUnits": unit, "ValidDiagonal": False}
        changed = {f"{LENGTH}.json": facts, f"{LENGTH}.dense.tsv": table((LENGTHS + 5 * np.eye(3)) / factor, "\t")}
        write(tmp_path, RELMAT | changed)
        np.testing.assert_allclose(Connectome.load(tmp_path).lengths, LENGTHS, rtol=1e-6)
        alone = Connectome.load(tmp_path / f"{COUNT}.dense.tsv", lengths=tmp_path / f"{LENGTH}.dense.tsv")
        np.testing.assert_allclose(alone.lengths, LENGTHS, rtol=1e-6)
    missing = table(np.where(np.eye(3), "n/a", SYMMETRIC.astype(str)), "\t")
    write(tmp_path, {f"{COUNT}.dense.tsv": missing, f"{COUNT}.json": FACTS | {"ValidDiagonal": False}})
    np.testing.assert_array_equal(Connectome.load(tmp_path).weights, jnp.asarray(SYMMETRIC, float))


def test_relmat_sidecar_is_inherited(tmp_path):
    """As giga_connectome has it: one sidecar at the root of the dataset; the nearer one has the last word."""
    far = "derivatives/sub-01/func/sub-01_task-rest_meas-count_relmat.tsv"
    files = {
        "dataset_description.json": {},
        "meas-count_relmat.json": FACTS | {"Directed": False},
        "task-other_relmat.json": {"StorageFormat": "UpperTriangular"},  # of another task
        "derivatives/nodeindices.tsv": INDICES,
        far: table(SYMMETRIC, "\t"),
    }
    write(tmp_path / "set", files)
    write(tmp_path, {"relmat.json": {"StorageFormat": "LowerTriangular"}})  # above the dataset
    expected = Connectome(SYMMETRIC, labels=LABELS)
    assert same(Connectome.load(tmp_path / "set" / far), expected)
    assert same(Connectome.load((tmp_path / "set" / far).parent), expected)
    write(tmp_path / "set", {far: table(WEIGHTS, "\t")})
    refused(
        ValueError,
        ["Directed is false, but entry [0, 1] is 2 and [1, 0] is 1"],
        Connectome.load,
        tmp_path / "set" / far,
    )
    write(tmp_path / "set", {"derivatives/sub-01/relmat.json": {"Directed": True}})
    assert same(Connectome.load(tmp_path / "set" / far), Connectome(WEIGHTS, labels=LABELS))


LOOKUP = "index\tname\n1\tV1\n5\tV2\n7\tMT\n"
NO_LABELS = "matrix_index\tnode_file\tnode_index\n0\tDK\t1\n2\tDK\t7\n1\tDK\t5\n"


@pytest.mark.parametrize(
    "changed",
    [
        {f"{COUNT}.dense.tsv": pd.DataFrame(WEIGHTS, LABELS, LABELS).to_csv(sep="\t", index_label="Node")},
        {f"{COUNT}.json": FACTS | {"NodeFiles": ["bids::atlas/DK_dseg.nii.gz"]}},
        {f"{COUNT}.json": FACTS | {"NodeFiles": "atlas/DK_dseg.tsv"}},
        {f"{COUNT}.json": FACTS | {"NodeFiles": ["atlas/DK_dseg.tsv"]}, "nodeindices.tsv": NO_LABELS},
        {f"{COUNT}.json": FACTS | {"NodeIndicesFile": "atlas/other_nodeindices.tsv"}},
    ],
    ids=["in the table", "of an image", "of a lookup table", "by indices into it", "named indices"],
)
def test_relmat_labels(changed, tmp_path):
    files = {f"{COUNT}.dense.tsv": table(WEIGHTS, "\t"), f"{COUNT}.json": FACTS, "atlas/DK_dseg.tsv": LOOKUP}
    write(tmp_path, files | {"atlas/other_nodeindices.tsv": INDICES, "dataset_description.json": {}} | changed)
    assert same(Connectome.load(tmp_path), Connectome(WEIGHTS, labels=LABELS))


def test_relmat_labels_given_by_the_user(tmp_path):
    files = {f"{COUNT}.dense.tsv": table(WEIGHTS, "\t"), f"{COUNT}.json": FACTS | {"NodeFiles": "bids:DK:dseg.tsv"}}
    write(tmp_path, files | {"labels.txt": "V1\nV2\nMT\n", "other.txt": "V1\nV2\nV3\n"})
    refused(FileNotFoundError, ["names 'bids:DK:dseg.tsv', but there is no", "labels="], Connectome.load, tmp_path)
    made = Connectome.load(tmp_path, labels=tmp_path / "labels.txt")
    assert same(made, Connectome(WEIGHTS, labels=LABELS))
    write(tmp_path, {"nodeindices.tsv": INDICES})
    refused(ValueError, ["region 2 is 'V3' in"], Connectome.load, tmp_path, labels=tmp_path / "other.txt")


@pytest.mark.once
@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({f"{COUNT}.json": None}, FileNotFoundError, [f"{COUNT}.dense.tsv has no sidecar {COUNT}.json, which BEP017"]),
        ({f"{COUNT}.json": "{"}, ValueError, [f"{COUNT}.json: cannot be read as JSON"]),
        ({f"{COUNT}.json": "[1]"}, ValueError, [f"{COUNT}.json: expected a JSON object"]),
        ({f"{COUNT}.json": {"Directed": True}}, ValueError, [f"{COUNT}.dense.tsv", "has no 'RelationshipMeasure'"]),
        ({f"{COUNT}.json": {"RelationshipMeasure": "m"}}, ValueError, [f"{COUNT}.dense.tsv", "has no 'Directed'"]),
        ({f"{COUNT}.json": FACTS | {"StorageFormat": "UpperTriangular"}}, ValueError, ["'UpperTriangular', expected"]),
        ({f"{COUNT}.json": FACTS | {"Directed": False}}, ValueError, [f"{COUNT}.dense.tsv: Directed is false, but"]),
        ({f"{LENGTH}.json": FACTS | {"MeasureUnits": "inch"}}, ValueError, [f"{LENGTH}.dense.tsv: its unit is 'inch'"]),
        ({"atlas-DK_relmat.json": {}, "meas-streamlineCount_relmat.json": {}}, ValueError, ["both apply to", COUNT]),
        ({"nodeindices.tsv": INDICES}, ValueError, ["both apply to", "name one as NodeIndicesFile"]),
        ({"atlas-DK_nodeindices.tsv": "label\nV1\n"}, ValueError, ["nodeindices.tsv: no column 'matrix_index', only"]),
        ({"atlas-DK_nodeindices.tsv": INDICES.replace("2\tDK", "1\tDK")}, ValueError, ["matrix_index is not 0 to 2"]),
        (
            {"atlas-DK_nodeindices.tsv": INDICES.replace("2\tDK\t2\tMT\n", "")},
            ValueError,
            ["has 3 regions, but 2 are named"],
        ),
        ({"atlas-DK_nodeindices.tsv": INDICES.replace("V2", "V1")}, ValueError, ["nodeindices.tsv: 'V1' is both"]),
        ({"atlas-DK_nodeindices.tsv": NO_LABELS}, ValueError, ["nodeindices.tsv: no column 'label', nor 'node_index'"]),
        ({f"{COUNT}.json": FACTS | {"NodeIndicesFile": "x.tsv"}}, FileNotFoundError, [COUNT, "names 'x.tsv', but"]),
        ({f"{COUNT}.dense.tsv": table(-WEIGHTS, "\t")}, ValueError, [f"{COUNT}.dense.tsv: entry [0, 1]", "is -2"]),
        ({f"{COUNT}.dense.tsv": table(WEIGHTS[:2], "\t")}, ValueError, [f"{COUNT}.dense.tsv has shape (2, 3)"]),
        ({f"sub-1_{COUNT}.tsv": "0"}, ValueError, ["has both atlas-DK", "and sub-1_atlas", "give the file of one"]),
        (
            {"meas-sift2_relmat.tsv": "0"},
            ValueError,
            ["weights may be any of 'streamlineCount', 'sift2'", "weights=..."],
        ),
        ({"meas-length_relmat.tsv": "0"}, ValueError, ["lengths may be any of", "'length'", "lengths=..."]),
    ],
)
def test_relmat_refused(changed, error, words, tmp_path):
    write(tmp_path, RELMAT | changed)
    if "atlas-DK_nodeindices.tsv" in changed and "node_index" in words[0]:
        write(tmp_path, {f"{COUNT}.json": FACTS})
    for read in (gx.io.read_bids_connectivity, Connectome.load):
        refused(error, [*words, str(tmp_path)], read, tmp_path)


@pytest.mark.once
def test_relmat_lookups_refused(tmp_path):
    files = {f"{COUNT}.dense.tsv": table(WEIGHTS, "\t"), f"{COUNT}.json": FACTS | {"NodeFiles": ["a.tsv", "b.tsv"]}}
    write(tmp_path, files)
    refused(ValueError, ["NodeFiles names 2 files, which needs a *_nodeindices.tsv"], Connectome.load, tmp_path)
    write(tmp_path, {f"{COUNT}.json": FACTS | {"NodeFiles": "a.tsv"}, "a.tsv": "index\tcolour\n1\tred\n"})
    refused(ValueError, ["a.tsv: no column 'name'"], Connectome.load, tmp_path)
    write(tmp_path, {"a.tsv": LOOKUP.replace("7", "8"), "nodeindices.tsv": NO_LABELS})
    refused(ValueError, ["nodeindices.tsv: node_index 7 is not in a.tsv"], Connectome.load, tmp_path)


def test_bids_measures_by_name(tmp_path):
    write(tmp_path, RELMAT)
    read = gx.io.read_bids_connectivity
    refused(
        ValueError, ["no measure 'streamlinecount': did you mean 'streamlineCount'"], read, tmp_path, "streamlinecount"
    )
    refused(
        ValueError, ["is one file", "give its folder"], read, tmp_path / f"{COUNT}.dense.tsv", lengths="tractLength"
    )
    (tmp_path / "x_relmat.sparse.tsv").write_text("0\t1\t2\n1\t0\t3\n1\t1\t4\n")
    refused(
        ValueError,
        ["x_relmat.sparse.tsv: sparse matrices are not read"],
        Connectome.load,
        tmp_path / "x_relmat.sparse.tsv",
    )


# ---- BIDS: networks of computational models (BEP034)

COORDS = ["../coord/desc-a_labels.json", "../coord/desc-a_nodes.json"]
LINKS = {"NumberOfRows": 3, "NumberOfColumns": 3, "CoordsRows": COORDS, "CoordsColumns": COORDS, "Description": ""}
NET = {
    "net/sub-01_desc-a_weights.tsv": table(WEIGHTS, "\t"),
    "net/sub-01_desc-a_weights.json": LINKS,
    "net/sub-01_desc-a_distances.tsv": table(LENGTHS, "\t"),
    "net/sub-01_desc-a_distances.json": LINKS,
    "coord/desc-a_labels.tsv": " V1\tleft\n V2\tleft\n MT\tright\n",
    "coord/desc-a_nodes.tsv": table(CENTRES, "\t"),
    "coord/desc-a_nodes.json": {"Units": "mm"},
    "eq/model.xml": "<Lems/>",
}


def test_network(tmp_path):
    write(tmp_path, NET)
    paths = [tmp_path, tmp_path / "net", tmp_path / "net" / "sub-01_desc-a_weights.tsv"]
    for path in paths:
        assert same(Connectome.load(path), Connectome(**FULL))
        assert same(gx.io.read_bids_connectivity(str(path)), Connectome(**FULL))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"coord/desc-a_nodes.json": {"Units": "m"}}, FULL | {"centres": CENTRES * 1000}),
        ({"coord/desc-a_nodes.json": None}, FULL),
        ({"net/sub-01_desc-a_distances.json": LINKS | {"Units": "cm"}}, FULL | {"lengths": LENGTHS * 10}),
        ({"net/sub-01_desc-a_distances.tsv": None}, FULL | {"lengths": None}),
        (
            {
                "net/sub-01_desc-a_weights.json": LINKS
                | {"CoordsRows": [c.replace("/", "\\") for c in COORDS]}
                | {"CoordsColumns": [c.replace("/", "\\") for c in COORDS]},
                "net/sub-01_desc-a_distances.tsv": None,
            },
            FULL | {"lengths": None},
        ),
        (
            {
                "net/sub-01_desc-a_weights.json": LINKS | {"CoordsRows": COORDS[0], "CoordsColumns": COORDS[0]},
                "net/sub-01_desc-a_distances.tsv": None,
            },
            FULL | {"lengths": None, "centres": None},
        ),
        ({"coord/desc-a_nodes.tsv": ROWS.replace(" ", "\t")}, FULL),
    ],
    ids=["metres", "no unit", "cm", "no distances", "backslashes", "labels alone", "labels in nodes as well"],
)
def test_network_variants(changed, expected, tmp_path):
    write(tmp_path, NET | changed)
    assert same(Connectome.load(tmp_path), Connectome(**expected))


A = "net/sub-01_desc-a"


@pytest.mark.once
@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({f"{A}_weights.json": None}, FileNotFoundError, ["a_weights.tsv has no sidecar sub-01_desc-a_weights.json"]),
        ({f"{A}_distances.json": None}, FileNotFoundError, ["a_distances.tsv has no sidecar"]),
        ({f"{A}_weights.json": {}}, ValueError, ["a_weights.json has no 'NumberOfRows', which BEP034 requires"]),
        (
            {f"{A}_weights.json": LINKS | {"NumberOfRows": 4}},
            ValueError,
            ["a_weights.tsv has shape (3, 3), but", "(4, 3)"],
        ),
        ({f"{A}_weights.json": LINKS | {"CoordsRows": COORDS[0]}}, ValueError, ["CoordsRows and CoordsColumns name"]),
        ({f"{A}_distances.json": LINKS | {"CoordsRows": [], "CoordsColumns": []}}, ValueError, ["name other regions"]),
        ({f"{A}_distances.json": LINKS | {"Units": "s"}}, ValueError, ["a_distances.tsv: its unit is 's'"]),
        (
            {"coord/desc-a_labels.tsv": None},
            FileNotFoundError,
            ["a_weights.json names '../coord/desc-a_labels.json', but"],
        ),
        (
            {"coord/desc-a_nodes.tsv": None},
            FileNotFoundError,
            ["a_weights.json names '../coord/desc-a_nodes.json', but"],
        ),
        ({"coord/desc-a_labels.tsv": "V1\nV2\n"}, ValueError, ["desc-a_labels.tsv: 2 labels, but weights in"]),
        ({"coord/desc-a_labels.tsv": "V1\nV2\nV1\n"}, ValueError, ["desc-a_labels.tsv: 'V1' is both"]),
        ({"coord/desc-a_nodes.tsv": "1\t2\n"}, ValueError, ["desc-a_nodes.tsv has shape (1, 2), expected (3, 3)"]),
        ({f"{A}_weights.tsv": table(-WEIGHTS, "\t")}, ValueError, ["a_weights.tsv: entry [0, 1]", "is -2"]),
        (
            {"net/b_weights.tsv": "0"},
            ValueError,
            ["has both b_weights.tsv and sub-01_desc-a_weights.tsv: give the file"],
        ),
        (
            {f"{A}_distances.tsv": None, "net/b_distances.tsv": "0"},
            ValueError,
            ["b_distances.tsv, but no sub-01_desc-a_d"],
        ),
    ],
)
def test_network_refused(changed, error, words, tmp_path):
    write(tmp_path, NET | changed)
    for read in (gx.io.read_bids_connectivity, Connectome.load):
        refused(error, [*words, str(tmp_path)], read, tmp_path)


def test_network_labels_given_by_the_user(tmp_path):
    write(tmp_path, NET | {"coord/desc-a_labels.tsv": None, "labels.txt": "A\nB\nC\n"})
    assert Connectome.load(tmp_path, labels=tmp_path / "labels.txt").labels == ("A", "B", "C")
    write(tmp_path, NET)
    refused(ValueError, ["labels are given twice"], Connectome.load, tmp_path, labels=tmp_path / "labels.txt")


def test_distances_beside_a_table(tmp_path):
    write(tmp_path, NET | {f"{A}_distances.json": LINKS | {"Units": "cm"}, "w.csv": table(WEIGHTS, ",")})
    made = Connectome.load(tmp_path / "w.csv", lengths=tmp_path / f"{A}_distances.tsv")
    assert same(made, Connectome(WEIGHTS, LENGTHS * 10))


def test_a_whole_dataset_is_too_much(tmp_path):
    write(tmp_path, {"dataset_description.json": {}} | {f"sub-01/{name}": text for name, text in NET.items()})
    hint = str(tmp_path / "sub-01" / "net" / "sub-01_desc-a_weights.tsv")
    for read in (gx.io.read_bids_connectivity, Connectome.load):
        refused(FileNotFoundError, ["neither *_relmat.tsv nor net/*_weights.tsv: give the", hint], read, tmp_path)
    (tmp_path / "empty" / "net").mkdir(parents=True)
    refused(FileNotFoundError, ["neither *_relmat.tsv nor net/*_weights.tsv"], Connectome.load, tmp_path / "empty")


def test_folders_of_tables_stay_what_they_are(tmp_path):
    """Even one called net, within a folder that is a BIDS dataset."""
    write(tmp_path / "net", {"dataset_description.json": {}, "sub-01/anat/x.txt": ""})
    Connectome(**FULL).save(tmp_path / "net")
    assert same(Connectome.load(tmp_path / "net"), Connectome(**FULL))
    assert same(Connectome.load(tmp_path / "net" / "weights.tsv"), Connectome(WEIGHTS))
