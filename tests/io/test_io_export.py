"""What is written comes back the same; maps have the right value in every voxel; MNE gets volts, names and places."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import gyrax as gx
from gyrax.io import (
    from_epochs,
    from_evoked,
    from_nilearn,
    from_raw,
    parameters_frame,
    read_gifti_labels,
    read_recordings,
    read_series,
    to_dataframe,
    to_epochs,
    to_evoked,
    to_gifti,
    to_netcdf,
    to_nifti,
    to_raw,
    to_zarr,
)
from gyrax.monitors import EEG, Balloon, GlobalAverage, TemporalAverage
from toys import LABELS, clock

NET = clock()
FIELD = gx.LeadField(np.ones((2, 3)), ["Fz", "Cz"], positions=[[0.0, 60, 90], [0, 0, 120]])
MONITORS = {
    "mean": TemporalAverage(period=2.0),
    "bold": Balloon(source="drive", period=5.0),
    "eeg": EEG(FIELD, source="drive", period=1.0),
    "all": GlobalAverage(period=2.0),
}
EVERY = ["mean", "bold", "eeg", "all"]


@pytest.fixture(scope="module")
def run():
    with pytest.warns(gx.UnitWarning, match="records nothing of it"):
        first = gx.simulate(NET, duration=3.5, dt=0.5, monitors=MONITORS)
    return gx.simulate(NET, duration=10.0, dt=0.5, monitors=MONITORS, start=first.final)


@pytest.fixture(scope="module")
def batch():
    starts = jnp.asarray(np.arange(24.0).reshape(4, 2, 3))
    with pytest.warns(gx.UnitWarning, match="records nothing of it"):
        return jax.vmap(lambda start: gx.simulate(NET, duration=4.0, dt=0.5, monitors=MONITORS, start=start))(starts)


def recording(values, dims=("time", "sensor"), source=("eeg",), labels=("Fz", "Cz"), period=4.0, axes=()):
    return gx.Recording(jnp.asarray(values), jnp.array(-3), period, period, 0.0, dims, source, labels, dims[-1], axes)


def same(found, given):
    np.testing.assert_array_equal(found.values, given.values)
    assert found.values.dtype == given.values.dtype
    np.testing.assert_array_equal(found.times, given.times)
    for what in ("period", "dt", "stamp", "dims", "source", "labels", "channel", "axes"):
        assert getattr(found, what) == getattr(given, what), what
    xr.testing.assert_identical(found.to_xarray(), given.to_xarray())


# files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("write", "name"), [(to_netcdf, "run.nc"), (to_zarr, "run.zarr")])
@pytest.mark.parametrize("which", ["run", "batch"])
@pytest.mark.filterwarnings("error")
def test_files_give_back_what_was_written(write, name, which, tmp_path, request):
    pytest.importorskip("netCDF4" if write is to_netcdf else "zarr")
    given = request.getfixturevalue(which)
    write(given, tmp_path / name)
    found = read_recordings(tmp_path / name)
    assert sorted(found) == sorted(EVERY)
    for key in EVERY:
        same(found[key], given[key])


def test_other_software_reads_the_files(run, tmp_path):
    netCDF4 = pytest.importorskip("netCDF4")
    to_netcdf(run, tmp_path / "run.nc")
    with netCDF4.Dataset(tmp_path / "run.nc") as file:
        assert sorted(file.groups) == sorted(EVERY) and file.dt_ms == 0.5 and file.steps == 20 and file.failure == ""
        group = file["bold"]
        np.testing.assert_array_equal(group["values"][:], run["bold"].values)
        np.testing.assert_array_equal(group["time"][:], run["bold"].times)
        assert group["time"].units == "ms" and list(group["region"][:]) == list(LABELS) and group.period_ms == 5.0


@pytest.mark.parametrize(("write", "name"), [(to_netcdf, "one.nc"), (to_zarr, "one.zarr")])
def test_one_recording_with_an_axis_of_its_own(write, name, tmp_path):
    pytest.importorskip("netCDF4" if write is to_netcdf else "zarr")
    given = recording(
        np.arange(30.0).reshape(3, 5, 2),
        ("time", "frequency", "sensor"),
        axes=(("frequency", (1.0, 2.5, 4.0, 8.0, 16.0)),),
    )
    write(given, tmp_path / name)
    same(read_recordings(tmp_path / name)["recording"], given)
    write({"a": given, "b c": given}, tmp_path / f"two_{name}")
    assert sorted(read_recordings(tmp_path / f"two_{name}")) == ["a", "b c"]


def test_files_that_cannot_be(run, tmp_path):
    pytest.importorskip("netCDF4")
    pytest.importorskip("zarr")
    with pytest.raises(ValueError, match="there are no recordings"):
        to_netcdf({}, tmp_path / "run.nc")
    with pytest.raises(ValueError, match="a recording is called 'a/b'"):
        to_netcdf({"a/b": run["bold"]}, tmp_path / "run.nc")
    with pytest.raises(ValueError, match="not known yet: write them outside jit"):
        jax.jit(lambda r: to_netcdf(r, tmp_path / "run.nc"))(run["bold"])
    (tmp_path / "run.zarr").mkdir()
    with pytest.raises(FileExistsError, match=r"run.zarr already"):
        to_zarr(run, tmp_path / "run.zarr")
    run["bold"].to_xarray().to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ValueError, match=r"other.nc was not written by to_netcdf or to_zarr: it has no groups"):
        read_recordings(tmp_path / "other.nc")
    (tmp_path / "text.nc").write_text("nothing")
    with pytest.raises(ValueError, match=r"text.nc: cannot be read as netCDF"):
        read_recordings(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'text.nc'"):
        read_recordings(tmp_path / "txt.nc")


# tables ----------------------------------------------------------------------------------------------------------------


def test_a_table_has_a_row_a_sample(run, tmp_path):
    frame = to_dataframe(run["bold"])
    assert list(frame.columns) == list(LABELS) and frame.index.name == "time_ms" and frame.columns.name == "region"
    np.testing.assert_array_equal(frame.index, run["bold"].times)
    np.testing.assert_array_equal(frame.to_numpy(), run["bold"].values)
    mean = to_dataframe(run["mean"])
    assert mean.columns.names == ["state", "region"]
    np.testing.assert_array_equal(mean["ramp", "B"], run["mean"].values[:, 1, 1])
    assert to_dataframe(recording(np.ones((2, 1, 2)), ("time", "state", "sensor"))).columns.tolist() == ["Fz", "Cz"]
    whole = to_dataframe(run["all"])
    assert list(whole.columns) == [("t", "mean"), ("ramp", "mean")]
    np.testing.assert_array_equal(whole["ramp", "mean"], run["all"].values[:, 1, 0])


def test_runs_are_rows(batch):
    frame = to_dataframe(batch["mean"])
    assert frame.index.names == ["run", "time_ms"] and frame.shape == (8, 6)
    np.testing.assert_array_equal(frame.loc[(2, 3.0)].to_numpy(), np.asarray(batch["mean"].values)[2, 1].ravel())


def test_a_table_comes_back_as_a_series(run, tmp_path, rounding):
    to_dataframe(run["eeg"]).to_csv(tmp_path / "eeg.csv")
    found = read_series(tmp_path / "eeg.csv", channel="sensor", source="drive")
    np.testing.assert_allclose(found.values, run["eeg"].values, rtol=rounding)
    np.testing.assert_allclose(found.times, run["eeg"].times, rtol=1e-12)
    assert found.labels == ("Fz", "Cz") and found.period == 1.0


def test_parameters_of_a_network(small_connectome):
    w = np.linspace(0.5, 0.9, 5)
    net = gx.Network(gx.models.WongWang(w=w), gx.couplings.Linear(source="S", strength=0.2), small_connectome)
    frame = parameters_frame(net, "model.w", "coupling.strength")
    assert list(frame.index) == list("ABCDE") and frame.index.name == "region"
    np.testing.assert_allclose(frame["model.w"], w, rtol=1e-6)
    np.testing.assert_allclose(frame["coupling.strength"], np.full(5, 0.2), rtol=1e-6)
    whole = parameters_frame(net)
    assert set(whole.columns) == {f"model.{name}" for name in ("w", "J_N", "I_o", "a", "b", "d", "gamma", "tau_S")}
    with pytest.raises(ValueError, match=r"no parameter 'model.W': did you mean 'model.w'"):
        parameters_frame(net, "model.W")
    with pytest.raises(ValueError, match=r"connectome.weights has shape \(5, 5\), expected one value, or one a region"):
        parameters_frame(net, "connectome.weights")


# MNE -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mne():
    module = pytest.importorskip("mne")
    with module.use_log_level("error"):
        yield module


VALUES = np.random.default_rng(0).normal(size=(3, 8, 2))


def test_a_recording_becomes_a_raw_and_comes_back(mne, rounding):
    given = recording(VALUES[0])
    raw = to_raw(given, "eeg", scale=1e-6)
    assert raw.ch_names == ["Fz", "Cz"] and raw.get_channel_types() == ["eeg", "eeg"] and raw.info["sfreq"] == 250.0
    np.testing.assert_allclose(raw.get_data(), 1e-6 * VALUES[0].T, rtol=rounding)
    back = from_raw(raw)
    np.testing.assert_allclose(back.values, 1e-6 * VALUES[0], rtol=rounding)
    assert back.period == given.period and back.labels == given.labels and back.times[0] == 0.0
    odd = from_raw(to_raw(recording(VALUES[0], period=1000 / 600.615), "eeg"))
    assert odd.period == pytest.approx(1000 / 600.615, rel=1e-15)


def test_an_average_and_trials_come_back(mne, rounding):
    given = recording(VALUES[0])
    back = from_evoked(to_evoked(given, "seeg"))
    np.testing.assert_allclose(back.values, given.values, rtol=rounding)
    np.testing.assert_allclose(back.times, given.times, rtol=0, atol=1e-9)
    assert back.times[0] == -12.0 and back.source == ("seeg",)
    trials = recording(VALUES)
    again = from_epochs(to_epochs(trials, "eeg"))
    np.testing.assert_allclose(again.values, VALUES, rtol=rounding)
    np.testing.assert_allclose(again.times, trials.times, rtol=0, atol=1e-9)
    one = recording(VALUES[0][:, None], ("time", "state", "sensor"))
    np.testing.assert_allclose(to_raw(one, "eeg").get_data(), VALUES[0].T, rtol=rounding)


def test_electrodes_are_where_the_lead_field_has_them(mne, run, rounding):
    for positions in (FIELD, [[0.0, 60, 90], [0, 0, 120]]):
        raw = to_raw(run["eeg"], "eeg", positions=positions)
        places = raw.get_montage().get_positions()
        np.testing.assert_allclose(places["ch_pos"]["Fz"], [0, 0.06, 0.09], rtol=1e-6)
        np.testing.assert_allclose(places["ch_pos"]["Cz"], [0, 0, 0.12], rtol=1e-6)
        assert places["coord_frame"] == "head"
    np.testing.assert_allclose(raw.get_data(), np.asarray(run["eeg"].values).T, rtol=rounding)


def test_coils_are_those_of_a_measurement(mne):
    info = mne.create_info(["Cz", "M1", "Fz", "M2"], 1000.0, ["eeg", "mag", "eeg", "grad"])
    info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.diag([1.0, -1, -1, 1]))
    for i, channel in enumerate(info["chs"]):
        channel["loc"][:] = i + np.arange(12.0)
    info["chs"][3]["coil_type"] = 3012
    raw = to_raw(recording(VALUES[0], labels=("M2", "Cz")), info=info)
    assert raw.get_channel_types() == ["grad", "eeg"] and raw.info["sfreq"] == 250.0
    np.testing.assert_array_equal(raw.info["chs"][0]["loc"], 3 + np.arange(12.0))
    assert raw.info["chs"][0]["coil_type"] == 3012 and raw.info["chs"][0]["coord_frame"] == 1
    assert raw.info["dev_head_t"] == info["dev_head_t"]
    raw.info["chs"][0]["loc"][:] = 0
    assert info["chs"][3]["loc"][0] == 3


def test_what_mne_cannot_have(mne, run):
    given = recording(VALUES[0])
    with pytest.raises(ValueError, match="what are the sensors"):
        to_raw(given)
    info = mne.create_info(["Fz", "Oz"], 100.0, "eeg")
    with pytest.raises(ValueError, match="what are the sensors"):
        to_raw(given, "eeg", info=info)
    with pytest.raises(ValueError, match="the info has no channel 'Cz'"):
        to_raw(given, info=info)
    with pytest.raises(ValueError, match="leave positions= out"):
        to_raw(given, info=info, positions=FIELD)
    with pytest.raises(ValueError, match="positions alone do not make a sensor of type 'mag'"):
        to_raw(given, "mag", positions=FIELD)
    with pytest.raises(ValueError, match="this lead field has no positions"):
        to_raw(given, "eeg", positions=gx.LeadField(np.ones((2, 3)), ["Fz", "Cz"]))
    with pytest.raises(ValueError, match="this lead field is of other sensors"):
        to_raw(given, "eeg", positions=FIELD.subset(["Cz", "Fz"]))
    with pytest.raises(ValueError, match=r"positions are \(sensor, 3\) = \(2, 3\)"):
        to_raw(given, "eeg", positions=np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"expected a recording \(time, sensor\), got \(run, time, sensor\)"):
        to_raw(recording(VALUES), "eeg")
    with pytest.raises(ValueError, match=r"expected a recording \(run, time, sensor\), got \(time, sensor\)"):
        to_epochs(given, "eeg")
    with pytest.raises(ValueError, match=r"expected a recording \(time, region\), got \(time, state, region\)"):
        to_evoked(run["mean"], "seeg")


# maps ------------------------------------------------------------------------------------------------------------------


def atlas(nib):
    voxels = np.zeros((4, 3, 2), np.int16)
    voxels[0, 0], voxels[1, :2], voxels[3, 2, 1] = 40, 3, 7
    return nib.Nifti1Image(voxels, np.diag([2.0, 3.0, 4.0, 1.0]))


def test_every_voxel_has_the_value_of_its_region(tmp_path):
    nib = pytest.importorskip("nibabel")
    image, values = atlas(nib), {3: 0.5, 7: -1.25, 40: 2.0}
    nib.save(image, tmp_path / "atlas.nii.gz")
    to_nifti(list(values.values()), tmp_path / "atlas.nii.gz", tmp_path / "w.nii.gz", outside=-9.0)
    back = nib.load(tmp_path / "w.nii.gz")
    expected = np.vectorize(lambda number: {0: -9.0, **values}[number])(image.get_fdata())
    np.testing.assert_array_equal(back.get_fdata(), expected)
    np.testing.assert_array_equal(back.affine, image.affine)
    assert back.get_data_dtype() == np.float32
    turned = to_nifti([2.0, 0.5, -1.25], image, numbers=[40, 3, 7], outside=-9.0)
    np.testing.assert_array_equal(turned.get_fdata(), expected)
    some = to_nifti([2.0], image, numbers=[40])
    np.testing.assert_array_equal(some.get_fdata(), 2.0 * (image.get_fdata() == 40))


def test_maps_that_do_not_fit_the_atlas():
    nib = pytest.importorskip("nibabel")
    image = atlas(nib)
    with pytest.raises(ValueError, match=r"2 values for the 3 regions of the atlas \(3 to 40\)"):
        to_nifti([1.0, 2.0], image)
    with pytest.raises(ValueError, match="the atlas has no region 8; it has 3, up to 40"):
        to_nifti([1.0, 2.0], image, numbers=[8, 3])
    with pytest.raises(ValueError, match="numbers= has 1 different numbers for 2 values"):
        to_nifti([1.0, 2.0], image, numbers=[3, 3])
    with pytest.raises(ValueError, match="one finite value a region"):
        to_nifti([1.0, np.nan, 2.0], image)


@settings(max_examples=10)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12).filter(lambda index: max(index) >= 0))
def test_every_vertex_has_the_value_of_its_region(index):
    pytest.importorskip("nibabel")
    values = np.array([0.5, -1.25, 2.0, 8.0])[: max(index) + 1]
    found = to_gifti(values, np.array(index), outside=-9.0).agg_data()
    assert found.tolist() == [values[i] if i >= 0 else -9.0 for i in index]


def test_maps_of_surfaces_come_back(tmp_path):
    nib = pytest.importorskip("nibabel")
    regions = gx.io.SurfaceLabels(np.array([1, -1, 0, 0]), ("V1", "V2"))
    to_gifti([0.5, 2.0], regions, tmp_path / "lh.w.func.gii")
    back = nib.load(tmp_path / "lh.w.func.gii").agg_data()
    np.testing.assert_array_equal(back, np.array([2.0, np.nan, 0.5, 0.5], np.float32))
    assert to_gifti([1.0, 3.0], gx.Surface([0, 0, 1])).agg_data().tolist() == [1.0, 1.0, 3.0]
    assert to_gifti(pd.Series([0.5, 2.0], ["V1", "V2"]), regions).agg_data().tolist()[0] == 2.0
    with pytest.raises(ValueError, match="number 0 is 'V2' in the values, but 'V1' in the regions of the vertices"):
        to_gifti(pd.Series([2.0, 0.5], ["V2", "V1"]), regions)
    with pytest.raises(ValueError, match=r"lh\.w\.txt has to end with \.gii"):
        to_gifti([0.5, 2.0], regions, tmp_path / "lh.w.txt")
    with pytest.raises(ValueError, match="3 values for the 2 regions of the vertices"):
        to_gifti([0.5, 2.0, 1.0], regions)
    with pytest.raises(ValueError, match="region_of is a whole number a vertex"):
        to_gifti([0.5, 2.0], np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"no label map|0 label maps"):
        read_gifti_labels(tmp_path / "lh.w.func.gii")


def test_a_series_of_regions_goes_out_as_depth_electrodes(mne, rounding):
    given = from_nilearn(VALUES[0], tr=0.002, labels=["V1", "V2"])
    np.testing.assert_allclose(from_raw(to_raw(given, "seeg")).values, given.values, rtol=rounding)
