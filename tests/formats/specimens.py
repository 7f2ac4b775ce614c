"""A small good file of every format that is read, and what reads it."""

import bz2
import json
import zipfile

import jax.numpy as jnp
import numpy as np
import scipy.io
import scipy.sparse

import gyrax as gx
from gyrax import io

W = np.array([[0.0, 2.0, 0.5], [1.0, 0.0, 4.0], [0.0, 3.0, 0.0]])
L = np.array([[0.0, 20.0, 30.0], [20.0, 0.0, 40.0], [30.0, 40.0, 0.0]])
C = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0], [7.0, 8.0, -9.0]])
NAMES = ["V1", "V2", "MT"]
X = np.random.default_rng(0).normal(size=(7, 3)).round(3)
SPECIMENS = {}


def specimen(read):
    """A function that makes a good file is put on the list with what reads it."""

    def add(make):
        SPECIMENS[make.__name__] = (make, read)
        return make

    return add


def text(values, mark=" "):
    return "\n".join(mark.join(map(str, row)) for row in np.asarray(values)) + "\n"


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if isinstance(content, dict) else content, encoding="utf-8")
    return path


CENTRES = "V1 1 2 3\nV2 -4 5 6\nMT 7 8 -9\n"
CONNECTOME = {"SC": W, "dist": L, "labels": np.array(NAMES, object), "xyz": C}
load = gx.Connectome.load


@specimen(load)
def csv(folder):
    return put(folder / "w.csv", ",V1,V2,MT\nV1,0,2,.5\nV2,1,0,4\nMT,0,3,0\n")


@specimen(io.read_matrix)
def r_table(folder):
    return put(folder / "w.txt", '"V1" "left V2" "MT"\n"V1" 0 2 .5\n"left V2" 1 0 4\n"MT" 0 3 0\n')


@specimen(load)
def tables(folder):
    put(folder / "weights.tsv", text(W, "\t"))
    put(folder / "lengths.txt", text(L))
    put(folder / "labels.csv", "V1\nV2\nMT\n")
    put(folder / "centres.csv", text(C, ","))
    return folder


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


MEMBERS = {"weights.txt": text(W), "tract_lengths.txt": text(L), "centres.txt": CENTRES}


@specimen(io.read_tvb_zip)
def tvb_zip(folder):
    return zipped(folder / "c.zip", MEMBERS)


@specimen(load)
def tvb_zip_of_bz2(folder):
    return zipped(folder / "c.zip", {f"c/{name}.bz2": bz2.compress(data.encode()) for name, data in MEMBERS.items()})


@specimen(load)
def npz(folder):
    gx.Connectome(W, L, NAMES, C).save(folder / "c.npz")
    return folder / "c.npz"


@specimen(io.read_matrix)
def npy(folder):
    np.save(folder / "w.npy", np.asfortranarray(W))
    return folder / "w.npy"


@specimen(io.read_mat)
def mat4(folder):
    scipy.io.savemat(folder / "c.mat", {"SC": scipy.sparse.coo_matrix(W), "dist": L}, format="4")
    return folder / "c.mat"


@specimen(io.read_mat)
def mat5(folder):
    sparse = CONNECTOME | {"SC": scipy.sparse.csc_array(W), "s": {"a": {"b": [1, 2]}, "c": CONNECTOME["labels"]}}
    scipy.io.savemat(folder / "c.mat", sparse)
    return folder / "c.mat"


@specimen(load)
def mat5_compressed(folder):
    scipy.io.savemat(folder / "c.mat", CONNECTOME, do_compression=True)
    return folder / "c.mat"


