"""What a sweep goes over: values, lists that go together, draws, noise. Each is an axis, and axes are crossed."""

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._extras import need
from .._kinds import expect, random_key, reals, refused, whole
from ..parameters.addresses import domains, find, leaf_names, tell
from ..parameters.declaring import refuse_names
from .cohort import Cohort

#: The axis of points that are no grid.
POINT = "point"
RANGES_LINE = "{'model.w': (0.4, 1.0), 'coupling.strength': (0.1, 10.0, 'log')}"


class AbstractAxis(abc.ABC):
    """Something that a sweep goes over, by its own name in the space: `{"point": gx.scale.Sobol(...)}`."""

    @abc.abstractmethod
    def columns(self, model: Any) -> Mapping[Any, Any]:
        """Values by parameter, all of one length; the first of each belong together, and so on."""


@dataclasses.dataclass(frozen=True)
class Together(AbstractAxis):
    """Lists of values that go together: the first of each is one point, the second another.

    Args:
        values: by parameter, as in a space; all of one length.

    Raises:
        TypeError: for anything but a dict.

    Example:
        >>> import gyrax as gx
        >>> pairs = Together({"w": [0.5, 1.0], "I_o": [0.1, 0.2]})
        >>> gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"pair": pairs})["value"].values.round(6).tolist()
        [0.05, 0.2]
    """

    values: Mapping[Any, Any]

    def __post_init__(self):
        expect("values", self.values, Mapping, "a dict of values by parameter", "{'model.w': [0.5, 1.0]}")

    def columns(self, model: Any) -> Mapping[Any, Any]:
        return self.values


@dataclasses.dataclass(frozen=True)
class _AbstractFilling(AbstractAxis):
    """Points that fill a box, drawn by `scipy.stats.qmc`."""

    ranges: Mapping[Any, Any]
    count: int
    seed: int = 0

    def __post_init__(self):
        expect("ranges", self.ranges, Mapping, "a dict of (lowest, highest) by parameter", RANGES_LINE)
        whole("count", self.count)
        whole("seed", self.seed, least=0)
        for where, ends in self.ranges.items():
            _ends(where, ends)

    @abc.abstractmethod
    def unit(self, dimensions: int) -> np.ndarray:
        """Points between 0 and 1, `(point, dimension)`."""

    def columns(self, model: Any) -> Mapping[Any, Any]:
        found = {}
        for (where, ends), x in zip(self.ranges.items(), self.unit(len(self.ranges)).T, strict=True):
            found[where] = within(where, ends, x)
        return found


class Sobol(_AbstractFilling):
    """Points that fill a box evenly, as a scrambled Sobol sequence (Owen 1998, as `scipy.stats.qmc.Sobol` has it).

    Args:
        ranges: `(lowest, highest)` by parameter, or `(lowest, highest, "log")` for points that are even in the logarithm.
        count: how many; a power of two fills evenly.
        seed: of the scrambling.

    Raises:
        TypeError, ValueError: for what is no range, or a logarithmic one that begins at 0 or below.

    Example:
        >>> import gyrax as gx
        >>> box = Sobol({"w": (0.4, 1.0), "I_o": (0.01, 1.0, "log")}, count=4)
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w * m.I_o, {"point": box})
        >>> dict(found.sizes), sorted(found.coords)
        ({'point': 4}, ['I_o', 'w'])
    """

    def unit(self, dimensions: int) -> np.ndarray:
        from scipy.stats import qmc

        sampler = qmc.Sobol(dimensions, rng=np.random.default_rng(self.seed))
        return (
            sampler.random_base2(math.ceil(math.log2(self.count)))[: self.count]
            if self.count > 1
            else sampler.random(1)
        )


