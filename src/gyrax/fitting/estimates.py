"""What a person may read off losses that noise scatters: means over steps and over noise, and whether anything was learnt."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

#: Steps that a loss is averaged over before it is read.
WINDOW = 20
#: One in twenty fits of nothing but noise may count as having learnt (Student's t, one-sided).
_CHANCE = 0.05


def window(steps: int) -> int:
    """Steps to average over at either end: of a short fit a half."""
    return min(WINDOW, max(steps // 2, 1))


class Estimate(NamedTuple):
    """A mean, and how far single values scatter around it."""

    mean: float
    scatter: float

    def __str__(self) -> str:
        return f"{self.mean:.4g}" + (f" ± {self.scatter:.1g}" if self.scatter > 0 else "")


def over_steps(losses: Float[np.ndarray, " step"]) -> Estimate:
    """Of the last steps. The scatter is that from one step to the next, so that a descent does not count as noise.

    Example:
        >>> over_steps(np.array([3.0, 2.0, 3.0, 2.0]))
        Estimate(mean=2.5, scatter=0.7071067811865476)
    """
    last = np.asarray(losses, float)[-WINDOW:]
    last = last[np.isfinite(last)]
    if len(last) < 2:
        return Estimate(float(last[0]) if len(last) else np.nan, 0.0)
    return Estimate(float(last.mean()), float(np.sqrt((np.diff(last) ** 2).mean() / 2)))


def smoothed(losses: Float[np.ndarray, " step"]) -> Float[np.ndarray, " step"]:
    """Means over the steps up to each, WINDOW at most.

    Example:
        >>> smoothed(np.array([4.0, 2.0, 0.0])).tolist()
        [4.0, 3.0, 2.0]
    """
    total = np.cumsum(np.concatenate([[0.0], losses]))
    ends = np.arange(1, len(losses) + 1)
    begins = np.maximum(ends - WINDOW, 0)
    return (total[ends] - total[begins]) / (ends - begins)


def gain(first: Float[np.ndarray, " key"], best: Float[np.ndarray, " key"]) -> tuple[Estimate, bool]:
    """How much lower the loss became on the same noise, with its standard error, and whether that is more than nothing.

    What noise alone would show in one of twenty fits is nothing (Student's t), and so is less than a tenth of the error with
    which the loss itself is known. Of one key the error is not known, and anything is something.

    Example:
        >>> gain(np.array([0.5, 0.7]), np.array([0.4, 0.61]))[1], gain(np.array([0.5, 0.7]), np.array([0.5, 0.699]))[1]
        (True, False)
    """
    difference, count = np.asarray(first - best, float), len(first)
    found = Estimate(float(difference.mean()), _error(difference))
    if count < 2:
        return found, found.mean > 0
    return found, bool(found.mean > max(stats.t.isf(_CHANCE, count - 1) * found.scatter, 0.1 * _error(best)))


def _error(values: Float[np.ndarray, " key"]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
