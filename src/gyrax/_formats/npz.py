"""Arrays in one file, in one move."""

import os
from pathlib import Path

import numpy as np


def write_npz(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """An npz in one move: an interruption leaves the old file or the new one."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, path)
