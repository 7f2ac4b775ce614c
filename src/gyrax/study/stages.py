"""The stages of a study, in their order: what each does, how it is judged, and what of it is kept on disk.

A further stage is a function that takes a `Task` and returns an `StageOutcome`, and one more entry of `STAGES`.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array

from .._formats.npz import write_npz
from .._formats.writing import replacing
from ..fitting.results import FitResult
from ..fitting.rules import EIB, FIC
from ..fitting.training import Validation, fit
from ..fitting.tuning import tune
from ..network.network import Network
from ..parameters.addresses import get, replace
from ..parameters.domains import Positive
from ..parameters.selection import Free, select
from ..scale.sweeping import best, sweep
from .mismatch import FCMismatch
from .recipes import Recipe, Weighted
from .settings import Settings
from .working import critical

#: Up to where a coupling strength is looked for, in units in which regions hear 1 in the mean.
_STRONGEST = 20.0


class StudyInterrupted(Exception):  # noqa: N818
    """The user stopped the study; what was finished is on disk."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a stage is given."""

    name: str
    start: Network
    free: tuple[Any, ...]  # dotted paths, or `Free` with a domain, a mask or maps of its own
    loss: FCMismatch
    key: Any
    settings: Settings
    recipe: Recipe
    folder: Path  # where stages keep their files, each under its name
    progress: bool


class StageOutcome(NamedTuple):
    """What a stage gives back."""

    network: Network
    seen: Array  # keys of the noise that the network was chosen on
    fit: FitResult | None = None  # of stages that descend
    seconds: float = 0.0  # of what it took beside the fit
    said: str = ""  # what a reader should know


def explore(task: Task) -> StageOutcome:
    """The first two free parameters, all candidates side by side; the best one."""
    space, grid = _candidates(task)
    found = sweep(task.start, lambda n, k: task.loss(n, k)[0], space, grid=grid, key=task.key)
    if not np.isfinite(found["value"]).any():
        raise FloatingPointError("no candidate of the exploration stayed finite: look at --model and --free")
    (network,) = best(found, task.start)
    with replacing(task.folder / f"{task.name}.nc") as beside:
        found.to_netcdf(beside, engine="scipy")
    return StageOutcome(network, jax.random.split(task.key, 1))


def _candidates(task: Task) -> tuple[dict[str, np.ndarray], bool]:
    """Values of each parameter, and whether all go with all: a strength is in units of where the fixed point is lost."""
    paths, strength = task.free[:2], task.recipe.critical
    space = {path: _around(task, path) for path in paths}
    if strength is None or strength not in space:
        return space, True
    others = {path: values for path, values in space.items() if path != strength}
    lost = critical(task.start, strength, _STRONGEST, others)
    inside = lost > 0  # elsewhere there is no fixed point even without coupling
    if not inside.any():
        raise FloatingPointError("no candidate has a stable fixed point: look at --model and --free")
    chosen = {strength: np.outer(space[strength], lost[inside]).ravel()}
    chosen |= {path: np.tile(values[inside], len(space[strength])) for path, values in others.items()}
    return {path: chosen[path] for path in paths}, False


def _around(task: Task, path: str) -> np.ndarray:
    """Where the recipe looks for a parameter; of one that it does not know, what lies around its value."""
    if path in task.recipe.space:
        low, high, count = task.recipe.space[path]
        return np.linspace(low, high, count)
    return float(get(task.start, path)) * np.linspace(0.5, 1.5, 11)


