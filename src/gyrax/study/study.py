"""A study under way: the stages one after the other, and the report at the end."""

import dataclasses
import functools
import os
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
from .._kinds import expect, flag
from ..anatomy.connectome import Connectome
from ..fitting.evaluation import Ceiling, ceiling, evaluate
from ..fitting.results import FitResult
from ..io.maps import read_maps
from ..network.network import Network
from ..parameters.addresses import get
from ..parameters.maps import by_maps
from ..parameters.selection import per_region, select
from ..parameters.splitting import split
from . import report
from .config import begin_or_compare, described
from .data import Data, read_prior
from .judging import histories, judge, keep, recall
from .mismatch import Dynamics, FCMismatch
from .recipes import RECIPES, Recipe, step_within
from .scans import Scan
from .settings import Settings
from .stages import STAGES, Stage, Task, freed
from .structure import Scaled, linear, scaled

#: Beside the files of a study while it is under way.
LOCK = "study.lock"
#: Most values of a distribution of dynamics, evenly through their order: more tell nothing, and XLA would sort them while it compiles.
_VALUES = 4000


@dataclasses.dataclass
class Study:
    """A study under way: its data, its network, where its files go, and what its stages found.

    Example:
        >>> import gyrax as gx
        >>> data = gx.datasets.load("dk84")
        >>> one = Study.of(data.connectome, fit=[data.fc], out="nowhere", stages=("explore",), weights="raw")
        >>> one.network.n_regions, one.free
        (84, ('coupling.strength', 'model.w'))
    """

    settings: Settings
    data: Data
    structure: Scaled
    out: Path
    progress: bool = True
    dynamics: Dynamics | None = None
    stages: list[dict[str, Any]] = dataclasses.field(default_factory=list, init=False)
    results: dict[str, FitResult] = dataclasses.field(default_factory=dict, init=False)
    ceiling: Ceiling | None = dataclasses.field(default=None, init=False)
    #: The mean connectivity of the last stage, on noise that it never heard.
    found: np.ndarray | None = dataclasses.field(default=None, init=False)
    files: ClassVar[tuple[str, ...]] = (
        "report.html",
        "summary.json",
        "model.npz",
        "recordings.nc",
        "figure.png",
        "config.yaml",
    )

    def __post_init__(self):
        expect("settings", self.settings, Settings, "settings", "gx.study.Settings()")
        expect("data", self.data, Data, "data", "gx.study.Data(connectome, (scan,))")
        expect("structure", self.structure, Scaled, "a connectome on a common scale", "gx.study.scaled(connectome)")
        expect("out", self.out, (str, Path), "a folder", "Path('gyrax-fit')")
        expect("dynamics", self.dynamics, (Dynamics, None), "dynamics", "gx.study.Dynamics(values, window, step)")
        flag("progress", self.progress)
        self.out = Path(self.out)
        if self.settings.model not in RECIPES:
            raise ValueError(f"no model '{self.settings.model}' here; there are {', '.join(RECIPES)}")
        self.network: Network = self.recipe.build(self.structure.connectome)
        self.target, self.there = self.data.target, self.data.there
        if self.dynamics is None and self.settings.fcd:
            self.dynamics = _pooled(self.data, *self.settings.fcd)
        self._check()

    def _check(self) -> None:
        """All that could stop a later stage, before the first."""
        s, measured = self.settings, self.data.period
        if s.period is not None and measured is not None and abs(s.period - measured) > 1e-6 * measured:
            raise ValueError(f"period is {s.period:g} ms, and the scans have a TR of {measured:g} ms: leave it out")
        for path in (*self.free, *self.regional):
            if np.shape(get(self.network, path)) != ():
                raise ValueError(
                    f"{path} is no scalar: a study frees scalars first, and the model's one value a region after"
                )
        if "connectivity" in s.stages and self.recipe.weighted is None:
            raise ValueError(f"{s.model} has no stage 'connectivity' here: leave it out of --stages, or take WongWang")
        for name in ("regional", "maps"):
            if name in s.stages and not self.regional:
                raise ValueError(
                    f"the stage '{name}' has nothing to free: name a parameter by --regional, such as model.w"
                )
        for stage in self.planned:
            network, free = self._begin(stage, self.network)
            split(network, select(network, *free))

    @classmethod
    def of(
        cls,
        connectome: Connectome,
        fit: Any,
        test: Any = (),
        *,
        out: str | Path,
        tr: float | None = None,
        prior: Any = None,
        dynamics: Dynamics | None = None,
        progress: bool = True,
        **settings: Any,
    ) -> "Study":
        """A study of data in memory: what `gyrax fit` does with files.

        Args:
            connectome: weights in whatever unit.
            fit: a scan to be fitted, or a list of them: what `Scan.of` takes.
            test: scans held out.
            out: a folder for the results.
            tr: s between samples, where scans do not say it.
            prior: what the target is drawn to: connectivity, as a scan.
            dynamics: to be met as well; those of the scans, where `fcd` is set and this is left out.
            progress: show bars.
            settings: of `Settings`, by name.

        Raises:
            ValueError, TypeError: as `Scan.of`, `Data` and `Settings`.
        """
        expect("connectome", connectome, Connectome, "a connectome", "gx.Connectome.load('connectome')")
        scans = [
            [
                scan if isinstance(scan, Scan) else Scan.of(scan, connectome, tr=tr, name=f"{kind} {i}")
                for i, scan in enumerate(given if isinstance(given, list | tuple) else [given])
            ]
            for kind, given in (("fit", fit), ("test", test))
        ]
        if isinstance(prior, str | os.PathLike):
            prior = read_prior(prior, connectome)
        known = prior if prior is None or isinstance(prior, Scan) else Scan.of(prior, connectome, tr=tr, name="prior")
        data = Data(connectome, tuple(scans[0]), tuple(scans[1]), known)
        names = {kind: tuple(scan.name for scan in given) for kind, given in zip(("fit", "test"), scans, strict=True)}
        chosen = Settings(connectome="given", tr=tr, **names, **settings)
        return cls(chosen, data, scaled(connectome, chosen.weights), Path(out), progress, dynamics)

    @property
    def recipe(self) -> Recipe:
        return RECIPES[self.settings.model]

    @property
    def free(self) -> tuple[str, ...]:
        return self.settings.free or tuple(self.recipe.space)

    @property
    def regional(self) -> tuple[str, ...]:
        """What becomes one value a region: as asked; or the recipe's choice, but of a choice of free parameters those of the model."""
        if self.settings.regional or not self.settings.free:
            return self.settings.regional or self.recipe.regional
        return tuple(name for name in self.free if name.startswith("model."))

    @property
    def planned(self) -> tuple[Stage, ...]:
        """The stages that there will be."""
        names = self.settings.stages or self.recipe.stages + (("maps",) if self.settings.maps else ())
        return tuple(s for s in STAGES if s.name in names and (s.name != "regional" or self.regional))

    @property
    def period(self) -> float:
        """ms between samples of BOLD: as asked, of the scans, or of the TR that was given for scans that are connectivity alone."""
        return self.settings.period or self.data.period or 1000.0 * (self.settings.tr or 1.0)

    @property
    def unseen(self) -> Array:
        """The keys of the noise that fits are judged on, and nothing else."""
        return jax.random.split(jax.random.key(self.settings.seed + 1_000_003), self.settings.seeds)

    def loss(self, duration: float, stage: Stage = STAGES[0]) -> FCMismatch:
        """What a stage makes small, over recordings of so many ms (rounded up to whole samples)."""
        of: Any = self.recipe.weighted if stage.frees == "connections" else self.recipe
        length, warm_up = (
            self.period * int(np.ceil(ms / self.period - 1e-9)) for ms in (duration, self.settings.warm_up)
        )
        kept = None if self.there.all() else tuple(np.flatnonzero(self.there).tolist())
        monitor, dt = of.monitor(self.period), step_within(self.period, of.dt)
        return FCMismatch(jnp.asarray(self.target), monitor, length, warm_up, dt, kept, self.dynamics_met)

    @property
    def dynamics_met(self) -> Dynamics | None:
        """The dynamics to be met, over whole samples of this study."""
        if self.dynamics is None:
            return None
        window, step = (
            self.period * max(1, round(ms / self.period)) for ms in (self.dynamics.window, self.dynamics.step)
        )
        return dataclasses.replace(self.dynamics, window=window, step=step)

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
        keys = jax.random.split(jax.random.key(self.settings.seed), len(STAGES))
        network = common = self.network
        for stage in self.planned:
            network = self._stage(stage, common, keys[STAGES.index(stage)])
            common = network if stage.frees == "two" else common
        self._report(network)
        return network

    def config(self) -> dict[str, Any]:
        return described(self.settings, self.network, self.data, self.dynamics)

    @property
    def _folder(self) -> Path:
        """Where the stages keep their files."""
        return self.out / "stages"

    def _begin(self, stage: Stage, common: Network) -> tuple[Network, tuple[Any, ...]]:
        """The network that a stage begins from, and what it frees of it."""
        if stage.frees == "two":
            return common, self.free
        if stage.frees == "connections":
            assert self.recipe.weighted is not None
            network = self.recipe.weighted.build(self.structure.connectome)
            return network, freed(network, self.recipe.weighted)
        network = per_region(common, *self.regional)
        if stage.frees == "regional":
            return network, self.regional
        assert self.settings.maps is not None
        table = read_maps(self.settings.maps, self.structure.connectome.labels)
        strength = tuple(path for path in self.free if path not in self.regional)
        return network, (*strength, *(by_maps(network, path, table) for path in self.regional))

    def _stage(self, stage: Stage, common: Network, key: Any) -> Network:
        """One stage and its judgement, from disk if it was finished before."""
        like, free = self._begin(stage, self.network)
        if finished := recall(self._folder, stage.name, like):
            judgement, network = finished
            self.stages.append(judgement)
            return network
        s, (start, free) = self.settings, self._begin(stage, common)
        began = time.perf_counter()
        loss = self.loss(s.duration, stage)
        network, seen, result, more, said = stage.work(
            Task(stage.name, start, free, loss, key, s, self.recipe, self._folder, progress=self.progress)
        )
        seconds = time.perf_counter() - began
        if result is not None:
            self.results[stage.name] = result
            seconds = result.seconds + more  # a fit that went on from disk counts what it had taken before
        tests = {scan.name: scan.fc for scan in self.data.test}
        judged = judge(network, self.loss(s.judged, stage), free, (seen, self.unseen), self.there, tests)
        judgement = {"name": stage.name, "n_free": judged.pop("n_free"), "seconds": round(seconds, 2), **judged}
        judgement |= {"said": said} if said else {}
        keep(self._folder, judgement, network)
        self.stages.append(judgement)
        return network

    def _report(self, network: Network) -> None:
        """What the user takes home."""
        stage = self.planned[-1]
        loss = self.loss(self.settings.judged, stage)
        bold = evaluate(network, loss.record, self.unseen)["value"]
        fcs = np.stack([np.asarray(features.fc(values)) for values in bold])
        self.found = fcs.mean(0)
        io.save(self.out / "model.npz", network)
        if len(fcs) > 1:
            kept = np.ix_(self.there, self.there)
            trained = self.stages[-1]["train"]["r"]
            self.ceiling = ceiling(np.stack([fc[kept] for fc in fcs]), self.target[kept], trained)
        report.write(self, network, bold, fcs, histories(self._folder))

    @functools.cached_property
    def references(self) -> list[dict[str, Any]]:
        """What a model is to be compared with: the connectome itself, the best linear model, and the training scans."""
        connectome, there = self.structure.connectome, self.there
        best = linear(connectome, self.target, there)
        weights = np.asarray(connectome.weights)
        rows = [("the connectome itself", 0, weights), ("linear model of it", 1, best.fc)]
        alone = [("the training scans", self.data.measured)]
        if self.data.prior is not None:
            alone += [("the prior", self.data.prior.fc), ("both mixed", self.target)]
        return [report.reference(name, n, fc, self.target, there, self.data.test) for name, n, fc in rows] + [
            report.reference(name, 0, fc, None, there, self.data.test) for name, fc in alone
        ]

    def values(self, network: Network) -> dict[str, np.ndarray]:
        """Parameters of a network with one value a region, by their dotted paths."""
        paths = (*self.regional, *((self.recipe.weighted.balanced,) if self.recipe.weighted else ()))
        found = {}
        for path in paths:
            try:
                value = np.asarray(get(network, path))
            except ValueError:  # of another stage's model
                continue
            if value.shape == (network.n_nodes,):
                found[path] = value
        return found

    def table(self) -> str:
        """The stages as text."""
        return report.table(self)


def _pooled(data: Data, window: float, step: float) -> Dynamics:
    """The dynamics of all scans to fit, pooled; s of a window, and from one to the next."""
    values = []
    for scan in data.fit:
        if scan.series is None or scan.period is None:
            raise ValueError(f"{scan.name} is connectivity alone: its dynamics need the series; leave --fcd out")
        length, apart = (scan.period * max(1, round(1000 * s / scan.period)) for s in (window, step))
        values.append(
            np.asarray(features.fcd_values(features.fcd(scan.series[:, data.there], length, apart, scan.period)))
        )
    pooled = np.sort(np.concatenate(values))
    most = pooled[np.linspace(0, len(pooled) - 1, min(len(pooled), _VALUES)).round().astype(int)]
    return Dynamics(jnp.asarray(most, jnp.result_type(float)), 1000 * window, 1000 * step)
