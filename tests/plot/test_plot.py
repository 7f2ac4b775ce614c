"""Plots draw on the axes they are given, return them, and show the numbers they were given."""

import itertools

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gyrax as gx
from drawn import closed, curve, texts
from gyrax.features import Spectrum

__all__ = ["closed"]  # a fixture of every test here

SIGNED = np.array([[1.0, -0.4], [-0.4, 0.5]])
#: Three channels that differ at every frequency and sample, so that no mix-up goes unseen.
POWER = np.array([[8.0, 9.0, 13.0], [4.0, 6.0, 8.0], [2.0, 4.0, 3.0], [1.0, 3.0, 5.0]])
SPECTRUM = Spectrum(frequencies=[0.0, 2.0, 4.0, 6.0], power=POWER, labels=("A", "B", "C"))
GRID = xr.Dataset(
    {"r": (("w", "k"), np.array([[3.0, 1.0, 2.0], [5.0, 7.0, 4.0]]))}, coords={"w": [0.1, 0.5], "k": [0.0, 1.0, 5.0]}
)


def trace(names=("A", "B", "C"), samples=50, period=2.0):
    times = period * np.arange(1, samples + 1)
    values = np.sin(times[:, None] / (10 + 3 * np.arange(len(names)))) * (1 + np.arange(len(names))) + 5
    return xr.DataArray(values, dims=("time", "region"), coords={"time": times, "region": list(names)}, name="S")


