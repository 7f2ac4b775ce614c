"""Connectomes: which region reaches which, how strongly and how far, and the files they are kept in."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._formats.fields import FIELDS, Part, check, indices, of_files, to_part
from .._formats.kinds import read_field, read_parts
from .._formats.reading import existing
from .._formats.tables import write_connectome
from .._kinds import choice, names, refused
from .._ranges import LENGTH, check_usual
from .._types import is_traced
from ..labelled import check_same, is_named, known_names


class Connectome(eqx.Module):
    """The structural connections of a brain.

    Rows receive: `weights[i, j]` is how strongly region `i` hears region `j`. Everything is checked when built from
    values; inside `jit`, where values are not known, only the shapes are.

    Args:
        weights: `(target, source)`, finite and not negative. An array, nested lists, or what has names along its axes (a pandas
            DataFrame, an xarray DataArray, a `gx.LabelledArray`), which are the labels.
        lengths: tract lengths in mm, `(target, source)`, finite and not negative; None if not known.
        labels: one name a region, all different; `region_0`, `region_1`, ... when none are given.
        centres: positions in mm, `(node, 3)`; None if not known.

    Raises:
        ValueError: shapes or labels disagree, or a value is missing, infinite or negative.
        TypeError: an entry is not a real number, or a label is not text.

    Example:
        >>> Connectome([[0.0, 2.0], [1.0, 0.0]], lengths=[[0, 40], [40, 0]], labels=["V1", "V2"])
        Connectome(2 regions, density 1, weights 1 to 2, directed, lengths 40 to 40 mm)
    """

    weights: Float[Array, "node node"]
    lengths: Float[Array, "node node"] | None
    labels: tuple[str, ...] = eqx.field(static=True)
    centres: Float[Array, "node 3"] | None

    def __init__(self, weights: Any, lengths: Any = None, labels: Any = None, centres: Any = None):
        if weights is None:
            raise refused("weights", None, "a matrix (target, source)", "np.ones((2, 2))")
        if labels is not None and not isinstance(labels, Iterable):
            raise refused("labels", labels, "one name a region", "['V1', 'V2']")
        given = dict(zip(FIELDS, (weights, lengths, labels, centres), strict=True))
        parts = {field: _part(field, value) for field, value in given.items() if value is not None}
        self.labels = check(parts)
        self.weights = parts["weights"].to_jax()
        self.lengths = parts["lengths"].to_jax() if "lengths" in parts else None
        if (
            self.lengths is not None
            and not is_traced(self.lengths)
            and (longest := float(np.asarray(self.lengths).max())) > 0
        ):
            check_usual(longest, LENGTH)
        self.centres = parts["centres"].to_jax() if "centres" in parts else None

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        lengths: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        centres: str | os.PathLike[str] | None = None,
        *,
        symmetric: Literal["upper", "lower"] | None = None,
    ) -> "Connectome":
        """Read a connectome from a folder, a file with all of it, or a single table of weights.

        A folder holds `weights.*` and, where known, `lengths.*` (or `tract_lengths.*`), `centres.*` and `labels.*`
        with one label a line; `*` is tsv, csv, txt or npy. An `.npz` holds arrays of the same names. Tables may carry
        labels in their first line, first column, or both.

        Read as well: zips of The Virtual Brain (`gyrax.io.read_tvb_zip`), MATLAB's `.mat` (`gyrax.io.read_mat`), HDF5 files of
        The Virtual Brain and TVB-O (`gyrax.io.read_hdf5`), and files and folders of BIDS derivatives
        (`gyrax.io.read_bids_connectivity`).

        Args:
            path: the folder or file.
            lengths: file with the lengths, if `path` lacks them.
            labels: file with the labels, likewise.
            centres: file with the centres, likewise.
            symmetric: 'upper' or 'lower' where files have that half of symmetric matrices alone, as MRtrix writes them.
                Without it, such matrices are read as they are, with a warning.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError, TypeError: as the constructor does, with the name of the file.

        Example:
            >>> Connectome.load(Path(__file__).parents[1] / "data" / "dk84.npz").labels[:2]
            ('L.BSTS', 'L.CACG')
        """
        path = existing(path)
        parts = read_parts(path, labelled=labels is not None)
        for field, file in (("lengths", lengths), ("labels", labels), ("centres", centres)):
            if file is None:
                continue
            if field in parts:
                raise ValueError(f"{field} are given twice: {path} has them already, and so has {file}")
            parts[field] = read_field(field, existing(file))
        return cls(**of_files(parts, symmetric))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an `.npz`, or to a folder of `.tsv` tables. `Connectome.load` gives the same connectome back.

        Raises:
            ValueError: `path` ends like a single table, which cannot hold it all.
            FileExistsError: the folder holds other files that `load` would read along with these.
        """
        fields = {"weights": self.weights, "lengths": self.lengths, "centres": self.centres}
        arrays = {field: np.asarray(value) for field, value in fields.items() if value is not None}
        write_connectome(Path(path), self.labels, arrays)

    @property
    def n_regions(self) -> int:
        """How many regions there are."""
        return len(self.labels)

    @property
    def density(self) -> Float[Array, ""]:
        """The share of ordered pairs of different regions that are connected, 0 to 1."""
        apart = ~jnp.eye(self.n_regions, dtype=bool)
        return jnp.sum((self.weights != 0) & apart) / max(self.n_regions * (self.n_regions - 1), 1)

    def normalised(self, how: str) -> "Connectome":
        """Scale the weights; lengths stay. Differentiable by the weights.

        Args:
            how: `"max"`: the largest weight becomes 1. `"region"`: what each region receives sums to 1.
                `"spectral"`: the spectral radius becomes 1.

        Raises:
            ValueError: the weights cannot be scaled so: all are zero, a region receives nothing, or there is no
                loop. Inside `jit` this cannot be seen; the weights concerned become NaN or infinite.

        Example:
            >>> Connectome([[0.0, 2.0], [8.0, 0.0]]).normalised("spectral").weights.tolist()
            [[0.0, 0.5], [2.0, 0.0]]
        """
        choice("how", how, ("max", "region", "spectral"))
        # First the largest comes near 1, or of each region: sums and eigenvalues of 1e30 or 1e-30 leave what a float32 holds.
        # Whatever is divided by here is divided out again, so its gradient is none.
        largest = jax.lax.stop_gradient(jnp.max(self.weights, axis=1 if how == "region" else None, keepdims=True))
        root = _power_near_root(largest)
        weights = self.weights / root / root
        if how == "max":
            scale = jnp.max(weights, keepdims=True)
        elif how == "region":
            scale = jnp.sum(weights, axis=1, keepdims=True)
        else:
            scale = spectral_radius(weights)[None, None]
        if not is_traced(scale) and (bad := np.flatnonzero(np.asarray(scale) <= 0)).size:
            silent = ", ".join(repr(self.labels[i]) for i in bad[:5]) + ", ..." * (bad.size > 5)
            trouble = {
                "max": "all weights are zero",
                "region": f"{bad.size} receive nothing, their rows are zero: {silent}; leave them out with subset()",
                "spectral": "there is no loop, so the spectral radius is zero",
            }
            raise ValueError(f"cannot normalise by {how}: {trouble[how]}")
        return eqx.tree_at(lambda c: c.weights, self, weights / scale)

    def subset(self, regions: Any) -> "Connectome":
        """Keep some regions, in the order asked for.

        Args:
            regions: labels, indices (negative ones count from the end), or a boolean mask with one entry a region.

        Raises:
            ValueError: an unknown label, an index out of range, a region asked for twice, or none at all.
            TypeError: neither labels, nor indices, nor a mask.

        Example:
            >>> Connectome([[0, 1, 2], [3, 0, 4], [5, 6, 0]], labels=list("ABC")).subset(["C", "A"]).weights.tolist()
            [[0.0, 5.0], [2.0, 0.0]]
        """
        index = indices(regions, self.labels)
        labels = [self.labels[i] for i in index]
        lengths = None if self.lengths is None else self.lengths[np.ix_(index, index)]
        centres = None if self.centres is None else self.centres[np.array(index)]
        return Connectome(self.weights[np.ix_(index, index)], lengths, labels, centres)

    def layered(self, layers: Iterable[str]) -> "Connectome":
        """Several nodes in every region, one a layer (or population, or subnetwork), called 'region.layer'.

        From any layer of one region to any layer of another lead the weight and the tract of the two regions. So with the layers as groups of
        a model (`gx.Groups`), a coupling from one group to another acts over the connectome; one within regions has weights of its
        own, `weights=np.eye(regions)`, and no delay.

        Args:
            layers: their names.

        Raises:
            ValueError: for none, one name twice, or an empty one.

        Example:
            >>> import gyrax as gx
            >>> layered = Connectome([[0, 2], [3, 0]], labels=["V1", "V2"]).layered(["upper", "deep"])
            >>> layered.labels
            ('V1.upper', 'V2.upper', 'V1.deep', 'V2.deep')
            >>> up, down = ([label for label in layered.labels if label.endswith(f".{layer}")] for layer in ("upper", "deep"))
            >>> model = gx.Groups({"upper": (gx.models.WongWang(), up), "deep": (gx.models.WongWang(), down)})
            >>> forward = gx.couplings.Linear(source="upper.S", target="deep.c", strength=0.2)
            >>> within = gx.couplings.Linear(source="deep.S", target="upper.c", weights=np.eye(2), delay=gx.NoDelay())
            >>> gx.Network(model, {"forward": forward, "within": within}, layered).n_regions
            4
        """
        named = names("layers", layers)
        if not named or len(set(named)) < len(named) or not all(named):
            raise ValueError(f"layers is a list of names that differ, such as ['upper', 'deep']; got {list(named)}")
        times = len(named)
        labels = [f"{label}.{layer}" for layer in named for label in self.labels]
        lengths = None if self.lengths is None else jnp.tile(self.lengths, (times, times))
        centres = None if self.centres is None else jnp.tile(self.centres, (times, 1))
        return Connectome(jnp.tile(self.weights, (times, times)), lengths, labels, centres)

    def to_frame(self, what: str = "weights") -> Any:
        """Weights or lengths as a pandas DataFrame, targets down and sources across. `Connectome` takes it back.

        Args:
            what: `"weights"` or `"lengths"`.

        Raises:
            ValueError: `what` is neither, or the lengths are not known.

        Example:
            >>> Connectome([[0.0, 2.0], [1.0, 0.0]], labels=["V1", "V2"]).to_frame()
                 V1   V2
            V1  0.0  2.0
            V2  1.0  0.0
        """
        import pandas as pd

        return pd.DataFrame(self._matrix(what, "tabulate"), index=list(self.labels), columns=list(self.labels))

    def _matrix(self, what: str, use: str) -> np.ndarray:
        if what not in ("weights", "lengths"):
            raise ValueError(f"what={what!r}: expected 'weights' or 'lengths'")
        if getattr(self, what) is None:
            raise ValueError(f"this connectome has no lengths to {use}")
        return np.asarray(getattr(self, what))

    def plot(self, ax: Any = None, what: str = "weights", log: bool | None = None) -> Any:
        """Draw weights or lengths as a heat map: targets down, sources across.

        Args:
            ax: matplotlib axes to draw into; a new figure by default.
            what: `"weights"` or `"lengths"`.
            log: colours by the logarithm, zeros left blank; by default for weights, which span decades.

        Returns:
            The axes.

        Raises:
            ValueError: `what` is neither, or the lengths are not known.
        """
        values = self._matrix(what, "plot")
        import matplotlib.pyplot as plt

        if ax is None:
            side = min(4 + 0.08 * self.n_regions, 12)
            _, ax = plt.subplots(figsize=(1.2 * side, side), layout="constrained")
        log = (what == "weights") if log is None else log
        image = ax.imshow(values, norm="log" if log and values.any() else "linear", interpolation="nearest")
        every = -(-self.n_regions // 100)  # more labels than that cannot be read
        ticks, names = range(0, self.n_regions, every), self.labels[::every]
        size = min(10, max(3, 400 / self.n_regions))
        ax.set_xticks(ticks, names, rotation=90, fontsize=size)
        ax.set_yticks(ticks, names, fontsize=size)
        ax.set(xlabel="source", ylabel="target")
        ax.figure.colorbar(image, ax=ax, label="weight" if what == "weights" else "tract length (mm)")
        return ax

    def __repr__(self) -> str:
        # a tree of filters, batches or tracers has the same class, but no numbers to tell of
        if not eqx.is_array(self.weights) or is_traced(self.weights) or self.weights.ndim != 2:
            return super().__repr__()
        weights = np.asarray(self.weights)
        there = weights != 0
        density = there[~np.eye(len(weights), dtype=bool)].mean() if len(weights) > 1 else 0.0
        kind = "symmetric" if np.array_equal(weights, weights.T) else "directed"
        text = f"{self.n_regions} regions, density {density:.3g}, weights {_span(weights[there])}, {kind}"
        if eqx.is_array(self.lengths):
            text += f", lengths {_span(np.asarray(self.lengths)[there])} mm"
        return f"Connectome({text}{', centres' if self.centres is not None else ''})"


@jax.custom_jvp
def spectral_radius(weights: Float[Array, "node node"]) -> Float[Array, ""]:
    """The largest absolute eigenvalue of a non-negative matrix.

    Its gradient is taken from the eigenvectors of the real, positive eigenvalue of that size (Perron, Frobenius).
    Through `jnp.linalg.eigvals`, others of the same size spoil it: already a loop of two regions has one, negative.
    """
    return jnp.max(jnp.abs(jnp.linalg.eigvals(weights)))


@spectral_radius.defjvp
def _spectral_radius_jvp(primals: tuple, tangents: tuple) -> tuple:
    (weights,), (change,) = primals, tangents
    right, left = _perron(weights), _perron(weights.T)
    moved = jnp.einsum("i,ij,j->", left, change, right, precision="highest")
    return spectral_radius(weights), moved / jnp.einsum("i,i->", left, right, precision="highest")


def _perron(weights: Float[Array, "node node"]) -> Float[Array, " node"]:
    """The eigenvector of the eigenvalue that is the spectral radius; real, as the weights are not negative."""
    values, vectors = jnp.linalg.eig(weights)
    return jnp.abs(vectors[:, jnp.argmax(values.real)])


def _power_near_root(x: Array) -> Array:
    """The power of two near the square root, by which division is exact; 1 for 0. (What is near 3e38 has no 1 / x.)"""
    return jnp.ldexp(jnp.ones_like(x), jnp.round(jnp.log2(jnp.where(x > 0, x, 1)) / 2).astype(int))


def _span(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}" if values.size else "all zero"


def _part(field: str, value: Any) -> Part:
    """An argument with the names along its axes, whatever it came in."""
    if field == "labels" or hasattr(value, "iloc") or not is_named(value):
        return to_part(field, value, field)  # which knows tables of pandas
    values, names = known_names(value, field)
    rows, *others = names or (None,)
    if field != "centres" and others:
        check_same(rows, others[-1], f"the rows of {field}", f"the columns of {field}")
        rows = rows or others[-1]
    return to_part(field, values, field)._replace(labels=rows)
