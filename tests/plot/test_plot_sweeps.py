"""Plots of sweeps: a line, a map, or a map of every two parameters, with each value where it was found."""

import importlib.util

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import gyrax as gx
from drawn import closed, curve, texts

__all__ = ["closed"]  # a fixture of every test here

GRID = xr.Dataset(
    {"r": (("w", "k"), np.array([[3.0, 1.0, 2.0], [5.0, 7.0, 4.0]]))}, coords={"w": [0.1, 0.5], "k": [0.0, 1.0, 5.0]}
)


def test_a_sweep_over_two_parameters_has_each_value_at_its_place():
    mesh = gx.plot.sweep(GRID).collections[0]
    corners, values = mesh.get_coordinates(), mesh.get_array()
    for i, w in enumerate(GRID["w"].values):
        for j, k in enumerate(GRID["k"].values):
            (row,) = np.flatnonzero((corners[:-1, 0, 1] < k) & (k < corners[1:, 0, 1]))
            (column,) = np.flatnonzero((corners[0, :-1, 0] < w) & (w < corners[0, 1:, 0]))
            assert values[row, column] == GRID["r"].values[i, j]
    np.testing.assert_allclose(corners[0, :, 0], [-0.1, 0.3, 0.7])
    np.testing.assert_allclose(corners[:, 0, 1], [-0.5, 0.5, 3.0, 7.0])  # half-way between neighbours


def test_the_order_of_the_values_does_not_matter():
    shuffled = GRID.isel(w=[1, 0], k=[2, 0, 1])
    ours, theirs = (gx.plot.sweep(grid).collections[0] for grid in (GRID, shuffled))
    np.testing.assert_array_equal(ours.get_array(), theirs.get_array())
    np.testing.assert_array_equal(ours.get_coordinates(), theirs.get_coordinates())
    line = gx.plot.sweep(shuffled.isel(w=0)).lines[0]
    np.testing.assert_array_equal(curve(line), [[0, 5], [1, 7], [5, 4]])


def test_a_geometric_axis_is_logarithmic():
    grid = xr.Dataset(
        {"r": (("a", "b"), np.arange(12.0).reshape(4, 3))}, coords={"a": [0.1, 1, 10, 100], "b": [1.0, 2.0, 4.0]}
    )
    ax = gx.plot.sweep(grid)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")  # b spans less than a decade
    edges = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(edges[0, :, 0], 10.0 ** (np.arange(5) - 1.5))
    np.testing.assert_allclose(edges[:, 0, 1], [0.5, 1.5, 3.0, 5.0])
    assert gx.plot.sweep(grid.isel(b=0)).get_xscale() == "log"
    assert gx.plot.sweep(grid.transpose("b", "a")).get_yscale() == "log"


@pytest.mark.parametrize(
    ("best", "place", "text"),
    [("min", (0.1, 1.0), "lowest: 1 at w = 0.1, k = 1"), ("max", (0.5, 1.0), "highest: 7 at w = 0.5, k = 1")],
)
def test_the_best_point_of_a_sweep_is_marked(best, place, text):
    ax = gx.plot.sweep(GRID, best=best)
    assert (ax.lines[0].get_xdata()[0], ax.lines[0].get_ydata()[0]) == place
    assert texts(ax.get_legend().get_texts()) == [text]
    found = float(GRID["r"].min() if best == "min" else GRID["r"].max())
    blank = GRID.where(abs(GRID - found) > 0)
    second = gx.plot.sweep(blank, best=best)
    assert texts(second.get_legend().get_texts()) == [
        {"min": "lowest: 2 at w = 0.1, k = 5", "max": "highest: 5 at w = 0.5, k = 0"}[best]
    ]


def test_a_sweep_over_one_parameter_is_a_line():
    ax = gx.plot.sweep(GRID.isel(w=1), best="min", limits=(0, 10))
    np.testing.assert_array_equal(curve(ax.lines[0]), [[0, 5], [1, 7], [5, 4]])
    np.testing.assert_array_equal(curve(ax.lines[1]), [[5, 4]])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()) == ("k", "r", (0, 10))


