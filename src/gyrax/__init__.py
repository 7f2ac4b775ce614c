"""gyrax: fit whole-brain network models to brain data by gradient."""

from importlib.metadata import PackageNotFoundError, version

from . import _compiler  # noqa: F401 - before anything uses JAX

# isort: split
from typing import TYPE_CHECKING, Any

from jaxtyping import Array

from . import (
    couplings,
    datasets,
    features,
    io,
    losses,
    models,
    monitors,
    noise,
    plasticity,
    plot,
    scale,
    solvers,
    stimuli,
)
from ._devices import devices
from ._ranges import UnitWarning
from .anatomy import Connectome, LeadField, Sparse, Surface
from .couplings import AbstractCoupling, AbstractPairCoupling
from .delays import AbstractDelay, ConnectionDelays, Delay, NoDelay
from .fitting import (
    EIB,
    FIC,
    AbstractRule,
    Ceiling,
    Evaluation,
    Evolution,
    FitResult,
    TuneResult,
    Validation,
    ceiling,
    evaluate,
    fit,
    tune,
)
from .labelled import LabelledArray
from .models import AbstractModel
from .models.groups import Groups
from .monitors import AbstractMonitor
from .network import Network
from .noise import AbstractNoise
from .parameters import (
    Above,
    AbstractDomain,
    Below,
    Free,
    Interval,
    Positive,
    Real,
    Tie,
    by_groups,
    by_maps,
    join,
    parameter,
    per_connection,
    per_region,
    select,
    split,
)
from .recordings import Final, History, Recording, Run
from .scale import Cohort, per_subject
from .scale.sweeping import best, sweep
from .simulation import simulate

if TYPE_CHECKING:
    from . import analysis, inference, search, study

__all__ = [
    "EIB",
    "FIC",
    "Above",
    "AbstractCoupling",
    "AbstractDelay",
    "AbstractDomain",
    "AbstractModel",
    "AbstractMonitor",
    "AbstractNoise",
    "AbstractPairCoupling",
    "AbstractRule",
    "Array",
    "Below",
    "Ceiling",
    "Cohort",
    "ConnectionDelays",
    "Connectome",
    "Delay",
    "Evaluation",
    "Evolution",
    "Final",
    "FitResult",
    "Free",
    "Groups",
    "History",
    "Interval",
    "LabelledArray",
    "LeadField",
    "Network",
    "NoDelay",
    "Positive",
    "Real",
    "Recording",
    "Run",
    "Sparse",
    "Surface",
    "Tie",
    "TuneResult",
    "UnitWarning",
    "Validation",
    "analysis",
    "best",
    "by_groups",
    "by_maps",
    "ceiling",
    "couplings",
    "datasets",
    "devices",
    "evaluate",
    "features",
    "fit",
    "inference",
    "io",
    "join",
    "losses",
    "models",
    "monitors",
    "noise",
    "parameter",
    "per_connection",
    "per_region",
    "per_subject",
    "plasticity",
    "plot",
    "scale",
    "search",
    "select",
    "simulate",
    "solvers",
    "split",
    "stimuli",
    "study",
    "sweep",
    "tune",
]

try:
    __version__ = version("gyrax")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0"


#: Rooms that are read when they are first asked for: most sessions do without.
_LATER = ("analysis", "inference", "search", "study")


def __getattr__(name: str) -> Any:
    """`gx.analysis` and its like, when they are first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module 'gyrax' has no attribute {name!r}")
    from importlib import import_module

    return import_module(f".{name}", __name__)
