"""What a scanner or an electrode would record of a run."""

from .base import AbstractMonitor, Window
from .bold import Balloon, HRFBold
from .sampling import Raw, Subsample, TemporalAverage

__all__ = ["AbstractMonitor", "Balloon", "HRFBold", "Raw", "Subsample", "TemporalAverage", "Window"]
