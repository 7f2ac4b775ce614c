"""Phase planes: nullclines lie where the equations say, streamlines follow the drift."""

from typing import ClassVar

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.contour import QuadContourSet

import gyrax as gx
from drawn import closed

__all__ = ["closed"]  # a fixture of every test here


class FitzHughNagumo(gx.AbstractModel):
    """Two states with known nullclines, and between them a third that shifts one of these."""

    states: ClassVar = ("V", "z", "W")
    inputs: ClassVar = ("I_V", "I_W")
    I: gx.Array = gx.parameter(0.5)
    a: gx.Array = gx.parameter(0.7)
    b: gx.Array = gx.parameter(0.8)
    tau: gx.Array = gx.parameter(12.5)

    def drift(self, t, y, u):
        V, z, W = y
        fast = V - V**3 / 3 - W + self.I - z + u[0] + 0.01 * t
        return jnp.stack([fast, -z, (V + self.a - self.b * W + u[1]) / self.tau])


BOUNDS = {"V": (-2.5, 2.0), "W": (-1.5, 2.5)}


def nullclines(ax):
    return [
        np.concatenate([p.vertices for p in c.get_paths()]) for c in ax.collections if isinstance(c, QuadContourSet)
    ]


def test_nullclines_of_fitzhugh_nagumo():
    ax = gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, inputs={"I_W": 0.3, "I_V": 0.2}, hold={"z": 0.4}, time=10.0)
    (V, W), (V2, W2) = (x.T for x in nullclines(ax))
    # straight between points 0.0225 apart, of a curve whose second derivative is at most 5
    np.testing.assert_allclose(W, V - V**3 / 3 + 0.5 - 0.4 + 0.2 + 0.1, atol=0.0225**2 * 5 / 8)
    np.testing.assert_allclose(W2, (V2 + 0.7 + 0.3) / 0.8, atol=1e-5)
    assert np.ptp(V) > 3.5 and np.ptp(V2) > 2.5  # all of what lies in the window
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["dV/dt = 0", "dW/dt = 0"]
    lines = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert lines == ["C0", "C1"]
    drawn = [c.get_edgecolor()[0] for c in ax.collections if isinstance(c, QuadContourSet)]
    assert [tuple(c) for c in drawn] == [plt.matplotlib.colors.to_rgba(c) for c in lines]


def test_the_first_state_lies_along_x():
    ax = gx.plot.phase_plane(FitzHughNagumo(), {"W": (-1, 2), "V": (-2, 2)}, hold={"z": 0.0})
    slow, fast = nullclines(ax)
    np.testing.assert_allclose(slow[:, 0], (slow[:, 1] + 0.7) / 0.8, atol=1e-5)
    np.testing.assert_allclose(fast[:, 0], fast[:, 1] - fast[:, 1] ** 3 / 3 + 0.5, atol=2.5e-4)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim(), ax.get_ylim()) == ("W", "V", (-1, 2), (-2, 2))


def test_nullclines_of_hopf_cross_at_its_resting_point():
    first, second = nullclines(gx.plot.phase_plane(gx.models.Hopf(a=0.5, omega=1.0), {"x": (-1, 1), "y": (-1, 1)}))
    for (x, y), sign, other in ((first.T, -1, 1), (second.T[::-1], 1, 1)):
        np.testing.assert_allclose((0.5 - x**2 - y**2) * x + sign * other * y, 0, atol=3e-4)
    assert min(np.hypot(*first.T)) < 0.01 and min(np.hypot(*second.T)) < 0.01


def test_streamlines_follow_the_drift():
    ax = gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0})
    (streams,) = (c for c in ax.collections if type(c) is LineCollection)
    segments = np.concatenate([np.stack([line[:-1], line[1:]], 1) for line in streams.get_segments()])
    V, W = segments.mean(1).T
    flow = np.column_stack([V - V**3 / 3 - W + 0.5, (V + 0.7 - 0.8 * W) / 12.5])
    steps = np.diff(segments, axis=1)[:, 0]
    lengths = np.hypot(*steps.T) * np.hypot(*flow.T)
    cosines = (steps * flow).sum(1)[lengths > 0] / lengths[lengths > 0]
    assert len(segments) > 200 and np.median(cosines) > 0.99 and np.mean(cosines > 0.9) > 0.9


