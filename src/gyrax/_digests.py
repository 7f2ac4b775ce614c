"""What a thing is, in a few letters: the same in every process, on every machine, for every hash seed."""

import dataclasses
import enum
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

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
    "fwd_jaxpr_thunk",
    "jvp_jaxpr_fun",
    "jvp_jaxpr_thunk",
}
#: Attributes of other objects that count.
_PLAIN = (bool, int, float, str, np.ndarray, jax.Array)


def digest(*what: Any) -> str:
    """Twenty letters of what these are: numbers, texts, arrays, containers, modules, jaxprs with their constants, functions.

    A function is its name alone: what it computes is in the jaxpr of whatever calls it. So of a function with a gradient of
    its own (`jax.custom_vjp`) the value counts, and the name of what makes the gradient.

    Example:
        >>> digest(jnp.ones(2)) == digest(np.ones(2, jnp.result_type(float))) != digest(np.zeros(2))
        True
        >>> by_two, by_three = (jax.make_jaxpr(lambda x, y=y: x * y)(1.0) for y in (2, 3))
        >>> digest(by_two) == digest(by_three)
        False
    """
    return _short(_told(what, {}))


def _short(text: str | bytes) -> str:
    return hashlib.blake2b(text.encode() if isinstance(text, str) else text, digest_size=10).hexdigest()


def _told(x: Any, known: dict[int, tuple[Any, str]]) -> str:
    """A text that two things share if they are the same. `known` has the jaxprs so far, for they share parts."""
    if x is None or isinstance(x, bool | int | str | bytes | np.dtype):
        return f"{type(x).__name__}:{x!r}"
    if isinstance(x, float | complex):
        return f"number:{np.asarray(x).tobytes().hex()}"
    if isinstance(x, jax.Array | np.ndarray | np.generic):
        return _array(x)
    if isinstance(x, ClosedJaxpr | Jaxpr):
        return _closed(x, known)
    if isinstance(x, jax.tree_util.PyTreeDef):
        return f"tree:{_told((x.node_data(), x.children()), known)}" if x.node_data() else f"tree:{x}"
    if isinstance(x, Mapping):
        return f"{{{sorted((_told(k, known), _told(v, known)) for k, v in x.items())}}}"
    if isinstance(x, set | frozenset):
        return f"set:{sorted(_told(v, known) for v in x)}"
    if isinstance(x, tuple | list):
        return f"({','.join(_told(v, known) for v in x)})"
    return _object(x, known)


def _closed(x: Any, known: dict[int, tuple[Any, str]]) -> str:
    """A jaxpr, with its constants where it has some. From JAX 0.12 on, all have, and are what they close over themselves."""
    bare = getattr(x, "jaxpr", x)
    if id(bare) not in known:
        known[id(bare)] = bare, _short(_jaxpr(bare, known))
    constants = [_told(c, known) for c in getattr(x, "consts", ())]
    return f"jaxpr:{known[id(bare)][1]}" + (f" of {constants}" if constants else "")


def _array(x: Any) -> str:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return f"key:{x.dtype}:{_array(jax.random.key_data(x))}"
    values = np.asarray(x)
    shown = _told(values.tolist(), {}) if values.dtype == object else _short(np.ascontiguousarray(values).tobytes())
    return f"array:{values.dtype.name}{values.shape}:{shown}"


def _object(x: Any, known: dict[int, tuple[Any, str]]) -> str:
    kind = f"{type(x).__module__}.{type(x).__qualname__}"
    if isinstance(x, functools.partial):
        return f"partial:{_told((x.func, x.args, x.keywords), known)}"
    if isinstance(x, enum.Enum):
        return f"{kind}.{x.name}"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = {f.name: getattr(x, f.name, None) for f in dataclasses.fields(x)}
        return f"{kind}{_told(fields, known)}"
    if callable(x) or hasattr(x, "call_wrapped"):
        return f"{getattr(x, '__module__', '')}.{getattr(x, '__qualname__', kind)}"
    public = {
        name: value for name, value in getattr(x, "__dict__", {}).items() if name[0] != "_"
    }  # others may be hashes
    plain = {name: value for name, value in public.items() if isinstance(value, _PLAIN)}
    return f"{kind}:{re.sub('0x[0-9a-f]+', '', repr(x))}{_told(plain, known)}"  # no addresses


def _jaxpr(jaxpr: Any, known: dict[int, tuple[Any, str]]) -> str:
    """Its equations, with variables numbered in the order in which they come."""
    numbers: dict[Any, int] = {}

    def shown(v: Any) -> str:
        aval = f"{getattr(v.aval, 'dtype', v.aval)}{getattr(v.aval, 'shape', '')}{getattr(v.aval, 'weak_type', '')}"
        if isinstance(v, Literal):
            return f"{_told(v.val, known)}:{aval}"
        return f"{numbers.setdefault(v, len(numbers))}:{aval}"

    lines = [f"{list(map(shown, getattr(jaxpr, 'constvars', ())))} {list(map(shown, jaxpr.invars))}"]
    for equation in jaxpr.eqns:
        params = {name: value for name, value in equation.params.items() if name not in _ASIDE}
        inputs, outputs = map(shown, equation.invars), map(shown, equation.outvars)
        lines.append(f"{list(outputs)} = {equation.primitive.name} {list(inputs)} {_told(params, known)}")
    return "\n".join([*lines, f"{list(map(shown, jaxpr.outvars))}"])
