"""Stimuli: a waveform times a spatial pattern, into an input of the model."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._formats.fields import closest
from .._kinds import expect, refused
from .._pairs import at, has_digits, takes_pairs, times
from .._pictures import draw
from .._types import Parameter, is_known, is_traced
from ..parameters.declaring import Parametric, array_of, parameter, summary
from ..parameters.domains import Real
from .base import AbstractWaveform, as_waveform, grid

#: Labels that a repr names.
_FEW = 4


class AbstractStimulus(Parametric):
    """What inputs of the model receive from outside. Stimuli add with `+`, also into other inputs."""

    __array_ufunc__ = None  # numpy's own * would make an array of objects

    @property
    @abc.abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Names of the inputs that are fed."""

    @property
    def regions(self) -> tuple[str, ...] | None:
        """Labels of the regions whose values it gives, None if it gives the same to all, or in their order."""
        return None

    @abc.abstractmethod
    def __call__(self, t: Any) -> dict[str, Float[Array, "..."]]:
        """What every target receives at the time t in ms: one value, or one a region `(node,)`."""

    def resolved(self, labels: tuple[str, ...]) -> "AbstractStimulus":
        """This stimulus among nodes of these labels. A network does this when it is built."""
        return self

    def __add__(self, other: Any) -> "Stimuli":
        if not isinstance(other, AbstractStimulus):
            return NotImplemented
        return Stimuli((*_parts(self), *_parts(other)))

    def sample(self, duration: float, dt: float) -> xr.DataArray:
        """What is fed from 0 to `duration` ms, every `dt` ms: `(time, input, region)`.

        In no network yet, a stimulus that is the same everywhere has one region, called 'everywhere'.

        Example:
            >>> Stimulus(2.0, {"V1": 1.0, "V2": 0.5}, target="I").sample(duration=1.0, dt=1.0).sel(region="V2").values.tolist()
            [[1.0], [1.0]]
        """
        ms = grid(duration, dt)

        def fed(t):
            return jnp.stack(jnp.broadcast_arrays(*(jnp.atleast_1d(row) for row in at(self, t).values())))

        rows = np.asarray(jax.vmap(fed)(times(ms)))
        names = self.regions or (("everywhere",) if rows.shape[2] == 1 else range(rows.shape[2]))
        values = np.broadcast_to(rows, (*rows.shape[:2], len(names)))
        coordinates = {"time": ms, "input": list(self.targets), "region": list(names)}
        return xr.DataArray(values, coordinates, ["time", "input", "region"], name="stimulus")

    def plot(self, duration: float, dt: float | None = None, *, ax: Any = None) -> Any:
        """Draws time courses and pattern, see `gyrax.plot.stimulus`."""
        return draw("stimuli.stimulus", self, duration, dt, ax=ax)


