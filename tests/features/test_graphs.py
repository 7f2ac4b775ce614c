"""Graph measures against plain loops and graphs whose measures are known, their invariants, and wrong input."""

import itertools

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

import gyrax as gx

nx = pytest.importorskip("networkx")
from gyrax.features.graphs import graph, graph_measures  # noqa: E402

quick = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def weights(seed, n=8, part=0.6):
    """Symmetric and connected."""
    rng = np.random.default_rng(seed)
    m = rng.uniform(0.1, 2.0, (n, n)) * (rng.random((n, n)) < part)
    m += np.diag(rng.uniform(0.1, 2.0, n - 1), 1)  # a path through all
    return np.triu(m, 1) + np.triu(m, 1).T


def ring(n):
    return np.roll(np.eye(n), 1, 1) + np.roll(np.eye(n), -1, 1)


def test_measures_equal_loops():
    w = weights(1)
    n, group = len(w), np.array([0, 0, 1, 1, 2, 2, 2, 0])
    found = graph_measures(w, communities=list("xxyyzzzx"))
    np.testing.assert_array_equal(found.degree, [(row > 0).sum() for row in w])
    np.testing.assert_allclose(found.strength, w.sum(1))
    scaled, degree = w / w.max(), (w > 0).sum(1)
    for i in range(n):
        triangles = sum(
            (scaled[i, j] * scaled[i, k] * scaled[j, k]) ** (1 / 3) for j, k in itertools.permutations(range(n), 2)
        )
        expected = triangles / (degree[i] * (degree[i] - 1)) if degree[i] > 1 else 0.0
        np.testing.assert_allclose(found.clustering[i], expected, atol=1e-12)
        inside = [w[i, group == c].sum() / w[i].sum() for c in range(3)]
        np.testing.assert_allclose(found.participation[i], 1 - sum(p**2 for p in inside))
    np.testing.assert_allclose(found.mean_clustering, found.clustering.values.mean())
    vector = np.ones(n)
    for _ in range(3000):
        vector = (w + np.eye(n)) @ vector
        vector /= np.linalg.norm(vector)
    np.testing.assert_allclose(found.eigenvector_centrality, vector, atol=1e-9)
    total, strength = w.sum(), w.sum(1)
    same = group[:, None] == group
    np.testing.assert_allclose(found.modularity, ((w - np.outer(strength, strength) / total) * same).sum() / total)
    np.testing.assert_array_equal(found.community, group)


def test_paths_are_shortest_where_weights_are_large():
    w = weights(2)
    n = len(w)
    with np.errstate(divide="ignore"):
        length = 1 / w
    d = shortest_path(np.where(np.isfinite(length), length, 0), directed=False)
    found = graph_measures(w)
    off = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(found.path_length, d[off].mean())
    np.testing.assert_allclose(found.efficiency, (1 / d[off]).mean())
    np.testing.assert_allclose(found.density, (w[off] > 0).mean())
    between = np.zeros(n)  # lengths are random: each shortest path is the only one
    for s, t in itertools.combinations(range(n), 2):
        for v in set(range(n)) - {s, t}:
            between[v] += np.isclose(d[s, v] + d[v, t], d[s, t], rtol=1e-12)
    assert between.max() > 2
    np.testing.assert_allclose(found.betweenness, between / ((n - 1) * (n - 2) / 2))


