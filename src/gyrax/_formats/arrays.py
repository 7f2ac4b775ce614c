"""One array from a file of any format."""

from pathlib import Path
from typing import Any

import numpy as np

from .fields import closest
from .matlab import inventory, plain, variables_of
from .npy import load_npy, load_npz
from .tables import SUFFIXES
from .text import parse, read_lines


def read_array(path: Path, variable: str | None, name: str) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """An array, and the names in the first column and first line of a table.

    Args:
        path: of an existing file.
        variable: of an `.npz` or `.mat`; the only matrix that the file has if None.
        name: what to call the array in errors.

    Raises:
        ValueError, TypeError: the file cannot be read, has no such variable, or none or several matrices.
    """
    suffix = path.suffix.lower()
    if suffix in (".npz", ".mat"):
        return np.asarray(chosen(variables(path), variable, path)), None, None
    if variable is not None:
        raise ValueError(f"{path} has no variables, so not {variable!r} either: leave variable= out")
    if suffix == ".npy":
        return load_npy(path), None, None
    if suffix not in SUFFIXES or path.is_dir():
        raise ValueError(f"{name}: cannot read {path.suffix!r}, expected {', '.join(SUFFIXES)}, .npz or .mat")
    return parse(read_lines(path, name), name)


def variables(path: Path) -> dict[str, Any]:
    """What an npz or mat has, by name."""
    return variables_of(path) if path.suffix.lower() == ".mat" else load_npz(path)[1]


def chosen(variables: dict[str, Any], name: str | None, path: Path) -> Any:
    """The variable of a name, or the only matrix."""
    if name is None:
        matrices = [
            n
            for n, v in variables.items()
            if getattr(v, "ndim", 0) == 2 and getattr(v, "dtype", np.dtype("O")).kind in "biuf"
        ]
        if len(matrices) != 1:
            found = "no matrix" if not matrices else f"{len(matrices)} matrices"
            raise ValueError(f"{path} has {found}: say which one with variable= ({inventory(variables)})")
        name = matrices[0]
    if name not in variables:
        raise ValueError(f"{path} has no {name!r}: {closest(name, variables)} ({inventory(variables)})")
    return plain(variables[name], path)
