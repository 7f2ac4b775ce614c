"""Arrays that know what lies along their axes: labels stay with the values of regions, and are compared where two meet."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Array, Shaped

from ._formats import fields
from ._kinds import refused, shown
from ._types import is_traced, refuse_masked

Names = tuple[str, ...]


def _tuples(names: Any) -> tuple[Names | None, ...]:
    if isinstance(names, str | type) or not isinstance(names, Iterable):
        raise TypeError(f"names is a list of names for each axis, got {shown(names)}: write names=[['A', 'B'], ...]")
    return tuple(None if along is None else _checked(along) for along in names)


def _checked(along: Any) -> Names:
    if isinstance(along, str | type) or not isinstance(along, Iterable):
        raise TypeError(
            f"names is a list of names for each axis, got {shown(along)} in it: write names=[['A', 'B'], ...]"
        )
    along = tuple(along)
    for name in along:
        if not isinstance(name, str) or not name:
            raise TypeError(f"names are text, got {shown(name)}")
    if len(set(along)) < len(along):
        twice = next(name for i, name in enumerate(along) if name in along[:i])
        raise ValueError(f"{twice!r} stands twice among the names of an axis, expected one of its own for each place")
    return along


def _values(x: Any) -> Any:
    if isinstance(x, jax.Array):
        return x
    refuse_masked(x)
    # A copy: whoever made it may go on writing there. NumPy's stay so, in their own precision.
    if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
        return np.array(x)
    if x is None or isinstance(x, str | type | Mapping):
        raise TypeError(f"values is an array of numbers, got {shown(x)}")
    try:
        return jnp.array(x)
    except (TypeError, ValueError) as error:
        raise TypeError(f"values is an array of numbers, got {shown(x)}") from error


#: What NumPy's arrays do to themselves, while their names would stay where they are.
_IN_PLACE = ("fill", "itemset", "partition", "put", "resize", "sort")


def is_named(x: Any) -> bool:
    """Whether it is an array or table whose axes may have names."""
    return isinstance(x, LabelledArray) or hasattr(x, "iloc") or (hasattr(x, "dims") and hasattr(x, "coords"))


class LabelledArray(eqx.Module):
    """An array with names along its axes, used like any other array.

    It goes where arrays go: into `jax.numpy`, NumPy, `jit`, `vmap`, `grad`. Sums, products and comparisons with numbers or with
    arrays of one shape keep the names, and those with another `LabelledArray` compare them; so do losses. Indices keep the names of
    what they choose. What else is made of it (`jnp.tanh(x)`, `x.mean()`) is a plain array.

    Attributes:
        values: the array.
        names: for each of the last axes its names, or None where it has none. Axes in front of these (from `vmap`) have none.

    Raises:
        ValueError: for names that do not fit the shape, are empty or come twice; two arrays with other names in one sum.

    Example:
        >>> a = LabelledArray([0.1, 0.2, 0.3], [("V1", "M1", "A1")])
        >>> a
        LabelledArray(3 regions from V1 to A1; 0.1 to 0.3)
        >>> (a * 2)[:2].labels, float(jnp.sum(a).round(3))
        (('V1', 'M1'), 0.6)
        >>> a.for_regions(["A1", "V1"]).values.round(3).tolist()
        [0.3, 0.1]
        >>> a + a.for_regions(["A1", "V1", "M1"])
        Traceback (most recent call last):
        ValueError: labels disagree: number 0 is 'V1' in the first, but 'A1' in the second; x.for_regions(...) puts one in the order of the other
    """

    values: Shaped[Array | np.ndarray, "..."] = eqx.field(converter=_values)
    names: tuple[Names | None, ...] = eqx.field(static=True, converter=_tuples)

    __array_priority__ = 1000  # a NumPy array on the left leaves the sum to this class

    def __init__(self, values: Any, names: Any):
        plain, own = known_names(values) if is_named(values) else (values, ())
        self.values, self.names = plain, _tuples(names)
        for one, two in zip(self.names[::-1], own[::-1], strict=False):
            check_same(one, two, "names", "values")

    def __check_init__(self):
        shape = np.shape(self.values)
        axes = shape[len(shape) - len(self.names) :]
        if len(self.names) > len(shape):
            raise ValueError(f"names for {len(self.names)} axes, and values has shape {shape}")
        for size, along in zip(axes, self.names, strict=True):
            if along is not None and len(along) != size:
                raise ValueError(f"{len(along)} names along an axis of {size}: values has shape {shape}")

    @property
    def labels(self) -> Names:
        """Names of the regions (or sensors), which all axes that have names share.

        Raises:
            ValueError: if they do not.
        """
        found = {along for along in self.names if along is not None}
        if len(found) != 1:
            raise ValueError(f"the axes have {len(found)} different lists of names: read them in names")
        return found.pop()

    def for_regions(self, regions: Iterable[str]) -> "LabelledArray":
        """The same for these regions in this order, along every axis that has names.

        Raises:
            ValueError: naming regions that are missing here or asked for twice.
        """
        index, values = places(regions, self.labels), self.values
        for back, along in enumerate(reversed(self.names), 1):
            if along is not None:
                values = values[(slice(None),) * (values.ndim - back) + (np.asarray(index),)]
        chosen = tuple(self.labels[i] for i in index)
        return LabelledArray(values, [None if along is None else chosen for along in self.names])

    def to_xarray(self) -> xr.DataArray:
        """A labelled array; the axes with names are called region, other, those in front axis_0, axis_1, ..."""
        values, free = np.asarray(self.values), iter(("region", "other"))
        names = (None,) * (values.ndim - len(self.names)) + self.names
        dims = [f"axis_{i}" if along is None else next(free, f"axis_{i}") for i, along in enumerate(names)]
        coords = {dim: list(along) for dim, along in zip(dims, names, strict=True) if along is not None}
        return xr.DataArray(values, dims=dims, coords=coords)

    def to_pandas(self) -> pd.DataFrame | pd.Series:
        """A table (of two axes) or a column (of one) with the names as its index.

        Raises:
            ValueError: for another number of axes.
        """
        names = (None,) * (self.values.ndim - len(self.names)) + self.names
        if len(names) == 1:
            return pd.Series(np.asarray(self.values), names[0])
        if len(names) == 2:
            return pd.DataFrame(np.asarray(self.values), *names)
        raise ValueError(f"a table has one or two axes, and this has shape {self.values.shape}: take to_xarray()")

    def __jax_array__(self) -> Array:
        return jnp.asarray(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)

    def __getattr__(self, name: str) -> Any:
        # Called for what this class does not define itself: shape, dtype, mean, round, tolist, at, ...
        if name.startswith("_") or name in ("values", "names", *_IN_PLACE):
            raise AttributeError(name)
        return getattr(self.values, name)

    def __len__(self) -> int:
        return len(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    @property
    def T(self) -> Any:
        """Transposed, the names with it."""
        whole = len(self.names) == self.values.ndim
        return LabelledArray(self.values.T, self.names[::-1]) if whole else self.values.T

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, LabelledArray) and index.values.ndim == self.values.ndim:
            for one, two in zip(self.names[::-1], index.names[::-1], strict=False):
                check_same(one, two, "the array", "the index")
        index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        chosen = self.values[index]
        if is_traced(*jax.tree.leaves(index)) or not chosen.ndim:
            return chosen
        shape, ahead = self.values.shape, self.values.ndim - len(self.names)
        names: list[Names | None] = [None] * chosen.ndim
        for axis, along in enumerate(self.names, ahead):
            if along is not None:
                column = np.arange(shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(shape))])
                _name_axis(names, np.broadcast_to(column, shape)[index], along)
        return LabelledArray(chosen, names) if any(names) else chosen

    def __eq__(self, other: Any) -> Any:
        return self._with(other, operator.eq)

    def __ne__(self, other: Any) -> Any:
        return self._with(other, operator.ne)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # like any array

    def _with(self, other: Any, function: Callable, turned: bool = False) -> Any:
        """Of two, elementwise; the names are compared and kept."""
        values, names = (other, None) if np.ndim(other) == 0 else known_names(other)
        if names is not None:
            for one, two in zip(self.names[::-1], names[::-1], strict=False):
                check_same(one, two, "the first", "the second")
        result = function(values, self.values) if turned else function(self.values, values)
        fits = result.shape[result.ndim - len(self.names) :] == self.values.shape[self.values.ndim - len(self.names) :]
        return LabelledArray(result, self.names) if fits else result

    def __matmul__(self, other: Any) -> Any:
        return _product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _product(other, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's functions of one or two arrays, elementwise, as the operators."""
        plain = [x.values if isinstance(x, LabelledArray) else x for x in inputs]
        if ufunc is np.matmul and method == "__call__" and not options:
            return _product(*inputs)
        if method != "__call__" or options or ufunc.nout != 1 or len(inputs) > 2:
            return getattr(ufunc, method)(*map(np.asarray, plain), **options)
        if isinstance(self.values, jax.Array):  # which may not be known yet
            ufunc = getattr(jnp, ufunc.__name__, ufunc)
        first, *rest = list(inputs)
        if not rest:
            return LabelledArray(ufunc(plain[0]), self.names)
        second = rest[0]
        turned = not isinstance(first, LabelledArray)
        return second._with(first, ufunc, turned) if turned else first._with(second, ufunc)

    def __neg__(self) -> "LabelledArray":
        return LabelledArray(-self.values, self.names)

    def __abs__(self) -> "LabelledArray":
        return LabelledArray(abs(self.values), self.names)

    def __repr__(self) -> str:
        if not isinstance(self.values, jax.Array | np.ndarray):  # a tree of filters or shapes has the same class
            return super().__repr__()
        sizes = []
        names = (None,) * (self.values.ndim - len(self.names)) + self.names
        for size, along in zip(self.values.shape, names, strict=True):
            # such as pairs of regions, 'V1, M1'
            ends = f"{along[0]!r} to {along[-1]!r}" if along and ", " in along[0] else ""
            regions = (
                f"{size} from {ends}" if ends else f"{size} regions from {along[0]} to {along[-1]}" if along else "0"
            )
            sizes.append(str(size) if along is None else regions)
        text = f"{len(self.labels)} x {sizes[-1]}" if _square(names) else " x ".join(sizes)
        if is_traced(self.values) or not self.values.size:
            return f"{type(self).__name__}({text}; {self.values.dtype})"
        known = np.asarray(self.values)
        return f"{type(self).__name__}({text}; {_range(known)})"


