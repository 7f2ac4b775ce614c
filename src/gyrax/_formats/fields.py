"""The fields of a connectome on their way in, from arguments or files: what each may be, and what to say if it is not."""

import difflib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._ranges import LENGTH, check_possible
from .._types import is_traced, owned

FIELDS = ("weights", "lengths", "labels", "centres")
Labels = tuple[str, ...]
_MEND = {
    "weights": "put 0 where there is no connection (negative weights: is this functional connectivity?)",
    "lengths": "put 0 where there is no tract",
    "centres": "give x, y, z in mm for every region, or leave centres out",
}


class WrongKindError(TypeError, ValueError):
    """Not of the kind that was expected: a TypeError of an argument, a ValueError of a file, and both read the same."""


class Part(NamedTuple):
    """One field on its way into a connectome: its numbers, the labels found beside them, and a name to blame."""

    value: Any
    labels: Labels | None
    name: str

    def to_jax(self) -> Array:
        return owned(self.value, float)


def to_part(field: str, value: Any, name: str) -> Part:
    if field == "labels":
        return Part(None, label_tuple(value, name), name)
    labels = None
    if hasattr(value, "columns") and hasattr(value, "index"):
        labels = table_labels(list(value.index), list(value.columns) if field != "centres" else None, name)
    if any(is_traced(leaf) for leaf in jax.tree.leaves(value)):
        value = jnp.asarray(value)
    if not isinstance(value, jax.Array):
        value = numbers(value, name)
    elif not any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise WrongKindError(f"{name} has dtype {value.dtype}, expected real numbers")
    return Part(value, labels, name)


def numbers(value: Any, name: str) -> np.ndarray:
    """Nested lists, numpy arrays and DataFrames to float64."""
    if isinstance(value, np.ma.MaskedArray):  # numpy would drop the mask without a word
        value = np.ma.filled(value.astype(float), np.nan)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} cannot be made an array: its rows differ in length") from None
    if array.dtype.kind not in "biuf":
        for index, entry in np.ndenumerate(array):
            if not isinstance(entry, (int, float, np.bool_, np.integer, np.floating)):
                raise WrongKindError(
                    f"{name}: entry {at(index)} is {entry!r}, expected a real number; labels go in labels="
                )
    return array.astype(np.float64)


def check(parts: Mapping[str, Part]) -> Labels:
    """Check all that can be checked about the parts of a connectome, and settle its labels."""
    weights = parts["weights"]
    check_square(weights)
    n = weights.value.shape[0]
    named = [parts[field] for field in ("labels", "weights", "lengths", "centres") if field in parts]
    named = [part for part in named if part.labels is not None]
    labels = named[0].labels if named else None
    labels = tuple(f"region_{i}" for i in range(n)) if labels is None else labels
    if len(labels) != n:
        raise ValueError(f"{named[0].name}: {len(labels)} labels, but {weights.name} has {n} regions")
    for field, shape in (("weights", (n, n)), ("lengths", (n, n)), ("centres", (n, 3))):
        if field in parts and parts[field].value.shape != shape:
            raise ValueError(
                f"{parts[field].name} has shape {parts[field].value.shape}, expected {shape}: "
                f"{weights.name} has {n} regions"
            )
    for part in named[1:]:
        check_same(labels, part.labels or (), named[0].name, part.name)
    for field, mend in _MEND.items():
        if field in parts:
            columns = labels if field != "centres" else ("x", "y", "z")
            check_values(parts[field], labels, columns, mend, signed=field == "centres")
    if "lengths" in parts and not is_traced(parts["lengths"].value):
        check_possible(float(np.asarray(parts["lengths"].value).max()), LENGTH, f"of {parts['lengths'].name}")
    return labels


def of_files(parts: Mapping[str, Part], symmetric: str | None = None) -> dict[str, Any]:
    """Arguments of `Connectome` from files, which may hold one half of what is symmetric."""
    return arguments(mirrored(parts, symmetric))


def arguments(parts: Mapping[str, Part]) -> dict[str, Any]:
    """Arguments of `Connectome`, checked here, where the names of the files are still known."""
    labels = check(parts)
    return {"labels": labels} | {field: part.value for field, part in parts.items() if field != "labels"}


