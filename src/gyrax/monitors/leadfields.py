"""What sensors see: lead field times activity, and their noise."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from .._formats.fields import closest
from .._kinds import expect
from .._types import Channels, Sources, is_traced
from ..anatomy.leadfield import LeadField
from ..parameters.declaring import array_of
from .base import AbstractMonitor
from .sampling import averaged
from .window import Window


class _AbstractSensors(AbstractMonitor):
    """Sensors that see the activity through a lead field, each sample with its noise."""

    field: LeadField
    covariance: Float[Array, "*sensor"] | None = eqx.field(converter=array_of("covariance"))
    dims: ClassVar = ("sensor",)

    def __check_init__(self):
        expect("field", self.field, LeadField, "a lead field", "gx.LeadField(gain)")
        if self.source is not None and len(self.source) != 1:
            raise ValueError(f"{type(self).__name__} sees one state or output: source='psp'; got {self.source}")
        if self.field.gain.ndim == 3 and self.field.orientation is None:
            raise ValueError("this lead field is free: give it an orientation, or make it with normals")
        _check_covariance(self.covariance, self.field.sensors)

    @property
    def noisy(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.covariance is not None

    @property
    def stamp(self) -> float:
        assert self.period is not None
        return self.period / 2

    def channels(self, nodes: Channels) -> Channels:
        regions = self.field.regions
        if self.field.gain.shape[1] != len(nodes.labels):
            raise ValueError(
                f"the lead field is of {self.field.gain.shape[1]} regions, the network of {len(nodes.labels)}"
            )
        if regions is not None and regions != nodes.labels:
            i = next(i for i, (a, b) in enumerate(zip(regions, nodes.labels, strict=True)) if a != b)
            raise ValueError(
                f"{nodes.dim} {i} is {regions[i]!r} in the lead field and {nodes.labels[i]!r} in the network: "
                "field.for_regions(connectome.labels) puts them in order"
            )
        return Channels("sensor", self.field.sensors)

    def init(self, x: Sources) -> Array:
        if len(x) != 1:
            raise ValueError(
                f"{type(self).__name__} sees one state or output, not {len(x)}: name one, such as source='psp'"
            )
        return Window.nothing(x)

    def update(self, state: Array, window: Window):
        state, means = window.averages(state)
        seen = self.referenced(jnp.einsum("sr,kr->ks", self.field.matrix, means[:, 0]))
        if self.covariance is None:
            return state, seen
        normals = window.normals(len(self.field.sensors))
        if self.covariance.ndim < 2:
            return state, seen + jnp.sqrt(self.covariance) * normals
        return state, seen + normals @ jnp.linalg.cholesky(self.covariance).T

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        return averaged(omega, self.period)

    def spatial(self) -> Float[Array, "channel node"]:
        return self.referenced(self.field.matrix.T).T

    @abc.abstractmethod
    def referenced(self, seen: Float[Array, "sample sensor"]) -> Float[Array, "sample sensor"]:
        """What is recorded of what the sensors see."""


class MEG(_AbstractSensors):
    """Magnetoencephalography: a lead field times the activity, averaged over `period` ms: samples `(sensor,)`, mid-window.

    Args:
        field: a `gx.LeadField` of the network's regions (or of a surface's vertices), in their order.
        source: one state or output, such as the `psp` of Jansen-Rit.
        period: ms between samples.
        covariance: of noise that is added to each sample: `(sensor, sensor)`, variances `(sensor,)`, or one variance; in the
            square of the field's unit times the source's. None for no noise.

    Raises:
        ValueError: for a gain that is still free, a covariance of another shape or not positive definite, not exactly one
            source, or (in a run) regions that are not the network's.

    Example:
        >>> import gyrax as gx
        >>> field = gx.LeadField([[1.0, 0.0], [0.5, 0.5]], sensors=["A", "B"])
        >>> MEG(field, source="psp", period=1.0)
        MEG(source=('psp',), period=1.0, field=LeadField(2 sensors, 2 regions, gain 0 to 1))
    """

    def __init__(self, field: LeadField, *, source: Any = None, period: float, covariance: Any = None):
        self.field, self.source, self.period = field, source, period
        self.covariance = covariance

    def referenced(self, seen: Float[Array, "sample sensor"]) -> Float[Array, "sample sensor"]:
        """What is recorded of what the sensors see."""
        return seen


class SEEG(_AbstractSensors):
    """Depth electrodes (sEEG, iEEG): as `MEG`, with the gain of contacts within the brain, each against a distant reference.

    Example:
        >>> import gyrax as gx
        >>> SEEG(gx.LeadField([[1.0, 0.1]], sensors=["TP1"]), source="psp", period=1.0).dims
        ('sensor',)
    """

    def __init__(self, field: LeadField, *, source: Any = None, period: float, covariance: Any = None):
        self.field, self.source, self.period = field, source, period
        self.covariance = covariance

    def referenced(self, seen: Float[Array, "sample sensor"]) -> Float[Array, "sample sensor"]:
        return seen


class EEG(_AbstractSensors):
    """Electroencephalography: as `MEG`, and against a reference. Noise comes on top: its covariance is that of the recording.

    Args:
        field: as in `MEG`.
        source: as in `MEG`.
        period: as in `MEG`.
        reference: 'average' of all electrodes, the name of one, or None for what the lead field's own is.
        covariance: as in `MEG`.

    Raises:
        ValueError: as `MEG`, or for a reference that is no electrode.

    Example:
        >>> import gyrax as gx
        >>> EEG(gx.LeadField([[1.0], [3.0]], sensors=["Fz", "Cz"]), source="psp", period=1.0, reference="Cz").reference
        'Cz'
    """

    reference: str | None = eqx.field(static=True)

    def __init__(
        self,
        field: LeadField,
        *,
        source: Any = None,
        period: float,
        reference: str | None = "average",
        covariance: Any = None,
    ):
        self.field, self.source, self.period = field, source, period
        self.covariance, self.reference = covariance, reference

    def __check_init__(self):
        if not isinstance(self.field, LeadField):
            return  # said above
        expect("reference", self.reference, (str, None), "'average', None or the name of an electrode", "'average'")
        if self.reference not in (None, "average", *self.field.sensors):
            raise ValueError(
                f"the reference is 'average', None or an electrode, not {self.reference!r}: "
                f"{closest(self.reference, self.field.sensors)}"
            )

    def referenced(self, seen: Float[Array, "sample sensor"]) -> Float[Array, "sample sensor"]:
        if self.reference is None:
            return seen
        if self.reference == "average":
            return seen - seen.mean(1, keepdims=True)
        return seen - seen[:, self.field.sensors.index(self.reference), None]


def _check_covariance(covariance: Array | None, sensors: tuple[str, ...]) -> None:
    if covariance is None:
        return
    n = len(sensors)
    if covariance.shape not in ((), (n,), (n, n)):
        raise ValueError(f"the covariance of {n} sensors is (), ({n},) or ({n}, {n}), got shape {covariance.shape}")
    if is_traced(covariance):
        return
    values = np.asarray(covariance, float)
    if values.ndim < 2:
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"a variance is finite and not negative; covariance= has {values.min()}")
        return
    if not np.allclose(values, values.T, rtol=1e-5, atol=1e-6 * np.abs(values).max()):
        i, j = np.unravel_index(np.argmax(np.abs(values - values.T)), values.shape)
        raise ValueError(f"the covariance is not symmetric: {sensors[i]} and {sensors[j]}")
    lowest = np.linalg.eigvalsh(values)[0]
    if not lowest > 0:
        raise ValueError(f"the covariance is not positive definite: its lowest eigenvalue is {lowest:.3g}")
