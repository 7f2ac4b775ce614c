"""Measures of connectivity as a graph, through networkx: NumPy, and not differentiable."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from .._extras import need
from .._kinds import by_annotations, refused
from .._kinds import names as several
from .._types import is_traced
from ..anatomy.connectome import Connectome
from ..labelled import check_same, known_names
from .labelled import labelled


@by_annotations
def graph(matrix: Any, labels: Any = None, *, density: float | None = None, threshold: float | None = None) -> Any:
    """An undirected `networkx.Graph` of a connectivity matrix.

    Edges have a weight and a distance, 1 / weight; nodes are labels, or numbers where there are none. The diagonal is not read.

    Args:
        matrix: a connectome, or a symmetric matrix `(region, region)`, as an array or a table with labels.
        labels: of the regions, if the matrix has none.
        density: part of all pairs to keep, the strongest, from 0 to 1; of equal weights the first.
        threshold: keep what is at least so strong. By default all weights but zero are kept.

    Raises:
        ImportError: without networkx: `pip install 'gyrax[graphs]'`.
        TypeError: inside jit or grad.
        ValueError: for matrices that are not square, symmetric and finite; labels that do not fit; negative weights that
            are kept, as they have no distance; or a density or threshold out of range.

    Example:
        >>> graph(np.array([[0, 0.5], [0.5, 0]]), ["A", "B"]).edges["A", "B"]
        {'weight': 0.5, 'distance': 2.0}
    """
    weights, names = _weights(matrix, labels)
    weights = _kept(weights, names, density, threshold)
    made = need("networkx", "graphs").Graph()
    made.add_nodes_from(names)
    for i, j in np.argwhere(np.triu(weights)):
        weight = float(weights[i, j])
        made.add_edge(names[i], names[j], weight=weight, distance=1 / weight)
    return made


@by_annotations
def graph_measures(
    matrix: Any,
    labels: Any = None,
    *,
    density: float | None = None,
    threshold: float | None = None,
    communities: Any = None,
) -> xr.Dataset:
    """Measures of every region, and of the whole, of a connectivity matrix as an undirected weighted graph.

    Rubinov & Sporns (2010), "Complex network measures of brain connectivity: uses and interpretations", NeuroImage 52. Where
    a measure is about paths, the length of an edge is 1 / weight. Of every region:

    - `degree`: number of edges; `strength`: sum of their weights.
    - `clustering`: Onnela et al. (2005), weights in units of the largest.
    - `betweenness`: part of the shortest paths between other regions that lead through it.
    - `eigenvector_centrality`: of length one; zero outside of the dominant part of a graph that falls into parts.
    - `community`, and `participation` (Guimera & Amaral 2005): 0 if all weight stays in the community; 0 without edges.

    And of the whole: `density`, `efficiency` (mean of 1 / shortest path, zero where there is none), `path_length` (mean
    shortest path; infinite if a region cannot be reached), `mean_clustering` and `modularity` of the communities.

    Args:
        matrix: a connectome, or a symmetric matrix `(region, region)`, as an array or a table with labels.
        labels: of the regions, if the matrix has none.
        density: part of all pairs to keep, the strongest, from 0 to 1; of equal weights the first.
        threshold: keep what is at least so strong. By default all weights but zero are kept.
        communities: one name or number a region; by default those that Louvain's method finds (from a fixed seed).

    Returns:
        A dataset; `.to_dataframe()` makes a table of it.

    Raises:
        ImportError: without networkx: `pip install 'gyrax[graphs]'`.
        TypeError: inside jit or grad.
        ValueError: as `graph`; without any edge; for communities of another number than regions; or for two dominant parts
            of one strength, which leave the eigenvector centrality open.

    Example:
        >>> table = graph_measures(np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]]), list("ABCD"))
        >>> table["degree"].sel(region="C").item(), table["betweenness"].values.round(3).tolist()
        (3, [0.0, 0.0, 0.667, 0.0])
    """
    nx = need("networkx", "graphs")
    made = graph(matrix, labels, density=density, threshold=threshold)
    names, count = list(made), len(made)
    if made.number_of_edges() == 0:
        raise ValueError("no edge is left: take a lower threshold, or a higher density")
    weights = nx.to_numpy_array(made, weight="weight")
    community = _communities(made, communities)
    paths = dict(nx.all_pairs_dijkstra_path_length(made, weight="distance"))
    distances = np.array([paths[a].get(b, np.inf) for a in names for b in names if a != b])
    clustering = nx.clustering(made, weight="weight")
    betweenness = nx.betweenness_centrality(made, weight="distance")
    groups = [{names[i] for i in np.flatnonzero(community == c)} for c in range(community.max() + 1)]
    nodal = {
        "degree": (weights > 0).sum(1),
        "strength": weights.sum(1),
        "clustering": np.array([clustering[name] for name in names]),
        "betweenness": np.array([betweenness[name] for name in names]),
        "eigenvector_centrality": _eigenvector(weights),
        "community": community,
        "participation": _participation(weights, community),
    }
    whole = {
        "density": made.number_of_edges() / (count * (count - 1) / 2),
        "efficiency": (1 / distances).mean(),
        "path_length": distances.mean(),
        "mean_clustering": nodal["clustering"].mean(),
        "modularity": nx.community.modularity(made, groups, weight="weight"),
    }
    return xr.Dataset({k: ("region", v) for k, v in nodal.items()} | whole, coords={"region": names})


def _weights(matrix: Any, labels: Any) -> tuple[Float[np.ndarray, "region region"], list[Any]]:
    """A checked copy without its diagonal, and what the regions are called."""
    if isinstance(matrix, Connectome):
        labels, matrix = labels or matrix.labels, matrix.weights
    read = labelled(matrix, "matrix")
    if is_traced(read.values):
        raise TypeError("graph measures are not differentiable, and not for jit: take them of values that are known")
    weights = np.array(read.values, np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or len(weights) < 2:
        raise ValueError(f"expected a square matrix of two regions or more, got shape {weights.shape}")
    check_same(read.names[0], read.names[1], "the rows of the matrix", "its columns")
    given = None if labels is None else several("labels", labels)
    if given is not None and len(set(given)) != len(weights):
        raise ValueError(f"{len(set(given))} different labels for {len(weights)} regions")
    check_same(given, read.names[0], "labels", "the matrix")
    names = list(given or read.names[0] or range(len(weights)))
    np.fill_diagonal(weights, 0.0)
    if not np.isfinite(weights).all():
        i, j = np.argwhere(~np.isfinite(weights))[0]
        raise ValueError(f"the weight from {names[j]} to {names[i]} is {weights[i, j]:g}, expected a finite number")
    uneven = ~np.isclose(weights, weights.T, rtol=1e-5, atol=1e-7 * np.abs(weights).max())
    if uneven.any():
        i, j = np.argwhere(uneven)[0]
        raise ValueError(
            f"the weight from {names[j]} to {names[i]} is {weights[i, j]:g}, but {weights[j, i]:g} back: these graphs are "
            "undirected; take (w + w.T) / 2"
        )
    return weights, names


def _kept(
    weights: Float[np.ndarray, "region region"], names: list[Any], density: float | None, threshold: float | None
) -> Float[np.ndarray, "region region"]:
    """What is left of the weights above the diagonal."""
    if density is not None and threshold is not None:
        raise ValueError("give either density= or threshold=")
    i, j = np.triu_indices(len(weights), 1)
    values = weights[i, j]
    keep = values != 0
    if density is not None:
        if not 0 < density <= 1:
            raise ValueError(f"density is a part of all pairs, above 0 and at most 1, got {density}")
        count = round(density * len(values))
        strongest = np.argsort(-values, kind="stable")[:count]
        keep &= np.isin(np.arange(len(values)), strongest)
    if threshold is not None:
        keep &= values >= threshold
    negative = keep & (values < 0)
    if negative.any():
        k = int(np.argmax(negative))
        raise ValueError(
            f"the weight between {names[i[k]]} and {names[j[k]]} is {values[k]:g}, and a distance 1 / weight needs positive "
            "ones: take threshold=0, a lower density, or absolute values"
        )
    kept = np.zeros_like(weights)
    kept[i[keep], j[keep]] = values[keep]
    return kept


def _communities(made: Any, communities: Any) -> Int[np.ndarray, " region"]:
    """The number of each region's community, in the order in which they are met."""
    names = list(made)
    if communities is None:
        found = need("networkx", "graphs").community.louvain_communities(made, weight="weight", seed=0)
        communities = [next(k for k, group in enumerate(found) if name in group) for name in names]
    own = known_names(communities, "communities", "biufUO")[1] if hasattr(communities, "iloc") else ()
    if isinstance(communities, Mapping):
        check_same(tuple(map(str, names)), tuple(map(str, communities)), "the matrix", "communities")
        communities = list(communities.values())
    elif isinstance(communities, str | set) or not isinstance(communities, Iterable):
        raise refused("communities", communities, "the community of each region", "['visual', 'motor', ...]")
    check_same(tuple(map(str, names)), own[0] if own else None, "the matrix", "communities")
    communities = np.asarray(communities).tolist()
    if any(not isinstance(one, str | int | float) or one != one for one in communities):
        raise refused("communities", communities, "one text or number a region", "['visual', 'motor', ...]")
    if len(communities) != len(names):
        raise ValueError(f"{len(communities)} communities for {len(names)} regions: give one a region")
    met = {name: k for k, name in enumerate(dict.fromkeys(communities))}
    return np.array([met[name] for name in communities])


def _eigenvector(weights: Float[np.ndarray, "region region"]) -> Float[np.ndarray, " region"]:
    values, vectors = np.linalg.eigh(weights)
    if values[-1] - values[-2] <= 1e-10 * values[-1]:
        raise ValueError("the graph falls into parts of which two are equally dominant: keep more of its edges")
    leading = np.abs(vectors[:, -1])  # its entries are of one sign, but for rounding
    return np.where(leading < 1e-12, 0.0, leading)


def _participation(
    weights: Float[np.ndarray, "region region"], community: Int[np.ndarray, " region"]
) -> Float[np.ndarray, " region"]:
    strength = weights.sum(1)
    inside = np.stack([weights[:, community == c].sum(1) for c in range(community.max() + 1)])
    share = inside / np.where(strength > 0, strength, 1.0)
    return np.where(strength > 0, 1 - (share**2).sum(0), 0.0)
