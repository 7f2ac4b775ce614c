"""What kind of file a path is, and the fields of a connectome in it."""

from pathlib import Path

from . import bids
from .fields import Part
from .hdf5 import SUFFIXES, read_hdf5
from .matlab import read_mat_fields
from .tables import find, read_npz, read_part
from .tvb import read_zip


def read_parts(path: Path, labelled: bool = False) -> dict[str, Part]:
    """The fields that a file or folder has, whatever its format; `labelled` if labels are known without it."""
    if bids.is_bids(path):
        return bids.read_parts(path, labelled=labelled)
    if path.is_dir():
        return {field: read_part(field, file) for field, file in find(path).items()}
    readers, suffix = {".npz": read_npz, ".zip": read_zip, ".mat": read_mat_fields}, path.suffix.lower()
    if suffix in SUFFIXES:
        return read_hdf5(path, labelled=labelled)
    if suffix in readers:
        return readers[suffix](path)
    return {"weights": read_part("weights", path)}


def read_field(field: str, path: Path) -> Part:
    """One field from a file of its own."""
    if field != "labels" and path.is_file() and bids.is_bids(path):
        return bids.read_matrix(field, path, labelled=True)
    return read_part(field, path)
