"""Connectomes from the files of The Virtual Brain and of MATLAB, and what kind of file a path is."""

import bz2
import difflib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy import sparse
from scipy.io import loadmat, matlab

from .._extras import need
from .._parts import FIELDS, Part, arguments, closest, label_tuple, to_part
from ..connectome import Connectome
from . import bids
from .tables import cells_of, existing, find, parse, read_npz, read_part, to_numbers

# a folder or a subject may stand in front: connectivity_76/weights.txt, sub-01_weights.txt
_MEMBERS = {"weights": ("weights",), "lengths": ("tract_lengths", "lengths"), "centres": ("centres", "centers")}
_VARIABLES = {
    "weights": ("weights", "weight", "sc", "connectivity", "connectome", "structuralconnectivity", "scweights"),
    "lengths": ("lengths", "length", "tractlengths", "tractlength", "dist", "distance", "distances", "fiberlengths"),
    "labels": ("labels", "label", "regionlabels", "regionnames", "roilabels", "roinames", "names"),
    "centres": ("centres", "centers", "regioncentres", "regioncenters", "coords", "coordinates", "positions", "xyz"),
}


def read_parts(path: Path, labelled: bool = False) -> dict[str, Part]:
    """The fields that a file or folder has, whatever its format; `labelled` if labels are known without it."""
    if bids.is_bids(path):
        return bids.read_parts(path, labelled=labelled)
    if path.is_dir():
        return {field: read_part(field, file) for field, file in find(path).items()}
    readers = {".npz": read_npz, ".zip": _read_zip, ".mat": _read_mat}
    if path.suffix in readers:
        return readers[path.suffix](path)
    return {"weights": read_part("weights", path)}


def read_field(field: str, path: Path) -> Part:
    """One field from a file of its own."""
    if field != "labels" and path.is_file() and bids.is_bids(path):
        return bids.read_matrix(field, path, labelled=True)
    return read_part(field, path)


def read_tvb_zip(path: str | os.PathLike[str]) -> Connectome:
    r"""Read a connectivity of The Virtual Brain (Sanz Leon et al. 2013): a zip of text files, plain or bz2-compressed.

    `weights.txt` is needed; `tract_lengths.txt` (mm) and `centres.txt`, whose lines are `label x y z`, are read if there.
    Rows of both matrices are targets, as here: The Virtual Brain weighs what `i` hears from `j` by `weights[i, j]`.
    What a `Connectome` has no place for is left out: areas, hemispheres, cortical and average_orientations.
    `Connectome.load` reads the same.

    Raises:
        FileNotFoundError: there is no such file, or no weights in it.
        ValueError, TypeError: no zip, a field that it holds twice, or as `Connectome`, with the name of the member.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "two.zip"
        >>> with zipfile.ZipFile(file, "w") as archive:
        ...     archive.writestr("weights.txt", "0 2\n1 0\n")
        ...     archive.writestr("centres.txt", "V1 -10 5 0\nV2 12 6 1\n")
        >>> read_tvb_zip(file)
        Connectome(2 regions, density 1, weights 1 to 2, directed, centres)
    """
    return Connectome(**arguments(_read_zip(existing(path))))


def _read_zip(path: Path) -> dict[str, Part]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                name: PurePosixPath(name.lower().removesuffix(".bz2")).stem
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX")
            }
            found = _find_members(members, path)
            texts = {name: _text(archive, name, path) for name in found.values()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: cannot be read as .zip: {error}") from None
    parts = {}
    for field, member in found.items():
        name, lines = f"{field} in {path / member}", texts[member].splitlines()
        parts[field] = _centres(lines, name) if field == "centres" else Part(parse(lines, name)[0], None, name)
    return parts


def _find_members(members: Mapping[str, str], path: Path) -> dict[str, str]:
    found = {}
    for field, names in _MEMBERS.items():
        ends = tuple(f"_{name}" for name in names)
        fits = [member for member, stem in members.items() if stem in names or stem.endswith(ends)]
        if len(fits) > 1:
            raise ValueError(f"{path} has both {fits[0]} and {fits[1]}: keep one of them")
        if fits:
            found[field] = fits[0]
            continue
        near = [stem for stem in members.values() if difflib.get_close_matches(stem, names, n=1, cutoff=0.8)]
        if near:
            raise ValueError(f"{path} has {near[0]!r} but no {names[0]!r}: rename it to {names[0]!r} if it is that")
    if "weights" not in found:
        raise FileNotFoundError(f"{path} has no 'weights', only {sorted(members)}")
    return found


def _text(archive: zipfile.ZipFile, member: str, path: Path) -> str:
    try:
        data = archive.read(member)
        return (bz2.decompress(data) if member.endswith(".bz2") else data).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path / member}: not text in UTF-8") from None
    except (OSError, ValueError, RuntimeError, EOFError) as error:  # encrypted, or not as it says
        raise ValueError(f"{path / member}: cannot be read: {error}") from None


def _centres(lines: list[str], name: str) -> Part:
    """Lines of `label x y z`, further columns ignored as The Virtual Brain does, or of `x y z`."""
    cells, numbers = cells_of(lines, name)
    if len(cells[0]) < 3:
        raise ValueError(f"{name}: line {numbers[0]} has {len(cells[0])} entries, expected: label x y z")
    first = len(cells[0]) > 3
    value = to_numbers([row[first : first + 3] for row in cells], numbers, name)
    return Part(value, label_tuple([row[0] for row in cells], name) if first else None, name)


def read_mat(
    path: str | os.PathLike[str],
    weights: str | None = None,
    lengths: str | None = None,
    labels: str | None = None,
    centres: str | None = None,
) -> Connectome:
    """Read a connectome from variables of a MATLAB file, up to version 7.2 or, with `gyrax[io]`, 7.3.

    Rows are targets: transpose in MATLAB what is stored the other way round. Labels are a cell array of text or a char
    matrix (scipy cannot read MATLAB's string arrays; `cellstr` makes them cells). Fields of structures are named with
    dots: `"subject.SC"`.

    Args:
        path: the file. `Connectome.load` reads it too, with all names guessed.
        weights: name of the variable. By default the one that is called, in any case and with or without underscores,
            weights, SC, connectivity, connectome, ...
        lengths: likewise tract_lengths, lengths, dist, distances, ...
        labels: likewise labels, region_labels, roi_names, ...
        centres: likewise centres, centers, coords, ...

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such variable, or none or several that may be meant, with all that the file has.
        ImportError: version 7.3, and h5py is not installed.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> file = Path(tempfile.mkdtemp()) / "sub-01.mat"
        >>> savemat(file, {"SC": [[0.0, 2.0], [1.0, 0.0]], "dist": [[0.0, 40.0], [40.0, 0.0]]})
        >>> read_mat(file)
        Connectome(2 regions, density 1, weights 1 to 2, directed, lengths 40 to 40 mm)
    """
    given = {"weights": weights, "lengths": lengths, "labels": labels, "centres": centres}
    return Connectome(**arguments(_read_mat(existing(path), given)))


def _read_mat(path: Path, given: Mapping[str, str | None] = {}) -> dict[str, Part]:
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