class Stimulus(AbstractStimulus):
    """A waveform times a weight a region, into one input.

    A waveform may have one value for each region that the pattern names, in their order, such as `gx.stimuli.Recorded` with a column
    each: with its values free, a stimulus that is looked for (optimal control).

    Args:
        waveform: the time course, or a number for a constant one.
        pattern: an array of weights `(node,)`, a dict of them by label, one label or several for a weight of 1 there, or
            None for 1 everywhere. Regions that are not named get 0.
        target: the input of the model that is fed.
        labels: names of the regions that an array has weights of; left out, those of the network.
        columns: names of the regions that a waveform has values of, if it has one a region; left out, those of the pattern if they are
            as many, or those of the network.

    Raises:
        TypeError: for a waveform or pattern of another kind.
        ValueError: for a pattern that is empty, not finite, not one number a region, or names a region twice.

    Example:
        >>> import gyrax as gx
        >>> cue = gx.stimuli.Pulse(onset=100.0, duration=50.0, amplitude=0.02)
        >>> (Stimulus(cue, "V1", target="c") + Stimulus(0.001, target="c")).targets
        ('c',)
        >>> Stimulus(0.5, {"V1": 1.0, "V3": 2.0}).resolved(("V1", "V2", "V3"))(0.0)["c"].tolist()
        [0.5, 0.0, 1.0]
        >>> two = gx.stimuli.Recorded([[1.0, 2.0], [3.0, 4.0]], period=10.0, outside="hold")
        >>> Stimulus(two, ["V3", "V1"]).resolved(("V1", "V2", "V3"))(0.0)["c"].tolist()
        [2.0, 0.0, 1.0]
    """

    waveform: AbstractWaveform
    pattern: Parameter = parameter(None, domain=Real(), doc="weight of each region")
    target: str = eqx.field(default="c", static=True)
    labels: tuple[str, ...] | None = eqx.field(default=None, static=True)
    columns: tuple[str, ...] | None = eqx.field(default=None, static=True)

    def __init__(
        self,
        waveform: Any,
        pattern: Any = None,
        target: str = "c",
        labels: tuple[str, ...] | None = None,
        columns: tuple[str, ...] | None = None,
    ):
        found = as_waveform(waveform)
        if found is None:
            raise refused("waveform", waveform, "a waveform of gx.stimuli or a number", "gx.stimuli.Pulse()")
        expect("target", target, str, "the name of one input (add stimuli for several)", "'c'")
        self.waveform, self.target = found, target
        self.labels, self.pattern = _weights(pattern, labels)
        self.columns = columns if columns is None else _names_once(columns)
        for label in self.columns or ():
            if self.labels is not None and label not in self.labels:
                raise ValueError(
                    f"columns has {label!r}, which the pattern does not name: {closest(label, self.labels)}"
                )

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def regions(self) -> tuple[str, ...] | None:
        return self.labels

    @takes_pairs
    def __call__(self, t: Any) -> dict[str, Float[Array, "..."]]:
        value = at(self.waveform, t)
        if self.columns is not None and self.labels is not None:
            places = np.array([self.labels.index(label) for label in self.columns])
            value = jnp.zeros(len(self.labels), value.dtype).at[places].set(value)
        return {self.target: value if self.pattern is None else value * self.pattern}

    def resolved(self, labels: tuple[str, ...]) -> "Stimulus":
        """This stimulus with a weight for each of these regions.

        Raises:
            ValueError: for a region that is not there (the closest is suggested), or another number of weights or values.
        """
        n, pattern, columns = len(labels), self.pattern, self.columns
        shape = jax.eval_shape(self.waveform, jnp.zeros(())).shape
        if columns is None and self.labels is not None and shape == (len(self.labels),) and self.labels != labels:
            columns = self.labels
        for label in (*((self.labels or ()) if pattern is not None else ()), *(columns or ())):
            if label not in labels:
                raise ValueError(f"the stimulus is for region {label!r}: {closest(label, labels)}")
        if pattern is not None and self.labels is not None and self.labels != labels:
            places = np.array([labels.index(label) for label in self.labels])
            pattern = jnp.zeros(n, pattern.dtype).at[places].set(pattern)
        shapes = {
            "pattern": () if pattern is None else pattern.shape,
            "waveform": shape,
        }
        for what, shape in shapes.items():
            named = columns if what == "waveform" else None
            if shape not in ([(len(named),)] if named is not None else [(), (n,)]):
                of = f"({n},)" if named is None else f"that it names, ({len(named)},)"
                raise ValueError(
                    f"the stimulus of '{self.target}' has a {what} of shape {shape}: expected one value a region {of}"
                )
        return Stimulus(self.waveform, pattern, self.target, labels, columns)

    def __mul__(self, other: Any) -> "Stimulus":
        if as_waveform(other) is None:
            return NotImplemented
        return eqx.tree_at(lambda s: s.waveform, self, self.waveform * other)

    def __rmul__(self, other: Any) -> "Stimulus":
        return self.__mul__(other)

    def __repr__(self):
        if self.pattern is None:
            where = "everywhere"
        elif self.labels is not None and len(self.labels) <= _FEW and is_known(self.pattern) and self.pattern.ndim == 1:
            where = "{" + ", ".join(f"{k!r}: {v:.4g}" for k, v in zip(self.labels, self.pattern, strict=True)) + "}"
        else:
            where = summary(self.pattern)
        return f"Stimulus({self.waveform!r}, pattern={where}, target={self.target!r})"


