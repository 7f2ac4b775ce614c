"""Gains, sensors and region maps, as The Virtual Brain and Brainstorm keep them."""

import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .arrays import read_array
from .fields import check_finite, label_tuple, whole
from .npy import load_npy
from .reading import existing
from .text import cells_of, floats, read_lines, to_numbers

File = str | os.PathLike[str]


class Sensors(NamedTuple):
    """Names of sensors, where they are and, for coils, where they point: `(sensor, 3)`, in the units of their file."""

    names: tuple[str, ...]
    positions: Float[np.ndarray, "sensor 3"]
    orientations: Float[np.ndarray, "sensor 3"] | None


def read_gain(path: File, variable: str | None = None) -> Float[np.ndarray, "sensor source"]:
    r"""Read a gain: what each sensor sees of each vertex (or of x, y, z of each, one vertex after the other).

    Args:
        path: `.npy`, `.npz`, `.mat`, or a table (`.txt`, `.csv`, `.tsv`). Brainstorm's head models are `.mat`, with the
            variable `Gain`; The Virtual Brain's have `ProjectionMatrix`.
        variable: of an `.npz` or `.mat`, fields of structures with dots. By default the only matrix that the file has.

    Returns:
        Float64, whatever the file has; not finite where the file is not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with the name of the file: it cannot be read, holds no such variable, none or several
            matrices, or something else than a matrix.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "gain.txt"
        >>> _ = file.write_text("1 2 4\n0 1 3\n")
        >>> read_gain(file).shape
        (2, 3)
    """
    path = existing(path)
    value, _, _ = read_array(path, variable, f"gain in {path}")
    if value.ndim != 2 or value.dtype.kind not in "biuf" or 0 in value.shape:
        raise ValueError(
            f"{path}: a gain is a matrix (sensor, source) of numbers, got {value.dtype} of shape {value.shape}"
        )
    return value.astype(float)


def read_sensors(path: File) -> Sensors:
    r"""Read sensors as The Virtual Brain keeps them: a table of `label x y z`, or `label x y z ox oy oz` for coils.

    Args:
        path: `.txt`, `.tsv` or `.csv`, which may be compressed as `.bz2`.

    Returns:
        Names, positions and orientations in the units of the file. The Virtual Brain means mm, but some of its files
        have directions from the head's centre.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with the name of the file: another number of columns, a name that two sensors have, or
            an entry that is no finite number.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "eeg.txt"
        >>> _ = file.write_text("Fz 60 0 95\nCz -5 0 120\n")
        >>> read_sensors(file).names
        ('Fz', 'Cz')
    """
    path = existing(path)
    name = f"sensors in {path}"
    cells, numbers = cells_of(read_lines(path, name), name)
    if len(cells[0]) not in (4, 7):
        raise ValueError(
            f"{name}: line {numbers[0]} has {len(cells[0])} entries, expected label x y z, or label x y z ox oy oz"
        )
    value = to_numbers([row[1:] for row in cells], numbers, name)
    names = label_tuple([row[0] for row in cells], name)
    check_finite(value, names, name)
    return Sensors(names, value[:, :3], value[:, 3:] if len(cells[0]) == 7 else None)


def read_region_map(path: File) -> Int[np.ndarray, " vertex"]:
    """Read the index of every vertex's region: whole numbers in a text or `.npy` file, -1 for no region.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with the name of the file, for anything else.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "map.txt"
        >>> _ = file.write_text("0 0 1 2")
        >>> read_region_map(file).tolist()
        [0, 0, 1, 2]
    """
    path = existing(path)
    name = f"region map in {path}"
    if path.suffix.lower() == ".npy":
        value = load_npy(path)
    else:
        words = [(word, i) for i, line in enumerate(read_lines(path, name)) for word in line.replace(",", " ").split()]
        try:
            value = np.array(floats([word for word, _ in words], 0, 1, name))
        except ValueError:  # once more, with the line
            value = np.array([floats([word], i, i + 1, name)[0] for word, i in words])
    value = value.ravel() if value.ndim == 2 and 1 in value.shape else value
    if value.ndim != 1 or not len(value) or value.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected one number a vertex, got {value.dtype} of shape {value.shape}")
    wrong = np.flatnonzero(~whole(value) | (value < -1))
    if len(wrong):
        raise ValueError(
            f"{name}: vertex {wrong[0]} is in region {value[wrong[0]]:g}, expected a whole number from 0 on, or -1"
        )
    return value.astype(int)
