"""How each model is used for BOLD. A further model is one more entry of `RECIPES`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np

from .. import couplings, models, monitors, noise
from ..anatomy.connectome import Connectome
from ..network.network import Network


@dataclasses.dataclass(frozen=True)
class Weighted:
    """The network whose every connection is fitted: two populations, balanced while they run.

    Attributes:
        build: from a connectome on a common scale.
        monitor: of BOLD, from its period.
        dt: ms.
        excitation: dotted path of the weights that the balance rule raises.
        inhibition: of those that it lowers.
        balanced: of the inhibition that keeps regions at their level.
        pieces: rates of the rule, and for how many ms of activity each.
    """

    build: Callable[[Connectome], Network]
    monitor: Callable[[float], monitors.AbstractMonitor]
    dt: float
    excitation: str = "coupling.lre.weights"
    inhibition: str = "coupling.ffi.weights"
    balanced: str = "model.J_i"
    pieces: tuple[tuple[float, float], ...] = ((0.02, 2.16e6), (0.008, 3.6e6), (0.003, 7.2e6))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is used for BOLD: its network, its step, and where to look for its parameters.

    Attributes:
        build: from a connectome on a common scale.
        monitor: of BOLD, from its period.
        dt: ms, the longest step.
        space: of each parameter the lowest, the highest, and how many.
        regional: what may differ between regions.
        critical: of the parameters in `space`, that whose range is in units of where the fixed point loses stability.
        weighted: how its connectivity is fitted; None if it is not.
    """

    build: Callable[[Connectome], Network]
    monitor: Callable[[float], monitors.AbstractMonitor]
    dt: float
    space: dict[str, tuple[float, float, int]]
    regional: tuple[str, ...]
    critical: str | None = None
    weighted: Weighted | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """What a study does that is not told otherwise."""
        return ("explore", "refine", "regional") + (("connectivity",) if self.weighted else ())


def step_within(period: float, longest: float) -> float:
    """The longest step of which so many make a period.

    Example:
        >>> step_within(720.0, 10.0), step_within(735.0, 10.0)
        (10.0, 9.932432432432432)
    """
    return period / int(np.ceil(period / longest - 1e-9))


def _wong_wang(connectome: Connectome) -> Network:
    model = models.WongWang(I_o=0.32)
    coupling = couplings.Linear(source="S", strength=0.3)
    return Network(model, coupling, connectome, noise=noise.White(sigma=0.00283, mixing=_common(connectome, 0.1)))


def _common(connectome: Connectome, share: float) -> Any:
    """A mixing of noise of which all regions have a share of the variance in common.

    Without it the strength of coupling alone makes the level of connectivity, and where that is right its pattern is not: it is
    best far below (docs/design.md).
    """
    n = connectome.n_regions
    return noise.factor((1 - share) * np.eye(n) + share * np.ones((n, n)))


def _wong_wang_weighted(connectome: Connectome) -> Network:
    # of 1 to 1.6 tried: strong enough for the rule to come far, weak enough for its first rate to settle
    connectome = eqx.tree_at(lambda c: c.weights, connectome, 1.3 * connectome.weights)

    def linear(target: str) -> Any:
        return couplings.Linear(source="S_e", target=target, weights=connectome.weights)

    model = models.WongWangExcInh(J_i=np.ones(connectome.n_regions))
    coupling = {"lre": linear("c_lre"), "ffi": linear("c_ffi")}
    return Network(model, coupling, connectome, noise=noise.White(sigma=0.01, states="S_e"))


def _hopf(connectome: Connectome) -> Network:
    model = models.Hopf(a=-2e-5, omega=2 * np.pi * 5e-5)  # 0.05 Hz: x is the BOLD signal itself, Deco et al. (2017)
    coupling = couplings.Difference(source=("x", "y"), strength=2e-5)
    return Network(model, coupling, connectome, noise=noise.White(sigma=2e-5))


RECIPES = {
    "WongWang": Recipe(
        _wong_wang,
        lambda period: monitors.HRFBold(source="S", period=period),
        10.0,
        {"coupling.strength": (0.7, 1.3, 13), "model.w": (0.1, 0.8, 15)},
        ("model.w", "model.I_o", "noise.sigma"),
        critical="coupling.strength",
        weighted=Weighted(
            _wong_wang_weighted,
            lambda period: monitors.HRFBold(source="S_e", period=period, length=20_000.0),
            4.0,
        ),
    ),
    "Hopf": Recipe(
        _hopf,
        lambda period: monitors.TemporalAverage(source="x", period=period),
        20.0,
        {"coupling.strength": (5e-6, 4e-4, 12), "model.a": (-2e-4, 0.0, 11)},
        ("model.a",),
    ),
}