def test_what_sweep_gives_can_be_drawn():
    values = {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]}
    grid = gx.sweep(gx.models.WongWang(), lambda m, key: {"a": m.w * m.I_o, "b": m.w}, values)
    ax = gx.plot.sweep(grid, "a", limits=(0, 1))
    np.testing.assert_allclose(ax.collections[0].get_array(), np.outer([0.1, 0.2, 0.3], [0.5, 1.0]), rtol=1e-5)
    assert ax.figure.axes[1].get_ylabel() == "a" and ax.collections[0].get_clim() == (0, 1)
    assert gx.plot.sweep(grid["b"]).figure.axes[1].get_ylabel() == "b"
    one = gx.plot.sweep(grid["a"].isel(w=[1])).collections[0].get_coordinates()
    np.testing.assert_allclose(one[0, :, 0], [0.5, 1.5])


#: 2 by 3 by 2 values, the lowest of which is 0 and stands next to what has none.
CUBE = xr.Dataset(
    {"r": (("w", "k", "g"), np.array([[[6.0, 1], [2, 3], [9, 5]], [[4, 7], [8, np.nan], [0, 11]]]))},
    coords={"w": [0.1, 0.5], "k": [0.0, 1.0, 5.0], "g": [1.0, 100.0]},
)


def test_a_sweep_over_three_parameters_shows_every_two_of_them():
    every = gx.plot.sweep(CUBE, best="min")
    assert every.shape == (3, 3) and not every[0, 1].get_visible()
    assert [ax.get_xlabel() for ax in every[2]] == ["w", "k", "g"]
    assert [ax.get_ylabel() for ax in every[:, 0]] == ["r", "k", "g"]
    r = CUBE["r"].values
    np.testing.assert_array_equal(every[1, 0].collections[0].get_array(), np.nanmin(r, axis=2).T)
    np.testing.assert_array_equal(every[2, 0].collections[0].get_array(), np.nanmin(r, axis=1).T)
    np.testing.assert_array_equal(every[2, 1].collections[0].get_array(), np.nanmin(r, axis=0).T)
    np.testing.assert_array_equal(curve(every[1, 1].lines[0]), [[0, 1], [1, 2], [5, 0]])
    stars = [tuple(curve(every[place].lines[-1])[0]) for place in ((1, 0), (2, 0), (2, 1), (2, 2))]
    assert stars == [(0.5, 5), (0.5, 1), (5, 1), (1, 0)]
    assert every[0, 0].get_title(loc="left") == "lowest: 0 at w = 0.5, k = 5, g = 1"
    bar = every[0, 0].figure.axes[-1]
    assert bar.get_ylabel() == "r, lowest over the others" and bar.get_ylim() == (0, 11)
    mean = gx.plot.sweep(CUBE, ax=plt.figure().subplots(3, 3))
    np.testing.assert_allclose(mean[1, 0].collections[0].get_array(), np.nanmean(r, axis=2).T)
    assert mean[0, 0].figure.axes[-1].get_ylabel() == "r, mean over the others"
    mean[0, 0].figure.canvas.draw()


def test_best_is_the_lowest_or_the_highest():
    with pytest.raises((ValueError, TypeError), match=r"(?s)best.*lowest"):  # annotations are checked by some suites
        gx.plot.sweep(GRID, best="lowest")


def test_infinite_values_are_never_best():
    values = GRID.where(abs(GRID - 7) > 0, np.inf)
    assert texts(gx.plot.sweep(values, best="max").get_legend().get_texts()) == ["highest: 5 at w = 0.5, k = 0"]


