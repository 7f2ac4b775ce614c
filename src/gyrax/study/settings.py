"""What the user of a study decides."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything needed to repeat a study; what `config.yaml` holds."""

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
