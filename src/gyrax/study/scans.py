"""What was measured: scans as time series or as functional connectivity, brought into the order of a connectome's regions."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._formats.arrays import read_array, variables
from .._formats.fields import closest
from .._formats.matlab import labels_in
from .._formats.reading import existing
from .._formats.tables import SUFFIXES
from .._kinds import expect, number, reals
from .._kinds import names as several
from .._ranges import REPETITION
from ..anatomy.connectome import Connectome
from ..datasets.connectomes import load
from ..io.functional import is_image
from ..io.series import from_nilearn, read_series
from ..labelled import known_names
from ..recordings.recording import Recording

#: Fewest regions that a scan and a connectome must share.
FEWEST = 3
#: Fewest samples of a series.
_SHORTEST = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """Functional data of one scan over the regions of a connectome.

    Attributes:
        name: of the file, or what it was called.
        fc: Pearson correlations `(region, region)`, NaN for regions that the scan does not have.
        series: samples `(time, region)`, NaN likewise; None where only the connectivity is known.
        period: ms between samples (TR), None likewise.
        notes: what a reader should know, a sentence each.
        labels: of the regions: those of the connectome that it was brought in order with.

    Example:
        >>> import gyrax as gx
        >>> connectome = gx.Connectome(np.ones((3, 3)) - np.eye(3), labels=["V1", "M1", "A1"])
        >>> Scan.of(np.random.default_rng(0).normal(size=(50, 3)), connectome, tr=0.72)
        Scan('scan': 50 samples every 720 ms of 3 regions)
    """

    name: str
    fc: np.ndarray
    series: np.ndarray | None = None
    period: float | None = None
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None

    def __post_init__(self):
        expect("name", self.name, str, "a text", "'rest1'")
        fc = np.array(reals("fc", self.fc), float)
        if fc.ndim != 2 or fc.shape[0] != fc.shape[1]:
            raise ValueError(f"fc is a matrix (region, region), got shape {fc.shape}")
        object.__setattr__(self, "fc", fc)
        if self.series is not None:
            series = np.array(reals("series", self.series), float)
            if series.ndim != 2 or series.shape[1] != len(fc):
                raise ValueError(f"series are (time, region) with {len(fc)} regions, got shape {series.shape}")
            object.__setattr__(self, "series", series)
        if self.period is not None and not number("period", self.period, unit="ms") > 0:
            raise ValueError(f"period is a positive number of ms, got {self.period}")
        expect("notes", self.notes, tuple, "a tuple of sentences", "()")
        for note in self.notes:
            expect("notes", note, str, "a tuple of sentences", "()")
        if self.labels is not None and len(several("labels", self.labels)) != len(fc):
            raise ValueError(f"labels are {len(self.labels)}, and fc has {len(fc)} regions")

    @property
    def there(self) -> np.ndarray:
        """Which regions of the connectome the scan has, `(region,)`."""
        return np.isfinite(self.fc).sum(1) > 1

    @property
    def samples(self) -> int | None:
        """Their number, where there are series."""
        return None if self.series is None else len(self.series)

    @classmethod
    def of(
        cls, data: Any, connectome: Connectome, *, tr: float | None = None, name: str = "scan", atlas: Any = None
    ) -> "Scan":
        """A scan from a file, a recording, or an array.

        What is square and symmetric with entries from -1 to 1 is functional connectivity; all else are series, a row a sample.
        Regions are matched by their names: those that the scan lacks are left out of every comparison, those that the
        connectome lacks are left out of the scan, and both are said in `notes`. Without names they are in the connectome's order.

        Args:
            data: a file (CSV, TSV, npy, npz, mat; NIfTI, GIfTI and CIFTI as `gx.io.read_series`), a `gx.Recording`, an array or
                a table `(time, region)`, or functional connectivity `(region, region)`.
            connectome: whose regions count.
            tr: s between samples, where the data do not say it.
            name: what it is called.
            atlas: of images, as for `gx.io.read_series`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: with the scan's name: no TR, or one in another unit; other regions; a constant region; entries that are
                no correlations.
        """
        tr = None if tr is None else checked_tr(tr, str(data) if isinstance(data, str | os.PathLike) else name)
        if isinstance(data, str | os.PathLike):
            return _from_file(Path(data), connectome, tr, atlas)
        if isinstance(data, Recording):
            if tr is not None and abs(1000 * tr - data.period) > 1e-3 * data.period:
                raise ValueError(f"{name}: its samples are {data.period:g} ms apart, not {1000 * tr:g} ms (tr, in s)")
            if data.values.ndim != 2:
                raise ValueError(
                    f"{name}: expected (time, region), got shape {data.values.shape}: run['bold'].values[:, 0]"
                )
            names = _told(data.labels, connectome)
            return _from_series(name, np.asarray(data.values, float), names, data.period, connectome)
        _check_columns(data, name)
        values, names = known_names(data, name)
        values = np.asarray(reals(name, values), float)
        rows, columns = names if len(names) == 2 else (None, None)
        if values.ndim == 2 and looks_like_fc(values):
            if rows is not None and columns is not None and rows != columns:
                raise ValueError(f"{name}: its rows and columns are called differently: {rows[0]!r} and {columns[0]!r}")
            return from_fc(name, values, rows or columns, connectome)
        if values.ndim == 2 and values.shape[0] == values.shape[1]:
            raise ValueError(f"{name} {_no_fc(values)}; series have a row a sample, and more of them than regions")
        return _from_series(name, values, columns, 1000 * checked_tr(tr, name), connectome)

    def __repr__(self):
        regions = f"{int(self.there.sum())} regions" + ("" if self.there.all() else f" (of {len(self.there)})")
        if self.series is None:
            return f"Scan({self.name!r}: functional connectivity of {regions})"
        return f"Scan({self.name!r}: {len(self.series)} samples every {self.period:g} ms of {regions})"


def looks_like_fc(values: np.ndarray) -> bool:
    """Whether a matrix can only be functional connectivity: square, symmetric, from -1 to 1, one value along its diagonal.

    Example:
        >>> looks_like_fc(np.array([[1.0, 0.3], [0.3, 1.0]])), looks_like_fc(np.arange(4.0).reshape(2, 2))
        (True, False)
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        return False
    diagonal = np.diag(values)
    return bool(
        np.allclose(values, values.T, atol=1e-4, equal_nan=True)
        and (np.isnan(values) | (np.abs(values) <= 1 + 1e-6)).all()
        and (np.isnan(diagonal).all() or np.ptp(diagonal[np.isfinite(diagonal)]) <= 1e-6)
    )


