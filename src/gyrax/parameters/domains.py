"""Where a parameter may live: bijections between a domain and the real line.

An optimiser moves freely on the real line; `from_real` brings every point of it inside the domain. `scale` is the size
of a typical change: a step of 1 on the real line moves the value by about `scale`, so that one learning rate suits
parameters of different size.
"""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._kinds import number


@dataclasses.dataclass(frozen=True)
class AbstractDomain(abc.ABC):
    """A subset of the reals with a smooth, increasing bijection to all of them."""

    @abc.abstractmethod
    def contains(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        """True where `value` lies strictly inside."""

    def admits(self, value: Float[Array, "..."]) -> Bool[Array, "..."]:
        """True where `value` may stand in a model: inside, or on an edge, from where no fit could start."""
        return self.contains(value)

    @abc.abstractmethod
    def to_real(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Unconstrained coordinate of `value`."""

    @abc.abstractmethod
    def from_real(self, real: Float[Array, "..."]) -> Float[Array, "..."]:
        """Value at an unconstrained coordinate; never on the edge, whatever the dtype."""

    @abc.abstractmethod
    def log_slope(self, real: Float[Array, "..."]) -> Float[Array, "..."]:
        """Logarithm of the slope of `from_real`, which densities need that move between the two.

        It stays finite where the slope itself is too small for a float.
        """

    def scaled_to(self, magnitude: float) -> "AbstractDomain":
        """The same domain with `scale` taken from a typical magnitude, where none was given."""
        if getattr(self, "scale", None) is not None or not magnitude > 0:
            return self
        return dataclasses.replace(self, scale=float(magnitude))

    def __str__(self):
        return repr(self)


def _plain(domain: AbstractDomain, *names: str) -> None:
    """Makes numbers of NumPy's and JAX's plain ones: a domain is static, and compared by value."""
    for name in names:
        value = getattr(domain, name)
        object.__setattr__(domain, name, None if value is None and name == "scale" else number(name, value))
    scale: Any = domain.scale  # pyright: ignore[reportAttributeAccessIssue]
    if scale is not None and not 0 < scale < math.inf:
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
        _plain(self, "scale")

    def __str__(self):
        return "real"

    def contains(self, value):
        return jnp.isfinite(value)

    def to_real(self, value):
        return value / (self.scale or 1.0)

    def from_real(self, real):
        return real * (self.scale or 1.0)

    def log_slope(self, real):
        return jnp.full_like(real, math.log(self.scale or 1.0))


class _AbstractHalfLine(AbstractDomain):
    """Numbers greater than `lower`."""

    lower: float
    scale: float | None

    def contains(self, value):
        return jnp.isfinite(value) & (value > self.lower)

    def admits(self, value):
        return jnp.isfinite(value) & (value >= self.lower)

    def to_real(self, value):
        ratio = (value - self.lower) / (self.scale or 1.0)
        ratio = jnp.maximum(ratio, np.finfo(ratio.dtype).tiny)  # what is flushed to zero would be -inf
        return ratio + jnp.log(-jnp.expm1(-ratio))

    def from_real(self, real):
        value = self.lower + (self.scale or 1.0) * jax.nn.softplus(real)
        return jnp.maximum(value, _next(self.lower, value.dtype, up=True))

    def log_slope(self, real):
        return math.log(self.scale or 1.0) + jax.nn.log_sigmoid(real)

    def __str__(self):
        return f"> {self.lower:g}"


@dataclasses.dataclass(frozen=True)
class Above(_AbstractHalfLine):
    """Numbers greater than `lower`: `value = lower + scale * softplus(real)`.

    Example:
        >>> bool(Above(2.0).contains(jnp.array(2.0)))
        False
    """

    lower: float = 0.0
    scale: float | None = None

    def __post_init__(self):
        _plain(self, "lower", "scale")
        if not math.isfinite(self.lower):
            raise ValueError(f"the lower end of Above must be finite, got {self.lower}; use Real()")


@dataclasses.dataclass(frozen=True)
class Positive(_AbstractHalfLine):
    """Numbers greater than zero: `value = scale * softplus(real)`.

    Example:
        >>> domain = Positive(scale=0.5)
        >>> round(float(domain.from_real(domain.to_real(jnp.array(0.25)))), 6)
        0.25
    """

    lower: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]
    scale: float | None = None

    def __post_init__(self):
        _plain(self, "scale")


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
        _plain(self, "upper", "scale")
        if not math.isfinite(self.upper):
            raise ValueError(f"the upper end of Below must be finite, got {self.upper}; use Real()")

    def __str__(self):
        return f"< {self.upper:g}"

    def contains(self, value):
        return jnp.isfinite(value) & (value < self.upper)

    def admits(self, value):
        return jnp.isfinite(value) & (value <= self.upper)

    def to_real(self, value):
        return -Above(-self.upper, self.scale).to_real(-value)

    def from_real(self, real):
        return -Above(-self.upper, self.scale).from_real(-real)

    def log_slope(self, real):
        return Above(-self.upper, self.scale).log_slope(-real)


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
        _plain(self, "lower", "upper", "scale")
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise ValueError(f"Interval needs finite ends with lower < upper, got ({self.lower}, {self.upper})")

    def __str__(self):
        return f"{self.lower:g} to {self.upper:g}"

    @property
    def _slope(self) -> float:
        width = self.upper - self.lower
        return 1.0 if self.scale is None else min(4 * self.scale / width, 1.0)

    def contains(self, value):
        return (value > self.lower) & (value < self.upper)

    def admits(self, value):
        return (value >= self.lower) & (value <= self.upper)

    def to_real(self, value):
        return (jnp.log(value - self.lower) - jnp.log(self.upper - value)) / self._slope

    def from_real(self, real):
        # From the nearer end, so that neither loses digits.
        width, real = self.upper - self.lower, real * self._slope
        near = width * jax.nn.sigmoid(-jnp.abs(real))
        value = jnp.where(real < 0, self.lower + near, self.upper - near)
        ends = _next(self.lower, value.dtype, up=True), _next(self.upper, value.dtype, up=False)
        return jnp.clip(value, *ends)

    def log_slope(self, real):
        real = real * self._slope
        height = math.log((self.upper - self.lower) * self._slope)
        return height + jax.nn.log_sigmoid(real) + jax.nn.log_sigmoid(-real)


def _next(end: float, dtype: Any, *, up: bool) -> np.floating[Any]:
    """The representable number after `end`; XLA flushes subnormals to zero, so beside zero it is the smallest normal."""
    sign = 1 if up else -1
    tiny = sign * np.finfo(dtype).tiny
    return tiny if end == 0 else np.nextafter(np.dtype(dtype).type(end), np.dtype(dtype).type(sign * np.inf))