class Stimuli(AbstractStimulus):
    """Stimuli that act side by side: what `+` makes. Those into one input add up.

    Attributes:
        parts: the stimuli.

    Example:
        >>> both = Stimulus(1.0, target="a") + Stimulus(2.0, target="b") + Stimulus(3.0, target="a")
        >>> {name: float(row) for name, row in both(0.0).items()}
        {'a': 4.0, 'b': 2.0}
    """

    parts: tuple[AbstractStimulus, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.targets))

    @property
    def regions(self) -> tuple[str, ...] | None:
        named = {part.regions for part in self.parts} - {None}
        if len(named) > 1:
            raise ValueError(
                "these stimuli name different regions: take them from a network, or resolved(labels) first"
            )
        return named.pop() if named else None

    @takes_pairs
    def __call__(self, t: Any) -> dict[str, Float[Array, "..."]]:
        rows: dict[str, Any] = {}
        for part in self.parts:
            for name, row in at(part, t).items():
                rows[name] = rows[name] + row if name in rows else row
        return rows

    def resolved(self, labels: tuple[str, ...]) -> "Stimuli":
        return Stimuli(tuple(part.resolved(labels) for part in self.parts))

    def __mul__(self, other: Any) -> "Stimuli":
        if as_waveform(other) is None:
            return NotImplemented
        return Stimuli(tuple(part * other for part in self.parts))  # pyright: ignore[reportOperatorIssue]

    def __rmul__(self, other: Any) -> "Stimuli":
        return self.__mul__(other)


def loses_digits(stimulus: Any) -> list[str]:
    """Classes of the stimuli and waveforms in it that are given late times as plain floats."""
    kinds = AbstractStimulus | AbstractWaveform
    found = jax.tree.leaves(stimulus, is_leaf=lambda x: isinstance(x, kinds) and not has_digits(x))
    return [type(x).__name__ for x in found if isinstance(x, kinds)]


_numbers = array_of("pattern")


def _parts(stimulus: AbstractStimulus) -> tuple[AbstractStimulus, ...]:
    return stimulus.parts if isinstance(stimulus, Stimuli) else (stimulus,)


def _names_once(labels: Any) -> tuple[str, ...]:
    """Labels of regions, each once."""
    if isinstance(labels, str) or not isinstance(labels, list | tuple) or not all(isinstance(x, str) for x in labels):
        raise TypeError(f"a pattern names regions by their labels, and columns= too: a list of them, got {labels!r}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"a pattern names every region once, and columns= too, got {labels!r}")
    return tuple(labels)


def _weights(pattern: Any, labels: tuple[str, ...] | None) -> tuple[tuple[str, ...] | None, Array | None]:
    """The labels that a pattern names, and its weights."""
    if pattern is None:
        return labels, None
    if isinstance(pattern, str):
        pattern = [pattern]
    if isinstance(pattern, Mapping):
        labels, weights = tuple(pattern), [_numbers(value) for value in pattern.values()]
        if any(value.shape != () for value in weights):
            raise ValueError(f"a pattern has one number a region, got {dict(pattern)!r}")
        weights = jnp.stack(weights) if weights else jnp.zeros(0)
    elif isinstance(pattern, list | tuple) and any(isinstance(label, str) for label in pattern):
        labels, weights = tuple(pattern), jnp.ones(len(pattern))
    else:
        weights = _numbers(pattern)
    labels = labels if labels is None else _names_once(labels)
    if weights.ndim != 1 or not weights.size or (labels is not None and len(labels) != weights.size):
        raise ValueError(f"a pattern has one number a region (node,), got shape {weights.shape}; None means everywhere")
    if not is_traced(weights) and not np.isfinite(weights).all():
        at = int(np.argmin(np.isfinite(weights)))
        raise ValueError(
            f"the pattern's weight of {at if labels is None else repr(labels[at])} is {float(weights[at])}"
        )
    return labels, weights
