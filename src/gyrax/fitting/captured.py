"""What a function of a user's closes over and may change in place: NumPy's arrays, which a compiled program would keep as they were."""

import dataclasses
import functools
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._digests import digest
from ..labelled import is_named

#: Where functions lie that hold no data of a user's.
_LIBRARIES = tuple(f"{Path(file).parent}{os.sep}" for file in (Path(__file__).parent, np.__file__, jax.__file__))


@dataclasses.dataclass(frozen=True)
class AsNow:
    """A function that equals another one only if the arrays that they close over hold the same numbers."""

    function: Callable[..., Any]
    holds: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def as_now(function: Any) -> Any:
    """The function, with a digest of the arrays of NumPy that it closes over, so that it is compiled anew once they change.

    Looked for in closures, defaults, partials, globals that are named, and functions, lists and dicts among these.

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
    found = list(_arrays("", function, set()))
    for name, array in found:
        kept = jax.dtypes.canonicalize_dtype(array.dtype)
        # Where JAX converts an array, it remembers the object and does not look into it again.
        if kept != array.dtype and not np.array_equal(jnp.asarray(array), array.astype(kept), equal_nan=True):
            raise ValueError(
                f"the array {name or 'that the function reads'} was changed in place, and JAX still reads the numbers that it had: in "
                f"float32 it keeps its own copy of an array of {array.dtype}, as long as a program uses it. Give a new array, "
                f"{name or 'array'} = {name or 'array'}.copy(), or write into one of {kept}"
            )
    return _same(function, digest(*(array for _, array in found))) if found else function


@functools.lru_cache(maxsize=16)
def _same(function: Any, holds: str) -> AsNow:
    """One object for one function and its arrays: by this JAX knows again what it has traced."""
    return AsNow(function, holds)


def _arrays(name: str, x: Any, seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays that can be written to, of a value or of what a function reads, with the names that they have there."""
    if id(x) in seen:
        return
    seen.add(id(x))
    if is_named(x):
        x = x.values
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "biufc":
            yield name, x
    elif isinstance(x, functools.partial):
        inside = [("", inner) for inner in (x.func, *x.args)] + list(x.keywords.items())
    elif isinstance(x, types.MethodType):
        inside = [("", x.__func__)]
    elif isinstance(x, types.FunctionType):
        inside = _read_by(x)
    elif isinstance(x, list | tuple):
        inside = [(name and f"{name}[{place}]", inner) for place, inner in enumerate(x)]
    elif isinstance(x, Mapping):
        inside = [(name and f"{name}[{key!r}]", inner) for key, inner in x.items()]
    for within, inner in inside:
        yield from _arrays(within, inner, seen)


def _read_by(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function reads from outside, by name, as far as it can be told."""
    code = function.__code__
    if code.co_filename.startswith(_LIBRARIES):
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    defaults = function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()
    codes = [code]
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)
