"""What the user of a study decides."""

import dataclasses
import math
import numbers
from typing import Any

#: In the order in which they are done.
STAGES = ("explore", "refine", "regional", "maps", "connectivity")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything needed to repeat a study; what `config.yaml` holds.

    Raises:
        TypeError: naming the setting, for a value of another type.
        ValueError: naming the setting, for one out of range.
    """

    connectome: str = "dk84"
    fit: tuple[str, ...] = ("dk84",)  # scans: series or functional connectivity
    test: tuple[str, ...] = ()  # scans held out
    prior: str | None = None  # an earlier study's folder, or connectivity: what the target is drawn to
    tr: float | None = None  # s between samples, of files that do not say it
    atlas: str | None = None  # of images
    weights: str = "auto"  # raw, sqrt or log; auto: roots of what spans decades
    model: str = "WongWang"
    stages: tuple[str, ...] = ()  # left out: the recipe's
    free: tuple[str, ...] = ()  # left out: what the recipe explores
    regional: tuple[str, ...] = ()  # left out: what the recipe lets differ between regions
    maps: str | None = None  # a table of regions and maps
    fcd: tuple[float, ...] = ()  # s of windows, and from one to the next: dynamics to fit as well; left out: none
    steps: int = 80
    seeds: int = 8
    x64: bool = False
    period: float | None = None  # ms between samples of BOLD; left out: the scans', or 1000
    warm_up: float = 30_000.0  # ms before the recording that counts
    duration: Any = None  # ms of recording that a step of the fit sees; left out: 90 s, or 10 windows of fcd
    judged: Any = None  # ms of recording that fits are judged by; left out: 300 s, or 20 windows of fcd
    realisations: int = 4
    seed: int = 0

    def __post_init__(self):
        for name in ("connectome", "model"):
            self._check(name, str, "a text")
        for name in ("atlas", "maps", "prior"):
            if getattr(self, name) is not None:
                self._check(name, str, "the name of a file, or None")
        for name, such in (("free", "model.w"), ("regional", "model.w"), ("fit", "rest1.tsv"), ("test", "rest2.tsv")):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(path, str) and path for path in value):
                raise TypeError(f"{name} is a tuple of texts such as ({such!r},), got {value!r}")
        if not self.fit:
            raise ValueError("fit is one scan or several, got none")
        if not isinstance(self.weights, str) or self.weights not in ("auto", "raw", "sqrt", "log"):
            raise ValueError(f"weights is auto, raw, sqrt or log, got {self.weights!r}")
        self._check_stages()
        self._check("x64", bool, "True or False")
        for name, least in (("steps", 1), ("seeds", 1), ("realisations", 1), ("seed", 0)):
            self._check(name, numbers.Integral, f"a whole number from {least} on", least, 2**31 - 1)
        self._check_fcd()
        for name, plain, windows in (("duration", 90_000.0, 10), ("judged", 300_000.0, 20)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, windows * 1000.0 * self.fcd[0] if self.fcd else plain)
            self._check(name, numbers.Real, "a positive number of ms", math.ulp(0.0))
            self._check_windows(name)
        self._check("warm_up", numbers.Real, "a number of ms from 0 on", 0.0)
        for name, unit in (("period", "ms"), ("tr", "s")):
            if getattr(self, name) is not None:
                self._check(name, numbers.Real, f"a positive number of {unit}, or None", math.ulp(0.0))

    def _check_stages(self) -> None:
        if not isinstance(self.stages, tuple) or not all(isinstance(stage, str) for stage in self.stages):
            raise TypeError(f"stages is a tuple of {', '.join(STAGES)}, got {self.stages!r}")
        for stage in self.stages:
            if stage not in STAGES:
                raise ValueError(f"stages is some of {', '.join(STAGES)}, got {stage!r}")
        object.__setattr__(self, "stages", tuple(stage for stage in STAGES if stage in self.stages))
        if "maps" in self.stages and self.maps is None:
            raise ValueError("stages is to have maps, but no file of maps is given: --maps FILE")

    def _check_fcd(self) -> None:
        wanted = "fcd is the s of a window and from one to the next, such as (60.0, 3.0), or ()"
        if not isinstance(self.fcd, tuple) or not all(
            isinstance(x, numbers.Real) and not isinstance(x, bool) for x in self.fcd
        ):
            raise TypeError(f"{wanted}, got {self.fcd!r}")
        if self.fcd and (len(self.fcd) != 2 or not all(0 < x < math.inf for x in self.fcd)):
            raise ValueError(f"{wanted}, got {self.fcd!r}")
        object.__setattr__(self, "fcd", tuple(float(x) for x in self.fcd))

    def _check_windows(self, name: str) -> None:
        least = 1000.0 * (self.fcd[0] + 2 * self.fcd[1]) if self.fcd else 0.0
        if getattr(self, name) < least:
            raise ValueError(
                f"{name} is {getattr(self, name) / 1000:g} s, too short for windows of {self.fcd[0]:g} s that are {self.fcd[1]:g} s "
                f"apart: take {least / 1000:g} s or more"
            )

    def _check(self, name: str, kind: type, wanted: str, least: Any = None, most: Any = 1e300) -> None:
        value = getattr(self, name)
        text = f"{name} is {wanted}, got {value!r}"
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(text)
        plain = {numbers.Integral: int, numbers.Real: float}.get(kind, kind)(value)  # not NumPy's, which no YAML has
        if least is not None and not least <= plain <= most:
            raise ValueError(text)
        object.__setattr__(self, name, plain)

    def plain(self) -> dict[str, Any]:
        """By name, as YAML has it.

        Example:
            >>> Settings(free=("model.w",)).plain()["free"]
            ['model.w']
        """
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Settings":
        """What `plain` gave."""
        found: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
        return cls(**found)

    def smaller(self) -> "Settings":
        """The same study in seconds, to see that everything works.

        Example:
            >>> Settings(seed=7).smaller().steps, Settings(seed=7).smaller().seed
            (3, 7)
        """
        short = max(20_000.0, 3000.0 * sum(self.fcd))
        return dataclasses.replace(
            self,
            steps=min(self.steps, 3),
            seeds=min(self.seeds, 2),
            realisations=2,
            warm_up=5_000.0,
            duration=short,
            judged=short,
        )
