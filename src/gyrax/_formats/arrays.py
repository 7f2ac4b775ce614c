"""One array from a file of any format."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .fields import closest
from .matlab import flat, inventory, load_mat
from .tables import SUFFIXES, parse, read_lines


def read_array(path: Path, variable: str | None, name: str) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """An array, and the names in the first column and first line of a table.

    Args:
        path: of an existing file.
        variable: of an `.npz` or `.mat`; the only matrix that the file has if None.
        name: what to call the array in errors.

    Raises:
        ValueError, TypeError: the file cannot be read, has no such variable, or none or several matrices.
    """
    if path.suffix in (".npz", ".mat"):
        return np.asarray(_chosen(_variables(path), variable, path)), None, None
    if variable is not None:
        raise ValueError(f"{path} has no variables, so not {variable!r} either: leave variable= out")
    if path.suffix == ".npy":
        return np.asarray(load(path)), None, None
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{name}: cannot read {path.suffix!r}, expected {', '.join(SUFFIXES)}, .npz or .mat")
    return parse(read_lines(path, name), name)


def load(path: Path) -> Any:
    """What an npy or npz has."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:  # numpy does not say which file
        raise ValueError(f"{path}: cannot be read as {path.suffix}: {error}") from None


def _variables(path: Path) -> dict[str, Any]:
    if path.suffix == ".mat":
        return dict(flat(load_mat(path)))
    with load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _chosen(variables: dict[str, Any], name: str | None, path: Path) -> Any:
    if name is None:
        matrices = [n for n, v in variables.items() if np.ndim(v) == 2 and np.asarray(v).dtype.kind in "biuf"]
        if len(matrices) != 1:
            found = "no matrix" if not matrices else f"{len(matrices)} matrices"
            raise ValueError(f"{path} has {found}: say which one with variable= ({inventory(variables)})")
        name = matrices[0]
    if name not in variables:
        raise ValueError(f"{path} has no {name!r}: {closest(name, variables)} ({inventory(variables)})")
    return variables[name]
