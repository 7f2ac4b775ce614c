"""Lead fields from files and from MNE: against sums of columns by hand, and files that do not fit together."""

import bz2
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import savemat

import gyrax as gx
from gyrax._formats.gains import read_gain, read_region_map, read_sensors
from gyrax.anatomy.leadfield import read_tvb_lead_field
from gyrax.datasets.leadfields import lead_field
from gyrax.io.leadfields import from_forward
from gyrax.monitors import MEG

GAIN = np.array([[1.0, -2.0, 4.0, 0.5], [0.25, 3.0, -1.0, 2.0], [0.0, 1.0, 1.5, -3.0]])
SENSORS = "Fz\t60\t0\t95\nCz\t-5\t0\t120\t\nPz\t-60.5\t0\t100\n".replace("120\t\n", "120\n")


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "gain.npy", GAIN)
    (tmp_path / "eeg.txt").write_text(SENSORS)
    (tmp_path / "map.txt").write_text("1 0 1\n-1\n")
    return tmp_path / "gain.npy", tmp_path / "eeg.txt", tmp_path / "map.txt"


# files -----------------------------------------------------------------------------------------------------------------


def test_a_gain_is_the_same_from_every_format(tmp_path):
    np.save(tmp_path / "gain.npy", GAIN.astype(np.float32))
    np.savez(tmp_path / "gain.npz", names=np.array(["a"]), gain=GAIN)
    savemat(tmp_path / "gain.mat", {"ProjectionMatrix": GAIN, "comment": "as it was"})
    savemat(tmp_path / "head.mat", {"Head": {"Gain": GAIN, "GridLoc": np.ones((4, 3))}})
    np.savetxt(tmp_path / "gain.csv", GAIN, delimiter=",")
    for name in ("gain.npy", "gain.npz", "gain.mat", "gain.csv"):
        found = read_gain(tmp_path / name)
        np.testing.assert_array_equal(found, GAIN)
        assert found.dtype == np.float64
    np.testing.assert_array_equal(read_gain(tmp_path / "head.mat", "Head.Gain"), GAIN)
    with pytest.raises(ValueError, match=r"head.mat has 2 matrices: say which .*Head.Gain \(3, 4\)"):
        read_gain(tmp_path / "head.mat")
    with pytest.raises(ValueError, match=r"head.mat has no 'Head.gain': did you mean 'Head.Gain'"):
        read_gain(tmp_path / "head.mat", "Head.gain")
    with pytest.raises(ValueError, match=r"gain.npy has no variables"):
        read_gain(tmp_path / "gain.npy", "Gain")


@pytest.mark.once
def test_what_is_no_gain_is_refused_with_its_file(tmp_path):
    np.save(tmp_path / "flat.npy", GAIN[0])
    np.save(tmp_path / "complex.npy", GAIN + 1j)
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    savemat(tmp_path / "words.mat", {"comment": "nothing"})
    with pytest.raises(ValueError, match=r"flat.npy: a gain is a matrix .* shape \(4,\)"):
        read_gain(tmp_path / "flat.npy")
    with pytest.raises(ValueError, match=r"complex.npy: a gain is a matrix .* complex128"):
        read_gain(tmp_path / "complex.npy")
    with pytest.raises(ValueError, match=r"broken.npy: cannot be read as .npy"):
        read_gain(tmp_path / "broken.npy")
    with pytest.raises(ValueError, match=r"words.mat has no matrix"):
        read_gain(tmp_path / "words.mat")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'flat.npy'"):
        read_gain(tmp_path / "flt.npy")


