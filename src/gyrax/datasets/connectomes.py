"""Connectomes by name: one that comes with the package, with functional connectivity, and those of The Virtual Brain."""

from importlib import resources
from importlib.resources.abc import Traversable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._extras import need
from .._formats.fields import closest
from .._kinds import expect
from ..anatomy.connectome import Connectome
from ..labelled import LabelledArray, MaybeLabelled

_TVB_LICENCE = (
    "GPL-3.0-or-later, the licence of the package tvb-data, which is where the numbers are; it states none of their own"
)
_SANZ_LEON = (
    "Sanz Leon, Knock, Woodman, Domide, Mersmann, McIntosh, Jirsa (2013). The Virtual Brain: a simulator of primate "
    "brain network dynamics. Front. Neuroinform. 7:10. https://doi.org/10.3389/fninf.2013.00010"
)
_COCOMAC = (
    "; CoCoMac: Kötter (2004). Online retrieval, processing, and visualization of primate connectivity data from the "
    "CoCoMac database. Neuroinformatics 2:127-144. https://doi.org/10.1385/NI:2:2:127; Bezgin, Vakorin, van Opstal, "
    "McIntosh, Bakker (2012). Hundreds of brain maps in one atlas. NeuroImage 62:67-76. "
    "https://doi.org/10.1016/j.neuroimage.2012.04.013"
)
_UNKNOWN = "tvb-data does not say how or from whom it was made"
#: file, description and citation of each connectome in tvb-data
_TVB = {
    "tvb66": (
        "connectivity_66.zip",
        "66 cortical regions, named as in Hagmann et al. (2008, PLoS Biol. 6:e159); tracts in mm within and between "
        f"regions, weights symmetric up to rounding; {_UNKNOWN}",
        _SANZ_LEON,
    ),
    "tvb68": (
        "connectivity_68.zip",
        f"68 cortical regions of the Desikan-Killiany atlas, symmetric; {_UNKNOWN}, nor the unit of the lengths: mm, as "
        "everywhere in The Virtual Brain",
        _SANZ_LEON,
    ),
    "tvb76": (
        "connectivity_76.zip",
        "76 cortical regions, the default of The Virtual Brain: its connections are attributed to tracing in the macaque "
        f"(CoCoMac), directed, weights 0 to 3 on no absolute scale, lengths in mm; {_UNKNOWN}",
        _SANZ_LEON + _COCOMAC,
    ),
    "tvb96": (
        "connectivity_96.zip",
        "96 cortical and subcortical regions with names of CoCoMac, directed, weights 0 to 3 in whole numbers, lengths "
        f"in mm; {_UNKNOWN}",
        _SANZ_LEON + _COCOMAC,
    ),
    "tvb192": (
        "connectivity_192.zip",
        "192 regions: those of tvb76 with the same weights but other lengths, and 116 subcortical ones, whose centres are "
        f"all one point; directed, lengths in mm; {_UNKNOWN}",
        _SANZ_LEON + _COCOMAC,
    ),
}


class Dataset(eqx.Module):
    """A connectome and what was measured on the same brains.

    Attributes:
        connectome: weights, lengths in mm, labels and, where known, centres.
        fc: functional connectivity, Pearson r, `(node, node)`, with the labels of the connectome, as published: the diagonal
            may be zero. None where it was not measured.
        name, description, licence, citation: what it is, and what to name when results from it are published.
    """

    connectome: Connectome
    fc: Float[MaybeLabelled, "node node"] | None
    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    licence: str = eqx.field(static=True)
    citation: str = eqx.field(static=True)

    def __repr__(self) -> str:
        if not eqx.is_array(self.connectome.weights):  # a tree of filters has the same class
            return super().__repr__()
        fc = "none" if self.fc is None else f"{self.fc.shape[0]} x {self.fc.shape[1]}"
        return (
            f"Dataset {self.name!r}: {self.description}\n  connectome: {self.connectome}\n"
            f"  fc: {fc}\n  licence: {self.licence}\n  cite: {self.citation}"
        )


def names() -> tuple[str, ...]:
    """The datasets that `load` knows.

    Example:
        >>> names()
        ('dk84', 'tvb66', 'tvb68', 'tvb76', 'tvb96', 'tvb192')
    """
    ours = sorted(file.name.removesuffix(".npz") for file in _folder().iterdir() if file.name.endswith(".npz"))
    return (*ours, *_TVB)


def load(name: str) -> Dataset:
    """Load a dataset by name.

    `"dk84"`: 84 regions of the Desikan-Killiany atlas and subcortex, group average; weights are streamline counts. The
    diagonal of its `fc` is zero, where a correlation matrix has ones: compare the entries off the diagonal only.

    `"tvb66"`, `"tvb68"`, `"tvb76"`, `"tvb96"`, `"tvb192"`: the connectomes of The Virtual Brain, without functional
    connectivity. They are read from the package tvb-data (GPL-3.0-or-later), which `pip install 'gyrax[tvb]'` brings.
    Regions connect to themselves, too: the diagonals are not zero. Centres are in the axes of each file, which differ: in
    `tvb76`, x points to the front.

    Raises:
        ValueError: there is no such dataset.
        ImportError: the dataset needs tvb-data, which is not installed.

    Example:
        >>> load("dk84").connectome
        Connectome(84 regions, density 1, weights 0.0418 to 2.1e+05, symmetric, lengths 11.5 to 224 mm)
    """
    expect("name", name, str, "the name of a dataset", "'dk84'")
    if name not in names():
        raise ValueError(
            f"there is no dataset of the name {name!r}: {closest(name, names())} (datasets: {', '.join(names())})"
        )
    if name in _TVB:
        file, description, citation = _TVB[name]
        with resources.as_file(_tvb_data() / "connectivity" / file) as path:
            return Dataset(Connectome.load(path), None, name, description, _TVB_LICENCE, citation)
    with resources.as_file(_folder() / f"{name}.npz") as path:
        connectome = Connectome.load(path)
        with np.load(path, allow_pickle=False) as stored:
            words = {key: str(stored[key]) for key in ("description", "licence", "citation")}
            fc = LabelledArray(jnp.asarray(stored["fc"], dtype=float), [connectome.labels] * 2)
            return Dataset(connectome, fc, name, **words)


def _folder() -> Traversable:
    return resources.files("gyrax") / "data"


def _tvb_data() -> Traversable:
    need("tvb_data", "tvb")
    return resources.files("tvb_data")
