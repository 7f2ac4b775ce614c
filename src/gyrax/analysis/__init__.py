"""What is known of a network beside its runs: where it rests, how it comes back, what noise makes of it, how fast runs part,
and what data can tell of it.
"""

from .chaos import Exponents, lyapunov_exponents
from .fluctuations import LinearNoise, linear_noise
from .identifying import Identifiability, identifiability
from .resting import FixedPoints, fixed_points
from .stability import Modes, modes

__all__ = [
    "Exponents",
    "FixedPoints",
    "Identifiability",
    "LinearNoise",
    "Modes",
    "fixed_points",
    "identifiability",
    "linear_noise",
    "lyapunov_exponents",
    "modes",
]
