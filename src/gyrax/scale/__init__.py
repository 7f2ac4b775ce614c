"""From a laptop to a cluster: sweeps that last and their spaces, many fits, how far they are; and cohorts of subjects as one model."""

from .axes import AbstractAxis, Draws, LatinHypercube, Seeds, Sobol, Subjects, Together
from .cohort import Cohort, per_subject
from .looking import status
from .many import Fits, fit_many
from .pooling import CohortLoss, Spread, cohort_loss, random_effects, standard_errors
from .sensitivity import sensitivity
from .stores import Status

__all__ = [
    "AbstractAxis",
    "Cohort",
    "CohortLoss",
    "Draws",
    "Fits",
    "LatinHypercube",
    "Seeds",
    "Sobol",
    "Spread",
    "Status",
    "Subjects",
    "Together",
    "cohort_loss",
    "fit_many",
    "per_subject",
    "random_effects",
    "sensitivity",
    "standard_errors",
    "status",
]
