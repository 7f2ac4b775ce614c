"""A described tree beside a tree that is to be like it: where they differ, and the one's values in the other's place."""

import dataclasses
import reprlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import xarray as xr

from .trees import Building, Describing, Node, children_of, fields_of, is_static, join

#: Static numbers that were made in another precision agree so far: bounds of delays are computed from float32 lengths.
_ROUNDING = 1e-5
_NUMBERS = {"b": "True or False", "i": "whole numbers", "f": "numbers", "c": "complex numbers", "key": "random keys"}


def differences(file: Building, saved: Node, here: Describing, like: Node) -> list[str]:
    """A sentence for each part in which the tree of a file is not like another: its class, static fields, labels, kind and shape.

    Values of arrays and numbers may differ, and one number may have become one a region, or the other way round.
    """
    return list(_Comparing(file, Building(file.names, here.arrays, str(jnp.result_type(float)))).parts(saved, like, ""))


class _Comparing:
    def __init__(self, file: Building, here: Building):
        self.file, self.here = file, here

    def parts(self, saved: Node, like: Node, path: str, static: bool = False) -> Iterator[str]:
        kinds = _kind(saved), _kind(like)
        if not static and all(kind in _NUMBERS for kind in kinds):
            yield from self._numbers(saved, like, path)
        elif kinds[0] != kinds[1] and not (static and set(kinds) == {"i", "f"}):  # 720 is 720.0
            yield self._differ(saved, like, path)
        elif kinds[0] == "class":
            yield from self._objects(saved, like, path, static)
        elif kinds[0] in ("tuple", "list", "dict", "node"):
            yield from self._several(saved, like, path, static, kinds[0])
        elif kinds[0] == "own":
            one, two = ((node["own"].rpartition(".")[2], node["text"]) for node in (saved, like))
            if one != two:
                yield f"{path or 'it'} is {one[1] or one[0]} in the file and {two[1] or two[0]} in the model"
        elif (static or kinds[0] in ("text", "function")) and not self._same(saved, like, path):
            yield self._differ(saved, like, path)

    def _differ(self, saved: Node, like: Node, path: str) -> str:
        one, two = _said(self.file, saved, path), _said(self.here, like, path)
        return f"{path or 'it'} is {one} in the file and {two} in the model"

    def _numbers(self, saved: Node, like: Node, path: str) -> Iterator[str]:
        one, two = _number(saved), _number(like)
        if one != two and (one, two) != ("i", "f"):
            yield f"{path or 'it'} has {_NUMBERS[one]} in the file and {_NUMBERS[two]} in the model"
        shapes = tuple(
            tuple(node["shape"]) if isinstance(node, dict) and "shape" in node else () for node in (saved, like)
        )
        if shapes[0] != shapes[1] and not (() in shapes and max(map(len, shapes)) == 1):
            yield f"{path or 'it'} has shape {shapes[0]} in the file and {shapes[1]} in the model"

    def _objects(self, saved: Node, like: Node, path: str, static: bool) -> Iterator[str]:
        one, two = saved["class"], like["class"]
        own = not (one.startswith("gyrax.") or two.startswith("gyrax."))
        if one != two and not (own and one.rpartition(".")[2] == two.rpartition(".")[2]):
            yield f"{path or 'it'} is a {one} in the file and a {two} in the model"
            return
        for where, fixed in (("fields", static), ("static", True)):
            mine, others = saved[where], like[where]
            yield from (f"only the file has {join(path, name)}" for name in mine if name not in others)
            yield from (f"only the model has {join(path, name)}" for name in others if name not in mine)
            for name in mine:
                if name in others:
                    yield from self.parts(mine[name], others[name], join(path, name), fixed)
        units = saved.get("units", {}), like.get("units", {})
        for name in [*units[0], *units[1]]:
            if name in saved["fields"] and units[0].get(name) != units[1].get(name):
                yield f"{join(path, name)} is in '{units[0].get(name, '')}' in the file and in '{units[1].get(name, '')}' here"

    def _several(self, saved: Node, like: Node, path: str, static: bool, kind: str) -> Iterator[str]:
        if kind == "node" and saved["node"] != like["node"]:
            yield f"{path or 'it'} is a {saved['node']} in the file and a {like['node']} in the model"
            return
        mine: dict[Any, Node]
        others: dict[Any, Node]
        if kind in ("tuple", "list"):
            one, two = list(saved[kind]), list(like[kind])
            if one and two and all(isinstance(part, str) for part in one + two):
                yield from _labels(one, two, path or "it")
                return
            if len(one) != len(two):
                yield f"{path or 'it'} has {len(one)} parts in the file and {len(two)} in the model"
                return
            mine, others = dict(enumerate(one)), dict(enumerate(two))
        else:
            what = "children" if kind == "node" else "dict"
            mine, others = ({str(key): part for key, part in node[what]} for node in (saved, like))
            yield from (f"only the file has {join(path, key)}" for key in mine if key not in others)
            yield from (f"only the model has {join(path, key)}" for key in others if key not in mine)
        for key, part in mine.items():
            if key in others:
                yield from self.parts(part, others[key], join(path, key), static)

    def _same(self, saved: Node, like: Node, path: str) -> bool:
        """Whether two static values are one; across precisions, but for rounding."""
        one, two = self.file.tree(saved, path), self.here.tree(like, path)
        numbers = (isinstance(x, int | float | np.ndarray | np.generic) and type(x) is not bool for x in (one, two))
        if not all(numbers):
            return type(one) is type(two) and bool(np.all(one == two))
        if np.shape(one) != np.shape(two):
            return False
        exact = self.file.precision == self.here.precision or np.asarray(one).dtype.kind not in "fc"
        return np.array_equal(one, two, equal_nan=np.asarray(one).dtype.kind in "fc") or (
            not exact and np.allclose(one, two, rtol=_ROUNDING, atol=0, equal_nan=True)
        )


