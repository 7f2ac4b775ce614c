"""Functions of a user's as what they compute now, so that no program compiled before answers for what has changed since."""

import contextlib
import functools
import os
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.tree_util import PyTreeDef

from .._digests import digest, loose
from .._types import is_traced
from .captured import Itself, Read, Written, library_function, reads

#: Libraries that wrap what they are given in functions of their own.
_WRAPPERS = tuple(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (jax, eqx))
#: Of each function, what it read when it was first met.
_FIRST: weakref.WeakKeyDictionary[types.FunctionType, str] = weakref.WeakKeyDictionary()
#: JAX keeps the jaxprs of the functions that loops and branches are given, by these functions alone. Under another value it makes them anew.
_READ: Any = getattr(jax, "make_user_context", lambda default: None)(None)


class _Aside(NamedTuple):
    """What is no part of what a function is: all are equal."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Aside)

    def __hash__(self) -> int:
        return 0


class AsNow(eqx.Module):
    """A function that equals another one only if both compute the same.

    Attributes:
        function: itself. Arrays of one that is a Module are arguments of what is compiled, and may change.
        computes: a digest of what it does to arrays of the shapes that it is given, and of the functions that run outside of XLA or as rules
            for gradients.
        things: what of these nobody can look into.
    """

    function: Any
    computes: str = eqx.field(static=True)
    things: tuple[Itself, ...] = eqx.field(static=True)
    unknown: _Aside = eqx.field(static=True)
    read: _Aside = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _reading(self.read.value):
            return self.function(*args, **kwargs)

    def told(self) -> str:
        """What it is, for a file: the same in every process.

        Raises:
            ValueError: if that cannot be told.
        """
        if self.unknown.value:
            raise ValueError(
                "a checkpoint cannot say what run it is of: a function that is called on the host, or that makes a gradient of its own, reads "
                f"{self.unknown.value}, which nothing can look into. Let it read numbers, arrays, lists and dicts, or leave checkpoint= out"
            )
        return digest(self.computes, [x for x in jax.tree.leaves(self.function) if eqx.is_array(x)])


class Seen(NamedTuple):
    """A function as it is now, its jaxpr, how many of the jaxpr's inputs are its own, and what it returns, with shapes for arrays."""

    function: AsNow
    jaxpr: Any
    own: int
    out: Any


def seen(function: Any, *arguments: Any) -> Seen:
    """Traces a function, and tells it from what it was before by what it computes, whatever way it reads what has changed.

    Nothing is compiled, and simulations within are remembered by JAX.

    Raises:
        ValueError: for an array that JAX will not read anew, by its name.

    Example:
        >>> import jax.numpy as jnp
        >>> class Loss:
        ...     target = 0.0
        ...     def __call__(self, model, key):
        ...         return (model - self.target) ** 2
        >>> loss = Loss()
        >>> before = seen(loss, jnp.ones(()), None).function
        >>> before == seen(loss, jnp.ones(()), None).function
        True
        >>> Loss.target = 1.0
        >>> before == seen(loss, jnp.ones(()), None).function
        False
    """
    given = function.function if isinstance(function, AsNow) else function
    given = hashable(given.function if isinstance(given, Written) else given)
    bare = given.thing if isinstance(given, Itself) else given
    read = _changed(reads(bare), getattr(bare, "__func__", bare))
    with _reading(read):
        jaxpr, shapes, rest = eqx.filter_make_jaxpr(_called)(given, *arguments)
    out = eqx.combine(shapes, rest)
    kept = [Itself(x) for x in loose(jaxpr) if is_traced(x)]
    passed: set[int] = set()
    code = [one for x in loose(jaxpr) if not is_traced(x) for one in _users(x, passed)]
    found = [one for function in code for one in reads(function)]
    opaque = [one for one in found if isinstance(one.thing, Itself)]
    told = [(name, thing) for name, thing, _ in found if not isinstance(thing, Itself)]
    computes = digest(jaxpr, jax.tree.structure(out), jax.tree.leaves(rest), told)
    unknown = ", ".join(dict.fromkeys(f"{x.name or 'something'} ({type(x.thing.thing).__name__})" for x in opaque))
    things = (*kept, *(one.thing for one in opaque))
    kind = (
        Written(given) if isinstance(given, types.FunctionType) else given
    )  # only now: JAX is to trace the very function
    now = AsNow(kind, computes, things, _Aside(unknown), _Aside(read))
    return Seen(now, jaxpr, len(jax.tree.leaves(eqx.filter(given, eqx.is_array))), out)


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def hashable(function: Any) -> Any:
    """The function, as a thing of its own where it is an object that is compared by its fields."""
    alone = jax.tree_util.all_leaves([function])
    return (
        Itself(function)
        if alone and not isinstance(function, types.FunctionType | types.MethodType | Itself)
        else function
    )


def _changed(found: list[Read], alone: Any) -> str | None:
    """A digest of what was read otherwise before, by functions that JAX may remember; None where nothing was. It never remembers `alone`."""
    by: dict[types.FunctionType, list[Any]] = {}
    for name, thing, function in found:
        if function is not None and function is not alone:
            by.setdefault(function, []).append((name, id(thing.thing) if isinstance(thing, Itself) else thing))
    told = {function: digest(things) for function, things in by.items()}
    other = [now for function, now in told.items() if _FIRST.setdefault(function, now) != now]
    if other and _READ is None:  # JAX before 0.8 has no such context: it forgets all
        jax.clear_caches()
        _FIRST.update(told)
    return digest(other) if other else None


def _reading(value: str | None) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if value is None or _READ is None else _READ(value)


def _users(x: Any, passed: set[int]) -> Iterator[Any]:
    """Functions of a user's within those of JAX and Equinox that wrap them."""
    if id(x) in passed:
        return
    passed.add(id(x))
    if isinstance(x, types.FunctionType):
        if not library_function(x):
            yield x
        elif x.__code__.co_filename.startswith(_WRAPPERS):
            for inner in (*_cells(x), getattr(x, "__wrapped__", None)):
                yield from _users(inner, passed)
    elif isinstance(x, functools.partial | types.MethodType):
        parts = (
            (x.func, *x.args, *x.keywords.values()) if isinstance(x, functools.partial) else (x.__func__, x.__self__)
        )
        for inner in parts:
            yield from _users(inner, passed)
    elif isinstance(x, list | tuple):
        for inner in x:
            yield from _users(inner, passed)
    elif isinstance(x, PyTreeDef):
        for inner in (x.node_data() or ())[1:]:
            yield from _users(inner, passed)
        yield from _users(x.children(), passed)
    elif callable(x) or hasattr(x, "call_wrapped"):
        yield from _of_object(x, passed)


def _of_object(x: Any, passed: set[int]) -> Iterator[Any]:
    """Of an object that is called: itself, if a user wrote its class; otherwise what JAX and Equinox wrapped in it."""
    if isinstance(x, type | types.BuiltinFunctionType):
        return
    call = getattr(type(x), "__call__", None)  # noqa: B004  (of the class, not of the object)
    if isinstance(call, types.FunctionType) and not library_function(call):
        yield x
        return
    if type(x).__module__.startswith(("jax.", "equinox.", "jaxlib.")):
        slots = [name for kind in type(x).__mro__ for name in getattr(kind, "__slots__", ()) if name != "__weakref__"]
        for name in (*slots, *getattr(x, "__dict__", {})):
            yield from _users(getattr(x, name, None), passed)


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not assigned yet
            yield cell.cell_contents
