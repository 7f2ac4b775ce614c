"""What data tell of the free parameters of a model, as a distribution: posteriors of one loss, by methods that check each other."""

from .density import LogDensity, log_density
from .flows import Learnt, learn_posterior, neural_posterior
from .hamiltonian import nuts
from .metropolis import pseudo_marginal
from .normal import laplace
from .posterior import Posterior, SamplingWarning
from .ranks import Calibration, calibration
from .variational import svi

__all__ = [
    "Calibration",
    "Learnt",
    "LogDensity",
    "Posterior",
    "SamplingWarning",
    "calibration",
    "laplace",
    "learn_posterior",
    "log_density",
    "neural_posterior",
    "nuts",
    "pseudo_marginal",
    "svi",
]
