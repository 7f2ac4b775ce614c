"""From a laptop to a cluster: sweeps that last and their spaces, many fits, and how far they are."""

from .axes import AbstractAxis, Draws, LatinHypercube, Seeds, Sobol, Together
from .many import Fits, fit_many
from .stores import Status, status

__all__ = [
    "AbstractAxis",
    "Draws",
    "Fits",
    "LatinHypercube",
    "Seeds",
    "Sobol",
    "Status",
    "Together",
    "fit_many",
    "status",
]
