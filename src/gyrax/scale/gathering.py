"""Subjects as one tree: what they are compared in, and what is stacked."""

import collections
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._kinds import expect, expect_function, refused, shown
from .._types import is_traced, refuse_masked
from ..labelled import LabelledArray, is_named, known_names
from ..network import Network
from ..parameters.addresses import path_name, trainable
from .common import difference, in_common, is_network, rigid_delays


def check_of_subject(argument: str, function: Any) -> None:
    """Refuses what is no function of a subject's network, data and key.

    Raises:
        TypeError: with what to write.
    """
    line = "lambda network, data, key: ..."
    expect_function(argument, function, line)
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        raise TypeError(
            f"{argument}= is called as {argument}(network, data, key) with what each subject has ({error}): write {argument}={line}"
        ) from None
    except ValueError:  # of what is not written in Python
        return


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
    names, trees = list(subjects), list(subjects.values())
    _check_networks(subjects)
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
    found = [_unlike(names[0], trees[0], name, tree) for name, tree in zip(names, trees, strict=True)]
    odd = [i for i, said in enumerate(found) if said]
    if odd:  # where most differ from the first, that one is odd
        said = _unlike(names[odd[0]], trees[odd[0]], names[0], trees[0]) if 2 * len(odd) > len(names) else None
        raise ValueError(said or found[odd[0]])
    return trees, tuple(rigid)


def _check_networks(subjects: Mapping[str, Any]) -> None:
    """Refuses other regions or models first, by which subjects differ in much else, and names the one that is unlike most.

    Raises:
        ValueError: naming it.
    """
    each = {name: networks_in(tree) for name, tree in subjects.items()}
    if len({tuple(path for path, _ in networks) for networks in each.values()}) > 1:
        return
    kinds: tuple[Callable[[Network], Any], ...] = (
        lambda network: network.n_regions,
        lambda network: frozenset(network.labels),
        lambda network: network.labels,
        lambda network: type(network.model),
    )
    for kind in kinds:
        told = {name: tuple(kind(network) for _, network in networks) for name, networks in each.items()}
        most, _ = collections.Counter(told.values()).most_common(1)[0]  # of those that are as many, the first
        like = next(name for name, one in told.items() if one == most)
        odd = next((name for name, one in told.items() if one != most), None)
        if odd is None:
            continue
        for (path, a), (_, b) in zip(each[like], each[odd], strict=True):
            said = _other_regions(like, a, odd, b)
            if said is None:
                here = {"connectome": a.connectome, "model": a.model}
                there = {"connectome": b.connectome, "model": b.model}
                said = _differs(like, here, odd, there, path)
            if said:
                raise ValueError(said)


def _unlike(first: str, one: Any, name: str, two: Any) -> str | None:
    """How a subject is built otherwise than the one it is compared with; None if it is not."""
    nets = [[x for x in jax.tree.leaves(tree, is_leaf=is_network) if is_network(x)] for tree in (one, two)]
    found = next((said for a, b in zip(*nets, strict=False) if (said := _other_regions(first, a, name, b))), None)
    found = found or _differs(first, one, name, two)
    if found is None and jax.tree.structure(one) != jax.tree.structure(two):
        return f"{name} is built otherwise than {first}: subjects of a cohort have the same model, couplings and noise"
    return found


def _other_regions(first: str, a: Network, name: str, b: Network) -> str | None:
    if a.n_regions != b.n_regions:
        return (
            f"{name} has {b.n_regions} regions and {first} {a.n_regions}: subjects of a cohort have the same; fit others in a cohort of "
            "their own"
        )
    if set(a.labels) == set(b.labels) and a.labels != b.labels:
        return f"{name} has the regions of {first} in another order: build it of connectome.subset(labels), with the labels of {first}"
    return None


def _differs(first: str, one: Any, name: str, two: Any, path: str = "") -> str | None:
    found = difference(one, two)
    if found is None:
        return None
    where, here, there = found
    scalar = {here, there} & {"shape ()"} and "shape" in here
    mend = "; gx.per_region of both makes them one shape" if scalar else "; subjects of a cohort are built alike"
    return f"{name} differs from {first} in {(path + where) or 'kind'}: it has {there} in place of {here}{mend}"


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
    return jax.tree.map(lambda *x: _together(x, subjects), *trees)