def mirrored(parts: Mapping[str, Part], half: str | None) -> dict[str, Part]:
    """Parts of a file, with matrices of which it has one half made whole; without `half`, a warning of such matrices.

    Args:
        parts: of a connectome, or one matrix.
        half: 'upper' or 'lower', where all values stand.
    """
    if half not in (None, "upper", "lower"):
        raise ValueError(f"symmetric is 'upper' or 'lower', where the values stand, or left out, got {half!r}")
    whole = dict(parts)
    for field, part in parts.items():
        shape = np.shape(part.value)
        if field in ("labels", "centres") or len(shape) != 2 or shape[0] != shape[1]:
            continue
        value = np.asarray(part.value)
        halves = {"upper": np.triu(value, 1), "lower": np.tril(value, -1)}
        if half is not None and not np.array_equal(value, value.T):
            empty = halves["lower" if half == "upper" else "upper"]
            if empty.any():
                i, j = np.argwhere(empty)[0]
                raise ValueError(f"{part.name}: entry {at((i, j))} is {value[i, j]:g}, zero where symmetric={half!r}")
            whole[field] = part._replace(value=value + halves[half].T)
        for there, other in (("upper", "lower"), ("lower", "upper")):
            if half is None and shape[0] > 2 and halves[there].any() and not halves[other].any():
                warnings.warn(
                    f"{part.name} has values in its {there} half alone, and is taken as directed: if it is half of a symmetric "
                    f"matrix, as MRtrix writes it without -symmetric, symmetric={there!r} of Connectome.load and "
                    "gyrax.io.read_matrix makes it whole",
                    stacklevel=4,
                )
    return whole


def check_square(part: Part) -> None:
    shape = part.value.shape
    if len(shape) == 2 and shape[0] == shape[1] > 0:
        return
    hint = "one row (target) and one column (source) a region"
    if len(shape) == 2 and abs(shape[0] - shape[1]) == 1:
        hint += "; labels that look like numbers must fill both first line and first column, with an empty corner"
    raise ValueError(f"{part.name} has shape {shape}, expected a square: {hint}")


def check_values(part: Part, rows: Labels | None, columns: Labels | None, mend: str, signed: bool) -> None:
    if is_traced(part.value):
        return
    value = np.asarray(part.value, dtype=np.float64)
    good = np.abs(value) <= jnp.finfo(jnp.result_type(float)).max  # a float64 may be infinite as a float32
    good &= (value >= 0) | signed
    if not good.all():
        bad = np.argwhere(~good)
        more = f" (and {len(bad) - 1} more like it)" if len(bad) > 1 else ""
        expected = f"a finite {jnp.result_type(float)}" + ("" if signed else ", zero or more")
        raise ValueError(
            f"{part.name}: entry {at(bad[0], rows, columns)} is {value[tuple(bad[0])]:g}{more}, "
            f"expected {expected}; {mend}"
        )


def check_finite(value: np.ndarray, rows: Labels, name: str) -> None:
    """No entry of a table is missing or infinite, also as the float it will be kept as."""
    bad = np.argwhere(~(np.abs(value) <= jnp.finfo(jnp.result_type(float)).max))
    if len(bad):
        i, j = bad[0]
        raise ValueError(f"{name}: entry {at(bad[0])} of {rows[i]!r} is {value[i, j]:g}, expected a finite number")


def whole(value: np.ndarray) -> np.ndarray:
    """Which numbers are whole and fit an index of 32 bits; larger ones would wrap around."""
    with np.errstate(invalid="ignore"):
        return (np.abs(value.astype(float)) < 2**31) & (value == np.round(value))


def check_same(one: Labels, two: Labels, name_one: str, name_two: str, what: str = "region") -> None:
    """The labels of two things are the same, in the same order; `what` they are of, for the error."""
    if len(one) != len(two):
        raise ValueError(f"labels disagree: there are {len(one)} in {name_one}, but {len(two)} in {name_two}")
    for i, (a, b) in enumerate(zip(one, two, strict=True)):
        if a != b:
            raise ValueError(
                f"labels disagree: {what} {i} is {a!r} in {name_one}, but {b!r} in {name_two}; "
                f"list the same {what}s in the same order"
            )


