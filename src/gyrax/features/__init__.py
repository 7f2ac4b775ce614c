"""What is compared between a simulation and data: pure functions of recordings."""

from .coherence import coherence, cross_spectrum, imaginary_coherence
from .connectivity import (
    covariance,
    edge_series,
    fc,
    lagged_correlation,
    ledoit_wolf_shrinkage,
    off_diagonal,
    partial_correlation,
    upper_triangle,
)
from .connectivity_dynamics import fcd, fcd_values, phase_fcd, windowed_fc
from .dynamics import autocorrelation, autocorrelation_time, effective_samples, lempel_ziv, permutation_entropy
from .frequencies import Connectivity, Spectrum
from .graphs import graph, graph_measures
from .phases import (
    analytic,
    bandpass,
    chimera,
    envelope,
    envelope_correlation,
    group_orders,
    kuramoto_order,
    metastability,
    phase,
    plv,
    wpli,
)
from .spectra import BANDS, band_power, peak_frequency, psd, spectral_centroid, spectral_slope

__all__ = [
    "BANDS",
    "Connectivity",
    "Spectrum",
    "analytic",
    "autocorrelation",
    "autocorrelation_time",
    "band_power",
    "bandpass",
    "chimera",
    "coherence",
    "covariance",
    "cross_spectrum",
    "edge_series",
    "effective_samples",
    "envelope",
    "envelope_correlation",
    "fc",
    "fcd",
    "fcd_values",
    "graph",
    "graph_measures",
    "group_orders",
    "imaginary_coherence",
    "kuramoto_order",
    "lagged_correlation",
    "ledoit_wolf_shrinkage",
    "lempel_ziv",
    "metastability",
    "off_diagonal",
    "partial_correlation",
    "peak_frequency",
    "permutation_entropy",
    "phase",
    "phase_fcd",
    "plv",
    "psd",
    "spectral_centroid",
    "spectral_slope",
    "upper_triangle",
    "windowed_fc",
    "wpli",
]
