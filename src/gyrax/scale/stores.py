"""What a sweep has found, on disk: a zarr store that grows block by block, and says what it is of."""

import contextlib
import datetime
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._extras import need
from .._swept import STATUS
from ..fitting.fingerprint import Fingerprint, differences
from .computing import FAILED, FINE, MEANINGS, NOT_FINITE, TO_DO, Outcome

#: What became of each point, when, and what the store is of.
ENDED, _IDENTITY, _NAMES = "ended", "gyrax", "variables"
#: What those that failed said, and of how many of them that is kept.
_WORDS, _MOST = "failures", 20
#: Points that the rate is told from: the latest.
_LATEST = 4096


class Store:
    """A sweep's results in a folder, one block of the grid a chunk.

    The status of a block is written last, and files are put in place whole: what a killed process has half done counts as not done.
    """

    def __init__(self, path: Path):
        zarr = need("zarr", "io")
        self.path = path
        with _whole(path):
            self.group = zarr.open_group(str(path), mode="r+", zarr_format=3)
            array = self.group[STATUS]
            self.arrays = [self.group[name] for name in (*self.group.attrs[_NAMES], ENDED)]
        self.counts, self.chunk = tuple(array.shape), tuple(array.chunks)

    @classmethod
    def begun(
        cls, path: Path, template: xr.Dataset, dims: int, chunk: tuple[int, ...], identity: Fingerprint
    ) -> "Store":
        """The store of this sweep, which is made if there is none.

        Args:
            path: of its folder.
            template: what it will hold: names, dimensions, coordinates and kinds of numbers.
            dims: how many of the dimensions are the sweep's, the first ones.
            chunk: how many points a block has along each of these.
            identity: what the sweep is of, part by part.

        Raises:
            ValueError: for the store of another sweep, with what differs, or a folder that is none.
        """
        if path.exists():
            there = _identity(path)
            found = differences(there, identity)
            if not found and there.get("made with") != identity.get("made with"):
                found = [f"it was made with {there.get('made with')}, and here are {identity.get('made with')}"]
            if found:
                raise ValueError(
                    f"{path} holds another sweep: {'; '.join(found)}. Go on with what it was begun with, or name another store"
                )
            found = cls(path)
            found.compare(template)
            return found
        beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            _make(beside, template, dims, chunk, identity)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return cls(path)

    def blocks(self) -> Iterator[tuple[slice, ...]]:
        """All blocks, as slices of the sweep's own dimensions."""
        for place in np.ndindex(*(-(-n // c) for n, c in zip(self.counts, self.chunk, strict=True))):
            yield tuple(
                slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(place, self.chunk, self.counts, strict=True)
            )

    def compare(self, template: xr.Dataset) -> None:
        """Refuses coordinates that are not those it was made with: what was found would lie at other values.

        Raises:
            ValueError: naming the coordinate.
        """
        with _whole(self.path):
            there = opened(self.path)
            for name, coordinate in template.coords.items():
                if name not in there.coords or not _same(there[name].values, coordinate.values):
                    raise ValueError(f"the coordinate {name!r} is not what it was made with")

    def missing(self) -> list[tuple[slice, ...]]:
        """Blocks that are not done, or whose files are gone."""
        with _whole(self.path):
            status = self.group[STATUS][...]
        return [block for block in self.blocks() if (status[block] == TO_DO).any() or not self._there(block)]

    def _there(self, block: tuple[slice, ...]) -> bool:
        """Whether every array has the file of a block."""
        place = [part.start // size for part, size in zip(block, self.chunk, strict=True)]
        files = (
            Path(array.name.lstrip("/"), "c", *map(str, (*place, *[0] * (array.ndim - len(place)))))
            for array in self.arrays
            if array.size
        )
        return all((self.path / file).exists() for file in files)

    def write(self, block: tuple[slice, ...], found: Outcome) -> None:
        """Keeps a block. Its status comes last, and says that the rest is there."""
        shape = tuple(part.stop - part.start for part in block)
        for name, values in found.values.items():
            self.group[name][block] = values.reshape(*shape, *values.shape[1:])
        if found.words:
            self.group.attrs[_WORDS] = [*self.group.attrs.get(_WORDS, []), *found.words][:_MOST]
        self.group[ENDED][block] = np.full(shape, time.time())
        self.group[STATUS][block] = found.status.reshape(shape)


def _make(path: Path, template: xr.Dataset, dims: int, chunk: tuple[int, ...], identity: Fingerprint) -> None:
    zarr = need("zarr", "io")
    coords = template.drop_vars(list(template.data_vars))
    words = {name: coord.astype(object) for name, coord in coords.coords.items() if coord.dtype.kind == "U"}
    coords.assign_coords(words).to_zarr(path, mode="w", consolidated=False, zarr_format=3)
    group = zarr.open_group(str(path), mode="r+", zarr_format=3)
    group.attrs.update({_IDENTITY: identity, _NAMES: [*map(str, template.data_vars)]})
    own = next(iter(template.data_vars.values())).dims[:dims]
    counts = tuple(template.sizes[dim] for dim in own)

    def array(name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any, fill: Any, along: Any) -> Any:
        return group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            fill_value=fill,
            dimension_names=along,
            compressors=zarr.codecs.ZstdCodec(level=3, checksum=True),  # what a disk has changed is no number
            config={"write_empty_chunks": True},  # so that a file that is not there is one that was lost
        )

    for name, like in template.data_vars.items():
        fill = np.nan if np.issubdtype(like.dtype, np.inexact) else 0
        array(str(name), like.shape, (*chunk, *(max(n, 1) for n in like.shape[dims:])), like.dtype, fill, like.dims)
    status = array(STATUS, counts, chunk, np.int8, 0, own)
    status.attrs.update(flag_values=[TO_DO, FINE, NOT_FINITE, FAILED], flag_meanings=MEANINGS)
    array(ENDED, counts, chunk, np.float64, np.nan, own).attrs.update(
        long_name="seconds since 1970 at which it was done"
    )


def is_store(path: Path) -> bool:
    """Whether a folder holds a sweep.

    Example:
        >>> is_store(Path("nowhere"))
        False
    """
    try:
        return bool(_identity(path))
    except ValueError:
        return False


def _identity(path: Path) -> Fingerprint:
    """What a store is of.

    Raises:
        ValueError: for what is no store of a sweep.
    """
    try:
        found = json.loads((path / "zarr.json").read_text())["attributes"][_IDENTITY]
    except (OSError, KeyError, ValueError, TypeError):
        raise ValueError(
            f"{path} is no store of gx.sweep(..., store=...): name another, or one that a sweep has made"
        ) from None
    return found


def opened(path: Path) -> xr.Dataset:
    """What a store holds, read as it is used."""
    with _whole(path):
        found = xr.open_zarr(path, chunks=None, consolidated=False, zarr_format=3)
        return found[[*found.attrs[_NAMES], STATUS]].drop_attrs(deep=False)


def check_names(template: xr.Dataset) -> None:
    """Refuses names that no folder of a store can have.

    Raises:
        ValueError: naming them.
    """
    for name in map(str, (*template.dims, *template.coords, *template.data_vars)):
        if not name or "/" in name or name.startswith((".", "__")) or name in (STATUS, ENDED):
            raise ValueError(
                f"{name!r} is a name that a store cannot take: call that axis, or what the function gives, otherwise"
            )


def _same(there: np.ndarray, here: np.ndarray) -> bool:
    if here.dtype.kind in "fc":
        return there.shape == here.shape and np.array_equal(there, here, equal_nan=True)
    return there.shape == here.shape and there.tolist() == here.tolist()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Around what is read of a store: what zarr says of one that is damaged becomes one sentence."""
    try:
        yield
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, FileNotFoundError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"{path} is damaged ({said or type(error).__name__}): put back what it was, or name another store and begin anew"
        ) from error


class Status:
    """How far a sweep is; its repr says it.

    Attributes:
        path: of the store.
        total: points in all.
        done: points that are computed, those that failed included.
        not_finite: points at which something was not finite.
        failed: points that raised an error.
        rate: points a second, of late; NaN before two blocks are done.
        words: what those that failed said, the first of them.
    """

    def __init__(self, path: Path):
        need("zarr", "io")
        _identity(path)
        store = Store(path)
        with _whole(path):
            status, ended = store.group[STATUS][...], np.sort(store.group[ENDED][...].ravel())
        self.path, self.total = path, status.size
        self.done = int((status != TO_DO).sum())
        self.not_finite, self.failed = int((status == NOT_FINITE).sum()), int((status == FAILED).sum())
        latest = ended[np.isfinite(ended)][-_LATEST:]
        spent = np.ptp(latest) if len(latest) else 0.0
        self.rate = float((latest > latest[0]).sum() / spent) if spent else float("nan")
        self.words = [*store.group.attrs.get(_WORDS, [])]

    @property
    def left(self) -> float:
        """Seconds until all is done, at the rate of late."""
        return (self.total - self.done) / self.rate

    def __repr__(self) -> str:
        lines = [f"{self.path}: {self.done} of {self.total} points done"]
        if self.done < self.total and np.isfinite(self.rate):
            lines[0] += f", {self.rate:.3g} a second, {datetime.timedelta(seconds=round(self.left))} left at that rate"
        if self.not_finite:
            lines.append(f"  {self.not_finite} not finite")
        if self.failed:
            lines += [f"  {self.failed} failed", *(f"    {words}" for words in self.words[:3])]
        return "\n".join(lines)
