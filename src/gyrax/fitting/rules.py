"""Rules that tune a network while it runs: feedback inhibition, the balance of excitation and inhibition, or your own."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._kinds import expect, reals, whole
from .._types import Parameter, owned
from ..anatomy.sparse import Sparse
from ..features.connectivity import fc
from ..features.labelled import labelled
from ..labelled import check_same
from ..losses.matrices import entries_that_count
from ..monitors import AbstractMonitor, TemporalAverage
from ..network.network import Network
from ..parameters.addresses import get, replace
from ..parameters.declaring import Parametric, parameter
from ..parameters.domains import Interval, Positive
from ..recordings.recording import Recording

#: Fewest entries of a target, each pair of regions twice.
_FEWEST = 6


class AbstractRule(Parametric):
    """What changes a network after every piece of a run, by what was recorded in it. Subclass it with a rule of your own.

    Example:
        >>> import gyrax as gx
        >>> class Homeostasis(gx.AbstractRule):
        ...     "Lowers the external input of regions that are too active."
        ...     def monitors(self, period):
        ...         return {"mean": gx.monitors.TemporalAverage(source="S", period=period)}
        ...     def update(self, network, state, recordings):
        ...         mean = recordings["mean"].values[-1, 0]
        ...         new = network.model.I_o - 0.01 * (mean - 0.2)
        ...         return eqx.tree_at(lambda n: n.model.I_o, network, new), state, {"mean": mean.mean()}
        >>> data = gx.datasets.load("dk84")
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome.normalised("max"))
        >>> net = gx.per_region(net, "model.I_o")
        >>> result = gx.tune(net, [Homeostasis()], steps=3, period=100.0, dt=5.0, progress=False)
        >>> result.history["Homeostasis.mean"].shape
        (3,)
    """

    @abc.abstractmethod
    def monitors(self, period: float) -> dict[str, AbstractMonitor]:
        """What to record in every piece of `period` ms, by names of the rule's own."""

    def init(self, network: Network) -> Any:
        """What the rule remembers from piece to piece, a tree of arrays; the place to refuse networks that it does not fit."""
        return None

    @abc.abstractmethod
    def update(
        self, network: Network, state: Any, recordings: dict[str, Recording]
    ) -> tuple[Network, Any, dict[str, Any]]:
        """The network and what is remembered after a piece, and named scalars for the history. It is compiled.

        Args:
            network: as it was during the piece.
            state: what is remembered.
            recordings: of the piece, by the names of `monitors`.
        """


class FIC(AbstractRule):
    r"""Feedback inhibition control: every region's inhibition is drawn to where its excitation has a target level.

    After each piece, with means over it, $\Delta J_i = \eta \langle S_i \rangle (\langle S_e \rangle - \rho)$, and no J_i below
    zero: the inhibitory plasticity of Vogels et al. (2011), Science 334, as Schirner et al. (2023), Nat. Commun. 14, use it.
    Target of Schirner et al.; their rate is that of `gx.EIB`'s company, alone 0.5 is faster.

    History: 'activity', the mean of all regions' excitation; 'departure', the root mean square of its distance to the target.

    Args:
        excitation: the state (or output) that is to reach the target.
        inhibition: the state (or output) whose effect the leaf scales.
        leaf: dotted path of the inhibitory weights, one a region.
        target: level of excitation, one or one a region.
        rate: eta.

    Example:
        >>> FIC(rate=0.5)
        FIC(excitation='S_e', inhibition='S_i', leaf='model.J_i', target=0.25, rate=0.5)
    """

    excitation: str = eqx.field(default="S_e", static=True)
    inhibition: str = eqx.field(default="S_i", static=True)
    leaf: str = eqx.field(default="model.J_i", static=True)
    target: Parameter = parameter(0.25, domain=Interval(0.0, 1.0), doc="level of excitation")
    rate: Parameter = parameter(0.1, domain=Positive(), doc="learning rate eta")

    def monitors(self, period: float) -> dict[str, AbstractMonitor]:
        return {"mean": TemporalAverage(source=(self.excitation, self.inhibition), period=period)}

    def init(self, network: Network) -> None:
        n, value = network.n_nodes, get(network, self.leaf)
        if value.shape != (n,):
            raise ValueError(
                f"FIC tunes one value of {self.leaf} a region, shape ({n},); it has shape {value.shape}: "
                f"gx.per_region(network, '{self.leaf}') makes it so"
            )
        if self.target.shape not in ((), (n,)):
            raise ValueError(
                f"FIC's target has shape {self.target.shape}: expected one value () or one a region ({n},)"
            )

    def update(self, network: Network, state: None, recordings: dict[str, Recording]):
        excitation, inhibition = recordings["mean"].values[-1]
        departure = excitation - self.target
        weights = jnp.maximum(get(network, self.leaf) + self.rate * inhibition * departure, 0.0)
        found = {"activity": excitation.mean(), "departure": jnp.sqrt(jnp.mean(departure**2))}
        return replace(network, {self.leaf: weights}), state, found


