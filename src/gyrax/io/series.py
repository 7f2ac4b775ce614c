"""Measured time series as recordings: from MNE, from nilearn and fMRIPrep, from tables."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from .._extras import need
from .._formats.arrays import chosen, read_array, variables
from .._formats.fields import label_tuple
from .._formats.matlab import labels_in
from .._formats.reading import existing
from .._kinds import names as several
from .._kinds import number, whole
from .._ranges import REPETITION, check_transposed, check_usual
from .._types import owned, refuse_masked
from ..labelled import check_same, known_names
from ..recordings.recording import Recording
from .functional import Series, is_image, series_of


def from_raw(raw: Any, picks: Any = None, *, annotated: Literal["refuse", "keep"] = "refuse") -> Recording:
    """A continuous recording of MNE (`mne.io.Raw`, EDF, FIF, BrainVision, ...) as a recording `(time, sensor)`.

    Values are in MNE's units, V or T. Samples are `1000 / sfreq` ms apart; for a simulation to have the same period, it
    must be a multiple of its dt (`raw.resample` helps where sfreq is 600.615 Hz or the like). Time is that of `raw.times`.

    Args:
        raw: the recording; `raw.copy().filter(...)`, `.resample(...)` or `.crop(...)` before are up to you.
        picks: a type such as 'eeg', or names of channels, as in `raw.pick`. All data channels that are not bad if left out;
            these must be of one type.
        annotated: 'refuse' spans that are annotated as bad ('BAD_...'), or 'keep' them.

    Raises:
        ValueError: for channels of several types, none at all, bad spans, or values that are not finite, with the names of
            the channels and the times.

    Example:
        >>> import mne
        >>> info = mne.create_info(["Fz", "Cz"], 250.0, "eeg")
        >>> from_raw(mne.io.RawArray(np.zeros((2, 100)), info, verbose="error"))
        Recording(time: 100, sensor: 2; eeg every 4 ms)
    """
    raw, source = _picked(raw, picks)
    if annotated != "keep":
        hidden = np.isnan(raw.get_data(reject_by_annotation="NaN")).any(0)
        found = hidden & np.isfinite(raw.get_data()).all(0)
        if found.any():
            at = _times(np.flatnonzero(found), 1000.0 * raw.times)
            raise ValueError(f"annotated as bad: {at}; crop to a clean stretch, or annotated='keep'")
    return _recording(raw.get_data().T, 0.0, _period(raw.info["sfreq"]), source, raw.ch_names, "sensor")


def from_evoked(evoked: Any, picks: Any = None) -> Recording:
    """An average of MNE (`mne.Evoked`) as a recording `(time, sensor)`, whose times may begin before zero.

    Args:
        evoked: the average.
        picks: as in `from_raw`.

    Raises:
        ValueError: as `from_raw`.

    Example:
        >>> import mne
        >>> info = mne.create_info(["Fz", "Cz"], 1000.0, "eeg")
        >>> from_evoked(mne.EvokedArray(np.zeros((2, 5)), info, tmin=-0.002, verbose="error")).times.tolist()
        [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    evoked, source = _picked(evoked, picks)
    period = _period(evoked.info["sfreq"])
    return _recording(evoked.data.T, period * evoked.first, period, source, evoked.ch_names, "sensor")


def from_epochs(epochs: Any, picks: Any = None) -> Recording:
    """Trials of MNE (`mne.Epochs`) as a recording `(run, time, sensor)`, as `vmap` gives them.

    Args:
        epochs: the trials; those that MNE has dropped are not there.
        picks: as in `from_raw`.

    Raises:
        ValueError: as `from_raw`.

    Example:
        >>> import mne
        >>> info = mne.create_info(["Fz", "Cz"], 1000.0, "eeg")
        >>> from_epochs(mne.EpochsArray(np.zeros((4, 2, 5)), info, verbose="error"))
        Recording(run: 4, time: 5, sensor: 2; eeg every 1 ms)
    """
    kept = epochs.copy()
    kept.drop_bad()  # what is not loaded yet may still be dropped; older versions of MNE return nothing here
    if not len(kept):
        raise ValueError("there are no epochs: all of them are dropped")
    epochs, source = _picked(epochs.copy().load_data(), picks)
    values = np.swapaxes(epochs.get_data(), 1, 2)
    period = _period(epochs.info["sfreq"])
    begin = period * round(epochs.tmin * epochs.info["sfreq"])  # MNE's times are rounded to samples
    return _recording(values, begin, period, source, epochs.ch_names, "sensor", trials=True)


def from_nilearn(series: Any, tr: float, labels: Sequence[str] | None = None, source: str = "bold") -> Recording:
    """Region time series, as nilearn's maskers give them, as a recording `(time, region)`; the first sample is at 0.

    Args:
        series: `(time, region)`: an array, or a table whose columns are the regions.
        tr: s between samples.
        labels: of the regions, such as `connectome.labels`; those of the table, or region_0, ..., if left out.
        source: what was measured.

    Raises:
        ValueError: for another shape, a TR that looks like ms, labels that do not fit, or values that are not finite, with
            regions and times.

    Example:
        >>> from_nilearn([[0.1, 0.2], [0.3, 0.1]], tr=0.72, labels=["V1", "V2"])
        Recording(time: 2, region: 2; bold every 720 ms)
    """
    if not 0 < tr <= 60:
        raise ValueError(f"tr is the s between two images, got {tr:g}" + (": is it in ms?" if tr > 60 else ""))
    if hasattr(series, "columns"):
        own = known_names(series, "series")[1][-1]
        check_same(None if labels is None else tuple(labels), own, "labels", "the columns of the series")
        labels, series = [*map(str, series.columns)] if labels is None else labels, series.to_numpy()
    period = _tidy(1000.0 * _decimal(tr))
    refuse_masked(series)
    return _recording(np.asarray(series, float), 0.0, period, (source,), labels, "region")


def read_series(
    path: str | os.PathLike[str],
    period: float | None = None,
    labels: Sequence[str] | None = None,
    *,
    variable: str | None = None,
    channel: str = "region",
    source: str = "series",
    atlas: Any = None,
    transpose: bool = False,
    skip: int = 0,
) -> Recording:
    r"""Read time series from a table (`.tsv`, `.csv`, `.txt`), `.npy`, `.npz` or `.mat`: a row a sample, a column a channel.

    Names in the first line of a table are the labels, as are those beside the numbers of an `.npz` or `.mat` ('labels',
    'region_names', ...). A column `time_ms` has the times, as `to_dataframe` writes them.

    Images are read by nibabel. BOLD (`.nii`, `.nii.gz`) and surfaces (`.func.gii`) are averaged over the regions of an atlas, as
    are grayordinates (`.dtseries.nii`); parcels (`.ptseries.nii`) have their labels. Without an atlas, series of surfaces and
    grayordinates are of vertices. Times are those of the file, but for `.func.gii`, which says none.

    Args:
        path: the file.
        period: ms between samples (1000 times a TR in s); not needed where the file says it.
        labels: of the columns; channel_0, ... (or region_0, ...) where the file has none either.
        variable: of an `.npz` or `.mat`. By default the only matrix that the file has.
        channel: what the columns are: 'region' or 'sensor'.
        source: what was measured.
        atlas: of BOLD, a label image or what `read_label_image` gives, moved by nilearn if it lies in other voxels of the same space;
            of `.func.gii`, a label file or what `read_gifti_labels` or `read_annot` gives; of `.dtseries.nii`, a `.dlabel.nii`.
        transpose: rows are channels, and columns samples.
        skip: samples to leave out at the beginning, such as those without values before a steady state. Times stay what they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError, TypeError: with its name: values that are no numbers or not finite, with channels and times, labels that
            do not fit, times that are not evenly spaced, no period, or a region of the atlas that the images do not have.
        ImportError: nibabel (or nilearn, to move an atlas) is not installed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sub-01_timeseries.tsv"
        >>> _ = file.write_text("V1\tV2\nn/a\tn/a\n0.5\t0.1\n0.7\t0.0\n0.2\t0.3\n")
        >>> read_series(file, period=720.0, skip=1)
        Recording(time: 3, region: 2; series every 720 ms)
    """
    path, skip = existing(path), whole("skip", skip, 0)
    period = None if period is None else number("period", period, unit="ms")
    labels = None if labels is None else several("labels", labels)
    name = f"series in {path}"
    found = _series(path, variable, name, atlas, transpose)
    values, columns, begin = found.values, found.labels or None, found.begin
    if found.period is not None and found.period > 0:
        spacing = _tidy(_decimal(found.period))
        if period is not None and abs(spacing - period) > 1e-3 * period:
            raise ValueError(f"{name}: samples are {spacing:g} ms apart, not period = {period:g} ms")
        period = spacing if period is None else period
        if is_image(path):
            check_usual(period, REPETITION, name)
    if period is None:
        raise ValueError(f"{name}: how far apart are the samples? give period= in ms")
    if labels is not None and columns is not None and list(labels) != list(columns):
        named = ", ".join(columns[:5])
        raise ValueError(f"{name}: the file calls its columns {named}, ..., labels= something else: leave one out")
    if not 0 <= skip < max(len(values), 1):
        raise ValueError(f"{name}: there are {len(values)} samples, and skip={skip}")
    if skip == 0:
        _check_counted(values, name)
    values, begin = values[skip:], begin + skip * period
    return _recording(
        values, begin, period, (source,), columns if labels is None else labels, found.channel or channel, name
    )


def _series(path: Path, variable: str | None, name: str, atlas: Any, transpose: bool) -> Series:
    if is_image(path):
        if variable is not None or transpose:
            raise ValueError(
                f"{name}: images have neither variables nor another order: leave variable= and transpose= out"
            )
        return series_of(path, atlas)
    if atlas is not None:
        raise ValueError(f"{name}: only images are averaged over the regions of an atlas, leave atlas= out")
    rows = columns = None
    if path.suffix.lower() in (".npz", ".mat"):
        there = variables(path)
        values, columns = np.asarray(chosen(there, variable, path)), labels_in(there, path)
        if columns is not None and values.shape[1 - transpose :][:1] != (len(columns),):
            hint = ": transpose=True?" if len(columns) in values.shape else ""
            raise ValueError(f"{name}: it has {len(columns)} labels, and values of shape {values.shape}{hint}")
    else:
        values, rows, columns = read_array(path, variable, name)
        rows, columns = (columns, rows) if transpose else (rows, columns)
    values = values.T if transpose else values
    if rows is not None and rows != [str(i) for i in range(len(rows))] and not transpose:
        raise ValueError(
            f"{name}: its lines are called {rows[0]!r}, {rows[-1]!r}, ...: a line is a sample, transpose it (transpose=True)"
        )
    return _timed(values, columns, name)


def _check_counted(values: np.ndarray, name: str) -> None:
    """Refuses a first sample that counts the columns, as tables do that have numbers for names."""
    count = values.shape[-1] if values.ndim == 2 and len(values) else 0
    counted = count > 2 and any((values[0] == np.arange(i, i + count)).all() for i in (0, 1))
    if counted and (values != np.round(values)).any():
        raise ValueError(
            f"{name}: its first line counts the columns, {values[0, 0]:g} to {values[0, -1]:g}, and would be a sample: take that "
            "line out, or leave it out by skip=1"
        )


#: Names of columns that are likely to be times.
_TIMES = re.compile(r"(t|times?|timestamps?|seconds?|secs?|volumes?|frames?)([ _.(\[].*)?")


def _timed(values: np.ndarray, columns: list[str] | None, name: str) -> Series:
    """With times from a column `time_ms`, if there is one."""
    when: tuple[float, float | None] = (0.0, None)
    if columns is not None and "time_ms" in columns:
        at = columns.index("time_ms")
        when = _spacing(values[:, at], name)
        values, columns = np.delete(values, at, 1), [c for c in columns if c != "time_ms"]
    for column in columns or ():
        if _TIMES.fullmatch(column.lower()):
            raise ValueError(f"{name}: is the column {column!r} times? Call it time_ms if it has ms, or take it out")
    return Series(values, "", tuple(columns or ()), *when)


def _spacing(times: np.ndarray, name: str) -> tuple[float, float]:
    """When samples begin, and the ms between them."""
    if len(times) < 2 or not np.isfinite(times).all():
        raise ValueError(f"{name}: the column time_ms needs two or more finite times")
    spacing = (times[-1] - times[0]) / (len(times) - 1)
    off = np.abs(times - times[0] - spacing * np.arange(len(times)))
    if not spacing > 0 or (off > 0.01 * spacing).any():
        raise ValueError(f"{name}: times are not evenly spaced, such as at {times[off.argmax()]:g} ms: resample them")
    return float(times[0]), _tidy(float(spacing))


def _picked(data: Any, picks: Any) -> tuple[Any, tuple[str, ...]]:
    """A copy with the channels asked for, and their types."""
    need("mne", "mne")
    data = data.copy().pick("data" if picks is None else picks, exclude="bads")
    types = tuple(sorted(set(data.get_channel_types())))
    if picks is None and len(types) > 1:
        raise ValueError(
            f"channels of {', '.join(types)}, which have units of their own: choose with picks={types[0]!r}"
        )
    return data, types


def _period(rate: float) -> float:
    """Ms between samples, of so many a second."""
    return _tidy(1000.0 / _decimal(rate))


def _decimal(x: float) -> float:
    """Files keep rates and TRs as float32: 0.72 comes back as 0.7200000286, which no dt divides."""
    return float(str(np.float32(x))) if float(np.float32(x)) == x else float(x)


def _tidy(x: float) -> float:
    """Without what the rounding of a division left: 720.0 for 720.0000000000001."""
    near = float(f"{x:.12g}")
    return near if abs(near - x) <= 4 * np.spacing(x) else x


def _recording(
    values: np.ndarray,
    begin: float,
    period: float,
    source: tuple[str, ...],
    labels: Sequence[str] | None,
    channel: str,
    name: str = "the series",
    trials: bool = False,
) -> Recording:
    """Samples `(time, channel)`, of trials `(run, time, channel)`, from `begin` ms on, after checks."""
    if not (np.isfinite(period) and period > 0):
        raise ValueError(f"{name}: period is a positive number of ms, got {period}")
    if values.ndim != 2 + trials or 0 in values.shape or values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected numbers (time, {channel}), got {values.dtype} of shape {values.shape}")
    count = values.shape[-1]
    if labels is None and channel == "region":
        check_transposed(values.shape[-2], count, name)
    labels = [f"{channel}_{i}" for i in range(count)] if labels is None else labels
    if len(labels) != count:
        turned = ": transpose it? (transpose=True of read_series)" if len(labels) == values.shape[-2] else ""
        raise ValueError(f"{name}: there are {len(labels)} labels, and {count} columns{turned}")
    labels = label_tuple(labels, f"labels of {name}")
    _check_finite(values, labels, begin + period * np.arange(values.shape[-2]), name)
    # the step that ends at or after the first sample, which is stamped before it
    first = math.ceil(begin / period - 1e-6)
    stamp = first * period - begin
    return Recording(
        owned(values, jnp.result_type(float)),
        jnp.array(first),
        period,
        period,
        0.0 if abs(stamp) < 1e-6 * period else stamp,
        ("time", channel),
        source,
        labels,
        channel,
    )


def _check_finite(values: np.ndarray, labels: tuple[str, ...], times: np.ndarray, name: str) -> None:
    good = (
        np.abs(values.astype(float)) <= jnp.finfo(jnp.result_type(float)).max
    )  # a float64 may be infinite as a float32
    bad = np.asarray(np.reshape(~good, (-1, len(times), len(labels))).any(0))  # whatever the trial
    channels = np.flatnonzero(bad.any(0))
    if len(channels):
        where = "; ".join(f"{labels[i]} at {_times(np.flatnonzero(bad[:, i]), times)}" for i in channels[:3])
        more = f"; and {len(channels) - 3} more" if len(channels) > 3 else ""
        lead = int(np.argmin(bad.any(1)))
        first = "" if bad[lead:].any() else f"leave the first {lead} samples out (skip= of read_series), "
        raise ValueError(
            f"{name}: {len(channels)} of {len(labels)} are not finite: {where}{more}; {first}interpolate or leave out"
        )


def _times(samples: np.ndarray, times: np.ndarray) -> str:
    shown = ", ".join(f"{times[i]:g}" for i in samples[:3])
    return f"{shown} ms" + (f" and {len(samples) - 3} more" if len(samples) > 3 else "")
