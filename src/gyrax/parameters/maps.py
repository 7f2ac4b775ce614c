"""Parameters that differ between regions by a few numbers: along maps of the brain, or between groups of regions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._kinds import refused, shown
from .._types import is_traced, refuse_masked
from .addresses import Where, find_one, leaf_names
from .selection import Free

#: How a name says its hemisphere: 'L.BSTS', 'lh_V1', 'ctx-lh-cuneus', '7Networks_LH_Vis_1', 'V1_L', 'rV1' is not one.
_SIDE = re.compile(r"(?<![A-Za-z0-9])(?:(left|lh|l)|(right|rh|r))(?![A-Za-z0-9])", re.IGNORECASE)


def by_maps(network: Any, where: Where, maps: Any) -> Free:
    r"""A parameter free as a base that all regions share and a coefficient for each map: for `select`, in place of its path.

    On the real line of its domain the parameter is $b + \sum_k c_k z_k$ with the maps z-scored over regions, so it stays
    inside its domain whatever the coefficients; with them at zero all regions are alike. (Demirtas et al. 2019,
    "Hierarchical heterogeneity across human cortex shapes large-scale neural dynamics", Neuron 101.) The network has one value
    a region afterwards; `select(network, where)` frees each by itself instead.

    Args:
        network: of which the parameter is, one value or one a region.
        where: the parameter, as a dotted path or a function.
        maps: an array `(map, region)` or of one map `(region,)`; a dict of one-dimensional ones by name; or a table with a row a
            region and a column a map, such as `gx.io.read_maps` gives. What has names of regions is put in the order of the
            network's.

    Raises:
        ValueError: for a map that is constant, not finite, or a mixture of the others; a region that a table does not have, or
            another number of them.

    Example:
        >>> import gyrax as gx
        >>> data = gx.datasets.load("dk84")
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome.normalised("max"))
        >>> along = by_maps(net, "model.w", {"size": np.arange(84.0)})
        >>> free, fixed = gx.split(net, gx.select(net, "coupling.strength", along))
        >>> free.model.w.shape, gx.join(free, fixed).model.w.shape
        ((2,), (84,))
        >>> along.coefficients(net).round(3).to_dict()
        {'base': 0.6, 'size': 0.0}
    """
    labels = _labels(network, where)
    columns = {name: _scored(name, values, labels) for name, values in _columns(maps, labels).items()}
    if not columns:
        raise ValueError("maps= holds no map: give at least one, or name the parameter alone in select(...)")
    basis = np.stack([np.ones(len(labels)), *columns.values()], axis=1)
    size = np.linalg.svd(basis, compute_uv=False)
    if len(size) < basis.shape[1] or size[-1] < 1e-6 * size[0]:
        raise ValueError(
            f"the {len(columns)} maps are not independent over {len(labels)} regions: one is a mixture of the others; leave it out"
        )
    return Free(where, basis=basis, parts=("base", *columns))


def by_groups(network: Any, where: Where, groups: Any) -> Free:
    """A parameter free as one value for each group of regions: for `select`, in place of its path.

    Args:
        network: of which the parameter is, one value or one a region.
        where: the parameter, as a dotted path or a function.
        groups: the name of each region's group, in the network's order (or with names of regions, as a table of pandas); or
            'mirrored', a group for each pair of regions of the same name in both hemispheres.

    Raises:
        ValueError: for another number of regions, a region without a group, or names that tell no hemisphere.

    Example:
        >>> import gyrax as gx
        >>> data = gx.datasets.load("dk84")
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome.normalised("max"))
        >>> free, _ = gx.split(net, gx.select(net, by_groups(net, "model.w", "mirrored")))
        >>> free.model.w.shape
        (42,)
    """
    labels = _labels(network, where)
    names = _mirrored(labels) if isinstance(groups, str) and groups == "mirrored" else _group_names(groups, labels)
    parts = tuple(dict.fromkeys(names))
    basis = np.array([[name == part for part in parts] for name in names], float)
    return Free(where, basis=basis, parts=parts)


def _labels(network: Any, where: Where) -> tuple[str, ...]:
    """The nodes that have a value of the parameter."""
    if not hasattr(network, "width"):
        raise refused("network", network, "a network", "gx.Network(model, coupling, connectome)")
    index = find_one(network, where)
    name = leaf_names(network)[index]
    n, labels = network.width(name), network.labels
    if n == len(labels):
        return labels
    if n == len(network.connectome.labels):  # of a surface, what couples regions
        return network.connectome.labels
    raise ValueError(f"{name} is of {n} of {len(labels)} nodes: maps and groups are of all of them")


def _columns(maps: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Each map by its name."""
    if isinstance(maps, Mapping) or hasattr(maps, "columns"):
        names = list(maps) if isinstance(maps, Mapping) else list(maps.columns)
        called = [str(name) for name in names]
        if "base" in called or len(set(called)) < len(called):
            raise ValueError(
                f"maps have a name of their own each, and none is 'base', which all regions share; got {called}"
            )
        values = (
            [maps[name] for name in names]
            if isinstance(maps, Mapping)
            else [maps.iloc[:, i] for i in range(len(names))]
        )
        return dict(zip(called, values, strict=True))
    refuse_masked(maps)
    if isinstance(maps, list | tuple) and any(_named(one) for one in maps):
        rows = maps
    elif _named(maps):
        rows = [maps] if np.ndim(maps) == 1 else [maps[i] for i in range(len(maps))]
    else:
        if np.iscomplexobj(maps):
            raise TypeError("maps are of complex numbers, expected real ones")
        try:
            rows = np.asarray(maps, float)
        except (TypeError, ValueError):
            raise refused("maps", maps, "arrays of one value a region", "{'myelin': values}") from None
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim == 2 and rows.shape[1] != len(labels) and rows.shape[0] == len(labels):
            raise ValueError(
                f"maps has shape {rows.shape}, expected (map, region) with {len(labels)} regions: transpose it, maps.T"
            )
        if rows.ndim != 2:
            raise ValueError(f"maps has shape {rows.shape}, expected (map, region)")
    called = [str(getattr(row, "name", None) or f"map_{i}") for i, row in enumerate(rows)]
    return dict(
        zip(called if len(set(called)) == len(called) else [f"map_{i}" for i in range(len(called))], rows, strict=True)
    )


