"""The stages of a study, in their order: what each does, how it is judged, and what of it is kept on disk.

A further stage is a function that takes a `Task` and returns an `StageOutcome`, and one more entry of `STAGES`.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array

from .. import io
from .._formats.npz import write_npz
from .._formats.reading import DAMAGED
from .._formats.writing import replacing, write_text
from ..fitting.evaluation import evaluate
from ..fitting.grids import best, sweep
from ..fitting.training import FitResult, fit
from ..network.network import Network
from ..parameters.addresses import get
from ..parameters.selection import select
from .mismatch import FCMismatch
from .recipes import Recipe
from .settings import Settings


class StudyInterrupted(Exception):  # noqa: N818
    """The user stopped the study; what was finished is on disk."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a stage is given."""

    name: str
    start: Network
    free: tuple[str, ...]
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


def explore(task: Task) -> StageOutcome:
    """A grid over the first two free parameters, all candidates side by side; the best one."""
    space = {path: _candidates(task, path) for path in task.free[:2]}
    grid = sweep(task.start, lambda n, k: task.loss(n, k)[0], space, key=task.key)
    if not np.isfinite(grid["value"]).any():
        raise FloatingPointError("no candidate of the exploration stayed finite: look at --model and --free")
    (network,) = best(grid, task.start)
    with replacing(task.folder / f"{task.name}.nc") as beside:
        grid.to_netcdf(beside, engine="scipy")
    return StageOutcome(network, jax.random.split(task.key, 1))


def _candidates(task: Task, path: str) -> np.ndarray:
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
        validation=None,
        checkpoint=task.folder / f"{task.name}.checkpoint.npz",
        progress=task.name if task.progress else False,
    )
    if result.stopped == "interrupted":
        raise StudyInterrupted(f"in stage '{task.name}' after {len(result.history['loss'])} of {count} steps")
    write_npz(task.folder / f"{task.name}.history.npz", result.history)
    base = (
        task.key if noise == "common" else jax.random.fold_in(task.key, count - 1)
    )  # the last noise it was trained on
    return StageOutcome(result.model, jax.random.split(base, s.realisations), result)


class Stage(NamedTuple):
    """A step of the way from the prepared network to the fitted one."""

    name: str
    work: Callable[[Task], StageOutcome]
    regional: bool = False  # frees one value a region, not what the user freed


STAGES = (
    Stage("explore", explore),
    Stage("refine", functools.partial(descend, rate=0.01, steps=lambda n: n // 4 or 1, noise="common")),
    Stage("regional", functools.partial(descend, rate=0.05, steps=lambda n: n, noise="new"), regional=True),
)


def judge(network: Network, loss: FCMismatch, free: tuple[str, ...], seen: Array, unseen: Array) -> dict[str, Any]:
    """How many numbers a stage freed, and how near its network comes to the target on noise it saw and never saw."""
    leaves = jax.tree.leaves(eqx.filter(network, select(network, *free)))
    train, judged = (evaluate(network, loss.terms, keys) for keys in (seen, unseen))
    return {
        "n_free": int(sum(np.size(leaf) for leaf in leaves)),
        "train": {term: float(np.mean(train[term])) for term in ("r", "rmse")},
        "unseen": {
            "r": float(np.mean(judged["r"])),
            "r_sd": float(np.std(judged["r"], ddof=min(1, len(unseen) - 1))),
            "rmse": float(np.mean(judged["rmse"])),
            "seeds": len(unseen),
        },
    }


def keep(folder: Path, judgement: dict[str, Any], network: Network) -> None:
    """Writes a finished stage. The judgement comes last: where it is, the stage is whole."""
    io.save(folder / f"{judgement['name']}.npz", network)
    write_text(folder / f"{judgement['name']}.json", json.dumps(judgement, indent=1))


def recall(folder: Path, name: str, like: Network) -> tuple[dict[str, Any], Network] | None:
    """The judgement and the network of a stage that was finished before, if it was; `like` is a network of its form.

    Raises:
        ValueError: if they are damaged: what to delete, so that the stage is computed again.
    """
    judgement, network = folder / f"{name}.json", folder / f"{name}.npz"
    if not judgement.exists():
        return None
    try:
        found = json.loads(judgement.read_text(encoding="utf-8"))
        _check_judgement(found, name)
    except (ValueError, RecursionError) as error:
        raise _damaged(judgement, error, judgement) from error
    try:
        return found, io.load(network, like)
    except (*DAMAGED, FileNotFoundError) as error:
        raise _damaged(network, error, judgement) from error


def histories(folder: Path) -> dict[str, np.ndarray]:
    """The losses of the stages that descended, step by step, in the order of the stages.

    Raises:
        ValueError: if one is damaged.
    """
    found = {}
    for stage in STAGES:
        path = folder / f"{stage.name}.history.npz"
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as history:
                    found[stage.name] = history["loss"]
            except DAMAGED as error:
                raise _damaged(path, error, folder / f"{stage.name}.json") from error
    return found


def _check_judgement(found: Any, name: str) -> None:
    """Refuses what is no judgement of the stage."""
    wanted = {"train": ("r", "rmse"), "unseen": ("r", "r_sd", "rmse", "seeds")}
    fine = isinstance(found, dict) and found.get("name") == name
    fine = fine and all(isinstance(found.get(x), int | float) for x in ("n_free", "seconds"))
    fine = fine and all(
        isinstance(found.get(kind), dict) and all(isinstance(found[kind].get(x), int | float) for x in names)
        for kind, names in wanted.items()
    )
    if not fine:
        raise ValueError(f"it is no judgement of the stage '{name}'")


def _damaged(path: Path, error: BaseException, judgement: Path) -> ValueError:
    why = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} is damaged ({why}): delete {judgement}, and the stage is computed again")
