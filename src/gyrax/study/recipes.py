"""How each model is used for BOLD. A further model is one more entry of `RECIPES`."""

import dataclasses
from collections.abc import Callable

import numpy as np

from .. import couplings, models, monitors, noise
from ..anatomy.connectome import Connectome
from ..network.network import Network


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is used for BOLD: its network, its step, and where to look for its parameters."""

    build: Callable[[Connectome], Network]
    monitor: Callable[[float], monitors.AbstractMonitor]
    dt: float
    space: dict[str, tuple[float, float, int]]  # parameter: lowest, highest, how many
    regional: tuple[str, ...]


def _wong_wang(connectome: Connectome) -> Network:
    model = models.WongWang(I_o=0.32)
    coupling = couplings.Linear(source="S", strength=0.3)
    return Network(model, coupling, connectome, noise=noise.White(sigma=0.00283))


def _hopf(connectome: Connectome) -> Network:
    model = models.Hopf(a=-2e-5, omega=2 * np.pi * 5e-5)  # 0.05 Hz: x is the BOLD signal itself, Deco et al. (2017)
    coupling = couplings.Difference(source=("x", "y"), strength=2e-5)
    return Network(model, coupling, connectome, noise=noise.White(sigma=2e-5))


RECIPES = {
    "WongWang": Recipe(
        _wong_wang,
        lambda period: monitors.HRFBold(source="S", period=period),
        10.0,
        {"coupling.strength": (0.1, 0.7, 13), "model.w": (0.1, 0.8, 15)},
        ("model.w",),
    ),
    "Hopf": Recipe(
        _hopf,
        lambda period: monitors.TemporalAverage(source="x", period=period),
        20.0,
        {"coupling.strength": (5e-6, 4e-4, 12), "model.a": (-2e-4, 0.0, 11)},
        ("model.a",),
    ),
}
