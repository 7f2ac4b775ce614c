"""The variables of MATLAB's files."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.io import loadmat, matlab

from .fields import FIELDS, Part, closest, label_tuple, to_part
from .hdf5 import Store, compressed, densify, opened
from .mat5 import check_claims
from .reading import reading

_VARIABLES = {
    "weights": ("weights", "weight", "sc", "connectivity", "connectome", "structuralconnectivity", "scweights"),
    "lengths": ("lengths", "length", "tractlengths", "tractlength", "dist", "distance", "distances", "fiberlengths"),
    "labels": ("labels", "label", "regionlabels", "regionnames", "roilabels", "roinames", "names"),
    "centres": ("centres", "centers", "regioncentres", "regioncenters", "coords", "coordinates", "positions", "xyz"),
}


#: Sparse variables as SciPy has always given them; from 1.18 on it asks, and before 1.15 it knew no question.
_MATRICES: dict[str, Any] = {"spmatrix": True} if "spmatrix" in inspect.signature(loadmat).parameters else {}


def read_mat_fields(path: Path, given: Mapping[str, str | None] = {}) -> dict[str, Part]:
    variables = variables_of(path)
    parts = {}
    for field in FIELDS:
        name = given.get(field)
        if name is None:
            name = _guess(field, variables, path)
        elif name not in variables:
            raise ValueError(f"{path} has no {name!r}: {closest(name, variables)} ({inventory(variables)})")
        if name is not None:
            value = plain(variables[name], path)
            if is_empty(value) and field != "weights" and not given.get(field):
                continue  # [] in MATLAB: it is not known
            if field != "labels" and not isinstance(value, list):
                value = np.atleast_2d(value)  # scipy squeezes what is of one region
            parts[field] = to_part(field, value, f"{field} ({name!r} in {path})")
    return parts


def variables_of(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file of any version by dotted name, sparse ones still sparse.

    Raises:
        ValueError: it cannot be read.
    """
    with reading(path, ".mat", matlab.MatReadError):
        with path.open("rb") as file:
            major, _ = matlab.matfile_version(file)
            if major == 1:
                check_claims(path)
            if major < 2:
                return dict(flat(loadmat(file, simplify_cells=True, **_MATRICES)))
        with opened(path, ".mat") as store:
            return dict(flat(_from_hdf5(store.file, store)))


def labels_in(variables: Mapping[str, Any], path: Path) -> list[str] | None:
    """The names of regions that a file has beside its numbers, under a common name."""
    name = next((name for name in variables if _stem(name) in _VARIABLES["labels"]), None)
    if name is None or is_empty(variables[name]):
        return None
    return list(label_tuple(variables[name], f"labels ({name!r} in {path})"))


def is_empty(value: Any) -> bool:
    """Whether a variable has no entries; a cell may have entries of any shapes."""
    return not (len(value) if isinstance(value, list | str) else np.size(value))


def plain(value: Any, path: Path) -> Any:
    """A variable, no longer sparse."""
    return densify(value, path) if sparse.issparse(value) else value


def _from_hdf5(node: Any, store: Store) -> Any:
    """Version 7.3 keeps columns first, text as numbers, cells as references, and what is empty as its shape."""
    if hasattr(node, "items"):
        if "MATLAB_sparse" in node.attrs:
            return _sparse(node, store)
        return {name: _from_hdf5(store.child(node, name), store) for name in node if not name.startswith("#")}
    value = store.array(node)
    kind = node.attrs.get("MATLAB_class")
    if node.attrs.get("MATLAB_empty"):
        if kind in (b"char", b"cell"):
            return "" if kind == b"char" else []
        if value.ndim != 1 or value.dtype.kind not in "iu" or value.all():
            raise ValueError(f"{node.name!r} is said to be empty, with the shape {value.tolist()}")
        return np.zeros([int(size) for size in value])
    if value.dtype == object:
        return [_from_hdf5(store.met(store.file[reference]), store) for reference in value.T.ravel()]
    if kind == b"char":
        lines = ["".join(map(chr, row)) for row in np.atleast_2d(value.T)]
        return lines[0] if len(lines) == 1 else lines
    return value.T


def _sparse(node: Any, store: Store) -> Any:
    """Zeros alone have neither values nor rows."""
    parts = dict(store.children(node))
    starts = store.array(parts["jc"])
    data, rows = (store.array(parts[name]) if name in parts else np.zeros(0, int) for name in ("data", "ir"))
    shape = (int(node.attrs["MATLAB_sparse"]), len(starts) - 1)
    return compressed(sparse.csc_array, data, rows, starts, shape)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Variables by dotted name.

    Example:
        >>> dict(flat({"sc": {"weights": 1.0}}))
        {'sc.weights': 1.0}
    """
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif not name.startswith("__"):
            yield prefix + name, value


def _guess(field: str, variables: Mapping[str, Any], path: Path) -> str | None:
    fits = [name for name in variables if _stem(name) in _VARIABLES[field]]
    if len(fits) > 1 or (field == "weights" and not fits):
        trouble = f"{' and '.join(map(repr, fits))} may both be" if fits else "no variable is known for"
        raise ValueError(
            f"{path}: {trouble} {field}: say which with gyrax.io.read_mat(path, {field}=...) ({inventory(variables)})"
        )
    return fits[0] if fits else None


def _stem(name: str) -> str:
    return name.rpartition(".")[2].lower().replace("_", "")


def inventory(variables: Mapping[str, Any]) -> str:
    """What a file has, in words.

    Example:
        >>> inventory({"weights": np.eye(2)})
        'the file has weights (2, 2)'
    """
    sizes = (f"{n} {np.shape(v) if not isinstance(v, list) else len(v)}" for n, v in variables.items())
    return "the file has " + (", ".join(sizes) or "nothing")
