"""From one network to many: cohorts of subjects."""

from .cohort import Cohort, per_subject
from .pooling import CohortLoss, Spread, cohort_loss, random_effects, standard_errors

__all__ = [
    "Cohort",
    "CohortLoss",
    "Spread",
    "cohort_loss",
    "per_subject",
    "random_effects",
    "standard_errors",
]
