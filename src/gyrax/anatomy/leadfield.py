"""Lead fields: how strongly each sensor sees each source."""

from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._formats.fields import closest
from .._formats.gains import File, read_gain, read_region_map, read_sensors
from .._kinds import choice, few, reals
from .._kinds import names as several
from .._types import is_traced, owned
from ..labelled import Names, check_same, is_named, known_names


class LeadField(eqx.Module):
    """What each sensor sees of a unit of activity in each region (or vertex).

    Args:
        gain: `(sensor, region)`, or `(sensor, region, 3)` for sources free to point anywhere, which an orientation then fixes. Names
            of a table's rows and columns are those of the sensors and regions.
        sensors: their names; sensor_0, sensor_1, ... if left out and the gain has none.
        regions: names of the regions; checked against those of a network. Not known if left out and the gain has none.
        orientation: `(region, 3)`, of any length, where the gain is free. A parameter, as the gain is.
        positions: of the sensors, `(sensor, 3)` in mm, if known.
        unit: of the gain, for people, such as 'T/(A m)'.
        nonfinite: 'refuse' sensors with a gain that is not finite (those that were switched off, say), or 'drop' them.

    Raises:
        ValueError: for shapes or labels that do not fit, or sensors whose gain is not finite, with their names.

    Example:
        >>> LeadField([[1.0, 0.5], [0.2, np.nan]], sensors=["A", "B"], nonfinite="drop")
        LeadField(1 sensor, 2 regions, gain 0.5 to 1)
    """

    gain: Float[Array, "sensor region *xyz"]
    orientation: Float[Array, "region 3"] | None
    positions: Float[Array, "sensor 3"] | None
    sensors: tuple[str, ...] = eqx.field(static=True)
    regions: tuple[str, ...] | None = eqx.field(static=True)
    unit: str = eqx.field(static=True)

    def __init__(
        self,
        gain: Any,
        sensors: Sequence[str] | None = None,
        regions: Sequence[str] | None = None,
        *,
        orientation: Any = None,
        positions: Any = None,
        unit: str = "",
        nonfinite: Literal["refuse", "drop"] = "refuse",
    ):
        gain, (seen, sources, *_) = _named("gain", gain)
        if gain.ndim not in (2, 3) or gain.shape[2:] not in ((), (3,)) or 0 in gain.shape:
            raise ValueError(f"a gain is (sensor, region) or (sensor, region, 3), got shape {gain.shape}")
        sensors = seen if sensors is None else sensors
        names = tuple(f"sensor_{i}" for i in range(len(gain))) if sensors is None else _names("sensor", sensors)
        check_same(names, seen, "sensors", "the rows of gain")
        regions = sources if regions is None else regions
        check_same(None if regions is None else _names("region", regions), sources, "regions", "the columns of gain")
        if positions is not None:
            positions, (seen, *_) = _named("positions", positions)
            check_same(names, seen, "sensors", "positions")
        if orientation is not None:
            orientation, (sources, *_) = _named("orientation", orientation)
            check_same(None if regions is None else _names("region", regions), sources, "regions", "orientation")
        shapes = {"sensors": (len(names), len(gain))}
        if regions is not None:
            shapes["regions"] = (len(_names("region", regions)), gain.shape[1])
        for what, (got, expected) in shapes.items():
            if got != expected:
                raise ValueError(f"there are {got} names of {what}, and the gain has {expected}")
        if positions is not None and positions.shape != (len(gain), 3):
            raise ValueError(f"positions are (sensor, 3) = {(len(gain), 3)}, got shape {positions.shape}")
        choice("nonfinite", nonfinite, ("refuse", "drop"))
        if not is_traced(gain):
            bad = ~np.isfinite(gain).reshape(len(gain), -1).all(1)
            if bad.any() and nonfinite == "refuse":
                off = [name for name, b in zip(names, bad, strict=True) if b]
                raise ValueError(
                    f"the gain of {len(off)} sensors is not finite: {few(off, 8)}; nonfinite='drop' leaves them out"
                )
            if bad.all():
                raise ValueError("no sensor has a finite gain")
            gain, names = gain[~bad], tuple(name for name, b in zip(names, bad, strict=True) if not b)
            positions = None if positions is None else positions[~bad]
        self.gain = owned(gain, jnp.result_type(float))
        self.sensors, self.regions, self.unit = names, None if regions is None else tuple(regions), unit
        self.positions = None if positions is None else owned(positions, jnp.result_type(float))
        self.orientation = _orientation(orientation, self.gain)

    @classmethod
    def from_vertices(
        cls,
        gain: Any,
        region_of: Any,
        sensors: Sequence[str] | None = None,
        regions: Sequence[str] | None = None,
        *,
        normals: Any = None,
        reduce: Literal["sum", "mean"] = "sum",
        unseen: Literal["refuse", "zero"] = "refuse",
        **others: Any,
    ) -> "LeadField":
        """The lead field of regions from that of the vertices they are made of.

        Args:
            gain: `(sensor, vertex)`; or free, `(sensor, vertex, 3)` or `(sensor, 3 * vertex)` as x, y, z of one vertex after
                the other.
            region_of: index of every vertex's region, -1 for none; a `gx.Surface` has it.
            sensors: as above.
            regions: names of the regions, also of those without vertices; counted by `region_of` if left out.
            normals: `(vertex, 3)`: sources point along them. Left out, a free gain stays free.
            reduce: 'sum': each vertex has its region's activity. 'mean': its share of it.
            unseen: 'refuse' regions without vertices (subcortical, say), or give them a gain of 'zero'.
            others: positions, unit, nonfinite, orientation as above.

        Raises:
            ValueError: as above, or for regions without vertices, with their names.

        Example:
            >>> LeadField.from_vertices([[1.0, 2.0, 4.0]], [0, 0, 1]).gain.tolist()
            [[3.0, 4.0]]
        """
        gain, index = reals("gain", gain), np.asarray(getattr(region_of, "region_of", region_of))
        if index.ndim != 1 or index.dtype.kind not in "iu" or index.min(initial=0) < -1:
            raise ValueError(
                f"region_of is a whole number a vertex, -1 for none, got {index.dtype} of shape {index.shape}"
            )
        if gain.ndim == 2 and gain.shape[1] == 3 * len(index) != len(index):
            gain = gain.reshape(len(gain), -1, 3)
        if gain.ndim not in (2, 3) or gain.shape[1] != len(index):
            raise ValueError(f"region_of has {len(index)} vertices, the gain is of shape {gain.shape}")
        if normals is not None:
            normals = reals("normals", normals)
            if gain.ndim != 3 or normals.shape != (len(index), 3):
                raise ValueError(
                    f"normals of shape {normals.shape} need a free gain (sensor, {len(index)}, 3), this is {gain.shape}"
                )
            gain = np.einsum("svx,vx->sv", gain, normals)
        count = max(index.max() + 1, 0 if regions is None else len(regions))
        if regions is not None and index.max() >= len(regions):
            raise ValueError(f"a vertex is in region {index.max()}, and there are {len(regions)} names of regions")
        sizes = np.bincount(index[index >= 0], minlength=count)
        if (sizes == 0).any() and unseen != "zero":
            names = regions or [f"region {i}" for i in range(count)]
            blind = [name for name, n in zip(names, sizes, strict=True) if n == 0]
            raise ValueError(
                f"{len(blind)} regions have no vertex: {', '.join(blind[:5])}; unseen='zero' says that no sensor sees them"
            )
        total = np.zeros((count, len(gain), *gain.shape[2:]))
        np.add.at(total, index[index >= 0], np.moveaxis(gain, 1, 0)[index >= 0])
        if reduce == "mean":
            total = total / np.maximum(sizes, 1).reshape(-1, *[1] * (total.ndim - 1))
        return cls(np.moveaxis(total, 0, 1), sensors, regions, **others)

    @property
    def matrix(self) -> Float[Array, "sensor region"]:
        """The gain along the sources' orientation, whose length does not matter."""
        if self.orientation is None:
            return self.gain
        unit = self.orientation / jnp.linalg.norm(self.orientation, axis=1, keepdims=True)
        return jnp.einsum("srx,rx->sr", self.gain, unit)

    def subset(self, sensors: Sequence[str]) -> "LeadField":
        """Some sensors, in the order asked for.

        Raises:
            ValueError: for a sensor that there is not.
        """
        index = [_place(name, self.sensors, "sensor") for name in sensors]
        positions = None if self.positions is None else self.positions[jnp.array(index)]
        return LeadField(
            self.gain[jnp.array(index)],
            sensors,
            self.regions,
            orientation=self.orientation,
            positions=positions,
            unit=self.unit,
        )

    def for_regions(self, labels: Sequence[str]) -> "LeadField":
        """The regions of these names, in this order, such as a connectome's.

        Raises:
            ValueError: if the regions have no names, or for one that there is not.
        """
        if self.regions is None:
            raise ValueError("the regions of this lead field have no names: give regions= when it is made")
        index = jnp.array([_place(name, self.regions, "region") for name in labels])
        orientation = None if self.orientation is None else self.orientation[index]
        return LeadField(
            self.gain[:, index], self.sensors, labels, orientation=orientation, positions=self.positions, unit=self.unit
        )

    def __repr__(self):
        if not eqx.is_array(self.gain) or is_traced(self.gain):
            return super().__repr__()
        size = np.abs(np.asarray(self.gain))
        sensors = f"{len(self.sensors)} sensor{'s' if len(self.sensors) > 1 else ''}"
        free = "" if self.gain.ndim == 2 else ", free" if self.orientation is None else ", oriented"
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"LeadField({sensors}, {self.gain.shape[1]} regions{free}, gain {size.min():.3g} to {size.max():.3g}{unit})"
        )


