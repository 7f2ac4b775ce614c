"""Datasets that come with the package: an average connectome with the functional connectivity measured beside it."""

from importlib import resources
from importlib.resources.abc import Traversable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gyrax.connectome import Connectome, closest


class Dataset(eqx.Module):
    """A connectome and what was measured on the same brains.

    Attributes:
        connectome: weights, lengths in mm and labels.
        fc: functional connectivity, Pearson r, `(node, node)`, as published: the diagonal may be zero.
        name, description, licence, citation: what it is, and what to name when results from it are published.
    """

    connectome: Connectome
    fc: Float[Array, "node node"]
    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    licence: str = eqx.field(static=True)
    citation: str = eqx.field(static=True)

    def __repr__(self) -> str:
        if not eqx.is_array(self.fc):  # a tree of filters has the same class
            return super().__repr__()
        return (
            f"Dataset {self.name!r}: {self.description}\n  connectome: {self.connectome}\n"
            f"  fc: {self.fc.shape[0]} x {self.fc.shape[1]}\n  licence: {self.licence}\n  cite: {self.citation}"
        )


def names() -> tuple[str, ...]:
    """The datasets that `load` knows.

    Example:
        >>> names()
        ('dk84',)
    """
    return tuple(sorted(file.name.removesuffix(".npz") for file in _folder().iterdir() if file.name.endswith(".npz")))


def load(name: str) -> Dataset:
    """Load a dataset by name.

    `"dk84"`: 84 regions of the Desikan-Killiany atlas and subcortex, group average; weights are streamline counts. The
    diagonal of its `fc` is zero, where a correlation matrix has ones: compare the entries off the diagonal only.

    Raises:
        ValueError: there is no such dataset.

    Example:
        >>> load("dk84").connectome
        Connectome(84 regions, density 1, weights 0.0418 to 2.1e+05, symmetric, lengths 11.5 to 224 mm)
    """
    if name not in names():
        raise ValueError(f"there is no dataset {name!r}: {closest(name, names())} (datasets: {', '.join(names())})")
    with resources.as_file(_folder() / f"{name}.npz") as path:
        connectome = Connectome.load(path)
        with np.load(path, allow_pickle=False) as stored:
            words = {key: str(stored[key]) for key in ("description", "licence", "citation")}
            return Dataset(connectome, jnp.asarray(stored["fc"], dtype=float), name, **words)


def _folder() -> Traversable:
    return resources.files("gyrax") / "data"
