"""Neural masses, one family a file."""

from .base import AbstractModel
from .gamma_chain import GammaChain
from .hopf import Hopf
from .jansen_rit import JansenRit
from .linear import Linear
from .wong_wang import WongWang

__all__ = ["AbstractModel", "GammaChain", "Hopf", "JansenRit", "Linear", "WongWang"]
