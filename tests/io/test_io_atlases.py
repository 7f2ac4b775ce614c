"""Atlases from files: against nibabel's own reading, loops over voxels and nilearn's centres."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.io import read_annot, read_gifti_labels, read_label_image

nib = pytest.importorskip("nibabel")
KEYS = np.array([7, 0, 3, 3, 7, 12, 0], np.int32)
TABLE = {0: "???", 3: "V2", 7: "V1", 9: "empty", 12: "Medial_wall"}
AFFINE = np.array([[-2.0, 0.5, 0, 90], [0, 3.0, 0, -126], [0, 0, 4.0, -72], [0, 0, 0, 1]])


def gifti(path, table=TABLE, maps=(KEYS,), intent="NIFTI_INTENT_LABEL"):
    labels = nib.gifti.GiftiLabelTable()
    for key, name in table.items():
        labels.labels.append(nib.gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0))
        labels.labels[-1].label = name
    arrays = [nib.gifti.GiftiDataArray(keys, intent) for keys in maps]
    nib.save(nib.GiftiImage(labeltable=labels, darrays=arrays), path)
    return path


def test_keys_become_indices_in_their_order(tmp_path):
    found = read_gifti_labels(gifti(tmp_path / "lh.label.gii"))
    assert found.names == ("V2", "V1", "empty")
    assert found.region_of.tolist() == [1, -1, 0, 0, 1, -1, -1]
    chosen = read_gifti_labels(tmp_path / "lh.label.gii", outside=["???", "V2"])
    assert chosen.names == ("V1", "empty", "Medial_wall")
    assert chosen.region_of.tolist() == [0, -1, -1, -1, 0, 2, -1]
    everything = read_gifti_labels(tmp_path / "lh.label.gii", outside=[])
    assert everything.names[0] == "???" and everything.region_of.tolist() == [2, 0, 1, 1, 2, 4, 0]


def test_a_label_file_leads_to_a_lead_field(tmp_path, rounding):
    regions = read_gifti_labels(gifti(tmp_path / "lh.label.gii"))
    gain = np.arange(14.0).reshape(2, 7)
    field = gx.LeadField.from_vertices(gain, regions, regions=regions.names, unseen="zero")
    np.testing.assert_allclose(field.gain, [[2 + 3, 0 + 4, 0], [9 + 10, 7 + 11, 0]], rtol=rounding)


def test_label_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"two.label.gii has 2 label maps and 5 labels"):
        read_gifti_labels(gifti(tmp_path / "two.label.gii", maps=(KEYS, KEYS)))
    with pytest.raises(ValueError, match=r"shape.label.gii has 0 label maps"):
        read_gifti_labels(gifti(tmp_path / "shape.label.gii", intent="NIFTI_INTENT_SHAPE"))
    with pytest.raises(ValueError, match=r"bare.label.gii: vertex 2 has the key 3, which no label has"):
        read_gifti_labels(gifti(tmp_path / "bare.label.gii", {0: "???", 7: "V1", 12: "V3"}))
    with pytest.raises(ValueError, match="'V1' is both label 0 and label 1"):
        read_gifti_labels(gifti(tmp_path / "same.label.gii", {0: "???", 3: "V1", 7: "V1", 12: "V3"}))
    with pytest.raises(ValueError, match=r"lh.label.gii has no label 'v1': did you mean 'V1'"):
        read_gifti_labels(gifti(tmp_path / "lh.label.gii"), outside=["v1"])
    (tmp_path / "text.label.gii").write_text("nothing")
    with pytest.raises(ValueError, match=r"text.label.gii: cannot be read"):
        read_gifti_labels(tmp_path / "text.label.gii")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'lh.label.gii'"):
        read_gifti_labels(tmp_path / "rh.label.gii")


def test_annotations_of_freesurfer(tmp_path):
    colours = np.array([[25, 5, 25, 0], [220, 20, 20, 0], [20, 220, 20, 0], [1, 2, 3, 0]])
    labels = np.array([2, 0, 1, 1, -1, 2])
    nib.freesurfer.write_annot(
        tmp_path / "lh.a.annot", labels, colours, ["unknown", "V1", "V2", "none"], fill_ctab=True
    )
    found = read_annot(tmp_path / "lh.a.annot")
    assert found.names == ("V1", "V2", "none")
    assert found.region_of.tolist() == [1, -1, 0, 0, -1, 1]
    assert read_annot(tmp_path / "lh.a.annot", outside=[]).region_of.tolist() == [2, 0, 1, 1, -1, 2]
    (tmp_path / "rh.a.annot").write_bytes(b"")
    with pytest.raises(ValueError, match=r"rh.a.annot: cannot be read as .annot"):
        read_annot(tmp_path / "rh.a.annot")


def blobs(dtype=np.int16, affine=AFFINE):
    voxels = np.zeros((9, 8, 7), dtype)
    voxels[1:4, 2:5, 1:3], voxels[5:8, 1:3, 3:6], voxels[6, 6, 6] = 11, 2, 40
    return nib.Nifti1Image(voxels, affine)


def test_a_label_image_has_regions_numbers_and_centres(tmp_path, rounding):
    nib.save(blobs(), tmp_path / "atlas.nii.gz")
    atlas = read_label_image(tmp_path / "atlas.nii.gz", {2: "V1", 11: "V2", 40: "V3", 99: "not there"})
    assert atlas.numbers == (2, 11, 40) and atlas.names == ("V1", "V2", "V3")
    voxels = blobs().get_fdata()
    for i, number in enumerate(atlas.numbers):
        np.testing.assert_array_equal(atlas.region_of == i, voxels == number)
        places = [AFFINE @ [*place, 1] for place in zip(*np.nonzero(voxels == number), strict=True)]
        np.testing.assert_allclose(atlas.centres[i], np.mean(places, 0)[:3], rtol=1e-12)
    np.testing.assert_array_equal(atlas.region_of == -1, voxels == 0)
    np.testing.assert_array_equal(atlas.affine, AFFINE)
    connectome = gx.Connectome(np.ones((3, 3)), labels=atlas.names, centres=atlas.centres)
    np.testing.assert_allclose(connectome.centres, atlas.centres, rtol=10 * rounding)


def test_centres_are_those_of_nilearn():
    plotting = pytest.importorskip("nilearn.plotting")
    image = blobs(np.int32, np.diag([2.0, 3.0, 4.0, 1.0]))  # nilearn wants no shear
    expected = plotting.find_parcellation_cut_coords(image)
    np.testing.assert_allclose(read_label_image(image).centres, expected, rtol=1e-6)


@settings(max_examples=10)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=12).filter(any), st.booleans())
def test_any_label_image_is_covered_once(numbers, as_floats):
    voxels = np.array(numbers, np.float32 if as_floats else np.uint8).reshape(2, 3, 2)
    atlas = read_label_image(nib.Nifti1Image(voxels, np.eye(4)))
    known = np.array([*atlas.numbers, 0])
    np.testing.assert_array_equal(known[atlas.region_of], voxels)
    assert atlas.names == tuple(f"label_{number}" for number in atlas.numbers)


def test_names_from_tables_and_lists(tmp_path):
    table = tmp_path / "atlas_dseg.tsv"
    table.write_text("index\tname\tcolor\n11\tV2\t#000000\n2\tV1\t#ffffff\n40\tleft V3\tn/a\n41\tother\tn/a\n")
    assert read_label_image(blobs(), table).names == ("V1", "V2", "left V3")
    assert read_label_image(blobs(), ["a", "b", "c"]).names == ("a", "b", "c")
    with pytest.raises(ValueError, match="the label image has 3 regions, and there are 2 names"):
        read_label_image(blobs(), ["a", "b"])
    with pytest.raises(ValueError, match="there is none for 40, which the label image has"):
        read_label_image(blobs(), {2: "a", 11: "b"})
    table.write_text("number\tname\n2\tV1\n")
    with pytest.raises(ValueError, match=r"dseg.tsv has the columns number, name: expected 'index' and 'name'"):
        read_label_image(blobs(), table)
    table.write_text("index\tname\n2\tV1\nx\tV2\n")
    with pytest.raises(ValueError, match=r"dseg.tsv: index 'x' in line 3"):
        read_label_image(blobs(), table)


def test_images_that_have_no_labels(tmp_path):
    with pytest.raises(ValueError, match="whole numbers"):
        read_label_image(nib.Nifti1Image(np.full((2, 2, 2), 0.5), np.eye(4)))
    with pytest.raises(ValueError, match=r"shape \(2, 2, 2, 3\)"):
        read_label_image(nib.Nifti1Image(np.ones((2, 2, 2, 3), np.int16), np.eye(4)))
    with pytest.raises(ValueError, match="the label image is zero everywhere"):
        read_label_image(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)))
    (tmp_path / "atlas.nii").write_text("nothing")
    with pytest.raises(ValueError, match=r"atlas.nii: cannot be read as an image"):
        read_label_image(tmp_path / "atlas.nii")
