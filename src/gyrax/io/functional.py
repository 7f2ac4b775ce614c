"""Measured series in the formats of neuroimaging: NIfTI, GIfTI and CIFTI, by way of nibabel and nilearn."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._extras import need
from .._formats.images import data_of, load_image, own_errors
from .._formats.reading import existing, reading
from .atlases import LabelImage, SurfaceLabels, read_annot, read_gifti_labels, read_label_image, regions_of

SUFFIXES = (".nii", ".nii.gz", ".gii", ".gii.gz")
_MS = {"sec": 1e3, "msec": 1.0, "usec": 1e-3}
#: Intents of GIfTI arrays that are no series: labels, points, triangles.
_NO_SERIES = (1002, 1008, 1009)


class Series(NamedTuple):
    """Values `(time, channel)`, what the channels are and are called, when they begin and how far apart they are, if known, in ms."""

    values: np.ndarray
    channel: str
    labels: tuple[str, ...]
    begin: float = 0.0
    period: float | None = None


def is_image(path: Path) -> bool:
    """Whether a file is one that `series_of` takes."""
    return path.name.lower().endswith(SUFFIXES)


def series_of(path: Path, atlas: Any) -> Series:
    """The series of a file of images: of the regions of an atlas, of parcels, or of vertices."""
    image = load_image(path)
    if hasattr(image, "darrays"):
        return _surface(image, path, atlas)
    if hasattr(image, "nifti_header"):
        return _cifti(image, path, atlas)
    return _volume(image, path, atlas)


def _surface(image: Any, path: Path, atlas: Any) -> Series:
    arrays = [np.asarray(array.data) for array in image.darrays if array.intent not in _NO_SERIES]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or not (len(next(iter(shapes))) == 1 or (len(arrays) == 1 and arrays[0].ndim == 2)):
        raise ValueError(f"{path}: expected one array (vertex) a sample, or one (vertex, time), got {sorted(shapes)}")
    values = arrays[0].T if arrays[0].ndim == 2 else np.stack(arrays)
    if atlas is None:
        return Series(values, "vertex", tuple(f"vertex_{i}" for i in range(values.shape[1])))
    if not isinstance(atlas, SurfaceLabels):
        file = existing(atlas)
        atlas = read_annot(file) if file.suffix.lower() == ".annot" else read_gifti_labels(file)
    if len(atlas.region_of) != values.shape[1]:
        raise ValueError(f"{path} has {values.shape[1]} vertices, and the atlas {len(atlas.region_of)}")
    return Series(*_means(values, atlas.region_of, atlas.names, path))


def _cifti(image: Any, path: Path, atlas: Any) -> Series:
    axes = need("nibabel", "io").cifti2.cifti2_axes
    time, place = _axes(image, path)
    if not isinstance(time, axes.SeriesAxis) or str(time.unit).upper() != "SECOND":
        raise ValueError(f"{path}: its rows are no samples in time, but a {type(time).__name__}")
    values, when = data_of(image, path), (1e3 * float(time.start), 1e3 * float(time.step))
    if values.shape != (len(time), len(place)):
        raise ValueError(f"{path}: its values are {values.shape}, its axes {(len(time), len(place))}")
    if isinstance(place, axes.ParcelsAxis):
        if atlas is not None:
            raise ValueError(f"{path} is of parcels already: leave atlas= out")
        return Series(values, "region", tuple(map(str, place.name)), *when)
    if not isinstance(place, axes.BrainModelAxis):
        raise ValueError(f"{path}: its columns are a {type(place).__name__}, expected parcels, vertices or voxels")
    if atlas is None:
        return Series(values, "vertex", tuple(f"{name}_{i}" for i, name in enumerate(place.name)), *when)
    labels = load_image(existing(atlas))
    maps, there = _axes(labels, Path(atlas))
    if not isinstance(maps, axes.LabelAxis) or len(maps) != 1 or not isinstance(there, axes.BrainModelAxis):
        raise ValueError(f"{atlas}: expected one map of labels (.dlabel.nii)")
    table = {int(key): str(name) for key, (name, _) in maps.label[0].items()}
    regions = regions_of(data_of(labels, Path(atlas)).ravel(), table, None, Path(atlas))
    known = dict(zip(_places(there), regions.region_of.tolist(), strict=True))
    index = np.array([known.get(spot, -1) for spot in _places(place)])
    return Series(*_means(values, index, regions.names, path, regions.region_of), *when)


def _axes(image: Any, path: Path) -> tuple[Any, Any]:
    if not hasattr(image, "nifti_header") or image.ndim != 2:
        raise ValueError(f"{path} is no CIFTI matrix")
    with reading(path, "CIFTI"):
        return image.header.get_axis(0), image.header.get_axis(1)


def _places(axis: Any) -> list[tuple[Any, ...]]:
    """Structure and vertex, or voxel, of every column."""
    return [
        (str(name), int(vertex), *map(int, voxel))
        for name, vertex, voxel in zip(axis.name, axis.vertex, axis.voxel, strict=True)
    ]


def _volume(image: Any, path: Path, atlas: Any) -> Series:
    if atlas is None:
        raise ValueError(f"{path} has a value a voxel: atlas= is the label image of the regions to average over")
    if len(image.shape) != 4:
        raise ValueError(f"{path}: expected images (x, y, z, time), got shape {image.shape}")
    atlas = atlas if isinstance(atlas, LabelImage) else read_label_image(atlas)
    index = _resampled(atlas, image, path)
    values = data_of(image, path)[index >= 0].T
    with reading(path, "NIfTI"):
        step, unit = float(str(image.header.get_zooms()[3])), image.header.get_xyzt_units()[1]  # a float32: 0.72
    period = step * _MS[unit] if unit in _MS and step > 0 else None
    return Series(*_means(values, index[index >= 0], atlas.names, path, np.arange(len(atlas.names))), 0.0, period)


def _resampled(atlas: LabelImage, image: Any, path: Path) -> np.ndarray:
    """The index of every voxel's region, in the space of the images: nilearn takes the nearest voxel."""
    if atlas.region_of.shape == image.shape[:3] and np.allclose(atlas.affine, image.affine, atol=1e-3):
        return atlas.region_of
    nibabel, nilearn = need("nibabel", "io"), need("nilearn.image", "brain")
    with reading(path, "images in the space of the atlas", *own_errors(nibabel)):
        labels = nibabel.Nifti1Image((atlas.region_of + 1).astype(np.int32), atlas.affine)
        grid = nibabel.Nifti1Image(np.zeros(image.shape[:3], np.int8), image.affine)
        moved = nilearn.resample_to_img(labels, grid, interpolation="nearest", force_resample=True, copy_header=True)
    return np.asarray(moved.dataobj).astype(int) - 1


def _means(
    values: np.ndarray, index: np.ndarray, names: tuple[str, ...], path: Path, wanted: np.ndarray | None = None
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Means over the columns of each region; regions that an atlas names and has no place for are left out.

    Args:
        values: `(time, column)`.
        index: of the region of every column, -1 for none.
        names: of the regions.
        path: for the error.
        wanted: the atlas itself, where the index is another one made from it: what is in it is to be found.
    """
    sizes = np.bincount(index[index >= 0], minlength=len(names))
    there = np.unique(index if wanted is None else wanted)
    lost = [names[i] for i in there[there >= 0] if not sizes[i]]
    if lost or not sizes.any():
        shown = ", ".join(lost[:5]) or "any region"
        raise ValueError(f"{path} has nothing in {len(lost)} regions of the atlas: {shown}; is the atlas in its space?")
    order = np.argsort(index, kind="stable")[np.sum(index < 0) :]
    kept = np.flatnonzero(sizes)
    starts = np.cumsum(sizes[kept]) - sizes[kept]
    sums = np.add.reduceat(values[:, order].astype(float), starts, axis=1)
    return sums / sizes[kept], "region", tuple(names[i] for i in kept)
