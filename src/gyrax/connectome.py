"""Connectomes: which region reaches which, how strongly and how far, and the files they are kept in."""

import csv
import difflib
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._types import is_traced

_FIELDS = ("weights", "lengths", "labels", "centres")
_TABLES = (".tsv", ".csv", ".txt", ".npy")
_MISSING = ("", "na", "n/a", "nan", "null", "none")
_Labels = tuple[str, ...]
_MEND = {
    "weights": "put 0 where there is no connection (negative weights: is this functional connectivity?)",
    "lengths": "put 0 where there is no tract",
    "centres": "give x, y, z in mm for every region, or leave centres out",
}


class Connectome(eqx.Module):
    """The structural connections of a brain.

    Rows receive: `weights[i, j]` is how strongly region `i` hears region `j`. Everything is checked when built from
    values; inside `jit`, where values are not known, only the shapes are.

    Args:
        weights: `(target, source)`, finite and not negative. An array, nested lists, or a pandas DataFrame, whose
            index and columns are the labels.
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
        given = dict(zip(_FIELDS, (weights, lengths, labels, centres), strict=True))
        parts = {field: _part(field, value, field) for field, value in given.items() if value is not None}
        self.labels = _check(parts)
        self.weights = parts["weights"].to_jax()
        self.lengths = parts["lengths"].to_jax() if "lengths" in parts else None
        self.centres = parts["centres"].to_jax() if "centres" in parts else None

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        lengths: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        centres: str | os.PathLike[str] | None = None,
    ) -> "Connectome":
        """Read a connectome from a folder, an `.npz`, or a single table of weights.

        A folder holds `weights.*` and, where known, `lengths.*` (or `tract_lengths.*`), `centres.*` and `labels.txt`
        with one label a line; `*` is tsv, csv, txt or npy. An `.npz` holds arrays of the same names. Tables may carry
        labels in their first line, first column, or both. The other arguments name files with what `path` lacks.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError, TypeError: as the constructor does, with the name of the file.

        Example:
            >>> Connectome.load(Path(__file__).parent / "data" / "dk84.npz").labels[:2]
            ('L.BSTS', 'L.CACG')
        """
        path = _existing(path)
        if path.is_dir():
            parts = {field: _read_part(field, file) for field, file in _find(path).items()}
        elif path.suffix == ".npz":
            parts = _read_npz(path)
        else:
            parts = {"weights": _read_part("weights", path)}
        for field, file in (("lengths", lengths), ("labels", labels), ("centres", centres)):
            if file is None:
                continue
            if field in parts:
                raise ValueError(f"{field} are given twice: {path} has them already, and so has {file}")
            parts[field] = _read_part(field, _existing(file))
        return cls(labels=_check(parts), **{field: part.value for field, part in parts.items() if field != "labels"})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an `.npz`, or to a folder of `.tsv` tables. `Connectome.load` gives the same connectome back.

        Raises:
            ValueError: `path` ends like a single table, which cannot hold it all.
            FileExistsError: the folder holds other files that `load` would read along with these.
        """
        path = Path(path)
        fields = {"weights": self.weights, "lengths": self.lengths, "centres": self.centres}
        arrays: dict[str, Any] = {field: np.asarray(value) for field, value in fields.items() if value is not None}
        if path.suffix == ".npz":
            np.savez_compressed(path, labels=np.array(self.labels), **arrays)
            return
        if path.suffix in _TABLES:
            raise ValueError(f"cannot save to {path}: give an .npz file, or a folder for tables")
        path.mkdir(parents=True, exist_ok=True)
        ours = [path / f"{field}.tsv" for field in arrays] + [path / "labels.txt"]
        foreign = sorted({file for files in _candidates(path).values() for file in files} - set(ours))
        if foreign:
            raise FileExistsError(
                f"{foreign[0]} is there already and would be read as part of this connectome: "
                "choose a new folder, or delete that file"
            )
        for field, value in arrays.items():
            np.savetxt(path / f"{field}.tsv", value, fmt="%.17g" if value.itemsize == 8 else "%.9g", delimiter="\t")
        (path / "labels.txt").write_text("\n".join(self.labels) + "\n", encoding="utf-8")

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
        if how == "max":
            scale = jnp.max(self.weights, keepdims=True)
        elif how == "region":
            scale = jnp.sum(self.weights, axis=1, keepdims=True)
        elif how == "spectral":
            scale = spectral_radius(self.weights)[None, None]
        else:
            raise ValueError(f"how={how!r}: expected 'max', 'region' or 'spectral'")
        if not is_traced(scale) and (bad := np.flatnonzero(np.asarray(scale) <= 0)).size:
            silent = ", ".join(repr(self.labels[i]) for i in bad[:5]) + ", ..." * (bad.size > 5)
            trouble = {
                "max": "all weights are zero",
                "region": f"{bad.size} receive nothing, their rows are zero: {silent}; leave them out with subset()",
                "spectral": "there is no loop, so the spectral radius is zero",
            }
            raise ValueError(f"cannot normalise by {how}: {trouble[how]}")
        return eqx.tree_at(lambda c: c.weights, self, self.weights / scale)

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
        index = _indices(regions, self.labels)
        labels = [self.labels[i] for i in index]
        lengths = None if self.lengths is None else self.lengths[np.ix_(index, index)]
        centres = None if self.centres is None else self.centres[np.array(index)]
        return Connectome(self.weights[np.ix_(index, index)], lengths, labels, centres)

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
        if what not in ("weights", "lengths"):
            raise ValueError(f"what={what!r}: expected 'weights' or 'lengths'")
        if getattr(self, what) is None:
            raise ValueError("this connectome has no lengths to plot")
        import matplotlib.pyplot as plt

        values = np.asarray(getattr(self, what))
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


