"""What a thing is, in a few letters: the same in every process, on every machine, for every hash seed."""

import dataclasses
import enum
import functools
import hashlib
import re
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ._types import is_traced

#: What an equation says beside what it computes: names of Python functions, and where the numbers lie.
_ASIDE = {
    "name",
    "debug_info",
    "donated_invars",
    "keep_unused",
    "inline",
    "in_shardings",
    "out_shardings",
    "in_layouts",
    "out_layouts",
    "ctx_mesh",
    "compiler_options_kvs",
}
#: What makes a gradient of its own, wrapped by JAX in functions that bear no name.
_RULES = {"fwd_jaxpr_thunk", "jvp_jaxpr_fun", "jvp_jaxpr_thunk", "bwd"}
#: Attributes of other objects that count.
_PLAIN = (bool, int, float, str, np.ndarray, jax.Array)


class _Loose(NamedTuple):
    """Something in a jaxpr that may change while the jaxpr stays the same, and whether it is a rule for a gradient."""

    thing: Any
    rule: bool = False


#: Of every jaxpr so far, which JAX remembers too: its digest, and what in it no digest can hold for good.
_JAXPRS: weakref.WeakKeyDictionary[Any, tuple[str, list[_Loose]]] = weakref.WeakKeyDictionary()


def digest(*what: Any) -> str:
    """Twenty letters of what these are: numbers, texts, arrays, containers, modules, jaxprs with their constants, functions.

    A function is its name alone: what it computes is in the jaxpr of whatever calls it. Where it is not, in what runs outside of XLA and in
    rules for gradients, `loose` finds the functions.

    Example:
        >>> digest(jnp.ones(2)) == digest(np.ones(2, jnp.result_type(float))) != digest(np.zeros(2))
        True
        >>> by_two, by_three = (jax.make_jaxpr(lambda x, y=y: x * y)(1.0) for y in (2, 3))
        >>> digest(by_two) == digest(by_three)
        False
    """
    return _short(_told(what, None))


def loose(jaxpr: Any) -> Iterator[Any]:
    """What in a jaxpr is no part of what it computes by itself: functions called on the host, rules for gradients, tracers.

    Example:
        >>> def host(x):
        ...     return np.sin(x)
        >>> jaxpr = jax.make_jaxpr(lambda x: jax.pure_callback(host, x, x))(jnp.ones(2))
        >>> [found.__name__ for found in loose(jaxpr)]
        ['host']
    """
    found: list[_Loose] = []
    _told(jaxpr, found)
    yield from (thing for thing, _ in found if not isinstance(thing, np.ndarray))


def _short(text: str | bytes) -> str:
    return hashlib.blake2b(text.encode() if isinstance(text, str) else text, digest_size=10).hexdigest()


def _told(x: Any, inside: list[_Loose] | None) -> str:
    """A text that two things share if they are the same. Within a jaxpr, `inside` is given what may change and is told later."""
    if is_traced(x):
        return _later(x, inside) or f"tracer:{x.aval}"
    if x is None or isinstance(x, bool | int | str | bytes | np.dtype):
        return f"{type(x).__name__}:{x!r}"
    if isinstance(x, float | complex):
        return f"number:{np.asarray(x).tobytes().hex()}"
    if isinstance(x, jax.Array | np.ndarray | np.generic):
        return (isinstance(x, np.ndarray) and _later(x, inside)) or _array(x)
    if isinstance(x, ClosedJaxpr | Jaxpr):
        return _closed(x, inside)
    if isinstance(x, jax.tree_util.PyTreeDef):
        return f"tree:{_told((x.node_data(), x.children()), inside)}" if x.node_data() else f"tree:{x}"
    if isinstance(x, Mapping):
        return f"{{{sorted((_told(k, inside), _told(v, inside)) for k, v in x.items())}}}"
    if isinstance(x, set | frozenset):
        return f"set:{sorted(_told(v, inside) for v in x)}"
    if isinstance(x, tuple | list):
        return f"({','.join(_told(v, inside) for v in x)})"
    return _object(x, inside)


