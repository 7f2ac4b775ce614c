"""Neural masses, one family a file."""

from .aln import ALN
from .base import AbstractModel
from .catalogue import table
from .coombes_byrne import CoombesByrne, CoombesByrne2D
from .deco_balanced import DecoBalancedExcInh
from .dumont_gutkin import DumontGutkin
from .epileptor import Epileptor, Epileptor2D
from .epileptor_codim3 import EpileptorCodim3, EpileptorCodim3SlowMod
from .epileptor_resting_state import EpileptorRestingState
from .fitzhugh_nagumo import FitzHughNagumo
from .gamma_chain import GammaChain
from .gast_schmidt_knosche import GastSchmidtKnoscheSD, GastSchmidtKnoscheSF
from .generic_2d import Generic2dOscillator
from .hopf import Hopf
from .hopfield import Hopfield, HopfieldDynamic
from .jansen_rit import JansenRit
from .k_ion_exchange import KIonEx
from .kuramoto import Kuramoto
from .larter_breakspear import LarterBreakspear
from .linear import Linear
from .montbrio_pazo_roxin import MontbrioPazoRoxin
from .reduced_set_fitzhugh_nagumo import ReducedSetFitzHughNagumo
from .reduced_set_hindmarsh_rose import ReducedSetHindmarshRose
from .stuart_landau import StuartLandau
from .thalamus import Thalamus
from .van_der_pol import VanDerPol
from .wendling import Wendling
from .wilson_cowan import WilsonCowan
from .wong_wang import WongWang
from .wong_wang_exc_inh import WongWangExcInh
from .zerlaut import ZerlautAdaptationFirstOrder, ZerlautAdaptationSecondOrder
from .zetterberg_jansen import ZetterbergJansen

__all__ = [
    "ALN",
    "AbstractModel",
    "CoombesByrne",
    "CoombesByrne2D",
    "DecoBalancedExcInh",
    "DumontGutkin",
    "Epileptor",
    "Epileptor2D",
    "EpileptorCodim3",
    "EpileptorCodim3SlowMod",
    "EpileptorRestingState",
    "FitzHughNagumo",
    "GammaChain",
    "GastSchmidtKnoscheSD",
    "GastSchmidtKnoscheSF",
    "Generic2dOscillator",
    "Hopf",
    "Hopfield",
    "HopfieldDynamic",
    "JansenRit",
    "KIonEx",
    "Kuramoto",
    "LarterBreakspear",
    "Linear",
    "MontbrioPazoRoxin",
    "ReducedSetFitzHughNagumo",
    "ReducedSetHindmarshRose",
    "StuartLandau",
    "Thalamus",
    "VanDerPol",
    "Wendling",
    "WilsonCowan",
    "WongWang",
    "WongWangExcInh",
    "ZerlautAdaptationFirstOrder",
    "ZerlautAdaptationSecondOrder",
    "ZetterbergJansen",
    "table",
]
