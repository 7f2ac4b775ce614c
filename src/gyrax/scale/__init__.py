"""Many fits and large sweeps: kept on disk, on several devices, on the machines of a cluster."""

from .many import Fits, fit_many

__all__ = ["Fits", "fit_many"]
