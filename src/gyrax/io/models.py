"""Models to disk and back, by the names of their leaves."""

import os
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._formats.npz import write_npz
from ..parameters.addresses import leaf_names, named_leaves

Model = TypeVar("Model")


def save(path: str | os.PathLike[str], model: Any) -> None:
    """Writes the arrays of a Network or any other Module to an npz, under their dotted names.

    Example:
        >>> import tempfile, gyrax as gx
        >>> file = Path(tempfile.mkdtemp()) / "model.npz"
        >>> gx.io.save(file, gx.models.WongWang(w=0.8))
        >>> gx.io.load(file, gx.models.WongWang())
        WongWang(w=0.8, J_N=0.2609 nA, I_o=0.33 nA, a=270 Hz/nA, b=108 Hz, d=0.154 s, gamma=0.000641 1/(Hz ms), tau_S=100 ms)
    """
    write_npz(path, {name: np.asarray(value) for name, value in _arrays(model).items()})


def load(path: str | os.PathLike[str], model: Model) -> Model:
    """The model with the values that `save` wrote, such as one value a region where `model` has a scalar.

    Args:
        path: the file.
        model: a Module of the same structure, with any values.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the leaf, if the file and the model do not have the same.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no {path}")
    arrays = _arrays(model)
    with np.load(path, allow_pickle=False) as file:
        if set(file) != set(arrays):
            odd = sorted(set(file) ^ set(arrays))[0]
            where = "the file" if odd in file else "the model"
            raise ValueError(f"{path} holds another model: only {where} has {odd}")
        saved = {name: file[name] for name in file}
    for name, value in saved.items():
        here = jnp.shape(arrays[name])
        if value.shape != here and value.shape != () and here != ():
            raise ValueError(f"{name} has shape {value.shape} in {path} and {here} in the model")
    leaves, treedef = jax.tree.flatten(model)
    names = leaf_names(model)
    new = [_as(leaf, saved[n]) if n in saved else leaf for n, leaf in zip(names, leaves, strict=True)]
    return jax.tree.unflatten(treedef, new)


def _as(leaf: Any, value: np.ndarray) -> Any:
    if isinstance(leaf, bool | int | float | complex) and value.shape == ():  # a plain number stays one
        return type(leaf)(value)
    return jnp.asarray(value, jnp.result_type(leaf))


def _arrays(model: Any) -> dict[str, Any]:
    return {name: leaf for name, leaf in named_leaves(model).items() if eqx.is_array_like(leaf)}
