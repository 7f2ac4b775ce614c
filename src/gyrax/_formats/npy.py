"""NumPy's files, as far as they hold numbers and text, with what their headers claim checked first."""

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from .reading import check_members, reading

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_npy(path: Path) -> np.ndarray:
    """The array of an `.npy`."""
    with reading(path, ".npy"), path.open("rb") as file:
        return _array(file, path.stat().st_size)


def load_npz(path: Path, wanted: Collection[str] | None = None) -> tuple[list[str], dict[str, np.ndarray]]:
    """All names in an `.npz`, and the arrays that are wanted, by default all."""
    with reading(path, ".npz"), zipfile.ZipFile(path) as archive:
        check_members(archive, path)
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        arrays = {}
        for name, member in members.items():
            if wanted is None or name in wanted:
                with archive.open(member) as file, reading(path / member.filename, ".npy"):
                    arrays[name] = _array(file, member.file_size)
        return list(members), arrays


def _array(file: Any, size: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format holds no numbers or text")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which may run code when they are read: save numbers and text alone")
    need = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or need > size - file.tell():
        raise ValueError(f"it claims an array of shape {shape}, and has {size - file.tell()} bytes of {need}")
    if not need:
        return np.empty(shape, dtype)
    data = file.read(need)
    if len(data) < need:
        raise EOFError(f"it ends after {len(data)} bytes of {need}")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C").copy(order="K")