def test_sensors_with_and_without_orientations(tmp_path):
    plain, packed = tmp_path / "eeg.txt", tmp_path / "meg.txt.bz2"
    plain.write_text("T'8  4.5 43.3 -25.5\nG´1  -4.0 32.0 24.0\n")
    packed.write_bytes(bz2.compress(b"A1 1 2 3 0 0 1\nA2 4 5 6 0 1 0\n"))
    eeg, meg = read_sensors(plain), read_sensors(packed)
    assert eeg.names == ("T'8", "G´1") and eeg.orientations is None
    np.testing.assert_array_equal(eeg.positions, [[4.5, 43.3, -25.5], [-4.0, 32.0, 24.0]])
    np.testing.assert_array_equal(meg.positions, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(meg.orientations, [[0, 0, 1], [0, 1, 0]])
    for text, trouble in [
        ("A 1 2\n", "line 1 has 3 entries, expected label x y z"),
        ("A 1 2 3\nB 1 2 x\n", r"entry \[1, 2\] \(line 2 of the file\) is 'x'"),
        ("A 1 2 3\nA 1 2 4\n", "'A' is both label 0 and label 1"),
        ("A 1 2 3\nB 1 2\n", "line 2 has 3 entries, line 1 has 4"),
    ]:
        plain.write_text(text)
        with pytest.raises((ValueError, TypeError), match=f"sensors in .*eeg.txt: {trouble}"):
            read_sensors(plain)
    packed.write_bytes(b"A1 1 2 3\n")
    with pytest.raises(ValueError, match=r"meg.txt.bz2: cannot be read as .bz2"):
        read_sensors(packed)


def test_region_maps_are_whole_numbers(tmp_path):
    np.save(tmp_path / "map.npy", np.array([[2.0], [0.0], [-1.0]]))
    assert read_region_map(tmp_path / "map.npy").tolist() == [2, 0, -1]
    assert read_region_map(tmp_path / "map.npy").dtype.kind == "i"
    for text, trouble in [
        ("0 1.5 2", "vertex 1 is in region 1.5"),
        ("0 1 -2", "vertex 2 is in region -2"),
        ("0 nan 2", "vertex 1 is in region nan"),
        ("", "expected one number a vertex"),
        ("0 V1", "entry .* is 'V1'"),
    ]:
        (tmp_path / "map.txt").write_text(text)
        with pytest.raises((ValueError, TypeError), match=f"region map in .*map.txt: {trouble}"):
            read_region_map(tmp_path / "map.txt")


def test_files_of_the_virtual_brain_become_a_lead_field(files, rounding):
    field = read_tvb_lead_field(*files, ["V1", "V2"], unit="V/(A m)")
    expected = np.stack([GAIN[:, 1], GAIN[:, 0] + GAIN[:, 2]], 1)
    np.testing.assert_allclose(field.gain, expected, rtol=rounding)
    assert field.sensors == ("Fz", "Cz", "Pz") and field.regions == ("V1", "V2") and field.unit == "V/(A m)"
    np.testing.assert_allclose(field.positions[2], [-60.5, 0, 100])
    mean = read_tvb_lead_field(*files, ["V1", "V2"], reduce="mean")
    np.testing.assert_allclose(mean.gain, expected / [1, 2], rtol=rounding)
    assert read_tvb_lead_field(*files).regions is None


def test_directions_are_no_positions(files):
    files[1].write_text("Fz 0.6 0 0.8\nCz 0 0 1\nPz -0.6 0 0.8\n")
    assert read_tvb_lead_field(*files).positions is None


def test_a_free_gain_follows_the_normals(files, tmp_path, rounding):
    rng = np.random.default_rng(1)
    free, normals = rng.normal(size=(3, 4, 3)), rng.normal(size=(4, 3))
    np.save(files[0], free.reshape(3, 12))
    along = sum(free[:, :, axis] * normals[:, axis] for axis in range(3))
    field = read_tvb_lead_field(*files, normals=normals)
    np.testing.assert_allclose(field.gain, np.stack([along[:, 1], along[:, 0] + along[:, 2]], 1), rtol=1e3 * rounding)


@pytest.mark.once
def test_files_that_do_not_fit_are_named(files, tmp_path):
    gain, sensors, region_map = files
    short = tmp_path / "short.txt"
    short.write_text("Fz 60 0 95\nCz -5 0 120\n")
    with pytest.raises(ValueError, match=r"gain.npy has 3 rows, and .*short.txt has 2 sensors"):
        read_tvb_lead_field(gain, short, region_map)
    short.write_text("0 1 1")
    with pytest.raises(ValueError, match=r"gain.npy has 4 columns, and .*short.txt has 3 vertices"):
        read_tvb_lead_field(gain, sensors, short)
    with pytest.raises(ValueError, match=r"map.txt has a vertex in region 1, and there are 1 names"):
        read_tvb_lead_field(gain, sensors, region_map, ["V1"])
    with pytest.raises(ValueError, match="1 regions have no vertex: V3"):
        read_tvb_lead_field(gain, sensors, region_map, ["V1", "V2", "V3"])
    broken = GAIN.copy()
    broken[1, 3] = np.nan  # in a vertex of no region: the channel was off all the same
    np.save(gain, broken)
    assert read_tvb_lead_field(gain, sensors, region_map).sensors == ("Fz", "Cz", "Pz")
    broken[1, 0] = np.nan
    np.save(gain, broken)
    with pytest.raises(ValueError, match="the gain of 1 sensors is not finite: Cz"):
        read_tvb_lead_field(gain, sensors, region_map)
    assert read_tvb_lead_field(gain, sensors, region_map, nonfinite="drop").sensors == ("Fz", "Pz")


# the data of The Virtual Brain -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tvb():
    return pytest.importorskip("tvb_data").__path__[0]


@pytest.mark.parametrize(("modality", "sensors"), [("meg", 248), ("eeg", 63)])
def test_gains_of_tvb_data_are_in_the_order_of_the_connectome(tvb, modality, sensors, rounding):
    field = lead_field("tvb76", modality, nonfinite="drop")
    labels = gx.datasets.load("tvb76").connectome.labels
    assert field.gain.shape == (sensors, 76) and field.regions == labels
    name, table = {"meg": ("meg_276", "meg_brainstorm_276"), "eeg": ("eeg_65", "eeg_brainstorm_65")}[modality]
    gain = np.load(f"{tvb}/projectionMatrix/projection_{name}_surface_16k.npy")
    names = [line.split()[0] for line in Path(f"{tvb}/sensors/{table}.txt").read_text().splitlines()]
    index = np.loadtxt(f"{tvb}/regionMapping/regionMapping_16k_76.txt").astype(int)
    for sensor, region in [(0, 0), (17, 41), (sensors - 1, 75)]:
        row = gain[names.index(field.sensors[sensor])]
        expected = sum(float(value) for value, where in zip(row, index, strict=True) if where == region)
        scale = np.abs(row[index == region]).sum()
        assert float(field.gain[sensor, region]) == pytest.approx(expected, rel=0, abs=rounding * scale)


def test_the_region_map_is_that_of_the_connectome(tvb):
    """Means of the vertices of each region are the connectome's centres, so their orders are the same."""
    import io
    import zipfile

    index = read_region_map(f"{tvb}/regionMapping/regionMapping_16k_76.txt")
    with zipfile.ZipFile(f"{tvb}/surfaceData/cortex_16384.zip") as archive:
        vertices = np.loadtxt(io.BytesIO(archive.read("vertices.txt")))
    means = np.stack([vertices[index == i].mean(0) for i in range(76)])
    np.testing.assert_allclose(gx.datasets.load("tvb76").connectome.centres, means, atol=1e-4)


@pytest.mark.once
def test_sensors_without_a_gain_are_refused_by_name(tvb):
    with pytest.raises(ValueError, match="the gain of 28 sensors is not finite: TRIGGER, RESPONSE, MLzA"):
        lead_field("tvb76", "meg")
    with pytest.raises(ValueError, match="the gain of 2 sensors is not finite: IO1, IO2"):
        lead_field("tvb76", "eeg")
    with pytest.raises(ValueError, match="no lead field for a dataset of the name 'tvb96'"):
        lead_field("tvb96", "meg")
    with pytest.raises(ValueError, match="no modality 'EEG' for 'tvb76': did you mean 'eeg'"):
        lead_field("tvb76", "EEG")


def left_share(field, sensor):
    """Of the squared gain of a sensor, how much is of left regions."""
    power = np.asarray(field.gain[field.sensors.index(sensor)], float) ** 2
    return power[[label.startswith("l") for label in field.regions]].sum() / power.sum()


def test_sides_of_the_head(tvb):
    eeg = lead_field("tvb76", "eeg", nonfinite="drop")
    assert left_share(eeg, "C3") > 0.7 and left_share(eeg, "C4") < 0.3
    assert eeg.positions[eeg.sensors.index("C3"), 1] > 0 > eeg.positions[eeg.sensors.index("C4"), 1]
    with pytest.warns(UserWarning, match="left electrodes see the right hemisphere"):
        mirrored = lead_field("tvb76", "eeg62")
    assert mirrored.gain.shape == (62, 76) and mirrored.positions is None
    assert left_share(mirrored, "C3") < 0.2 and left_share(mirrored, "C4") > 0.8


def test_the_positions_of_the_magnetometers_are_none(tvb):
    """The file's x, y and z of a sensor are one number three times, within a few mm."""
    assert lead_field("tvb76", "meg", nonfinite="drop").positions is None
    file = read_sensors(f"{tvb}/sensors/meg_brainstorm_276.txt").positions
    assert np.corrcoef(file[np.linalg.norm(file, axis=1) > 0].T).min() > 0.98


def test_a_study_with_the_real_magnetometers(tvb):
    connectome = gx.datasets.load("tvb76").connectome
    field = lead_field("tvb76", "meg", nonfinite="drop")
    net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S", strength=0.1), connectome.normalised("max"))
    monitors = {"meg": MEG(field, source="S", period=2.0), "S": gx.monitors.TemporalAverage(period=2.0)}
    run = gx.simulate(net, 10.0, 1.0, monitors=monitors)
    expected = np.asarray(run["S"].values[:, 0], float) @ np.asarray(field.gain, float).T
    assert run["meg"].labels == field.sensors
    np.testing.assert_allclose(run["meg"].values, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# MNE -------------------------------------------------------------------------------------------------------------------

# vertices in use of each hemisphere's surface, of 20
USED = {"lh": [1, 3, 4, 8, 11, 15], "rh": [0, 2, 5, 9, 16]}
TURN = np.array([[0.0, -1, 0, 0.01], [1, 0, 0, 0.02], [0, 0, 1, -0.03], [0, 0, 0, 1]])
COILS = np.array([[0.0, 0.02, 0.13], [0.05, 0.02, 0.13], [-0.04, -0.03, 0.13], [0.08, 0.0, 0.12]])


@pytest.fixture(scope="module")
def mne():
    module = pytest.importorskip("mne")
    with module.use_log_level("error"):
        yield module


def spaces(mne):
    """Two surfaces of 20 vertices, of which some are sources."""
    rng, both = np.random.default_rng(5), []
    for side, x in (("lh", -0.035), ("rh", 0.035)):
        nn = rng.normal(size=(20, 3))
        places = np.array([x, 0, 0.045]) + rng.uniform(-0.015, 0.015, (20, 3))
        pos = {"rr": places, "nn": nn / np.linalg.norm(nn, axis=1, keepdims=True)}
        (space,) = source = mne.setup_volume_source_space(subject="sub-01", pos=pos)
        space["inuse"][:] = np.isin(np.arange(20), USED[side])
        space["vertno"], space["nuse"] = np.array(USED[side]), len(USED[side])
        both.append(source)
    return both[0] + both[1]


def info_of(mne, kinds):
    montage = mne.channels.make_standard_montage("biosemi16")
    eeg = montage.ch_names[:5] if "eeg" in kinds else []
    info = mne.create_info([*eeg, "M1", "M2", "M3", "M4"], 1000.0, ["eeg"] * len(eeg) + ["mag"] * 4)
    if eeg:
        info.set_montage(montage)
    info["dev_head_t"] = mne.transforms.Transform("meg", "head", TURN)
    for channel, place in zip(info["chs"][len(eeg) :], COILS, strict=True):
        channel["loc"][:] = [*place, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    return info


@pytest.fixture(scope="module")
def volume(mne):
    sphere = mne.make_sphere_model((0, 0, 0), 0.09)
    return mne.make_forward_solution(info_of(mne, ["eeg"]), None, spaces(mne), sphere, mindist=0, meg=True, eeg=True)


@pytest.fixture
def forward(volume):
    """As if the places were those of surfaces."""
    forward = volume.copy()
    for space, number in zip(forward["src"], (101, 102), strict=True):
        space["type"], space["id"] = "surf", number
    return forward


def labels(mne, subject="sub-01"):
    """Labels have vertices that are no sources, too."""
    return [
        mne.Label([2, 3, 4, 5, 19], hemi="lh", name="V1-lh", subject=subject),
        mne.Label([0, 1, 2, 16], hemi="rh", name="V1-rh", subject=subject),
        mne.Label([11], hemi="lh", name="V2-lh", subject=subject),
    ]


def rows(forward, channels):
    """MNE's rows are in another order than its channels."""
    return forward["sol"]["data"][[forward["sol"]["row_names"].index(name) for name in channels]]


def columns(forward, channels, sources):
    """Sums over sources (hemisphere, vertex) of the free gain along the normal."""
    total = 0.0
    for hemi, vertex in sources:
        place = USED[hemi].index(vertex) + (len(USED["lh"]) if hemi == "rh" else 0)
        normal = forward["src"][("lh", "rh").index(hemi)]["nn"][vertex]
        total = total + rows(forward, channels)[:, 3 * place : 3 * place + 3] @ normal
    return total


INSIDE = [[("lh", 3), ("lh", 4)], [("rh", 0), ("rh", 2), ("rh", 16)], [("lh", 11)]]


def close(found, expected, rounding):
    """MNE computes the fixed gain in float32."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found, float) / scale, expected / scale, rtol=0, atol=max(rounding, 1e-6))


@pytest.mark.parametrize("kind", ["eeg", "mag"])
def test_sources_of_labels_are_summed_along_their_normals(mne, forward, kind, rounding):
    field = from_forward(forward, labels(mne), ch_type=kind)
    names = [name for name in forward["info"]["ch_names"] if name.startswith("M") == (kind == "mag")]
    assert list(field.sensors) == names and field.regions == ("V1-lh", "V1-rh", "V2-lh")
    assert field.unit == {"eeg": "V/(A m)", "mag": "T/(A m)"}[kind]
    expected = np.stack([columns(forward, names, inside) for inside in INSIDE], 1)
    close(field.gain, expected, rounding)
    mean = from_forward(forward, labels(mne), ["A", "B", "C"], ch_type=kind, reduce="mean")
    close(mean.gain, expected / [2, 3, 1], rounding)
    assert mean.regions == ("A", "B", "C")


def test_a_forward_that_is_fixed_already_gives_the_same(mne, forward, rounding):
    fixed = mne.convert_forward_solution(forward, surf_ori=True, force_fixed=True)
    turned = mne.convert_forward_solution(forward, surf_ori=True)
    expected = np.asarray(from_forward(forward, labels(mne), ch_type="eeg").gain)
    for other in (fixed, turned):
        close(from_forward(other, labels(mne), ch_type="eeg").gain, expected, rounding)
    free = from_forward(forward, labels(mne), ch_type="eeg", orientation="free").gain
    close(from_forward(turned, labels(mne), ch_type="eeg", orientation="free").gain, np.asarray(free), rounding)
    close(from_forward(fixed, labels(mne), ch_type="eeg", orientation="free").gain, np.asarray(free), rounding)
    once = fixed.copy()
    once["_orig_sol"], once["_orig_source_ori"] = once["sol"]["data"].copy(), once["source_ori"]
    with pytest.raises(ValueError, match="made with fixed orientations"):
        from_forward(once, labels(mne), ch_type="eeg", orientation="free")


def test_free_sources_keep_their_axes(mne, forward, rounding):
    field = from_forward(forward, labels(mne), ch_type="eeg", orientation="free")
    data = rows(forward, field.sensors).reshape(5, 11, 3)
    expected = np.stack([data[:, [1, 2]].sum(1), data[:, [6, 7, 10]].sum(1), data[:, 4]], 1)
    assert field.gain.shape == (5, 3, 3)
    close(field.gain, expected, rounding)


def test_labels_of_both_hemispheres_and_indices(mne, forward, rounding):
    v1, right, v2 = labels(mne)
    both = from_forward(forward, [v1 + right, v2], ["V1", "V2"], ch_type="eeg")
    apart = from_forward(forward, labels(mne), ch_type="eeg").gain
    close(both.gain, np.stack([apart[:, 0] + apart[:, 1], apart[:, 2]], 1), rounding)
    index = np.array([-1, 0, 0, -1, 2, -1, 1, 1, -1, -1, 1])
    close(from_forward(forward, index, ch_type="eeg").gain, np.asarray(apart), rounding)
    with pytest.raises(ValueError, match="there are 10 indices of regions, and 11 sources"):
        from_forward(forward, index[1:], ch_type="eeg")


def test_volumes_are_chosen_by_name(mne, volume, rounding):
    forward = volume.copy()
    for space, name in zip(forward["src"], ("Left-Thalamus", "Right-Thalamus"), strict=True):
        space["type"], space["seg_name"] = "vol", name
    field = from_forward(forward, ["Right-Thalamus", "Left-Thalamus"], ch_type="mag", orientation="free")
    data = rows(forward, field.sensors).reshape(4, 11, 3)
    close(field.gain, np.stack([data[:, 6:].sum(1), data[:, :6].sum(1)], 1), rounding)
    assert field.regions == ("Right-Thalamus", "Left-Thalamus")
    with pytest.raises(ValueError, match="sources in a volume have no normals"):
        from_forward(forward, ["Left-Thalamus"], ch_type="mag")
    with pytest.raises(ValueError, match="0 volume source spaces called 'left-thalamus': did you mean 'Left-Thalamus'"):
        from_forward(forward, ["left-thalamus"], ch_type="mag", orientation="free")


def test_positions_are_in_mm_in_the_head(mne, forward):
    mag = from_forward(forward, labels(mne), ch_type="mag")
    expected = [[10 - 20, 20 + 0, 130 - 30], [10 - 20, 20 + 50, 100], [10 + 30, 20 - 40, 100], [10, 20 + 80, 90]]
    np.testing.assert_allclose(mag.positions, expected, atol=1e-4)
    eeg = from_forward(forward, labels(mne), ch_type="eeg")
    montage = forward["info"]["chs"][1]["loc"][:3]
    np.testing.assert_allclose(eeg.positions[1], 1000 * montage, rtol=1e-5)
    assert 60 < jnp.linalg.norm(eeg.positions[1]) < 130


def test_bad_channels_are_left_out(mne, forward):
    forward["info"]["bads"] = [forward["info"]["ch_names"][1]]
    field = from_forward(forward, labels(mne), ch_type="eeg")
    names = [name for i, name in enumerate(forward["info"]["ch_names"][:5]) if i != 1]
    assert list(field.sensors) == names
    assert field.positions is not None and field.positions.shape == (4, 3)


@pytest.mark.once
def test_what_does_not_fit_is_named(mne, forward):
    v1, right, _ = labels(mne)
    with pytest.raises(ValueError, match="channels of eeg, mag that are not bad: choose with ch_type="):
        from_forward(forward, [v1])
    with pytest.raises(ValueError, match="no channel of type 'meg'"):
        from_forward(forward, [v1], ch_type="meg")
    with pytest.raises(ValueError, match="V1-lh and V1-lh2 share 1 sources"):
        from_forward(forward, [v1, mne.Label([4], hemi="lh", name="V1-lh2")], ch_type="eeg")
    with pytest.raises(ValueError, match="1 regions have no vertex: V3-lh"):
        from_forward(forward, [v1, mne.Label([7], hemi="lh", name="V3-lh")], ch_type="eeg")
    with pytest.raises(ValueError, match="'V1-lh' is of subject 'fsaverage', the forward solution of 'sub-01'"):
        from_forward(forward, labels(mne, "fsaverage"), ch_type="eeg")
    with pytest.raises(ValueError, match="there are 2 names for 1 regions"):
        from_forward(forward, [v1], ["A", "B"], ch_type="eeg")
    with pytest.raises((ValueError, TypeError), match="'fixed'"):
        from_forward(forward, [v1], ch_type="eeg", orientation="fixed")
    forward["src"][1]["id"] = 101
    with pytest.raises(ValueError, match="label 'V1-rh' is of rh, and this forward solution has no such surface"):
        from_forward(forward, [right], ch_type="eeg")
