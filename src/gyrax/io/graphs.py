"""Connectomes from and to graphs of networkx."""

from numbers import Real
from typing import Any

import numpy as np

from .._extras import need
from .._formats.fields import Part, arguments, table_labels
from ..anatomy.connectome import Connectome


def from_networkx(graph: Any, weight: str = "weight", length: str = "length") -> Connectome:
    """The connectome of a networkx graph: an edge from `u` to `v` becomes `weights[v, u]`, as rows receive.

    Regions are the nodes, in the order of the graph; an undirected edge connects both ways. Positions in mm are taken
    from the attribute `centre` of the nodes, where they have it.

    Args:
        graph: a `networkx.Graph` or `DiGraph`.
        weight: the attribute of every edge that holds its weight.
        length: the attribute that holds its tract length in mm, which all edges have, or none.

    Raises:
        TypeError: no graph, a graph with parallel edges, or a weight or length that is no number.
        ValueError: an edge or node lacks an attribute, or as `Connectome`.
        ImportError: networkx is not installed.

    Example:
        >>> import networkx as nx
        >>> graph = nx.DiGraph()
        >>> graph.add_edge("V1", "V2", weight=2.0, length=40.0)
        >>> from_networkx(graph).weights.tolist()
        [[0.0, 0.0], [2.0, 0.0]]
    """
    nx = need("networkx", "graphs")
    if not isinstance(graph, nx.Graph) or graph.is_multigraph():
        raise TypeError(f"from_networkx takes a networkx Graph or DiGraph, got {type(graph).__name__}")
    nodes = list(graph)
    parts = {"weights": Part(_matrix(graph, weight), table_labels(nodes, None, "nodes"), f"edge attribute {weight!r}")}
    edges = graph.edges(data=True)
    if any(length in data for *_, data in edges):
        parts["lengths"] = Part(_matrix(graph, length), None, f"edge attribute {length!r}")
    placed = [node for node in nodes if "centre" in graph.nodes[node]]
    if placed:
        if len(placed) < len(nodes):
            bare = next(node for node in nodes if "centre" not in graph.nodes[node])
            raise ValueError(f"node {bare!r} has no 'centre', but {placed[0]!r} has: give x, y, z to all nodes or none")
        centres = np.array([graph.nodes[node]["centre"] for node in nodes], dtype=float)
        parts["centres"] = Part(centres, None, "node attribute 'centre'")
    return Connectome(**arguments(parts))


def _matrix(graph: Any, attribute: str) -> np.ndarray:
    index = {node: i for i, node in enumerate(graph)}
    matrix = np.zeros((len(index), len(index)))
    for source, target, data in graph.edges(data=True):
        edge = f"the edge from {source!r} to {target!r}"
        if attribute not in data:
            raise ValueError(
                f"{edge} has no {attribute!r}: networkx.set_edge_attributes(graph, 1.0, {attribute!r}) gives it to all"
            )
        if not isinstance(data[attribute], Real):
            raise TypeError(f"{attribute!r} of {edge} is {data[attribute]!r}, expected a number")
        matrix[index[target], index[source]] = data[attribute]
        if not graph.is_directed():
            matrix[index[source], index[target]] = data[attribute]
    return matrix


def to_networkx(connectome: Connectome) -> Any:
    """The `networkx.DiGraph` of a connectome: `weights[v, u]` becomes the edge from `u` to `v`.

    Nodes are the labels, with `centre` where it is known; edges have `weight` and, where known, `length`. Regions that
    are not connected have no edge, so lengths between them are left out.

    Raises:
        ImportError: networkx is not installed.

    Example:
        >>> graph = to_networkx(Connectome([[0, 2], [0, 0]], labels=["V1", "V2"]))
        >>> list(graph.edges(data=True))
        [('V2', 'V1', {'weight': 2.0})]
    """
    graph = need("networkx", "graphs").DiGraph()
    weights, labels = np.asarray(connectome.weights), connectome.labels
    centres = None if connectome.centres is None else np.asarray(connectome.centres).tolist()
    lengths = None if connectome.lengths is None else np.asarray(connectome.lengths)
    for i, label in enumerate(labels):
        graph.add_node(label, **({} if centres is None else {"centre": tuple(centres[i])}))
    for target, source in np.argwhere(weights):
        tract = {} if lengths is None else {"length": float(lengths[target, source])}
        graph.add_edge(labels[source], labels[target], weight=float(weights[target, source]), **tract)
    return graph