class LatinHypercube(_AbstractFilling):
    """Points of which every one has a row and a column of its own (McKay et al. 1979, as `scipy.stats.qmc.LatinHypercube` has it).

    Args:
        ranges: `(lowest, highest)` by parameter, or `(lowest, highest, "log")` for points that are even in the logarithm.
        count: how many.
        seed: of the draws.

    Raises:
        TypeError, ValueError: for what is no range, or a logarithmic one that begins at 0 or below.

    Example:
        >>> import gyrax as gx
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w, {"point": LatinHypercube({"w": (0.0, 1.0)}, count=4)})
        >>> np.sort(np.floor(4 * found["value"])).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def unit(self, dimensions: int) -> np.ndarray:
        from scipy.stats import qmc

        return qmc.LatinHypercube(dimensions, rng=np.random.default_rng(self.seed)).random(self.count)


@dataclasses.dataclass(frozen=True)
class Draws(AbstractAxis):
    """Draws from distributions, each parameter by itself.

    Args:
        priors: a distribution of NumPyro by parameter, in its unit; of a parameter that is no scalar, of its shape.
        count: how many.
        key: `jax.random.key(...)`, or a whole number as its seed.

    Raises:
        TypeError: for what is no distribution.
        ImportError: if NumPyro is not installed.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> found = gx.sweep(gx.models.WongWang(), lambda m, key: m.w, {"draw": Draws({"w": d.Uniform(0.5, 1.0)}, count=3)})
        >>> bool((found["w"] > 0.5).all()), dict(found.sizes)
        (True, {'draw': 3})
    """

    priors: Mapping[Any, Any]
    count: int
    key: Any = 0

    def __post_init__(self):
        expect(
            "priors", self.priors, Mapping, "a dict of distributions by parameter", "{'model.w': d.Uniform(0.4, 1.0)}"
        )
        whole("count", self.count)
        random_key("key", self.key)
        for where, prior in self.priors.items():
            if not isinstance(prior, need("numpyro.distributions", "inference").Distribution):
                raise refused(f"priors[{where!r}]", prior, "a distribution of NumPyro", "d.Uniform(0.4, 1.0)")

    def columns(self, model: Any) -> Mapping[Any, Any]:
        key = random_key("key", self.key)
        return {
            where: np.asarray(prior.sample(jax.random.fold_in(key, i), (self.count,)))
            for i, (where, prior) in enumerate(self.priors.items())
        }


@dataclasses.dataclass(frozen=True)
class Seeds(AbstractAxis):
    """Noise as an axis of its own: every point is computed on each of so many keys, made from the sweep's.

    Args:
        count: how many.

    Example:
        >>> import gyrax as gx
        >>> noisy = lambda m, key: m.w + jax.random.normal(key)
        >>> found = gx.sweep(gx.models.WongWang(), noisy, {"w": [0.5, 1.0], "seed": Seeds(8)}, key=1)
        >>> dict(found.sizes)
        {'w': 2, 'seed': 8}
    """

    count: int

    def __post_init__(self):
        whole("count", self.count)

    def columns(self, model: Any) -> Mapping[Any, Any]:
        return {}


@dataclasses.dataclass(frozen=True)
class Subjects(AbstractAxis):
    """The subjects of a cohort as an axis: each point is computed in every subject's network, with its own weights, lengths and whatever else.

    Args:
        cohort: whose subjects; `cohort["sub-01"]`, or any other of them, is the model to sweep.

    Raises:
        TypeError: for what is no cohort.

    Example:
        >>> import gyrax as gx
        >>> def net(weight):
        ...     return gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), [[0, weight], [weight, 0]])
        >>> cohort = gx.Cohort({"sub-01": net(1.0), "sub-02": net(2.0)})
        >>> found = gx.sweep(cohort["sub-01"], lambda n, key: n.connectome.weights.sum(), {"subject": Subjects(cohort)})
        >>> found["value"].sel(subject="sub-02").item()
        4.0
    """

    cohort: Cohort

    def __post_init__(self):
        expect("cohort", self.cohort, Cohort, "a cohort", "gx.Cohort({'sub-01': network, 'sub-02': other})")

    def columns(self, model: Any) -> Mapping[Any, Any]:
        """Values of what is individual, by where it is in a subject's network.

        Raises:
            ValueError: for a model that is none of the subjects' networks, or subjects that do not differ.
        """
        one = self.cohort[self.cohort.subjects[0]]
        if jax.tree.structure(model) != jax.tree.structure(one):
            raise ValueError(
                f"subjects are an axis of one of their networks: sweep over cohort[{self.cohort.subjects[0]!r}]"
            )
        if not self.cohort.individual:
            raise ValueError("the subjects of this cohort differ in nothing: leave the axis out")
        names = leaf_names(self.cohort)
        leaves = jax.tree.leaves(self.cohort)
        return {name.removeprefix("network."): np.asarray(leaves[names.index(name)]) for name in self.cohort.individual}


def within(where: Any, ends: Any, x: np.ndarray) -> np.ndarray:
    """What lies in a range where numbers lie between 0 and 1.

    Example:
        >>> within("w", (1.0, 100.0, "log"), np.array([0.0, 0.5])).round(6).tolist()
        [1.0, 10.0]
    """
    low, high, log = _ends(where, ends)
    return low * (high / low) ** x if log else low + (high - low) * x


def _ends(where: Any, ends: Any) -> tuple[float, float, bool]:
    """The ends of a range, and whether it is logarithmic."""
    line = "(0.4, 1.0), or (0.1, 10.0, 'log')"
    if (
        not isinstance(ends, Sequence)
        or isinstance(ends, str)
        or len(ends) not in (2, 3)
        or ends[2:] not in ((), [], ("log",), ["log"])
    ):
        raise refused(f"ranges[{where!r}]", ends, "the lowest and the highest value", line)
    low, high = (float(x) for x in reals(f"ranges[{where!r}]", ends[:2]))
    log = len(ends) == 3
    if not low < high or not np.isfinite([low, high]).all() or (log and low <= 0):
        raise ValueError(
            f"ranges[{where!r}] goes from the lowest to the highest value{', both above 0' if log else ''}, got {low:g} to {high:g}: write {line}"
        )
    return low, high, log


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis as it was read: a name, how many points there are along it, and which leaves take which values.

    Attributes:
        name: of the dimension.
        length: how many points.
        leaves: which leaf of the model each column goes to.
        columns: values along the axis, by the name of the parameter.
        seeds: whether along it only the noise differs.
        labels: names of the points, which then stand for their values.
    """

    name: str
    length: int
    leaves: Mapping[str, int]
    columns: Mapping[str, np.ndarray]
    seeds: bool = False
    labels: tuple[str, ...] = ()