class _Part(NamedTuple):
    """One field on its way into a connectome: its numbers, the labels found beside them, and a name to blame."""

    value: Any
    labels: _Labels | None
    name: str

    def to_jax(self) -> Array:
        return jnp.asarray(self.value, dtype=float)


def _part(field: str, value: Any, name: str) -> _Part:
    if field == "labels":
        return _Part(None, _label_tuple(value, name), name)
    labels = None
    if hasattr(value, "columns") and hasattr(value, "index"):
        labels = _table_labels(list(value.index), list(value.columns) if field != "centres" else None, name)
    if any(is_traced(leaf) for leaf in jax.tree.leaves(value)):
        value = jnp.asarray(value)
    if not isinstance(value, jax.Array):
        value = _numbers(value, name)
    elif not any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise TypeError(f"{name} has dtype {value.dtype}, expected real numbers")
    return _Part(value, labels, name)


def _numbers(value: Any, name: str) -> np.ndarray:
    """Nested lists, numpy arrays and DataFrames to float64."""
    if isinstance(value, np.ma.MaskedArray):  # numpy would drop the mask without a word
        value = np.ma.filled(value.astype(float), np.nan)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} cannot be made an array: its rows differ in length") from None
    if array.dtype.kind not in "biuf":
        for index, entry in np.ndenumerate(array):
            if not isinstance(entry, (int, float, np.bool_, np.integer, np.floating)):
                raise TypeError(
                    f"{name}: entry {_at(index)} is {entry!r}, expected a real number; labels go in labels="
                )
    return array.astype(np.float64)


def _check(parts: Mapping[str, _Part]) -> _Labels:
    """Check all that can be checked about the parts of a connectome, and settle its labels."""
    weights = parts["weights"]
    _check_square(weights)
    n = weights.value.shape[0]
    named = [parts[field] for field in ("labels", "weights", "lengths", "centres") if field in parts]
    named = [part for part in named if part.labels is not None]
    labels = named[0].labels if named else None
    labels = tuple(f"region_{i}" for i in range(n)) if labels is None else labels
    if len(labels) != n:
        raise ValueError(f"{named[0].name}: {len(labels)} labels, but {weights.name} has {n} regions")
    for field, shape in (("weights", (n, n)), ("lengths", (n, n)), ("centres", (n, 3))):
        if field in parts and parts[field].value.shape != shape:
            raise ValueError(
                f"{parts[field].name} has shape {parts[field].value.shape}, expected {shape}: "
                f"{weights.name} has {n} regions"
            )
    for part in named[1:]:
        _check_same(labels, part.labels or (), named[0].name, part.name)
    for field, mend in _MEND.items():
        if field in parts:
            columns = labels if field != "centres" else ("x", "y", "z")
            _check_values(parts[field], labels, columns, mend, signed=field == "centres")
    return labels


