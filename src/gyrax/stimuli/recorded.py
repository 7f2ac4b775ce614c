"""Waveforms that were measured."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import choice
from .._pairs import clip, floor, index, single, takes_pairs
from .._types import Parameter, is_traced
from ..parameters.declaring import parameter
from ..parameters.domains import Positive, Real
from .base import AbstractWaveform


class Recorded(AbstractWaveform):
    """Samples, with straight lines between them.

    Attributes:
        values: `(time,)`, or `(time, node)` for each region its own; two samples or more.
        outside: before the first sample and after the last, "hold" keeps these, "zero" gives 0.

    Raises:
        ValueError: for values that are not finite, another shape, or another `outside`.

    Example:
        >>> audio = Recorded([0.0, 1.0, 3.0], period=10.0, onset=100.0, outside="zero")
        >>> [float(audio(t)) for t in (99.0, 105.0, 115.0, 120.0, 121.0)]
        [0.0, 0.5, 2.0, 3.0, 0.0]
    """

    values: Parameter = parameter(domain=Real(), doc="samples")
    period: Parameter = parameter(domain=Positive(), unit="ms", doc="time between samples")
    onset: Parameter = parameter(0.0, domain=Real(), unit="ms", doc="time of the first sample")
    outside: Literal["hold", "zero"] = eqx.field(static=True, kw_only=True)

    def __check_init__(self):
        shape = self.values.shape
        if len(shape) not in (1, 2) or shape[0] < 2:
            raise ValueError(f"values has shape {shape}, expected (time,) or (time, node) with two samples or more")
        choice("outside", self.outside, ("hold", "zero"))
        if not is_traced(self.values) and not np.isfinite(self.values).all():
            at = [int(i) for i in np.argwhere(~np.isfinite(self.values))[0]]
            raise ValueError(f"values{at} is {np.asarray(self.values)[tuple(at)]}: interpolate what is missing first")

    @takes_pairs
    def __call__(self, t: Any) -> Float[Array, "..."]:
        place = (t - self.onset) / self.period
        last = len(self.values) - 1
        if self.values.ndim == 2:
            place = jax.tree.map(lambda x: jnp.broadcast_to(x, self.values.shape[1:]), place)
        whole = clip(floor(place), 0, last - 1)
        before, share = index(whole), jnp.clip(single(place - whole), 0.0, 1.0)
        if self.values.ndim == 2:
            nodes = jnp.arange(self.values.shape[1])
            first, second = self.values[before, nodes], self.values[before + 1, nodes]
        else:
            first, second = self.values[before], self.values[before + 1]
        value = first + share * (second - first)
        if self.outside == "zero":
            value = jnp.where((single(place) < 0) | (single(place - last) > 0), 0.0, value)
        return value
