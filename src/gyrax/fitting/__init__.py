"""Models against data: one objective, gradient descent, grids, rules that tune a running network, and judgement on unseen noise."""

from .descent import Validation
from .evaluation import Ceiling, Evaluation, ceiling, evaluate
from .evolution import Evolution
from .results import FitResult
from .rules import EIB, FIC, AbstractRule
from .training import fit
from .tuning import TuneResult, tune

__all__ = [
    "EIB",
    "FIC",
    "AbstractRule",
    "Ceiling",
    "Evaluation",
    "Evolution",
    "FitResult",
    "TuneResult",
    "Validation",
    "ceiling",
    "evaluate",
    "fit",
    "tune",
]
