"""Branches of fixed points against normal forms, published bifurcations, and solvers of their own."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.optimize import brentq, root

import gyrax as gx
from conftest import DOUBLE
from toys import counting

EXACT = 1e-9 if DOUBLE else 2e-4


class Fold(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    p: gx.Array = gx.parameter(-0.5)

    def drift(self, t, y, u):
        return self.p + y**2 + u


class Cubic(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    p: gx.Array = gx.parameter(-1.0)

    def drift(self, t, y, u):
        return self.p + y - y**3 / 3 + u


class Pitchfork(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    a: gx.Array = gx.parameter(-0.5)

    def drift(self, t, y, u):
        return self.a * y - y**3 + u


class Circle(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    p: gx.Array = gx.parameter(0.3)

    def drift(self, t, y, u):
        return 1 - self.p**2 - y**2 + u


class FreeColumn(gx.models.JansenRit):
    mu: gx.Array = gx.parameter(0.05)  # of any sign, as in the paper's diagram


def alone(model, n=1):
    names = (*model.outputs, *model.states)
    coupling = gx.couplings.Linear(source=names[0], target=model.inputs[0])
    return gx.Network(model, coupling, np.zeros((n, n)))


def follow(*args, **options):
    """A branch that reaches the ends of its range."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return gx.analysis.continuation(*args, **options)


def test_a_fold_lies_where_its_normal_form_says():
    found = follow(alone(Fold()), "model.p", (-1, 1), start=[[-np.sqrt(0.5)]], step=0.1)
    x = found.values[:, 0, 0]
    np.testing.assert_allclose(found.at, -(x**2), atol=EXACT)
    assert found.kinds.count("fold") == 1 and len(found.branch_points.point) == len(found.hopfs.point) == 0
    np.testing.assert_allclose(found.folds["model.p"], 0, atol=EXACT)
    np.testing.assert_array_equal(found.stable[x < -1e-3], True)
    np.testing.assert_array_equal(found.stable[x > 1e-3], False)
    np.testing.assert_allclose(found.rates[:, 0].real, 2 * x, atol=1e-6 if DOUBLE else 1e-3)
    assert found.at[[0, -1]].tolist() == [-1, -1]


def test_both_folds_of_a_cubic_and_the_way_between():
    found = follow(alone(Cubic()), "model.p", (-1.5, 1.5), step=0.1)
    np.testing.assert_allclose(np.sort(found.folds["model.p"]), [-2 / 3, 2 / 3], atol=EXACT)
    np.testing.assert_allclose(np.sort(found.folds["value"].values.ravel()), [-1, 1], atol=1e-5 if DOUBLE else 5e-2)
    x = found.values[:, 0, 0]
    np.testing.assert_allclose(found.at, x**3 / 3 - x, atol=EXACT)
    assert np.diff(x).min() > 0  # round both folds without turning back
    assert found.at[0] == -1.5 and found.at[-1] == 1.5 and found.why == ("end", "end")
    assert "stable from -1.5 to 0.666667, from -0.666667 to 1.5" in repr(found)


@pytest.mark.slow
def test_a_pitchfork_is_a_branch_point_of_one_branch_and_a_turn_of_the_other():
    found = follow(alone(Pitchfork(), 2), "model.a", (-1, 1), step=0.1)
    assert [kind for kind in found.kinds if kind] == ["branch point"]  # of both regions at once
    np.testing.assert_allclose(found.branch_points["model.a"], 0, atol=EXACT)
    np.testing.assert_array_equal(found.values, 0)
    other = follow(alone(Pitchfork(a=0.5)), "model.a", (-1, 1), start=[[np.sqrt(0.5)]], step=0.1)
    np.testing.assert_allclose(other.values[:, 0, 0] ** 2, other.at, atol=EXACT)
    assert abs(other.at.min()) < 1e-3 and other.at[0] == other.at[-1] == 1


