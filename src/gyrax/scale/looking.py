"""How far what runs elsewhere has come."""

import os
from pathlib import Path

import pandas as pd

from .._kinds import expect
from .many import status_of_fits
from .stores import Status, is_store


def status(store: str | os.PathLike[str]) -> Status | pd.DataFrame:
    """How far a sweep, or fits of many subjects, have come, from wherever one looks.

    Args:
        store: the folder that `gx.sweep(..., store=...)` writes, or `gx.scale.fit_many(..., out=...)`.

    Returns:
        Of a sweep what is done and failed, the rate and the time left; of fits their table, as `Fits.table`.

    Raises:
        ValueError: for what is neither.
        ImportError: zarr is not installed, for a sweep.

    Example:
        >>> import tempfile, gyrax as gx
        >>> folder = f"{tempfile.mkdtemp()}/study.zarr"
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w, {"w": [0.5, 1.0]}, store=folder)
        >>> gx.scale.status(folder)
        /...study.zarr: 2 of 2 points done
    """
    expect("store", store, (str, os.PathLike), "the folder of a sweep, or of fits", "'study.zarr'")
    path = Path(store)
    if is_store(path):
        return Status(path)
    try:
        return status_of_fits(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{path} is no store of gx.sweep(..., store=...), and no folder of gx.scale.fit_many(..., out=...): look where they write"
        ) from None