def _orientation(orientation: Any, gain: Array) -> Array | None:
    if orientation is None:
        return None
    orientation = owned(reals("orientation", orientation), jnp.result_type(float))
    if gain.ndim != 3 or orientation.shape != (gain.shape[1], 3):
        raise ValueError(
            f"an orientation of shape {orientation.shape} needs a free gain (sensor, region, 3) of as many regions, "
            f"this is {gain.shape}"
        )
    if not is_traced(orientation) and not (np.linalg.norm(orientation, axis=1) > 0).all():
        raise ValueError("an orientation is zero, and points nowhere")
    return orientation


def _names(what: str, names: Sequence[str]) -> tuple[str, ...]:
    names = several(f"{what}s", names)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two {what}s are called {twice!r}")
    return names


def _place(name: str, names: tuple[str, ...], what: str) -> int:
    if name not in names:
        raise ValueError(f"this lead field has no {what} {name!r}: {closest(name, names)}")
    return names.index(name)


def read_tvb_lead_field(
    gain: File,
    sensors: File,
    region_map: File,
    regions: Sequence[str] | None = None,
    *,
    variable: str | None = None,
    normals: Any = None,
    reduce: Literal["sum", "mean"] = "sum",
    unseen: Literal["refuse", "zero"] = "refuse",
    unit: str = "",
    nonfinite: Literal["refuse", "drop"] = "refuse",
) -> LeadField:
    r"""Read a lead field of The Virtual Brain (Sanz Leon et al. 2013): a gain, its sensors, and the vertices' regions.

    Positions are taken over as mm, unless all are of length 1: those are directions, and are left out.

    Args:
        gain: file for `read_gain`.
        sensors: file for `read_sensors`, in the order of the gain's rows.
        region_map: file for `read_region_map`, in the order of the gain's columns.
        regions: names of the regions, such as a connectome's labels.
        variable: as in `read_gain`.
        normals: `(vertex, 3)`, for a gain with x, y, z of every vertex.
        reduce: 'sum': each vertex has its region's activity, as The Virtual Brain takes it. 'mean': its share of it.
        unseen: as in `gx.LeadField`.
        unit: as in `gx.LeadField`.
        nonfinite: as in `gx.LeadField`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError, TypeError: files that do not fit together, with their names, or as the readers and `gx.LeadField`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "gain.txt").write_text("1 2 4\n0 1 3\n")
        >>> _ = (folder / "eeg.txt").write_text("Fz 60 0 95\nCz -5 0 120\n")
        >>> _ = (folder / "map.txt").write_text("0 0 1")
        >>> field = read_tvb_lead_field(folder / "gain.txt", folder / "eeg.txt", folder / "map.txt", ["V1", "V2"])
        >>> field.gain.tolist()
        [[3.0, 4.0], [1.0, 3.0]]
    """
    matrix, found, index = read_gain(gain, variable), read_sensors(sensors), read_region_map(region_map)
    if len(matrix) != len(found.names):
        raise ValueError(f"{gain} has {len(matrix)} rows, and {sensors} has {len(found.names)} sensors")
    if matrix.shape[1] not in (len(index), 3 * len(index)):
        raise ValueError(
            f"{gain} has {matrix.shape[1]} columns, and {region_map} has {len(index)} vertices: one each, or three"
        )
    if regions is not None and index.max() >= len(regions):
        raise ValueError(
            f"{region_map} has a vertex in region {index.max()}, and there are {len(regions)} names of regions"
        )
    directions = np.allclose(np.linalg.norm(found.positions, axis=1), 1, rtol=0, atol=1e-3)
    return LeadField.from_vertices(
        matrix,
        index,
        found.names,
        regions,
        normals=normals,
        reduce=reduce,
        unseen=unseen,
        positions=None if directions else found.positions,
        unit=unit,
        nonfinite=nonfinite,
    )


def _named(argument: str, value: Any) -> tuple[Any, tuple[Names | None, ...]]:
    """Numbers, and the names along two axes or more, where there are any."""
    if not is_named(value):
        return reals(argument, value), (None, None)
    values, names = known_names(value, argument)
    return reals(argument, values), (*names, None, None)