class EIB(AbstractRule):
    r"""Excitation-inhibition balance: long-range weights learn a functional connectivity, Schirner et al. (2023), "Learning
    how network structure shapes decision-making for bio-inspired computing", Nat. Commun. 14.

    After each piece, with the functional connectivity of a sliding window of BOLD samples,

    $$\Delta w^{LRE}_{ij} = \eta\, C_{ij}\, e_i\, (FC^{target}_{ij} - FC_{ij}), \quad
    \Delta w^{FFI}_{ij} = -\Delta w^{LRE}_{ij}$$

    where $e_i$ is the root mean square of region i's differences and C the connectome's weights: no weight falls below zero, and
    where the connectome has none there never is one. The rate grows from zero to $\eta$ over the first `ramp` pieces. Until the
    window is full nothing changes. Meant to act together with `FIC`, which keeps regions at their working point meanwhile.

    History: 'r' and 'rmse' of the window's connectivity with the target off the diagonal; NaN until the window is full.

    Args:
        target: functional connectivity `(region, region)`, as an array or a table with labels.
        monitor: what makes the samples, such as `gx.monitors.HRFBold(source="S_e", period=720.0)`.
        window: samples.
        ramp: pieces over which the rate grows; 0 for none.
        excitation: dotted path of the long-range excitatory weights, `(target, source)`.
        inhibition: dotted path of the feed-forward inhibitory weights; None if there are none.
        rate: eta.
        where: True for the regions that the target has, or for its entries, as in losses; all, if left out. Others pull at nothing.

    Raises:
        ValueError: for a target that is no square matrix of correlations, a window too short, or a negative ramp; at the start
            of tuning for one that does not fit the network, or weights that are not the coupling's own.

    Example:
        >>> import gyrax as gx
        >>> EIB(gx.datasets.load("dk84").fc, monitor=gx.monitors.HRFBold(source="S_e", period=720.0)).window
        150
    """

    target: Float[Array, "region region"]
    counts: Bool[Array, "region region"]
    labels: tuple[str, ...] | None = eqx.field(static=True)
    monitor: AbstractMonitor
    window: int = eqx.field(static=True)
    ramp: int = eqx.field(static=True)
    excitation: str = eqx.field(static=True)
    inhibition: str | None = eqx.field(static=True)
    rate: Parameter = parameter(0.005, domain=Positive(), doc="learning rate eta")

    def __init__(
        self,
        target: Any,
        *,
        monitor: AbstractMonitor,
        window: int = 150,
        ramp: int = 2000,
        excitation: str = "coupling.lre.weights",
        inhibition: str | None = "coupling.ffi.weights",
        rate: Any = 0.005,
        where: Any = None,
    ):
        self.target, self.counts, self.labels = _connectivity(target, where)
        self.monitor, self.window, self.ramp, self.rate = monitor, window, ramp, rate
        self.excitation, self.inhibition = excitation, inhibition
        if whole("window", window, 0) < 2:
            raise ValueError(f"a window of {window} samples has no correlations: take many more, such as 150")
        whole("ramp", ramp, 0)
        expect("monitor", monitor, AbstractMonitor, "a monitor", 'gx.monitors.HRFBold(source="S_e", period=720.0)')

    def monitors(self, period: float) -> dict[str, AbstractMonitor]:
        return {"bold": self.monitor}

    def init(self, network: Network) -> tuple[Array, Array, Array]:
        n = network.n_regions
        if self.target.shape != (n, n):
            raise ValueError(f"EIB's target has shape {self.target.shape}, the network {n} regions: expected {(n, n)}")
        check_same(self.labels, network.labels, "EIB's target", "the network")
        for path in self._paths:
            _own_weights(network, path)
        shape = (self.window, n)
        zero = jnp.zeros((), jnp.int32)
        return jnp.zeros(shape, jnp.result_type(float)), zero, zero  # the window, samples and pieces so far

    def update(self, network: Network, state: tuple[Array, Array, Array], recordings: dict[str, Recording]):
        window, samples, pieces = state
        new = recordings["bold"].values
        new = new[:, 0] if new.ndim == 3 and new.shape[1] == 1 else new
        if new.shape[1:] != window.shape[1:]:
            raise ValueError(f"EIB's monitor gives samples of shape {new.shape[1:]}, expected one value a region")
        new = new[-self.window :]
        window = jnp.concatenate([window[len(new) :], new])
        samples, pieces = jnp.minimum(samples + len(new), self.window), pieces + 1
        full = samples == self.window
        found = fc(window)
        difference = jnp.where(self.counts, self.target - found, 0.0)
        heard = jnp.maximum(self.counts.sum(1, keepdims=True), 1)
        error = jnp.sqrt((difference**2).sum(1, keepdims=True) / heard)
        rate = jnp.minimum(self.rate * pieces / self.ramp, self.rate) if self.ramp else self.rate
        change = jnp.where(full, rate * error * difference, 0.0) * network.connectome.weights
        for path, sign in zip(self._paths, (1, -1), strict=False):
            network = replace(network, {path: jnp.maximum(get(network, path) + sign * change, 0.0)})
        history = {"r": self._agreement(found), "rmse": jnp.sqrt((difference**2).sum() / self.counts.sum())}
        return network, (window, samples, pieces), {k: jnp.where(full, v, jnp.nan) for k, v in history.items()}

    def _agreement(self, found: Float[Array, "region region"]) -> Float[Array, ""]:
        """Correlation with the target over the entries that count, which no index could choose while it runs."""
        share = self.counts / self.counts.sum()
        one, two = (jnp.where(self.counts, x - (x * share).sum(), 0.0) for x in (found, self.target))
        return (one * two).sum() / jnp.sqrt((one**2).sum() * (two**2).sum())

    @property
    def _paths(self) -> tuple[str, ...]:
        return (self.excitation,) if self.inhibition is None else (self.excitation, self.inhibition)