def test_graphs_whose_measures_are_known():
    found = graph_measures(0.5 * ring(6), communities=[0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(found.degree, 2)
    np.testing.assert_allclose(found.eigenvector_centrality, 1 / np.sqrt(6))
    np.testing.assert_allclose([found.path_length, found.efficiency], [2 * 9 / 5, (1 + 1 / 2 + 1 / 6) / 5])
    np.testing.assert_allclose(found.modularity, 4 / 6 - 0.5)
    np.testing.assert_allclose(found.clustering, 0)
    full = graph_measures(np.ones((5, 5)))
    np.testing.assert_allclose([full.density, full.efficiency, full.path_length, full.mean_clustering], 1)
    star = np.zeros((5, 5))
    star[0, 1:] = star[1:, 0] = 1
    np.testing.assert_allclose(graph_measures(star).betweenness, [1, 0, 0, 0, 0])


def test_a_graph_in_parts():
    w = np.zeros((6, 6))
    for i, j, weight in [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0), (3, 4, 1.0)]:
        w[i, j] = w[j, i] = weight
    found = graph_measures(w, list("ABCDEF"))
    np.testing.assert_allclose(found.eigenvector_centrality, [1 / np.sqrt(3)] * 3 + [0] * 3, atol=1e-12)
    assert np.isinf(found.path_length)
    np.testing.assert_allclose(found.efficiency, (3 + 1) / 15)
    assert found.participation.sel(region="F") == found.strength.sel(region="F") == 0
    np.testing.assert_array_equal(found.community, [0, 0, 0, 1, 1, 2])  # as Louvain's method finds them
    w[0, 2] = w[2, 0] = w[1, 2] = w[2, 1] = 0
    with pytest.raises(ValueError, match="two are equally dominant: keep more of its edges"):
        graph_measures(w)


def test_what_is_kept():
    w = np.array([[0, 0.5, -0.7, 0.1], [0, 0, 0.3, 0.0], [0, 0, 0, 0.4], [0, 0, 0, 0]])
    w = w + w.T + np.diag([9.0, 9.0, np.nan, 9.0])  # the diagonal is not read
    edges = lambda **keep: sorted((i, j, e["weight"]) for i, j, e in graph(w, **keep).edges(data=True))  # noqa: E731
    positive = [(0, 1, 0.5), (0, 3, 0.1), (1, 2, 0.3), (2, 3, 0.4)]
    assert edges(threshold=0.0) == positive
    assert edges(threshold=0.3) == [positive[0], *positive[2:]]
    assert edges(density=0.5) == [positive[0], *positive[2:]]
    assert edges(density=4 / 6) == edges(density=5 / 6) == positive  # the next strongest is no edge
    for keep in ({}, {"density": 1.0}, {"threshold": -1.0}):
        with pytest.raises(
            ValueError, match=r"the weight between 0 and 2 is -0.7, and a distance 1 / weight needs positive"
        ):
            graph(w, **keep)
    made = graph(w, list("ABCD"), threshold=0.4)
    assert list(made) == list("ABCD") and made.edges["C", "D"] == {"weight": 0.4, "distance": 2.5}


@quick
@given(st.integers(0, 500), st.permutations(range(7)))
def test_measures_follow_the_regions(seed, order):
    w = weights(seed, 7)
    group = np.array([0, 1, 0, 1, 1, 0, 0])
    one = graph_measures(w, list("ABCDEFG"), communities=group)
    two = graph_measures(w[np.ix_(order, order)], [("ABCDEFG")[i] for i in order], communities=group[order])
    for name in one.data_vars:
        if name != "community":
            xr.testing.assert_allclose(one[name], two[name].sel(region=one.region) if two[name].ndim else two[name])
    double = graph_measures(2 * w, communities=group)
    np.testing.assert_allclose(double.efficiency, 2 * one.efficiency)
    for name in ("clustering", "betweenness", "eigenvector_centrality", "participation", "modularity", "degree"):
        np.testing.assert_allclose(double[name], one[name], atol=1e-12)
    assert one.clustering.min() >= 0 and one.clustering.max() <= 1 and 0 <= one.participation.min() < 1


def test_labels_come_with_the_matrix(small_connectome):
    w = weights(3, 5)
    names = list("ABCDE")
    table = pd.DataFrame(w, index=names, columns=names)
    expected = graph_measures(w, names)
    for x in (table, gx.Connectome(w, labels=names)):
        found = graph_measures(x)
        assert list(found.region.values) == names
        np.testing.assert_allclose(found.strength, expected.strength, rtol=1e-6)
    assert expected.to_dataframe().loc["B", "degree"] == (w[1] > 0).sum()
    with pytest.raises(ValueError, match="number 0 is 'B' in labels, but 'A' in the matrix"):
        graph_measures(table, list("BACDE"))
    with pytest.raises(ValueError, match="number 0 is 'A' in the rows of the matrix, but 'B' in its columns"):
        graph_measures(table[list("BACDE")])
    with pytest.raises(ValueError, match=r"the weight from B to A is .*, but .* back: .*take \(w \+ w.T\) / 2"):
        graph_measures(small_connectome)


@pytest.mark.once
def test_wrong_graphs():
    w = weights(4, 4)
    broken = w.copy()
    broken[2, 1] = np.inf
    for matrix, keep, message in [
        (w[:3], {}, r"expected a square matrix of two regions or more, got shape \(3, 4\)"),
        (np.ones((1, 1)), {}, r"got shape \(1, 1\)"),
        (broken, {}, "the weight from 1 to 2 is inf, expected a finite number"),
        (w, {"labels": list("ABC")}, "3 different labels for 4 regions"),
        (w, {"labels": list("ABCC")}, "3 different labels for 4 regions"),
        (w, {"density": 0.0}, "density is a part of all pairs, above 0 and at most 1, got 0.0"),
        (w, {"density": 1.5}, "got 1.5"),
        (w, {"density": 0.5, "threshold": 0.1}, "give either density= or threshold="),
        (w, {"communities": [0, 1]}, "2 communities for 4 regions: give one a region"),
        (w, {"threshold": 9.0}, "no edge is left: take a lower threshold, or a higher density"),
    ]:
        with pytest.raises(ValueError, match=message):
            graph_measures(matrix, **keep)
    with pytest.raises(TypeError, match="graph measures are not differentiable, and not for jit"):
        jax.grad(lambda w: graph_measures(w).efficiency.item())(w)
