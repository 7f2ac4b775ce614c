"""Recordings as objects of MNE."""

from typing import Any

import numpy as np

from .._extras import need
from .._formats.fields import closest
from ..recordings.recording import Recording


def to_raw(
    recording: Recording,
    ch_type: str | None = None,
    *,
    info: Any = None,
    positions: Any = None,
    scale: float = 1.0,
) -> Any:
    """A recording of sensors `(time, sensor)` as an `mne.io.RawArray`, whose time starts at 0, as in every Raw.

    Args:
        recording: such as that of `gx.monitors.EEG`.
        ch_type: what the channels are: 'eeg', 'mag', 'grad', 'seeg', 'ecog', ...
        info: in place of `ch_type`, the `mne.Info` of a measurement or forward solution that has channels of these names:
            types, places and, for MEG, coils are taken from it.
        positions: of electrodes, `(sensor, 3)` in mm in MNE's head coordinates (x to the right, y to the front), or the
            `gx.LeadField` that has them.
        scale: V (or T) that one unit of the recording is; MNE takes values as V and T.

    Raises:
        ValueError: for another shape, neither or both of ch_type and info, channels that the info has not, or positions that
            do not fit or are of coils.
        ImportError: MNE is not installed.

    Example:
        >>> import gyrax as gx
        >>> data = gx.io.from_nilearn(np.zeros((4, 2)), tr=0.004, labels=["Fz", "Cz"])
        >>> to_raw(data, "eeg").info["sfreq"]
        250.0
    """
    mne = need("mne", "mne")
    made = _info(mne, recording, ch_type, info, positions)
    return mne.io.RawArray(scale * _values(recording, 2).T, made, verbose="error")


def to_evoked(
    recording: Recording,
    ch_type: str | None = None,
    *,
    info: Any = None,
    positions: Any = None,
    scale: float = 1.0,
) -> Any:
    """A recording of sensors `(time, sensor)` as an `mne.EvokedArray`, with its times rounded to whole samples.

    Args:
        recording: as in `to_raw`.
        ch_type: as in `to_raw`.
        info: as in `to_raw`.
        positions: as in `to_raw`.
        scale: as in `to_raw`.

    Raises:
        ValueError, ImportError: as `to_raw`.

    Example:
        >>> import gyrax as gx
        >>> data = gx.io.from_nilearn(np.zeros((4, 2)), tr=0.004, labels=["Fz", "Cz"])
        >>> to_evoked(data, "eeg").times.tolist()
        [0.0, 0.004, 0.008, 0.012]
    """
    mne = need("mne", "mne")
    made = _info(mne, recording, ch_type, info, positions)
    values, tmin = scale * _values(recording, 2).T, recording.times[0] / 1000.0
    return mne.EvokedArray(values, made, tmin=tmin, comment=", ".join(recording.source), verbose="error")


def to_epochs(
    recording: Recording,
    ch_type: str | None = None,
    *,
    info: Any = None,
    positions: Any = None,
    scale: float = 1.0,
) -> Any:
    """A recording of several runs `(run, time, sensor)`, as `vmap` gives it, as `mne.EpochsArray`.

    Args:
        recording: as in `to_raw`.
        ch_type: as in `to_raw`.
        info: as in `to_raw`.
        positions: as in `to_raw`.
        scale: as in `to_raw`.

    Raises:
        ValueError, ImportError: as `to_raw`.
    """
    mne = need("mne", "mne")
    made = _info(mne, recording, ch_type, info, positions)
    values, tmin = scale * np.swapaxes(_values(recording, 3), 1, 2), recording.times[0] / 1000.0
    return mne.EpochsArray(values, made, tmin=tmin, verbose="error")


def _values(recording: Recording, ndim: int) -> np.ndarray:
    values, dims = np.asarray(recording.values, float), list(recording._axes)
    if "state" in dims and values.shape[dims.index("state")] == 1:
        values = values.squeeze(dims.index("state"))
        dims.remove("state")
    expected = ["run", "time", recording.channel][-ndim:]
    if dims != expected:
        raise ValueError(
            f"expected a recording ({', '.join(expected)}), got ({', '.join(dims)}) of shape {recording.values.shape}"
        )
    return values


def _info(mne: Any, recording: Recording, ch_type: str | None, info: Any, positions: Any) -> Any:
    names, rate = list(recording.labels), 1000.0 / recording.period
    if (ch_type is None) == (info is None):
        raise ValueError("what are the sensors? give either ch_type, such as 'eeg', or the info of a measurement")
    if info is None:
        made = mne.create_info(names, rate, ch_type)
        return made if positions is None else _placed(mne, made, names, ch_type, positions)
    if positions is not None:
        raise ValueError("the info has positions already: leave positions= out")
    for name in names:
        if name not in info["ch_names"]:
            raise ValueError(f"the info has no channel {name!r}: {closest(name, info['ch_names'])}")
    places = [info["ch_names"].index(name) for name in names]
    made = mne.create_info(names, rate, [mne.channel_type(info, place) for place in places])
    for channel, place in zip(made["chs"], places, strict=True):
        given = info["chs"][place]
        channel.update({key: given[key] for key in ("kind", "coil_type", "unit", "coord_frame", "loc")})
    made["dev_head_t"] = info["dev_head_t"]
    return made


def _placed(mne: Any, info: Any, names: list[str], ch_type: str | None, positions: Any) -> Any:
    if ch_type not in ("eeg", "seeg", "ecog", "dbs"):
        raise ValueError(
            f"positions alone do not make a sensor of type {ch_type!r}, which is a coil: give info= instead"
        )
    if hasattr(positions, "sensors"):
        if positions.positions is None or list(positions.sensors) != names:
            trouble = "has no positions" if positions.positions is None else "is of other sensors than the recording"
            raise ValueError(f"this lead field {trouble}")
        positions = positions.positions
    places = np.asarray(positions, float)
    if places.shape != (len(names), 3) or not np.isfinite(places).all():
        raise ValueError(f"positions are (sensor, 3) = {(len(names), 3)}, finite, in mm, got shape {places.shape}")
    montage = mne.channels.make_dig_montage(dict(zip(names, places / 1000.0, strict=True)), coord_frame="head")
    return info.set_montage(montage, verbose="error")