def _index(one: Any) -> Any:
    """An index as arrays take it: lists, and arrays with names, as arrays."""
    if isinstance(one, LabelledArray):
        return one.values
    return np.asarray(one) if isinstance(one, list) else one


def _name_axis(names: list[Names | None], origin: np.ndarray, along: Names) -> None:
    """Names an axis of what was chosen, if `origin` (where on the named axis each entry comes from) differs along it alone."""
    moves = [k for k in range(origin.ndim) if origin.shape[k] > 1 and (np.diff(origin, axis=k) != 0).any()]
    moves = moves or [k for k in range(origin.ndim) if origin.shape[k] == 1 and names[k] is None][:1]
    if len(moves) != 1 or names[moves[0]] is not None or not origin.size:
        return
    line = origin[tuple(slice(None) if k == moves[0] else 0 for k in range(origin.ndim))]
    if len(set(line.tolist())) == len(line):  # a region chosen twice would have no name of its own
        names[moves[0]] = tuple(along[i] for i in line)


if TYPE_CHECKING:  # checkers know no class beside Array that jax.numpy takes
    MaybeLabelled: TypeAlias = Any
else:
    #: What a feature gives: names where it was given some, otherwise a plain array.
    MaybeLabelled: TypeAlias = Array | LabelledArray


