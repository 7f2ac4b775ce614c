"""What a run needs, resolved once: what every coupling acts over and how long it takes, what every monitor hears and when."""

import dataclasses
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from .._steps import whole_steps
from .._types import Channels, Matrix
from ..anatomy import Connectome, Sparse
from ..anatomy.sparse import few_of
from ..couplings import AbstractPairCoupling
from ..delays import AbstractDelay
from ..monitors import AbstractMonitor
from ..network import Network
from ..network.afferent import prepared
from ..network.living import full_names
from ..network.pairs import Messages, check_edges, of_connections
from .carry import Parts
from .lengths import Sampling
from .reads import Lags

#: Share of all pairs below which weights that act at once are summed as lists, not as a matrix.
_FEW = 0.03


class Wire(eqx.Module):
    """What a coupling acts over in a network, and how long it takes.

    Attributes:
        weights: its own or the connectome's; zero beyond its groups of regions.
        delay: its own or the network's; None if it acts at once.
        connectome: whose tract lengths it takes.
    """

    weights: Matrix | Sparse
    delay: AbstractDelay | None
    connectome: Connectome

    @classmethod
    def of(cls, network: Network, name: str) -> "Wire":
        """A coupling's wire, after a check that its delays lie within their bounds."""
        coupling = network.couplings[name]
        weights: Any = network.weights(coupling)
        if isinstance(coupling, AbstractPairCoupling):
            weights = check_edges(coupling, name, weights, network.labels)
        delay, connectome = network.delay_of(coupling), network.wiring(coupling)
        return cls(weights if delay is None else delay.check(connectome, weights), delay, connectome)


@dataclasses.dataclass(frozen=True)
class Ear:
    """What a monitor hears in a run, and how often.

    Attributes:
        name: the monitor's.
        source: names of the states, outputs or inputs it reads.
        channels: what lies along the last axis of its samples.
        kind: what a run that goes on must find unchanged.
        period: steps from one sample to the next.
        stride: steps of one of its strides.
        cycles: the periods, in steps, whose ends none of its updates may straddle.
    """

    name: str
    source: tuple[str, ...]
    channels: Channels
    kind: str
    period: int
    stride: int
    cycles: tuple[int, ...]

    @classmethod
    def of(cls, network: Network, name: str, monitor: AbstractMonitor, dt: float) -> "Ear":
        """A monitor's ear.

        Raises:
            ValueError: if it reads what the model does not have, does not fit the network, or samples between steps.
        """
        source = monitor.source or (network.model.inputs if monitor.afferent else network.model.states)
        _check_source(name, monitor, network)
        try:
            channels = monitor.channels(network.channels(source))
        except ValueError as error:
            raise ValueError(f"monitor '{name}' does not fit the network: {error}") from error
        period = 1 if monitor.period is None else whole_steps(monitor.period, dt, f"the period of '{name}'")
        every = "" if monitor.period is None else f" every {monitor.period:g} ms"
        kind = f"{monitor.kind} of {', '.join(source)}{every}"
        return cls(name, source, channels, kind, period, monitor.stride(dt, period), monitor.cycles(dt, period))


def _bound(network: Network, name: str, monitor: AbstractMonitor) -> AbstractMonitor:
    """A monitor with what it needs to know of the network."""
    try:
        return monitor.of(network)
    except ValueError as error:
        raise ValueError(f"monitor '{name}': {error}") from error


def _check_source(name: str, monitor: AbstractMonitor, network: Network) -> None:
    model = network.model
    if monitor.of_connections:
        return  # looked up as it was bound
    known = *model.states, *model.outputs, *network.source_states
    there = f"the states {model.states} and the outputs {model.outputs}"
    if network.source_states:
        there += f", and its couplings {network.source_states}"
    if monitor.afferent:
        known, there = model.inputs + model.fed, f"the inputs {model.inputs}"
        if not model.inputs:
            raise ValueError(f"monitor '{name}' reads inputs, but {type(model).__name__} has none")
    connections = [full for full in full_names(network) if full not in network.source_states]
    for source in monitor.source or ():
        if source not in known:
            between = f"; gx.monitors.Connections records {', '.join(connections)}" if connections else ""
            raise ValueError(f"monitor '{name}' reads '{source}', but {type(model).__name__} has {there}{between}")


