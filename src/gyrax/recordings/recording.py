"""What a run leaves behind: labelled samples, where it ended, and whether it stayed finite."""

import math
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from .._types import has_shape, owned
from ..labelled import places


class Recording(eqx.Module):
    """The samples of one monitor.

    Attributes:
        values: `(time, ...)`.
        first: step at whose end the first sample lies.
        period: ms between samples.
        dt: ms a step.
        stamp: ms before its end that a sample is stamped.
        dims: names of the axes.
        source: names of the states, outputs or inputs recorded.
        labels: names of the regions, vertices or sensors.
        channel: which of these they are: the axis that they lie along. In matrices they also lie along the axis 'other', in those of connections, whose channel is 'target', along 'source'.
        axes: coordinates of other axes, such as frequencies, by name.
    """

    values: Float[Array, "time ..."] = eqx.field(converter=lambda x: owned(x) if isinstance(x, np.ndarray) else x)
    first: Int[Array, ""]
    period: float = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    stamp: float = eqx.field(static=True)
    dims: tuple[str, ...] = eqx.field(static=True)
    source: tuple[str, ...] = eqx.field(static=True)
    labels: tuple[str, ...] = eqx.field(static=True)
    channel: str = eqx.field(static=True, default="region")
    axes: tuple[tuple[str, tuple], ...] = eqx.field(static=True, default=())

    @property
    def _axes(self) -> tuple[str, ...]:
        """Names of the axes of the values, those of `vmap` included."""
        extra = max(self.values.ndim - len(self.dims), 0)
        return tuple(f"run_{i}" if i else "run" for i in range(extra)) + self.dims[: self.values.ndim - extra]

    @property
    def times(self) -> np.ndarray:
        """Time of every sample in ms since the first run began, in float64 (not to be had inside jit)."""
        samples = np.arange(self.values.shape[self._axes.index("time")])
        return int(np.ravel(self.first)[0]) * self.dt + samples * self.period - self.stamp

    def after(self, duration: float) -> "Recording":
        """The recording without its first `duration` ms, such as the transient of a run.

        Args:
            duration: ms, a multiple of the period.

        Raises:
            ValueError: for another duration, or one after which nothing is left.

        Example:
            >>> import gyrax as gx
            >>> data = gx.datasets.load("dk84")
            >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome)
            >>> gx.simulate(net, duration=5.0, dt=1.0)["raw"].after(3.0).times.tolist()
            [4.0, 5.0]
        """
        samples, axis = round(duration / self.period), self._axes.index("time")
        there = self.values.shape[axis]
        if samples < 0 or abs(samples * self.period - duration) > 1e-6 * self.period:
            near = max(0, math.floor(duration / self.period)) * self.period
            raise ValueError(
                f"{duration} ms is no multiple of the period of {self.period:g} ms: take {near:g} or {near + self.period:g} ms"
            )
        if samples >= there:
            raise ValueError(f"nothing is left after {duration:g} ms: the recording is {there * self.period:g} ms long")
        values = jax.lax.slice_in_dim(self.values, samples, there, axis=axis)
        later = self.first + samples * round(self.period / self.dt)
        return eqx.tree_at(lambda r: (r.values, r.first), self, (values, later))  # `replace` would refuse those of vmap

    def for_regions(self, regions: Iterable[str]) -> "Recording":
        """The recording of these regions (or sensors) in this order.

        Raises:
            ValueError: naming regions that are missing here or asked for twice.

        Example:
            >>> import gyrax as gx
            >>> net = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), gx.Connectome([[0, 1], [1, 0]], labels=["A", "B"]))
            >>> gx.simulate(net, duration=5.0, dt=1.0, start=[[0.1, 0.2], [0.0, 0.0]])["raw"].for_regions(["B"]).values[0, 0].shape
            (1,)
        """
        if self.channel not in self.dims:
            raise ValueError(f"this recording has no axis of regions, but {self.dims}")
        index, values = np.asarray(places(regions, self.labels)), self.values
        for axis, dim in enumerate(self._axes):
            if dim in (self.channel, "other", "source"):
                values = jnp.take(values, index, axis=axis)
        chosen = tuple(self.labels[i] for i in index)
        # With `replace` of dataclasses the checks of annotations would refuse the axes of vmap.
        arranged = eqx.tree_at(lambda r: r.values, self, values)
        object.__setattr__(arranged, "labels", chosen)
        return arranged

    def to_xarray(self) -> xr.DataArray:
        """A labelled array with times in ms; axes in front of time (from `vmap`) are called run, run_1, ...

        Example:
            >>> import gyrax as gx
            >>> data = gx.datasets.load("dk84")
            >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome)
            >>> gx.simulate(net, duration=5.0, dt=1.0)["raw"].to_xarray().sizes["region"]
            84
        """
        values, dims = np.asarray(self.values), self._axes
        coords: dict[str, Any] = {"time": ("time", self.times, {"units": "ms"})}
        for name, entries in (
            ("state", self.source),
            (self.channel, self.labels),
            ("other", self.labels),
            ("source", self.labels),
            *self.axes,
        ):
            if name in dims and values.shape[dims.index(name)] == len(entries):
                coords[name] = list(entries)
        return xr.DataArray(values, dims=dims, coords=coords, attrs={"period_ms": self.period, "dt_ms": self.dt})

    def __repr__(self):
        if not has_shape(self.values):
            return super().__repr__()
        shape = ", ".join(f"{d}: {s}" for d, s in zip(self._axes, self.values.shape, strict=True))
        return f"Recording({shape}; {', '.join(self.source)} every {self.period:g} ms)"
