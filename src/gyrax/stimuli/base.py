"""What every waveform is: a value at each time, and sums and products of waveforms."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._pairs import at, takes_pairs, times
from .._pictures import draw
from .._types import Parameter
from ..parameters.declaring import Parametric, check_domains, parameter
from ..parameters.domains import Real


class AbstractWaveform(Parametric):
    """A value at each time. Waveforms and numbers add and multiply with `+` and `*`; their parameters stay trainable.

    Parameters may be one value, or one a region: then each region has its own time course.

    Raises:
        ValueError: for a parameter outside its domain, such as a negative duration.

    Example:
        >>> class Step(AbstractWaveform):
        ...     onset: Array = parameter(10.0, unit="ms")
        ...     def __call__(self, t):
        ...         return jnp.where(t < self.onset, 0.0, 1.0)
        >>> float((2 * Step() + 0.5)(12.0))
        2.5
    """

    __array_ufunc__ = None  # numpy's own * would make an array of objects

    def __check_init__(self):
        check_domains(self, "contains")  # a pulse without duration would divide by it

    @abc.abstractmethod
    def __call__(self, t: Any) -> Float[Array, "..."]:
        """Value at the time t in ms: one, or one a region `(node,)`."""

    def __add__(self, other: Any) -> "Sum":
        return _joined(Sum, self, other)

    def __radd__(self, other: Any) -> "Sum":
        return _joined(Sum, other, self)

    def __mul__(self, other: Any) -> "Product":
        return _joined(Product, self, other)

    def __rmul__(self, other: Any) -> "Product":
        return _joined(Product, other, self)

    def sample(self, duration: float, dt: float) -> xr.DataArray:
        """Values from 0 to `duration` ms, every `dt` ms: `(time,)`, or `(time, region)` if regions differ.

        Example:
            >>> Constant(2.0).sample(duration=1.0, dt=0.5).values.tolist()
            [2.0, 2.0, 2.0]
        """
        ms = grid(duration, dt)
        values = np.asarray(jax.vmap(lambda t: jnp.asarray(at(self, t)))(times(ms)))
        return xr.DataArray(values, {"time": ms}, ["time", "region"][: values.ndim], name=type(self).__name__)

    def plot(self, duration: float, dt: float | None = None, *, ax: Any = None) -> Any:
        """Draws the waveform, see `gyrax.plot.waveform`."""
        return draw("stimuli.waveform", self, duration, dt, ax=ax)


def grid(duration: float, dt: float) -> np.ndarray:
    """Times from 0 to `duration`, every `dt`."""
    if not (np.isfinite(duration) and np.isfinite(dt) and 0 < dt <= duration):
        raise ValueError(f"expected 0 < dt <= duration, both in ms; got duration={duration} and dt={dt}")
    return dt * np.arange(int(duration / dt + 1e-6) + 1)


def as_waveform(value: Any) -> AbstractWaveform | None:
    """A waveform as it is, a number as a constant one, None for anything else."""
    if isinstance(value, AbstractWaveform):
        return value
    real = isinstance(value, int | float | np.ndarray | np.number | jax.Array) and not isinstance(value, bool)
    if real and np.dtype(getattr(value, "dtype", float)).kind in "iuf":
        return Constant(value)
    return None


def _joined(kind: Any, one: Any, other: Any) -> Any:
    """The sum or product of two, without brackets in brackets."""
    parts: list[AbstractWaveform] = []
    for operand in map(as_waveform, (one, other)):
        if operand is None:
            return NotImplemented
        parts += operand.parts if isinstance(operand, Sum | Product) and type(operand) is kind else [operand]
    return kind(tuple(parts))


class Constant(AbstractWaveform):
    """The same at all times.

    Example:
        >>> float(Constant(0.3)(20.0)) == float(jnp.asarray(0.3))
        True
    """

    value: Parameter = parameter(1.0, domain=Real(), doc="value at all times")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        return self.value


class Sum(AbstractWaveform):
    """Waveforms added: what `+` makes.

    Attributes:
        parts: the waveforms.

    Example:
        >>> Constant(1.0) + 2
        Sum(parts=(Constant(value=1), Constant(value=2)))
    """

    parts: tuple[AbstractWaveform, ...]

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        first, *rest = (at(part, t) for part in self.parts)
        for value in rest:
            first = first + value
        return first


class Product(AbstractWaveform):
    """Waveforms multiplied: what `*` makes.

    Attributes:
        parts: the waveforms.

    Example:
        >>> float((Constant(3.0) * 2)(0.0))
        6.0
    """

    parts: tuple[AbstractWaveform, ...]

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        first, *rest = (at(part, t) for part in self.parts)
        for value in rest:
            first = first * value
        return first
