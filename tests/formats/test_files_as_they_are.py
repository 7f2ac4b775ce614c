"""Files as programs and people write them, and as nobody should: what they hold is read, and what they claim is checked first."""

import bz2
import gzip
import os
import re
import struct
import time
import warnings
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from specimens import CENTRES, MEMBERS, NAMES, SPECIMENS, C, L, W, put, text, zipped

import gyrax as gx
from gyrax._formats import reading

pytestmark = pytest.mark.once
load = gx.Connectome.load


def same(one, two):
    assert one.labels == two.labels
    np.testing.assert_allclose(one.weights, two.weights, rtol=1e-6)
    assert (one.lengths is None) == (two.lengths is None)


# ---- text as R, MRtrix and people write it


@pytest.mark.parametrize(
    ("table", "labels"),
    [
        ('"V1" "left V2" "MT"\n"V1" 0 2 .5\n"left V2" 1 0 4\n"MT" 0 3 0\n', ("V1", "left V2", "MT")),
        ('"V1"\t"left V2"\t"MT"\n"V1"\t0\t2\t.5\n"left V2"\t1\t0\t4\n"MT"\t0\t3\t0\n', ("V1", "left V2", "MT")),
        ('"","V1","a ""b""","c,d"\n"V1",0,2,.5\n"a ""b""",1,0,4\n"c,d",0,3,0\n', ("V1", 'a "b"', "c,d")),
        ('"5" "17" "40"\n"5" 0 2 .5\n"17" 1 0 4\n"40" 0 3 0\n', ("5", "17", "40")),  # which look like numbers
        ("1_1,1_2,2_1\n0,2,.5\n1,0,4\n0,3,0\n", ("1_1", "1_2", "2_1")),
        (",1_1,1_2,2_1\n1_1,0,2,.5\n1_2,1,0,4\n2_1,0,3,0\n", ("1_1", "1_2", "2_1")),
    ],
)
def test_labels_of_tables(table, labels, tmp_path):
    matrix = gx.io.read_matrix(put(tmp_path / "w.TXT", table))
    np.testing.assert_array_equal(matrix, W)
    assert getattr(matrix, "labels", None) == labels


def test_1_0_is_no_number(tmp_path):
    with pytest.raises(ValueError, match=r"w.csv: entry \[1, 0\] \(line 2 of the file\) is '1_0', expected a number"):
        load(put(tmp_path / "w.csv", "0,1\n1_0,0\n"))
    with pytest.raises(ValueError, match=r"line 1 has a quote that is not closed"):
        load(put(tmp_path / "w.csv", '"V1,V2\n0,1\n1,0\n'))
    with pytest.raises(ValueError, match=r"line 2 has 4 entries, .*; a name with spaces needs quotes"):
        gx.io.read_sensors(put(tmp_path / "s.txt", "F z 1 2 3\nCz 1 2 3\n"))


def test_endings_in_capitals_are_read_in_folders_too(tmp_path):
    for name, value in (("Weights.CSV", text(W, ",")), ("tract_lengths.TXT", text(L)), ("LABELS.csv", "V1\nV2\nMT\n")):
        put(tmp_path / "c" / name, value)
    same(load(tmp_path / "c"), gx.Connectome(W, L, NAMES))
    for make, read in (
        SPECIMENS[name] for name in ("tvb_zip", "npz", "npy", "mat5", "region_map_of_numpy", "series_npz")
    ):
        path = make(tmp_path)
        read(path.rename(path.with_name(path.name.upper())))


@pytest.mark.parametrize("name", ["lengths.mat", "tract_lengths.csv.gz", "labels.xlsx"])
def test_a_field_that_a_folder_does_not_read_is_not_passed_over(name, tmp_path):
    put(tmp_path / "weights.tsv", text(W, "\t"))
    put(tmp_path / name, "")
    with pytest.raises(ValueError, match=re.escape(f"{name} would be passed over")):
        load(tmp_path)


