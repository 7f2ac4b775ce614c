"""Atlases: which vertex or voxel is of which region, from GIfTI, FreeSurfer and NIfTI files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._extras import need
from .._formats.fields import closest, label_tuple, whole
from .._formats.images import data_of, load_image
from .._formats.reading import existing, reading
from .._formats.text import cells_of, read_lines

#: What files call vertices that are in no region.
OUTSIDE = (
    "???",
    "unknown",
    "background",
    "medial_wall",
    "medial wall",
    "freesurfer_defined_medial_wall",
    "background+freesurfer_defined_medial_wall",
)


class SurfaceLabels(NamedTuple):
    """The index of every vertex's region, -1 for none, and the regions' names."""

    region_of: Int[np.ndarray, " vertex"]
    names: tuple[str, ...]


class LabelImage(NamedTuple):
    """A label image: the index of every voxel's region (-1 for none), the regions' names, numbers in the image and centres.

    Attributes:
        region_of: `(x, y, z)`.
        names: of the regions.
        numbers: what the image has in the place of each region.
        centres: means of the voxels of each region, in the image's mm.
        affine: from voxels to mm.
    """

    region_of: Int[np.ndarray, "x y z"]
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    centres: Float[np.ndarray, "region 3"]
    affine: Float[np.ndarray, "4 4"]


def read_gifti_labels(path: str | os.PathLike[str], outside: Sequence[str] | None = None) -> SurfaceLabels:
    """Read the regions of a surface's vertices from a GIfTI label file (`.label.gii`).

    Regions are those of the file's label table, in the order of their keys, also those without vertices: the files of two
    hemispheres often share a table.

    Args:
        path: the file, with one label map.
        outside: names that stand for no region. By default those that files commonly have for it, such as '???', 'unknown'
            and 'Medial_wall', in upper or lower case.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with its name, if it is no label file, holds several maps, has a vertex with a key that is not in the
            table, two regions of one name, or no label called as `outside` says.
        ImportError: nibabel is not installed.

    Example:
        >>> import tempfile
        >>> import nibabel as nib
        >>> table = nib.gifti.GiftiLabelTable()
        >>> for key, name in enumerate(["???", "V1", "V2"]):
        ...     label = nib.gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0)
        ...     label.label = name
        ...     table.labels.append(label)
        >>> keys = nib.gifti.GiftiDataArray(np.array([1, 0, 2, 2], np.int32), "NIFTI_INTENT_LABEL")
        >>> file = Path(tempfile.mkdtemp()) / "lh.label.gii"
        >>> nib.save(nib.GiftiImage(labeltable=table, darrays=[keys]), file)
        >>> regions = read_gifti_labels(file)
        >>> regions.names, regions.region_of.tolist()
        (('V1', 'V2'), [0, -1, 1, 1])
    """
    path = existing(path)
    image = load_image(path)
    maps = [array.data for array in getattr(image, "darrays", []) if array.intent == 1002]  # NIFTI_INTENT_LABEL
    if len(maps) != 1 or not image.labeltable.labels:
        raise ValueError(
            f"{path} has {len(maps)} label maps and {_count(image)} labels: expected one map with its label table"
        )
    table = {int(label.key): str(label.label) for label in image.labeltable.labels}
    return regions_of(np.asarray(maps[0]).ravel(), table, outside, path)


def read_annot(path: str | os.PathLike[str], outside: Sequence[str] | None = None) -> SurfaceLabels:
    """Read the regions of a surface's vertices from a FreeSurfer annotation (`.annot`), such as `lh.aparc.annot`.

    Regions are those of its colour table, also those without vertices (aparc has 'corpuscallosum' so). Vertices that it
    does not mention are in none.

    Args:
        path: the file.
        outside: as in `read_gifti_labels`.

    Raises:
        FileNotFoundError, ValueError, ImportError: as in `read_gifti_labels`.

    Example:
        >>> import tempfile
        >>> import nibabel as nib
        >>> file = Path(tempfile.mkdtemp()) / "lh.two.annot"
        >>> colours = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0]])
        >>> nib.freesurfer.write_annot(file, np.array([1, 0, 2, 2]), colours, ["unknown", "V1", "V2"], fill_ctab=True)
        >>> read_annot(file).region_of.tolist()
        [0, -1, 1, 1]
    """
    path = existing(path)
    freesurfer = need("nibabel", "io").freesurfer
    with reading(path, ".annot", Exception):  # nibabel raises just this one for a missing colour table
        with path.open("rb") as file:
            count = int.from_bytes(file.read(4), "big", signed=True)
        if not 0 <= 8 * count <= path.stat().st_size:
            raise ValueError(f"it claims {count} vertices, and has {path.stat().st_size} bytes")
        keys, _, names = freesurfer.read_annot(path)
        table = {i: name.decode("utf-8") for i, name in enumerate(names)}
    return regions_of(keys, table, outside, path)


def _count(image: Any) -> int:
    return len(image.labeltable.labels) if hasattr(image, "labeltable") else 0


def regions_of(keys: np.ndarray, table: Mapping[int, str], outside: Sequence[str] | None, path: Path) -> SurfaceLabels:
    """Indices of regions from the keys of a label table, those outside left out."""
    for name in outside or ():
        if name not in table.values():
            raise ValueError(f"{path} has no label {name!r}: {closest(name, table.values())}")
    out = {key for key, name in table.items() if (name in outside if outside is not None else name.lower() in OUTSIDE)}
    regions = [key for key in sorted(table) if key not in out]
    names = label_tuple([table[key] for key in regions], f"labels of {path}")
    strange = np.setdiff1d(keys, [-1, *table])  # FreeSurfer's -1 is a vertex that nothing is said about
    if len(strange):
        raise ValueError(f"{path}: vertex {np.argmax(keys == strange[0])} has the key {strange[0]}, which no label has")
    if not regions:
        raise ValueError(f"{path} has no region: {closest('', table.values())}")
    place = np.minimum(np.searchsorted(regions, keys), len(regions) - 1)
    return SurfaceLabels(np.where(np.asarray(regions)[place] == keys, place, -1), names)


def read_label_image(
    image: Any, names: Mapping[int, str] | Sequence[str] | str | os.PathLike[str] | None = None
) -> LabelImage:
    """Read the regions of voxels from a label image: one whole number a region, 0 outside.

    Args:
        image: a NIfTI file, or an image of nibabel.
        names: of the regions: by their number in the image, or in the order of growing numbers, or in a table with the
            columns `index` and `name` as BIDS has it (`*_dseg.tsv`), which may hold more than the image. label_1, ... if
            left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with its name, if the image is not of whole numbers `(x, y, z)` or is empty, or a region has no name.
        ImportError: nibabel is not installed.

    Example:
        >>> import nibabel as nib
        >>> voxels = np.zeros((2, 2, 2), np.int16)
        >>> voxels[0, 0], voxels[1, 1, 0] = 5, 9
        >>> atlas = read_label_image(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), ["V1", "V2"])
        >>> atlas.numbers, atlas.centres.tolist()
        ((5, 9), [[0.0, 0.0, 1.0], [2.0, 2.0, 0.0]])
    """
    name: str | Path = "the label image"
    if isinstance(image, (str, os.PathLike)):
        name = existing(image)
        image = load_image(name)
    if not hasattr(image, "dataobj"):
        raise ValueError(f"{name} is no image of voxels, but {type(image).__name__}")
    voxels = data_of(image, name)
    name = str(name)
    if voxels.ndim == 4 and voxels.shape[3] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3 or voxels.dtype.kind not in "biuf" or not whole(voxels).all():
        raise ValueError(
            f"{name}: a label image has whole numbers (x, y, z), this has {voxels.dtype} of shape {voxels.shape}"
        )
    numbers, place = np.unique(voxels.astype(int), return_inverse=True)
    rank = np.cumsum(numbers != 0) - 1
    index = np.where(numbers == 0, -1, rank)[place].reshape(voxels.shape)
    numbers = numbers[numbers != 0]
    if not len(numbers):
        raise ValueError(f"{name} is zero everywhere: there is no region")
    affine = np.asarray(image.affine, float)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.linalg.matrix_rank(affine) < 4:
        raise ValueError(f"{name}: its affine, from voxels to mm, is {affine.tolist()}")
    inside = np.argwhere(index >= 0)
    where, sizes = index[tuple(inside.T)], np.bincount(index[index >= 0])
    sums = [np.bincount(where, inside[:, axis]) for axis in range(3)]
    centres = np.stack(sums, 1) / sizes[:, None] @ affine[:3, :3].T + affine[:3, 3]
    return LabelImage(index, _image_names(names, numbers, name), tuple(map(int, numbers)), centres, affine)


def _image_names(names: Any, numbers: np.ndarray, image: str) -> tuple[str, ...]:
    if names is None:
        return tuple(f"label_{number}" for number in numbers)
    what = f"names of the regions of {image}"
    if isinstance(names, (str, os.PathLike)):
        what, names = f"names in {names}", _lookup(existing(names))
    if not isinstance(names, Mapping):
        if len(names) != len(numbers):
            raise ValueError(f"{image} has {len(numbers)} regions, and there are {len(names)} names")
        names = dict(zip(map(int, numbers), names, strict=True))
    missing = [int(number) for number in numbers if int(number) not in names]
    if missing:
        raise ValueError(f"{what}: there is none for {missing[0]}, which {image} has")
    return label_tuple([names[int(number)] for number in numbers], what)


def _lookup(path: Path) -> dict[int, str]:
    (head, *rows), lines = cells_of(read_lines(path, f"names in {path}"), f"names in {path}")
    if "index" not in head or "name" not in head:
        raise ValueError(f"{path} has the columns {', '.join(head)}: expected 'index' and 'name' among them")
    index, name = head.index("index"), head.index("name")
    for row, line in zip(rows, lines[1:], strict=True):
        if not row[index].isdecimal() or len(row[index]) > 18:
            raise ValueError(f"{path}: index {row[index]!r} in line {line} is no whole number")
    return {int(row[index]): row[name] for row in rows}