PLOTS = {
    "matrix": (lambda **kw: gx.plot.matrix(SIGNED, **kw), ("region", "region")),
    "loss_history": (lambda **kw: gx.plot.loss_history([3.0, 1.0, 2.0], best=1, **kw), ("step", "loss")),
    "regional": (lambda **kw: gx.plot.regional(jnp.array([0.2, 0.4, 0.9]), name="w", **kw), ("region", "w")),
    "recording": (lambda **kw: gx.plot.recording(trace(), channels="B", **kw), ("time (ms)", "S")),
    "spectrum": (
        lambda **kw: gx.plot.spectrum(SPECTRUM, **kw),
        ("frequency (Hz)", "power spectral density (unit²/Hz)"),
    ),
    "sweep": (lambda **kw: gx.plot.sweep(GRID, best="min", **kw), ("w", "k")),
    "phase_plane": (lambda **kw: gx.plot.phase_plane(gx.models.Hopf(), {"y": (-1, 1), "x": (-2, 2)}, **kw), ("y", "x")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_labelled_and_honoured(name):
    draw, labels = PLOTS[name]
    ax = draw()
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels
    assert plt.get_fignums() == [ax.figure.number] and ax.figure.get_layout_engine() is not None
    _, (left, right) = plt.subplots(1, 2)
    assert draw(ax=right) is right
    assert right.has_data() and not left.has_data()
    assert len(plt.get_fignums()) == 2
    right.figure.canvas.draw()


def test_a_matrix_shows_its_values_with_a_colour_bar():
    ax = gx.plot.matrix(jnp.asarray(SIGNED), title="FC", name="correlation")
    assert ax.get_title() == "FC" and len(ax.figure.axes) == 2
    assert ax.figure.axes[1].get_ylabel() == "correlation"
    np.testing.assert_allclose(ax.images[0].get_array(), SIGNED, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "limits", "expected", "colours"),
    [
        (SIGNED, None, (-1.0, 1.0), "RdBu_r"),  # white is zero
        (-SIGNED, None, (-1.0, 1.0), "RdBu_r"),
        (np.abs(SIGNED), None, (0.4, 1.0), "viridis"),
        (SIGNED, (0.0, 0.8), (0.0, 0.8), "viridis"),
        (np.abs(SIGNED), (-2.0, 1.0), (-2.0, 1.0), "RdBu_r"),
        (np.where(SIGNED > 0.9, np.nan, SIGNED), None, (-0.5, 0.5), "RdBu_r"),
    ],
)
def test_colours_of_a_matrix(values, limits, expected, colours):
    image = gx.plot.matrix(values, limits=limits).images[0]
    assert image.get_clim() == expected and image.get_cmap().name == colours


def test_a_cell_without_a_value_does_not_look_like_zero():
    ax = gx.plot.matrix(np.where(np.eye(2) > 0, np.nan, SIGNED), limits=(-1, 1))
    fig = ax.figure
    fig.canvas.draw()
    pixels = np.asarray(fig.canvas.buffer_rgba())[::-1]
    x, y = ax.transData.transform((0, 0)).astype(int)
    middle = np.array(plt.get_cmap("RdBu_r")(0.5)) * 255
    assert np.abs(pixels[y, x] - middle).max() > 15 and np.ptp(pixels[y, x][:3]) == 0


def test_labels_of_a_matrix_name_its_rows_and_columns():
    values = np.arange(6.0).reshape(2, 3)
    ax = gx.plot.matrix(pd.DataFrame(values, index=["a", "b"], columns=["x", "y", "z"]))
    assert texts(ax.get_yticklabels()) == ["a", "b"] and texts(ax.get_xticklabels()) == ["x", "y", "z"]
    assert list(ax.get_xticks()) == [0, 1, 2] and list(ax.get_yticks()) == [0, 1]
    array = xr.DataArray(values, dims=("target", "source"), coords={"target": ["a", "b"], "source": ["x", "y", "z"]})
    ax = gx.plot.matrix(array)
    assert texts(ax.get_yticklabels()) == ["a", "b"] and texts(ax.get_xticklabels()) == ["x", "y", "z"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("source", "target")
    bare = gx.plot.matrix(array.drop_vars(["target", "source"]))
    assert (bare.get_xlabel(), bare.get_ylabel()) == ("source", "target")
    ax = gx.plot.matrix(SIGNED, ["V1", "V2"])
    assert texts(ax.get_yticklabels()) == texts(ax.get_xticklabels()) == ["V1", "V2"]


@pytest.mark.parametrize(("size", "n"), [((2.0, 2.0), 84), ((12.0, 12.0), 84), ((4.0, 4.0), 400), ((5.0, 5.0), 3)])
def test_labels_never_overlap_and_stay_with_their_regions(size, n):
    ax = plt.figure(figsize=size, layout="constrained").subplots()
    gx.plot.matrix(np.random.default_rng(0).random((n, n)), [f"R{i}" for i in range(n)], ax=ax)
    ax.figure.canvas.draw()
    shown = ax.get_yticklabels()
    assert texts(shown) == [f"R{i}" for i in ax.get_yticks()]
    boxes = sorted(label.get_window_extent().y0 for label in shown)
    points = shown[0].get_fontsize()
    assert 5.5 <= points <= 9
    if len(boxes) > 1:
        assert np.diff(boxes).min() * 72 / ax.figure.dpi > 0.9 * points
    assert texts(ax.get_xticklabels())[0] == "R0"


def test_a_large_matrix_gets_a_figure_in_which_half_of_its_labels_can_be_read():
    ax = gx.plot.matrix(np.random.default_rng(0).random((84, 84)), [f"R{i}" for i in range(84)])
    assert len(ax.get_yticks()) >= 42


def test_logarithmic_colours_leave_zeros_blank():
    values = np.array([[0.0, 1e-3], [1.0, 10.0]])
    image = gx.plot.matrix(values, log=True).images[0]
    assert np.ma.getmaskarray(image.get_array()).tolist() == [[True, False], [False, False]]
    assert image.get_clim() == (1e-3, 10.0)
    assert image.norm(0.1) == pytest.approx(0.5)  # half-way in decades


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.plot.matrix(np.ones(3)), r"matrix \(row, column\), got shape \(3,\)"),
        (lambda: gx.plot.matrix(SIGNED, ["A"]), "1 labels for 2 rows"),
        (lambda: gx.plot.matrix(np.ones((2, 3)), ["A", "B"]), "2 labels for 3 columns"),
        (lambda: gx.plot.matrix(np.full((2, 2), np.nan)), "none of the values is finite"),
        (lambda: gx.plot.matrix(SIGNED, log=True), "negative values, such as -0.4"),
        (lambda: gx.plot.matrix(np.zeros((2, 2)), log=True), "none of the values is finite"),
        (lambda: gx.plot.fc_fit(np.eye(3), np.eye(4)), r"same regions, 2 or more, got shapes \(3, 3\) and \(4, 4\)"),
        (lambda: gx.plot.fc_fit(np.ones((3, 2)), np.ones((3, 2))), "two square matrices"),
        (lambda: gx.plot.fc_fit(np.eye(3), np.full((3, 3), np.nan)), r"fitted matrix is not finite at \[0, 1\]"),
        (lambda: gx.plot.fc_fit(np.eye(3), np.eye(3), ax=plt.subplots(1, 2)[1]), "ax has 2 axes, and 3 panels"),
        (lambda: gx.plot.loss_history({}), "no history"),
        (lambda: gx.plot.loss_history([[1.0]]), r"'loss' is one value a step, got shape \(1, 1\)"),
        (lambda: gx.plot.loss_history([2.0, 1.0], best=2), "best = 2 is none of the 2 steps"),
        (lambda: gx.plot.regional([[1.0]]), r"one finite value a region, got shape \(1, 1\)"),
        (lambda: gx.plot.regional([1.0, np.nan]), "one finite value a region"),
        (lambda: gx.plot.regional([1.0, 2.0], ["A"]), "1 labels for 2 values"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_fc_fit_shows_target_fitted_and_residual_on_one_scale():
    rng = np.random.default_rng(1)
    target, fitted = (np.corrcoef(rng.normal(size=(5, 9))) for _ in range(2))
    axes = gx.plot.fc_fit(target, fitted, list("ABCDE"), scatter=True)
    off = ~np.eye(5, dtype=bool)
    for ax, values in zip(axes[:3], (target, fitted, fitted - target), strict=True):
        shown = ax.images[0].get_array()
        assert np.ma.getmaskarray(shown)[~off].all()
        np.testing.assert_allclose(shown[off], values[off])
        assert texts(ax.get_yticklabels()) == list("ABCDE")
    largest = max(np.abs(target[off]).max(), np.abs(fitted[off]).max())
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (-largest, largest)
    swapped = gx.plot.fc_fit(fitted, target)
    assert swapped[0].images[0].get_clim() == swapped[1].images[0].get_clim() == (-largest, largest)
    worst = np.abs(fitted - target)[off].max()
    assert axes[2].images[0].get_clim() == (-worst, worst)
    r = float(gx.losses.fc_correlation(target, fitted))
    assert axes[1].get_title() == f"fitted, r = {r:.3f}" and axes[3].get_title() == f"r = {r:.3f}"
    np.testing.assert_array_equal(curve(axes[3].lines[0]), np.column_stack([target[off], fitted[off]]))
    assert axes[3].get_xlim() == axes[3].get_ylim() and axes[3].get_xlabel() == "target FC"
    given = plt.subplots(1, 3)[1]
    again = gx.plot.fc_fit(target, fitted, limits=(0, 1), ax=given)
    assert list(again) == list(given) and again[1].images[0].get_clim() == (0, 1)


def test_a_perfect_or_constant_fit_can_be_drawn():
    target = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
    perfect = gx.plot.fc_fit(target, target)
    assert perfect[1].get_title() == "fitted, r = 1.000" and perfect[2].images[0].get_clim() == (-1, 1)
    assert gx.plot.fc_fit(target, np.ones((3, 3)))[1].get_title() == "fitted, r = nan"


def test_a_loss_history_marks_the_best_step():
    losses = jnp.array([3.0, 1.25, 2.0])
    ax = gx.plot.loss_history(losses, best=1)
    line, point = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), losses)
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1, 1.25)
    assert ax.get_legend().get_texts()[0].get_text() == "best: 1.25"
    plain = gx.plot.loss_history(losses)
    assert len(plain.lines) == 1 and plain.get_legend() is None