def test_a_closed_branch_ends_where_it_began():
    found = follow(alone(Circle()), "model.p", (-2, 2), start=[[0.9]], step=0.1)
    assert found.why == ("closed", "closed") and "closes upon itself" in repr(found)
    np.testing.assert_allclose(np.sort(found.folds["model.p"]), [-1, 1], atol=EXACT)
    np.testing.assert_allclose(found.values[0], found.values[-1], atol=EXACT)
    turns = np.unwrap(np.arctan2(found.values[:, 0, 0], found.at))
    assert abs(turns[-1] - turns[0]) == pytest.approx(2 * np.pi, abs=1e-3)


@pytest.mark.parametrize("a", [-0.3, 0.0])
def test_a_hopf_point_lies_at_zero_with_the_model_s_frequency(a):
    found = follow(
        alone(gx.models.StuartLandau(a=a, omega=0.1)), "model.a", (-0.5, 0.5), start=np.zeros((2, 1)), step=0.1
    )
    assert [kind for kind in found.kinds if kind] == ["hopf"]
    np.testing.assert_allclose(found.hopfs["model.a"], 0, atol=EXACT)
    np.testing.assert_allclose(found.hopfs["frequency"], 100 / (2 * np.pi), rtol=1e-6 if DOUBLE else 1e-4)
    np.testing.assert_array_equal(found.stable, (found.at < 0) & (np.array(found.kinds) == ""))


def column(y, p):
    """Jansen and Rit's column with Grimbert and Faugeras's numbers, in mV and s."""
    A, B, a, b, C, e, r, v0 = 3.25, 22.0, 100.0, 50.0, 135.0, 2.5, 0.56, 6.0

    def sigmoid(v):
        return 2 * e / (1 + np.exp(r * (v0 - v)))

    y0, y1, y2, y3, y4, y5 = y
    return np.array(
        [
            y3,
            y4,
            y5,
            A * a * sigmoid(y1 - y2) - 2 * a * y3 - a**2 * y0,
            A * a * (p + 0.8 * C * sigmoid(C * y0)) - 2 * a * y4 - a**2 * y1,
            B * b * 0.25 * C * sigmoid(0.25 * C * y0) - 2 * b * y5 - b**2 * y2,
        ]
    )


def independent_bifurcations():
    """Folds and Hopf points of the column: at rest all follows from y0, and p is a function of it."""
    A, B, a, b, C, e, r, v0 = 3.25, 22.0, 100.0, 50.0, 135.0, 2.5, 0.56, 6.0

    def sigmoid(v):
        return 2 * e / (1 + np.exp(r * (v0 - v)))

    def rest(y0):
        y2 = B / b * 0.25 * C * sigmoid(0.25 * C * y0)
        y1 = v0 - np.log(2 * e / (a / A * y0) - 1) / r + y2
        p = a / A * y1 - 0.8 * C * sigmoid(C * y0)
        return np.array([y0, y1, y2, 0, 0, 0]), p

    def rates(y0):
        y, p = rest(y0)
        steps = np.diag([1e-6, 1e-5, 1e-5, 1e-3, 1e-3, 1e-3])
        slope = np.stack([(column(y + h, p) - column(y - h, p)) / (2 * h.max()) for h in steps], 1)
        return np.linalg.eigvals(slope)

    def pairs(y0):  # zero where two rates add up to nothing
        found = rates(y0)
        sums = [found[i] + found[j] for i in range(6) for j in range(i)]
        return np.prod(sums / np.max(np.abs(sums))).real

    grid = np.linspace(0.005, 0.16, 4000)
    p = np.array([rest(x)[1] for x in grid])
    turns = np.flatnonzero(np.diff(np.sign(np.diff(p))))
    folds = [
        rest(brentq(lambda x: (rest(x + 1e-7)[1] - rest(x - 1e-7)[1]) / 2e-7, grid[i], grid[i + 2]))[1] for i in turns
    ]
    values = np.array([pairs(x) for x in grid[::10]])
    hopfs = []
    for i in np.flatnonzero(np.diff(np.sign(values))):
        x = brentq(pairs, grid[::10][i], grid[::10][i + 1])
        found = rates(x)
        crossing = found[np.argmin(np.abs(found.real))]
        if abs(crossing.imag) > 1 and abs(crossing.real) < 1e-3:  # else two real ones are each other's negative
            hopfs.append((rest(x)[1], abs(crossing.imag) / (2 * np.pi)))
    return np.sort(folds), np.array(sorted(hopfs))


