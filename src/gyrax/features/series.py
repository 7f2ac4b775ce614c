"""What features are made of: the samples of a recording or an array, checked once for all."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._kinds import refused
from .._types import is_traced
from ..labelled import MaybeLabelled, known_names, with_names
from ..recordings.recording import Recording


class Series(NamedTuple):
    """Samples `(time, channel)`, the ms between them (None if not known), and the channels' names (empty if not known)."""

    values: Float[Array, "time channel"]
    period: float | None
    labels: tuple[str, ...]

    def name(self, channel: int) -> str:
        return self.labels[channel] if channel < len(self.labels) else f"channel {channel}"

    def named(self, values: Array) -> MaybeLabelled:
        """What was made of the channels, one value each along the last axis: it keeps their names."""
        return with_names(values, self.labels)

    def paired(self, values: Array) -> MaybeLabelled:
        """What was made of pairs of channels, along the last two axes."""
        return with_names(values, self.labels, self.labels)

    @property
    def rate(self) -> float:
        """Samples a second, Hz.

        Raises:
            ValueError: if the time between samples is not known.
        """
        if self.period is None:
            raise ValueError("how far apart are the samples? give period= in ms (a recording knows it)")
        return 1000.0 / self.period


def series(x: Any, period: float | None = None, *, least: int = 2, varying: bool = False) -> Series:
    """The samples of a recording or an array.

    Args:
        x: a recording, or an array `(time, channel)`; an axis of one state between the two is dropped. Tables of pandas and
            arrays of xarray keep the names of their columns; the latter may be turned, for they say which axis is time.
        period: ms between the samples of an array. A recording has its own.
        least: fewest samples that make sense.
        varying: refuse channels that never change; inside jit, where they are not known, their values are NaN.

    Raises:
        ValueError: for another shape, too few samples, values that are not finite (inside jit, where values are not known,
            they pass), or a period that is not the recording's own.
    """
    labels: tuple[str, ...] = ()
    if isinstance(x, Recording):
        if period is not None and period != x.period:
            raise ValueError(f"this recording's samples are {x.period:g} ms apart, not period = {period:g} ms")
        labels, period, x = x.labels, x.period, x.values
    else:
        x, labels, period = _table(x, period)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise refused("x", x, "real numbers", "jnp.abs(x), or another part of it")
    if period is not None and not (np.isfinite(period) and period > 0):
        raise ValueError(f"period is a positive number of ms between samples, got {period}")
    values = jnp.asarray(x, jnp.result_type(float))
    if values.ndim == 3 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 2:
        raise ValueError(
            f"expected (time, channel), got shape {values.shape}: choose one state, such as recording.values[:, 0]"
        )
    if values.shape[0] < least:
        few = "two" if least == 2 else str(least)
        raise ValueError(f"at least {few} samples are needed, got {values.shape[0]}: simulate longer, or drop fewer")
    if varying and is_traced(values):
        values = jnp.where(constant(values), jnp.nan, values)  # so is whatever is made of it
    found = Series(values, period, labels)
    if not is_traced(values):
        spread = np.ptp(np.asarray(values), axis=0)
        troubles = [(~np.isfinite(spread), "is not finite")] + [(spread == 0, "never changes")] * varying
        for bad, what in troubles:
            if bad.any():
                raise ValueError(f"{found.name(int(np.argmax(bad)))} {what}: this feature is not defined for it")
    return found


def centred(values: Float[Array, "sample ..."]) -> Float[Array, "sample ..."]:
    """Without the means over the first axis: exactly zero where nothing changes along it.

    Equal values less their mean leave what rounding made of it, which looks like a signal once it is scaled up or transformed.

    Example:
        >>> centred(jnp.full((3, 1), 0.1)).ravel().tolist()
        [0.0, 0.0, 0.0]
    """
    return jnp.where(constant(values), 0.0, values - values.mean(0))


def constant(values: Float[Array, "sample ..."]) -> Bool[Array, "..."]:
    """What never changes along the first axis, inside jit too.

    Example:
        >>> constant(jnp.array([[0.1, 0.1], [0.1, 0.2]])).tolist()
        [True, False]
    """
    return values.max(0) == values.min(0)


def _table(x: Any, period: float | None) -> tuple[Any, tuple[str, ...], float | None]:
    """Values, names of the channels and period of what may have them."""
    if hasattr(x, "dims") and "time" in x.dims:  # xarray
        x = x.transpose("time", ...)
        own = x.attrs.get("period_ms")
        if own is not None and period is not None and own != period:
            raise ValueError(f"these samples are {own:g} ms apart, not period = {period:g} ms")
        period = period if own is None else own
    values, names = known_names(x)
    return values, (names[-1] if names and values.ndim > 1 else None) or (), period