def test_labels_in_quotes_and_tables(tmp_path):
    put(tmp_path / "weights.tsv", text(W, "\t"))
    put(tmp_path / "labels.tsv", '"V1"\n"V2"\n"MT"\n')
    assert load(tmp_path).labels == tuple(NAMES)
    put(tmp_path / "labels.tsv", "V1\tleft\nV2\tleft\nMT\tright\n")
    with pytest.raises(ValueError, match=r"labels.tsv: line 1 has 2 entries, expected one label a line"):
        load(tmp_path)
    quoted = gx.Connectome(W, labels=['"a"', '"b"', '"c"'])
    quoted.save(tmp_path / "again")
    assert load(tmp_path / "again").labels == quoted.labels


@pytest.mark.parametrize(("half", "take"), [("upper", np.triu), ("lower", np.tril)])
def test_half_of_a_matrix_is_said_and_made_whole(half, take, tmp_path):
    whole = W + W.T
    file, lengths = put(tmp_path / "w.csv", text(take(whole), ",")), put(tmp_path / "l.csv", text(L, ","))
    with pytest.warns(UserWarning, match=rf"w.csv has values in its {half} half alone.*symmetric='{half}'"):
        np.testing.assert_array_equal(load(file).weights, take(whole))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = load(file, lengths=lengths, symmetric=half)
        np.testing.assert_array_equal(made.weights, whole)
        np.testing.assert_array_equal(made.lengths, L)
        np.testing.assert_array_equal(gx.io.read_matrix(file, symmetric=half), whole)
    with pytest.raises(ValueError, match=rf"w.csv: entry .* zero where symmetric='{half}'"):
        load(put(tmp_path / "w.csv", text(W, ",")), symmetric=half)
    with pytest.raises((ValueError, TypeError), match="symmetric"):
        load(file, symmetric="both")


def test_an_empty_member_of_a_tvb_zip_is_not_known(tmp_path):
    with pytest.warns(UserWarning, match=r"lengths in .*c.zip/tract_lengths.txt are not known: that file is empty"):
        assert load(zipped(tmp_path / "c.zip", MEMBERS | {"tract_lengths.txt": "\n"})).lengths is None
    with pytest.raises(ValueError, match=r"weights.txt: the file is empty"):
        load(zipped(tmp_path / "c.zip", MEMBERS | {"weights.txt": ""}))


def test_empty_variables_of_matlab(tmp_path):
    h5py = pytest.importorskip("h5py")
    scipy.io.savemat(tmp_path / "five.mat", {"SC": W, "dist": np.zeros((0, 0)), "labels": np.zeros(0, object)})
    same(load(tmp_path / "five.mat"), gx.Connectome(W))
    path = SPECIMENS["mat73"][0](tmp_path)  # which has an empty variable
    same(load(path), gx.Connectome(W, L, NAMES))
    with h5py.File(path, "r+") as file:
        del file["SC/data"], file["SC/ir"]
        file["SC/jc"][:] = 0
        for name in ("dist", "labels"):
            del file[name]
            file[name] = np.array([0, 0], np.uint64)
            file[name].attrs["MATLAB_empty"] = np.uint8(1)
    same(load(path), gx.Connectome(np.zeros((3, 3))))


