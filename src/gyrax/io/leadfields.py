"""Lead fields from the files of The Virtual Brain and Brainstorm, and from MNE's forward solutions."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .._extras import need
from .._formats.fields import closest
from ..anatomy.leadfield import LeadField

#: Units of MNE's forward solutions, by type of channel.
_UNITS = {"mag": "T/(A m)", "grad": "T/(A m^2)", "eeg": "V/(A m)", "seeg": "V/(A m)", "ecog": "V/(A m)"}
_HEMISPHERES = {101: "lh", 102: "rh"}  # numbers of the FIFF format


_DEVICE = 1


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
