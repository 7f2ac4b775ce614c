"""gyrax: fit whole-brain network models to brain data by gradient."""

from importlib.metadata import PackageNotFoundError, version

from jaxtyping import Array

from . import couplings, datasets, features, io, losses, models, monitors, noise, plot, solvers, stimuli
from .connectome import Connectome
from .couplings import AbstractCoupling
from .delays import AbstractDelay, ConnectionDelays, Delay, NoDelay
from .descent import Validation
from .domains import Above, AbstractDomain, Below, Interval, Positive, Real, parameter
from .evaluation import Ceiling, Evaluation, ceiling, evaluate
from .filters import Free, Tie, join, per_region, select, split
from .fit import FitResult, fit
from .groups import Groups
from .history import History
from .leadfield import LeadField
from .models import AbstractModel
from .monitors import AbstractMonitor
from .network import Network
from .noise import AbstractNoise
from .recording import Recording, Run
from .simulate import Final, simulate
from .sparse import Sparse
from .surface import Surface
from .sweep import best, sweep
from .tune import TuneResult, tune
from .tuning import EIB, FIC, AbstractRule

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
    "AbstractRule",
    "Array",
    "Below",
    "Ceiling",
    "ConnectionDelays",
    "Connectome",
    "Delay",
    "Evaluation",
    "Final",
    "FitResult",
    "Free",
    "Groups",
    "History",
    "Interval",
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
    "Validation",
    "best",
    "ceiling",
    "couplings",
    "datasets",
    "evaluate",
    "features",
    "fit",
    "io",
    "join",
    "losses",
    "models",
    "monitors",
    "noise",
    "parameter",
    "per_region",
    "plot",
    "select",
    "simulate",
    "solvers",
    "split",
    "stimuli",
    "sweep",
    "tune",
]

try:
    __version__ = version("gyrax")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0"