def test_hdf5_of_tvb_and_tvbo(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("tvb_hdf5", "tvbo_hdf5"):
        (tmp_path / name).mkdir()
        path = SPECIMENS[name][0](tmp_path / name)
        made = load(path)
        same(made, gx.Connectome(W, L, NAMES))
        np.testing.assert_allclose(made.centres, C, rtol=1e-6)
    (tmp_path / "tvbo_hdf5" / "c.yaml").unlink()
    same(load(path), made)  # by the labels beside the lengths
    with h5py.File(path, "r+") as file:
        del file["edges/length/_dim_row_labels"]
    with pytest.raises(
        FileNotFoundError, match=r"c.h5 has its labels in 'c.yaml', which is not beside it: pass labels="
    ):
        load(path)
    same(load(path, labels=put(tmp_path / "labels.txt", "V1\nV2\nMT\n")), made)
    with h5py.File(path, "r+") as file:
        file["edges/length"].attrs["unit"] = "cm"
        file["edges/weights"] = h5py.SoftLink("/edges/weight")
    with pytest.raises(ValueError, match="'weight' and 'weights' may both be weights"):
        gx.io.read_hdf5(path)
    with pytest.raises(ValueError, match="'length' is in 'cm', expected mm"):
        gx.io.read_hdf5(path, weights="weight")


# ---- what files claim


def sparse_mat(folder, monkeypatch, indices, shape=(3, 3)):
    """As an attacker, or a broken disk, writes it."""
    made = scipy.sparse.csc_array(W)
    made.indices = np.array(indices, made.indices.dtype)
    made._shape = shape
    scipy.io.savemat(folder / "c.mat", {"SC": made})
    return folder / "c.mat"


@pytest.mark.parametrize("index", [3, 10**6, 10**9, -1])
def test_a_sparse_matrix_with_indices_beyond_its_shape_is_refused(index, tmp_path, monkeypatch):
    path = sparse_mat(tmp_path, monkeypatch, [1, 0, 2, 0, index])
    # by us, or by an earlier scipy itself
    with pytest.raises(ValueError, match=r"c.mat: cannot be read as (a sparse matrix|.mat: .*index)"):
        gx.io.read_mat(path)
    h5py = pytest.importorskip("h5py")
    path = SPECIMENS["mat73"][0](tmp_path)
    with h5py.File(path, "r+") as file:
        file["SC/ir"][-1] = index
        if index == 3:  # which scipy itself does not see
            file["SC/ir"][-1], file["SC/jc"][2:] = 1, 0
    with pytest.raises(ValueError, match=r"c.mat: cannot be read as .mat"):
        gx.io.read_mat(path)
    path = SPECIMENS["tvbo_hdf5"][0](tmp_path)
    with h5py.File(path, "r+") as file:
        file["edges/weight/indices"][-1] = index
    with pytest.raises(ValueError, match=r"c.h5: cannot be read as HDF5"):
        load(path)


def test_a_small_file_does_not_take_all_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "TEXT", 2**20)
    monkeypatch.setattr(reading, "ARRAYS", 2**20)
    h5py, nib = pytest.importorskip("h5py"), pytest.importorskip("nibabel")
    many = 10**6
    with (tmp_path / "w.npy").open("wb") as file:
        facts = {"descr": "<f8", "fortran_order": False, "shape": (many, many)}
        np.lib.format.write_array_header_1_0(file, facts)
    scipy.io.savemat(tmp_path / "rows.mat", {"SC": scipy.sparse.csc_array((2**31 - 1, 0))})
    scipy.io.savemat(tmp_path / "sparse.mat", {"SC": scipy.sparse.csc_array((many, many))})
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("weights", (many, many), "f8", chunks=True)
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(100))
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(100))
    zipped(tmp_path / "c.zip", {"weights.txt": "0 " * 2**20})
    (tmp_path / "s.txt.bz2").write_bytes(bz2.compress(b"0 " * 2**20))
    np.savez_compressed(tmp_path / "w.npz", weights=np.zeros((600, 600)))
    image, words = gx.io.read_label_image, r"would take .* GB, .*gyrax.io.allowing\(gigabytes=|it claims"
    for name, read in [
        *((name, load) for name in ("w.npy", "sparse.mat", "rows.mat", "c.h5", "c.zip", "w.npz")),
        *((name, image) for name in ("a.nii", "a.nii.gz")),
        ("s.txt.bz2", gx.io.read_sensors),
    ]:
        begin = time.process_time()
        with pytest.raises(ValueError, match=words) as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert time.process_time() - begin < 2


