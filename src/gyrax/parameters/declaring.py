"""Declares the parameters of a Module: `parameter()`, and the base class that tells what is declared."""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._kinds import number, shown
from .._types import has_shape, is_known, is_traced, owned
from .domains import AbstractDomain, Real


def as_parameter(value: Any) -> Array | None:
    """A floating-point array of the default dtype, never weakly typed (a weak type would retrace every step).

    Raises:
        TypeError: for anything that is no number or array of numbers.
    """
    if value is None:  # a parameter that this instance does not have
        return None
    return owned(_real(value), jnp.result_type(float))


def _real(value: Any) -> Any:
    """The value, if it is a real number or an array of them; lists as arrays of NumPy. No array of JAX's is made, and no device asked for."""
    refuse_names(value)
    try:
        value = np.asarray(value) if isinstance(value, list | tuple) else value
        dtype = jnp.result_type(
            str if isinstance(value, str | type | Mapping) else value
        )  # 'f4' would be read as a dtype
    except (TypeError, ValueError) as error:
        raise TypeError(f"a parameter is a number or an array of numbers, got {shown(value)}") from error
    if not jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"a parameter is a real number or an array of them, got {shown(value)} of dtype {dtype}")
    return value


def refuse_names(value: Any, what: str = "a parameter") -> None:
    """Refuses what has the names of regions: a model knows none, and would take its values in whatever order they are."""
    if hasattr(value, "for_regions"):
        names, line = value.labels, "values.for_regions(connectome.labels).values"
    elif hasattr(value, "iloc"):
        both = ".loc[order, order]" if value.ndim == 2 and list(value.index) == list(value.columns) else ".loc[order]"
        names, line = value.index, f"values{both}.to_numpy() with order = list(connectome.labels)"
        if not any(isinstance(name, str) for name in names) and value.ndim == 2:
            names, line = value.columns, "values[list(connectome.labels)].to_numpy()"
    elif hasattr(value, "dims") and hasattr(value, "coords") and value.dims:
        names, line = value.coords.get(value.dims[-1], ()), "values.sel(region=list(connectome.labels)).values"
    else:
        return
    names = [name for name in np.asarray(names).tolist() if isinstance(name, str)]
    if names:
        raise TypeError(
            f"{what} has no names, and these values have: {', '.join(names[:3])}{', ...' * (len(names) > 3)}. Put them in the "
            f"order of the connectome and give plain numbers: {line}"
        )


def parameter(
    default: Any = dataclasses.MISSING, *, domain: AbstractDomain | None = None, unit: str = "", doc: str = ""
) -> Any:
    """Declares a parameter of a Module: a plain array leaf that knows its domain, unit and meaning.

    Args:
        default: one number; left out, the parameter must be given.
        domain: where its values may lie, `Real()` if left out. A domain without a scale takes the default's magnitude.
        unit: as in the paper, for people.
        doc: what it means, in a few words.

    Example:
        >>> import gyrax as gx
        >>> class Decay(eqx.Module):
        ...     tau: Array = parameter(10.0, domain=gx.Positive(), unit="ms", doc="time constant")
        >>> Decay(tau=20).tau.dtype == jnp.result_type(float)
        True
    """
    domain = Real() if domain is None else domain
    if not isinstance(domain, AbstractDomain):
        raise TypeError(f"domain= takes a domain such as Positive() or Interval(0, 1), got {domain!r}")
    if default is not dataclasses.MISSING and default is not None:
        if not np.size(_Named(_real, "default")(default)):
            raise TypeError(f"default: a parameter is a number or an array of numbers, got {default!r}")
        domain = domain.scaled_to(float(np.max(np.abs(default))))
    metadata = {"domain": domain, "unit": unit, "doc": doc}
    convert = _Named(as_parameter)
    convert.field = eqx.field(default=default, converter=convert, metadata=metadata)  # pyright: ignore[reportCallIssue]
    return convert.field


