"""Where a parameter may live: bijections between a domain and the real line, and `parameter()` that declares one.

An optimiser moves freely on the real line; `from_real` brings every point of it inside the domain. `scale` is the size
of a typical change: a step of 1 on the real line moves the value by about `scale`, so that one learning rate suits
parameters of different size.
"""

import dataclasses
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._types import is_traced


@dataclasses.dataclass(frozen=True)
class AbstractDomain:
    """A subset of the reals with a smooth, increasing bijection to all of them.

    Subclasses define `contains`, `to_real`, `from_real` and `size`.
    """

    def contains(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        """True where `value` lies strictly inside."""
        raise NotImplementedError

    def __str__(self):
        return repr(self)

    def to_real(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Unconstrained coordinate of `value`."""
        raise NotImplementedError

    def from_real(self, real: Float[Array, "..."]) -> Float[Array, "..."]:
        """Value at an unconstrained coordinate; never on the edge, whatever the dtype."""
        raise NotImplementedError

    def scaled_to(self, magnitude: float) -> "AbstractDomain":
        """The same domain with `scale` taken from a typical magnitude, where none was given."""
        if getattr(self, "scale", None) is not None or not magnitude > 0:
            return self
        return dataclasses.replace(self, scale=float(magnitude))


def _check_scale(scale: float | None) -> None:
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"a domain's scale is a positive number, the size of a typical change; got {scale}")


@dataclasses.dataclass(frozen=True)
class Real(AbstractDomain):
    """All real numbers: `value = scale * real`.

    Example:
        >>> float(Real(scale=10.0).from_real(jnp.array(0.5)))
        5.0
    """

    scale: float | None = None

    def __post_init__(self):
        _check_scale(self.scale)

    def __str__(self):
        return "real"

    def contains(self, value):
        return jnp.isfinite(value)

    def to_real(self, value):
        return value / (self.scale or 1.0)

    def from_real(self, real):
        return real * (self.scale or 1.0)


@dataclasses.dataclass(frozen=True)
class Above(AbstractDomain):
    """Numbers greater than `lower`: `value = lower + scale * softplus(real)`.

    Example:
        >>> bool(Above(2.0).contains(jnp.array(2.0)))
        False
    """

    lower: float = 0.0
    scale: float | None = None

    def __post_init__(self):
        _check_scale(self.scale)
        if not np.isfinite(self.lower):
            raise ValueError(f"the lower end of {type(self).__name__} must be finite, got {self.lower}; use Real()")

    def __str__(self):
        return f"> {self.lower:g}"

    def contains(self, value):
        return jnp.isfinite(value) & (value > self.lower)

    def to_real(self, value):
        ratio = (value - self.lower) / (self.scale or 1.0)
        ratio = jnp.maximum(ratio, np.finfo(ratio.dtype).tiny)  # what is flushed to zero would be -inf
        return ratio + jnp.log(-jnp.expm1(-ratio))

    def from_real(self, real):
        value = self.lower + (self.scale or 1.0) * jax.nn.softplus(real)
        return jnp.maximum(value, _next(self.lower, value.dtype, up=True))


@dataclasses.dataclass(frozen=True)
class Positive(Above):
    """Numbers greater than zero: `value = scale * softplus(real)`.

    Example:
        >>> domain = Positive(scale=0.5)
        >>> round(float(domain.from_real(domain.to_real(jnp.array(0.25)))), 6)
        0.25
    """

    lower: float = dataclasses.field(default=0.0, init=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Below(AbstractDomain):
    """Numbers less than `upper`: `value = upper - scale * softplus(-real)`.

    Example:
        >>> bool(Below(0.0).contains(jnp.array(-1.0)))
        True
    """

    upper: float = 0.0
    scale: float | None = None

    def __post_init__(self):
        _check_scale(self.scale)
        if not np.isfinite(self.upper):
            raise ValueError(f"the upper end of Below must be finite, got {self.upper}; use Real()")

    def __str__(self):
        return f"< {self.upper:g}"

    def contains(self, value):
        return jnp.isfinite(value) & (value < self.upper)

    def to_real(self, value):
        return -Above(-self.upper, self.scale).to_real(-value)

    def from_real(self, real):
        return -Above(-self.upper, self.scale).from_real(-real)


@dataclasses.dataclass(frozen=True)
class Interval(AbstractDomain):
    """Numbers between two ends: a logistic curve whose slope in the middle is `scale` (a quarter of the width at most).

    Example:
        >>> round(float(Interval(0.0, 2.0).from_real(jnp.array(0.0))), 6)
        1.0
    """

    lower: float
    upper: float
    scale: float | None = None

    def __post_init__(self):
        _check_scale(self.scale)
        if not (np.isfinite(self.lower) and np.isfinite(self.upper) and self.lower < self.upper):
            raise ValueError(f"Interval needs finite ends with lower < upper, got ({self.lower}, {self.upper})")

    def __str__(self):
        return f"{self.lower:g} to {self.upper:g}"

    @property
    def _slope(self) -> float:
        width = self.upper - self.lower
        return 1.0 if self.scale is None else min(4 * self.scale / width, 1.0)

    def contains(self, value):
        return (value > self.lower) & (value < self.upper)

    def to_real(self, value):
        return (jnp.log(value - self.lower) - jnp.log(self.upper - value)) / self._slope

    def from_real(self, real):
        # From the nearer end, so that neither loses digits.
        width, real = self.upper - self.lower, real * self._slope
        near = width * jax.nn.sigmoid(-jnp.abs(real))
        value = jnp.where(real < 0, self.lower + near, self.upper - near)
        ends = _next(self.lower, value.dtype, up=True), _next(self.upper, value.dtype, up=False)
        return jnp.clip(value, *ends)


def _next(end: float, dtype: Any, *, up: bool) -> np.floating[Any]:
    """The representable number after `end`; XLA flushes subnormals to zero, so beside zero it is the smallest normal."""
    sign = 1 if up else -1
    tiny = sign * np.finfo(dtype).tiny
    return tiny if end == 0 else np.nextafter(np.dtype(dtype).type(end), np.dtype(dtype).type(sign * np.inf))


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
        >>> class Decay(eqx.Module):
        ...     tau: Array = parameter(10.0, domain=Positive(), unit="ms", doc="time constant")
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
        >>> class Decay(Parametric):
        ...     tau: Array = parameter(10.0, domain=Positive(), unit="ms", doc="time constant")
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
