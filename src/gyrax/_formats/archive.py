"""Arrays and a description of them in one npz: written in one move, read without trust."""

import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .reading import BROKEN, is_of_the_file
from .writing import replacing

#: The member that says what the others are. Other npz files have none.
ABOUT = "gyrax.json"


def write(path: str | os.PathLike[str], about: Any, arrays: dict[str, np.ndarray]) -> None:
    """The description and the arrays into one npz, in one move: an interruption leaves the old file or the new one.

    Raises:
        OSError: with the name of the file, if there is no such folder or if what stands there is no file: a folder, or a device
            such as /dev/null, which would be replaced.
    """
    with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        archive.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about, indent=1, allow_nan=False))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, np.ndarray]]:
    """The description (None in a file of arrays alone) and the arrays by name. Nothing is unpickled.

    Members may not be compressed and not be larger than the file, so memory is bounded by the file's size.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with the file's name, if it is no such file or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(members, path.stat().st_size)
            names = [m.filename for m in members if m.filename != ABOUT]
            about = json.loads(archive.read(ABOUT)) if len(names) < len(members) else None
            return about, {name.removesuffix(".npy"): _array(archive.read(name), name) for name in names}
    except BROKEN as error:
        if not is_of_the_file(error):
            raise
        raise ValueError(f"{path} is no npz of gx.io.save, or damaged: {error or type(error).__name__}") from error


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    """What the archive says of itself can be."""
    names = [m.filename for m in members]
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its member {member.filename} is compressed, which none of gx.io.save is")
        if member.filename != ABOUT and not member.filename.endswith(".npy"):
            raise ValueError(f"its member {member.filename} is no array")
    if len(set(names)) < len(names):
        raise ValueError("it has two members of one name")
    if sum(m.file_size for m in members) > size:
        raise ValueError("its members are larger than the file")


def _array(data: bytes, name: str) -> np.ndarray:
    """An array from the bytes of an npy file, which must be as many as its header says."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, in_columns, dtype = header(file)
    if dtype.hasobject or dtype.names is not None:
        raise ValueError(f"{name} holds {dtype}, which would be unpickled")
    wanted, there = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if wanted != there or (not dtype.itemsize and math.prod(shape)):
        raise ValueError(f"{name} says it has {wanted} bytes of numbers, and has {there}")
    flat = np.frombuffer(data, dtype, offset=file.tell()) if wanted else np.zeros(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if in_columns else "C")
