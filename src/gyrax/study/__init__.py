"""The main job: from one person's scans to a model that holds on the next scan, stage by stage."""

from .data import Data
from .mismatch import Dynamics
from .preparing import prepare
from .recipes import RECIPES, Recipe, Weighted
from .scans import Scan
from .settings import Settings
from .stages import StudyInterrupted
from .structure import linear, scaled
from .study import Study
from .working import critical

__all__ = [
    "RECIPES",
    "Data",
    "Dynamics",
    "Recipe",
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
