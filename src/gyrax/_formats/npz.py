"""Arrays in one file, in one move."""

import os
from pathlib import Path

import numpy as np

from .writing import replacing


def write_npz(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """An npz in one move: an interruption leaves the old file or the new one."""
    with replacing(Path(path)) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
