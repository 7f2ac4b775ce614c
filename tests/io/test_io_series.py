"""Measured series: their values, names and times, to the last digit, and what is no series."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

import gyrax as gx
from gyrax.io import from_epochs, from_evoked, from_nilearn, from_raw, read_series
from gyrax.io.series import _period

VALUES = np.random.default_rng(0).normal(size=(6, 3))
NAMES = ["V1", "V2", "V3"]
KIND = jnp.result_type(float)


@pytest.fixture(scope="module")
def mne():
    module = pytest.importorskip("mne")
    with module.use_log_level("error"):
        yield module


def info(mne, rate=250.0, kinds=("eeg", "eeg", "mag", "stim")):
    return mne.create_info(["Fz", "Cz", "M1", "STI"], rate, list(kinds))


DATA = 1e-6 * np.random.default_rng(1).normal(size=(4, 50))


# rates -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "period"),
    [
        (1000.0, 1.0),
        (250.0, 4.0),
        (1024.0, 0.9765625),
        (8192.0, 0.1220703125),
        (1 / 0.72, 720.0),
        (float(np.float32(600.615)), 1000 / 600.615),
        (float(np.float32(1 / 0.72)), 1000 / 1.3888888),
        (300.0, 1000 / 300),
    ],
)
def test_periods_have_no_rounding_left(rate, period):
    assert _period(rate) == period


@given(st.integers(1, 100_000))
def test_a_rate_that_a_file_keeps_as_float32_is_the_same(tenths):
    rate = tenths / 10
    assert _period(float(np.float32(rate))) == _period(rate) == pytest.approx(1000 / rate, rel=1e-15)


# MNE -------------------------------------------------------------------------------------------------------------------


def test_a_raw_becomes_a_recording(mne, rounding):
    raw = mne.io.RawArray(DATA, info(mne), first_samp=700)
    found = from_raw(raw, "eeg")
    np.testing.assert_allclose(found.values, DATA[:2].T, rtol=rounding)
    assert found.values.dtype == KIND and found.source == ("eeg",)
    assert found.labels == ("Fz", "Cz") and found.dims == ("time", "sensor") and found.channel == "sensor"
    np.testing.assert_allclose(found.times, 1000 * raw.times, rtol=0, atol=1e-9)
    assert found.to_xarray().sel(sensor="Cz").shape == (50,)
    assert from_raw(raw, ["Cz", "M1"]).source == ("eeg", "mag")
    with pytest.raises(
        ValueError, match="channels of eeg, mag, which have units of their own: choose with picks='eeg'"
    ):
        from_raw(raw)
    raw.info["bads"] = ["Fz"]
    assert from_raw(raw, "eeg").labels == ("Cz",)
    assert from_raw(raw, ["Fz"]).labels == ("Fz",)  # asked for by name
    assert raw.ch_names == ["Fz", "Cz", "M1", "STI"]
    np.testing.assert_array_equal(raw.get_data(), DATA)


def test_a_file_of_mne_keeps_its_rate(mne, tmp_path):
    raw = mne.io.RawArray(DATA, info(mne, 600.615), first_samp=0)
    raw.save(tmp_path / "sub-01_raw.fif")
    found = from_raw(mne.io.read_raw_fif(tmp_path / "sub-01_raw.fif"), "mag")
    assert found.period == found.dt == 1000 / 600.615
    np.testing.assert_allclose(found.values, DATA[2:3].T, rtol=1e-6)
    assert gx.features.psd(found).labels == ("M1",)


@pytest.mark.once
def test_spans_annotated_as_bad_are_refused(mne):
    raw = mne.io.RawArray(DATA, info(mne))
    raw.set_annotations(mne.Annotations([0.02, 0.1], [0.012, 0.004], ["BAD_blink", "stimulus"]))
    with pytest.raises(ValueError, match="annotated as bad: 20, 24, 28 ms"):
        from_raw(raw, "eeg")
    assert from_raw(raw, "eeg", annotated="keep").values.shape == (50, 2)
    assert from_raw(raw.copy().crop(0.1), "eeg").values.shape == (25, 2)


def test_an_average_begins_before_zero(mne, rounding):
    evoked = mne.EvokedArray(DATA, info(mne), tmin=-0.1)
    found = from_evoked(evoked, "eeg")
    np.testing.assert_allclose(found.values, DATA[:2].T, rtol=rounding)
    np.testing.assert_allclose(found.times, 1000 * evoked.times, rtol=0, atol=1e-9)
    assert found.times[25] == 0.0 and int(found.first) == -25
    odd = mne.EvokedArray(DATA, info(mne, 600.615), tmin=-0.03)
    np.testing.assert_allclose(from_evoked(odd, "mag").times, 1000 * odd.times, rtol=0, atol=1e-9)


def test_trials_are_runs(mne, rounding):
    trials = np.stack([DATA, 2 * DATA, -DATA])
    epochs = mne.EpochsArray(trials, info(mne), tmin=-0.02)
    found = from_epochs(epochs, "mag")
    assert found.to_xarray().dims == ("run", "time", "sensor")
    np.testing.assert_allclose(found.values, np.swapaxes(trials[:, 2:3], 1, 2), rtol=rounding)
    np.testing.assert_allclose(found.times, 1000 * epochs.times, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="there are no epochs"):
        from_epochs(epochs[[]], "mag")


@pytest.mark.once
def test_what_is_not_finite_is_named_with_channel_and_time(mne):
    broken = DATA.copy()
    broken[1, [2, 3, 4, 9]] = np.nan
    with pytest.raises(ValueError, match="1 of 2 are not finite: Cz at 8, 12, 16 ms and 1 more; interpolate"):
        from_raw(mne.io.RawArray(broken, info(mne)), "eeg")
    with pytest.raises(ValueError, match="Cz at -4, 0, 4 ms and 1 more"):
        from_evoked(mne.EvokedArray(broken, info(mne), tmin=-0.012), "eeg")
    trials = np.stack([DATA, broken])
    with pytest.raises(ValueError, match="Cz at 8, 12, 16 ms and 1 more"):
        from_epochs(mne.EpochsArray(trials, info(mne)), "eeg")
    many = np.where(np.arange(6)[:, None] == 4, np.inf, np.ones((6, 5)))
    with pytest.raises(ValueError, match=r"5 of 5 are not finite: region_0 at 8000 ms; .*; and 2 more; interpolate"):
        from_nilearn(many, tr=2.0)


# nilearn and files -----------------------------------------------------------------------------------------------------


def test_region_series_of_nilearn(rounding):
    pandas = pytest.importorskip("pandas")
    found = from_nilearn(VALUES, tr=0.72, labels=NAMES)
    np.testing.assert_allclose(found.values, VALUES, rtol=rounding)
    np.testing.assert_allclose(found.times, 720.0 * np.arange(6), rtol=1e-15)
    assert found.labels == tuple(NAMES) and found.dims == ("time", "region") and found.source == ("bold",)
    table = from_nilearn(pandas.DataFrame(VALUES, columns=NAMES), tr=float(np.float32(0.72)))
    assert table.labels == tuple(NAMES) and table.period == 720.0
    assert from_nilearn(VALUES, tr=2).labels == ("region_0", "region_1", "region_2")
    connectivity = gx.features.fc(found)
    np.testing.assert_allclose(connectivity, np.corrcoef(VALUES.T), rtol=1e3 * rounding)


def test_a_masker_of_nilearn_gives_series_of_its_regions():
    maskers, nib = pytest.importorskip("nilearn.maskers"), pytest.importorskip("nibabel")
    labels = np.zeros((4, 4, 4), np.int16)
    labels[:2], labels[2:] = 3, 8
    rng = np.random.default_rng(2)
    images = nib.Nifti1Image(rng.normal(size=(4, 4, 4, 5)), np.eye(4))
    masker = maskers.NiftiLabelsMasker(nib.Nifti1Image(labels, np.eye(4)), standardize=None)
    found = from_nilearn(masker.fit_transform(images), 0.8, ["V1", "V2"])
    expected = [images.get_fdata()[:2].mean((0, 1, 2)), images.get_fdata()[2:].mean((0, 1, 2))]
    np.testing.assert_allclose(found.values, np.stack(expected, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tr", [720.0, 0.0, -1.0, float("nan")])
def test_a_repetition_time_is_in_seconds(tr):
    with pytest.raises(ValueError, match="tr is the s between two images"):
        from_nilearn(VALUES, tr=tr)


def test_series_that_do_not_fit():
    with pytest.raises(ValueError, match="there are 6 labels, and 3 columns: transpose it"):
        from_nilearn(VALUES, 1.0, list("ABCDEF"))
    with pytest.raises(ValueError, match=r"there are 2 labels, and 3 columns$"):
        from_nilearn(VALUES, 1.0, ["A", "B"])
    with pytest.raises(ValueError, match="'A' is both label 0 and label 2"):
        from_nilearn(VALUES, 1.0, ["A", "B", "A"])
    with pytest.raises(ValueError, match=r"expected numbers \(time, region\), got float64 of shape \(2, 6, 3\)"):
        from_nilearn([VALUES, VALUES], 1.0)


def test_series_are_the_same_from_every_format(tmp_path, rounding):
    np.save(tmp_path / "a.npy", VALUES)
    np.savez(tmp_path / "a.npz", labels=np.array(NAMES), series=VALUES)
    savemat(tmp_path / "a.mat", {"ts": VALUES, "tr": 2.0})
    for name, mark in (("a.tsv", "\t"), ("a.csv", ",")):
        np.savetxt(tmp_path / name, VALUES, delimiter=mark, header=mark.join(NAMES), comments="", fmt="%.17g")
    for name in ("a.npy", "a.npz", "a.mat", "a.tsv", "a.csv"):
        found = read_series(tmp_path / name, period=2000.0, labels=NAMES)
        np.testing.assert_allclose(found.values, VALUES, rtol=rounding)
        assert found.labels == tuple(NAMES) and found.period == 2000.0
    assert read_series(tmp_path / "a.tsv", 2000.0).labels == tuple(NAMES)
    sensors = read_series(tmp_path / "a.npy", 1.0, channel="sensor", source="eeg")
    assert sensors.labels[2] == "sensor_2" and sensors.channel == "sensor" and sensors.source == ("eeg",)


@pytest.mark.parametrize(("begin", "period"), [(0.0, 720.0), (360.0, 720.0), (-200.0, 1000 / 600.615), (3.3, 0.1)])
def test_a_column_of_times_says_when(tmp_path, begin, period):
    times = begin + period * np.arange(6)
    np.savetxt(
        tmp_path / "a.tsv", np.c_[times, VALUES], "%.12g", "\t", header="\t".join(["time_ms", *NAMES]), comments=""
    )
    found = read_series(tmp_path / "a.tsv")
    np.testing.assert_allclose(found.times, times, rtol=0, atol=1e-7)
    assert found.period == pytest.approx(period, rel=1e-9) and found.stamp >= 0 and found.labels == tuple(NAMES)
    assert read_series(tmp_path / "a.tsv", period=period).period == period
    with pytest.raises(ValueError, match="ms apart, not period = 1234"):
        read_series(tmp_path / "a.tsv", period=1234.0)


def test_tables_that_are_no_series(tmp_path):
    file = tmp_path / "a.tsv"
    for text, trouble in [
        ("time\tV1\n0\t1\n1\t2\n", "is the column 'time' times"),
        ("time_ms\tV1\n0\t1\n1\t2\n3\t2\n", "times are not evenly spaced, such as at 1 ms"),
        ("time_ms\tV1\n2\t1\n1\t2\n", "times are not evenly spaced"),
        ("time_ms\tV1\n2\t1\n", "needs two or more finite times"),
        ("V1\tV2\n1\tn/a\n3\t4\n", "1 of 2 are not finite: V2 at 0 ms"),
        ("V1\tV2\n1\tx\n3\t4\n", "is 'x', expected a number"),
        ("\ta\tb\nV1\t1\t2\nV2\t3\t4\n", "its lines are called 'V1', 'V2', ...: a line is a sample"),
    ]:
        file.write_text(text)
        with pytest.raises((ValueError, TypeError), match=f"series in .*a.tsv: .*{trouble}"):
            read_series(file, period=None if "time_ms" in text else 10.0)
    file.write_text("V1\tV2\n1\t2\n3\t4\n")
    with pytest.raises(ValueError, match="how far apart are the samples"):
        read_series(file)
    with pytest.raises(ValueError, match="period is a positive number of ms, got -1"):
        read_series(file, period=-1.0)
    with pytest.raises(ValueError, match=r"the file calls its columns V1, V2, \.\.\., labels= something else"):
        read_series(file, period=1.0, labels=["V2", "V1"])
    (tmp_path / "a.xlsx").write_text("nothing")
    with pytest.raises(ValueError, match=r"cannot read '.xlsx', expected .tsv"):
        read_series(tmp_path / "a.xlsx", period=1.0)


# images ----------------------------------------------------------------------------------------------------------------

VOXELS = np.zeros((6, 5, 4), np.int16)
VOXELS[:2], VOXELS[3:, :2], VOXELS[3:, 3:, 2:] = 3, 8, 9
IMAGES = np.random.default_rng(3).normal(size=(6, 5, 4, 7)).astype(np.float32)
GRID = np.diag([2.0, 2.0, 2.0, 1.0])


def bold(nib, path, zoom=0.72, unit="sec"):
    image = nib.Nifti1Image(IMAGES, GRID)
    image.header.set_zooms((2, 2, 2, zoom))
    image.header.set_xyzt_units("mm", unit)
    nib.save(image, path)
    return path


def test_bold_is_averaged_over_the_regions_of_an_atlas(tmp_path, rounding):
    nib = pytest.importorskip("nibabel")
    file, expected = bold(nib, tmp_path / "b.nii.gz"), np.stack([IMAGES[n == VOXELS].mean(0) for n in (3, 8, 9)], 1)
    nib.save(nib.Nifti1Image(VOXELS, GRID), tmp_path / "a.nii")
    atlas = gx.io.read_label_image(tmp_path / "a.nii", NAMES)
    found = read_series(file, atlas=atlas, source="bold")
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
    assert found.labels == tuple(NAMES) and found.period == 720.0
    assert read_series(file, atlas=tmp_path / "a.nii").labels == ("label_3", "label_8", "label_9")
    for zoom, unit, period in ((720.0, "msec", 720.0), (2.0, "unknown", None)):
        file = bold(nib, tmp_path / "c.nii", zoom, unit)
        if period is None:
            with pytest.raises(ValueError, match="how far apart are the samples"):
                read_series(file, atlas=atlas)
        assert read_series(file, 720.0, atlas=atlas).period == 720.0
    with pytest.raises(ValueError, match=r"720 ms apart, not period = 0.72"):
        read_series(tmp_path / "b.nii.gz", 0.72, atlas=atlas)
    with pytest.raises(ValueError, match=r"b.nii.gz has a value a voxel: atlas="):
        read_series(tmp_path / "b.nii.gz")
    with pytest.raises(ValueError, match="labels= something else"):
        read_series(file, 720.0, labels=["V2", "V1", "V3"], atlas=atlas)


def test_an_atlas_in_other_voxels_is_moved_and_one_elsewhere_refused(tmp_path):
    pytest.importorskip("nilearn.image")
    nib = pytest.importorskip("nibabel")
    file = bold(nib, tmp_path / "b.nii")
    fine, grid = np.kron(VOXELS, np.ones((2, 2, 2), np.int16)), GRID @ np.diag([0.5, 0.5, 0.5, 1.0])
    grid[:3, 3] = -0.5
    moved = read_series(file, atlas=nib.Nifti1Image(fine, grid))
    here = read_series(file, atlas=nib.Nifti1Image(VOXELS, GRID))
    np.testing.assert_array_equal(moved.values, here.values)
    grid[0, 3] = -7.5  # beyond the images, for the region that lies there
    with pytest.raises(ValueError, match=r"b.nii has nothing in 1 regions of the atlas: label_3; is the atlas in its"):
        read_series(file, atlas=nib.Nifti1Image(fine, grid))


def test_surfaces_are_averaged_or_of_vertices(tmp_path, rounding):
    nib = pytest.importorskip("nibabel")
    arrays = [nib.gifti.GiftiDataArray(np.float32([i, 2 * i, 3, 4]), "NIFTI_INTENT_TIME_SERIES") for i in range(3)]
    nib.save(nib.GiftiImage(darrays=arrays), tmp_path / "b.func.gii")
    regions = gx.io.SurfaceLabels(np.array([0, 0, -1, 2]), ("V1", "nowhere", "V2"))
    found = read_series(tmp_path / "b.func.gii", 2000.0, atlas=regions)
    np.testing.assert_allclose(found.values, [[0, 4], [1.5, 4], [3, 4]], rtol=rounding)
    assert found.labels == ("V1", "V2")
    vertices = read_series(tmp_path / "b.func.gii", 2000.0)
    assert vertices.channel == "vertex" and vertices.values.shape == (3, 4)
    with pytest.raises(ValueError, match="how far apart"):
        read_series(tmp_path / "b.func.gii")
    with pytest.raises(ValueError, match=r"b.func.gii has 4 vertices, and the atlas 2"):
        read_series(tmp_path / "b.func.gii", 1.0, atlas=gx.io.SurfaceLabels(np.array([0, 1]), ("V1", "V2")))


def test_cifti_has_its_labels_and_times(tmp_path, rounding):
    nib = pytest.importorskip("nibabel")
    axes = pytest.importorskip("nibabel.cifti2.cifti2_axes")
    time, name = axes.SeriesAxis(1.44, 0.72, 6), "CIFTI_STRUCTURE_CORTEX_LEFT"
    parcels = axes.ParcelsAxis(
        NAMES, [np.zeros((0, 3), int)] * 3, [{name: np.array([i])} for i in range(3)], nvertices={name: 5}
    )
    nib.save(nib.Cifti2Image(VALUES, (time, parcels)), tmp_path / "b.ptseries.nii")
    found = read_series(tmp_path / "b.ptseries.nii")
    np.testing.assert_allclose(found.values, VALUES, rtol=10 * rounding)
    np.testing.assert_allclose(found.times, 1440 + 720 * np.arange(6), rtol=1e-12)
    assert found.labels == tuple(NAMES) and found.channel == "region"
    # the series leave the third vertex out, and the labels have it: vertices are matched, not columns
    series = axes.BrainModelAxis.from_mask(np.array([1, 1, 0, 1], bool), "CORTEX_LEFT")
    table = {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 5: ("V2", (0, 1, 0, 1))}
    whole = axes.BrainModelAxis.from_mask(np.ones(4, bool), "CORTEX_LEFT")
    nib.save(nib.Cifti2Image(VALUES, (time, series)), tmp_path / "b.dtseries.nii")
    keys = np.array([[1.0, 1.0, 1.0, 5.0]])
    nib.save(nib.Cifti2Image(keys, (axes.LabelAxis(["p"], [table]), whole)), tmp_path / "a.dlabel.nii")
    found = read_series(tmp_path / "b.dtseries.nii", atlas=tmp_path / "a.dlabel.nii")
    np.testing.assert_allclose(found.values, np.c_[VALUES[:, :2].mean(1), VALUES[:, 2]], rtol=10 * rounding)
    assert found.labels == ("V1", "V2")
    assert read_series(tmp_path / "b.dtseries.nii").channel == "vertex"
    with pytest.raises(ValueError, match="its rows are no samples in time, but a LabelAxis"):
        read_series(tmp_path / "a.dlabel.nii")


def test_matlab_keeps_regions_in_rows_and_names_beside(tmp_path, rounding):
    savemat(tmp_path / "a.mat", {"ts": VALUES.T, "roi_names": np.array(NAMES, object)})
    found = read_series(tmp_path / "a.mat", 720.0, transpose=True)
    np.testing.assert_allclose(found.values, VALUES, rtol=rounding)
    assert found.labels == tuple(NAMES)
    with pytest.raises(ValueError, match=r"it has 3 labels, and values of shape \(3, 6\): transpose=True"):
        read_series(tmp_path / "a.mat", 720.0)
    (tmp_path / "a.tsv").write_text("V1\t1\t2\nV2\t3\t4\n")
    with pytest.raises(ValueError, match="a line is a sample, transpose it"):
        read_series(tmp_path / "a.tsv", 720.0)
    assert read_series(tmp_path / "a.tsv", 720.0, transpose=True).labels == ("V1", "V2")


def test_first_samples_without_values_are_left_out_on_request(tmp_path):
    """As fMRIPrep's tables have them."""
    file = tmp_path / "a.tsv"
    file.write_text("V1\tV2\nn/a\tn/a\nn/a\t2\n3\t4\n5\t6\n")
    with pytest.raises(ValueError, match=r"V1 at 0, 720 ms; V2 at 0 ms; leave the first 2 samples out \(skip="):
        read_series(file, 720.0)
    found = read_series(file, 720.0, skip=2)
    assert found.values.tolist() == [[3, 4], [5, 6]] and found.times.tolist() == [1440.0, 2160.0]
    with pytest.raises(ValueError, match="there are 4 samples, and skip=4"):
        read_series(file, 720.0, skip=4)


def test_a_value_that_float32_cannot_hold_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, 2.0], [1e39 if jnp.float32 == KIND else np.inf, 3.0]]))
    with pytest.raises(ValueError, match="1 of 2 are not finite: region_0 at 720 ms"):
        read_series(tmp_path / "a.npy", 720.0)
