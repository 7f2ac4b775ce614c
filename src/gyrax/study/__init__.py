"""The main job: from one person's scans to a model that holds on the next scan, stage by stage."""

from .mismatch import Dynamics, FCMismatch
from .preparing import prepare
from .recipes import RECIPES, Recipe, Weighted
from .scans import Data, Scan
from .settings import Settings
from .stages import StudyInterrupted
from .structure import Linear, Scaled, linear, scaled
from .study import Study
from .working import critical

__all__ = [
    "RECIPES",
    "Data",
    "Dynamics",
    "FCMismatch",
    "Linear",
    "Recipe",
    "Scaled",
    "Scan",
    "Settings",
    "Study",
    "StudyInterrupted",
    "Weighted",
    "critical",
    "linear",
    "prepare",
    "scaled",
]