class _Named:
    """A converter whose complaint begins with the argument's name, or with that which a class gives its field later."""

    def __init__(self, convert: Callable[[Any], Any], argument: str = ""):
        self.convert, self.argument, self.field = convert, argument, None

    def __call__(self, value: Any) -> Any:
        try:
            if value is None and not self._optional():
                raise TypeError("a parameter is a number or an array of numbers, got None")
            return self.convert(value)
        except TypeError as error:
            name = self.argument if self.field is None else self.field.name
            raise TypeError(f"{name}: {error}") from error

    def _optional(self) -> bool:
        """Whether the field may be None: by its default, or by what it is annotated as."""
        return self.field is None or self.field.default is None or "None" in str(self.field.type)


class _Called(type(eqx.Module)):
    """Builds instances; of an argument that there is not, it says which one was meant."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except TypeError:
            taken = inspect.signature(cls).parameters
            known, unknown = list(taken), [name for name in kwargs if name not in taken]
            if not unknown or any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken.values()):
                raise
            by_lower = {name.lower(): name for name in known}
            near = difflib.get_close_matches(unknown[0].lower(), by_lower, n=1)
            hint = f"did you mean {by_lower[near[0]]}=? " if near else ""
            raise TypeError(f"{cls.__name__} has no argument {unknown[0]}=; {hint}it has {', '.join(known)}") from None


class Parametric(eqx.Module, metaclass=_Called):
    """A Module whose `repr` tells the values of its parameters, and whose docstring lists them as they are declared.

    Raises:
        ValueError: for a parameter outside its domain; the domain's edges are allowed, as a coupling of strength 0.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        declared = parameters(cls)
        if declared and "__doc__" in vars(cls) and cls.__doc__:
            lines = [f"    {name}: {_declared(field)}" for name, field in declared.items()]
            cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__), "", "Parameters:", *lines, ""])

    def __check_init__(self):
        check_domains(self, "admits")

    def __repr__(self):
        shown = []
        for field in dataclasses.fields(self):
            if not field.repr:
                continue
            value, unit = getattr(self, field.name, None), field.metadata.get("unit", "")
            if value is None:
                continue
            text = summary(value) if eqx.is_array(value) else _foreign(value) or repr(value)
            shown.append(f"{field.name}={text}" + (f" {unit}" if unit else ""))
        return f"{type(self).__name__}({', '.join(shown)})"


def _foreign(value: Any) -> str:
    """A Module that is not gyrax's, such as a neural network, in a few words; nothing for anything else."""
    if not isinstance(value, eqx.Module) or type(value).__repr__ is not eqx.Module.__repr__:
        return ""
    count = sum(leaf.size for leaf in jax.tree.leaves(value) if has_shape(leaf))
    return f"{type(value).__name__}({count} numbers)"


def check_domains(module: Any, how: Literal["contains", "admits"]) -> None:
    """Refuses concrete parameters that their declared domain does not contain, or not even admit.

    Raises:
        ValueError: naming the class, the parameter, its value, unit and domain.

    Example:
        >>> import gyrax as gx
        >>> gx.models.WongWang(tau_S=-100.0)
        Traceback (most recent call last):
        ValueError: WongWang.tau_S is -100 ms, outside its domain: > 0
    """
    for field in dataclasses.fields(module):
        value, domain = getattr(module, field.name, None), field.metadata.get("domain")
        if domain is None or not isinstance(value, jax.Array) or is_traced(value):
            continue
        known = np.asarray(value)
        if known.ndim == 0 and isinstance(field.default, float | int) and known == known.dtype.type(field.default):
            continue
        with jax.ensure_compile_time_eval():
            outside = ~np.asarray(getattr(domain, how)(value))
        if outside.any():
            at = [int(i) for i in np.argwhere(outside)[0]]
            where = f"{type(module).__name__}.{field.name}{at if at else ''}"
            given = f"{known[tuple(at)]:g} {field.metadata['unit']}".strip()
            raise ValueError(f"{where} is {given}, outside its domain: {domain}")


def parameters(cls: type) -> dict[str, Any]:
    """The dataclass fields of a class that were declared by `parameter`, by name, its parents' first.

    Example:
        >>> import gyrax as gx
        >>> class Decay(Parametric):
        ...     tau: Array = parameter(10.0, domain=gx.Positive(), unit="ms", doc="time constant")
        >>> parameters(Decay)["tau"].metadata["unit"]
        'ms'
    """
    found: dict[str, Any] = {}
    for kind in reversed(cls.__mro__):
        fields = vars(kind).get("__dataclass_fields__") or vars(kind)
        found |= {name: f for name, f in fields.items() if isinstance(f, dataclasses.Field) and "domain" in f.metadata}
    return found