@pytest.mark.once
def test_named_terms_have_a_line_each():
    terms = {"loss": [3.0, 1.0, 2.0], "rmse": [0.3, 0.2, 0.1]}
    ax = gx.plot.loss_history(terms, best=1)
    for line, values in zip(ax.lines, terms.values(), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert texts(ax.get_legend().get_texts()) == ["loss", "rmse", "best: 1"]
    assert ax.lines[2].get_ydata()[0] == 1.0 and ax.get_ylabel() == "value"


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([100.0, 1.0], "log"),
        ([99.0, 1.0], "linear"),
        ([100.0, 0.0], "linear"),  # zero has no logarithm
        ([100.0, -1.0], "linear"),
        ([100.0, np.nan, 1.0], "log"),
        ({"a": [1.0, 1.0], "b": [200.0, 150.0]}, "log"),
    ],
)
def test_a_loss_that_spans_decades_is_drawn_by_its_logarithm(losses, scale):
    assert gx.plot.loss_history(losses).get_yscale() == scale


def test_regional_bars_end_at_the_values():
    values = np.array([0.2, 0.4, 0.9])
    ax = gx.plot.regional(values, ["A", "B", "C"], name="w")
    mean = values.mean()
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in ax.patches], [0, 1, 2])
    np.testing.assert_allclose([bar.get_y() + bar.get_height() for bar in ax.patches], values)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [mean, mean])
    assert texts(ax.get_xticklabels()) == ["A", "B", "C"]


