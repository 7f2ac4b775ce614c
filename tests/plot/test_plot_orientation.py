"""Rows of a matrix go down and its columns across, in every plot that shows one: none here is symmetric."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.contour import QuadContourSet

import gyrax as gx
from drawn import closed

__all__ = ["closed"]  # a fixture of every test here

RNG = np.random.default_rng(5)
DIRECTED = RNG.uniform(0.1, 1.0, (4, 4))
SIGNED = RNG.normal(size=(4, 4))
LABELS = list("ABCD")


def cell(ax, row, column):
    """What is drawn where the ticks of a row and of a column meet."""
    image = ax.images[0]
    down = {label.get_text(): place for label, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    across = {label.get_text(): place for label, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)}
    left, right, bottom, top = image.get_extent()
    values = image.get_array()
    first = (top - down[row]) / (top - bottom) if image.origin == "upper" else (down[row] - bottom) / (top - bottom)
    second = (across[column] - left) / (right - left)
    return values[int(first * values.shape[0]), int(second * values.shape[1])]


def shown(ax, rows=LABELS, columns=LABELS):
    """All that is drawn, NaN where nothing is."""
    return np.array([[np.ma.filled(cell(ax, row, column), np.nan) for column in columns] for row in rows])


def test_a_matrix():
    np.testing.assert_array_equal(shown(gx.plot.matrix(DIRECTED, LABELS)), DIRECTED)
    np.testing.assert_array_equal(shown(gx.plot.matrix(SIGNED, LABELS)), SIGNED)
    np.testing.assert_array_equal(shown(gx.plot.matrix(DIRECTED, LABELS, log=True)), DIRECTED)


def test_a_matrix_that_is_not_square():
    values, columns = RNG.normal(size=(4, 2)), ["x", "y"]
    table = pd.DataFrame(values, index=LABELS, columns=columns)
    array = xr.DataArray(values, dims=("target", "source"), coords={"target": LABELS, "source": columns})
    for given in (table, array):
        np.testing.assert_array_equal(shown(gx.plot.matrix(given), LABELS, columns), values)
        np.testing.assert_array_equal(shown(gx.plot.matrix(given.T), columns, LABELS), values.T)


def test_target_fitted_and_residual():
    axes = gx.plot.fc_fit(SIGNED, DIRECTED, LABELS, scatter=True)
    off = ~np.eye(4, dtype=bool)
    for ax, values in zip(axes, (SIGNED, DIRECTED, DIRECTED - SIGNED), strict=False):
        found = shown(ax)
        np.testing.assert_array_equal(found[off], values[off])
    points = {tuple(point) for point in np.column_stack(axes[3].lines[0].get_data())}
    assert points == {(SIGNED[i, j], DIRECTED[i, j]) for i, j in np.argwhere(off)}
    r = np.corrcoef(SIGNED[off], DIRECTED[off])[0, 1]
    assert axes[3].get_title() == f"r = {r:.3f}" and axes[1].get_title() == f"fitted, r = {r:.3f}"


@pytest.mark.parametrize("what", ["weights", "lengths"])
@pytest.mark.parametrize("log", [False, True])
def test_a_connectome(what, log):
    """Row i receives."""
    connectome = gx.Connectome(DIRECTED, RNG.uniform(5.0, 90.0, (4, 4)), labels=LABELS)
    ax = connectome.plot(what=what, log=log)
    np.testing.assert_array_equal(shown(ax), getattr(connectome, what))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("source", "target")


def test_a_sweep():
    """The first parameter lies along x, also on two axes of one length."""
    values = RNG.normal(size=(3, 3))
    grid = xr.DataArray(values, dims=("a", "b"), coords={"a": [0.1, 0.2, 0.4], "b": [3.0, 1.0, 2.0]}, name="r")
    mesh = gx.plot.sweep(grid).collections[0]
    x, y = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
    for a in grid["a"].values:
        for b in grid["b"].values:
            drawn = mesh.get_array()[np.searchsorted(y, b) - 1, np.searchsorted(x, a) - 1]
            assert drawn == float(grid.sel(a=a, b=b))


def test_a_phase_plane_of_a_flow_that_turns():
    """dx/dt = 0 where y is, and dy/dt = 0 where x is: with the two exchanged the nullclines would be too."""

    class Shear(gx.AbstractModel):
        states = ("x", "y")
        inputs = ("c",)

        def drift(self, t, y, u):
            return jnp.stack([y[1] - 0.3, y[0] + 0.5])

    ax = gx.plot.phase_plane(Shear(), {"x": (-1, 1), "y": (-2, 2)})
    level, upright = (
        np.concatenate([path.vertices for path in c.get_paths()])
        for c in ax.collections
        if isinstance(c, QuadContourSet)
    )
    np.testing.assert_allclose(level[:, 1], 0.3, atol=1e-5)
    np.testing.assert_allclose(upright[:, 0], -0.5, atol=1e-5)
    assert np.ptp(level[:, 0]) > 1.9 and np.ptp(upright[:, 1]) > 3.9


def test_a_stimulus_reaches_the_regions_it_names_in_this_order():
    cue = gx.stimuli.Stimulus(gx.stimuli.Pulse(onset=20.0, duration=50.0), {"V1": 1.0, "V2": -0.5, "M1": 0.25}, "I")
    _, pattern = np.ravel(cue.plot(100.0))
    found = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in pattern.patches}
    names = [label.get_text() for label in pattern.get_yticklabels()]
    assert {names[place]: width for place, width in found.items()} == {"V1": 1.0, "V2": -0.5, "M1": 0.25}