def read_space(model: Any, space: Any, grid: bool) -> tuple[Axis, ...]:
    """The axes of a space, checked.

    Raises:
        ValueError: for no axes, a parameter that does not exist or is given twice, lists of different lengths, or values outside of their domain.

    Example:
        >>> import gyrax as gx
        >>> [axis.length for axis in read_space(gx.models.WongWang(), {"w": [0.5, 1.0], "I_o": [0.1]}, True)]
        [2, 1]
    """
    expect("space", space, Mapping, "a dict of values by parameter", "{'model.w': [0.5, 1.0]}")
    if not space:
        raise ValueError("space is empty: sweep over what? give {'model.w': values}")
    if not grid:
        own = [name for name, values in space.items() if isinstance(values, AbstractAxis)]
        if own:
            raise ValueError(
                f"grid=False is a list of points, in which there is no axis {own[0]!r}: leave grid out, and cross axes"
            )
        space = {POINT: Together(space)}
    axes = [
        _axis(model, str(name), axis.columns(model), axis)
        if isinstance(axis, AbstractAxis)
        else _values(model, name, axis)
        for name, axis in space.items()
    ]
    names = leaf_names(model)
    taken: set[int] = set()
    for axis in axes:
        for leaf in axis.leaves.values():
            if leaf in taken:
                raise ValueError(f"{names[leaf]} is given twice")
            taken.add(leaf)
    dims = [axis.name for axis in axes]
    if len(set(dims)) < len(dims):
        raise ValueError(f"two axes have one name: {', '.join(dims)}")
    if sum(axis.seeds for axis in axes) > 1:
        raise ValueError("noise is one axis: give one gx.scale.Seeds(count)")
    tell(model, "check_movable", [names[leaf] for leaf in sorted(taken)])
    return tuple(axes)


