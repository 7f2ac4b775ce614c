"""Points of a sweep, computed side by side: how many fit into memory, and what becomes of those that fail."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .._devices import among, mapped
from ..fitting.objective import named_arrays
from ..labelled import LabelledArray, Names, known_names
from ..parameters.addresses import replace
from .axes import Points
from .workers import lacks_memory

#: What became of a point.
TO_DO, FINE, NOT_FINITE, FAILED = range(4)
MEANINGS = "to_do fine not_finite failed"
#: Most points at once on each core, and on each device of another kind: more are no faster, and on a core slower, for its cache is small.
_ON_A_CORE, _ON_A_DEVICE = 128, 4096
#: Characters of an error that are kept.
_LONG = 300


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for all points: all that a worker needs beside the rows.

    Attributes:
        model: that the points change.
        function: `function(model, key)`.
        points: which points there are.
        size: how many are computed at once.
    """

    model: Any
    function: Callable[[Any, Any], Any]
    points: Points
    size: int

    def shapes(self) -> dict[str, tuple[Any, tuple[Names | None, ...]]]:
        """By name the shape and kind of what a point gives, and the names along its axes.

        Raises:
            ValueError: if the function gives nothing.
        """
        # at the very size that is compiled, so that JAX traces once
        out = eqx.filter_eval_shape(self._asked, self.points.take(np.zeros(self.size, int)))
        if not out:
            raise ValueError("the function gives nothing: return a number, an array, or a dict of named ones")
        found = {}
        for name, values in out.items():
            array, names = (values.values, values.names) if isinstance(values, LabelledArray) else (values, ())
            axes = len(array.shape) - 1
            own = (*((None,) * axes), *names)[len(names) :] if axes else ()
            found[name] = (jax.ShapeDtypeStruct(array.shape[1:], array.dtype), own)
        return found

    def compute(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the points in these rows give, `(point, ...)`. Fewer than are computed at once repeat the last one: one shape, one program."""
        found: list[dict[str, np.ndarray]] = []
        for first in range(0, len(rows), self.size):
            some = rows[first : first + self.size]
            filled = np.concatenate([some, np.repeat(some[-1:], self.size - len(some))])
            out = self._asked(self.points.take(filled))
            found.append({name: np.asarray(known_names(values)[0])[: len(some)] for name, values in out.items()})
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _asked(self, columns: tuple[Array, ...]) -> Any:
        return _evaluate_points(
            self.model, self.function, self.points.leaves, self.points.seeds is not None, columns, self.points.keys
        )

    def fitting(self, memory: float) -> "Job":
        """With as many at once as fit into memory, by what the compiler says of some.

        Raises:
            ValueError: if one does not.
        """
        there = among(self.points.total)
        most = _ON_A_CORE if there[0].platform == "cpu" else _ON_A_DEVICE
        size = min(self.points.total, most * len(there))
        while True:
            lowered: Any = _evaluate_points.lower(  # pyright: ignore[reportFunctionMemberAccess]
                self.model,
                self.function,
                self.points.leaves,
                self.points.seeds is not None,
                self.points.take(np.minimum(np.arange(size), self.points.total - 1)),
                self.points.keys,
            )
            analysis = lowered.compile().compiled.memory_analysis()
            used = 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes
            there = among(size)
            used *= len(there) if there[0].platform == "cpu" else 1  # which have one memory; every GPU has its own
            if used <= memory:
                return dataclasses.replace(self, size=size)
            if size == 1:
                raise ValueError(
                    f"one candidate takes {used / 1e9:.3g} GB, more than memory = {memory / 1e9:.3g} GB: record less, or allow more"
                )
            size = max(1, min(size - 1, int(size * memory / used)))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What some points gave, what became of each, and the first words on those that failed."""

    values: dict[str, np.ndarray]
    status: np.ndarray
    words: tuple[str, ...] = ()


def outcome(job: Job, rows: np.ndarray) -> Outcome:
    """What these points give, also where some of them fail: those are found by halves, and the others lose nothing."""
    try:
        values = job.compute(rows)
    except Exception as error:
        if lacks_memory(error) or not _at_run_time(error):
            raise  # where memory was short, whoever asked takes fewer at once
        if len(rows) == 1:
            return failed(job, rows, error)
        return joined([outcome(job, half) for half in np.array_split(rows, 2)])
    finite = np.ones(len(rows), bool)
    for array in values.values():
        if np.issubdtype(array.dtype, np.inexact):
            finite &= np.isfinite(array.reshape(len(rows), -1)).all(1)
    return Outcome(values, np.where(finite, FINE, NOT_FINITE).astype(np.int8))


def joined(parts: list[Outcome]) -> Outcome:
    """Several outcomes, one after another."""
    if len(parts) == 1:
        return parts[0]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    words = tuple(word for part in parts for word in part.words)
    return Outcome(values, np.concatenate([part.status for part in parts]), words)


def _at_run_time(error: Exception) -> bool:
    """Whether an error is of the numbers of some point, and not of the function as such, which would fail everywhere."""
    kinds = (jax.errors.JaxRuntimeError, FloatingPointError)
    return isinstance(error, kinds) or "EquinoxRuntimeError" in type(error).__name__


def failed(job: Job, rows: np.ndarray, error: BaseException) -> Outcome:
    """Points that raised an error: NaN, or 0 where numbers are whole."""
    values = {}
    for name, (like, _) in job.shapes().items():
        empty = np.nan if np.issubdtype(like.dtype, np.inexact) else 0
        values[name] = np.full((len(rows), *like.shape), empty, like.dtype)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [
        line.partition("RuntimeError: ")[2] for line in lines if "RuntimeError: " in line
    ] or lines  # of Equinox, behind a traceback
    words = (told or [type(error).__name__])[0][:_LONG]
    return Outcome(values, np.full(len(rows), FAILED, np.int8), (f"point {int(rows[0])}: {words}",))


@eqx.filter_jit
def _evaluate_points(
    model: Any,
    function: Any,
    leaves: tuple[int, ...],
    seeded: bool,
    columns: tuple[Array, ...],
    keys: Array,
) -> Any:
    """What a function gives at some points, means over realisations; `keys` are `(seed, realisation)`."""

    def one(point, key):
        return named_arrays(function(replace(model, dict(zip(leaves, point, strict=False))), key))

    def mean(point):
        own = keys[point[-1]] if seeded else keys[0]  # one key for all candidates is drawn from once
        if keys.shape[1] == 1:  # all points are one ensemble then, and not each one of its own
            return one(point, own[0])
        return jax.tree.map(lambda x: x.mean(0), jax.vmap(lambda key: one(point, key))(own))

    candidates, realisations = len(columns[0]), keys.shape[1]
    if not seeded and candidates < min(realisations, len(among(realisations))):  # fewer than devices, on much noise
        found = mapped(lambda key: jax.vmap(lambda point: one(point, key))(columns), keys[0])
        return jax.tree.map(lambda x: x.mean(0), found)
    return mapped(mean, columns)