def _named(x: Any) -> bool:
    """Whether it is an array or a column whose axes may have names."""
    return hasattr(x, "iloc") or hasattr(x, "for_regions") or (hasattr(x, "dims") and hasattr(x, "coords"))


def _in_order(values: Any, labels: tuple[str, ...], what: str, kind: Any = None) -> np.ndarray:
    """Values, one a region in the order of the labels: by their own names where they have some."""
    names = None
    if hasattr(values, "for_regions"):
        names, values = values.labels, values.values
    elif hasattr(values, "iloc"):
        names, values = tuple(values.index), values.to_numpy()
        if not all(isinstance(name, str) for name in names):
            if list(names) not in (list(range(len(names))), list(range(1, len(names) + 1))):
                raise ValueError(
                    f"{what} calls its regions {names[0]!r}, {names[-1]!r}, ...: expected their names, as text"
                )
            names = None
    elif hasattr(values, "dims") and hasattr(values, "coords"):
        (dim, *_), named = values.dims or ("",), values.coords
        names, values = tuple(map(str, named[dim].values)) if dim in named else None, values.values
    if is_traced(values):
        raise TypeError(f"{what} must be known: make the spec outside of jit")
    refuse_masked(values)
    values = np.asarray(values, kind)
    if values.ndim != 1 or (names is None and len(values) != len(labels)):
        raise ValueError(f"{what} has shape {values.shape}, expected one value for each of {len(labels)} regions")
    if names is None:
        return values
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{what} has region {sorted(twice)[0]!r} twice")
    if lost := [label for label in labels if label not in names]:
        raise ValueError(
            f"{what} has no value of {len(lost)} regions: {', '.join(lost[:5])}{', ...' * (len(lost) > 5)}"
        )
    return values[[names.index(label) for label in labels]]


def _scored(name: str, values: Any, labels: tuple[str, ...]) -> np.ndarray:
    """A map as z-scores over regions."""
    what = f"the map '{name}'"
    found = _in_order(values, labels, what)
    if found.dtype.kind not in "biuf":
        raise TypeError(f"{what} is of {found.dtype}, expected numbers")
    found = found.astype(float)
    if not np.isfinite(found).all():
        lost = [labels[i] for i in np.flatnonzero(~np.isfinite(found))]
        raise ValueError(
            f"{what} is not finite in {len(lost)} regions: {', '.join(lost[:5])}{', ...' * (len(lost) > 5)}; fill them, "
            "or take them out of the connectome with subset()"
        )
    spread = found.std()
    if not spread > 1e-12 * np.abs(found).max(initial=1e-300):
        raise ValueError(f"{what} is {found[0]:g} in every region: it tells nothing apart")
    return (found - found.mean()) / spread


def _group_names(groups: Any, labels: tuple[str, ...]) -> list[str]:
    if isinstance(groups, str | Mapping) or not (
        (hasattr(groups, "__len__") and isinstance(groups, Sequence | np.ndarray)) or hasattr(groups, "iloc")
    ):
        raise TypeError(f"groups is the name of each region's group, or 'mirrored'; got {shown(groups)}")
    found = _in_order(groups, labels, "groups", object)
    for label, name in zip(labels, found, strict=True):
        if name is None or name != name or (isinstance(name, str) and not name.strip()):
            raise ValueError(f"region {label} is in no group: give it one of its own")
    return [str(name) for name in found]


def _mirrored(labels: tuple[str, ...]) -> list[str]:
    """Names without their hemisphere."""
    names = [_SIDE.sub("*", label, count=1) for label in labels]
    told = [label for label in labels if _SIDE.search(label)]
    if not told:
        raise ValueError(
            f"the names tell no hemisphere ({', '.join(labels[:3])}, ...), expected L and R, lh and rh or left and right: "
            "give groups= a name for each region"
        )
    for name in dict.fromkeys(names):
        both = [label for label, other in zip(labels, names, strict=True) if other == name]
        sides = {bool(found.group(1)) for label in both if (found := _SIDE.search(label))}
        if len(both) > 2 or (len(both) == 2 and len(sides) < 2):
            raise ValueError(
                f"{', '.join(both[:3])} would be one group: they are no pair of hemispheres; name the groups"
            )
    return names
