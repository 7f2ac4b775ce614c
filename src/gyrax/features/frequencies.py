"""What has one entry a frequency: spectra of channels and of pairs of channels."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Inexact

from .._kinds import names as several
from .._kinds import reals
from .._types import has_shape, is_known, is_traced, owned
from ..labelled import MaybeLabelled, check_same, known_names, with_names
from ..recordings.recording import Recording


def _array(values: Any) -> Any:
    # Known frequencies stay NumPy: they are then known inside jit too, where bands can be checked.
    return values if is_traced(values) else reals("frequencies", values).astype(jnp.result_type(float))


def _kept(values: Any) -> Array:
    """In the precision of this session; what is known stays so, where a spectrum is made inside jit."""
    if is_traced(*jax.tree.leaves(values)):
        return owned(values, jnp.result_type(float))
    with jax.ensure_compile_time_eval():
        return owned(values, jnp.result_type(float))


def _with_labels(argument: str, values: Any, labels: Any) -> tuple[Any, tuple[str, ...]]:
    """Plain values, and the names of their channels: those given and those along the last axis, which have to be the same."""
    values, names = known_names(values, argument)
    own, given = names[-1] if names else None, several("labels", labels) or None
    check_same(given, own, "labels", "the values")
    return values, given or own or ()


class _OverFrequency(eqx.Module):
    """What has one entry a frequency."""

    frequencies: Float[Array | np.ndarray, " frequency"] = eqx.field(converter=_array)

    def _check(self, values: Any, channels: int, labels: tuple[str, ...]) -> None:
        if self.frequencies.ndim != 1 or values.shape != (len(self.frequencies),) + values.shape[-1:] * channels:
            expected = ", ".join(("frequency",) + ("channel",) * channels)
            raise ValueError(
                f"expected values (or power) ({expected}) at {self.frequencies.shape} frequencies, got shape {values.shape}"
            )
        if labels and len(labels) != values.shape[-1]:
            raise ValueError(f"{len(labels)} labels for {values.shape[-1]} channels")
        if not is_traced(self.frequencies) and not (
            (np.diff(self.frequencies) > 0).all() and (self.frequencies >= 0).all()
        ):
            raise ValueError("frequencies are Hz, from low to high, none negative")

    def _labelled(self, values: Array, names: tuple[str, ...], labels: tuple[str, ...], name: str) -> xr.DataArray:
        runs = values.ndim - len(names) - 1
        dims = (*(f"run_{i}" if i else "run" for i in range(runs)), "frequency", *names)
        frequencies = np.asarray(self.frequencies).reshape(-1, self.frequencies.shape[-1])[0]
        coords: dict[str, Any] = {"frequency": ("frequency", frequencies, {"units": "Hz"})}
        if labels:
            coords |= {axis: list(labels) for axis in names}
        return xr.DataArray(np.asarray(values), dims=dims, coords=coords, name=name)

    def _described(self, values: Any) -> str:
        if not has_shape(self.frequencies, values):
            return super().__repr__()
        f, channels = self.frequencies, values.shape[-1]
        what = f"{f.shape[-1]} frequencies"
        if is_known(f) and f.size:
            what += f" from {np.min(f):g} to {np.max(f):g} Hz"
        return f"{type(self).__name__}({what}, {channels} channel{'s' * (channels != 1)})"

    def _in(self, low: float | None, high: float | None) -> Bool[Array | np.ndarray, " frequency"]:
        """Which frequencies lie in a band, its ends included; by default all above zero."""
        f = self.frequencies
        if not 0 <= (low or 0.0) < (np.inf if high is None else high):
            raise ValueError(f"a band goes from low to high Hz, neither negative; got {low} to {high}")
        # 8 Hz is in the band even if it is stored as 7.9999999.
        inside = f > 0 if low is None else f >= low * (1 - 1e-6)
        if high is not None:
            inside = inside & (f <= high * (1 + 1e-6))
        if is_traced(f):
            return inside
        known = np.asarray(f)
        lowest, highest = known[known > 0].min(initial=np.inf), known.max(initial=0.0)
        if high is not None and high > highest * (1 + 1e-6):
            raise ValueError(f"a band up to {high:g} Hz goes beyond {highest:g} Hz, the highest frequency here")
        if low is not None and 0 < low < lowest * (1 - 1e-6):
            raise ValueError(
                f"a band from {low:g} Hz begins below {lowest:g} Hz, the lowest frequency resolved here: "
                f"take segments of at least {1000 / low:g} ms"
            )
        if np.sum(inside) < 2:
            band = f"{lowest if low is None else low:g} to {highest if high is None else high:g} Hz"
            raise ValueError(
                f"two frequencies or more must lie in the band of {band}, and {np.sum(inside)} does: "
                "take longer segments, or a wider band"
            )
        return inside


class Spectrum(_OverFrequency):
    """Power spectral density of every channel.

    Attributes:
        frequencies: Hz, `(frequency,)`.
        power: one-sided density, squared units of the signal a Hz, `(frequency, channel)`.
        labels: names of the channels; empty if not known.

    Raises:
        ValueError: for shapes that do not fit, or frequencies that do not rise.

    Example:
        >>> Spectrum(frequencies=[0.0, 2.0, 4.0], power=jnp.ones((3, 2)))
        Spectrum(3 frequencies from 0 to 4 Hz, 2 channels)
    """

    power: Float[Array, "frequency channel"] = eqx.field(converter=_kept)
    labels: tuple[str, ...] = eqx.field(static=True, default=())

    def __init__(self, frequencies: Any, power: Any, labels: tuple[str, ...] = ()):
        self.frequencies = frequencies
        self.power, self.labels = _with_labels("power", power, labels)

    def __check_init__(self):
        self._check(self.power, 1, self.labels)

    @classmethod
    def of(cls, recording: Recording) -> "Spectrum":
        """What `monitors.PSD` recorded: the mean over its samples.

        Raises:
            ValueError: for another recording.

        Example:
            >>> import gyrax as gx
            >>> net = gx.Network(gx.models.Hopf(), gx.couplings.Linear(source="x", target="c_x"), gx.Connectome([[0.0]]))
            >>> run = gx.simulate(net, 64.0, 1.0, monitors=gx.monitors.PSD(16.0, source="x", period=32.0), start=[[0.1], [0]])
            >>> Spectrum.of(run["monitor"])
            Spectrum(9 frequencies from 0 to 500 Hz, 1 channel)
        """
        frequencies = dict(recording.axes).get("frequency")
        if frequencies is None or recording.dims[:2] != ("time", "frequency"):
            raise ValueError(f"expected what monitors.PSD recorded, (time, frequency, region), got {recording.dims}")
        return cls(frequencies, recording.values.mean(0), recording.labels)

    def to_xarray(self) -> xr.DataArray:
        """A labelled array `(frequency, channel)`; axes in front (from `vmap`) are called run, run_1, ..."""
        return self._labelled(self.power, ("channel",), self.labels, "power")

    def __repr__(self):
        return self._described(self.power)


class Connectivity(_OverFrequency):
    """One value a pair of channels and frequency.

    Attributes:
        frequencies: Hz, `(frequency,)`.
        values: `(frequency, channel, channel)`, complex for cross-spectra.
        labels: names of the channels; empty if not known.

    Raises:
        ValueError: for shapes that do not fit, or frequencies that do not rise.

    Example:
        >>> pairs = Connectivity(frequencies=[0.0, 2.0, 4.0], values=jnp.ones((3, 2, 2)), labels=("A", "B"))
        >>> pairs.band(2.0, 4.0).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """

    values: Inexact[Array, "frequency channel channel"] = eqx.field(converter=owned)
    labels: tuple[str, ...] = eqx.field(static=True, default=())

    def __init__(self, frequencies: Any, values: Any, labels: tuple[str, ...] = ()):
        self.frequencies = frequencies
        self.values, self.labels = _with_labels("values", values, labels)

    def __check_init__(self):
        self._check(self.values, 2, self.labels)

    def band(self, low: float, high: float) -> Inexact[MaybeLabelled, "channel channel"]:
        """Mean over the frequencies of a band (Hz), its ends included.

        Raises:
            ValueError: for a band that is not resolved.
        """
        inside = self._in(low, high)
        mean = jnp.where(inside[:, None, None], self.values, 0).sum(0) / inside.sum()
        return with_names(mean, self.labels, self.labels)

    def to_xarray(self) -> xr.DataArray:
        """A labelled array `(frequency, channel, other)`; axes in front (from `vmap`) are called run, run_1, ..."""
        return self._labelled(self.values, ("channel", "other"), self.labels, "connectivity")

    def __repr__(self):
        return self._described(self.values)
