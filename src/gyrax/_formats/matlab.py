"""The variables of MATLAB's files."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.io import loadmat, matlab

from .._extras import need
from .fields import FIELDS, Part, closest, to_part

_VARIABLES = {
    "weights": ("weights", "weight", "sc", "connectivity", "connectome", "structuralconnectivity", "scweights"),
    "lengths": ("lengths", "length", "tractlengths", "tractlength", "dist", "distance", "distances", "fiberlengths"),
    "labels": ("labels", "label", "regionlabels", "regionnames", "roilabels", "roinames", "names"),
    "centres": ("centres", "centers", "regioncentres", "regioncenters", "coords", "coordinates", "positions", "xyz"),
}


def read_mat_fields(path: Path, given: Mapping[str, str | None] = {}) -> dict[str, Part]:
    variables = dict(flat(load_mat(path)))
    parts = {}
    for field in FIELDS:
        name = given.get(field)
        if name is None:
            name = _guess(field, variables, path)
        elif name not in variables:
            raise ValueError(f"{path} has no {name!r}: {closest(name, variables)} ({inventory(variables)})")
        if name is not None:
            value = variables[name]
            if field != "labels" and not isinstance(value, list):
                value = np.atleast_2d(value)  # scipy squeezes what is of one region
            parts[field] = to_part(field, value, f"{field} ({name!r} in {path})")
    return parts


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file of any version; structures are dicts.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            major, _ = matlab.matfile_version(file)
        if major == 2:
            h5py = need("h5py", "io")
            with h5py.File(path) as file:
                return _from_hdf5(file, file)
        return loadmat(path, simplify_cells=True)
    except (ValueError, OSError, TypeError, zlib.error, matlab.MatReadError) as error:
        raise ValueError(f"{path}: cannot be read as .mat: {error}") from None


def _from_hdf5(node: Any, file: Any) -> Any:
    """Version 7.3 keeps columns first, text as numbers, and cells as references."""
    if hasattr(node, "items"):
        if "MATLAB_sparse" in node.attrs:
            shape = (int(node.attrs["MATLAB_sparse"]), len(node["jc"]) - 1)
            return sparse.csc_array((node["data"][()], node["ir"][()], node["jc"][()]), shape)
        return {name: _from_hdf5(child, file) for name, child in node.items() if not name.startswith("#")}
    value = np.asarray(node[()])
    if value.dtype == object:
        return [_from_hdf5(file[reference], file) for reference in value.T.ravel()]
    if node.attrs.get("MATLAB_class") == b"char":
        lines = ["".join(map(chr, row)) for row in np.atleast_2d(value.T)]
        return lines[0] if len(lines) == 1 else lines
    return value.T


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
            yield prefix + name, value.toarray() if sparse.issparse(value) else value


def _guess(field: str, variables: Mapping[str, Any], path: Path) -> str | None:
    fits = [name for name in variables if name.rpartition(".")[2].lower().replace("_", "") in _VARIABLES[field]]
    if len(fits) > 1 or (field == "weights" and not fits):
        trouble = f"{' and '.join(map(repr, fits))} may both be" if fits else "no variable is known for"
        raise ValueError(
            f"{path}: {trouble} {field}: say which with gyrax.io.read_mat(path, {field}=...) ({inventory(variables)})"
        )
    return fits[0] if fits else None


def inventory(variables: Mapping[str, Any]) -> str:
    """What a file has, in words.

    Example:
        >>> inventory({"weights": np.eye(2)})
        'the file has weights (2, 2)'
    """
    sizes = (f"{n} {np.shape(v) if not isinstance(v, list) else len(v)}" for n, v in variables.items())
    return "the file has " + (", ".join(sizes) or "nothing")
