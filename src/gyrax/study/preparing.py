"""What a study needs, read and checked before any of it is computed."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..anatomy.connectome import Connectome
from ..datasets.connectomes import load
from ..io.connectomes import read_matrix
from ..labelled import known_names
from ..parameters.addresses import get
from ..parameters.selection import select
from .recipes import RECIPES
from .settings import Settings
from .study import Study


def prepare(settings: Settings, out: Path, progress: bool = True) -> Study:
    """Reads and checks all that a study needs, before any of it is computed.

    Raises:
        FileNotFoundError, ValueError, TypeError: saying what is wrong and how to mend it.
    """
    if settings.model not in RECIPES:
        raise ValueError(f"no model '{settings.model}' here; there are {', '.join(RECIPES)}")
    connectome = load("dk84").connectome if settings.connectome == "dk84" else Connectome.load(settings.connectome)
    given = load("dk84").fc if settings.target == "dk84" else read_matrix(settings.target)
    target, labels = np.asarray(given, float), known_names(given, "target")[1][0]
    _check_target(settings.target, target, labels, connectome)
    network = RECIPES[settings.model].build(connectome.normalised("max"))
    study = Study(settings, network, target, out, progress)
    select(network, *study.free)
    for path in study.free:
        if jnp.shape(get(network, path)) != ():
            raise ValueError(
                f"{path} is no scalar: a study frees scalars first, and the model's one value a region after"
            )
    return study


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
