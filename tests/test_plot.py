"""Plots draw on the axes they are given, return them, and show the numbers they were given."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import gyrax as gx

SIGNED = np.array([[1.0, -0.4], [-0.4, 0.5]])
PLOTS = {
    "matrix": (lambda **kw: gx.plot.matrix(SIGNED, **kw), ("region", "region")),
    "loss_history": (lambda **kw: gx.plot.loss_history([3.0, 1.0, 2.0], best=1, **kw), ("step", "loss")),
    "regional": (lambda **kw: gx.plot.regional(jnp.array([0.2, 0.4, 0.9]), name="w", **kw), ("region", "w")),
}


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", PLOTS)
def test_axes_are_labelled_and_honoured(name):
    draw, labels = PLOTS[name]
    ax = draw()
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels
    assert plt.get_fignums() == [ax.figure.number]
    _, (left, right) = plt.subplots(1, 2)
    assert draw(ax=right) is right
    assert right.has_data() and not left.has_data()
    assert len(plt.get_fignums()) == 2
    right.figure.canvas.draw()


def test_a_matrix_shows_its_values_with_a_colour_bar():
    ax = gx.plot.matrix(jnp.asarray(SIGNED), title="FC")
    assert ax.get_title() == "FC" and len(ax.figure.axes) == 2
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


def test_a_loss_history_marks_the_best_step():
    losses = jnp.array([3.0, 1.25, 2.0])
    ax = gx.plot.loss_history(losses, best=1)
    line, point = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), losses)
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1, 1.25)
    assert ax.get_legend().get_texts()[0].get_text() == "best: 1.25"
    plain = gx.plot.loss_history(losses)
    assert len(plain.lines) == 1 and plain.get_legend() is None


def test_regional_bars_end_at_the_values():
    values = np.array([0.2, 0.4, 0.9])
    ax = gx.plot.regional(values, name="w")
    mean = values.mean()
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in ax.patches], [0, 1, 2])
    np.testing.assert_allclose([bar.get_y() + bar.get_height() for bar in ax.patches], values)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [mean, mean])
