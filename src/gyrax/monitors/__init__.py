"""What a scanner or an electrode would record of a run."""

from .._types import Channels
from .base import AbstractMonitor
from .bold import Balloon
from .connections import Connections
from .hrf import DoubleExponential, FirstOrderVolterra, Gamma, HRFBold, MixtureOfGammas
from .leadfields import EEG, MEG, SEEG
from .observation_noise import ObservationNoise
from .sampling import AfferentCoupling, Raw, Subsample, TemporalAverage
from .spatial import GlobalAverage, SpatialAverage
from .statistics import FC, PSD, Covariance
from .window import Window

__all__ = [
    "EEG",
    "FC",
    "MEG",
    "PSD",
    "SEEG",
    "AbstractMonitor",
    "AfferentCoupling",
    "Balloon",
    "Channels",
    "Connections",
    "Covariance",
    "DoubleExponential",
    "FirstOrderVolterra",
    "Gamma",
    "GlobalAverage",
    "HRFBold",
    "MixtureOfGammas",
    "ObservationNoise",
    "Raw",
    "SpatialAverage",
    "Subsample",
    "TemporalAverage",
    "Window",
]