def checked_tr(tr: float | None, name: str) -> float:
    """A TR in s, if it can be one."""
    if tr is None:
        raise ValueError(
            f"{name} has series, but no TR: say how many s lie between two samples (--tr, or tr= in Python)"
        )
    if isinstance(tr, bool):
        raise TypeError(f"tr= takes a number of s, got {tr}: write tr=0.72")
    tr = float(number("tr", tr, "0.72", "s"))
    low, high = REPETITION.low / 1000, REPETITION.high / 1000
    if not low <= tr <= high:
        hint = f"; {tr:g} ms are {tr / 1000:g} s" if low <= tr / 1000 <= high else ""
        raise ValueError(f"a TR of {tr:g} s for {name} cannot be: it is in s, usually {low:g} to {high:g}{hint}")
    return tr


def _from_file(path: Path, connectome: Connectome, tr: float | None, atlas: Any) -> Scan:
    if str(path) == "dk84":
        fc = load("dk84").fc
        return from_fc("dk84", np.asarray(fc, float), known_names(fc)[1][0], connectome)
    path = existing(path)
    name, period = str(path), None if tr is None else 1000 * tr
    if not is_image(path):
        values, rows, columns = _table(path)
        if looks_like_fc(values):
            return from_fc(name, values, rows or columns, connectome)
        if values.ndim == 2 and values.shape[0] == values.shape[1]:
            raise ValueError(f"{name} {_no_fc(values)}")
        n = connectome.n_regions
        if values.ndim == 2 and columns is None and values.shape[0] == n and values.shape[1] != n:
            period = 1000 * checked_tr(tr, name)
            scan = _from_series(name, values.T, rows, period, connectome)
            told = (
                f"{name} has a row for each of {n} regions and {values.shape[1]} columns, which were taken as samples"
            )
            return dataclasses.replace(scan, notes=(told, *scan.notes))
        if columns is None or "time_ms" not in columns:
            checked_tr(tr, name)
    try:
        series = read_series(path, period, atlas=atlas)
    except ValueError as error:
        if "how far apart are the samples" in str(error):
            checked_tr(None, name)
        raise
    checked_tr(series.period / 1000, name)
    names = _told(series.labels, connectome)
    return _from_series(name, np.asarray(series.values, float), names, series.period, connectome)


def _told(labels: Sequence[str] | None, connectome: Connectome) -> tuple[str, ...] | None:
    """Names that somebody gave: none where they are a reader's own, region_0, region_1 and so on, and not the connectome's."""
    names = tuple(labels or ())
    made = [tuple(f"{kind}_{i}" for i in range(len(names))) for kind in ("region", "vertex", "channel", "sensor")]
    return None if not names or (names in made and not set(names) <= set(connectome.labels)) else names


