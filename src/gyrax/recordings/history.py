"""What was before a run: the states that delayed connections hear first."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._kinds import names as several
from .._kinds import number, reals
from .._types import has_shape, owned
from ..labelled import check_same, known_names
from .recording import Recording


class History(eqx.Module):
    """States up to the moment a run starts, at any sampling; between samples they are interpolated linearly.

    Args:
        values: `(time, state, node)`, the oldest first; the last is the state the run starts from.
        period: ms between samples.
        labels: of the nodes; where they are known, a run compares them with its own.

    Raises:
        ValueError: if values are not finite or do not have three axes, or period is not positive.

    Example:
        >>> History(np.zeros((50, 1, 84)), period=2.0)
        History(98 ms of 1 state in 84 regions)
    """

    values: Float[Array, "time state node"] = eqx.field(
        converter=lambda x: owned(reals("values", x), jnp.result_type(float))
    )
    period: float = eqx.field(converter=lambda x: number("period", x, unit="ms"), static=True)
    labels: tuple[str, ...] | None = eqx.field(static=True, default=None)

    def __init__(self, values: Any, period: float, labels: Sequence[str] | None = None):
        values, names = known_names(values, "values")
        own, given = names[-1] if names else None, None if labels is None else several("labels", labels)
        check_same(given, own, "labels", "values")
        self.values, self.period, self.labels = values, period, given or own

    def __check_init__(self):
        if self.values.ndim != 3 or not len(self.values):
            raise ValueError(f"values of a history have the shape (time, state, node), got {self.values.shape}")
        if not 0 < self.period < np.inf:
            raise ValueError(f"period is a positive number of ms, got {self.period}")

    @classmethod
    def of(cls, recording: Recording, states: tuple[str, ...]) -> "History":
        """What an earlier run recorded of all its states.

        Raises:
            ValueError: if the recording is of other states, or of averages.
        """
        if recording.dims != ("time", "state", recording.channel) or recording.source != states or recording.stamp != 0:
            raise ValueError(
                f"a history needs samples of all states {states}, as Raw() or Subsample(period) record them; got {recording!r}"
            )
        return cls(recording.values, recording.period, recording.labels or None)

    @property
    def duration(self) -> float:
        """ms from the first sample to the last."""
        return (len(self.values) - 1) * self.period

    def ago(self, times: np.ndarray) -> Float[Array, "time state node"]:
        """States at times in ms before the last sample.

        Raises:
            ValueError: if they reach back further than the samples.

        Example:
            >>> past = History(jnp.arange(4.0)[:, None, None], period=1.0)
            >>> past.ago(np.array([2.0, 0.5, 0.0])).ravel().tolist()
            [1.0, 2.5, 3.0]
        """
        longest = float(np.asarray(times).max())
        if longest > self.duration * (1 + 1e-9):
            raise ValueError(
                f"the history covers {self.duration:g} ms, but the longest delay reaches back {longest:g} ms: give it more samples"
            )
        place = len(self.values) - 1 - np.asarray(times) / self.period
        nearest = np.round(place)
        place = np.where(np.abs(place - nearest) < 1e-6, nearest, place)  # 0.3 / 0.1 is no 3
        first = np.clip(np.floor(place).astype(int), 0, max(len(self.values) - 2, 0))
        share = jnp.asarray(place - first, self.values.dtype)[:, None, None]
        later = jnp.minimum(first + 1, len(self.values) - 1)
        return (1 - share) * self.values[first] + share * self.values[later]

    def __repr__(self):
        if not has_shape(self.values):
            return super().__repr__()
        count = self.values.shape[1]
        return f"History({self.duration:g} ms of {count} state{'s' * (count != 1)} in {self.values.shape[2]} regions)"
