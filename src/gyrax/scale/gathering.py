"""Subjects as one tree: what they are compared in, and what is stacked."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._kinds import expect, refused, shown
from .._types import is_traced, refuse_masked
from ..labelled import LabelledArray, is_named, known_names
from ..network import Network
from ..parameters.addresses import path_name, trainable
from .common import difference, in_common, is_network, rigid_delays


def check_subjects(subjects: Any) -> None:
    """Refuses what is no dict of networks by name, or not known yet."""
    expect("subjects", subjects, Mapping, "a dict of networks by the subject's name", '{"sub-01": network, ...}')
    if not subjects:
        raise ValueError('subjects: a cohort has one subject at least, such as {"sub-01": network}')
    for name, tree in subjects.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"subjects= is a dict by name, got the name {name!r}")
        if not isinstance(tree, Network | tuple | list | dict) or not any(
            map(is_network, jax.tree.leaves(tree, is_leaf=is_network))
        ):
            raise refused(
                f"subjects[{name!r}]",
                tree,
                "a network, or a tuple or dict with one",
                "gx.Network(model, coupling, connectome)",
            )
        if is_traced(*jax.tree.leaves(tree)):
            raise ValueError(f"subjects[{name!r}] is not known yet: build a cohort outside of jit, and hand it in")


def alike(subjects: Mapping[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
    """The subjects' trees, with common bounds, after a check that they are built alike; and names of delays without room."""
    (first, *others), trees = subjects, list(subjects.values())
    parts = [jax.tree.flatten(tree, is_leaf=is_network) for tree in trees]
    treedef = parts[0][1]
    rigid: list[str] = []
    if all(structure == treedef for _, structure in parts):
        columns = [list(column) for column in zip(*(found for found, _ in parts), strict=True)]
        for i, ((path, _), column) in enumerate(zip(parts_of(trees[0]), columns, strict=True)):
            if all(map(is_network, column)):
                rigid += [path + name for name in rigid_delays(column)]
                columns[i] = in_common(column)
        trees = [jax.tree.unflatten(treedef, column) for column in zip(*columns, strict=True)]
    for name, tree in zip(others, trees[1:], strict=True):
        _check_alike(first, trees[0], name, tree)
    return trees, tuple(rigid)


def _check_alike(first: str, one: Any, name: str, two: Any) -> None:
    """What a second subject is compared with, is the first."""
    nets = [[x for x in jax.tree.leaves(tree, is_leaf=is_network) if is_network(x)] for tree in (one, two)]
    for a, b in zip(*nets, strict=False):
        if a.n_regions != b.n_regions:
            raise ValueError(
                f"{name} has {b.n_regions} regions and {first} {a.n_regions}: subjects of a cohort have the same; fit others in a cohort of "
                "their own"
            )
        if set(a.labels) == set(b.labels) and a.labels != b.labels:
            raise ValueError(
                f"{name} has the regions of {first} in another order: build it of connectome.subset(labels), with the labels of the first"
            )
    found = difference(one, two)
    if found is not None:
        path, here, there = found
        scalar = {here, there} & {"shape ()"} and "shape" in here
        mend = "; gx.per_region of both makes them one shape" if scalar else "; subjects of a cohort are built alike"
        raise ValueError(f"{name} differs from {first} in {path or 'kind'}: it has {there} in place of {here}{mend}")
    if jax.tree.structure(one) != jax.tree.structure(two):
        raise ValueError(
            f"{name} is built otherwise than {first}: subjects of a cohort have the same model, couplings and noise"
        )


def parts_of(tree: Any) -> list[tuple[str, Any]]:
    """Networks and leaves of a subject's tree, by the path that leads to what is in them."""
    found = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_network)[0]
    return [(f"{path_name(path)}." if path else "", part) for path, part in found]


def networks_in(tree: Any) -> list[tuple[str, Network]]:
    """The networks in a subject's tree, each with the path that leads to what is in it."""
    return [(path, part) for path, part in parts_of(tree) if is_network(part)]


def is_individual(name: str, column: Sequence[Any], subjects: Sequence[str]) -> bool:
    """Whether a leaf has another value in some subject.

    Raises:
        ValueError: if that cannot be: it is no parameter.
    """
    other = [i for i, x in enumerate(column) if not np.array_equal(x, column[0], equal_nan=trainable(x))]
    if other and not trainable(column[0]):
        raise ValueError(
            f"{subjects[other[0]]} differs from {subjects[0]} in {name}, which is no parameter: {shown(column[other[0]])} in place of "
            f"{shown(column[0])}; subjects of a cohort are built alike"
        )
    return bool(other)


def stacked(column: Sequence[Any]) -> Array:
    """A leaf of all subjects, with these along its first axis."""
    return jnp.stack([jnp.asarray(x, jnp.result_type(float)) for x in column])


def data_in_one(data: Any, subjects: tuple[str, ...]) -> PyTree:
    """The data of all subjects, stacked, after a check that it is alike."""
    expect("data", data, Mapping, "a dict of data by the subject's name", "{'sub-01': fc, ...}")
    absent, odd = [s for s in subjects if s not in data], [str(s) for s in data if s not in subjects]
    if absent or odd:
        what = f"there is nothing of {absent[0]}" if absent else f"there is no subject {odd[0]}"
        raise ValueError(f"data= is by the names of the subjects: {what}; the subjects are {', '.join(subjects)}")
    trees = [_as_arrays(data[subject], subject) for subject in subjects]
    for subject, tree in zip(subjects[1:], trees[1:], strict=True):
        found = difference(trees[0], tree)
        if found is not None:
            path, here, there = found
            raise ValueError(
                f"the data of {subject} differs from that of {subjects[0]} in {path or 'kind'}: it has {there} in place of {here}; data of "
                "a cohort is alike, such as recordings cut to one length"
            )
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def _as_arrays(tree: Any, subject: str) -> PyTree:
    def arrays(x: Any) -> Any:
        if is_named(x):
            values, names = known_names(x, f"data[{subject!r}]")
            return LabelledArray(array(values), names)
        return array(x)

    def array(x: Any) -> Array:
        refuse_masked(x)
        if isinstance(x, str | bytes) or not isinstance(x, bool | int | float | np.ndarray | np.generic | jax.Array):
            raise TypeError(
                f"data[{subject!r}] is made of arrays, tables and recordings, and {shown(x)} is none: write data={{{subject!r}: fc}}"
            )
        if is_traced(x):
            raise ValueError(f"data[{subject!r}] is not known yet: build a cohort outside of jit, and hand it in")
        kind = np.result_type(x) if not isinstance(x, jax.Array) else x.dtype
        if not jnp.issubdtype(kind, jnp.number) and kind != np.dtype(bool):
            raise TypeError(
                f"data[{subject!r}] is made of numbers, got an array of {kind}: write data={{{subject!r}: fc}}"
            )
        return jnp.array(x, jnp.result_type(float) if jnp.issubdtype(kind, jnp.floating) else None)

    if tree is None:
        raise TypeError(
            f"data[{subject!r}]= takes an array, a table or a recording, got None: write data={{{subject!r}: fc}}"
        )
    made = jax.tree.map(arrays, tree, is_leaf=lambda x: is_named(x) or isinstance(x, list))
    if not jax.tree.leaves(made):
        raise TypeError(
            f"data[{subject!r}]= takes an array, a table or a recording, got {shown(tree)}: write data={{{subject!r}: fc}}"
        )
    return made