def _check_columns(data: Any, name: str) -> None:
    """Refuses a table whose columns are called by anything but text, or by numbers that do not count them."""
    columns = list(getattr(data, "columns", ()))
    counted = columns in (list(range(len(columns))), list(range(1, len(columns) + 1)))
    if columns and not counted and not all(isinstance(column, str) for column in columns):
        raise ValueError(
            f"{name} calls its columns {columns[0]!r}, {columns[-1]!r}, ...: expected names of regions, as text"
        )


def _table(path: Path) -> tuple[np.ndarray, tuple[str, ...] | None, tuple[str, ...] | None]:
    """The one matrix of a file, and names of its rows and columns."""
    suffix = path.suffix.lower()
    if suffix in (".npz", ".mat"):
        found, labels = variables(path), labels_in(variables(path), path)
        values, _, _ = read_array(path, None, str(path))
        names = None if labels is None else tuple(map(str, labels))
        shape = np.shape(values)
        square = len(shape) == 2 and shape[0] == shape[1]
        fits = [
            names if names is not None and len(shape) == 2 and shape[axis] == len(names) else None for axis in (0, 1)
        ]
        if names is not None and not any(fits):
            raise ValueError(f"{path} has {len(names)} labels, and values of shape {shape}: {', '.join(found)}")
        return np.asarray(values, float), fits[0] if square or fits[1] is None else None, fits[1]
    if suffix != ".npy" and suffix not in SUFFIXES:
        raise ValueError(f"{path}: cannot read {suffix!r}, expected {', '.join(SUFFIXES)}, .npy, .npz, .mat or images")
    values, rows, columns = read_array(path, None, str(path))
    values = np.asarray(values, float)
    counted = rows is not None and list(rows) in (
        [str(i) for i in range(len(rows))],
        [str(i + 1) for i in range(len(rows))],
    )
    return values, None if rows is None or counted else tuple(rows), None if columns is None else tuple(columns)


def _no_fc(values: np.ndarray) -> str:
    """Why a square matrix is no functional connectivity."""
    if not np.allclose(values, values.T, atol=1e-4, equal_nan=True):
        i, j = np.argwhere(~np.isclose(values, values.T, atol=1e-4, equal_nan=True))[0]
        return f"is not symmetric: entries [{i}, {j}] are {values[i, j]:.4g} and {values[j, i]:.4g}"
    if (np.abs(values) > 1 + 1e-6).any():
        i, j = np.argwhere(np.abs(values) > 1 + 1e-6)[0]
        return f"is no functional connectivity: entry [{i}, {j}] is {values[i, j]:.4g}, outside of [-1, 1]; give Pearson correlations"
    return f"has {np.min(np.diag(values)):.4g} to {np.max(np.diag(values)):.4g} along its diagonal, where correlations have ones"


def from_fc(name: str, values: np.ndarray, names: Sequence[str] | None, connectome: Connectome) -> Scan:
    """A scan of which the connectivity alone is known."""
    index, notes = _matched(name, names, values.shape[0], connectome)
    if not looks_like_fc(values):
        raise ValueError(f"{name} {_no_fc(values)}")
    fc = _spread(values[np.ix_(index[index >= 0], index[index >= 0])], index >= 0)
    notes = (*notes, *_without_values(name, fc, index >= 0, connectome.labels))
    np.fill_diagonal(fc, np.where(np.isfinite(fc).any(1), 1.0, np.nan))
    off = fc[~np.eye(len(fc), dtype=bool) & np.isfinite(fc)]
    if not off.size:
        raise ValueError(f"{name} holds no number: every entry is missing")
    if np.ptp(off) == 0:
        raise ValueError(f"{name} is {off[0]:g} for every pair of regions: there is nothing to fit")
    return Scan(name, fc, notes=(*notes, *_signed(name, fc)), labels=connectome.labels)


