"""What the user of a study decides."""

import dataclasses
import math
import numbers
from typing import Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything needed to repeat a study; what `config.yaml` holds.

    Raises:
        TypeError: naming the setting, for a value of another type.
        ValueError: naming the setting, for one out of range.
    """

    connectome: str = "dk84"
    target: str = "dk84"
    model: str = "WongWang"
    free: tuple[str, ...] = ()  # left out: what the recipe explores
    steps: int = 80
    seeds: int = 8
    x64: bool = False
    period: float = 1000.0  # TR, ms
    warm_up: float = 30_000.0  # ms before the recording that counts
    duration: float = 90_000.0  # ms of recording that a step of the fit sees, a realisation
    judged: float = 300_000.0  # ms of recording that fits are judged by
    realisations: int = 4
    seed: int = 0

    def __post_init__(self):
        for name in ("connectome", "target", "model"):
            self._check(name, str, "a text")
        if not isinstance(self.free, tuple) or not all(isinstance(path, str) and path for path in self.free):
            raise TypeError(f"free is a tuple of dotted paths such as ('model.w',), got {self.free!r}")
        self._check("x64", bool, "True or False")
        for name, least in (("steps", 1), ("seeds", 1), ("realisations", 1), ("seed", 0)):
            self._check(name, numbers.Integral, f"a whole number from {least} on", least, 2**31 - 1)
        for name in ("period", "duration", "judged"):
            self._check(name, numbers.Real, "a positive number of ms", math.ulp(0.0))
        self._check("warm_up", numbers.Real, "a number of ms from 0 on", 0.0)

    def _check(self, name: str, kind: type, wanted: str, least: Any = None, most: Any = 1e300) -> None:
        value = getattr(self, name)
        text = f"{name} is {wanted}, got {value!r}"
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(text)
        plain = {numbers.Integral: int, numbers.Real: float}.get(kind, kind)(value)  # not NumPy's, which no YAML has
        if least is not None and not least <= plain <= most:
            raise ValueError(text)
        object.__setattr__(self, name, plain)

    def smaller(self) -> "Settings":
        """The same study in seconds, to see that everything works.

        Example:
            >>> Settings(seed=7).smaller().steps, Settings(seed=7).smaller().seed
            (3, 7)
        """
        return dataclasses.replace(
            self,
            steps=min(self.steps, 3),
            seeds=min(self.seeds, 2),
            realisations=2,
            warm_up=5_000.0,
            duration=20_000.0,
            judged=20_000.0,
        )
