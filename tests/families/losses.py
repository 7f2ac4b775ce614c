"""Losses: cases of tests/test_contract_losses.py."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import gyrax as gx

f = gx.losses
N = 4
FREQUENCIES = np.arange(1.0, 7.0)
NAMES = ("A", "B", "C", "D")


def matrix(seed: int) -> np.ndarray:
    """Like correlations: symmetric, ones on the diagonal."""
    m = np.random.default_rng(seed).uniform(-0.8, 0.8, (N, N))
    return np.where(np.eye(N, dtype=bool), 1.0, (m + m.T) / 2)


def power(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(3.0, size=(len(FREQUENCIES), N))


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.2 * seed, 1.0, N)


def spectrum(x: Any, names: tuple[str, ...] = ()) -> gx.features.Spectrum:
    return gx.features.Spectrum(FREQUENCIES, x, names)


def table(x: Any, names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(x, index=list(names), columns=list(names))


def column(x: Any, names: tuple[str, ...]) -> pd.Series:
    return pd.Series(x, index=list(names))


def both(a: Any, b: Any) -> Any:
    return f.weighted_sum({"fc": (2.0, f.fc_rmse(a, b)), "far": (0.5, f.fc_distance(a, b))})[0]


@dataclasses.dataclass(frozen=True)
class Compared:
    """A loss of two things, and what it promises of them.

    Attributes:
        loss: of two arrays.
        draw: an array from a seed.
        regions: the axes along which regions lie.
        best: what it says of two that are the same.
        labelled: what has names, of an array and the names; None where values are compared whatever they are called.
        differentiable: False where a gradient is refused.
        flat: whether it has no slope at a perfect match; False where rounding may leave one, as a root of squares has
            nothing but slope beside its zero.
        unlike: a shape that is refused beside the other; None where the two may be of different lengths.
    """

    loss: Callable[[Any, Any], Any]
    draw: Callable[[int], np.ndarray]
    regions: tuple[int, ...]
    best: float = 0.0
    labelled: Callable[[Any, tuple[str, ...]], Any] | None = None
    differentiable: bool = True
    flat: bool = True
    unlike: tuple[int, ...] | None = None


SHORT = (len(FREQUENCIES), N - 1)
#: Every public loss; what follows a comma is another way to call it.
LOSSES = {
    "rmse": Compared(f.rmse, matrix, (0, 1), 0.0, table, unlike=(N, 1)),
    "fc_rmse": Compared(f.fc_rmse, matrix, (0, 1), 0.0, table, unlike=(N - 1, N - 1)),
    "fc_correlation": Compared(f.fc_correlation, matrix, (0, 1), 1.0, table, unlike=(N - 1, N - 1)),
    "fc_correlation, Fisher": Compared(
        lambda a, b: f.fc_correlation(a, b, fisher_z=True), matrix, (0, 1), 1.0, table, unlike=(1, N)
    ),
    "fc_distance": Compared(f.fc_distance, matrix, (0, 1), 0.0, table, unlike=(N - 1, N - 1)),
    "psd_rmse": Compared(f.psd_rmse, power, (1,), 0.0, spectrum, unlike=SHORT),
    "psd_correlation": Compared(f.psd_correlation, power, (1,), 1.0, spectrum, unlike=SHORT),
    "psd_distance": Compared(f.psd_distance, power, (1,), 0.0, spectrum, unlike=SHORT),
    "peak_frequency_rmse": Compared(
        lambda a, b: f.peak_frequency_rmse(
            *(x if isinstance(x, gx.features.Spectrum) else spectrum(x) for x in (a, b))
        ),
        power,
        (1,),
        0.0,
        spectrum,
        flat=False,  # two peaks, each worked out by itself
        unlike=SHORT,
    ),
    "gaussian_log_likelihood": Compared(
        lambda a, b: f.gaussian_log_likelihood(a, b, sd=0.5),
        values,
        (0,),
        -N * np.log(0.5 * np.sqrt(2 * np.pi)),
        column,
        unlike=(N + 1,),
    ),
    "gaussian_log_likelihood, covariance": Compared(
        # alike for all features, so that another order of them changes nothing
        lambda a, b: f.gaussian_log_likelihood(a, b, covariance=0.5 * np.eye(N) + 0.5),
        values,
        (0,),
        -0.5 * np.log(0.5**3 * 2.5) - N * np.log(2 * np.pi) / 2,
        column,
        unlike=(N + 1,),
    ),
    "fisher_z_log_likelihood": Compared(
        lambda a, b: f.fisher_z_log_likelihood(a, b, samples=23.0),
        matrix,
        (0, 1),
        0.5 * 6 * np.log(20 / (2 * np.pi)),
        table,
        unlike=(N - 1, N - 1),
    ),
    "whittle_log_likelihood": Compared(
        # how much less likely than a model that has the measured power
        lambda a, b: f.whittle_log_likelihood(a, b, segments=2) - f.whittle_log_likelihood(b, b, segments=2),
        power,
        (1,),
        0.0,
        spectrum,
        unlike=SHORT,
    ),
    "wasserstein": Compared(f.wasserstein, values, (0,)),
    "ks_distance": Compared(lambda a, b: f.ks_distance(a, b, width=0.4), values, (0,)),
    "ks_distance, exact": Compared(f.ks_distance, values, (0,), differentiable=False),
    "weighted_sum": Compared(both, matrix, (0, 1), 0.0, table, unlike=(N - 1, N - 1)),
}
