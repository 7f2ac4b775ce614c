"""The network: one model in every region, couplings over a connectome, delays, noise. It hands out diffrax terms."""

import functools
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._pairs import at
from .._types import Channels, Inputs, Matrix, Sources, State
from ..anatomy.connectome import Connectome
from ..anatomy.sparse import Sparse
from ..anatomy.surface import Surface
from ..couplings import AbstractCoupling, AbstractPairCoupling
from ..delays import AbstractDelay, ConnectionDelays, NoDelay
from ..memory import AbstractMemory
from ..models.base import AbstractModel
from ..models.groups import Groups
from ..noise import AbstractNoise
from ..stimuli import AbstractStimulus
from . import living
from .afferent import AbstractAfferent, prepared
from .carrying import remembered_apart
from .checks import check, check_names, check_shared_delay, check_surface, check_weights, depending
from .driving import diffusion, indices
from .hearing import coupled, own_flow
from .kinds import as_connectome, check_kinds
from .pairs import Messages, connected
from .words import in_words


class Network(eqx.Module):
    """A whole-brain network, checked when it is built.

    Args:
        model: the neural mass in every region, or `gx.Groups` of regions with one each.
        coupling: one coupling, or a dict of several, which act side by side. Each may have weights and a delay of its own.
        connectome: weights and tract lengths; a matrix of weights is as good as a connectome without lengths.
        delay: conduction delays; None for instantaneous coupling.
        noise: what drives the states at random, or a dict of several; None for a deterministic network.
        stimulus: what feeds inputs from outside, `gx.stimuli`; None for nothing.
        surface: vertices within the connectome's regions, if the model lives on those. A coupling with `gx.Sparse` weights
            then acts between vertices, the others between regions.

    Raises:
        ValueError: if a coupling reads or feeds what the model does not have, a parameter is neither one value nor one a
            region, noise is asked for states that do not exist, or delays for a connectome without lengths.
        TypeError: for an argument of another kind, with what to write.

    Example:
        >>> import gyrax as gx
        >>> gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.datasets.load("dk84").connectome)
        Network of 84 regions
          model     WongWang(w=0.6, J_N=0.2609 nA, I_o=0.33 nA, a=270 Hz/nA, b=108 Hz, d=0.154 s, gamma=0.000641 1/(Hz ms), tau_S=100 ms)
          coupling  S -> c: Linear(source=('S',), strength=1)
          delay     none: instantaneous
          noise     none
    """

    model: AbstractModel
    coupling: AbstractCoupling | dict[str, AbstractCoupling]
    connectome: Connectome
    delay: AbstractDelay | None
    noise: AbstractNoise | dict[str, AbstractNoise] | None
    stimulus: AbstractStimulus | None
    surface: Surface | None

    def __init__(
        self,
        model: AbstractModel,
        coupling: AbstractCoupling | dict[str, AbstractCoupling],
        connectome: Connectome | Any,
        delay: AbstractDelay | None = None,
        noise: AbstractNoise | dict[str, AbstractNoise] | None = None,
        surface: Surface | None = None,
        *,
        stimulus: AbstractStimulus | None = None,
    ):
        connectome = as_connectome(connectome)
        check_kinds(model, coupling, delay, noise, surface, stimulus)
        self.model, self.connectome, self.surface = model, connectome, surface
        # dicts of one's own: what the user does to theirs later changes no network
        self.coupling = dict(coupling) if isinstance(coupling, dict) else coupling
        self.noise = dict(noise) if isinstance(noise, dict) else noise
        check_surface(self)
        if isinstance(model, Groups):
            self.model = model.placed(connectome.labels)
        check_names(self)
        self.stimulus = None if stimulus is None else stimulus.resolved(self.labels)
        self.delay = None if isinstance(delay, NoDelay) else delay
        couplings = {name: self._connected(name, what) for name, what in self.couplings.items()}
        if self.delay is not None:
            shared = [c for c in couplings.values() if c.delay is None and not self.local(c)]
            between: list[Any] = [self.weights(c) for c in shared]
            there = sum((w != 0 for w in between), jnp.zeros(connectome.weights.shape))
            self.delay = self.delay.bounded(connectome, there)
            for name, what in couplings.items():
                check_shared_delay(self, name, what)
        couplings = {n: connected(c, n, self.weights(c), self.delay_of(c)) for n, c in couplings.items()}
        self.coupling = couplings if isinstance(coupling, dict) else couplings["coupling"]
        check(self)

    def _connected(self, name: str, coupling: AbstractCoupling) -> AbstractCoupling:
        """A coupling whose own weights and delays are between all regions."""
        block, delay, whole = self.block(coupling), coupling.delay, self.connectome.weights.shape
        if block is not None:

            def spread(x):
                return jnp.zeros(whole, x.dtype).at[np.ix_(*block)].set(x)

            shape = tuple(len(side) for side in block)
            weights: Any = coupling.weights
            if eqx.is_array(weights) and weights.shape == shape:
                coupling = eqx.tree_at(lambda c: c.weights, coupling, spread(weights))
            if isinstance(delay, ConnectionDelays) and delay.ms.shape == shape:
                delay = eqx.tree_at(lambda d: d.ms, delay, spread(delay.ms))
        check_weights(self, name, coupling)
        if delay is not None and not isinstance(delay, NoDelay):
            between: Any = self.weights(coupling)
            delay = delay.bounded(self.wiring(coupling), between)
        return eqx.tree_at(lambda c: c.delay, coupling, delay, is_leaf=lambda x: x is None)

    @property
    def n_regions(self) -> int:
        return len(self.connectome.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the nodes: what the model lives in, regions or the vertices of a surface."""
        return self.connectome.labels if self.surface is None else self.surface.labels

    @property
    def n_nodes(self) -> int:
        return len(self.labels)

    def channels(self, names: tuple[str, ...]) -> Channels:
        """The nodes, regions or vertices, that monitors of these states, outputs or inputs see, with their names."""
        of_model = tuple(name for name in names if name not in living.full_names(self))
        nodes = self.model.nodes(of_model) if of_model else None
        labels = self.labels if nodes is None else tuple(self.labels[i] for i in nodes)
        return Channels("region" if self.surface is None else "vertex", labels)

    # Couplings

    @property
    def couplings(self) -> dict[str, AbstractCoupling]:
        """Every coupling by name; a single one is called 'coupling'."""
        return self.coupling if isinstance(self.coupling, dict) else {"coupling": self.coupling}

    def coupling_at(self, path: list[str]) -> AbstractCoupling:
        """The coupling to which a dotted name leads, from behind its 'coupling' on."""
        return self.couplings[path[0] if isinstance(self.coupling, dict) else "coupling"]

    def wiring(self, coupling: AbstractCoupling) -> Connectome:
        """The connectome whose tract lengths a coupling takes."""
        return coupling.weights if isinstance(coupling.weights, Connectome) else self.connectome

    def weights(self, coupling: AbstractCoupling) -> Matrix | Sparse:
        """The weights a coupling acts over: its own or the connectome's; zero beyond its groups of regions."""
        own = coupling.weights
        if isinstance(own, Sparse):
            return own
        weights = self.wiring(coupling).weights if own is None or isinstance(own, Connectome) else own
        within = self.within(coupling)
        return weights if within is None else jnp.where(within, weights, 0)

    def prepared(self, coupling: AbstractCoupling) -> Any:
        """What the weights of a coupling do within a step, laid out once for the many of a run."""
        weights: Any = self.weights(coupling)
        return Messages.of(coupling, weights) if isinstance(coupling, AbstractPairCoupling) else prepared(weights)

    def within(self, coupling: AbstractCoupling) -> Bool[np.ndarray, "region region"] | None:
        """Which connections lie between a coupling's groups of regions; None for all."""
        block = self.block(coupling)
        if block is None:
            return None
        mask = np.zeros((self.n_regions,) * 2, bool)
        mask[np.ix_(*block)] = True
        return mask

    def block(self, coupling: AbstractCoupling) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The regions that hear a coupling and those that are heard, if they are not all."""
        targets, sources = (self.model.nodes(names) for names in (self.targets(coupling), coupling.source))
        if targets is None and sources is None:
            return None
        every = tuple(range(self.n_regions))
        return targets or every, sources or every

    def local(self, coupling: AbstractCoupling) -> bool:
        """Whether a coupling acts at once, from node to node, whatever the regions and their delays."""
        return isinstance(coupling.weights, Sparse)

    def delay_of(self, coupling: AbstractCoupling) -> AbstractDelay | None:
        """How long a coupling takes: its own delay or the network's; None if it acts at once."""
        delay = self.delay if coupling.delay is None else coupling.delay
        return None if self.local(coupling) or isinstance(delay, NoDelay) else delay

    @property
    def delays(self) -> dict[str, AbstractDelay]:
        """The delays of those couplings that take time."""
        found = {name: self.delay_of(coupling) for name, coupling in self.couplings.items()}
        return {name: delay for name, delay in found.items() if delay is not None}

    def size(self, coupling: AbstractCoupling) -> int:
        """How many it couples: nodes if it is local, otherwise regions."""
        return self.n_nodes if self.local(coupling) else self.n_regions

    def width(self, name: str) -> int:
        """How many values a leaf has, by its dotted name, that has one a region."""
        first, *path = name.split(".")
        if first == "coupling":
            return self.size(self.coupling_at(path))
        if isinstance(self.model, Groups) and first == "model" and len(path) > 1:
            return len(self.model.members(path[1]))
        return self.n_nodes

    def of_connections(self, name: str) -> bool:
        """Whether a leaf, by its dotted name, is a parameter of which each connection may have its own."""
        first, *path = name.split(".")
        coupling = self.coupling_at(path) if first == "coupling" else None
        return isinstance(coupling, AbstractPairCoupling) and path[-1] in coupling.of_connections

    def sources(self, coupling: AbstractCoupling, y: Any) -> Float[Array, "source coupled"]:
        """What a coupling reads, `(source, node)`, or of a surface the regions' means, `(source, region)`."""
        x = self.model.read(coupling.source, self.settled(y))
        return x if self.surface is None or self.local(coupling) else self.surface.mean(x)

    def sent(self, name: str, y: State | living.Whole) -> Array:
        """What a coupling sends, by its name, `(feature, region)`, or `(feature, node)` if it is local."""
        coupling = self.couplings[name]
        return living.encoded(coupling, self.sources(coupling, y), self.own(y)[name].sources if self.n_living else {})

    def own(self, y: State | living.Whole) -> dict[str, living.Own]:
        """The states that couplings have of their own, by coupling; none where no coupling has.

        Raises:
            ValueError: for a state without them.
        """
        if not self.n_living:
            return {}
        if not isinstance(y, living.Whole):
            raise ValueError(
                f"couplings of this network have states of their own, {', '.join(living.full_names(self))}, which the model's states do not "
                "tell: give net.whole(y), with those that a run starts with"
            )
        return y.own

    @property
    def source_states(self) -> tuple[str, ...]:
        """States that couplings have of their own, one a region, as monitors read them: 'coupling.R'."""
        return tuple(f"{name}.{state}" for name, c in self.couplings.items() for state in c.source_states)

    def edge_states(self, asked: tuple[str, ...] | None = None) -> dict[str, tuple[str, str]]:
        """The states of connections that names mean, or all: coupling and state, by full name.

        Raises:
            ValueError: for names that mean none, or several.
        """
        return living.edge_states(self, asked)

    def targets(self, coupling: AbstractCoupling) -> tuple[str, ...]:
        """The model inputs a coupling feeds."""
        return self.model.fed if coupling.target is None else coupling.target

    def degree(self) -> dict[str, Float[Array, " _"]]:
        """Sum of the weights that lead to each region, a coupling."""
        return {name: self.weights(c).sum(axis=1) for name, c in self.couplings.items()}

    # Noise

    @property
    def noises(self) -> dict[str, AbstractNoise]:
        """Every noise by name, in alphabetical order as JAX keeps them; a single one is called 'noise'."""
        if self.noise is None:
            return {}
        return dict(sorted(self.noise.items())) if isinstance(self.noise, dict) else {"noise": self.noise}

    def rows(self, noise: AbstractNoise) -> tuple[str, ...]:
        """The states, or inputs, that a noise drives."""
        states = self.model.states if noise.states is None else noise.states
        names = states if noise.inputs is None else noise.inputs
        return tuple(full for name in names for full in self.model.meant(name))

    @property
    def noisy(self) -> tuple[str, ...]:
        """Names of what noise drives, a random number a step for each of them in each node."""
        return tuple(row for noise in self.noises.values() for row in self.rows(noise))

    def split(self, increments: Float[Array, "noisy node"]) -> dict[str, Float[Array, "own node"]]:
        """What of the increments drives each noise, after its mixing."""
        found, before = {}, 0
        for name, noise in self.noises.items():
            count = len(self.rows(noise))
            own, before = increments[before : before + count], before + count
            found[name] = own if noise.mixing is None else own[:, : noise.mixing.shape[1]] @ noise.mixing.T
        return found

    # What remembers: rows of the state below the model's

    @property
    def memories(self) -> dict[str, AbstractMemory]:
        """The parts that add rows of their own to the state, in the order of those rows."""
        return {name: noise for name, noise in self.noises.items() if isinstance(noise, AbstractMemory)}

    @property
    def n_living(self) -> int:
        """Rows of the states that couplings have of their own."""
        return sum(living.rows_of(coupling) for coupling in self.couplings.values())

    @property
    def n_rows(self) -> int:
        """Rows of all that a run carries: the model's states, what remembers, and states of couplings."""
        return len(self.model.states) + sum(len(self.rows(self.noises[name])) for name in self.memories) + self.n_living

    def settled(self, y: Any) -> State:
        """The model's states of what a run carries, or of what the solver steps."""
        rows = y.states if isinstance(y, living.Whole) else y
        return rows if len(rows) == len(self.model.states) else rows[: len(self.model.states)]

    def whole(self, y: State) -> State | living.Whole:
        """What the solver steps: the state, with what couplings have of their own, if they have, where a run begins."""
        return living.begin(self, y) if self.n_living else y

    # What a run asks for

    def start(self) -> State:
        """The state a run starts from, `(state, node)`."""
        return self.model.start(self.n_nodes)

    def observed(self, names: tuple[str, ...], y: Any) -> Float[Array, "source seen"]:
        """What monitors see of states and outputs, `(source, node)`; of groups, see `gx.Groups`."""
        of_model = tuple(name for name in names if name not in self.source_states)
        if of_model == names:
            return self._seen(names, self.model.read(names, self.settled(y)))
        rows, nodes = {}, None
        if of_model:
            rows = dict(zip(of_model, self.observed(of_model, y), strict=True))
            nodes = self.model.nodes(of_model)  # of a group: its regions, of the couplings' states too
        for name in set(names) - set(of_model):
            coupling, _, state = name.rpartition(".")
            row = self.own(y)[coupling].sources[state][0]
            rows[name] = row if nodes is None else row[np.array(nodes)]
        return jnp.stack([rows[name] for name in names])

    def observed_inputs(self, names: tuple[str, ...], u: Inputs) -> Float[Array, "source seen"]:
        """The same of inputs."""
        return self._seen(names, self.model.read_inputs(names, u))

    def _seen(self, names: tuple[str, ...], x: Sources) -> Float[Array, "source seen"]:
        if not isinstance(self.model, Groups):
            return x
        nodes = self.model.nodes(names)
        return jnp.where(self.model.missing(names), jnp.nan, x) if nodes is None else x[:, np.array(nodes)]

    def input(self, t: Any, y: Any, afferent: AbstractAfferent | None = None) -> Inputs:
        """What every model input receives, `(input, node)`.

        Args:
            t: time in ms; with `afferent`, time since the start of its step.
            y: `(state, node)`.
            afferent: delayed sums; without, every coupling is instantaneous.
        """
        rows: dict[str, Any] = {}

        def feed(name: str, row: Any) -> None:
            for full in self.model.meant(name):
                rows[full] = rows[full] + row if full in rows else row

        held = None if afferent is None else afferent.coupled
        for name, fed in (coupled(self, t, y, afferent) if held is None else held).items():
            for target, row in zip(self.targets(self.couplings[name]), fed, strict=True):
                feed(target, row)
        if self.stimulus is not None:
            for target, row in at(self.stimulus, t if afferent is None else afferent.clock + t).items():
                feed(target, row)
        if afferent is not None and afferent.memory is not None:
            for name, values in remembered_apart(self, afferent.remembered(t)).items():
                if self.noises[name].inputs is not None:
                    for target, row in zip(self.rows(self.noises[name]), values, strict=True):
                        feed(target, row)
        states = self.settled(y)
        zero = jnp.zeros(states.shape[1:], states.dtype)
        every = [jnp.broadcast_to(rows.get(name, zero), zero.shape) for name in self.model.inputs]
        return jnp.stack(every) if every else zero[None][:0]

    def drift(self, t: Any, y: Any, afferent: AbstractAfferent | None = None) -> Any:
        """Time derivative of the state: the vector field of the drift term, with `afferent` as its args.

        Where couplings have states of their own, `y` has them beside the model's (`whole`), and so has what is returned.
        """
        now, y = t if afferent is None else afferent.now(t), living.kept(y) if isinstance(y, living.Whole) else y
        flow = self.model.drift(now, self.settled(y), self.input(t, y, afferent))
        if afferent is not None and afferent.memory is not None:
            for name, values in remembered_apart(self, afferent.remembered(t)).items():
                if self.noises[name].inputs is None:
                    flow = flow.at[indices(self, self.noises[name])].add(values)
        return living.Whole(flow, own_flow(self, t, y, afferent)) if self.n_living else flow

    def terms(self, control: Any = None) -> dfx.AbstractTerm:
        """Diffrax terms: the drift, and with white noise the diffusion against `control` (a path or function of t0, t1).

        Example:
            >>> import gyrax as gx
            >>> data = gx.datasets.load("dk84")
            >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome)
            >>> net.terms().vf(0.0, net.start(), None).shape
            (1, 84)
        """
        drift = dfx.ODETerm(self.drift)
        if len(self.noises) == len(self.memories):
            return drift
        if control is None:
            raise ValueError("a network with noise needs a control: Wiener increments of shape (noisy state, region)")
        return dfx.MultiTerm(drift, dfx.ControlTerm(functools.partial(diffusion, self), control))

    def check_free(self, names: list[str]) -> None:
        """What a fit may not set free.

        Raises:
            ValueError: for what only delays depend on, if they round to whole steps: its gradient would be zero; or if they
                have no bounds beyond what they are.
        """
        for name in names:
            for delay in depending(self, name):
                delay.check_gradient(name)
        self.check_movable(names)

    def check_movable(self, names: list[str]) -> None:
        """What may not even change.

        Raises:
            ValueError: for what delays depend on that have no bounds beyond what they are.
        """
        for name in names:
            for delay in depending(self, name):
                delay.check_movable(name)

    def __repr__(self):
        return in_words(self)