def _without_values(name: str, fc: np.ndarray, wanted: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    """What to say of regions without a single value. Single pairs without one are refused: nothing could be compared there."""
    apart = ~np.eye(len(fc), dtype=bool)
    empty = np.asarray(~(np.isfinite(fc) & apart).any(1))
    holes = np.argwhere(~np.isfinite(fc) & apart & ~empty[:, None] & ~empty[None, :])
    if len(holes):
        i, j = (labels[k] for k in holes[0])
        raise ValueError(
            f"{name} has no value between {i} and {j} ({len(holes) // 2} such pairs): fill it, or leave a region out"
        )
    lost = [label for label, is_lost in zip(labels, empty & wanted, strict=True) if is_lost]
    return [f"{name} has no values of {len(lost)} regions, which count nowhere: {', '.join(lost)}"] if lost else []


def _from_series(
    name: str, values: np.ndarray, names: Sequence[str] | None, period: float, connectome: Connectome
) -> Scan:
    if values.ndim != 2:
        raise ValueError(f"{name}: expected series (time, region), got shape {values.shape}")
    index, notes = _matched(name, names, values.shape[1], connectome)
    there = index >= 0
    kept = values[:, index[there]]
    labels = [label for label, is_there in zip(connectome.labels, there, strict=True) if is_there]
    if len(kept) < _SHORTEST:
        raise ValueError(
            f"{name} has {len(kept)} samples of {kept.shape[1]} regions: too few for correlations; rows are samples"
        )
    gone = ~np.isfinite(kept).all(0)
    still = ~gone & (np.ptp(np.where(np.isfinite(kept), kept, 0.0), axis=0) == 0)
    for bad, what in ((gone, "are not finite"), (still, "never change")):
        if bad.any():
            lost = [labels[i] for i in np.flatnonzero(bad)]
            raise ValueError(
                f"{len(lost)} regions {what} in {name}: {', '.join(lost[:5])}{', ...' * (len(lost) > 5)}; take their columns "
                "out of a file that names its regions, and they are left out of every comparison"
            )
    full = np.full((len(values), len(there)), np.nan)
    full[:, there] = kept
    fc = correlations(full)
    recording = from_nilearn(kept, tr=period / 1000)  # whose checks of units and shapes are ours
    return Scan(name, fc, full, recording.period, (*notes, *_signed(name, fc)), connectome.labels)


def _matched(
    name: str, names: Sequence[str] | None, count: int, connectome: Connectome
) -> tuple[np.ndarray, tuple[str, ...]]:
    """For each region of the connectome its place in the scan, -1 for none; and what is to be said."""
    labels, n = connectome.labels, connectome.n_regions
    if names is None:
        if count != n:
            raise ValueError(
                f"{name} has {count} regions without names, and the connectome {n}: give a file with the names of its regions "
                "in the first line, or the same regions in the same order"
            )
        return np.arange(n), (f"{name} does not name its regions: they were taken to be in the connectome's order",)
    if labels == tuple(f"region_{i}" for i in range(n)) and not set(names) & set(labels):
        if count != n:
            raise ValueError(
                f"{name} has {count} regions, and the connectome {n} without names: give both the names of regions"
            )
        return np.arange(n), (
            f"the connectome does not name its regions: those of {name} were taken to be in its order",
        )
    places = {label: i for i, label in enumerate(names)}
    if len(places) < len(names):
        twice = next(label for i, label in enumerate(names) if label in names[:i])
        raise ValueError(f"{name} has region {twice!r} twice")
    index = np.array([places.get(label, -1) for label in labels])
    if (index >= 0).sum() < FEWEST:
        strange = next((name for name in names if name not in labels), "the rest")
        raise ValueError(
            f"{name} and the connectome share {int((index >= 0).sum())} regions, expected {FEWEST} or more: "
            f"{strange!r} is not in the connectome, {closest(strange, labels)}"
        )
    missing = [label for label, i in zip(labels, index, strict=True) if i < 0]
    more = [label for label in names if label not in labels]
    notes = []
    if missing:
        notes.append(f"{name} has nothing of {len(missing)} regions, which count nowhere: {', '.join(missing)}")
    if more:
        notes.append(f"{len(more)} regions of {name} are not in the connectome and were left out: {', '.join(more)}")
    return index, tuple(notes)


def _spread(part: np.ndarray, there: np.ndarray) -> np.ndarray:
    """A matrix over some regions as one over all, NaN elsewhere."""
    whole = np.full((len(there),) * 2, np.nan)
    whole[np.ix_(there, there)] = part
    return whole


def correlations(series: np.ndarray) -> np.ndarray:
    """Between regions, NaN where one has no values."""
    there = np.asarray(np.isfinite(series).all(0))
    return _spread(np.corrcoef(series[:, there].T), there)


def _signed(name: str, fc: np.ndarray) -> tuple[str, ...]:
    """Says so where the mean over regions was subtracted, as global signal regression does."""
    off = fc[~np.eye(len(fc), dtype=bool) & np.isfinite(fc)]
    mean, negative = float(off.mean()), float((off < 0).mean())
    if mean > 0.05 and negative < 0.3:
        return ()
    return (
        f"the connectivity of {name} is {mean:.3f} in the mean, {negative:.0%} of it negative, as after the mean of all regions was "
        "subtracted (global signal regression): excitatory models make positive connectivity, so expect a level (rmse) that "
        "they cannot reach; the correlation r is comparable",
    )