def _own_weights(network: Network, path: str) -> None:
    """Refuses a path that leads to no matrix of a coupling's own."""
    for name, coupling in network.couplings.items():
        where = "coupling" if coupling is network.coupling else f"coupling.{name}"
        if path == f"{where}.weights" and not isinstance(coupling.weights, jax.Array):
            kind = "gx.Sparse weights" if isinstance(coupling.weights, Sparse) else "the connectome's weights"
            raise ValueError(
                f"EIB tunes {path}, but the coupling acts over {kind}: give it a matrix of its own, such as "
                "weights=connectome.weights"
            )
    weights = get(network, path)
    if weights.shape != (network.n_regions,) * 2:
        raise ValueError(f"EIB tunes matrices (target, source), but {path} has shape {weights.shape}")
    if (np.asarray(weights) < 0).any():
        raise ValueError(f"EIB keeps weights at zero or more, but {path} has negative ones")


def _connectivity(x: Any, where: Any) -> tuple[Array, Array, tuple[str, ...] | None]:
    """A matrix of correlations, which of its entries count, and the names of its regions."""
    found = labelled(x, "target")
    values = np.asarray(reals("target", found.values), float)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"EIB's target is a matrix (region, region), got shape {values.shape}")
    check_same(found.names[0], found.names[1], "the rows of EIB's target", "its columns")
    counts = ~np.eye(len(values), dtype=bool) & entries_that_count(where, values.shape, {"EIB's target": found.names})
    off = values[counts]
    if not (np.abs(off) <= 1).all():
        raise ValueError(f"EIB's target has entries that are no correlations, such as {off[~(np.abs(off) <= 1)][0]:g}")
    if counts.sum() < _FEWEST:
        raise ValueError(
            f"where= leaves {int(counts.sum())} entries of EIB's target: a correlation needs three pairs of regions"
        )
    # what is missing must not be NaN, which no weight of zero takes out of a sum
    kept = owned(np.where(np.isfinite(values), values, 0.0), jnp.result_type(float))
    names = found.names[0] if where is None else found.names[0] or labelled(where, "where").names[0]
    return kept, jnp.asarray(counts), names
