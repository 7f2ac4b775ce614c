"""Maps of the brain, one value a region: myelin, thickness, gradients, densities of receptors."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._extras import need
from .._formats.arrays import read_array, variables
from .._formats.images import data_of, load_image
from .._formats.matlab import labels_in
from .._formats.reading import existing
from ..labelled import places
from .functional import is_image, series_of


def read_maps(path: str | os.PathLike[str], labels: Sequence[str] | None = None, *, atlas: Any = None) -> pd.DataFrame:
    r"""Read maps of the brain as a table with a row a region and a column a map, as `gx.by_maps` takes them.

    A table (`.tsv`, `.csv`, `.txt`) has the regions down and the maps across, names of maps in the first line and of regions in the
    first column, where it has some; so has an `.npy`, `.npz` or `.mat` without names. Of images, `.pscalar.nii` has parcels with
    names; maps of vertices (`.shape.gii`, `.func.gii`) and of voxels (`.nii`, `.nii.gz`) are averaged over the regions of an atlas.

    Args:
        path: the file.
        labels: of the regions wanted, in their order, such as `connectome.labels`. Without names in the file they are its rows'.
        atlas: of images, as in `read_series`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with its name: another number of regions, regions that it does not have, values that are no numbers.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "maps.csv"
        >>> _ = file.write_text("region,myelin,thickness\nV1,1.5,2.1\nM1,1.2,2.6\n")
        >>> read_maps(file, ["M1", "V1"])["myelin"].to_dict()
        {'M1': 1.2, 'V1': 1.5}
    """
    path = existing(path)
    values, rows, columns = _image(path, atlas) if is_image(path) else _table(path, atlas)
    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise ValueError(f"maps in {path}: expected (region, map), got shape {values.shape}")
    wanted = None if labels is None else list(labels)
    if rows is None and wanted is not None and len(values) != len(wanted):
        turned = ": its columns are? transpose it" if values.shape[1] == len(wanted) else ""
        raise ValueError(f"maps in {path}: it has {len(values)} rows, and there are {len(wanted)} regions{turned}")
    names = [path.name.split(".")[0]] if values.shape[1] == 1 else [f"map_{i}" for i in range(values.shape[1])]
    table = pd.DataFrame(values, index=wanted if rows is None else rows, columns=names if columns is None else columns)
    if twice := [name for name in table.index if list(table.index).count(name) > 1]:
        raise ValueError(f"maps in {path}: it has region {str(twice[0])!r} twice")
    if rows is None or wanted is None:
        return table
    try:
        return table.iloc[places(wanted, tuple(rows))]
    except ValueError as error:
        raise ValueError(f"maps in {path}: {error}") from error


def _table(path: Path, atlas: Any) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    """Values, and names of regions and of maps."""
    if atlas is not None:
        raise ValueError(f"maps in {path}: only images are averaged over the regions of an atlas, leave atlas= out")
    values, rows, columns = read_array(path, None, f"maps in {path}")
    if path.suffix.lower() in (".npz", ".mat"):
        found = labels_in(variables(path), path)
        rows = None if found is None or len(found) != len(values) else [str(name) for name in found]
    if rows is not None and columns is not None and len(columns) == np.shape(values)[1] + 1:
        columns = columns[1:]
    return values, rows, columns


def _image(path: Path, atlas: Any) -> tuple[np.ndarray, list[str] | None, list[str] | None]:
    image = load_image(path)
    if hasattr(image, "nifti_header"):
        axes = need("nibabel", "io").cifti2.cifti2_axes
        maps, place = image.header.get_axis(0), image.header.get_axis(1)
        if not isinstance(maps, axes.ScalarAxis) or not isinstance(place, axes.ParcelsAxis):
            raise ValueError(f"maps in {path}: expected scalars of parcels (.pscalar.nii), got {type(maps).__name__}")
        return data_of(image, path).T, [str(name) for name in place.name], [str(name) for name in maps.name]
    found = series_of(path, atlas)
    if found.channel != "region":
        raise ValueError(f"maps in {path} are of vertices: atlas= is the file with the regions to average over")
    return found.values.T, list(found.labels), None
