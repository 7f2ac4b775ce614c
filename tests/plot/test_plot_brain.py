"""Maps on the brain and on the head: every value at its place, in its colour, whatever the layout."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

import gyrax as gx
from drawn import closed

__all__ = ["closed"]  # a fixture of every test here

CENTRES = np.array([[-40.0, -50.0, 10.0], [30.0, 20.0, 60.0], [5.0, -80.0, -10.0]])
CONNECTOME = gx.Connectome(np.ones((3, 3)), labels=["A", "B", "C"], centres=CENTRES)
VALUES = np.array([0.2, 0.9, 0.5])
POSITIONS = np.array([[0.0, 0.0], [-70.0, 0.0], [70.0, 0.0], [0.0, -70.0], [0.0, 70.0], [50.0, 50.0]])


@pytest.fixture(scope="module")
def atlas():
    """Four regions of 4 mm voxels, numbered 2, 3, 5 and 40: left and right, behind and before y = -20 mm."""
    nibabel = pytest.importorskip("nibabel")
    pytest.importorskip("nilearn")
    grid = np.meshgrid(np.arange(-80, 81, 4), np.arange(-110, 81, 4), np.arange(-60, 90, 4), indexing="ij")
    x, y, z = grid
    labels = np.select([(x < 0) & (y < -20), (x >= 0) & (y < -20), x < 0], [40, 3, 2], 5)
    labels[(x / 72) ** 2 + ((y + 18) / 92) ** 2 + ((z - 10) / 68) ** 2 > 1] = 0
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-80, -110, -60]
    return nibabel.Nifti1Image(labels.astype(np.int16), affine)


def dots(view):
    """Places and colours of the markers in a view."""
    (markers,) = view.collections
    return np.asarray(markers.get_offsets()), markers.get_facecolors()[:, :3]


def colours(values, limits, name):
    return plt.get_cmap(name)(np.interp(values, limits, (0, 1)))[:, :3]


@pytest.mark.slow
def test_a_glass_brain_has_a_dot_at_each_centre():
    pytest.importorskip("nilearn")
    views = gx.plot.brain(VALUES, CONNECTOME, name="w (nA)")
    assert len(views) == 3
    for view, axes in zip(views, ([1, 2], [0, 2], [0, 1]), strict=True):  # from the side, from behind, from above
        places, drawn = dots(view)
        np.testing.assert_allclose(places, CENTRES[:, axes])
        np.testing.assert_allclose(drawn, colours(VALUES, (0.2, 0.9), "viridis"))
    (bar,) = (ax for ax in views[0].figure.axes if ax.get_ylabel() == "w (nA)")
    assert bar.get_ylim() == pytest.approx((0.2, 0.9))
    signed, wide = gx.plot.brain(VALUES - 0.5, CONNECTOME), gx.plot.brain(VALUES, CONNECTOME, limits=(0, 2))
    np.testing.assert_allclose(dots(signed[0])[1], colours(VALUES - 0.5, (-0.4, 0.4), "RdBu_r"))  # white is zero
    np.testing.assert_allclose(dots(wide[0])[1], colours(VALUES, (0, 2), "viridis"))


def test_a_brain_stays_in_the_axes_given():
    pytest.importorskip("nilearn")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    views = gx.plot.brain(VALUES, CONNECTOME, ax=right)

    def edges():
        """Left and right ends of the views, in parts of the frame."""
        figure.canvas.draw()
        frame, boxes = right.get_position(), [view.get_position() for view in views]
        return frame.x0, np.array([[box.x0 - frame.x0, box.x1 - frame.x0] for box in boxes]) / frame.width

    before, inside = edges()
    left.set_ylabel("a label that moves the layout\n\n\n\n")
    after, still = edges()
    assert after - before > 0.02
    assert (still > -1e-6).all() and (still < 1 + 1e-6).all() and (still[1:, 0] > still[:-1, 1] - 1e-6).all()
    np.testing.assert_allclose(still, inside, atol=0.05)  # views keep their shape, so their ends may move a little
    assert plt.get_fignums() == [figure.number]


def test_dots_of_an_atlas_lie_in_its_regions(atlas):
    values = np.array([1.0, 2.0, 3.0, 4.0])
    places, drawn = dots(gx.plot.brain(values, atlas=atlas)[2])  # from above: x, y
    np.testing.assert_allclose(drawn, colours(values, (1, 4), "viridis"))
    signs = np.sign(places - [0, -20])
    assert signs.tolist() == [[-1, 1], [1, -1], [1, 1], [-1, -1]]  # 2, 3, 5, 40
    labels = np.asarray(atlas.dataobj)
    third = np.argwhere(labels == 5).mean(0) * 4 + [-80, -110, -60]
    np.testing.assert_allclose(places[2], third[:2])


def values_at(view, points, limits, name):
    """The values whose colours are nearest to those drawn at points of a view."""
    figure = view.figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3]
    drawn = [pixels[tuple(view.transData.transform(p).astype(int)[::-1])] for p in points]
    scale = np.linspace(*limits, 256)
    table = plt.get_cmap(name)(np.linspace(0, 1, 256))[:, :3] * 255
    return [scale[np.abs(table - colour).sum(1).argmin()] for colour in drawn]


@pytest.mark.slow
def test_slices_show_the_value_of_each_region_zero_included(atlas, tmp_path):
    path = tmp_path / "atlas.nii.gz"
    atlas.to_filename(path)
    views = gx.plot.brain([1.0, 0.0, 3.0, -2.0], atlas=str(path), kind="slices", name="w")
    points = [(-30, 20), (30, -50), (30, 20), (-30, -50)]  # 2, 3, 5, 40
    found = values_at(views[2], points, (-3, 3), "RdBu_r")
    np.testing.assert_allclose(found, [1, 0, 3, -2], atol=0.1)
    renamed = gx.plot.brain([1.0, 0.0, 3.0, -2.0], atlas=atlas, regions=[40, 5, 3, 2], kind="slices")
    np.testing.assert_allclose(values_at(renamed[2], points, (-3, 3), "RdBu_r"), [-2, 3, 0, 1], atol=0.1)


@pytest.mark.slow
def test_a_surface_has_the_values_of_the_regions_below_it(atlas):
    from nilearn.datasets import load_fsaverage

    values = {2: 1.0, 3: 2.0, 5: 3.0, 40: 4.0}
    for side, front, back in (("left", 2, 40), ("right", 5, 3)):
        ax = gx.plot.brain(list(values.values()), atlas=atlas, kind="surface", hemisphere=side, name="w", limits=(0, 4))
        (mesh,) = ax.collections
        faces = load_fsaverage("fsaverage5")["pial"].parts[side]
        y = faces.coordinates[faces.faces][:, :, 1].mean(1)
        drawn = mesh._facecolor3d  # those of get_facecolors() are sorted by depth
        for region, where in ((front, y > -10), (back, y < -30)):
            expected = plt.get_cmap("viridis")(values[region] / 4)
            share = np.mean(np.abs(drawn[where] - expected).max(1) < 0.02)
            assert share > 0.75  # the rest lies outside of this ellipsoid, or at the other side of the midline
        assert any(other.get_ylabel() == "w" for other in ax.figure.axes)
    own = plt.figure().add_subplot(projection="3d")
    assert gx.plot.brain(list(values.values()), atlas=atlas, kind="surface", ax=own) is own
    with pytest.raises(ValueError, match="projection='3d'"):
        gx.plot.brain(list(values.values()), atlas=atlas, kind="surface", ax=plt.figure().subplots())


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: gx.plot.brain([1.0, 2.0], CONNECTOME), "2 values for the 3 regions of the connectome"),
        (
            lambda _: gx.plot.brain(VALUES, gx.Connectome(np.ones((3, 3)))),
            r"no centres: Connectome\(..., centres=...\)",
        ),
        (lambda _: gx.plot.brain(VALUES), "give a connectome with centres, or atlas="),
        (lambda atlas: gx.plot.brain(VALUES, CONNECTOME, atlas=atlas), "give a connectome with centres, or atlas="),
        (lambda _: gx.plot.brain([1.0, np.nan, 2.0], CONNECTOME), "one finite value a region"),
        (lambda _: gx.plot.brain(np.ones((3, 1)), CONNECTOME), r"got shape \(3, 1\)"),
        (lambda _: gx.plot.brain(VALUES, CONNECTOME, kind="surface"), "centres do not tell their shape: give atlas="),
        (lambda _: gx.plot.brain(VALUES, CONNECTOME, kind="flat"), "kind(=|\n|.)*'flat'"),
        (lambda atlas: gx.plot.brain(VALUES, atlas=atlas), "3 values for 4 regions of the atlas: give regions="),
        (lambda atlas: gx.plot.brain(VALUES, atlas=atlas, regions=[2, 3, 4]), "no region 4; it has 4, from 2 to 40"),
        (lambda atlas: gx.plot.brain(VALUES, atlas=atlas, regions=[2, 3, 3]), "names a region of the atlas twice"),
        (lambda atlas: gx.plot.brain(VALUES, atlas=halved(atlas)), "no label image"),
    ],
)
def test_maps_that_cannot_be_drawn_are_refused(call, message, atlas):
    with pytest.raises((ValueError, TypeError), match=message):
        call(atlas)


def halved(atlas):
    import nibabel

    return nibabel.Nifti1Image(np.asarray(atlas.dataobj) / 2, atlas.affine)


@pytest.mark.once
@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [
        ("nilearn", lambda: gx.plot.brain(VALUES, CONNECTOME), "brain"),
        ("mne", lambda: gx.plot.topography(np.ones(6), POSITIONS), "mne"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, package, call, extra):
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)

    def finder(name, *_):
        if name == package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(sys, "meta_path", [type("Gone", (), {"find_spec": staticmethod(finder)}), *sys.meta_path])
    with pytest.raises(ImportError, match=rf"gyrax\[{extra}\]"):
        call()


def test_a_topography_has_its_extremes_at_their_sensors():
    pytest.importorskip("mne")
    values = np.array([0.0, -2.0, 1.0, 0.0, 0.0, 0.5])
    ax = gx.plot.topography(values, POSITIONS, name="potential (µV)")
    image = ax.images[0]
    assert image.get_clim() == (-2, 2) and image.get_cmap().name == "RdBu_r"
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["potential (µV)"]
    left, right, bottom, top = image.get_extent()
    pixels = image.get_array()
    for (x, y), value in zip(POSITIONS / 1000, values, strict=True):
        row = int((y - bottom) / (top - bottom) * pixels.shape[0])
        column = int((x - left) / (right - left) * pixels.shape[1])
        assert pixels[row, column] == pytest.approx(value, abs=0.25)
    assert dict(
        zip(
            ["vmin", "vmax"], gx.plot.topography(values + 3, POSITIONS, limits=(0, 9)).images[0].get_clim(), strict=True
        )
    ) == {"vmin": 0, "vmax": 9}
    own = plt.figure().subplots()
    assert gx.plot.topography(values, POSITIONS, ax=own) is own


def test_a_topography_rolls_out_a_head_that_lies_anywhere():
    """From the sphere that fits: the angle from the top, 90 degrees at the rim, keeps its direction."""
    pytest.importorskip("mne")
    angles, turns = np.radians([0, 45, 45, 45, 45, 90]), np.radians([0, 0, 90, 180, 270, 45])
    ball = np.stack([np.sin(angles) * np.cos(turns), np.sin(angles) * np.sin(turns), np.cos(angles)], 1)
    places = [5.0, -20.0, 40.0] + 88.0 * ball
    flat = 95.0 * (angles / (np.pi / 2))[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    values = np.array([0.0, -2.0, 1.0, 0.0, 0.0, 0.5])
    rolled, plain = (gx.plot.topography(values, where).images[0].get_array() for where in (places, flat))
    np.testing.assert_allclose(rolled, plain, atol=1e-6)


def test_a_topography_of_an_info():
    mne = pytest.importorskip("mne")
    names = [f"E{i}" for i in range(12)]
    around = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    places = 0.09 * np.column_stack([np.cos(around) * 0.8, np.sin(around) * 0.8, np.full(12, 0.6)])
    places[6:] *= [0.5, 0.5, 1.4]
    info = mne.create_info(names, 100.0, "eeg")
    info.set_montage(mne.channels.make_dig_montage(dict(zip(names, places, strict=True)), coord_frame="head"))
    values = np.cos(around)
    ax = gx.plot.topography(values, info)
    image = ax.images[0]
    half = image.get_array().shape[1] // 2
    assert np.nanmean(image.get_array()[:, half:]) > 0.1 > -0.1 > np.nanmean(image.get_array()[:, :half])
    with pytest.raises(ValueError, match="each of 12 sensors, got shape"):
        gx.plot.topography(values[:3], info)
    mixed = mne.create_info(["a", "b"], 100.0, ["eeg", "mag"])
    with pytest.raises(ValueError, match=r"several types \(eeg, mag\)"):
        gx.plot.topography([1.0, 2.0], mixed)


@pytest.mark.once
@pytest.mark.parametrize(
    ("values", "positions", "message"),
    [
        (np.ones(6), np.ones((6, 4)), r"finite positions \(sensor, 2\) or \(sensor, 3\) in mm, got shape \(6, 4\)"),
        (np.ones(6), POSITIONS / 1000, "positions are in mm, these are all within 0.07"),
        (np.ones(5), POSITIONS, "each of 6 sensors, got shape"),
        (np.full(6, np.nan), POSITIONS, "one finite value"),
    ],
)
def test_a_topography_that_cannot_be_drawn_is_refused(values, positions, message):
    pytest.importorskip("mne")
    with pytest.raises(ValueError, match=message):
        gx.plot.topography(values, positions)