@specimen(load)
def mat73(folder):
    import h5py

    sparse = scipy.sparse.csc_array(W)
    with h5py.File(folder / "c.mat", "w", userblock_size=512) as file:
        file["dist"], group = L.T, file.create_group("SC")
        group.attrs["MATLAB_sparse"] = np.uint64(3)
        group["data"], group["ir"], group["jc"] = sparse.data, sparse.indices, sparse.indptr
        cells = []
        for i, name in enumerate(NAMES):
            file[f"#refs#/{i}"] = np.array([[ord(c)] for c in name], np.uint16)
            file[f"#refs#/{i}"].attrs["MATLAB_class"] = np.bytes_("char")
            cells.append(file[f"#refs#/{i}"].ref)
        file.create_dataset("labels", data=np.array([cells], h5py.ref_dtype), dtype=h5py.ref_dtype)
        file["empty"] = np.array([0, 0], np.uint64)
        file["empty"].attrs["MATLAB_empty"] = np.uint8(1)
    with open(folder / "c.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return folder / "c.mat"


@specimen(io.read_hdf5)
def tvb_hdf5(folder):
    import h5py

    with h5py.File(folder / "c.h5", "w") as file:
        file["weights"], file["tract_lengths"], file["centres"] = W, L, C
        file["region_labels"] = np.array(NAMES, "S")
    return folder / "c.h5"


@specimen(load)
def tvbo_hdf5(folder):
    import h5py

    sparse, parts = scipy.sparse.csr_array(W), {}
    with h5py.File(folder / "c.h5", "w") as file:
        file.attrs["sidecar_file"] = "c.yaml"
        parts["weight"] = {"data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}
        parts["length"] = {"data": L, "_dim_row_labels": np.array(NAMES, dtype=h5py.string_dtype())}
        for name, arrays in parts.items():
            group = file.create_group(f"edges/{name}")
            group.attrs["format"], group.attrs["shape"] = "csr" if name == "weight" else "dense", [3, 3]
            for key, value in arrays.items():
                group[key] = value
        file["nodes/coordinates"] = C.astype(np.float32)
    put(folder / "c.yaml", {"number_of_nodes": 3, "nodes": [{"id": i, "label": name} for i, name in enumerate(NAMES)]})
    return folder / "c.h5"


@specimen(io.read_bids_connectivity)
def bids_relmat(folder):
    facts = {"RelationshipMeasure": "m", "Directed": True, "NodeFiles": ["atlas/DK_dseg.tsv"], "MeasureUnits": "mm"}
    for measure, matrix in (("streamlineCount", W), ("tractLength", L)):
        put(folder / f"meas-{measure}_relmat.dense.tsv", text(matrix, "\t"))
        put(folder / f"meas-{measure}_relmat.json", facts)
    put(folder / "atlas" / "DK_dseg.tsv", "index\tname\n1\tV1\n5\tV2\n7\tMT\n")
    put(folder / "nodeindices.tsv", "matrix_index\tnode_index\n0\t1\n2\t7\n1\t5\n")
    put(folder / "dataset_description.json", {})
    return folder


@specimen(load)
def bids_network(folder):
    coordinates = ["../coord/a_labels.json", "../coord/a_nodes.json"]
    facts = {
        "NumberOfRows": 3,
        "NumberOfColumns": 3,
        "CoordsRows": coordinates,
        "CoordsColumns": coordinates,
        "Units": "mm",
    }
    for name, matrix in (("weights", W), ("distances", L)):
        put(folder / "net" / f"a_{name}.tsv", text(matrix, "\t"))
        put(folder / "net" / f"a_{name}.json", facts)
    put(folder / "coord" / "a_labels.tsv", "V1\nV2\nMT\n")
    put(folder / "coord" / "a_nodes.tsv", text(C, "\t"))
    put(folder / "coord" / "a_nodes.json", {"Units": "m"})
    return folder


@specimen(io.read_sensors)
def sensors(folder):
    (folder / "s.txt.bz2").write_bytes(bz2.compress(b"Fz 60 0 95 1 0 0\nCz -5 0 120 0 1 0\n"))
    return folder / "s.txt.bz2"


@specimen(lambda path: io.read_gain(path).shape)
def gain(folder):
    scipy.io.savemat(folder / "g.mat", {"Gain": X, "Comment": "x"})
    return folder / "g.mat"


@specimen(io.read_region_map)
def region_map(folder):
    return put(folder / "m.txt", "0 0 1, 2\n2 -1\n")


@specimen(io.read_region_map)
def region_map_of_numpy(folder):
    np.save(folder / "m.npy", np.array([0.0, 1.0, -1.0]))
    return folder / "m.npy"


@specimen(io.read_gifti_labels)
def label_gii(folder):
    import nibabel as nib

    table = nib.gifti.GiftiLabelTable()
    for key, name in ((0, "???"), (3, "V2"), (7, "V1")):
        table.labels.append(nib.gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0))
        table.labels[-1].label = name
    keys = nib.gifti.GiftiDataArray(np.array([7, 0, 3, 3], np.int32), "NIFTI_INTENT_LABEL")
    nib.save(nib.GiftiImage(labeltable=table, darrays=[keys]), folder / "a.label.gii")
    return folder / "a.label.gii"


@specimen(io.read_annot)
def annot(folder):
    import nibabel as nib

    colours = np.array([[25, 5, 25, 0], [220, 20, 20, 0], [20, 220, 20, 0]])
    nib.freesurfer.write_annot(
        folder / "a.annot", np.array([2, 0, 1, 1, -1]), colours, ["unknown", "V1", "V2"], fill_ctab=True
    )
    return folder / "a.annot"


def volume(path, values):
    import nibabel as nib

    image = nib.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0]))
    if values.ndim == 4:
        image.header.set_zooms((2, 2, 2, 0.72))
        image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


