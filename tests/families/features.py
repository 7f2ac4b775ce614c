"""Features: cases of tests/test_contract_features.py, of series of 48 samples of 4 channels, 10 ms apart."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import gyrax as gx

f = gx.features
PERIOD, SAMPLES, CHANNELS = 10.0, 48, 4


def signals(seed: int) -> np.ndarray:
    """Two waves and noise, `(time, channel)`: with phases, rhythms and correlations to be found."""
    rng, t = np.random.default_rng(seed), np.arange(SAMPLES)[:, None] * PERIOD / 1000
    mixed = rng.normal(size=(SAMPLES, CHANNELS)) @ (np.eye(CHANNELS) + rng.uniform(0, 0.6, (CHANNELS, CHANNELS)))
    waves = np.sin(2 * np.pi * (12.5 * t + rng.uniform(size=CHANNELS)))
    return waves + 0.6 * np.sin(2 * np.pi * (5 * t + rng.uniform(size=CHANNELS))) + 0.4 * mixed


def spectrum(x: Any, **given: Any) -> f.Spectrum:
    return f.psd(x, segment=160.0, **given)


def connected(x: Any, **given: Any) -> Any:
    return f.fc(x)


def windows(x: Any, **given: Any) -> Any:
    return f.fcd(x, 120.0, 60.0, **given)


def weights(x: Any, **given: Any) -> np.ndarray:
    return np.abs(np.asarray(f.fc(x), float)).round(12)


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature, and what it promises.

    Attributes:
        axes: of what it makes; `channel` and `pair` follow the channels when these change places.
        function: what is called; by default the one of that name.
        arguments: by name; those called groups or communities are one a channel.
        of: what it takes: a series, or what is made of one first.
        timed: whether it must know how far samples are apart.
        differentiable: False for what counts, in NumPy: no gradient, and not inside jit.
        pairs: what lies along `pair`: 'above' the diagonal of channels, 'off' it, or None for windows.
        refuses: what it refuses: input, and words of the sentence. Of a series too few samples and wrong axes are always tried.
    """

    axes: tuple[str, ...]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    of: Callable[..., Any] | None = None
    timed: bool = False
    differentiable: bool = True
    pairs: str | None = None
    refuses: tuple[tuple[Any, str], ...] = ()


ONE = f.Spectrum([1.0, 2.0], np.ones((2, CHANNELS)))  # resolves no band
BAND = ((ONE, "beyond 2 Hz, the highest frequency here"),)
NOT_SQUARE = ((np.ones((3, 2)), "expected a square matrix"), (np.ones(3), "expected a square matrix"))
MATRIX, TIMES, EACH = ("channel", "channel"), ("time", "channel"), ("channel",)
OVER_FREQUENCY = ("frequency", "channel", "channel")
SEGMENT = {"segment": 160.0}
GROUPS = {"groups": ("L", "R", "L", "R")}
SIZES = {"time": SAMPLES, "channel": CHANNELS, "frequency": 9, "lag": 6, "window": 7, "group": 2, "measure": 7}
FAR_WINDOWS = 15  # pairs of windows that do not overlap

#: Every public feature; what follows a comma is another way to call it.
FEATURES = {
    "fc": Feature(MATRIX),
    "fc, shrunk": Feature(MATRIX, {"shrinkage": "ledoit-wolf"}),
    "covariance": Feature(MATRIX),
    "ledoit_wolf_shrinkage": Feature(()),
    "partial_correlation": Feature(MATRIX, refuses=((signals(0)[:3], "has no inverse"),)),
    "lagged_correlation": Feature(MATRIX, {"lag": 20.0}, timed=True),
    "edge_series": Feature(("time", "pair"), pairs="above"),
    "off_diagonal": Feature(("pair",), of=connected, pairs="off", refuses=NOT_SQUARE),
    "upper_triangle": Feature(("pair",), of=connected, pairs="above", refuses=NOT_SQUARE),
    "windowed_fc": Feature(("window", *MATRIX), {"window": 120.0, "step": 60.0}, timed=True),
    "fcd": Feature(("window", "window"), {"window": 120.0, "step": 60.0}, timed=True),
    "fcd_values": Feature(("pair",), {"apart": 2}, of=windows, timed=True, refuses=NOT_SQUARE),
    "phase_fcd": Feature(("time", "time")),
    "bandpass": Feature(TIMES, {"low": 8.0, "high": 20.0}, timed=True),
    "analytic": Feature(TIMES),
    "phase": Feature(TIMES),
    "envelope": Feature(TIMES),
    "envelope_correlation": Feature(MATRIX),
    "envelope_correlation, leakage": Feature(MATRIX, {"leakage": True, "trim": 30.0}, timed=True),
    "plv": Feature(MATRIX),
    "wpli": Feature(OVER_FREQUENCY, SEGMENT, timed=True),
    "kuramoto_order": Feature(("time",)),
    "metastability": Feature(()),
    "group_orders": Feature(("time", "group"), GROUPS),
    "chimera": Feature((), GROUPS),
    "psd": Feature(("frequency", "channel"), SEGMENT, timed=True),
    "cross_spectrum": Feature(OVER_FREQUENCY, SEGMENT, timed=True),
    "coherence": Feature(OVER_FREQUENCY, SEGMENT, timed=True),
    "imaginary_coherence": Feature(OVER_FREQUENCY, SEGMENT, timed=True),
    "band_power": Feature(EACH, {"low": 8.0, "high": 20.0}, of=spectrum, timed=True, refuses=BAND),
    "peak_frequency": Feature(
        EACH, {"low": 6.25, "high": 40.0, "sharpness": 2.0}, of=spectrum, timed=True, refuses=BAND
    ),
    "spectral_centroid": Feature(EACH, {"low": 6.25, "high": 40.0}, of=spectrum, timed=True, refuses=BAND),
    "spectral_slope": Feature(EACH, {"low": 6.25, "high": 40.0}, of=spectrum, timed=True, refuses=BAND),
    "autocorrelation": Feature(("lag", "channel"), {"lags": 5}),
    "effective_samples": Feature(MATRIX),
    "autocorrelation_time": Feature(EACH, timed=True),
    "lempel_ziv": Feature(EACH, differentiable=False),
    "permutation_entropy": Feature(EACH, differentiable=False),
    "graph": Feature(
        MATRIX, of=weights, differentiable=False, refuses=(*NOT_SQUARE[:1], (np.eye(1), "two regions or more"))
    ),
    "graph_measures": Feature(
        ("measure", "channel"),
        {"communities": (0, 1, 0, 1)},
        of=weights,
        differentiable=False,
        refuses=(*NOT_SQUARE[:1], (np.eye(1), "two regions or more")),
    ),
}