@pytest.fixture(scope="module")
def run():
    connectome = gx.Connectome(np.ones((3, 3)), labels=["A", "B", "C"])
    net = gx.Network(gx.models.Hopf(), gx.couplings.Difference(source=("x", "y"), strength=0.1), connectome)
    return gx.simulate(net, duration=8.0, dt=0.1)


def test_a_recording_has_a_panel_a_state_and_a_line_a_channel(run):
    raw = run["raw"]
    values = np.asarray(raw.values)
    axes = gx.plot.recording(raw, channels=["C", 0])
    assert [ax.get_title() for ax in axes] == ["x", "y"]
    assert [ax.get_xlabel() for ax in axes] == ["", "time (ms)"]
    for state, ax in enumerate(axes):
        assert texts(ax.get_yticklabels()) == ["C", "A"]
        for line, channel, tick in zip(ax.lines, (2, 0), ax.get_yticks(), strict=False):
            np.testing.assert_allclose(line.get_xdata(), raw.times)
            one = values[:, state, channel]
            np.testing.assert_allclose(line.get_ydata(), one - one.mean() + tick, atol=1e-6)
        assert np.diff(ax.get_yticks()) < 0  # the first on top
    only = gx.plot.recording(raw, states="y", channels=1)
    np.testing.assert_allclose(only.lines[0].get_ydata(), values[:, 1, 1], rtol=1e-6)
    assert (only.get_title(), only.get_ylabel()) == ("B", "y")
    given = plt.subplots(2, 1)[1]
    assert list(gx.plot.recording(raw, ax=given)) == list(given)


def test_stacked_lines_do_not_cross_and_the_bar_tells_their_size():
    ax = gx.plot.recording(trace())
    lines = [line.get_ydata() for line in ax.lines[:3]]
    assert all(above.min() > below.mean() for above, below in itertools.pairwise(lines))
    assert all((above >= below).all() for above, below in itertools.pairwise(lines))
    bar = ax.lines[3].get_ydata()
    assert bar[1] - bar[0] == pytest.approx(float(ax.texts[0].get_text()))
    spacing = -np.diff(ax.get_yticks())[0]
    assert spacing / 2.6 < bar[1] - bar[0] <= spacing
    assert ax.get_ylim()[0] < lines[-1].min() and lines[0].max() < ax.get_ylim()[1]


@pytest.mark.parametrize(
    ("period", "units", "last", "label"), [(2.0, "ms", 100, "ms"), (100.0, "ms", 5, "s"), (0.1, "s", 5, "s")]
)
def test_time_is_in_the_unit_that_suits(period, units, last, label):
    values = trace(period=period)
    values["time"].attrs["units"] = units
    ax = gx.plot.recording(values, channels=0)
    assert ax.get_xlabel() == f"time ({label})" and ax.lines[0].get_xdata()[-1] == pytest.approx(last)
    assert ax.get_xlim()[1] == pytest.approx(last)


