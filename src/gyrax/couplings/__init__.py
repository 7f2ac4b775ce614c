"""How regions hear each other: encode at the source, weighted (delayed) sum, decode at the target."""

from ..parameters.declaring import as_names
from .base import AbstractCoupling
from .connections import GapJunction, Sakaguchi, Threshold
from .functions import Coupling
from .linear import Difference, Laplacian, Linear
from .oscillators import Kuramoto
from .pairwise import AbstractPairCoupling
from .presigmoidal import DynamicPreSigmoidal, PreSigmoidal
from .sigmoidal import HyperbolicTangent, Sigmoidal, SigmoidalJansenRit

__all__ = [
    "AbstractCoupling",
    "AbstractPairCoupling",
    "Coupling",
    "Difference",
    "DynamicPreSigmoidal",
    "GapJunction",
    "HyperbolicTangent",
    "Kuramoto",
    "Laplacian",
    "Linear",
    "PreSigmoidal",
    "Sakaguchi",
    "Sigmoidal",
    "SigmoidalJansenRit",
    "Threshold",
    "as_names",
]
