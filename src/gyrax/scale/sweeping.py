"""Many candidates at once: what a function of the model gives at every point of a space."""

import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr

from .._devices import at_home
from .._digests import digest
from .._extras import need
from .._formats.locking import held
from .._kinds import choice, expect, flag, number, random_key, refused, whole
from .._progress import tqdm
from .._swept import NO_PARAMETER, STATUS, over_noise
from ..fitting.fingerprint import Fingerprint, as_read, statics, surroundings
from ..fitting.objective import check_objective
from ..fitting.space import apart
from ..fitting.tracing import AsNow, seen
from ..labelled import Names
from ..parameters.addresses import leaf_names, replace
from .axes import Axis, Points, read_space
from .cohort import Cohort
from .computing import Job, Outcome, failed, joined, outcome
from .stores import Store, check_names, opened
from .tasks import LostError, OutOfMemoryError, Waiting, check_client, completed, shared_out


def sweep(
    model: Any,
    function: Callable[[Any, Any], Any],
    space: Mapping[Any, Any],
    *,
    grid: bool = True,
    key: Any = None,
    realisations: int = 1,
    memory: float = 2e9,
    batch: int | None = None,
    store: str | os.PathLike[str] | None = None,
    client: Any = None,
    progress: bool | str = False,
) -> xr.Dataset:
    """Evaluates a function of the model for many values of its parameters, side by side on all devices.

    With a store, what is found is written as it is found, block by block, and a sweep that was killed goes on where it was: the same call
    again ends with the same numbers. `gx.scale.status(store)` says from elsewhere how far it is.

    Args:
        model: a Network or any other Module.
        function: `function(model, key)`, an array or a dict of named ones; of a loss with terms, these and 'loss'.
        space: a parameter, as a dotted path or a function such as `lambda n: n.model.w`, to the values it is to take. Of a
            parameter that is no scalar, `(value, *its shape)`. A tuple of parameters takes the same values. Under a name of its own, an axis of
            several: `gx.scale.Together` for lists, `Sobol`, `LatinHypercube` or `Draws` for points, `Seeds` for noise.
        grid: all combinations of values; False for a list, in which the first value of each belong together, and so on.
        key: noise; all candidates hear the same.
        realisations: means over so many keys.
        memory: bytes that what is computed at once may take; larger sweeps go in batches.
        batch: how many candidates to compute at once, if you know better.
        store: a folder, such as 'study.zarr', that keeps what is found. While a sweep runs, a lock beside it keeps others away.
        client: of `dask.distributed`, whose workers then compute the blocks, several each; here if left out.
        progress: show a bar over points; a text is its title.

    Returns:
        A Dataset with one variable a name ('value' for a bare array), means over realisations and so floating-point numbers, on axes named by the
        parameters, or on one of points. What the function gives has its own axes after these. Of a store, it is read as it is used, and has a variable 'status': whether a
        point is fine, not finite, or failed (and then NaN).

    Raises:
        ValueError: for a parameter that does not exist, no values, lists of different lengths, values outside of their
            domain, one candidate that takes more memory than there may be, or a store of another sweep, with what differs.
        OSError: if the store cannot be written, or another process is at work with it.
        ImportError: for a store without zarr.

    Example:
        >>> import gyrax as gx
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"w": [0.5, 1.0], "I_o": [0.1, 0.2, 0.3]})
        >>> dict(found.sizes), round(float(found["value"].sel({"w": 1.0, "I_o": 0.3}, method="nearest")), 6)
        ({'w': 2, 'I_o': 3}, 0.3)
    """
    check_objective(model, function, "function", "lambda model, key: ...")
    expect("progress", progress, (bool, str), "True, False or a title", "False")
    expect("store", store, (str, os.PathLike, None), "the name of a folder", "'study.zarr'")
    flag("grid", grid)
    if not number("memory", memory, "2e9", "bytes") > 0:
        raise ValueError(f"memory is a positive number of bytes, got {memory}: write memory=2e9")
    whole("realisations", realisations)
    if batch is not None:
        whole("batch", batch)
    if store is not None:
        need("zarr", "io")
        if not Path(store).name or (Path(store).is_symlink() and not Path(store).exists()):
            raise refused("store", store, "the name of a folder", "'study.zarr'")
    check_client(client)
    axes = read_space(model, space, grid)
    key = random_key("key", 0 if key is None else key)
    seeds = next((axis.length for axis in axes if axis.seeds), 1)
    points = Points(axes, jax.random.split(key, seeds * realisations).reshape(seeds, realisations))
    model = at_home(model)
    first = (column[0] for column in points.take(np.zeros(1, int)))
    there = replace(model, dict(zip(points.leaves, first, strict=False)))
    now = seen(function, there, points.keys[0, 0]).function
    job = Job(model, now, points, min(batch or 1, points.total))
    if not batch:
        job = job.fitting(memory)
        job = dataclasses.replace(job, size=min(job.size, shared_out(points.total, client)))
    bar = {"desc": progress if isinstance(progress, str) else "sweep", "unit": "point", "disable": not progress}
    if store is None:
        return _in_memory(job, client, bar)
    return _kept(job, Path(store), _identity(model, now, points, key, realisations), client, bar)