@pytest.fixture(scope="module")
def jansen_rit():
    return follow(alone(FreeColumn()), "model.mu", (-0.05, 0.4), step=0.1)


def test_jansen_and_rit_s_column_bifurcates_as_published(jansen_rit):
    folds = np.sort(1000 * jansen_rit.folds["model.mu"].values)
    hopfs = jansen_rit.hopfs.sortby("model.mu")
    at = 1000 * hopfs["model.mu"].values
    # Grimbert & Faugeras (2006), Neural Comput. 18: Hopf points at p = -12.15, 89.83 and 315.70, saddle-nodes at 113.58 and below zero
    np.testing.assert_allclose(at, [-12.15, 89.83, 315.70], atol=0.01)
    assert folds[1] == pytest.approx(113.58, abs=0.01)
    expected, oscillating = independent_bifurcations()
    np.testing.assert_allclose(folds, expected, rtol=1e-6 if DOUBLE else 1e-5)
    inside = (oscillating[:, 0] > -50) & (oscillating[:, 0] < 400)
    np.testing.assert_allclose(at, oscillating[inside, 0], rtol=1e-5 if DOUBLE else 1e-4)
    np.testing.assert_allclose(hopfs["frequency"], oscillating[inside, 1], rtol=1e-5 if DOUBLE else 1e-4)


def test_every_point_is_one_of_scipy_s_and_its_stability_that_of_the_modes(jansen_rit):
    for i in range(0, len(jansen_rit), 10):
        y, p = jansen_rit.values[i][:, 0], jansen_rit.at[i]
        scale = np.array([1, 1, 1, 1e-3, 1e-3, 1e-3])
        found = root(lambda x, p=p, s=scale: column(x / s, 1000 * p), y, tol=1e-12).x
        np.testing.assert_allclose(y, found, rtol=1e-6 if DOUBLE else 1e-3, atol=1e-6 if DOUBLE else 1e-3)
    for i in (3, len(jansen_rit) - 3):
        modes = gx.analysis.modes(alone(FreeColumn(mu=jansen_rit.at[i])), jansen_rit[i], 6)
        np.testing.assert_allclose(
            np.sort_complex(jansen_rit.rates[i]), np.sort_complex(modes.rates), rtol=1e-6 if DOUBLE else 1e-2, atol=1e-6
        )


def test_a_network_s_branch_has_everywhere_the_points_of_scipy():
    rng = np.random.default_rng(0)
    n = 6
    weights = rng.uniform(0, 0.4, (n, n)) * (1 - np.eye(n))
    net = gx.Network(
        gx.models.WongWang(w=0.9, I_o=0.31), gx.couplings.Linear(source="S", strength=0.0), gx.Connectome(weights)
    )
    found = follow(net, lambda n: n.coupling.strength, (0.0, 1.0), step=0.05)
    assert found.parameter == "coupling.strength" and found.why == ("end", "end")
    model = gx.models.WongWang(w=0.9, I_o=0.31)

    def drift(S, strength):
        x = 0.9 * 0.2609 * S + 0.31 + 0.2609 * strength * weights @ S
        h = (270 * x - 108) / (1 - np.exp(-0.154 * (270 * x - 108)))
        return -S / 100 + (1 - S) * 0.641e-3 * h

    assert float(model.J_N) == pytest.approx(0.2609)
    for S, strength in list(zip(found.values[:, 0], found.at, strict=True))[::7]:
        near = root(drift, S, args=(strength,), tol=1e-12)
        np.testing.assert_allclose(S, near.x, rtol=1e-6 if DOUBLE else 2e-3)
    # at a fold the Jacobian has no inverse, and its null vector is how the states move
    for k in np.flatnonzero(np.array(found.kinds) == "fold"):
        S, strength = found.values[k, 0], found.at[k]
        steps = 1e-6 * np.eye(n)
        slope = np.stack([(drift(S + h, strength) - drift(S - h, strength)) / 2e-6 for h in steps], 1)
        assert np.linalg.svd(slope)[1][-1] < (1e-6 if DOUBLE else 1e-4)
        assert null_space(slope, rcond=1e-3).shape[1] == 1
    assert len(found.folds.point) >= 2