def label_tuple(labels: Any, name: str) -> Labels:
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    for i, label in enumerate(labels):
        if not isinstance(label, str):
            raise WrongKindError(f"{name}: label {i} is {label!r}, expected text: str(label) makes it so")
    labels = tuple(str(label).strip() for label in labels)
    first: dict[str, int] = {}
    for i, label in enumerate(labels):
        if not label or not label.isprintable():
            raise ValueError(f"{name}: label {i} is {label!r}, expected a name of printable characters")
        if first.setdefault(label, i) != i:
            raise ValueError(
                f"{name}: {label!r} is both label {first[label]} and label {i}, "
                "expected a name of its own for every region"
            )
    return labels


def table_labels(rows: list | None, columns: list | None, name: str) -> Labels | None:
    """The labels of a table, from its first column, its first line, or both. Counting 0, 1, 2, ... is no label."""
    every = (*(rows or ()), *(columns or ()))
    if (
        rows
        and columns
        and len(rows) == len(columns)
        and rows != columns
        and not any(isinstance(x, str) for x in every)
    ):
        raise ValueError(  # numbers are no names, and an order all the same
            f"labels disagree: the rows of {name} are numbered {rows[:5]}, its columns {columns[:5]}: put both in one order, "
            "or give plain numbers, table.to_numpy()"
        )
    sides = [
        (side, f"the {where} of {name}")
        for side, where in ((rows, "rows"), (columns, "columns"))
        if side is not None and [str(label) for label in side] != [str(i) for i in range(len(side))]
    ]
    found = [(label_tuple([str(label) for label in side], where), where) for side, where in sides]
    if len(found) == 2:
        check_same(found[0][0], found[1][0], found[0][1], found[1][1])
    return found[0][0] if found else None


def indices(regions: Any, labels: Labels) -> list[int]:
    if isinstance(regions, (str, int)):
        raise TypeError(f"subset takes a list of regions: write [{regions!r}]")
    asked = np.asarray(regions if hasattr(regions, "dtype") else list(regions))
    n = len(labels)
    if asked.ndim != 1 or asked.size == 0:
        raise ValueError(f"subset takes a flat list of one region or more, got shape {asked.shape}")
    if asked.dtype == bool:
        if asked.size != n or not asked.any():
            raise ValueError(
                f"the mask has {asked.size} entries, {asked.sum()} of them true: "
                f"expected {n} entries, one a region, and one or more of them true"
            )
        return [int(i) for i in np.flatnonzero(asked)]
    if asked.dtype.kind in "iu":
        for i in asked:
            if not -n <= i < n:
                raise ValueError(f"region {i} is out of range: the regions are 0 to {n - 1}")
        index = [int(i) % n for i in asked]
    elif all(isinstance(label, str) for label in asked):
        places = {label: i for i, label in enumerate(labels)}
        unknown = [str(label) for label in asked if label not in places]
        if unknown:
            raise ValueError(f"there is no region {unknown[0]!r}: {closest(unknown[0], labels)}")
        index = [places[label] for label in asked]
    else:
        raise TypeError(f"subset takes labels, indices or a boolean mask, got {asked.dtype} such as {asked[0]!r}")
    twice = [i for i, count in Counter(index).items() if count > 1]
    if twice:
        raise ValueError(f"region {labels[twice[0]]!r} is asked for twice")
    return index


def closest(word: str, known: Iterable[str]) -> str:
    """What to say to somebody who wrote `word` where one of the `known` words was expected."""
    names = list(known)
    by_lower = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    if near:
        return f"did you mean {by_lower[near[0]]!r}?"
    return "choose from " + ", ".join(map(repr, names[:8])) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def at(index: Any, rows: Labels | None = None, columns: Labels | None = None) -> str:
    """Where an entry stands, counted from 0 as in numpy: `[1, 2] (row 'V2', column 'V3')`."""
    text = f"[{', '.join(str(int(i)) for i in index)}]"
    return text if rows is None or columns is None else f"{text} (row {rows[index[0]]!r}, column {columns[index[1]]!r})"