def descend(task: Task, *, rate: float, steps: Callable[[int], int], noise: Literal["new", "common"]) -> StageOutcome:
    """Gradient steps whose length falls to nothing; near an instability single gradients are large, so they are cut.

    Steps that fall to nothing end at a mean over noise, so that the last model of new noise needs no validation to choose it.

    Args:
        task: what the stage is given.
        rate: the length of the first step.
        steps: of the steps that the settings ask for, how many are taken.
        noise: two parameters cannot learn a noise by heart: common noise gives them a smooth way down. Regional ones
            could, and need new noise.
    """
    s, count = task.settings, steps(task.settings.steps)
    # Few parameters may still learn their one noise: steps are held against where they began, on noise of neither.
    held = Validation(max(2, s.realisations), every=max(1, count // 5)) if noise == "common" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nothing was learnt", RuntimeWarning)  # which is said in the report
        result = fit(
            task.start,
            task.loss,
            select(task.start, *task.free),
            optax.adam(optax.cosine_decay_schedule(rate, count)),
            steps=count,
            clip=0.1,
            key=task.key,
            realisations=s.realisations,
            noise=noise,
            validation=held,
            checkpoint=task.folder / f"{task.name}.checkpoint.npz",
            progress=task.name if task.progress else False,
        )
    outcome = _outcome(task, result, count, noise)
    return outcome if result.learnt else outcome._replace(said="no step was better than what it began from")


def _outcome(task: Task, result: FitResult, count: int, noise: str, seconds: float = 0.0) -> StageOutcome:
    """What became of a fit, its history kept."""
    if result.stopped == "interrupted":
        raise StudyInterrupted(f"in stage '{task.name}' after {len(result.history['loss'])} of {count} steps")
    write_npz(task.folder / f"{task.name}.history.npz", result.history)
    # the last noise it was trained on
    base = task.key if noise == "common" else jax.random.fold_in(task.key, count - 1)
    return StageOutcome(result.model, jax.random.split(base, task.settings.realisations), result, seconds)


def connect(task: Task) -> StageOutcome:
    """Every connection: the balance rule brings the weights close while the network runs, the gradient does the rest.

    The rule first at a high rate, which brings the weights far but leaves them following the noise of its window, then at lower
    ones, which average it out. It leaves some weights at zero, where a share of the weight is nothing: they start at a
    thousandth of the connectome's. Held-out noise says at which step the gradient was best.
    """
    s, weighted = task.settings, task.recipe.weighted
    assert weighted is not None
    balanced, seconds = balance(task, weighted)
    start = replace(
        balanced, {p: np.maximum(get(balanced, p), 1e-3 * balanced.connectome.weights) for p in _weights(weighted)}
    )
    count = max(3, s.steps // 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nothing was learnt", RuntimeWarning)  # which is said in the report
        result = fit(
            start,
            task.loss,
            select(start, *freed(start, weighted)),
            optax.adam(optax.warmup_cosine_decay_schedule(3e-4, 3e-3, max(1, count // 10), count, 1.5e-4)),
            steps=count,
            clip=0.05,
            key=task.key,
            realisations=1,
            validation=Validation(min(4, s.realisations), every=min(10, count)),
            checkpoint=task.folder / f"{task.name}.checkpoint.npz",
            progress=task.name if task.progress else False,
        )
    outcome = _outcome(task, result, count, "new", seconds)
    return outcome if result.learnt else outcome._replace(said="the gradient did no better than the rule it began from")


def balance(task: Task, weighted: Weighted) -> tuple[Network, float]:
    """The network that feedback inhibition and the balance rule make, and the seconds it took; goes on where it was stopped."""
    target = np.asarray(task.loss.target)
    counts = np.zeros(len(target), bool)
    counts[list(range(len(target)) if task.loss.kept is None else task.loss.kept)] = True
    rule = functools.partial(
        EIB,
        target,
        monitor=weighted.monitor(_PIECE),
        excitation=weighted.excitation,
        inhibition=weighted.inhibition,
        where=counts,
    )
    plan: list[tuple[str, list[Any], int]] = [("inhibition", [FIC(leaf=weighted.balanced, rate=0.5)], 200)]
    for rate, ms in weighted.pieces:
        pieces = max(10, round(ms * min(1.0, task.settings.steps / 80) / _PIECE))
        rules = [FIC(leaf=weighted.balanced, rate=0.1), rule(rate=rate, ramp=min(2000, pieces))]
        plan.append((f"balance at {rate:g}", rules, pieces))
    network, before, seconds = task.start, None, 0.0
    for i, (name, rules, pieces) in enumerate(plan):
        found = tune(
            network,
            rules,
            steps=pieces,
            period=_PIECE,
            dt=weighted.dt,
            key=task.key if before is None else None,
            start=before,
            checkpoint=task.folder / f"{task.name}.{i}.checkpoint.npz",
            progress=f"{task.name}, {name}" if task.progress else False,
        )
        if found.stopped == "interrupted":
            raise StudyInterrupted(f"in stage '{task.name}', {name}")
        network, before, seconds = found.network, found, seconds + found.seconds
    return network, seconds


#: ms between which the rules act, whatever the TR of a scan.
_PIECE = 720.0


def freed(network: Network, weighted: Weighted) -> tuple[Any, ...]:
    """All weights of connections that there are, and the inhibition of every region.

    Weights are moved in units of the connectome's: a rate then means the same for the weakest and the strongest.
    """
    connected = np.asarray(network.connectome.weights) > 0
    scale = float(np.asarray(network.connectome.weights)[connected].mean())
    return (
        weighted.balanced,
        *(Free(path, mask=connected, domain=Positive(scale=scale)) for path in _weights(weighted)),
    )


def _weights(weighted: Weighted) -> tuple[str, str]:
    return weighted.excitation, weighted.inhibition


class Stage(NamedTuple):
    """A step of the way from the prepared network to the fitted one."""

    name: str
    work: Callable[[Task], StageOutcome]
    frees: Literal["two", "regional", "maps", "connections"] = "two"


STAGES = (
    Stage("explore", explore),
    Stage("refine", functools.partial(descend, rate=0.01, steps=lambda n: n // 4 or 1, noise="common")),
    Stage("regional", functools.partial(descend, rate=0.05, steps=lambda n: n, noise="new"), "regional"),
    Stage("maps", functools.partial(descend, rate=0.05, steps=lambda n: n, noise="new"), "maps"),
    Stage("connectivity", connect, "connections"),
)
