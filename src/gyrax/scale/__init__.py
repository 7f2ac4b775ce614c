"""Many fits and large sweeps: kept on disk, on several devices, on the machines of a cluster; cohorts of subjects as one model."""

from .cohort import Cohort, per_subject
from .many import Fits, fit_many
from .pooling import CohortLoss, Spread, cohort_loss, random_effects, standard_errors

__all__ = [
    "Cohort",
    "CohortLoss",
    "Fits",
    "Spread",
    "cohort_loss",
    "fit_many",
    "per_subject",
    "random_effects",
    "standard_errors",
]
