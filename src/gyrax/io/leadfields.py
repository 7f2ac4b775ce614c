"""Lead fields from the files of The Virtual Brain and Brainstorm, and from MNE's forward solutions."""

import bz2
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._extras import need
from .._parts import closest, label_tuple
from ..leadfield import LeadField
from .arrays import load, read_array
from .tables import cells_of, existing, read_lines, to_numbers

File = str | os.PathLike[str]
#: Units of MNE's forward solutions, by type of channel.
_UNITS = {"mag": "T/(A m)", "grad": "T/(A m^2)", "eeg": "V/(A m)", "seeg": "V/(A m)", "ecog": "V/(A m)"}
_HEMISPHERES = {101: "lh", 102: "rh"}  # numbers of the FIFF format
_DEVICE = 1


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
            an entry that is no number.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "eeg.txt"
        >>> _ = file.write_text("Fz 60 0 95\nCz -5 0 120\n")
        >>> read_sensors(file).names
        ('Fz', 'Cz')
    """
    path = existing(path)
    name = f"sensors in {path}"
    cells, numbers = cells_of(_lines(path, name), name)
    if len(cells[0]) not in (4, 7):
        raise ValueError(
            f"{name}: line {numbers[0]} has {len(cells[0])} entries, expected label x y z, or label x y z ox oy oz"
        )
    value = to_numbers([row[1:] for row in cells], numbers, name)
    return Sensors(
        label_tuple([row[0] for row in cells], name), value[:, :3], value[:, 3:] if len(cells[0]) == 7 else None
    )


def _lines(path: Path, name: str) -> list[str]:
    if path.suffix != ".bz2":
        return read_lines(path, name)
    try:
        return bz2.decompress(path.read_bytes()).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: cannot be read as .bz2: {error}") from None


def read_region_map(path: File) -> Int[np.ndarray, " vertex"]:
    """Read the index of every vertex's region: whole numbers in a text or `.npy` file, -1 for no region.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with the name of the file, for anything else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "map.txt"
        >>> _ = file.write_text("0 0 1 2")
        >>> read_region_map(file).tolist()
        [0, 0, 1, 2]
    """
    path = existing(path)
    name = f"region map in {path}"
    if path.suffix == ".npy":
        value = np.asarray(load(path))
    else:
        words = [cell for line in _lines(path, name) for cell in line.replace(",", " ").split()]
        value = to_numbers([[word] for word in words], list(range(1, len(words) + 1)), name)
    value = value.ravel() if value.ndim == 2 and 1 in value.shape else value
    if value.ndim != 1 or not len(value) or value.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected one number a vertex, got {value.dtype} of shape {value.shape}")
    wrong = np.flatnonzero(~(value == np.round(value)) | (value < -1))
    if len(wrong):
        raise ValueError(
            f"{name}: vertex {wrong[0]} is in region {value[wrong[0]]:g}, expected a whole number from 0 on, or -1"
        )
    return value.astype(int)


def read_tvb_lead_field(
    gain: File,
    sensors: File,
    region_map: File,
    regions: Sequence[str] | None = None,
    *,
    variable: str | None = None,
    normals: Any = None,
    reduce: Literal["sum", "mean"] = "sum",
    unseen: Literal["refuse", "zero"] = "refuse",
    unit: str = "",
    nonfinite: Literal["refuse", "drop"] = "refuse",
) -> LeadField:
    r"""Read a lead field of The Virtual Brain (Sanz Leon et al. 2013): a gain, its sensors, and the vertices' regions.

    Positions are taken over as mm, unless all are of length 1: those are directions, and are left out.

    Args:
        gain: file for `read_gain`.
        sensors: file for `read_sensors`, in the order of the gain's rows.
        region_map: file for `read_region_map`, in the order of the gain's columns.
        regions: names of the regions, such as a connectome's labels.
        variable: as in `read_gain`.
        normals: `(vertex, 3)`, for a gain with x, y, z of every vertex.
        reduce: 'sum': each vertex has its region's activity, as The Virtual Brain takes it. 'mean': its share of it.
        unseen: as in `gx.LeadField`.
        unit: as in `gx.LeadField`.
        nonfinite: as in `gx.LeadField`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError, TypeError: files that do not fit together, with their names, or as the readers and `gx.LeadField`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "gain.txt").write_text("1 2 4\n0 1 3\n")
        >>> _ = (folder / "eeg.txt").write_text("Fz 60 0 95\nCz -5 0 120\n")
        >>> _ = (folder / "map.txt").write_text("0 0 1")
        >>> field = read_tvb_lead_field(folder / "gain.txt", folder / "eeg.txt", folder / "map.txt", ["V1", "V2"])
        >>> field.gain.tolist()
        [[3.0, 4.0], [1.0, 3.0]]
    """
    matrix, found, index = read_gain(gain, variable), read_sensors(sensors), read_region_map(region_map)
    if len(matrix) != len(found.names):
        raise ValueError(f"{gain} has {len(matrix)} rows, and {sensors} has {len(found.names)} sensors")
    if matrix.shape[1] not in (len(index), 3 * len(index)):
        raise ValueError(
            f"{gain} has {matrix.shape[1]} columns, and {region_map} has {len(index)} vertices: one each, or three"
        )
    if regions is not None and index.max() >= len(regions):
        raise ValueError(
            f"{region_map} has a vertex in region {index.max()}, and there are {len(regions)} names of regions"
        )
    directions = np.allclose(np.linalg.norm(found.positions, axis=1), 1, rtol=0, atol=1e-3)
    return LeadField.from_vertices(
        matrix,
        index,
        found.names,
        regions,
        normals=normals,
        reduce=reduce,
        unseen=unseen,
        positions=None if directions else found.positions,
        unit=unit,
        nonfinite=nonfinite,
    )


def from_forward(
    forward: Any,
    regions: Any,
    names: Sequence[str] | None = None,
    *,
    ch_type: str | None = None,
    orientation: Literal["normal", "free"] = "normal",
    reduce: Literal["sum", "mean"] = "sum",
    unseen: Literal["refuse", "zero"] = "refuse",
) -> LeadField:
    """The lead field of regions from a forward solution of MNE (Gramfort et al. 2013).

    Sources in no region are left out, and so are the channels that the forward solution's info marks as bad: clear
    `forward["info"]["bads"]` to keep them. Units are MNE's: V (EEG) or T (MEG) for a dipole moment of 1 A m in each source
    (with reduce='sum'). Positions of sensors are in mm, in MNE's head coordinates.

    Args:
        forward: an `mne.Forward`.
        regions: one a region: an `mne.Label` (or `mne.BiHemiLabel`) for cortical surfaces, or the name of a volume source
            space of its own, such as 'Left-Thalamus' (made with `mne.setup_volume_source_space(volume_label=...)`). Or an
            array of the index of every source's region, in the order of the forward solution, -1 for none.
        names: of the regions, such as those of a connectome; those of the labels if left out.
        ch_type: 'eeg', 'mag', 'grad', 'seeg' or 'ecog'; needed where there are several, which have units of their own.
        orientation: 'normal': sources point along the surface's normals (patch averages where known, as in MNE). 'free':
            along x, y and z of the head, `(sensor, region, 3)`, for an orientation of each region to come.
        reduce: 'sum': each source has its region's activity. 'mean': its share of it.
        unseen: 'refuse' regions that have no source, or give them a gain of 'zero'.

    Raises:
        ValueError: for channels of several types or none of that type, labels of another subject or hemisphere, a source
            in two regions, volume sources without normals, regions without a source, or names that do not fit.
        ImportError: MNE is not installed.

    Example:
        >>> import mne
        >>> montage = mne.channels.make_standard_montage("biosemi16")
        >>> info = mne.create_info(montage.ch_names, 1000.0, "eeg").set_montage(montage)
        >>> places, up = np.array([[0, 0, 0.06], [0.03, 0, 0.05], [-0.03, 0, 0.05]]), np.array([[0, 0, 1.0]] * 3)
        >>> with mne.use_log_level("error"):
        ...     sources = mne.setup_volume_source_space(pos={"rr": places, "nn": up})
        ...     sphere = mne.make_sphere_model((0, 0, 0), 0.09)
        ...     forward = mne.make_forward_solution(info, None, sources, sphere, mindist=0)
        >>> from_forward(forward, np.array([0, 0, 1]), ["A", "B"]).gain.shape
        (16, 2)
    """
    mne = need("mne", "mne")
    spaces, info = list(forward["src"]), forward["info"]
    index, found = _region_of(regions, spaces)
    if names is not None and found is not None and len(names) != len(found):
        raise ValueError(f"there are {len(names)} names for {len(found)} regions")
    names = found if names is None else names
    channels, ch_type = _channels(mne, info, ch_type)
    gain = _gain(mne, forward, spaces, orientation)
    rows = [forward["sol"]["row_names"].index(info["ch_names"][i]) for i in channels]
    return LeadField.from_vertices(
        gain[rows],
        index,
        [info["ch_names"][i] for i in channels],
        names,
        reduce=reduce,
        unseen=unseen,
        positions=np.stack([_position(info, info["chs"][i]) for i in channels]),
        unit=_UNITS[ch_type],
    )


def _channels(mne: Any, info: Any, ch_type: str | None) -> tuple[list[int], str]:
    types = {i: mne.channel_type(info, i) for i, name in enumerate(info["ch_names"]) if name not in info["bads"]}
    there = sorted(set(types.values()))
    if ch_type is None and len(there) != 1:
        raise ValueError(
            f"channels of {', '.join(there) or 'no type'} that are not bad: choose with ch_type=, units differ"
        )
    chosen = there[0] if ch_type is None else ch_type
    if chosen not in there:
        raise ValueError(f"no channel of type {chosen!r} that is not bad: {closest(chosen, there)}")
    if chosen not in _UNITS:
        raise ValueError(f"channels of type {chosen!r} see no currents in the brain: choose from {', '.join(_UNITS)}")
    return [i for i, kind in types.items() if kind == chosen], chosen


def _gain(mne: Any, forward: Any, spaces: list[Any], orientation: str) -> np.ndarray:
    fixed = forward["sol"]["data"].shape[1] == forward["nsource"]
    if orientation == "normal":
        if any(space["type"] == "vol" for space in spaces):
            raise ValueError("sources in a volume have no normals: orientation='free'")
        whole = mne.convert_forward_solution(forward, surf_ori=True, force_fixed=True, verbose="error")
        return np.asarray(whole["sol"]["data"], float)
    if orientation != "free":
        raise ValueError(f"orientation is 'normal' or 'free', got {orientation!r}")
    if fixed and not forward["_orig_sol"].shape[1] == 3 * forward["nsource"]:
        raise ValueError("this forward solution was made with fixed orientations: orientation='normal'")
    whole = mne.convert_forward_solution(forward, surf_ori=False, force_fixed=False, verbose="error")
    return np.asarray(whole["sol"]["data"], float).reshape(len(whole["sol"]["data"]), -1, 3)


def _region_of(regions: Any, spaces: list[Any]) -> tuple[np.ndarray, list[str] | None]:
    """The index of every source's region, and the regions' names."""
    sizes = [int(space["nuse"]) for space in spaces]
    if hasattr(regions, "dtype"):
        if len(regions) != sum(sizes):
            raise ValueError(
                f"there are {len(regions)} indices of regions, and {sum(sizes)} sources in the forward solution"
            )
        return np.asarray(regions), None
    index, names = np.full(sum(sizes), -1), []
    starts = np.cumsum([0, *sizes])
    for i, region in enumerate(regions):
        names.append(region if isinstance(region, str) else region.name)
        parts = [region] if isinstance(region, str) or region.hemi != "both" else [region.lh, region.rh]
        for part in parts:
            number, inside = _inside(part, spaces)
            sources = starts[number] + np.flatnonzero(inside)
            taken = index[sources][index[sources] >= 0]
            if len(taken):
                raise ValueError(
                    f"{names[taken[0]]} and {names[i]} share {len(taken)} sources: a source is in one region"
                )
            index[sources] = i
    return index, names


def _inside(region: Any, spaces: list[Any]) -> tuple[int, np.ndarray]:
    """The source space that a label or name is of, and which of its sources are in it."""
    if isinstance(region, str):
        segments = [space.get("seg_name") for space in spaces]
        if segments.count(region) != 1:
            known = [name for name in segments if name is not None]
            hint = (
                closest(region, known)
                if known
                else "there is none; for surfaces give labels, such as mne.read_labels_from_annot"
            )
            raise ValueError(f"there are {segments.count(region)} volume source spaces called {region!r}: {hint}")
        number = segments.index(region)
        return number, np.ones(int(spaces[number]["nuse"]), bool)
    hemispheres = [_HEMISPHERES.get(int(space["id"])) if space["type"] == "surf" else None for space in spaces]
    if region.hemi not in hemispheres:
        raise ValueError(f"label {region.name!r} is of {region.hemi}, and this forward solution has no such surface")
    number = hemispheres.index(region.hemi)
    subject = spaces[number].get("subject_his_id")
    if None not in (subject, region.subject) and subject != region.subject:
        raise ValueError(
            f"label {region.name!r} is of subject {region.subject!r}, the forward solution of {subject!r}: morph it"
        )
    return number, np.isin(spaces[number]["vertno"], region.vertices)


def _position(info: Any, channel: Any) -> np.ndarray:
    """In mm, in head coordinates."""
    place = channel["loc"][:3]
    if channel["coord_frame"] == _DEVICE and info["dev_head_t"] is not None:
        turn = info["dev_head_t"]["trans"]
        place = turn[:3, :3] @ place + turn[:3, 3]
    return 1000.0 * np.asarray(place, float)