def _square(names: Sequence[Names | None]) -> bool:
    return len(names) == 2 and names[0] is not None and names[0] == names[1]


def _range(known: np.ndarray) -> str:
    if known.dtype.kind not in "fiu":
        return str(known.dtype)
    missing = int(np.isnan(known).sum())
    if missing == known.size:
        return "all NaN"
    return f"{np.nanmin(known):.4g} to {np.nanmax(known):.4g}" + (f", {missing} NaN" if missing else "")


def _elementwise(name: str, turned: bool) -> Callable:
    function = getattr(operator, name)

    def method(self: LabelledArray, other: Any) -> Any:
        return self._with(other, function, turned)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(LabelledArray, f"__{_name}__", _elementwise(_name, turned=False))
    setattr(LabelledArray, f"__r{_name}__", _elementwise(_name, turned=True))
for _name in ("lt", "le", "gt", "ge"):
    setattr(LabelledArray, f"__{_name}__", _elementwise(_name, turned=False))


def _product(one: Any, two: Any) -> Any:
    """The product of two matrices or of a matrix and a vector, summed over what has the same names."""
    (a, ours), (b, theirs) = known_names(one), known_names(two)
    check_same(ours[-1], theirs[-2:][0], "the columns of the first", "the rows of the second")
    product = jnp.asarray(a) @ jnp.asarray(b)
    names = (*ours[:-1], *theirs[-1:] * (np.ndim(b) > 1))
    return LabelledArray(product, names) if np.ndim(a) < 3 and np.ndim(b) < 3 and any(names) else product


