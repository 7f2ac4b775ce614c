"""A study under way: the stages one after the other, and the report at the end."""

import dataclasses
import time
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import features, io
from .._formats.locking import held
from .._formats.writing import clear
from ..fitting.evaluation import Ceiling, ceiling, evaluate
from ..fitting.training import FitResult
from ..network.network import Network
from ..parameters.addresses import get
from ..parameters.selection import per_region
from . import report
from .config import begin_or_compare, described
from .mismatch import FCMismatch
from .recipes import RECIPES, Recipe
from .settings import Settings
from .stages import STAGES, Stage, Task, histories, judge, keep, recall

#: Beside the files of a study while it is under way.
LOCK = "study.lock"


@dataclasses.dataclass
class Study:
    """A study under way: its data, its network, where its files go, and what its stages found."""

    settings: Settings
    network: Network
    target: np.ndarray
    out: Path
    progress: bool = True
    stages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    results: dict[str, FitResult] = dataclasses.field(default_factory=dict)
    ceiling: Ceiling | None = None
    files: ClassVar[tuple[str, ...]] = (
        "config.yaml",
        "summary.json",
        "model.npz",
        "recordings.nc",
        "figure.png",
    )

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.settings.model]

    @property
    def free(self) -> tuple[str, ...]:
        return self.settings.free or tuple(self.recipe.space)

    @property
    def regional(self) -> tuple[str, ...]:
        """What becomes one value a region: the recipe's choice if it is free, else all free parameters of the model."""
        chosen = tuple(name for name in self.recipe.regional if name in self.free)
        return chosen or tuple(name for name in self.free if name.startswith("model."))

    @property
    def unseen(self) -> Array:
        """The keys of the noise that fits are judged on, and nothing else."""
        return jax.random.split(jax.random.key(self.settings.seed + 1_000_003), self.settings.seeds)

    def loss(self, duration: float) -> FCMismatch:
        s = self.settings
        return FCMismatch(jnp.asarray(self.target), self.recipe.monitor(s.period), duration, s.warm_up, self.recipe.dt)

    def run(self) -> Network:
        """All stages in their order; a stage that is on disk already is not computed again.

        Raises:
            OSError: if another process is at work in the folder, or it takes no files.
            ValueError: if another study was begun there, or this one with other data, or a file of it is damaged.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with held(self.out, self.out / LOCK):
            begin_or_compare(self.out, self.config())
            self._folder.mkdir(exist_ok=True)
            for path in (*(self.out / name for name in self.files), self._folder / "*"):
                clear(path)
            return self._run()

    def _run(self) -> Network:
        # four is how many there always were: their number decides what each key is under JAX's older key splitting
        keys = jax.random.split(jax.random.key(self.settings.seed), max(4, len(STAGES)))
        network = self.network
        for stage, key in zip(STAGES, keys, strict=False):
            if free := self.regional if stage.regional else self.free:
                network = self._stage(stage, network, free, key)
        self._report(network)
        return network

    def config(self) -> dict[str, Any]:
        return described(self.settings, self.network, self.target)

    @property
    def _folder(self) -> Path:
        """Where the stages keep their files."""
        return self.out / "stages"

    def _stage(self, stage: Stage, network: Network, free: tuple[str, ...], key: Any) -> Network:
        """One stage and its judgement, from disk if it was finished before."""
        shaped = (lambda n: per_region(n, *free)) if stage.regional else (lambda n: n)
        if finished := recall(self._folder, stage.name, shaped(self.network)):
            judgement, network = finished
            self.stages.append(judgement)
            return network
        s, start = self.settings, shaped(network)
        began = time.perf_counter()
        task = Task(
            stage.name, start, free, self.loss(s.duration), key, s, self.recipe, self._folder, progress=self.progress
        )
        network, seen, result = stage.work(task)
        seconds = time.perf_counter() - began
        if result is not None:
            self.results[stage.name] = result
            seconds = result.seconds  # a fit that went on from disk counts what it had taken before
        judged = judge(network, self.loss(s.judged), free, seen, self.unseen)
        judgement = {"name": stage.name, "n_free": judged.pop("n_free"), "seconds": round(seconds, 2), **judged}
        keep(self._folder, judgement, network)
        self.stages.append(judgement)
        return network

    def _report(self, network: Network) -> None:
        """What the user takes home."""
        labels, loss = network.connectome.labels, self.loss(self.settings.judged)
        bold = evaluate(network, loss.record, self.unseen)["value"]
        fcs = np.stack([np.asarray(features.fc(values)) for values in bold])
        io.save(self.out / "model.npz", network)
        if len(fcs) > 1:
            self.ceiling = ceiling(fcs, self.target, self.stages[-1]["train"]["r"])
        report.write_summary(self.out / "summary.json", self.stages, self.ceiling)
        report.write_recordings(self.out / "recordings.nc", bold, fcs, self.target, labels, self.settings)
        regional = {path: get(network, path) for path in self.regional}
        report.draw(self.out / "figure.png", self.target, fcs.mean(0), labels, histories(self._folder), regional)

    def table(self) -> str:
        """The stages as text."""
        return report.table(self.stages, self.settings, self.ceiling)