def _declared(field: Any) -> str:
    """Default, unit, domain and meaning in a line."""
    about = field.metadata
    value = f"{field.default:.4g} {about['unit']}".strip() if isinstance(field.default, float | int) else about["unit"]
    return "; ".join(part for part in (value, str(about["domain"]), about["doc"]) if part)


def time_constants(module: Any) -> list[tuple[str, float]]:
    """Names and values in ms of the known time constants of a model and of those within it, the shortest of each parameter.

    They are the parameters in ms, or in 1/ms for rates, whose meaning says that they are constants or a decay.

    Example:
        >>> import gyrax as gx
        >>> [(name, round(ms, 3)) for name, ms in time_constants(gx.models.JansenRit())]
        [('a', 10.0), ('b', 20.0)]
    """
    found = []
    for name, unit in _constants(type(module)):
        value = getattr(module, name)
        if is_known(value) and value.size and (sizes := np.abs(np.asarray(value, float))).all():
            found.append((name, float(sizes.min() if unit == "ms" else 1 / sizes.max())))
    for part in vars(module).values():
        for inner in part.values() if isinstance(part, dict) else (part,):
            found += time_constants(inner) if isinstance(inner, Parametric) else []
    return found


@functools.cache
def _constants(kind: type) -> tuple[tuple[str, str], ...]:
    """Names and units of the time constants that a class declares."""
    every = {
        name: field.metadata for name, field in parameters(kind).items() if field.metadata["unit"] in ("ms", "1/ms")
    }
    said = ("constant", "decay")
    return tuple((name, about["unit"]) for name, about in every.items() if any(word in about["doc"] for word in said))


def summary(value: Any) -> str:
    """One array in a few characters: its value, or its range and shape.

    Example:
        >>> summary(jnp.array([1.0, 2.0, 4.0]))
        '[1 … 4] (3)'
    """
    if not has_shape(value):  # in a filter or a spec
        return repr(value)
    shape = "x".join(map(str, value.shape))
    if is_traced(value):
        return f"<traced {value.dtype}[{shape}]>"
    if not is_known(value) or value.size == 0:
        return f"{value.dtype}[{shape}]"
    if value.ndim == 0:
        return f"{value.item():.4g}" if jnp.issubdtype(value.dtype, jnp.floating) else str(value)
    values = np.asarray(value)
    return f"[{values.min():.4g} … {values.max():.4g}] ({shape})"


def as_names(names: Any) -> Any:
    """One name or several, as a tuple; None stays None.

    Raises:
        TypeError: for anything else, and for names that are given twice.

    Example:
        >>> as_names("S")
        ('S',)
    """
    if names is None:
        return None
    found = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Sequence | np.ndarray) else ()
    if not found or not all(isinstance(name, str) and name for name in found) or len(set(found)) < len(found):
        raise TypeError(f"expected a name or several that differ, such as 'S' or ('y1', 'y2'); got {shown(names)}")
    return found


def names_of(argument: str) -> Callable[[Any], Any]:
    """`as_names` for the field of an argument, whose name an error then says.

    Example:
        >>> names_of("source")(("x", "x"))
        Traceback (most recent call last):
        TypeError: source: expected a name or several that differ, such as 'S' or ('y1', 'y2'); got ('x', 'x')
    """
    return _Named(as_names, argument)


def name_of(argument: str) -> Callable[[Any], Any]:
    """The same where there must be one."""
    return _Named(lambda names: as_names(() if names is None else names), argument)


def array_of(argument: str) -> Callable[[Any], Any]:
    """The same of `as_parameter`, for arrays that no domain was declared of."""
    return _Named(as_parameter, argument)


def number_of(argument: str, unit: str = "ms") -> Callable[[Any], Any]:
    """A converter for the static field of an argument that is one plain number; None stays None."""

    def convert(value: Any) -> Any:
        return None if value is None else number(argument, value, unit=unit)

    return convert
