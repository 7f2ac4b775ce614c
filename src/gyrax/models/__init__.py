"""Neural masses, one family a file."""

from .base import AbstractModel
from .gamma_chain import GammaChain
from .hopf import Hopf
from .jansen_rit import JansenRit
from .linear import Linear
from .wong_wang import WongWang
from .wong_wang_exc_inh import WongWangExcInh

__all__ = ["AbstractModel", "GammaChain", "Hopf", "JansenRit", "Linear", "WongWang", "WongWangExcInh"]