def test_a_global_signal_and_a_transposed_array_can_be_drawn():
    values = trace()
    ax = gx.plot.recording(values.mean("region"))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values.mean("region"))
    transposed = gx.plot.recording(values.T)
    assert texts(transposed.get_yticklabels()) == ["A", "B", "C"]
    assert texts(gx.plot.recording(values.drop_vars("region")).get_yticklabels()) == [f"region {i}" for i in range(3)]


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gx.plot.recording(np.ones((5, 2))), TypeError, "which know their times, got ndarray"),
        (lambda: gx.plot.recording(trace().expand_dims(run=2)), ValueError, "choose with .isel"),
        (lambda: gx.plot.recording(trace().rename(time="sample")), ValueError, "expected axes time"),
        (lambda: gx.plot.recording(trace().drop_vars("time")), ValueError, "does not know its times"),
        (lambda: gx.plot.recording(trace()[:0]), ValueError, "no samples"),
        (lambda: gx.plot.recording(trace(), channels="D"), ValueError, "no channel 'D'; there are 3: A, B, C"),
        (lambda: gx.plot.recording(trace(), channels=[0, 3]), ValueError, "no channel 3"),
        (lambda: gx.plot.recording(trace(), channels=[]), ValueError, "no channel was chosen"),
        (lambda: gx.plot.recording(trace(), states="x"), ValueError, "no state 'x'; there are 1: S"),
        (lambda: gx.plot.recording(trace().where(lambda x: x.time < 20)), ValueError, "A is not finite from 20 ms on"),
        (
            lambda: gx.plot.recording(trace().assign_coords(time=("time", np.arange(50), {"units": "h"}))),
            ValueError,
            "'h'",
        ),
        (lambda: gx.plot.recording(trace(), ax=plt.subplots(2)[1]), ValueError, "ax has 2 axes, and 1 "),
    ],
)
def test_a_recording_that_cannot_be_drawn_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_spectrum_shows_the_mean_and_the_spread_of_its_channels():
    ax = gx.plot.spectrum(SPECTRUM)
    np.testing.assert_allclose(curve(ax.lines[0]), np.column_stack([[0, 2, 4, 6], POWER.mean(1)]), rtol=1e-6)
    band = ax.collections[0].get_paths()[0].vertices
    for frequency, power in zip([0, 2, 4, 6], np.sort(POWER, 1), strict=True):
        # of three sorted values, percentile p lies p / 50 of the way from one to the next
        low, high = power[0] + 0.2 * (power[1] - power[0]), power[1] + 0.8 * (power[2] - power[1])
        edges = band[band[:, 0] == frequency, 1]
        np.testing.assert_allclose([edges.min(), edges.max()], [low, high], rtol=1e-6)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert texts(ax.get_legend().get_texts()) == ["mean", "10th to 90th percentile of channels"]
    logarithmic = gx.plot.spectrum(SPECTRUM, log_frequency=True)
    assert logarithmic.get_xscale() == "log" and list(logarithmic.lines[0].get_xdata()) == [2, 4, 6]
    np.testing.assert_allclose(logarithmic.lines[0].get_ydata(), POWER[1:].mean(1), rtol=1e-6)


def test_channels_of_a_spectrum_each_on_their_own():
    ax = gx.plot.spectrum(SPECTRUM, each=True)
    np.testing.assert_allclose(np.column_stack([line.get_ydata() for line in ax.lines]), POWER, rtol=1e-6)
    assert texts(ax.get_legend().get_texts()) == ["A", "B", "C"] and not ax.collections
    many = Spectrum(frequencies=[1.0, 2.0], power=np.ones((2, 30)), labels=tuple(f"R{i}" for i in range(30)))
    ax = gx.plot.spectrum(many, each=True)
    assert len(ax.lines) == 30 and ax.get_legend() is None and len({line.get_color() for line in ax.lines}) == 1


def test_a_spectrum_over_its_target():
    target = Spectrum(frequencies=[1.0, 2.0], power=[[4.0], [2.0]])
    ax = gx.plot.spectrum(SPECTRUM, target=target)
    assert [(line.get_label(), line.get_linestyle()) for line in ax.lines] == [("simulation", "-"), ("target", "--")]
    np.testing.assert_allclose(curve(ax.lines[1]), [[1, 4], [2, 2]])
    assert texts(ax.get_legend().get_texts()) == ["simulation", "target"]
    assert texts(gx.plot.spectrum(SPECTRUM, target=target, each=True).get_legend().get_texts()) == [
        "simulation",
        "target",
    ]
    alone = gx.plot.spectrum(target)
    assert alone.get_legend() is None and not alone.collections


@pytest.mark.once
def test_a_spectrum_that_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="negative or not finite"):
        gx.plot.spectrum(Spectrum(frequencies=[1.0, 2.0], power=[[1.0], [-1.0]]))