class Setup(eqx.Module):
    """A run as it was asked for, with all names looked up.

    Attributes:
        network: with all it consists of.
        monitors: by name.
        solver: of the steps.
        controller: of the steps between the grid's, None for steps of dt.
        wires: by coupling.
        listening: an ear for each monitor, in their order.
        dt: ms a step.
    """

    network: Network
    monitors: dict[str, AbstractMonitor]
    solver: dfx.AbstractSolver
    controller: dfx.AbstractStepSizeController | None
    wires: dict[str, Wire]
    listening: tuple[Ear, ...] = eqx.field(static=True)
    dt: float = eqx.field(static=True)

    @property
    def ears(self) -> dict[str, Ear]:
        """The ears by the names of their monitors."""
        return {ear.name: ear for ear in self.listening}

    @property
    def listens_to_couplings(self) -> bool:
        """Whether a monitor hears of states that couplings have of their own."""
        own = set(self.network.source_states)
        return any(m.afferent or m.of_connections or own & set(self.ears[n].source) for n, m in self.monitors.items())

    @property
    def delays(self) -> dict[str, AbstractDelay]:
        """The delays of those couplings that take time."""
        return {name: wire.delay for name, wire in self.wires.items() if wire.delay is not None}

    @property
    def depth(self) -> int:
        """Samples of history to keep; cubic interpolation looks two sums further back."""
        if not self.delays:
            return 0
        return max(delay.depth(self.dt) for delay in self.delays.values()) + (0 if self.controller is None else 2)

    @property
    def known(self) -> int:
        """How many of the latest delayed sums a step needs: the present one, for cubic interpolation two before it."""
        return 1 if self.controller is None else 3

    def lags(self) -> dict[str, Lags]:
        """How far back each delayed coupling reads at least."""
        found = {}
        for name, delay in self.delays.items():
            assert delay.spans is not None
            found[name] = delay.reach(self.dt)[0], delay.spans.connected
        return found

    def sampling(self, first: dict[str, int], now: dict[str, int]) -> Sampling:
        """How often the monitors sample, with what has passed of each one's period before the run and by now."""
        ears = self.ears
        periods = {name: ear.period for name, ear in ears.items()}
        strides = {name: ear.stride for name, ear in ears.items()}
        return Sampling(periods, strides, {name: ear.cycles for name, ear in ears.items()}, first, now)


def resolve(
    network: Network,
    monitors: dict[str, AbstractMonitor],
    solver: dfx.AbstractSolver,
    controller: dfx.AbstractStepSizeController | None,
    dt: float,
) -> Setup:
    """Looks up all that a run needs of the network and its monitors, and refuses what does not fit.

    Raises:
        ValueError: for a monitor that does not fit the network or dt, or a delay outside of its bounds.
    """
    monitors = {name: _bound(network, name, monitor) for name, monitor in monitors.items()}
    listening = tuple(Ear.of(network, name, monitor, dt) for name, monitor in monitors.items())
    wires = {name: Wire.of(network, name) for name in network.couplings}
    return Setup(network, monitors, solver, controller, wires, listening, dt)


def assemble(setup: Setup, origin: Int[Array, ""]) -> Parts:
    """The parts of a run, derived from its setup by ordinary operations, which autodiff knows."""
    instant, degree, delayed, steps = {}, {}, {}, {}
    for name, wire in setup.wires.items():
        degree[name] = wire.weights.sum(axis=1)
        coupling = setup.network.couplings[name]
        if isinstance(coupling, AbstractPairCoupling):
            weights: Any = wire.weights
            instant[name] = Messages.of(coupling, weights)
            if wire.delay is not None:
                instant[name], delayed[name], steps[name] = _late(instant[name], wire, setup.dt)
            continue
        if wire.delay is None or isinstance(wire.weights, Sparse):
            instant[name] = prepared(wire.weights)
            continue
        assert wire.delay.spans is not None
        back, shares = wire.delay.steps(wire.connectome, setup.dt)
        latest, *earlier = (share * wire.weights for share in shares)
        at_once = wire.delay.spans.connected & (wire.delay.reach(setup.dt)[0] == 0)
        if at_once.any():  # some delays may come to no whole step
            now = jnp.where(back == 0, latest, 0)
            few = at_once.mean() < _FEW
            instant[name] = few_of(at_once, now) if few else prepared(now)
            latest = jnp.where(back == 0, 0, latest)
        delayed[name], steps[name] = (latest, *earlier), back
    lean = _lean(setup.network)
    return Parts(lean, setup.monitors, setup.solver, setup.controller, instant, degree, delayed, steps, origin)


def _late(messages: Messages, wire: Wire, dt: float) -> tuple[Messages, tuple[Array, ...], Array]:
    """Messages of which what arrives is late; the shares of samples in it, and how many steps ago each was sent, by connection."""
    assert wire.delay is not None and wire.delay.spans is not None
    edges, connected = messages.edges, wire.delay.spans.connected
    matrix, shares = wire.delay.steps(wire.connectome, dt)
    fewest, most = wire.delay.reach(dt)
    # of a place without a weight the delay may lie outside of the bounds: what is read there was sent before it is read all the same
    back = edges.take(jnp.clip(matrix, fewest, most))
    latest, *earlier = (edges.take(jnp.where(connected, share, 0)) for share in shares)
    if (connected & (fewest == 0)).any():  # some delays may come to no whole step
        messages = dataclasses.replace(messages, now=jnp.where(back == 0, latest, 0))
        latest = jnp.where(back == 0, 0, latest)
    return messages, (latest, *earlier), back


def _lean(network: Network) -> Network:
    """The network without its matrices: the loops use what was made of them."""

    def where(n):
        return [n.connectome.weights, n.connectome.lengths, n.connectome.centres, n.delay, *own(n)]

    def own(n):  # of sparse weights, the class stays: it says where they act
        for coupling in n.couplings.values():
            weights = coupling.weights
            sparse = isinstance(weights, Sparse)
            yield from (weights.values, weights.lists, weights.back) if sparse else (weights,)
            yield coupling.delay
            # what connections have of their own is with them
            yield from of_connections(coupling)

    return eqx.tree_at(where, network, replace_fn=lambda _: None, is_leaf=lambda x: x is None)