def _check_square(part: _Part) -> None:
    shape = part.value.shape
    if len(shape) == 2 and shape[0] == shape[1] > 0:
        return
    hint = "one row (target) and one column (source) a region"
    if len(shape) == 2 and abs(shape[0] - shape[1]) == 1:
        hint += "; labels that look like numbers must fill both first line and first column, with an empty corner"
    raise ValueError(f"{part.name} has shape {shape}, expected a square: {hint}")


def _check_values(part: _Part, rows: _Labels | None, columns: _Labels | None, mend: str, signed: bool) -> None:
    if is_traced(part.value):
        return
    value = np.asarray(part.value, dtype=np.float64)
    good = np.abs(value) <= jnp.finfo(jnp.result_type(float)).max  # a float64 may be infinite as a float32
    good &= (value >= 0) | signed
    if not good.all():
        bad = np.argwhere(~good)
        more = f" (and {len(bad) - 1} more like it)" if len(bad) > 1 else ""
        expected = f"a finite {jnp.result_type(float)}" + ("" if signed else ", zero or more")
        raise ValueError(
            f"{part.name}: entry {_at(bad[0], rows, columns)} is {value[tuple(bad[0])]:g}{more}, "
            f"expected {expected}; {mend}"
        )


def _check_same(one: _Labels, two: _Labels, name_one: str, name_two: str) -> None:
    if len(one) != len(two):
        raise ValueError(f"labels disagree: there are {len(one)} in {name_one}, but {len(two)} in {name_two}")
    for i, (a, b) in enumerate(zip(one, two, strict=True)):
        if a != b:
            raise ValueError(
                f"labels disagree: region {i} is {a!r} in {name_one}, but {b!r} in {name_two}; "
                "list the same regions in the same order"
            )


def _label_tuple(labels: Any, name: str) -> _Labels:
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    for i, label in enumerate(labels):
        if not isinstance(label, str):
            raise TypeError(f"{name}: label {i} is {label!r}, expected text: str(label) makes it so")
    labels = tuple(str(label).strip() for label in labels)
    for i, label in enumerate(labels):
        if not label or not label.isprintable():
            raise ValueError(f"{name}: label {i} is {label!r}, expected a name of printable characters")
        if label in labels[:i]:
            raise ValueError(
                f"{name}: {label!r} is both label {labels.index(label)} and label {i}, "
                "expected a name of its own for every region"
            )
    return labels


def _table_labels(rows: list | None, columns: list | None, name: str) -> _Labels | None:
    """The labels of a table, from its first column, its first line, or both. Counting 0, 1, 2, ... is no label."""
    sides = [
        (side, f"the {where} of {name}")
        for side, where in ((rows, "rows"), (columns, "columns"))
        if side is not None and [str(label) for label in side] != [str(i) for i in range(len(side))]
    ]
    found = [(_label_tuple([str(label) for label in side], where), where) for side, where in sides]
    if len(found) == 2:
        _check_same(found[0][0], found[1][0], found[0][1], found[1][1])
    return found[0][0] if found else None


