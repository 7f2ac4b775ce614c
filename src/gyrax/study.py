"""The main job: functional connectivity fitted in three stages, from a coarse exploration to one value a region."""

import dataclasses
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
import yaml
from jaxtyping import Array, Float

from . import couplings, features, io, losses, models, monitors, noise
from .anatomy.connectome import Connectome
from .datasets.connectomes import load
from .fitting.evaluation import Ceiling, ceiling, evaluate
from .fitting.grids import best, sweep
from .fitting.training import FitResult, fit
from .network.network import Network
from .parameters.selection import per_region, select
from .simulation import simulate


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
        """The same study in seconds, to see that everything works."""
        return dataclasses.replace(
            self,
            steps=min(self.steps, 3),
            seeds=min(self.seeds, 2),
            realisations=2,
            warm_up=5_000.0,
            duration=20_000.0,
            judged=20_000.0,
        )


class FCMismatch(eqx.Module):
    """The loss: 1 - r + 2 rmse between simulated and target functional connectivity, off the diagonal.

    The correlation alone lets the level of connectivity run away, to where the network falls into another state.
    """

    target: Float[Array, "node node"]
    monitor: monitors.AbstractMonitor
    duration: float = eqx.field(static=True)
    warm_up: float = eqx.field(static=True)
    dt: float = eqx.field(static=True)

    def record(self, network: Network, key: Any) -> Float[Array, "time node"]:
        """BOLD after the warm-up."""
        run = simulate(network, self.warm_up + self.duration, self.dt, monitors={"bold": self.monitor}, key=key)
        assert self.monitor.period is not None
        values = run["bold"].values[round(self.warm_up / self.monitor.period) :]
        return values if values.ndim == 2 else values[:, 0]

    def terms(self, network: Network, key: Any) -> dict[str, Array]:
        """Correlation and rmse with the target."""
        found = features.fc(self.record(network, key))
        return {"r": losses.fc_correlation(found, self.target), "rmse": losses.fc_rmse(found, self.target)}

    def __call__(self, network: Network, key: Any) -> tuple[Array, dict[str, Array]]:
        terms = self.terms(network, key)
        return 1 - terms["r"] + 2 * terms["rmse"], terms