def test_points_that_are_no_grid_lie_where_they_are():
    model, box = gx.models.WongWang(), {"w": (0.4, 1.0), "I_o": (0.01, 1.0, "log"), "gamma": (0.1, 1.0)}

    def product(m, key):
        return jnp.where(m.w < 0.5, jnp.nan, m.w * m.I_o * m.gamma)

    three = gx.sweep(model, product, {"point": gx.scale.Sobol(box, count=16)})
    every = gx.plot.sweep(three, best="max")
    drawn = every[2, 0].collections[0]
    w, gamma, values = (three[name].values for name in ("w", "gamma", "value"))
    order = np.argsort(np.where(np.isnan(values), -np.inf, values))[
        np.isnan(values).sum() :
    ]  # the best above the others
    np.testing.assert_allclose(drawn.get_offsets(), np.stack([w, gamma], 1)[order], rtol=1e-6)
    np.testing.assert_allclose(drawn.get_array(), values[order], rtol=1e-6)
    np.testing.assert_allclose(np.sort(curve(every[2, 0].lines[0])[:, 0]), np.sort(w[np.isnan(values)]), rtol=1e-6)
    assert (every[2, 1].get_xscale(), every[2, 1].get_yscale(), every[1, 0].get_yscale()) == ("log", "linear", "log")
    two = gx.sweep(model, product, {"point": gx.scale.Sobol({"w": (0.4, 1.0), "I_o": (0.1, 0.2)}, count=4)})
    ax = gx.plot.sweep(two)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.figure.axes[1].get_ylabel()) == ("w", "I_o", "value")
    one = gx.sweep(model, lambda m, key: m.w, {"point": gx.scale.LatinHypercube({"w": (0.0, 1.0)}, count=4)})
    np.testing.assert_allclose(*curve(gx.plot.sweep(one).lines[0]).T, rtol=1e-6)
    mixed = gx.sweep(
        model, product, {"gamma": [0.2, 0.4], "pair": gx.scale.Together({"w": [0.5, 0.6, 0.9], "I_o": [0.1, 0.3, 0.2]})}
    )
    every = gx.plot.sweep(mixed)
    np.testing.assert_allclose(
        every[2, 1].collections[0].get_array(), np.sort(mixed["value"].values.ravel()), rtol=1e-6
    )


def test_noise_of_a_sweep_is_averaged(tmp_path):
    space = {"w": [0.5, 1.0, 1.5], "seed": gx.scale.Seeds(3)}
    options = {} if importlib.util.find_spec("zarr") is None else {"store": tmp_path / "s.zarr"}
    found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w + jax.random.normal(key), space, **options)
    line = gx.plot.sweep(found).lines[0]
    np.testing.assert_allclose(curve(line), np.stack([found["w"], found["value"].mean("seed")], 1), rtol=1e-6)
    some = found.where((found["seed"] > 0) | (found["w"] > 0.5))  # one of three has no value: neither has the mean
    assert np.isnan(curve(gx.plot.sweep(some).lines[0])[:, 1]).tolist() == [True, False, False]
    seeds = gx.plot.sweep(found.isel(w=0)).lines[0]
    np.testing.assert_allclose(curve(seeds)[:, 0], [0, 1, 2])


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.plot.sweep(GRID.assign(q=GRID["r"])), "which variable. there are r, q"),
        (lambda: gx.plot.sweep(GRID, "q"), "there are r; got 'q'"),
        (lambda: gx.plot.sweep(GRID["r"], "q"), "there is 'r' alone; got 'q'"),
        (lambda: gx.plot.sweep(GRID * 1j), "'r' is complex128, which has no colours"),
        (lambda: gx.plot.sweep(np.ones((2, 2))), "expected what gx.sweep gives"),
        (lambda: gx.plot.sweep(GRID.expand_dims(a=[1.0, 1.0])), "a value of a is there twice"),
        (
            lambda: gx.plot.sweep(GRID.expand_dims(subject=["01"])),
            "'subject' has no numbers as coordinates: choose a place",
        ),
        (lambda: gx.plot.sweep(CUBE, ax=plt.figure().subplots(2, 2)), "ax has 4 axes, and 9 panels"),
        (lambda: gx.plot.sweep(GRID.isel(k=0, w=0)), "0 parameters"),
        (lambda: gx.plot.sweep(GRID.drop_vars("k")), "'k' has no numbers"),
        (lambda: gx.plot.sweep(GRID.assign_coords(w=["a", "b"])), "'w' has no numbers"),
        (lambda: gx.plot.sweep(GRID.isel(w=[0, 0])), "a value of w is there twice"),
        (lambda: gx.plot.sweep(GRID.isel(w=0) * np.nan, best="min"), "none is best"),
    ],
)
def test_a_sweep_that_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
