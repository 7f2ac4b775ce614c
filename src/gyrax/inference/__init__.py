"""What data tell of the free parameters of a model, as a distribution: posteriors of one loss, by several methods that check each other."""

from .density import LogDensity, log_density
from .hamiltonian import nuts
from .normal import laplace
from .posterior import Posterior, SamplingWarning

__all__ = ["LogDensity", "Posterior", "SamplingWarning", "laplace", "log_density", "nuts"]