def _indices(regions: Any, labels: _Labels) -> list[int]:
    if isinstance(regions, (str, int)):
        raise TypeError(f"subset takes a list of regions: write [{regions!r}]")
    asked = np.asarray(regions if hasattr(regions, "dtype") else list(regions))
    n = len(labels)
    if asked.ndim != 1 or asked.size == 0:
        raise ValueError(f"subset takes a flat list of one region or more, got shape {asked.shape}")
    if asked.dtype == bool:
        if asked.size != n or not asked.any():
            raise ValueError(
                f"the mask has {asked.size} entries, {asked.sum()} of them true: "
                f"expected {n} entries, one a region, and one or more of them true"
            )
        return [int(i) for i in np.flatnonzero(asked)]
    if asked.dtype.kind in "iu":
        for i in asked:
            if not -n <= i < n:
                raise ValueError(f"region {i} is out of range: the regions are 0 to {n - 1}")
        index = [int(i) % n for i in asked]
    elif all(isinstance(label, str) for label in asked):
        unknown = [str(label) for label in asked if label not in labels]
        if unknown:
            raise ValueError(f"there is no region {unknown[0]!r}: {closest(unknown[0], labels)}")
        index = [labels.index(label) for label in asked]
    else:
        raise TypeError(f"subset takes labels, indices or a boolean mask, got {asked.dtype} such as {asked[0]!r}")
    for place, i in enumerate(index):
        if i in index[:place]:
            raise ValueError(f"region {labels[i]!r} is asked for twice")
    return index


def closest(word: str, known: Iterable[str]) -> str:
    """What to say to somebody who wrote `word` where one of the `known` words was expected."""
    names = list(known)
    by_lower = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    if near:
        return f"did you mean {by_lower[near[0]]!r}?"
    return "choose from " + ", ".join(map(repr, names[:8])) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def _at(index: Any, rows: _Labels | None = None, columns: _Labels | None = None) -> str:
    """Where an entry stands, counted from 0 as in numpy: `[1, 2] (row 'V2', column 'V3')`."""
    text = f"[{', '.join(str(int(i)) for i in index)}]"
    return text if rows is None or columns is None else f"{text} (row {rows[index[0]]!r}, column {columns[index[1]]!r})"


def _span(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}" if values.size else "all zero"


def read_matrix(path: str | os.PathLike[str]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    r"""Read one square matrix over regions, such as functional connectivity, from a tsv, csv, txt or npy file.

    Returns:
        The matrix as float64, `(node, node)`, and the labels in its first line or first column, None if it has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: not square, a value missing or infinite, or no number; with the file, row and column.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "fc.csv"
        >>> _ = file.write_text("V1,V2\n0,0.5\n0.5,0\n")
        >>> read_matrix(file)
        (array([[0. , 0.5],
               [0.5, 0. ]]), ('V1', 'V2'))
    """
    part = _read_part("matrix", _existing(path))
    _check_square(part)
    _check_values(part, part.labels, part.labels, "every pair of regions needs a value", signed=True)
    return part.value, part.labels


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        near = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"there is no {path}" + (f": {closest(path.name, sorted(near))}" if near else ""))
    return path


