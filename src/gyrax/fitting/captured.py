"""What a function of a user's reads from outside, as far as it can be told without calling it."""

import collections
import datetime
import functools
import inspect
import os
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef

from .._types import is_traced

#: Where code lies that holds no data of a user's.
_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (
        Path(__file__).parent.parent,
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(Path(file).parent for file in (np.__file__, jax.__file__)),
    )
)
_PLAIN = bool | int | float | complex | str | bytes | None
#: What says all of itself.
_TELLING = (
    jax.ShapeDtypeStruct
    | range
    | slice
    | PurePath
    | np.dtype
    | types.EllipsisType
    | datetime.date
    | datetime.time
    | datetime.timedelta
)
#: What Python makes of a class: no data.
_MADE = (
    types.BuiltinFunctionType
    | types.MemberDescriptorType
    | types.GetSetDescriptorType
    | types.WrapperDescriptorType
    | types.MethodDescriptorType
)


class Itself:
    """A thing that no digest looks into: the same if it is the very same one, which is kept, so that no other one gets its place."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.thing(*args, **kwargs)


class Written:
    """A function of a user's, the same as another one with the same code: a cell of a notebook that is run again defines it anew.

    What it reads is no part of it: whoever compares two of them looks at that too.
    """

    def __init__(self, function: types.FunctionType):
        self.function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written) and self.function.__code__ == other.function.__code__

    def __hash__(self) -> int:
        return hash(self.function.__code__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class Read(NamedTuple):
    """Something that a function reads, the name that it has there, and the function of a user's in which it has that name."""

    name: str
    thing: Any
    by: types.FunctionType | None


def reads(function: Any) -> list[Read]:
    """What a function reads from outside: numbers, texts, arrays, and code.

    They are looked for in closures, defaults, partials, globals that are named, fields and methods of objects, and functions, lists and dicts
    among these. Of other objects there is which they are. Code of libraries holds no data of a user's.

    Raises:
        ValueError: for an array that JAX will not read anew, by its name.

    Example:
        >>> target = np.zeros(2)
        >>> [read.name for read in reads(lambda model, key: ((model - target) ** 2).sum())][-1]
        'target'
    """
    found = list(_read("", function, {}, (), None))
    for name, thing, _ in found:
        if isinstance(thing, np.ndarray):
            _check_reread(name, thing)
    return found


def library_function(function: types.FunctionType) -> bool:
    """Whether it is written in a library, Python's own among them, and not by a user."""
    return _of_a_library(function.__code__.co_filename)


def _check_reread(name: str, array: np.ndarray) -> None:
    kept = jax.dtypes.canonicalize_dtype(array.dtype)
    # Where JAX converts an array, it remembers the object and does not look into it again.
    if kept != array.dtype and not np.array_equal(jnp.asarray(array), array.astype(kept), equal_nan=True):
        raise ValueError(
            f"the array {name or 'that the function reads'} was changed in place, and JAX still reads the numbers that it had: in "
            f"float32 it keeps its own copy of an array of {array.dtype}, as long as a program uses it. Give a new array, "
            f"{name or 'array'} = {name or 'array'}.copy(), or write into one of {kept}"
        )


def _read(
    name: str, x: Any, seen: dict[int, Any], used: tuple[str, ...], by: types.FunctionType | None
) -> Iterator[Read]:
    """Numbers, texts and arrays of a value, or of what a function reads. `used` are the names that the code around it has."""
    if isinstance(x, Itself):
        x = x.thing
    if isinstance(x, _PLAIN | np.generic):
        yield Read(name, x, by)
        return
    if isinstance(x, _TELLING):
        yield Read(name, repr(x), by)
        return
    if id(x) in seen:
        return
    seen[id(x)] = x  # which is kept, so that nothing else gets its place meanwhile
    if is_traced(x):
        yield Read(name, Itself(x), by)
    elif isinstance(x, jax.Array | np.ndarray) and (isinstance(x, jax.Array) or x.dtype.kind in "biufcSU"):
        yield Read(name, x, by)
    elif isinstance(x, types.FunctionType):
        yield from _read_by(x, seen)
    else:
        inside = _inside(name, x, used)
        if inside is None:
            yield Read(name, Itself(x), by)
        for within, inner in inside or ():
            yield from _read(within, inner, seen, used, by)