def with_names(values: Any, *names: Names) -> Any:
    """The array with names along its last axes, if they are known: a plain one where one of them is empty.

    Example:
        >>> with_names(jnp.ones(2), ("A", "B")), with_names(jnp.ones(2), ()).tolist()
        (LabelledArray(2 regions from A to B; 1 to 1), [1.0, 1.0])
    """
    return LabelledArray(values, names) if all(names) else values


def places(regions: Iterable[str], labels: Names) -> list[int]:
    """Where these regions stand among the labels.

    Raises:
        TypeError: for a single text.
        ValueError: naming what is missing, or asked for twice.

    Example:
        >>> places(["B", "A"], ("A", "B", "C"))
        [1, 0]
    """
    if isinstance(regions, str):
        raise TypeError(f"for_regions takes a list of labels: write [{regions!r}]")
    asked, where = [str(r) for r in regions], {label: i for i, label in enumerate(labels)}
    missing = [r for r in asked if r not in where]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(f"there is no region {missing[0]!r}{more} here: {fields.closest(missing[0], labels)}")
    if len(set(asked)) < len(asked):
        twice = next(r for i, r in enumerate(asked) if r in asked[:i])
        raise ValueError(f"region {twice!r} is asked for twice")
    return [where[r] for r in asked]


#: Kinds of NumPy's types that are numbers, or True and False.
_NUMBERS = "biufc"


def _plain(x: Any, argument: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except (TypeError, ValueError):
        raise _no_numbers(x, argument) from None


def _no_numbers(x: Any, argument: str) -> TypeError:
    wanted = "an array or a table of numbers, or a recording"
    return refused(argument, x, wanted, "np.asarray(values, float), or run['raw']")


def known_names(x: Any, argument: str = "x", kinds: str = _NUMBERS) -> tuple[Any, tuple[Names | None, ...]]:
    """Values of an array or a table of pandas or xarray, and for each axis its names, None where it has none.

    Args:
        x: the array or table.
        argument: what it was given as, for the error.
        kinds: of NumPy's types that it may be of.

    Raises:
        TypeError: for what is no array of these.

    Example:
        >>> known_names(pd.Series([1.0, 2.0], ["A", "B"]))[1]
        (('A', 'B'),)
    """
    if isinstance(x, LabelledArray):
        return x.values, (None,) * (np.ndim(x.values) - len(x.names)) + x.names
    if hasattr(x, "dims") and hasattr(x, "coords"):  # xarray
        values, coordinates = x.values, [x.coords[dim].values if dim in x.coords else None for dim in x.dims]
    elif hasattr(x, "iloc"):  # pandas
        values, coordinates = x.to_numpy(), list(x.axes)
    else:
        refuse_masked(x)
        values = x if isinstance(x, jax.Array) else _plain(x, argument)  # in float64, where that is what it is
        coordinates = [None] * values.ndim
    if not jnp.issubdtype(values.dtype, jnp.number) and np.dtype(values.dtype).kind not in kinds:
        raise _no_numbers(x, argument)
    return values, tuple(_text(c, size) for c, size in zip(coordinates, values.shape, strict=True))


def _text(coordinate: Any, size: int) -> Names | None:
    if coordinate is None or len(coordinate) != size:
        return None
    if not all(isinstance(entry, str) for entry in coordinate):
        numbers = all(isinstance(entry, int | np.integer) for entry in coordinate)
        if not numbers or [*coordinate] in ([*range(size)], [*range(1, size + 1)]):
            return None  # as where there are none
    return tuple(map(str, coordinate)) or None


def check_same(one: Names | None, two: Names | None, first: str, second: str) -> None:
    """Raises if the names along an axis are known of both and differ.

    Example:
        >>> check_same(("A", "B"), ("A", "B"), "the first", "the second")
    """
    if one is None or two is None or one == two:
        return
    if len(one) != len(two):
        raise ValueError(f"labels disagree: there are {len(one)} in {first}, but {len(two)} in {second}")
    i = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    same = set(one) == set(two)
    mend = "x.for_regions(...) puts one in the order of the other" if same else "they are not of the same regions"
    raise ValueError(f"labels disagree: number {i} is {one[i]!r} in {first}, but {two[i]!r} in {second}; {mend}")