def _labels(mine: list[str], others: list[str], path: str) -> Iterator[str]:
    """What is to say of two lists of names."""
    if mine == others:
        return
    if len(mine) != len(others):
        yield f"{path} has {len(mine)} names in the file and {len(others)} in the model"
        return
    at = next(i for i, (a, b) in enumerate(zip(mine, others, strict=True)) if a != b)
    same = " (the same names, in another order)" if sorted(mine) == sorted(others) else ""
    yield f"{path}[{at}] is {mine[at]!r} in the file and {others[at]!r} in the model{same}"


def _kind(node: Node) -> str:
    if isinstance(node, str):
        return "text"
    if node is None or not isinstance(node, dict):
        return {type(None): "None", bool: "b", int: "i", float: "f"}[type(node)]
    kind = next(iter(node))
    return _number(node) if kind in ("array", "float", "complex", "key") else kind


def _number(node: Node) -> str:
    """The kind of numbers of a leaf: a letter of `_NUMBERS`, or NumPy's of what is no number."""
    if not isinstance(node, dict):
        return {bool: "b", int: "i", float: "f"}[type(node)]
    if "array" not in node:
        return {"float": "f", "complex": "c", "key": "key"}[next(iter(node))]
    dtype = jnp.dtype(node["dtype"]) if node["dtype"] != "float0" else jax.dtypes.float0
    kinds = {"b": jnp.bool_, "i": jnp.integer, "f": jnp.floating, "c": jnp.complexfloating}
    return next((letter for letter, kind in kinds.items() if jnp.issubdtype(dtype, kind)), str(dtype))


def _said(building: Building, node: Node, path: str) -> str:
    """A value in a few characters."""
    kind = _kind(node)
    if kind in ("class", "node", "own", "function"):
        return f"a {node[kind]}"
    if isinstance(node, dict) and "shape" in node:
        return f"{node.get('dtype', 'a random key')}{node['shape'] or ''}"
    return reprlib.repr(building.tree(node, path))


def filled(like: Any, file: Building, node: Node, path: str = "") -> Any:
    """A tree like another, with the values of a described one, of which `differences` found none."""
    if isinstance(like, bool | int | float | complex) and not isinstance(like, np.generic):
        return _plain(like, file, node, path)
    if isinstance(like, jax.Array | np.ndarray | np.generic):
        return _array(like, file, node, path)
    if like is None or isinstance(like, str | xr.Dataset | xr.DataArray):
        return file.tree(node, path)
    fields = fields_of(like)
    if fields is not None:
        return _object(like, fields, file, node, path)
    if type(like) in (tuple, list):
        parts = node[type(like).__name__]
        return type(like)(filled(x, file, p, join(path, i)) for i, (x, p) in enumerate(zip(like, parts, strict=True)))
    if type(like) is dict:
        parts = {str(key): part for key, part in node["dict"]}
        return {key: filled(x, file, parts[str(key)], join(path, key)) for key, x in like.items()}
    below = children_of(like)
    if below is None:
        return like
    parts = dict(node["children"])
    return jtu.tree_unflatten(below[1], [filled(x, file, parts[name], join(path, name)) for name, x in below[0]])


def _object(like: Any, fields: dict[str, Any], file: Building, node: Node, path: str) -> Any:
    values = {
        name: filled(getattr(like, name), file, node["fields"][name], join(path, name))
        for name, field in fields.items()
        if field is None or not is_static(field)
    }
    if isinstance(like, tuple):
        return type(like)(**values)
    if not isinstance(like, eqx.Module):
        return dataclasses.replace(like, **values)
    made = object.__new__(type(like))
    for name, value in {**vars(like), **values}.items():
        object.__setattr__(made, name, value)
    return made


def _plain(like: Any, file: Building, node: Node, path: str) -> Any:
    """A plain number stays one."""
    value = file.stored(node, path) if isinstance(node, dict) and "array" in node else file.tree(node, path)
    return type(like)(value) if np.ndim(value) == 0 else jnp.asarray(value, jnp.result_type(type(like)))


def _array(like: Any, file: Building, node: Node, path: str) -> Any:
    if isinstance(node, dict) and ("key" in node or node.get("dtype") == "float0"):
        return file.tree(node, path)
    value = file.stored(node, path) if isinstance(node, dict) and "array" in node else np.asarray(file.tree(node, path))
    if not isinstance(like, jax.Array):
        return (
            value.astype(like.dtype)[()]
            if isinstance(like, np.generic) and not value.ndim
            else value.astype(like.dtype)
        )
    made = jnp.asarray(value, like.dtype)
    if np.asarray(value).dtype.kind in "iu" and (np.asarray(made) != value).any():
        raise ValueError(f"{path} has whole numbers that {like.dtype} in the model cannot hold")
    return made