def _inside(name: str, x: Any, used: tuple[str, ...]) -> list[tuple[str, Any]] | None:
    """What a thing is made of, by name; None for what nobody can look into."""
    if isinstance(x, functools.partial):
        return [("", inner) for inner in (x.func, *x.args)] + list(x.keywords.items())
    if isinstance(x, types.MethodType):
        return [("", x.__func__), ("", x.__self__)]
    if isinstance(x, staticmethod | classmethod):
        return [("", x.__func__)]
    if isinstance(x, property | functools.cached_property):
        return [("", x.fget if isinstance(x, property) else x.func)]
    if isinstance(x, PyTreeDef):  # of what Equinox has split
        return [("", jax.tree.unflatten(x, [None] * x.num_leaves))]
    if isinstance(x, types.ModuleType):
        own = {} if _of_a_library(getattr(x, "__file__", None)) else vars(x)
        return [(f"{name}.{key}", own[key]) for key in used if key in own]
    if isinstance(x, list | tuple | set | frozenset | collections.deque):
        return [(name and f"{name}[{place}]", inner) for place, inner in enumerate(x)]
    if isinstance(x, Mapping):
        return [("", key) for key in x] + [(name and f"{name}[{key!r}]", inner) for key, inner in x.items()]
    if isinstance(x, type):
        return _of_class(name, x, used)
    if isinstance(x, _MADE):
        return []
    wrapped = getattr(x, "__wrapped__", None) if callable(x) else None
    if callable(wrapped):  # as what jit has made, or a function with a rule of its own for vmap
        beside = [f for f in getattr(x, "__dict__", {}).values() if isinstance(f, types.FunctionType)]
        return [("", function) for function in (wrapped, *beside)]
    if _of_a_library(_file(x)):
        return []
    if hasattr(x, "__array__"):  # pandas, xarray
        values = np.asarray(x)
        return [(name, values.tolist() if values.dtype == object else values)]
    written = _file(type(x))
    if isinstance(x, eqx.Module | types.SimpleNamespace) or not (written is None or _of_a_library(written)):
        call = ("__call__",) if callable(x) else ()
        fields = {key: getattr(x, key) for key in _slots(type(x)) if hasattr(x, key)} | getattr(x, "__dict__", {})
        return [(f"{name}.{key}", inner) for key, inner in fields.items()] + _of_class(name, type(x), (*used, *call))
    return None


def _of_class(name: str, kind: type, used: tuple[str, ...]) -> list[tuple[str, Any]]:
    """What a class, and those of a user's that it is made of, have under the names that are used."""
    classes = [c for c in kind.__mro__ if c is not object and not _of_a_library(_file(c))]
    return [(f"{name}.{key}", vars(c)[key]) for c in classes for key in used if key in vars(c)]


def _slots(kind: type) -> list[str]:
    found = [vars(c).get("__slots__", ()) for c in kind.__mro__]
    return [key for slots in found for key in ((slots,) if isinstance(slots, str) else slots) if key != "__weakref__"]


def _file(x: Any) -> str | None:
    try:
        return inspect.getfile(x)
    except (TypeError, OSError):
        return None


def _of_a_library(file: str | None) -> bool:
    return file is not None and file.startswith(_LIBRARIES)


def _read_by(function: types.FunctionType, seen: dict[int, Any]) -> Iterator[Read]:
    """What a function is, and reads from outside, by name, as far as it can be told."""
    code = function.__code__
    if library_function(function):
        return
    outside: list[tuple[str, Any]] = []
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            outside.append((name, cell.cell_contents))
        except ValueError:  # not assigned yet
            continue
    defaults = function.__defaults__ or ()
    outside += zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    outside += (function.__kwdefaults__ or {}).items()
    codes, used = [code], []
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        used += code.co_names
        # a set has no order of its own: in another process its words stand otherwise
        written = [
            sorted(map(repr, const)) if isinstance(const, frozenset) else const
            for const in code.co_consts
            if not isinstance(const, types.CodeType)
        ]
        if "globals" in code.co_names:
            used += [const for const in written if isinstance(const, str)]
        yield Read("", code.co_code, function)
        yield Read("", repr((code.co_names, written)), function)
    outside += [(name, function.__globals__[name]) for name in used if name in function.__globals__]
    for name, thing in outside:
        yield from _read(name, thing, seen, tuple(used), function)