def _together(column: Sequence[Array], subjects: Sequence[str]) -> Array:
    """The data of all subjects, as it is in each: whole numbers with and without a sign may have no type in common."""
    found, kind = jnp.stack(column), column[0].dtype
    odd = next((i for i, x in enumerate(column) if x.dtype != kind), None)
    if odd is None or not jnp.issubdtype(kind, jnp.integer):
        return found
    if not jnp.issubdtype(found.dtype, jnp.integer) or not all(map(np.array_equal, found, column)):
        raise ValueError(
            f"data[{subjects[odd]!r}] is of {column[odd].dtype} and data[{subjects[0]!r}] of {kind}, and {found.dtype} cannot hold both: give all in "
            "one type"
        )
    return found


def _as_arrays(tree: Any, subject: str) -> PyTree:
    of = f"data[{subject!r}]"

    def arrays(path: Any, x: Any) -> Any:
        where = f"{of}{f' in {path_name(path)}' if path else ''}"
        if is_named(x):
            values, names = known_names(x, where)
            return LabelledArray(_array(values, subject, where), names)
        return _array(x, subject, where)

    if tree is None:
        raise TypeError(f"{of}= takes an array, a table or a recording, got None: write data={{{subject!r}: fc}}")
    made = jax.tree_util.tree_map_with_path(arrays, tree, is_leaf=lambda x: is_named(x) or isinstance(x, list))
    if not jax.tree.leaves(made):
        raise TypeError(
            f"{of}= takes an array, a table or a recording, got {shown(tree)}: write data={{{subject!r}: fc}}"
        )
    return made


def _array(x: Any, subject: str, where: str) -> Array:
    """One array of a subject's data, a copy."""
    of, line = f"data[{subject!r}]", f"write data={{{subject!r}: fc}}"
    refuse_masked(x)
    if isinstance(x, str | bytes) or not isinstance(x, bool | int | float | np.ndarray | np.generic | jax.Array):
        raise TypeError(f"{of} is made of arrays, tables and recordings, and {shown(x)} is none: {line}")
    if is_traced(x):
        raise ValueError(f"{of} is not known yet: build a cohort outside of jit, and hand it in")
    kind = np.result_type(x) if not isinstance(x, jax.Array) else x.dtype
    if not jnp.issubdtype(kind, jnp.number) and kind != np.dtype(bool):
        raise TypeError(f"{of} is made of numbers, got an array of {kind}: {line}")
    given = np.asarray(x)
    with np.errstate(over="ignore", under="ignore"):
        made = jnp.array(given, jnp.result_type(float) if jnp.issubdtype(kind, jnp.floating) else None)
    _check_held(given, np.asarray(made), where)
    return made


def _check_held(given: np.ndarray, made: np.ndarray, where: str) -> None:
    """Refuses data with gaps, and numbers that the precision at hand does not have.

    Raises:
        ValueError: naming the first of them.
    """
    if jnp.issubdtype(made.dtype, jnp.inexact):
        lost = ~np.isfinite(given)
        if lost.any():
            at, value = _first(given, lost)
            raise ValueError(
                f"{where} is {value}{at}: data is finite. Fill it, and give a mask as data of its own, such as {{'x': filled, 'known': mask}}"
            )
        vanish = given.any() and not made.any()  # single ones beside larger ones are zero to rounding
        lost = (given != 0) if vanish else ~np.isfinite(made)
        mend = "give it in other units"
    else:
        lost, mend = made != given, "give it as floats, or counted from another number"
    if lost.any():
        at, value = _first(given, lost)
        wide = "" if jax.config.read("jax_enable_x64") else ", or switch on jax_enable_x64 first"
        raise ValueError(f"{where} is {value}{at}, which {made.dtype} cannot hold: {mend}{wide}")


def _first(given: np.ndarray, lost: np.ndarray) -> tuple[str, Any]:
    """Where the first of these numbers is, and what."""
    index = np.unravel_index(int(np.argmax(lost)), given.shape)
    return (f" at [{', '.join(map(str, index))}]" if given.ndim else ""), given[index]