def test_the_bound_can_be_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "ARRAYS", 1000)
    np.savez_compressed(tmp_path / "w.npz", weights=np.zeros((60, 60)))
    with pytest.raises(ValueError, match=r"gigabytes=1\)"):
        load(tmp_path / "w.npz")
    with gx.io.allowing(gigabytes=1):
        assert load(tmp_path / "w.npz").n_regions == 60
    with pytest.raises(ValueError), gx.io.allowing(gigabytes=0):
        pass


def test_damage_that_crashes_or_hangs_libraries_is_found_before(tmp_path):
    """A type that MATLAB does not have crashed scipy, and a heap with a text of no length never ended in HDF5."""
    data = SPECIMENS["mat5"][0](tmp_path).read_bytes()
    at = data.index(b"SC\0\0") + 4  # the type of the rows
    (tmp_path / "c.mat").write_bytes(data[:at] + struct.pack("<I", 0) + data[at + 4 :])
    with pytest.raises(ValueError, match="an element is of type 0"):
        load(tmp_path / "c.mat")
    pytest.importorskip("h5py")
    data = bytearray(SPECIMENS["tvbo_hdf5"][0](tmp_path).read_bytes())
    at = data.index(b"V1\0", data.index(b"GCOL")) - 8
    data[at : at + 8] = struct.pack("<Q", 232)
    (tmp_path / "c.h5").write_bytes(data)
    with pytest.raises(ValueError, match="a heap of texts in it is damaged"):
        load(tmp_path / "c.h5")


def test_dimensions_that_never_end(tmp_path):
    pytest.importorskip("nibabel")
    path = SPECIMENS["label_gii"][0](tmp_path)
    put(path, path.read_text().replace('Dimensionality="1"', f'Dimensionality="{10**12}"'))
    with pytest.raises(ValueError, match=r"a.label.gii: cannot be read as GIfTI: an array claims the shape"):
        gx.io.read_gifti_labels(path)


def test_a_name_that_is_twice_in_a_zip(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for value in (W, 2 * W):
            archive.writestr("weights.txt", text(value))
    with pytest.raises(ValueError, match=r"c.zip has weights.txt twice"):
        load(tmp_path / "c.zip")


@pytest.mark.parametrize("word", ["inf", "1e300", str(2**63), "nan", "0.5", "-2"])
def test_regions_are_whole_numbers_of_a_size(word, tmp_path):
    with pytest.raises(ValueError, match=r"m.txt: vertex 2 is in region"):
        gx.io.read_region_map(put(tmp_path / "m.txt", f"0 1 {word}"))
    np.save(tmp_path / "m.npy", np.array([0, 1, float(word)]))
    with pytest.raises(ValueError, match=r"m.npy: vertex 2 is in region"):
        gx.io.read_region_map(tmp_path / "m.npy")
    nib = pytest.importorskip("nibabel")
    if word != "-2":
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), float(word)), np.eye(4)), tmp_path / "a.nii")
        with pytest.raises(ValueError, match=r"a.nii: a label image has whole numbers"):
            gx.io.read_label_image(tmp_path / "a.nii")


@pytest.mark.parametrize("word", ["nan", "inf", "n/a"])
def test_sensors_are_somewhere(word, tmp_path):
    with pytest.raises(ValueError, match=r"s.txt: entry \[1, 0\] of 'Cz' is"):
        gx.io.read_sensors(put(tmp_path / "s.txt", f"Fz 1 2 3\nCz {word} 2 3\n"))


# ---- other files


