"""What a function of a user's closes over and may change in place: NumPy's arrays, which a compiled program would keep as they were."""

import dataclasses
import functools
import os
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._digests import digest
from ..labelled import LabelledArray

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
    found = list(_arrays(function, set()))
    return _same(function, digest(*found)) if found else function


@functools.lru_cache(maxsize=16)
def _same(function: Any, holds: str) -> AsNow:
    """One object for one function and its arrays: by this JAX knows again what it has traced."""
    return AsNow(function, holds)


def _arrays(x: Any, seen: set[int]) -> Iterator[np.ndarray]:
    """Arrays that can be written to, of a value or of what a function reads."""
    if id(x) in seen:
        return
    seen.add(id(x))
    if isinstance(x, LabelledArray):
        x = x.values
    if hasattr(x, "iloc") or (hasattr(x, "dims") and hasattr(x, "coords")):  # tables of pandas and xarray
        x = x.values
    if isinstance(x, np.ndarray):
        if x.dtype.kind in "biufc":
            yield x
    elif isinstance(x, functools.partial):
        for inner in (x.func, *x.args, *x.keywords.values()):
            yield from _arrays(inner, seen)
    elif isinstance(x, types.MethodType):
        yield from _arrays(x.__func__, seen)
    elif isinstance(x, types.FunctionType):
        for inner in _read_by(x):
            yield from _arrays(inner, seen)
    elif isinstance(x, list | tuple):
        for inner in x:
            yield from _arrays(inner, seen)
    elif isinstance(x, Mapping):
        for inner in x.values():
            yield from _arrays(inner, seen)


def _read_by(function: types.FunctionType) -> Iterator[Any]:
    """What a function reads from outside, as far as it can be told."""
    if function.__code__.co_filename.startswith(_LIBRARIES):
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        yield from (function.__globals__[name] for name in code.co_names if name in function.__globals__)