@pytest.mark.slow
@settings(max_examples=6)
@given(st.integers(0, 10_000))
def test_no_order_of_regions_matters(seed):
    rng = np.random.default_rng(seed)
    weights, order = rng.uniform(0, 0.5, (3, 3)) * (1 - np.eye(3)), rng.permutation(3)
    model, coupling = gx.models.WongWang(w=0.9, I_o=0.31), gx.couplings.Linear(source="S", strength=0.0)
    found, other = (
        follow(gx.Network(model, coupling, gx.Connectome(w)), "coupling.strength", (0.0, 1.5), step=0.1)
        for w in (weights, weights[np.ix_(order, order)])
    )
    assert found.kinds == other.kinds and found.why == other.why
    special = np.array(found.kinds) != ""
    np.testing.assert_allclose(found.at[special], other.at[special], rtol=1e-7 if DOUBLE else 1e-3)
    ends = [0, -1]
    np.testing.assert_allclose(found.values[ends][:, :, order], other.values[ends], rtol=1e-6 if DOUBLE else 1e-2)


def delayed_pair(tau, gamma=-0.05, b=0.1):
    """Two regions of which both together obey x' = gamma x - b x(t - tau)."""
    connectome = gx.Connectome(np.ones((2, 2)) - np.eye(2), tau * (1 - np.eye(2)))
    coupling = gx.couplings.Linear(source="x", weights=-b * (1 - np.eye(2)))
    return gx.Network(gx.models.Linear(gamma=gamma), coupling, connectome, gx.Delay(speed=1.0))


def test_a_delay_swings_where_hayes_says():
    # Hayes (1950), J. London Math. Soc. 25: omega = b sin(omega tau), a = -b cos(omega tau)
    tau, b = 30.0, 0.1
    omega = brentq(lambda w: w - b * np.sin(w * tau), 1e-3, np.pi / tau, xtol=1e-15)
    found = follow(delayed_pair(tau, -0.2), "model.gamma", (-0.3, -0.01), step=0.1)
    np.testing.assert_allclose(found.hopfs["model.gamma"], b * np.cos(omega * tau), rtol=1e-8 if DOUBLE else 1e-4)
    np.testing.assert_allclose(found.hopfs["frequency"], omega / (2 * np.pi) * 1000, rtol=1e-8 if DOUBLE else 1e-4)
    # what differs between the two obeys x' = gamma x + b x(t - tau), lost at gamma = -b
    np.testing.assert_allclose(found.branch_points["model.gamma"], -b, rtol=1e-8 if DOUBLE else 1e-4)


def test_delays_move_no_fixed_point_but_stability():
    a, b, length = 0.05, 0.1, 30.0
    found = follow(delayed_pair(length), "delay.speed", (0.8, 2.0), step=0.1)
    np.testing.assert_array_equal(found.values, 0)
    critical = np.arccos(-a / b) / np.sqrt(b**2 - a**2)
    np.testing.assert_allclose(found.hopfs["delay.speed"], length / critical, rtol=1e-8 if DOUBLE else 1e-4)
    np.testing.assert_allclose(
        found.hopfs["frequency"], np.sqrt(b**2 - a**2) / (2 * np.pi) * 1000, rtol=1e-8 if DOUBLE else 1e-4
    )


