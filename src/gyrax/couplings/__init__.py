"""How regions hear each other: encode at the source, weighted (delayed) sum, decode at the target."""

from ..parameters.declaring import as_names
from .base import AbstractCoupling
from .functions import Coupling
from .linear import Difference, Laplacian, Linear
from .oscillators import Kuramoto
from .presigmoidal import DynamicPreSigmoidal, PreSigmoidal
from .sigmoidal import HyperbolicTangent, Sigmoidal, SigmoidalJansenRit

__all__ = [
    "AbstractCoupling",
    "Coupling",
    "Difference",
    "DynamicPreSigmoidal",
    "HyperbolicTangent",
    "Kuramoto",
    "Laplacian",
    "Linear",
    "PreSigmoidal",
    "Sigmoidal",
    "SigmoidalJansenRit",
    "as_names",
]