class StudyInterrupted(Exception):  # noqa: N818
    """The user stopped the study; what was finished is on disk."""


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
        """All three stages; a stage that is on disk already is not computed again."""
        s, keys = self.settings, jax.random.split(jax.random.key(self.settings.seed), 4)
        (self.out / "stages").mkdir(parents=True, exist_ok=True)
        (self.out / "config.yaml").write_text(yaml.safe_dump(self.config(), sort_keys=False))
        network = self._stage("explore", self.free, keys[0], self._explore)
        network = self._stage("refine", self.free, keys[1], self._descend(network, 0.01, s.steps // 4 or 1, "common"))
        if self.regional:
            network = per_region(network, *self.regional)
            network = self._stage("regional", self.regional, keys[2], self._descend(network, 0.05, s.steps, "new"))
        self._write(network)
        return network

    def config(self) -> dict[str, Any]:
        packages = ("gyrax", "jax", "equinox", "diffrax", "optax", "numpy")
        about = {name: version(name) for name in packages} | {"python": platform.python_version()}
        return {"settings": dataclasses.asdict(self.settings) | {"free": list(self.settings.free)}, "versions": about}

    def _stage(self, name: str, free: tuple[str, ...], key: Any, work: Callable[..., tuple[Network, Any]]) -> Network:
        """One stage and its judgement, kept on disk when finished."""
        kept, report = self.out / "stages" / f"{name}.npz", self.out / "stages" / f"{name}.json"
        if report.exists():
            self.stages.append(json.loads(report.read_text()))
            shaped = per_region(self.network, *self.regional) if name == "regional" else self.network
            return io.load(kept, shaped)
        began = time.perf_counter()
        network, train_keys = work(name, free, key)
        # a fit that went on from disk counts what it had taken before
        seconds = self.results[name].seconds if name in self.results else time.perf_counter() - began
        if name == "explore":
            n_free = len(free)
        else:
            n_free = int(sum(np.size(leaf) for leaf in jax.tree.leaves(eqx.filter(network, select(network, *free)))))
        loss = self.loss(self.settings.judged)
        train, judged = (evaluate(network, loss.terms, keys) for keys in (train_keys, self.unseen))
        stage = {
            "name": name,
            "n_free": n_free,
            "seconds": round(seconds, 2),
            "train": {term: float(np.mean(train[term])) for term in ("r", "rmse")},
            "unseen": {
                "r": float(np.mean(judged["r"])),
                "r_sd": float(np.std(judged["r"], ddof=min(1, self.settings.seeds - 1))),
                "rmse": float(np.mean(judged["rmse"])),
                "seeds": self.settings.seeds,
            },
        }
        io.save(kept, network)
        report.write_text(json.dumps(stage, indent=1))
        self.stages.append(stage)
        return network

    def _explore(self, name: str, free: tuple[str, ...], key: Any) -> tuple[Network, Any]:
        """A grid over the free parameters, all candidates side by side; the best one."""
        loss = self.loss(self.settings.duration)
        space = {path: self._values(path) for path in free[:2]}
        grid = sweep(self.network, lambda n, k: loss(n, k)[0], space, key=key)
        if not np.isfinite(grid["value"]).any():
            raise FloatingPointError("no candidate of the exploration stayed finite: look at --model and --free")
        (network,) = best(grid, self.network)
        grid.to_netcdf(self.out / "stages" / "explore.nc", engine="scipy")
        return network, jax.random.split(key, 1)

    def _values(self, path: str) -> np.ndarray:
        if path in self.recipe.space:
            low, high, count = self.recipe.space[path]
            return np.linspace(low, high, count)
        value = float(_leaf(path)(self.network))
        return value * np.linspace(0.5, 1.5, 11)

    def _descend(
        self, start: Network, rate: float, steps: int, noise: Literal["new", "common"]
    ) -> Callable[..., tuple[Network, Any]]:
        """Gradient steps whose length falls to nothing; near an instability single gradients are large, so they are cut.

        Two parameters cannot learn a noise by heart: common noise gives them a smooth way down. Regional ones could.
        """

        def work(name: str, free: tuple[str, ...], key: Any) -> tuple[Network, Any]:
            s = self.settings
            result = fit(
                start,
                self.loss(s.duration),
                select(start, *free),
                optax.adam(optax.cosine_decay_schedule(rate, steps)),
                steps=steps,
                clip=0.1,
                key=key,
                realisations=s.realisations,
                noise=noise,
                checkpoint=self.out / "stages" / f"{name}.checkpoint.npz",
                progress=name if self.progress else False,
            )
            if result.stopped == "interrupted":
                raise StudyInterrupted(f"in stage '{name}' after {len(result.history['loss'])} of {steps} steps")
            self.results[name] = result
            np.savez(self.out / "stages" / f"{name}.history.npz", allow_pickle=False, **result.history)
            base = key if noise == "common" else jax.random.fold_in(key, result.best_step)
            return result.model, jax.random.split(base, s.realisations)

        return work

    def _write(self, network: Network) -> None:
        """What the user takes home."""
        s, labels = self.settings, network.connectome.labels
        loss = self.loss(s.judged)
        bold = evaluate(network, loss.record, self.unseen)["value"]
        fcs = np.stack([np.asarray(features.fc(values)) for values in bold])
        io.save(self.out / "model.npz", network)
        summary: dict[str, Any] = {"stages": self.stages}
        if len(fcs) > 1:
            self.ceiling = ceiling(fcs, self.target, self.stages[-1]["train"]["r"])
            shown = ("unseen", "reliability", "highest", "without_noise", "limit")
            summary["ceiling"] = {name: getattr(self.ceiling, name) for name in shown}
        (self.out / "summary.json").write_text(json.dumps(summary, indent=1))
        data = xr.Dataset(
            {
                "bold": (("seed", "time", "region"), bold),
                "fc": (("seed", "region", "source"), fcs),
                "target": (("region", "source"), self.target),
            },
            coords={
                "time": ("time", s.warm_up + s.period * np.arange(1, bold.shape[1] + 1), {"units": "ms"}),
                "region": list(labels),
                "source": list(labels),
            },
        )
        data.to_netcdf(self.out / "recordings.nc", engine="scipy")
        self._figure(network, fcs.mean(0))

    def _figure(self, network: Network, found: np.ndarray) -> None:
        from matplotlib.figure import Figure

        from . import plot

        figure = Figure(figsize=(12, 6.5), layout="constrained")
        axes = figure.subplots(2, 3)
        labels = network.connectome.labels
        panels = plot.fc_fit(self.target, found, labels, limits=(0, 1), scatter=True, ax=axes.flat[:4])
        panels[1].set_title(f"{panels[1].get_title()}, mean of unseen noise")
        at = 0
        for path in sorted((self.out / "stages").glob("*.history.npz"), key=lambda p: "regional" in p.name):
            with np.load(path) as history:
                axes[1, 1].plot(
                    np.arange(len(history["loss"])) + at, history["loss"], lw=1, label=path.name.split(".")[0]
                )
                at += len(history["loss"])
        axes[1, 1].set(xlabel="step", ylabel="loss: 1 - r + 2 rmse", title="loss history")
        axes[1, 1].legend(frameon=False)
        for path in self.regional[:1]:
            plot.regional(_leaf(path)(network), labels, name=path, ax=axes[1, 2])
            axes[1, 2].set_title("regional parameters")
        figure.savefig(self.out / "figure.png", dpi=130)

    def table(self) -> str:
        """The stages as text."""
        head = f"{'stage':10s} {'free':>5s} {'seconds':>8s}   {'train r':>7s} {'rmse':>6s}   {'unseen r':>8s} {'sd':>6s} {'rmse':>6s}"
        lines = [head]
        for x in self.stages:
            train, unseen = x["train"], x["unseen"]
            lines.append(
                f"{x['name']:10s} {x['n_free']:5d} {x['seconds']:8.1f}   {train['r']:7.3f} {train['rmse']:6.3f}   "
                f"{unseen['r']:8.3f} {unseen['r_sd']:6.3f} {unseen['rmse']:6.3f}"
            )
        seeds, judged = self.settings.seeds, self.settings.judged / 1000
        lines.append(f"unseen: {seeds} noise seeds never trained on, {judged:g} s of BOLD each")
        if self.ceiling is not None:
            c = self.ceiling
            lines.append(
                f"two of them agree by r {c.reliability:.3f}: no model could reach more than {c.highest:.3f}, this one "
                f"{c.without_noise:.3f} without noise; it is limited by: {c.limit}"
            )
        return "\n".join(lines)


def _leaf(path: str) -> Callable[[Any], Any]:
    def get(tree: Any) -> Any:
        for name in path.split("."):
            tree = tree[name] if isinstance(tree, dict) else getattr(tree, name)
        return tree

    return get


def prepare(settings: Settings, out: Path, progress: bool = True) -> Study:
    """Reads and checks all that a study needs, before any of it is computed.

    Raises:
        FileNotFoundError, ValueError, TypeError: saying what is wrong and how to mend it.
    """
    from .io.connectomes import read_matrix

    if settings.model not in RECIPES:
        raise ValueError(f"no model '{settings.model}' here; there are {', '.join(RECIPES)}")
    connectome = load("dk84").connectome if settings.connectome == "dk84" else Connectome.load(settings.connectome)
    if settings.target == "dk84":
        target, labels = np.asarray(load("dk84").fc, float), load("dk84").connectome.labels
    else:
        target, labels = read_matrix(settings.target)
    _check_target(settings.target, target, labels, connectome)
    recipe = RECIPES[settings.model]
    network = recipe.build(connectome.normalised("max"))
    free = settings.free or tuple(recipe.space)
    select(network, *free)
    for path in free:
        if jnp.shape(_leaf(path)(network)) != ():
            raise ValueError(
                f"{path} is no scalar: a study frees scalars first, and the model's one value a region after"
            )
    return Study(settings, network, target, out, progress)


def _check_target(name: str, target: np.ndarray, labels: Any, connectome: Connectome) -> None:
    n = connectome.n_regions
    if target.shape != (n, n):
        raise ValueError(
            f"the target {name} is {target.shape[0]} x {target.shape[1]} but the connectome has {n} regions: "
            "give both for the same regions, in the same order"
        )
    if labels is not None and tuple(labels) != connectome.labels:
        i = next(i for i in range(n) if labels[i] != connectome.labels[i])
        raise ValueError(
            f"region {i} is '{labels[i]}' in the target {name} and '{connectome.labels[i]}' in the connectome: "
            "give both in the same order"
        )
    outside = np.abs(target) > 1 + 1e-6
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise ValueError(
            f"the target {name} is no functional connectivity: {target[i, j]:.4g} between {connectome.labels[i]} and "
            f"{connectome.labels[j]} lies outside of [-1, 1]; give Pearson correlations"
        )
    if not np.allclose(target, target.T, atol=1e-4):
        i, j = np.argwhere(~np.isclose(target, target.T, atol=1e-4))[0]
        raise ValueError(
            f"the target {name} is not symmetric: {target[i, j]:.4g} and {target[j, i]:.4g} between "
            f"{connectome.labels[i]} and {connectome.labels[j]}"
        )
