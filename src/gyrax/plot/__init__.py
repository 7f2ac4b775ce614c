"""Plots for people who would rather look than read. Each takes `ax=` and returns matplotlib axes."""

from .brain import brain
from .branches import adiabatic_scan, branch
from .fits import loss_history, regional
from .fronts import front
from .matrices import fc_fit, matrix
from .phase_plane import phase_plane
from .recordings import recording
from .spectra import spectrum
from .sweeps import sweep
from .topography import topography

__all__ = [
    "adiabatic_scan",
    "brain",
    "branch",
    "fc_fit",
    "front",
    "loss_history",
    "matrix",
    "phase_plane",
    "recording",
    "regional",
    "spectrum",
    "sweep",
    "topography",
]
