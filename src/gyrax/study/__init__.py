"""The main job: functional connectivity fitted in three stages, from a coarse exploration to one value a region."""

from .mismatch import FCMismatch
from .preparing import prepare
from .recipes import RECIPES, Recipe
from .settings import Settings
from .stages import StudyInterrupted
from .study import Study

__all__ = [
    "RECIPES",
    "FCMismatch",
    "Recipe",
    "Settings",
    "Study",
    "StudyInterrupted",
    "prepare",
]
