"""What is known of a network beside its runs: where it rests, how it comes back, what becomes of that while a parameter moves,
what noise makes of it, how fast runs part, and what data can tell of it.
"""

from .bending import Curvature, curvature
from .beyond import Nonlinearity, nonlinearity
from .branches import Branch
from .branching import continuation
from .chaos import Exponents, lyapunov_exponents
from .fluctuations import LinearNoise, linear_noise
from .hysteresis import AdiabaticScan, adiabatic_scan
from .identifying import Identifiability, identifiability
from .profiling import Profile, profile
from .resting import FixedPoints, fixed_points
from .stability import Modes, modes

__all__ = [
    "AdiabaticScan",
    "Branch",
    "Curvature",
    "Exponents",
    "FixedPoints",
    "Identifiability",
    "LinearNoise",
    "Modes",
    "Nonlinearity",
    "Profile",
    "adiabatic_scan",
    "continuation",
    "curvature",
    "fixed_points",
    "identifiability",
    "linear_noise",
    "lyapunov_exponents",
    "modes",
    "nonlinearity",
    "profile",
]