def _values(model: Any, where: Any, values: Any) -> Axis:
    """An axis of one parameter, or of several that are given as a tuple and take the same values."""
    names, tied = leaf_names(model), where if isinstance(where, tuple) else (where,)
    if not tied:
        raise ValueError("a tuple of parameters that take the same values has one at least: ('model.w', 'other.w')")
    leaves, array = zip(*(_column(model, names, one, values) for one in tied), strict=True)
    found = {names[leaf]: leaf for leaf in leaves}
    if len(found) < len(leaves):
        raise ValueError(f"of {', '.join(map(str, tied))} one is given twice")
    return Axis(names[leaves[0]], len(array[0]), found, dict(zip(found, array, strict=True)))


def _axis(model: Any, name: str, columns: Mapping[Any, Any], axis: AbstractAxis) -> Axis:
    names, found, leaves = leaf_names(model), {}, {}
    if isinstance(axis, Seeds):
        if name in names:
            raise ValueError(f"an axis of noise has a name of its own, such as 'seed': {name!r} is a parameter")
        return Axis(name, axis.count, {}, {}, seeds=True)
    for where, values in columns.items():
        one = _values(model, where, values)
        twice = [given for given in one.columns if given in found]
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        found |= one.columns
        leaves |= one.leaves
    counts = [len(values) for values in found.values()]
    if not found:
        raise ValueError(f"the axis {name!r} is empty: give it values by parameter")
    if len(set(counts)) > 1:
        raise ValueError(
            f"a list of points takes as many values of each: {', '.join(f'{n} of {p}' for p, n in zip(found, counts, strict=True))}"
        )
    if name in names and name not in found:
        raise ValueError(f"an axis of several parameters has a name of its own: {name!r} is a parameter")
    return Axis(name, counts[0], leaves, found, labels=axis.cohort.subjects if isinstance(axis, Subjects) else ())


def _column(model: Any, names: list[str], where: Any, values: Any) -> tuple[int, np.ndarray]:
    """Which leaf takes the values, and they, if it may."""
    refuse_names(values, "what is swept over")
    found, values = find(model, where), reals(f"space[{where!r}]", values)
    if len(found) != 1:
        raise ValueError(
            f"{where} is {len(found)} parameters: {', '.join(names[i] for i in found)}; give each its values"
        )
    index = found[0]
    path, shape = names[index], jnp.shape(jax.tree.leaves(model)[index])
    if values.ndim == 0 or values.shape[1:] != shape or not values.size:
        what = "a list of numbers" if shape == () else f"of shape (value, {', '.join(map(str, shape))})"
        hint = "" if shape == () or values.ndim != 1 else "; for one value everywhere, sweep before per_region"
        raise ValueError(f"the values of {path} are {what}, got shape {values.shape}{hint}")
    domain = domains(model)[index]
    outside = ~np.asarray(domain.contains(jnp.asarray(values)))
    if outside.any():
        raise ValueError(f"{path} = {values[outside][0]:g} does not lie inside its domain {domain!r}")
    return index, values


class Points:
    """All points of some axes, one after another, the last axis fastest."""

    def __init__(self, axes: tuple[Axis, ...], keys: jax.Array):
        self.axes, self.keys = axes, keys
        self.counts = tuple(axis.length for axis in axes)
        self.total = math.prod(self.counts)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Which leaf of the model takes each column of `take`."""
        return tuple(leaf for axis in self.axes for leaf in axis.leaves.values())

    @property
    def seeds(self) -> int | None:
        """How many noise seeds have an axis of their own; None where all points hear the same noise."""
        return next((axis.length for axis in self.axes if axis.seeds), None)

    def take(self, rows: np.ndarray) -> tuple[jax.Array, ...]:
        """What some points are, column by column; the number of the seed last, if noise is an axis."""
        places = np.unravel_index(rows, self.counts)
        found = [
            jnp.asarray(values[place], jnp.result_type(float))
            for axis, place in zip(self.axes, places, strict=True)
            for values in axis.columns.values()
        ]
        seeds = [jnp.asarray(place) for axis, place in zip(self.axes, places, strict=True) if axis.seeds]
        return (*found, *seeds)