def _in_memory(job: Job, client: Any, bar: dict[str, Any]) -> xr.Dataset:
    """All points, kept here."""
    shapes, total = job.shapes(), job.points.total
    values = {name: np.empty((total, *like.shape), like.dtype) for name, (like, _) in shapes.items()}
    parts = [np.arange(first, min(first + job.size, total)) for first in range(0, total, job.size)]
    with tqdm(total=total, **bar) as shown:
        for n, found in _outcomes(job, parts, client):
            if found.words:
                raise RuntimeError(f"{found.words[0]} (with store=, such points are kept as failed and stop nothing)")
            for name, array in found.values.items():
                values[name][parts[n]] = array
            shown.update(len(parts[n]))
    return _labelled(values, {name: names for name, (_, names) in shapes.items()}, job.points.axes)


def _kept(job: Job, path: Path, identity: Fingerprint, client: Any, bar: dict[str, Any]) -> xr.Dataset:
    """All points that a store does not hold yet."""
    shapes, points = job.shapes(), job.points
    like = {name: np.broadcast_to(np.zeros((), x.dtype), (points.total, *x.shape)) for name, (x, _) in shapes.items()}
    template = _labelled(like, {name: names for name, (_, names) in shapes.items()}, points.axes)
    check_names(template)
    with held(path):
        kept = Store.begun(path, template, len(points.counts), _chunk(points.counts, job.size), identity)
        missing, numbers = kept.missing(), np.arange(points.total).reshape(points.counts)
        parts = [numbers[block].ravel() for block in missing]
        with tqdm(total=points.total, initial=points.total - sum(map(len, parts)), **bar) as shown:
            for n, found in _outcomes(job, parts, client):
                kept.write(missing[n], found)
                shown.update(len(parts[n]))
    return opened(path)