def test_no_step_is_traced_again():
    model, count = counting()
    net = gx.Network(model(w=0.9, I_o=0.3), gx.couplings.Linear(source="S"), np.zeros((2, 2)))
    other = gx.Network(model(w=0.8, I_o=0.29), gx.couplings.Linear(source="S"), np.zeros((2, 2)))
    follow(net, "model.I_o", (0.28, 0.31), step=0.2)
    before = len(count)
    assert len(follow(other, "model.I_o", (0.28, 0.31), step=0.02)) > 20
    assert len(count) == before


@pytest.mark.once
def test_all_of_it_has_labels_and_a_picture():
    connectome = gx.Connectome(np.zeros((2, 2)), labels=["A", "B"])
    net = gx.Network(Cubic(), gx.couplings.Linear(source="x"), connectome)
    found = follow(net, "model.p", (-1.0, -0.5), step=0.1)
    table = found.to_xarray()
    assert table["value"].dims == ("point", "state", "region") and table.region.values.tolist() == ["A", "B"]
    assert found[0].names == (("x",), ("A", "B"))
    assert found.folds.sizes["point"] == 0 and found.folds["value"].dims == table["value"].dims
    ax = found.plot("x", region="B")
    assert ax.get_xlabel() == "model.p" and ax.get_ylabel() == "x of B"
    with pytest.raises(ValueError, match=r"no region 'C'"):
        found.plot(region="C")


@pytest.mark.slow
def test_groups_of_models_have_branches():
    groups = gx.Groups({"cubic": (Cubic(), ["A"]), "fork": (Pitchfork(), ...)})
    coupling = gx.couplings.Linear(source="cubic.x", target="fork.c", strength=0.0)
    net = gx.Network(groups, coupling, gx.Connectome(np.ones((2, 2)) - np.eye(2), labels=["A", "B"]))
    found = follow(net, "model.models.cubic.p", (-1.5, 1.5), step=0.1)
    np.testing.assert_allclose(np.sort(found.folds["model.models.cubic.p"]), [-2 / 3, 2 / 3], atol=EXACT)
    assert found.rates.shape[1] == 2  # and none of what a region of another group does not have


@pytest.mark.once
def test_what_cannot_be_followed_is_said():
    net, follow = alone(Cubic(), 2), gx.analysis.continuation
    with pytest.raises(ValueError, match=r"model.p has 2 values, shape \(2,\), and along a branch one number moves"):
        follow(gx.per_region(net, "model.p"), "model.p", (-1, 1))
    with pytest.raises(ValueError, match=r"between 0 and 1 there is no model.p = -1, which the network has"):
        follow(net, "model.p", (0, 1))
    with pytest.raises(ValueError, match=r"both finite, got 1 and -1"):
        follow(net, "model.p", (1, -1))
    with pytest.raises(ValueError, match=r"no parameter 'model.q'"):
        follow(net, "model.q", (0, 1))
    rising = alone(gx.models.JansenRit())
    with pytest.raises(ValueError, match=r"between reaches model.mu = -0.1, outside of its domain"):
        follow(rising, "model.mu", (-0.1, 0.3))
    assert follow(rising, gx.Free("model.mu", domain=gx.Real()), (-0.0001, 0.23), step=0.1).at.min() < 0
    with pytest.raises(ValueError, match=r"leads to no state in which the network stands still"):
        follow(alone(Fold(p=0.5)), "model.p", (-1, 1))
    with pytest.warns(RuntimeWarning, match=r"ends at model.p = .*: it has more points than were allowed"):
        follow(net, "model.p", (-1.5, 1.5), points=3)


class Broken(gx.AbstractModel):
    states, inputs = ("x",), ("c",)
    p: gx.Array = gx.parameter(-1.0)

    def drift(self, t, y, u):
        return jnp.sqrt(-self.p) - y + u  # not a number from p = 0 on


def test_a_branch_that_is_lost_says_so():
    with pytest.warns(RuntimeWarning, match=r"ends at model.p = .*: it is lost there"):
        found = gx.analysis.continuation(alone(Broken()), "model.p", (-2, 1), step=0.1)
    assert found.why == ("end", "lost") and -1e-2 < found.at.max() <= 0