def _candidates(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that belong to a connectome, by field."""
    files: dict[str, list[Path]] = {field: [] for field in _FIELDS}
    for file in sorted(folder.iterdir()):
        field = "lengths" if file.stem == "tract_lengths" else file.stem  # The Virtual Brain's name
        if field in files and file.suffix in (_TABLES if field != "labels" else (".txt",)):
            files[field].append(file)
    return files


def _find(folder: Path) -> dict[str, Path]:
    files = _candidates(folder)
    for several in files.values():
        if len(several) > 1:
            raise ValueError(f"{folder} has both {several[0].name} and {several[1].name}: keep one of them")
    found = {field: several[0] for field, several in files.items() if several}
    _check_names([file.stem for file in folder.iterdir() if file.suffix in _TABLES], found, folder)
    return found


def _check_names(names: list[str], found: Iterable[str], where: Path) -> None:
    """A `length.tsv` must not be passed over as if it were something else."""
    missing = [field for field in _FIELDS if field not in found]
    for name in sorted(set(names) - set(_FIELDS)):
        near = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.8)
        if near:
            raise ValueError(f"{where} has {name!r} but no {near[0]!r}: rename it to {near[0]!r} if it is that")
    if "weights" in missing:
        raise FileNotFoundError(f"{where} has no 'weights', only {sorted(names)}")


def _read_npz(path: Path) -> dict[str, _Part]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, found = arrays.files, {field: arrays[field] for field in _FIELDS if field in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as err:  # numpy does not say which file
        raise ValueError(f"{path}: cannot be read as .npz: {err}") from None
    _check_names(names, found, path)
    return {field: _part(field, value, f"{field} in {path}") for field, value in found.items()}


def _read_part(field: str, path: Path) -> _Part:
    name = f"{field} in {path}"
    if path.suffix == ".npy" and field != "labels":
        try:
            return _Part(_numbers(np.load(path, allow_pickle=False), name), None, name)
        except (ValueError, EOFError) as err:
            raise ValueError(f"{name}: cannot be read as .npy: {err}") from None
    if path.suffix not in (".tsv", ".csv", ".txt"):
        raise ValueError(f"{name}: cannot read {path.suffix or 'a folder'!r}, expected .tsv, .csv, .txt or .npy")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{name}: not text in UTF-8; save it as UTF-8, or as .npy") from None
    if field == "labels":
        while lines and not lines[-1].strip():
            lines.pop()
        return _Part(None, _label_tuple(lines, name), name)
    value, rows, columns = _parse(lines, name)
    return _Part(value, _table_labels(rows, columns if field != "centres" else None, name), name)


def _parse(lines: list[str], name: str) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """A table of text to its numbers, and its first column and first line where they are labels."""
    cells, numbers = _cells(lines, name)
    rows, columns = None, None
    side = [row[0] for row in cells]
    corner = not side[0] and len(side) > 1
    # 0, 1, 2, ... in the first line look like numbers; pandas writes them so around an unlabelled table
    counted = cells[0] == side and all(c.isdecimal() for c in side[1:]) and sorted(set(side[1:]), key=int) == side[1:]
    if _is_text(cells[0][corner:]) or (corner and counted):
        columns = cells.pop(0)
    if cells and len(cells[0]) > 1 and (_is_text([row[0] for row in cells]) or (corner and columns)):
        rows = [row.pop(0) for row in cells]
        columns = columns and columns[1:]
    return _to_numbers(cells, numbers[-len(cells) :], name), rows, columns


def _cells(lines: list[str], name: str) -> tuple[list[list[str]], list[int]]:
    """The cells of each line that has any, all lines of one length, and the number of each line in the file."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    while numbered and numbered[0][1].startswith("#"):  # MRtrix and numpy write comments on top
        numbered.pop(0)
    if not numbered:
        raise ValueError(f"{name}: the file is empty")
    numbers, texts = [number for number, _ in numbered], [line for _, line in numbered]
    mark = next((mark for mark in "\t;," if mark in texts[0]), None)
    split = csv.reader(texts, delimiter=mark) if mark else map(str.split, texts)
    cells = [[cell.strip() for cell in row] for row in split]
    if len(cells[0]) + 1 == len(cells[-1]) and _is_text(cells[0]):  # R leaves the corner out
        cells[0].insert(0, "")
    if all(len(row) > 1 and not row[-1] for row in cells):  # a mark at the end of each line
        cells = [row[:-1] for row in cells]
    for number, row in zip(numbers, cells, strict=False):
        if len(row) != len(cells[0]):
            raise ValueError(
                f"{name}: line {number} has {len(row)} entries, line {numbers[0]} has {len(cells[0])}; "
                "every line needs the same number"
            )
    return cells, numbers


def _to_numbers(cells: list[list[str]], numbers: list[int], name: str) -> np.ndarray:
    value = np.empty((len(cells), len(cells[0]) if cells else 0))
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            try:
                value[i, j] = float("nan" if cell.lower() in _MISSING else cell)
            except ValueError:
                hint = "; write decimals with a point" if cell.replace(",", "").isdigit() else ""
                raise TypeError(
                    f"{name}: entry {_at((i, j))} (line {numbers[i]} of the file) is {cell!r}, expected a number{hint}"
                ) from None
    return value


def _is_text(cells: list[str]) -> bool:
    """Whether most cells are neither numbers nor missing: labels, then, and not numbers with a slip of the pen."""

    def text(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return cell.lower() not in _MISSING
        return False

    return 2 * sum(map(text, cells)) > len(cells)