def _later(x: Any, inside: list[_Loose] | None, rule: bool = False) -> str:
    """A place for what is told later; nothing where it is told at once."""
    if inside is None:
        return ""
    inside.append(_Loose(x, rule))
    return "later"


def _closed(x: Any, inside: list[_Loose] | None) -> str:
    """A jaxpr, with its constants where it has some. From JAX 0.12 on, all have, and are what they close over themselves."""
    bare = getattr(x, "jaxpr", x)
    if bare not in _JAXPRS:
        found: list[_Loose] = []
        _JAXPRS[bare] = _short(_jaxpr(bare, found)), found
    text, found = _JAXPRS[bare]
    if inside is None:
        text += "".join(_told(thing, None) for thing, rule in found if not rule)
    else:
        inside.extend(found)
    constants = [_told(c, inside) for c in getattr(x, "consts", ())]
    return f"jaxpr:{text}" + (f" of {constants}" if constants else "")


def _array(x: Any) -> str:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return f"key:{x.dtype}:{_array(jax.random.key_data(x))}"
    values = np.asarray(x)
    shown = _told(values.tolist(), None) if values.dtype == object else _short(np.ascontiguousarray(values).tobytes())
    return f"array:{values.dtype.name}{values.shape}:{shown}"


def _object(x: Any, inside: list[_Loose] | None) -> str:
    kind = f"{type(x).__module__}.{type(x).__qualname__}"
    if isinstance(x, functools.partial):
        return f"partial:{_told((x.func, x.args, x.keywords), inside)}"
    if isinstance(x, enum.Enum):
        return f"{kind}.{x.name}"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = {f.name: getattr(x, f.name, None) for f in dataclasses.fields(x)}
        return f"{kind}{_told(fields, inside)}"
    if callable(x) or hasattr(x, "call_wrapped"):
        if not (isinstance(x, type) and x.__module__ == "builtins"):  # a tuple in a tree
            _later(x, inside)
        return f"{getattr(x, '__module__', '')}.{getattr(x, '__qualname__', kind)}"
    public = {
        name: value for name, value in getattr(x, "__dict__", {}).items() if name[0] != "_"
    }  # others may be hashes
    plain = {name: value for name, value in public.items() if isinstance(value, _PLAIN)}
    return f"{kind}:{re.sub('0x[0-9a-f]+', '', repr(x))}{_told(plain, inside)}"  # no addresses


def _jaxpr(jaxpr: Any, inside: list[_Loose] | None) -> str:
    """Its equations, with variables numbered in the order in which they come."""
    numbers: dict[Any, int] = {}

    def shown(v: Any) -> str:
        aval = f"{getattr(v.aval, 'dtype', v.aval)}{getattr(v.aval, 'shape', '')}{getattr(v.aval, 'weak_type', '')}"
        if isinstance(v, Literal):
            return f"{_told(v.val, inside)}:{aval}"
        return f"{numbers.setdefault(v, len(numbers))}:{aval}"

    lines = [f"{list(map(shown, getattr(jaxpr, 'constvars', ())))} {list(map(shown, jaxpr.invars))}"]
    for equation in jaxpr.eqns:
        # what is only told something, such as a log that grows, changes nothing
        aside = _ASIDE | _RULES | (set() if equation.outvars else {"callback"})
        params = {name: x for name, x in equation.params.items() if name not in aside}
        for name in sorted(_RULES & set(equation.params)):
            _later(equation.params[name], inside, rule=True)
        inputs, outputs = map(shown, equation.invars), map(shown, equation.outvars)
        lines.append(f"{list(outputs)} = {equation.primitive.name} {list(inputs)} {_told(params, inside)}")
    return "\n".join([*lines, f"{list(map(shown, jaxpr.outvars))}"])
