"""How good a stage's network is, on noise it saw, on noise it never saw, and on scans it was not fitted to; kept on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .. import io
from .._formats.reading import BROKEN, DAMAGED, is_of_the_file
from .._formats.writing import write_text
from ..fitting.evaluation import evaluate
from ..network.network import Network
from ..parameters.selection import select
from ..parameters.splitting import split
from .mismatch import FCMismatch
from .settings import STAGES
from .structure import correlation

#: What a judgement says of noise that was seen and of noise that was not.
_TOLD = {"train": ("r", "rmse"), "unseen": ("r", "r_sd", "rmse", "seeds", "mean_r")}


def judge(
    network: Network,
    loss: FCMismatch,
    free: tuple[Any, ...],
    keys: tuple[Array, Array],
    there: np.ndarray,
    tests: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """How many numbers a stage freed, and how near its network comes to the target and to scans held out.

    Args:
        network: of the stage.
        loss: at the duration that counts.
        free: what the stage freed.
        keys: of the noise that the network was chosen on, and of noise that it never heard.
        there: the regions that count.
        tests: connectivity of scans held out, by name.
    """
    seen, unseen = keys
    leaves = jax.tree.leaves(eqx.filter(split(network, select(network, *free))[0], eqx.is_array))
    train, judged = evaluate(network, loss.terms, seen), evaluate(network, loss.judged, unseen)
    mean = np.asarray(judged["fc"]).mean(0)
    found: dict[str, Any] = {
        "n_free": int(sum(np.size(leaf) for leaf in leaves)),
        "train": {term: float(np.mean(values)) for term, values in train.values.items()},
        "unseen": {term: float(np.mean(values)) for term, values in judged.values.items() if term != "fc"},
    }
    found["unseen"] |= {
        "r_sd": float(np.std(judged["r"], ddof=min(1, len(unseen) - 1))),
        "seeds": len(unseen),
        "mean_r": correlation(mean, np.asarray(loss.target), there),
    }
    found["tests"] = {name: correlation(mean, fc, there) for name, fc in tests.items()}
    return found


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
        path = folder / f"{stage}.history.npz"
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as history:
                    found[stage] = history["loss"]
            except BROKEN as error:
                if not is_of_the_file(error):
                    raise
                raise _damaged(path, error, folder / f"{stage}.json") from error
    return found


def _check_judgement(found: Any, name: str) -> None:
    """Refuses what is no judgement of the stage."""
    fine = isinstance(found, dict) and found.get("name") == name and isinstance(found.get("tests"), dict)
    fine = fine and all(isinstance(found.get(x), int | float) for x in ("n_free", "seconds"))
    fine = fine and all(
        isinstance(found.get(kind), dict) and all(isinstance(found[kind].get(x), int | float) for x in names)
        for kind, names in _TOLD.items()
    )
    if not fine:
        raise ValueError(f"it is no judgement of the stage '{name}'")


def _damaged(path: Path, error: BaseException, judgement: Path) -> ValueError:
    why = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{path} is damaged ({why}): delete {judgement}, and the stage is computed again")
