"""What a function of a user's reads from outside, which a compiled program would keep as it was."""

import dataclasses
import functools
import inspect
import os
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._digests import digest
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


@dataclasses.dataclass(frozen=True)
class AsNow:
    """A function that equals another one only if what they read from outside is the same."""

    function: Callable[..., Any]
    holds: str
    things: tuple["_Itself", ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class _Itself:
    """A thing that no digest looks into: the same if it is the very same one, which is kept, so that no other one gets its place."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


class _Read(NamedTuple):
    """Something that a function reads, and the name that it has there."""

    name: str
    thing: Any


def as_now(function: Any) -> Any:
    """The function, with a digest of what it reads from outside, so that it is compiled anew once that changes.

    Numbers, texts and arrays, looked for in closures, defaults, partials, globals that are named, fields of objects, and functions, lists and
    dicts among these. Of other objects it counts which they are. Code of libraries holds no data of a user's.

    Raises:
        ValueError: for an array that JAX will not read anew, by its name.

    Example:
        >>> target = np.zeros(2)
        >>> loss = lambda model, key: ((model - target) ** 2).sum()
        >>> before = as_now(loss)
        >>> before == as_now(loss)
        True
        >>> target[:] = 1.0
        >>> before == as_now(loss)
        False
    """
    if isinstance(function, eqx.Module):  # whose fields are arguments of what is compiled
        return function
    found = list(_read("", function, set(), ()))
    for name, thing in found:
        if isinstance(thing, np.ndarray):
            _check_reread(name, thing)
    told = [read for read in found if not isinstance(read.thing, _Itself)]
    if not found:
        return function
    return _same(function, digest(*told), tuple(thing for _, thing in found if isinstance(thing, _Itself)))


def _check_reread(name: str, array: np.ndarray) -> None:
    kept = jax.dtypes.canonicalize_dtype(array.dtype)
    # Where JAX converts an array, it remembers the object and does not look into it again.
    if kept != array.dtype and not np.array_equal(jnp.asarray(array), array.astype(kept), equal_nan=True):
        raise ValueError(
            f"the array {name or 'that the function reads'} was changed in place, and JAX still reads the numbers that it had: in "
            f"float32 it keeps its own copy of an array of {array.dtype}, as long as a program uses it. Give a new array, "
            f"{name or 'array'} = {name or 'array'}.copy(), or write into one of {kept}"
        )


@functools.lru_cache(maxsize=16)
def _same(function: Any, holds: str, things: tuple[_Itself, ...]) -> AsNow:
    """One object for one function and what it reads: by this JAX knows again what it has traced."""
    return AsNow(function, holds, things)


def _read(name: str, x: Any, seen: set[int], used: tuple[str, ...]) -> Iterator[_Read]:
    """Numbers, texts and arrays of a value, or of what a function reads. `used` are the names that the code around it has."""
    if isinstance(x, _PLAIN | np.generic):
        yield _Read(name, x)
        return
    if id(x) in seen:
        return
    seen.add(id(x))
    if is_traced(x):
        yield _Read(name, _Itself(x))
    elif isinstance(x, jax.Array | np.ndarray):
        numbers = isinstance(x, jax.Array) or x.dtype.kind in "biufc"
        yield _Read(name, x if numbers else _Itself(x))
    elif isinstance(x, types.FunctionType):
        yield from _read_by(x, seen)
    else:
        inside = _inside(name, x, used)
        if inside is None:
            yield _Read(name, _Itself(x))
        for within, inner in inside or ():
            yield from _read(within, inner, seen, used)


def _inside(name: str, x: Any, used: tuple[str, ...]) -> list[tuple[str, Any]] | None:
    """What a thing is made of, by name; None for what nobody can look into."""
    if isinstance(x, functools.partial):
        return [("", inner) for inner in (x.func, *x.args)] + list(x.keywords.items())
    if isinstance(x, types.MethodType):
        return [("", x.__func__), ("", x.__self__)]
    if isinstance(x, types.ModuleType):
        own = {} if _of_a_library(getattr(x, "__file__", None)) else vars(x)
        return [(f"{name}.{key}", own[key]) for key in used if key in own]
    if isinstance(x, list | tuple | set | frozenset):
        return [(name and f"{name}[{place}]", inner) for place, inner in enumerate(x)]
    if isinstance(x, Mapping):
        return [(name and f"{name}[{key!r}]", inner) for key, inner in x.items()]
    if isinstance(x, type):
        own = {} if _of_a_library(_file(x)) else vars(x)
        return [(f"{name}.{key}", own[key]) for key in used if key in own]
    if isinstance(x, types.BuiltinFunctionType) or _of_a_library(_file(x)):  # as what jit has made
        return []
    if hasattr(x, "__array__"):  # pandas, xarray
        values = np.asarray(x)
        return [(name, values)] if values.dtype.kind in "biufc" else None
    written = _file(type(x))
    if isinstance(x, eqx.Module | types.SimpleNamespace) or not (written is None or _of_a_library(written)):
        call = [] if isinstance(x, eqx.Module) or not callable(x) else [("", type(x).__call__)]
        return call + [(f"{name}.{key}", inner) for key, inner in getattr(x, "__dict__", {}).items()]
    return None


def _file(x: Any) -> str | None:
    try:
        return inspect.getfile(x)
    except (TypeError, OSError):
        return None


def _of_a_library(file: str | None) -> bool:
    return file is not None and file.startswith(_LIBRARIES)


def _read_by(function: types.FunctionType, seen: set[int]) -> Iterator[_Read]:
    """What a function reads from outside, by name, as far as it can be told."""
    code = function.__code__
    if _of_a_library(code.co_filename):
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
    outside += [(name, function.__globals__[name]) for name in used if name in function.__globals__]
    for name, thing in outside:
        yield from _read(name, thing, seen, tuple(used))
