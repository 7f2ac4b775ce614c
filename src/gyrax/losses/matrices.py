"""Distances between arrays, and between connectivity matrices off their diagonals."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._kinds import by_annotations
from .._types import is_traced
from ..features.connectivity import correlate
from ..features.labelled import known, labelled, pair, refuse_missing
from ..labelled import Names, check_same

#: What to do about an entry that is missing.
_MEND = "leave it out by where=, such as where=np.isfinite(target)"


def rmse(a: Any, b: Any, where: Any = None) -> Float[Array, ""]:
    """Root of the mean squared difference of two arrays of one shape; where they are equal, its gradient is zero.

    Args:
        a: an array, table, recording or spectrum.
        b: another. Where both have labels, these must agree.
        where: True for the entries that count, of the same shape; all, if left out.

    Raises:
        ValueError: if shapes, labels or the time between samples differ, or an entry that counts is not finite (where values
            are known).

    Example:
        >>> round(float(rmse(jnp.zeros(2), jnp.array([3.0, 4.0]))) ** 2, 4)
        12.5
    """
    one, two = (x.astype(jnp.result_type(float)) for x in pair(a, b))
    kept = np.ones(one.shape, bool) if where is None else _mask(where, a, b)
    _refuse_missing(a, b, kept)
    return root_mean_square(*((one, two) if where is None else (one[kept], two[kept])))


def fc_rmse(a: Any, b: Any, where: Any = None) -> Float[Array, ""]:
    """Root mean squared difference of two connectivity matrices off their diagonals.

    Args:
        a: a matrix, as an array or a table with labels.
        b: another. Where both have labels, these must agree.
        where: True for the entries that count, a matrix, or one value a region that has data; all, if left out.

    Raises:
        ValueError: for matrices that are not square, shapes or labels that differ, or an entry that counts is not finite
            (where values are known).

    Example:
        >>> float(fc_rmse(jnp.eye(3), jnp.zeros((3, 3))))
        0.0
    """
    return root_mean_square(*_off_diagonals(a, b, where)[:2])


@by_annotations
def fc_correlation(a: Any, b: Any, fisher_z: bool = False, where: Any = None) -> Float[Array, ""]:
    """Pearson correlation of two connectivity matrices off their diagonals (a similarity: 1 is best).

    Args:
        a: a matrix, as an array or a table with labels.
        b: another. Where both have labels, these must agree.
        fisher_z: correlate the Fisher transforms artanh(r) of the entries, which must be correlations.
        where: True for the entries that count, a matrix, or one value a region that has data; all, if left out.

    Raises:
        ValueError: for matrices that are not square, shapes or labels that differ, entries that are not finite, all the same,
            or with `fisher_z` do not lie between -1 and 1 (these are NaN inside jit, where values are not known).

    Example:
        >>> a = jnp.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
        >>> round(float(fc_correlation(a, 2 * a)), 6)
        1.0
    """
    one, two, kept = _off_diagonals(a, b, where)
    for x, which in ((a, "first"), (b, "second")):
        whole = known(x)
        if whole is None:
            continue
        values = whole[kept]
        if values.size == 0 or np.ptp(values) == 0:
            raise ValueError(f"off its diagonal the {which} matrix does not vary: no correlation is defined")
        if fisher_z and np.abs(values).max() >= 1:
            raise ValueError(
                f"an entry of the {which} matrix is {values[np.abs(values).argmax()]:g}: Fisher's z "
                "is defined for correlations between -1 and 1"
            )
    if fisher_z:
        one, two = jnp.arctanh(one), jnp.arctanh(two)
    return correlate(one[:, None], two[:, None])[0, 0]


@by_annotations
def fc_distance(a: Any, b: Any, fisher_z: bool = False, where: Any = None) -> Float[Array, ""]:
    """`1 - fc_correlation`: 0 for matrices alike up to scale and offset, at most 2.

    Args:
        a: a matrix, as an array or a table with labels.
        b: another. Where both have labels, these must agree.
        fisher_z: correlate the Fisher transforms artanh(r) of the entries.
        where: True for the entries that count, a matrix, or one value a region that has data; all, if left out.

    Raises:
        ValueError: as `fc_correlation`.

    Example:
        >>> a = jnp.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]])
        >>> round(float(fc_distance(a, -a)), 6)
        2.0
    """
    return 1 - fc_correlation(a, b, fisher_z, where)


def root_mean_square(a: Any, b: Any) -> Float[Array, ""]:
    """Root of the mean squared difference, whose gradient is zero where nothing differs.

    Example:
        >>> float(root_mean_square(jnp.ones(3), jnp.zeros(3)))
        1.0
    """
    if a.size == 0:
        raise ValueError(f"there is nothing to compare in arrays of shape {a.shape}")
    # In units of the largest difference: squares of small ones, such as powers of magnetic fields in T^2, vanish in float32.
    largest = jax.lax.stop_gradient(jnp.abs(a - b).max())
    equal = largest == 0  # the root has no slope there, and a gradient through it would be NaN
    square = jnp.mean(((a - b) / jnp.where(equal, 1.0, largest)) ** 2)
    return jnp.where(equal, 0.0, largest * jnp.sqrt(jnp.where(equal, 1.0, square)))


def _off_diagonals(
    a: Any, b: Any, where: Any
) -> tuple[Float[Array, " pair"], Float[Array, " pair"], Bool[np.ndarray, "row column"]]:
    """Entries that count, and which these are."""
    one, two = (x.astype(jnp.result_type(float)) for x in pair(a, b))
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise ValueError(f"expected a square matrix, got shape {one.shape}")
    for x, which in ((a, "first"), (b, "second")):
        rows, columns = labelled(x).names
        check_same(rows, columns, f"the rows of the {which}", "its columns")
    kept = ~np.eye(len(one), dtype=bool)
    if where is not None:
        kept &= _mask(where, a, b, a_region=True)
    _refuse_missing(a, b, kept)
    return one[kept], two[kept], kept


def _refuse_missing(a: Any, b: Any, kept: Bool[np.ndarray, "..."]) -> None:
    for x, which in ((a, "the first"), (b, "the second")):
        refuse_missing(x, kept, which, _MEND)


def _mask(where: Any, a: Any, b: Any, a_region: bool = False) -> Bool[np.ndarray, "..."]:
    """Which entries count, of the shape of what is compared; with `a_region`, one value a region will do."""
    compared = {"the first": labelled(a).names, "the second": labelled(b).names}
    known = entries_that_count(where, np.shape(labelled(a).values), compared, a_region)
    if not known.any():
        raise ValueError("where= leaves no entry to compare")
    return known


def entries_that_count(
    where: Any, shape: tuple[int, ...], compared: Mapping[str, tuple[Names | None, ...]], a_region: bool = True
) -> Bool[np.ndarray, "..."]:
    """What `where=` says of entries of this shape: a mask of it, or with `a_region` one value a region; all, if None.

    Args:
        where: True for what counts.
        shape: of the entries.
        compared: names along the axes of what is compared, by what that is called.
        a_region: whether one value a region will do.

    Raises:
        TypeError: for what is not known yet, or no True and False.
        ValueError: for another shape, or other names.

    Example:
        >>> entries_that_count(np.array([True, False]), (2, 2), {}).tolist()
        [[True, False], [False, False]]
    """
    if where is None:
        return np.ones(shape, bool)
    given = labelled(where, "where")
    if is_traced(given.values):
        raise TypeError("where= says which entries there are, so it must be known: make it outside of jit, by NumPy")
    known, own = np.asarray(given.values), given.names
    if known.dtype != bool:
        raise TypeError(
            f"where= has True for the entries that count, got {known.dtype}: write where=weights > 0 or the like"
        )
    if a_region and known.shape == shape[:1]:
        known, own = known[:, None] & known[None, :], own * 2
    if known.shape != shape:
        raise ValueError(f"where= has shape {known.shape}, and what it chooses from {shape}")
    for which, names in compared.items():
        for one, two in zip(own, names, strict=True):
            check_same(one, two, "where=", which)
    return known