def test_pipes_devices_and_links_out_of_a_folder_are_refused(tmp_path):
    os.mkfifo(tmp_path / "w.csv")
    for path in (tmp_path / "w.csv", "/dev/zero"):
        for read in (load, gx.io.read_matrix, gx.io.read_region_map, gx.io.read_label_image):
            with pytest.raises(ValueError, match="is no regular file, but a pipe or a device"):
                read(path)
    secret = put(tmp_path / "secret.tsv", text(W, "\t"))
    folder = put(tmp_path / "c" / "labels.txt", "V1\nV2\nMT\n").parent
    (folder / "weights.tsv").symlink_to(secret)
    with pytest.raises(ValueError, match=r"weights.tsv leads out of .*c, to .*secret.tsv"):
        load(folder)
    assert load(folder / "weights.tsv").n_regions == 3  # named by the user
    (folder / "weights.tsv").unlink()
    (folder / "weights.tsv").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="leads out of"):
        load(folder)
    (folder / "weights.tsv").unlink()
    os.mkfifo(folder / "weights.tsv")
    with pytest.raises(ValueError, match="is no regular file"):
        load(folder)


@pytest.mark.parametrize("link", ["../secret.tsv", "bids::../secret.tsv", "/etc/secret.tsv", 3, ""])
def test_bids_does_not_lead_out_of_its_data(link, tmp_path):
    put(tmp_path / "secret.tsv", "index\tname\n1\tV1\n5\tV2\n7\tMT\n")
    folder = SPECIMENS["bids_relmat"][0](tmp_path / "set")
    facts = {"RelationshipMeasure": "m", "Directed": True, "NodeFiles": [link]}
    for measure in ("streamlineCount", "tractLength"):
        put(folder / f"meas-{measure}_relmat.json", facts)
    with pytest.raises((ValueError, FileNotFoundError), match=r"leads out of|there is no|expected the path"):
        load(folder)


def test_data_in_other_files_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["w"] = W
    put(tmp_path / "raw", text(W))
    for i, make in enumerate(
        (
            lambda file: file.__setitem__("weights", h5py.ExternalLink("other.h5", "w")),
            lambda file: file.create_dataset("weights", (3, 3), "f8", external=[("raw", 0, 72)]),
            lambda file: file.create_virtual_dataset("weights", layout()),
        )
    ):

        def layout():
            made = h5py.VirtualLayout((3, 3), "f8")
            made[:] = h5py.VirtualSource("other.h5", "w", (3, 3))
            return made

        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            make(file)
        with pytest.raises(ValueError, match=rf"{i}.h5: 'weights' is a link to another file|lies in other files"):
            load(tmp_path / f"{i}.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["edges/weight"] = file
    with pytest.raises(ValueError, match=r"c.h5"):
        load(tmp_path / "c.h5")
    pytest.importorskip("nibabel")
    path = SPECIMENS["label_gii"][0](tmp_path)
    external = (
        path.read_text()
        .replace("GZipBase64Binary", "ExternalFileBinary")
        .replace('ExternalFileName=""', 'ExternalFileName="raw"')
    )
    put(path, external)
    with pytest.raises(ValueError, match=r"a.label.gii: cannot be read as GIfTI: an array lies in 'raw'"):
        gx.io.read_gifti_labels(path)


def test_many_labels_and_columns_take_linear_time(tmp_path):
    begin, many = time.process_time(), 60_000
    names = "\n".join(f"region {i}" for i in range(many)) + "\n"
    put(tmp_path / "labels.txt", names)
    with pytest.raises(ValueError, match="60000 labels, but"):
        load(put(tmp_path / "w.csv", "0"), labels=tmp_path / "labels.txt")
    put(tmp_path / "s.tsv", "\t".join(f"c{i}" for i in range(many)) + "\n" + 2 * ("\t".join(["0.5"] * many) + "\n"))
    assert len(gx.io.read_series(tmp_path / "s.tsv", 1.0).labels) == many
    assert len(gx.io.read_region_map(put(tmp_path / "m.txt", "1\n" * many))) == many
    assert time.process_time() - begin < 5


def test_positions_of_a_zip_keep_their_labels(tmp_path):
    same(
        load(zipped(tmp_path / "c.zip", {"weights.txt": text(W), "centres.txt": CENTRES})),
        gx.Connectome(W, labels=NAMES),
    )