def test_parameters_of_one_region():
    several = FitzHughNagumo(I=jnp.array([0.5, -0.2]))
    V, W = nullclines(gx.plot.phase_plane(several, BOUNDS, hold={"z": 0.0}, region=1))[0].T
    np.testing.assert_allclose(W, V - V**3 / 3 - 0.2, atol=4e-4)
    with pytest.raises(ValueError, match="parameters differ between 2 regions: give region="):
        gx.plot.phase_plane(several, BOUNDS, hold={"z": 0.0})
    with pytest.raises(ValueError, match="no region 2: the parameters are of 2 regions"):
        gx.plot.phase_plane(several, BOUNDS, hold={"z": 0.0}, region=2)


def test_a_window_without_nullclines_has_streamlines_only(recwarn):
    ax = gx.plot.phase_plane(FitzHughNagumo(), {"V": (-0.1, 0.1), "W": (3.0, 4.0)}, hold={"z": 0.0})
    assert not nullclines(ax) and ax.get_legend() is None and ax.collections and not recwarn


@pytest.fixture(scope="module")
def raw():
    connectome = gx.Connectome(np.ones((2, 2)), labels=["A", "B"])
    net = gx.Network(FitzHughNagumo(), gx.couplings.Difference(source="V", strength=0.1, target="I_V"), connectome)
    start = jnp.array([[0.1, 1.0], [0.0, 0.0], [0.2, -0.3]])
    return gx.simulate(net, duration=10.0, dt=0.1, start=start)["raw"]


@pytest.mark.parametrize(("region", "index"), [("B", 1), (0, 0)])
def test_a_trajectory_is_that_of_one_region(raw, region, index):
    ax = gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0}, region=region, recording=raw)
    (track,) = [line for line in ax.lines if line.get_label() == "trajectory"]
    np.testing.assert_allclose(np.column_stack(track.get_data()), np.asarray(raw.values)[:, [0, 2], index])
    start = ax.lines[-1]
    np.testing.assert_allclose([start.get_xdata()[0], start.get_ydata()[0]], raw.values[0, [0, 2], index])
    assert ax.get_legend().get_texts()[-1].get_text() == "trajectory"


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"'z' of FitzHughNagumo is neither shown nor held: give hold=\{'z': ...\}"),
        ({"hold": {"z": 0.0, "V": 0.0}}, "'V' of FitzHughNagumo is both shown and held"),
        ({"hold": {"q": 0.0}}, r"'q' is no state of FitzHughNagumo \(V, z, W\)"),
        ({"bounds": {"V": (0, 1)}}, "shows two states: give the bounds of two of FitzHughNagumo's"),
        ({"bounds": {"V": (0, 1), "q": (0, 1)}}, "'q' is no state"),
        (
            {"bounds": {"V": (1, 0), "W": (0, 1)}, "hold": {"z": 0.0}},
            r"bounds of V are \(lowest, highest\), got \(1, 0\)",
        ),
        ({"inputs": {"I": 1.0}}, r"'I' is no input of FitzHughNagumo \(I_V, I_W\)"),
    ],
)
def test_what_is_no_phase_plane_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gx.plot.phase_plane(FitzHughNagumo(), **({"bounds": BOUNDS} | options))


@pytest.mark.once
def test_models_of_one_state_and_other_things_are_refused(raw):
    with pytest.raises(ValueError, match="two of WongWang's"):
        gx.plot.phase_plane(gx.models.WongWang(), {"S": (0, 1)})
    with pytest.raises(TypeError, match=r"expected a neural mass .* got Connectome"):
        gx.plot.phase_plane(gx.Connectome(np.eye(2)), BOUNDS)
    with pytest.raises(ValueError, match="the recording has 2 regions: give region="):
        gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0}, recording=raw)
    with pytest.raises(ValueError, match="no region 'C'; there are 2: A, B"):
        gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0}, recording=raw, region="C")
    array = raw.to_xarray()
    with pytest.raises(ValueError, match="no recorded state 'W'; there are 2: V, z"):
        gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0}, recording=array[:, :2], region="A")
    with pytest.raises(ValueError, match="a trajectory has axes time, state and region"):
        gx.plot.phase_plane(FitzHughNagumo(), BOUNDS, hold={"z": 0.0}, recording=array[:, 0], region="A")
