"""The scale of weights, the linear model, and where a network works."""

import numpy as np
import pytest
from scipy.optimize import brentq

import gyrax as gx
from gyrax.study import critical, linear, scaled
from gyrax.study.structure import correlation

N = 12


def drawn(seed=0, n=N):
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0, 2, (n, n))
    weights = (weights + weights.T) * (rng.uniform(size=(n, n)) < 0.7)
    weights = np.maximum(weights, weights.T) * (1 - np.eye(n))
    return gx.Connectome(weights)


def settled(connectome, g, steps=400_000):
    """FC of the linear model by a naive loop."""
    w = np.asarray(connectome.weights, float)
    root = np.sqrt(w.sum(1))
    w = w / np.outer(root, root)
    w /= abs(np.linalg.eigvals(w)).max()
    rng, x, dt, found = np.random.default_rng(0), np.zeros(len(w)), 0.05, []
    for k in range(steps):
        x = x + dt * (g * (w @ x) - x) + np.sqrt(dt) * rng.normal(size=len(w))
        if k % 20 == 0:
            found.append(x)
    return np.corrcoef(np.array(found[100:]).T)


@pytest.mark.once
@pytest.mark.slow
def test_the_linear_model_is_that_of_a_long_simulation():
    connectome, there = drawn(), np.ones(N, bool)
    found = linear(connectome, settled(connectome, 0.8), there)
    assert found.r > 0.99 and abs(found.strength - 0.8) < 0.05
    np.testing.assert_allclose(found.fc, settled(connectome, found.strength), atol=0.05)


@pytest.mark.once
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("how", ["raw", "sqrt", "log"])
def test_weights_of_any_unit_come_to_one_scale(how, unit):
    connectome = drawn()
    other = gx.Connectome(np.asarray(connectome.weights, float) * unit)
    one, two = (scaled(c, how).connectome.weights for c in (connectome, other))
    np.testing.assert_allclose(one, two, rtol=1e-4)
    np.testing.assert_allclose(one.sum(1).mean(), 1.0, rtol=1e-5)
    ratio = np.asarray(one) / np.max(one)
    plain = np.asarray(connectome.weights, float)
    mean = plain[plain > 0].mean()
    expected = {"raw": plain, "sqrt": np.sqrt(plain), "log": np.log(1 + plain / mean)}[how]
    np.testing.assert_allclose(ratio, expected / expected.max(), atol=1e-6)


@pytest.mark.once
def test_weights_that_span_decades_are_rooted_and_it_is_said():
    assert scaled(drawn()).how == "sqrt" and "decades" in scaled(drawn()).why
    even = gx.Connectome(np.asarray(drawn().weights > 0) * np.linspace(1, 3, N * N).reshape(N, N))
    assert scaled(even).how == "raw" and scaled(even, "log").why == "as it was asked for"


@pytest.mark.once
def test_the_linear_model_compares_labels_and_hears_of_deaf_regions():
    connectome, there = gx.Connectome(np.asarray(drawn().weights), labels=[f"R{i}" for i in range(N)]), np.ones(N, bool)
    found = linear(connectome, np.asarray(connectome.weights), there)
    named = gx.LabelledArray(np.asarray(connectome.weights), [connectome.labels] * 2)
    assert linear(connectome, named, there).r == found.r
    with pytest.raises(ValueError, match="labels disagree"):
        linear(connectome, named.for_regions(connectome.labels[::-1]), there)
    with pytest.raises(ValueError, match="there leaves 0 regions"):
        linear(connectome, named, np.zeros(N, bool))
    deaf = np.asarray(connectome.weights, float).copy()
    deaf[4] = 0.0
    assert np.isfinite(linear(gx.Connectome(deaf), np.asarray(connectome.weights), there).fc).all()
    own = gx.Connectome(np.asarray(connectome.weights) + np.eye(N))
    assert "weights of 12 regions to themselves are left out" in scaled(own).why


@pytest.mark.once
def test_islands_are_named():
    weights = np.zeros((5, 5))
    weights[:3, :3], weights[3:, 3:] = 1, 1
    connectome = gx.Connectome(weights * (1 - np.eye(5)), labels=list("ABCDE"))
    with pytest.raises(
        ValueError, match="falls into 2 parts that no connection joins; outside of the largest are D, E"
    ):
        scaled(connectome)


@pytest.mark.once
def test_only_regions_that_count_are_correlated():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    b = a.copy()
    b[3], b[:, 3] = 9.0, -9.0
    assert correlation(a, b, np.array([True, True, True, False])) == pytest.approx(1.0)
    assert correlation(a, b, np.ones(4, bool)) < 0.99


def test_a_linear_network_loses_its_fixed_point_where_its_eigenvalue_says():
    connectome = drawn()
    radius = abs(np.linalg.eigvals(np.asarray(connectome.weights, float))).max()
    net = gx.Network(gx.models.Linear(gamma=-2.0), gx.couplings.Linear(source="x"), connectome)
    gammas = np.array([-3.0, -1.0, 0.5])
    found = critical(net, "coupling.strength", 10 / radius, {"model.gamma": gammas})
    np.testing.assert_allclose(found, [3 / radius, 1 / radius, 0.0], rtol=2e-3)
    assert critical(net, "coupling.strength", 1 / radius, {"model.gamma": np.array([-2.0])}) == 1 / radius  # not before


def test_wong_wang_on_a_homogeneous_network_loses_its_low_state_where_one_equation_says():
    """All regions hear 1, so the network's fixed point is that of one region with w + g, found here by scipy."""
    n = 6
    net = gx.Network(
        gx.models.WongWang(I_o=0.32),
        gx.couplings.Linear(source="S", strength=0.1),
        (np.ones((n, n)) - np.eye(n)) / (n - 1),
    )

    def flow(s, w):
        x = 0.2609 * w * s + 0.32
        z = 270.0 * x - 108.0
        return -s / 100.0 + (1 - s) * 0.641e-3 * z / (1 - np.exp(-0.154 * z))

    def lowest(w):
        grid = np.linspace(1e-4, 0.999, 400)
        values = flow(grid, w)
        first = np.flatnonzero((values[:-1] > 0) & (values[1:] <= 0))[0]
        return brentq(flow, grid[first], grid[first + 1], args=(w,))

    # where the lowest root jumps up
    total = np.linspace(0.5, 1.2, 57)
    low = np.array([lowest(w) for w in total])
    jump = total[int(np.argmax(np.diff(low)))]
    found = critical(net, "coupling.strength", 5.0, {"model.w": np.array([0.2, 0.4])})
    np.testing.assert_allclose(found + np.array([0.2, 0.4]), jump, atol=0.03)