def _chunk(counts: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Points along each axis of a block of at most so many, the last axes first."""
    found: list[int] = []
    for n in reversed(counts):
        found.append(min(n, max(size, 1)))
        size //= found[-1]
    return tuple(reversed(found))


def _outcomes(job: Job, parts: list[np.ndarray], client: Any) -> Iterator[tuple[int, Outcome]]:
    """What the points of each part give, by its number, as it ends.

    Where a worker has no memory for as many at once, or dies of them, half as many are computed at once, and at last each point by itself.
    """
    waiting = Waiting((n, 0, rows, job.size) for n, rows in enumerate(parts))
    gathered: dict[int, dict[int, Outcome]] = {}
    for index, found in completed(_some, job, waiting, client=client):
        n, first, rows, size = waiting[index]
        if isinstance(found, OutOfMemoryError | LostError):
            if size > 1:
                waiting.add((n, first, rows, size // 2))
                continue
            if len(rows) > 1:
                middle = len(rows) // 2
                waiting.add((n, first, rows[:middle], 1))
                waiting.add((n, first + middle, rows[middle:], 1))
                continue
            found = failed(job, rows, found)
        if isinstance(found, BaseException):
            raise found
        pieces = gathered.setdefault(n, {})
        pieces[first] = found
        if sum(len(piece.status) for piece in pieces.values()) == len(parts[n]):
            yield n, joined([piece for _, piece in sorted(gathered.pop(n).items(), key=lambda item: item[0])])


def _some(job: Job, task: tuple[int, int, np.ndarray, int]) -> Outcome:
    _, _, rows, size = task
    return outcome(dataclasses.replace(job, size=size), rows)


def _identity(model: Any, function: AsNow, points: Points, key: Any, realisations: int) -> Fingerprint:
    """What a sweep is, part by part.

    Raises:
        ValueError: for a function of which that cannot be told.
    """
    try:
        told = function.told()
    except ValueError as error:
        words = str(error).replace("a checkpoint", "a store").replace("checkpoint=", "store=")
        raise ValueError(words) from error
    swept = set(points.leaves)
    frozen = [
        (name, leaf)
        for i, (name, leaf) in enumerate(zip(leaf_names(model), jax.tree.leaves(model), strict=True))
        if i not in swept
    ]
    return (
        surroundings()
        | {"the function": f"#{told}", "the key": as_read(key), "realisations": str(realisations)}
        | {"the axes": ", ".join(map(_told, points.axes))}
        | {f"the names along {axis.name}": f"#{digest(axis.labels)}" for axis in points.axes if axis.labels}
        | {
            f"the values of {name}": f"#{digest(values)}"
            for axis in points.axes
            for name, values in axis.columns.items()
        }
        | {name: as_read(leaf) for name, leaf in frozen}
        | statics(model)
    )


def _told(axis: Axis) -> str:
    """An axis in words."""
    along = "noise" if axis.seeds else ", ".join(axis.columns)
    return f"{axis.name} ({axis.length}{'' if along == axis.name else f': {along}'})"


def _labelled(
    found: Mapping[str, Any], labels: Mapping[str, tuple[Names | None, ...]], axes: tuple[Axis, ...]
) -> xr.Dataset:
    """What was found at all points, one after another, with the values it was found at and the names along its own axes."""
    dims, counts = tuple(axis.name for axis in axes), tuple(axis.length for axis in axes)
    coords: dict[str, Any] = {}
    for axis in axes:
        for name, values in () if axis.labels else axis.columns.items():
            inner = tuple(f"{name}_{i}" for i in range(values.ndim - 1))
            coords[f"{name} values" if inner and name == axis.name else name] = ((axis.name, *inner), values)
        if axis.seeds or axis.labels:
            coords[axis.name] = (axis.name, list(axis.labels) or np.arange(axis.length), {NO_PARAMETER: 1})
    data = {}
    taken = {*dims, *coords, STATUS, *(f"{name}_{i}" for name, values in found.items() for i in range(values.ndim - 1))}
    for given, values in found.items():
        name = apart(given, taken)
        own = tuple(f"{name}_{i}" for i in range(values.ndim - 1))
        coords |= {dim: list(names) for dim, names in zip(own, labels[given], strict=True) if names}
        data[name] = ((*dims, *own), values.reshape(*counts, *values.shape[1:]))
    return xr.Dataset(data, coords=coords)


def best(
    found: xr.Dataset,
    model: Any,
    count: int = 1,
    *,
    by: str | None = None,
    of: Literal["min", "max"] = "min",
) -> list[Any]:
    """The model at the best points of a sweep, the best first: starts for `fit(starts=...)`.

    Where noise is an axis, points are judged by their means over it. Points at which the function was not finite are left out.

    Args:
        found: what `sweep` gave.
        model: the model it swept; where subjects are an axis, their cohort, for each point is one of a subject's network.
        count: how many.
        by: the variable to judge by, a real number of each point; may be left out if there is only one, or a 'loss'.
        of: whether the lowest or the highest are the best.

    Raises:
        ValueError: if there is no such variable, it is no such number, or fewer points are finite.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.WongWang()
        >>> found = gx.sweep(model, lambda m, key: (m.w - 0.7) ** 2, {"w": [0.5, 0.8, 1.1]})
        >>> [round(float(m.w), 2) for m in gx.best(found, model, 2)]
        [0.8, 0.5]
    """
    expect("found", found, xr.Dataset, "what a sweep found", "gx.sweep(model, function, space)")
    whole("count", count)
    choice("of", of, ("min", "max"))
    expect("by", by, (str, None), "the name of a variable", "'loss'")
    scores = _scores(found, by)
    order = np.argsort(
        np.where(np.isfinite(scores), scores if of == "min" else -scores, np.inf), axis=None, kind="stable"
    )
    finite = int(np.isfinite(scores).sum())
    if not 1 <= count <= finite:
        raise ValueError(f"count = {count}: {finite} of {scores.size} points of the sweep are finite")
    models = []
    for at in itertools.islice(order, count):
        place = dict(zip(scores.dims, np.unravel_index(int(at), scores.shape), strict=True))
        values, one = {}, model
        for name, coordinate in found.coords.items():
            if coordinate.dims[:1] and coordinate.dims[0] not in place:
                continue  # noise, or an axis of what was found
            value = coordinate.values[place[coordinate.dims[0]]] if coordinate.dims else coordinate.values
            if coordinate.dtype.kind in "OTU":
                one = _subject(model, str(name), str(value))
            elif NO_PARAMETER not in coordinate.attrs:
                values[str(name).removesuffix(" values")] = value
        models.append(replace(one, values))
    return models


def _subject(model: Any, axis: str, name: str) -> Any:
    if not isinstance(model, Cohort):
        raise ValueError(
            f"each point is of one of several networks along {axis!r}: give best() their cohort as the model"
        )
    return model[name]


def _scores(found: xr.Dataset, by: str | None) -> xr.DataArray:
    names = [str(name) for name in found.data_vars if name != STATUS]
    if by is None:
        by = "loss" if "loss" in names else names[0] if len(names) == 1 else None
    if by not in names:
        raise ValueError(f"judge the points by which variable? give by= one of {', '.join(names)}")
    scores = found[by]
    if scores.dtype.kind not in "iufb":
        raise ValueError(
            f"'{by}' is {scores.dtype}, and the best is by a real number of each point: return its size, or a part"
        )
    own = {str(dim) for name in names for dim in found[name].dims if re.fullmatch(rf"{re.escape(name)}_\d+", str(dim))}
    axes = {dim for coordinate in found.coords.values() for dim in coordinate.dims[:1] if str(dim) not in own}
    if set(scores.dims) != axes:
        raise ValueError(f"'{by}' has shape {scores.shape} on {scores.dims}: the best is by a scalar of each point")
    return over_noise(scores)