VOXELS = np.repeat(np.array([0, 3, 8], np.int16), 8).reshape(3, 4, 2)


@specimen(lambda path: io.read_label_image(path, path.with_name("a_dseg.tsv")))
def label_image(folder):
    put(folder / "a_dseg.tsv", "index\tname\n3\tV1\n8\tleft V2\n9\tx\n")
    return volume(folder / "a.nii", VOXELS)


@specimen(io.read_label_image)
def label_image_packed(folder):
    return volume(folder / "a.nii.gz", VOXELS.astype(np.float32))


@specimen(lambda path: io.read_series(path, atlas=path.with_name("a.nii.gz")))
def bold(folder):
    label_image_packed(folder)
    return volume(folder / "b.nii", np.random.default_rng(0).normal(size=(3, 4, 2, 5)).astype(np.float32))


@specimen(lambda path: io.read_series(path, period=720.0, atlas=path.with_name("a.label.gii")))
def func_gii(folder):
    import nibabel as nib

    label_gii(folder)
    arrays = [nib.gifti.GiftiDataArray(np.float32([i, 1, 2, 3]), "NIFTI_INTENT_TIME_SERIES") for i in range(5)]
    nib.save(nib.GiftiImage(darrays=arrays), folder / "b.func.gii")
    return folder / "b.func.gii"


@specimen(lambda path: io.read_series(path, atlas=path.with_name("a.dlabel.nii")))
def dtseries(folder):
    import nibabel as nib
    from nibabel.cifti2 import cifti2_axes as axes

    surface = axes.BrainModelAxis.from_mask(np.array([1, 1, 0, 1, 1], bool), "CORTEX_LEFT")
    whole = axes.BrainModelAxis.from_mask(np.ones(5, bool), "CORTEX_LEFT")
    table = {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 5: ("V2", (0, 1, 0, 1))}
    keys = np.array([[1, 1, 5, 5, 0]], float)
    nib.save(nib.Cifti2Image(keys, (axes.LabelAxis(["p"], [table]), whole)), folder / "a.dlabel.nii")
    time = axes.SeriesAxis(0, 0.72, 7)
    nib.save(nib.Cifti2Image(np.c_[X, X[:, 0]], (time, surface)), folder / "b.dtseries.nii")
    return folder / "b.dtseries.nii"


@specimen(io.read_series)
def ptseries(folder):
    import nibabel as nib
    from nibabel.cifti2 import cifti2_axes as axes

    name = "CIFTI_STRUCTURE_CORTEX_LEFT"
    vertices = [{name: np.array([i])} for i in range(3)]
    parcels = axes.ParcelsAxis(NAMES, [np.zeros((0, 3), int)] * 3, vertices, nvertices={name: 5})
    nib.save(nib.Cifti2Image(X, (axes.SeriesAxis(0, 0.72, 7), parcels)), folder / "b.ptseries.nii")
    return folder / "b.ptseries.nii"


@specimen(io.read_series)
def series_tsv(folder):
    rows = np.c_[np.arange(7) * 720, X]
    return put(folder / "b.tsv", "\t".join(["time_ms", *NAMES]) + "\n" + text(rows, "\t"))


@specimen(lambda path: io.read_series(path, 720.0, transpose=True))
def series_mat(folder):
    scipy.io.savemat(folder / "b.mat", {"ts": X.T, "roi_names": np.array(NAMES, object)})
    return folder / "b.mat"


@specimen(lambda path: io.read_series(path, 720.0))
def series_npz(folder):
    np.savez(folder / "b.npz", x=X, labels=np.array(NAMES))
    return folder / "b.npz"


def recording():
    return io.from_nilearn(jnp.asarray(X), 0.72, NAMES)


@specimen(io.read_recordings)
def netcdf(folder):
    io.to_netcdf(recording(), folder / "r.nc")
    return folder / "r.nc"


@specimen(io.read_recordings)
def zarr(folder):
    io.to_zarr(recording(), folder / "r.zarr")
    return folder / "r.zarr"
