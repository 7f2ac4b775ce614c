"""Declares the parameters of a Module: `parameter()`, and the base class that tells what is declared."""

import dataclasses
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._types import is_traced
from .domains import AbstractDomain, Real


def as_parameter(value: Any) -> Array | None:
    """A floating-point array of the default dtype, never weakly typed (a weak type would retrace every step).

    Raises:
        TypeError: for anything that is no number or array of numbers.
    """
    if value is None:  # a parameter that this instance does not have
        return None
    try:
        value = np.asarray(value) if isinstance(value, list | tuple) else value
        dtype = jnp.result_type(str if isinstance(value, str | type) else value)  # 'f4' would be read as a dtype
    except (TypeError, ValueError) as error:
        raise TypeError(f"a parameter is a number or an array of numbers, got {value!r}") from error
    if not jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"a parameter is a real number or an array of them, got {value!r} of dtype {dtype}")
    return jnp.asarray(value, dtype=jnp.result_type(float))


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
        domain = domain.scaled_to(float(np.max(np.abs(default))))
    metadata = {"domain": domain, "unit": unit, "doc": doc}
    return eqx.field(default=default, converter=as_parameter, metadata=metadata)  # pyright: ignore[reportCallIssue]


class Parametric(eqx.Module):
    """A Module whose `repr` tells the values of its parameters, and whose docstring lists them as they are declared."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        declared = parameters(cls)
        if declared and "__doc__" in vars(cls) and cls.__doc__:
            lines = [f"    {name}: {_declared(field)}" for name, field in declared.items()]
            cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__), "", "Parameters:", *lines, ""])

    def __repr__(self):
        shown = []
        for field in dataclasses.fields(self):
            value, unit = getattr(self, field.name, None), field.metadata.get("unit", "")
            if value is None:
                continue
            text = summary(value) if eqx.is_array(value) else repr(value)
            shown.append(f"{field.name}={text}" + (f" {unit}" if unit else ""))
        return f"{type(self).__name__}({', '.join(shown)})"


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


def summary(value: Any) -> str:
    """One array in a few characters: its value, or its range and shape.

    Example:
        >>> summary(jnp.array([1.0, 2.0, 4.0]))
        '[1 … 4] (3)'
    """
    shape = "x".join(map(str, value.shape))
    if is_traced(value):
        return f"<traced {value.dtype}[{shape}]>"
    if isinstance(value, jax.ShapeDtypeStruct) or value.size == 0:
        return f"{value.dtype}[{shape}]"
    if value.ndim == 0:
        return f"{value.item():.4g}" if jnp.issubdtype(value.dtype, jnp.floating) else str(value)
    values = np.asarray(value)
    return f"[{values.min():.4g} … {values.max():.4g}] ({shape})"


def as_names(names: Any) -> Any:
    """One name or several, as a tuple; None stays None.

    Example:
        >>> as_names("S")
        ('S',)
    """
    if names is None:
        return None
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TypeError(f"expected a name or several that differ, such as 'S' or ('y1', 'y2'); got {names!r}")
    return names
