"""Trees as plain fields: what every part is, in words that JSON knows, beside its arrays; and back.

A part is itself where JSON knows it (None, bool, whole number, finite float, text), otherwise a dict whose first key says
what it is: "array", "key", "float", "complex", "ellipsis", "tuple", "list", "dict", "class", "function", "own", "node",
"xarray".
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import xarray as xr

from .._types import is_traced
from .names import Names, known_as

Node = Any
#: What JAX has no gradient of has this for a dtype: nothing is in it but its shape.
FLOAT0 = "float0"


def join(path: str, name: Any) -> str:
    """A dotted path one step on.

    Example:
        >>> join("model", "w"), join("", 0)
        ('model.w', '0')
    """
    return f"{path}.{name}" if path else str(name)


def is_static(field: dataclasses.Field) -> bool:
    """Whether a field of a Module is no part of the tree of arrays."""
    return bool(field.metadata.get("static"))


def fields_of(x: Any) -> dict[str, dataclasses.Field | None] | None:
    """The fields that an instance of a dataclass or named tuple has; None of anything else."""
    if isinstance(x, type):
        return None
    if dataclasses.is_dataclass(x):
        held = vars(x) if hasattr(x, "__dict__") else {f.name for f in dataclasses.fields(x) if hasattr(x, f.name)}
        return {f.name: f for f in dataclasses.fields(x) if f.name in held}
    names = getattr(x, "_fields", None) if isinstance(x, tuple) else None
    return None if names is None else dict.fromkeys(names)


def children_of(x: Any) -> tuple[list[tuple[str, Any]], Any] | None:
    """What is directly beneath a node that JAX knows, by name, and how to put it back; None of a leaf."""
    pairs, treedef = jtu.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
    if jtu.treedef_is_leaf(treedef):
        return None
    return [(jtu.keystr(key, simple=True, separator="."), child) for key, child in pairs], treedef


class Describing:
    """Describes a tree and collects its arrays.

    Example:
        >>> writing = Describing(Names())
        >>> writing.node({"a": (1, np.zeros(2))}, "")
        {'dict': [['a', {'tuple': [1, {'array': 'a.1', 'of': 'numpy', 'dtype': 'float64', 'shape': [2]}]}]]}
        >>> writing.arrays["a.1"].tolist()
        [0.0, 0.0]
    """

    def __init__(self, names: Names):
        self.names = names
        self.arrays: dict[str, np.ndarray] = {}
        #: Objects that a file can but name, by their path.
        self.own: dict[str, Any] = {}
        self._static = False  # within a static field, whose value need not be written if a model brings it

    def node(self, x: Any, path: str) -> Node:
        """What a part is.

        Raises:
            TypeError: naming the part, for what cannot be written as numbers and text.
        """
        kind = type(x)
        if x is None or kind in (bool, int, str) or (kind is float and math.isfinite(x)):
            return x
        if kind is float:
            return {"float": repr(x)}
        if kind is complex:
            return {"complex": [self.node(x.real, path), self.node(x.imag, path)]}
        if x is ...:
            return {"ellipsis": True}
        if isinstance(x, jax.Array | np.ndarray | np.generic):
            return self._array(x, path)
        if kind in (tuple, list):
            return {kind.__name__: [self.node(part, join(path, i)) for i, part in enumerate(x)]}
        if kind is dict:
            return {"dict": [[self.node(key, join(path, key)), self.node(x[key], join(path, key))] for key in x]}
        if kind in (xr.Dataset, xr.DataArray):
            return self._labelled(x, path)
        return self._object(x, path)

    def _array(self, x: Any, path: str) -> Node:
        if is_traced(x):
            raise TypeError(f"{path or 'it'} is not known yet, inside jit or vmap: save what comes out of them")
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            member = self._keep(np.asarray(jax.random.key_data(x)), path)
            return {"key": member, "impl": str(jax.random.key_impl(x)), "shape": list(x.shape)}
        of = "jax" if isinstance(x, jax.Array) else "scalar" if isinstance(x, np.generic) else "numpy"
        if of == "numpy" and type(x) is not np.ndarray:
            raise TypeError(f"{path or 'it'} is a {known_as(x)}, not a plain array: save np.asarray(...) of it")
        value = np.asarray(x)
        if value.dtype != jax.dtypes.float0 and (value.dtype.hasobject or value.dtype.names is not None):
            raise TypeError(
                f"{path or 'it'} is an array of dtype {value.dtype}: only numbers, text and times are saved"
            )
        node = {"array": None, "of": of, "dtype": dtype_name(value.dtype), "shape": list(value.shape)}
        if node["dtype"] != FLOAT0:
            node["array"] = self._keep(as_stored(value), path)
        return node

    def _keep(self, value: np.ndarray, path: str) -> str:
        """Where an array is in the file: at its path, with a number behind it if two have one."""
        name = member = re.sub(r"[^\w.\-]", "_", path) or "value"
        count = 1
        while member in self.arrays:
            count += 1
            member = f"{name}~{count}"
        self.arrays[member] = value
        return member

    def _labelled(self, x: Any, path: str) -> Node:
        def variables(found: Mapping[Any, Any], where: str) -> Node:
            parts = {
                name: {"dims": tuple(v.dims), "values": np.asarray(v.values), "attrs": dict(v.attrs)}
                for name, v in found.items()
            }
            return self.node(parts, where)

        if any(len(x.indexes[name].names) > 1 for name in x.indexes):
            raise TypeError(f"{path or 'it'} has an index of several levels: save reset_index() of it")
        node = {"xarray": type(x).__name__, "coords": variables(x.coords, join(path, "coords"))}
        node["attrs"] = self.node(dict(x.attrs), join(path, "attrs"))
        if isinstance(x, xr.Dataset):
            return node | {"data": variables(x.data_vars, path)}
        array = {"dims": x.dims, "values": np.asarray(x.values), "name": x.name}
        return node | {"data": self.node(array, path)}

    def _object(self, x: Any, path: str) -> Node:
        fields = fields_of(x)
        if fields is None:
            below = children_of(x)
            if below is not None:
                parts = [[name, self.node(part, join(path, name))] for name, part in below[0]]
                return {"node": known_as(x), "children": parts}
            name = self.names.name_of(x)
            if name is not None and not isinstance(x, type):
                return {"function": name}
            if not callable(x) and not self._static:
                raise TypeError(
                    f"{path or 'it'} is a {known_as(x)}: what is saved are numbers, text, arrays, tuples, lists, dicts, "
                    "dataclasses, Modules and xarray's; make one of these of it"
                )
            self.own[path] = x
            text = "" if hasattr(x, "__qualname__") else re.sub(r" at 0x[0-9a-f]+", "", repr(x))[:500]
            return {"own": known_as(x), "text": text}
        node: dict[str, Any] = {"class": self.names.name_of(type(x)) or known_as(type(x)), "fields": {}, "static": {}}
        outer = self._static
        for name, field in fields.items():
            static = field is not None and is_static(field)
            self._static = outer or static
            node["static" if static else "fields"][name] = self.node(getattr(x, name), join(path, name))
        self._static = outer
        units = {name: f.metadata["unit"] for name, f in fields.items() if f is not None and f.metadata.get("unit")}
        absent = [f.name for f in dataclasses.fields(x) if f.name not in fields] if dataclasses.is_dataclass(x) else []
        return node | ({"units": units} if units else {}) | ({"absent": absent} if absent else {})


def dtype_name(dtype: np.dtype) -> str:
    """The name of a dtype, from which `np.dtype` and JAX make it again."""
    if dtype == jax.dtypes.float0:
        return FLOAT0
    return dtype.str if dtype.kind in "USMm" or not dtype.isnative else dtype.name


def as_stored(value: np.ndarray) -> np.ndarray:
    """The same bits in a dtype that NumPy itself can write: bfloat16 and its like as whole numbers."""
    return value.view(f"u{value.dtype.itemsize}") if value.dtype.isbuiltin == 2 else value


def from_stored(stored: np.ndarray | None, node: Mapping[str, Any], path: str) -> np.ndarray:
    """The array that a node describes, from what the file has of it.

    Raises:
        ValueError: if that is not what the node describes.
    """
    shape = tuple(node["shape"])
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{path} has no shape: {shape}")
    if node["dtype"] == FLOAT0:
        return np.zeros(shape, jax.dtypes.float0)
    dtype = jnp.dtype(node["dtype"]) if not str(node["dtype"]).startswith(("<", ">", "|")) else np.dtype(node["dtype"])
    expected = np.dtype(f"u{dtype.itemsize}") if dtype.isbuiltin == 2 else dtype
    if stored is None or stored.shape != shape or stored.dtype != expected:
        there = "nothing" if stored is None else f"{stored.dtype}{list(stored.shape)}"
        raise ValueError(f"{path} is said to be {dtype}{list(shape)}, and there is {there}")
    return stored.view(dtype) if dtype.isbuiltin == 2 else stored


class Building:
    """Builds a tree from what `Describing` made of it.

    Args:
        names: where classes and functions are looked up.
        arrays: by their names in the file.
        precision: the dtype of floats when the file was written, such as 'float32'; it becomes what it is now.
    """

    def __init__(self, names: Names, arrays: Mapping[str, np.ndarray], precision: str):
        self.names, self.arrays, self.precision = names, arrays, jnp.dtype(precision)

    def tree(self, node: Node, path: str = "") -> Any:
        """What a node describes.

        Raises:
            ValueError: naming the part, for what is no such description.
        """
        if node is None or type(node) in (bool, int, float, str):
            return node
        kind = next(iter(node), None) if isinstance(node, dict) else None
        build: dict[Any, Callable[[Any, str], Any]] = {
            "float": lambda n, p: float(n["float"]),
            "complex": lambda n, p: complex(*(self.tree(x) for x in n["complex"])),
            "ellipsis": lambda n, p: ...,
            "tuple": lambda n, p: tuple(self._all(n["tuple"], p)),
            "list": lambda n, p: self._all(n["list"], p),
            "dict": lambda n, p: {self.tree(k): self.tree(v, join(p, k)) for k, v in n["dict"]},
            "array": lambda n, p: self.array(n, p),
            "key": lambda n, p: self.key(n, p),
            "xarray": self._labelled,
            "class": self._object,
            "function": lambda n, p: self.names.function_of(n["function"], p),
            "own": lambda n, p: self.names.function_of(n["own"], p),
            "node": self._foreign,
        }
        if kind not in build:
            raise ValueError(f"{path or 'it'} is described as {str(node)[:60]}, which says nothing")
        return build[kind](node, path)

    def _all(self, nodes: list[Node], path: str) -> list[Any]:
        return [self.tree(node, join(path, i)) for i, node in enumerate(nodes)]

    def stored(self, node: Node, path: str) -> np.ndarray:
        """The array of a node as NumPy has it, in the dtype it was saved in."""
        return from_stored(self.arrays.get(node["array"]), node, path)

    def array(self, node: Node, path: str) -> Any:
        """An array or NumPy scalar, never weakly typed."""
        value = self.stored(node, path)
        if node["of"] == "scalar":
            return value[()]
        if node["of"] == "numpy" or node["dtype"] == FLOAT0:
            return value.copy()
        if value.dtype in (self.precision, np.result_type(self.precision, np.complex64)):
            made = jnp.asarray(value, jnp.result_type(float if value.dtype == self.precision else complex))
            return _held(value, made, path)
        return exactly(value, path)

    def key(self, node: Node, path: str) -> jax.Array:
        """A random key of the kind it was."""
        data = self.arrays.get(node["key"])
        if data is None or data.dtype != np.uint32:
            raise ValueError(f"{path} is said to be a random key, and the file has no such bits")
        key = jax.random.wrap_key_data(jnp.asarray(data), impl=node["impl"])
        if list(key.shape) != node["shape"]:
            raise ValueError(f"{path} is said to be random keys of shape {node['shape']}, and there are {key.shape}")
        return key

    def _labelled(self, node: Node, path: str) -> Any:
        coords = {
            name: (v["dims"], v["values"], v["attrs"])
            for name, v in self.tree(node["coords"], join(path, "coords")).items()
        }
        attrs, data = self.tree(node["attrs"], join(path, "attrs")), self.tree(node["data"], path)
        if node["xarray"] == "Dataset":
            variables = {name: (v["dims"], v["values"], v["attrs"]) for name, v in data.items()}
            return xr.Dataset(variables, coords, attrs)
        return xr.DataArray(data["values"], coords, data["dims"], name=data["name"], attrs=attrs)

    def _foreign(self, node: Node, path: str) -> Any:
        raise ValueError(
            f"{path or 'it'} is a {node['node']}, which is not gyrax's: give load(path, model) a model that has one there"
        )

    def _object(self, node: Node, path: str) -> Any:
        kind = self.names.class_of(node["class"], path)
        parts = {**node["fields"], **node["static"]}
        values = {name: self.tree(part, join(path, name)) for name, part in parts.items()}
        if issubclass(kind, tuple):
            return kind(**values)
        fields = {f.name: f for f in dataclasses.fields(kind)}
        absent = node.get("absent", [])
        odd = [name for name in values if name not in fields]
        odd += [name for name in fields if name not in values and name not in absent]
        if odd:
            where = "the file" if odd[0] in values else "this version"
            raise ValueError(f"{path or 'it'} is another {node['class']}: only {where} has a field '{odd[0]}'")
        units = {name: f.metadata["unit"] for name, f in fields.items() if f.metadata.get("unit") and name in values}
        if units != node.get("units", {}):
            name = next(n for n in [*units, *node["units"]] if units.get(n) != node.get("units", {}).get(n))
            raise ValueError(
                f"{join(path, name)} was saved in '{node.get('units', {}).get(name, '')}', and {node['class']} has it in "
                f"'{units.get(name, '')}' now"
            )
        if not issubclass(kind, eqx.Module):
            return kind(**values)  # what a plain dataclass checks when it is made
        made = object.__new__(kind)  # the fields as they were: what __init__ makes of them is in them
        for name in fields:
            if name in values:
                object.__setattr__(made, name, values[name])
        return made


def exactly(value: np.ndarray, path: str) -> jax.Array:
    """A JAX array of these values in their own dtype, or without a loss in what stands for it in single precision.

    Raises:
        ValueError: for whole numbers that need 64 bits, where there are none.
    """
    made = jnp.asarray(value)
    if value.dtype.kind in "iu" and (np.asarray(made) != value).any():
        raise ValueError(f"{path} has whole numbers beyond 32 bits: switch on jax_enable_x64 before loading")
    return _held(value, made, path)


def _held(value: np.ndarray, made: jax.Array, path: str) -> jax.Array:
    """The array made of values, if none became infinite in single precision."""
    if value.dtype.kind in "fc" and (np.isfinite(value) & ~np.isfinite(np.asarray(made))).any():
        raise ValueError(f"{path} has numbers that float32 cannot hold: switch on jax_enable_x64 before loading")
    return made
