"""The network: one model in every region, couplings over a connectome, delays, noise. It hands out diffrax terms."""

import math
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float

from ._types import Channels, Features, Inputs, Matrix, State, is_traced
from .connectome import Connectome
from .couplings import AbstractCoupling
from .delays import AbstractDelay, Delay, cubic
from .domains import summary
from .filters import leaf_names
from .models.base import AbstractModel
from .noise import AbstractNoise
from .sparse import Sparse, SparseSum
from .surface import Surface


class Afferent(eqx.Module):
    """What is known of a step before it is taken: its time, and the delayed sums at both ends.

    The engine passes it as `args` to the terms. `instant` holds the weights that act without delay, as `prepared`. The
    solver's own time runs from 0 to dt within the step: absolute float32 times lose their digits in long runs.
    """

    time: Float[Array, ""] | float
    dt: float = eqx.field(static=True)
    before: dict[str, Float[Array, "*step feature region"]]
    after: dict[str, Float[Array, "*step feature region"]]
    instant: dict[str, Float[Array, "source padded_target"] | SparseSum]
    degree: dict[str, Float[Array, " _"]]

    def delayed(self, name: str, t: Any) -> Features:
        """Delayed sums at the time t within the step, by linear interpolation."""
        before, after = self.before[name], self.after[name]
        if isinstance(t, float | int) and t in (0, self.dt):  # our solvers' own stage times: nothing to interpolate
            return before if t == 0 else after
        return before + (t / self.dt) * (after - before)


class AfferentPath(Afferent):
    """The same for several steps at once: `before` holds the sums `(step, feature, node)` from two steps before on."""

    def delayed(self, name: str, t: Any) -> Features:
        """Delayed sums at the time t since the first step, by a cubic through the four latest that are known.

        The end of t's step is the last of them, wherever the window ends: its length changes nothing.
        """
        rows = self.before[name]
        place = t / self.dt + 2
        first = jnp.clip(jnp.floor(place).astype(int) - 2, 0, len(rows) - 4)
        shares = jnp.stack(cubic(place - first)).astype(rows.dtype)
        return jnp.einsum("s,s...->...", shares, jax.lax.dynamic_slice_in_dim(rows, first, 4))


def prepared(weights: Matrix | Sparse) -> Float[Array, "source padded_target"] | SparseSum:
    """Weights for `sent @ weights`: targets last and padded to whole vector registers, a third faster at 84 regions.

    Example:
        >>> prepared(jnp.ones((84, 84))).shape
        (84, 88)
    """
    if isinstance(weights, Sparse):
        return SparseSum(weights.lists.spread(weights.values), weights.lists)
    return jnp.pad(weights.T, ((0, 0), (0, -len(weights) % 8)))


class Network(eqx.Module):
    """A whole-brain network, checked when it is built.

    Args:
        model: the neural mass in every region.
        coupling: one coupling, or a dict of several, which act side by side.
        connectome: weights and tract lengths.
        delay: conduction delays; None for instantaneous coupling.
        noise: what drives the states at random; None for a deterministic network.
        surface: vertices within the connectome's regions, if the model lives on those. A coupling with `gx.Sparse` weights
            then acts between vertices, the others between regions.

    Raises:
        ValueError: if a coupling reads or feeds what the model does not have, a parameter is neither one value nor one a
            region, noise is asked for states that do not exist, or delays for a connectome without lengths.

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
    noise: AbstractNoise | None
    surface: Surface | None

    def __init__(
        self,
        model: AbstractModel,
        coupling: AbstractCoupling | dict[str, AbstractCoupling],
        connectome: Connectome,
        delay: AbstractDelay | None = None,
        noise: AbstractNoise | None = None,
        surface: Surface | None = None,
    ):
        self.model, self.coupling, self.connectome, self.noise = model, coupling, connectome, noise
        self.surface = surface
        _check_surface(self)
        for name, what in self.couplings.items():
            expected = (self.size(what),) * 2
            if what.weights is not None and what.weights.shape != expected:
                other = f"there are {self.n_nodes} nodes" if self.local(what) else f"the connectome of {expected}"
                hint = ""
                if surface is not None:
                    hint = "; weights between vertices are gx.Sparse, those between regions an array"
                raise ValueError(f"{name} has weights of shape {what.weights.shape}, {other}{hint}")
        if delay is not None:
            between: list[Any] = [self.weights(c) for c in self.couplings.values() if not self.local(c)]
            there = sum((w != 0 for w in between), jnp.zeros(connectome.weights.shape))
            delay = delay.bounded(connectome, there)
        self.delay = delay
        _check(self)

    @property
    def n_regions(self) -> int:
        return len(self.connectome.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the nodes: what the model lives in, regions or the vertices of a surface."""
        return self.connectome.labels if self.surface is None else self.surface.labels

    @property
    def channels(self) -> Channels:
        """The nodes as monitors see them: regions or vertices, with their names."""
        return Channels("region" if self.surface is None else "vertex", self.labels)

    @property
    def n_nodes(self) -> int:
        return len(self.labels)

    @property
    def couplings(self) -> dict[str, AbstractCoupling]:
        """Every coupling by name; a single one is called 'coupling'."""
        return self.coupling if isinstance(self.coupling, dict) else {"coupling": self.coupling}

    def weights(self, coupling: AbstractCoupling) -> Matrix | Sparse:
        """The weights a coupling acts over: its own or the connectome's."""
        return self.connectome.weights if coupling.weights is None else coupling.weights

    def local(self, coupling: AbstractCoupling) -> bool:
        """Whether a coupling acts at once, from node to node, whatever the regions and their delays."""
        return isinstance(coupling.weights, Sparse)

    @property
    def delayed(self) -> list[str]:
        """Names of the couplings whose connections take time."""
        return [] if self.delay is None else [name for name, c in self.couplings.items() if not self.local(c)]

    def size(self, coupling: AbstractCoupling) -> int:
        """How many it couples: nodes if it is local, otherwise regions."""
        return self.n_nodes if self.local(coupling) else self.n_regions

    def sources(self, coupling: AbstractCoupling, y: State) -> Float[Array, "source coupled"]:
        """What a coupling reads, `(source, node)`, or of a surface the regions' means, `(source, region)`."""
        x = self.model.read(coupling.source, y)
        return x if self.surface is None or self.local(coupling) else self.surface.mean(x)

    def sent(self, coupling: AbstractCoupling, y: State) -> Array:
        """What a coupling sends, `(feature, region)`, or `(feature, node)` if it is local."""
        return coupling.encode(self.sources(coupling, y))

    def targets(self, coupling: AbstractCoupling) -> tuple[str, ...]:
        """The model inputs a coupling feeds."""
        return self.model.inputs if coupling.target is None else coupling.target

    @property
    def noisy(self) -> tuple[str, ...]:
        """Names of the states that noise drives."""
        if self.noise is None:
            return ()
        return self.model.states if self.noise.states is None else self.noise.states

    def start(self) -> State:
        """The state a run starts from, `(state, node)`."""
        return self.model.start(self.n_nodes)

    def degree(self) -> dict[str, Float[Array, " _"]]:
        """Sum of the weights that lead to each region, a coupling."""
        return {name: self.weights(c).sum(axis=1) for name, c in self.couplings.items()}

    def input(self, t: Any, y: State, afferent: Afferent | None = None) -> Inputs:
        """What every model input receives, `(input, node)`.

        Args:
            t: time in ms; with `afferent`, time since the start of its step.
            y: `(state, node)`.
            afferent: delayed sums; without, every coupling is instantaneous.
        """
        rows: dict[str, Any] = {}
        for name, coupling in self.couplings.items():
            x = self.sources(coupling, y)
            total = jnp.zeros((), y.dtype)
            if afferent is None or name in afferent.instant:
                weights = prepared(self.weights(coupling)) if afferent is None else afferent.instant[name]
                total = (coupling.encode(x) @ weights)[:, : x.shape[1]]
            if afferent is not None and name in afferent.before:
                total = total + afferent.delayed(name, t)
            degree = self.weights(coupling).sum(axis=1) if afferent is None else afferent.degree[name]
            fed = coupling.decode(total, x, degree)
            if self.surface is not None and not self.local(coupling):
                fed = self.surface.spread(fed)
            for target, row in zip(self.targets(coupling), fed, strict=True):
                rows[target] = rows[target] + row if target in rows else row
        zero = jnp.zeros(y.shape[1:], y.dtype)
        return jnp.stack([rows.get(name, zero) for name in self.model.inputs]) if self.model.inputs else zero[None][:0]

    def drift(self, t: Any, y: State, afferent: Afferent | None = None) -> State:
        """Time derivative of the state: the vector field of the drift term, with `afferent` as its args."""
        now = t if afferent is None else afferent.time + t
        return self.model.drift(now, y, self.input(t, y, afferent))

    def terms(self, control: Any = None) -> dfx.AbstractTerm:
        """Diffrax terms: the drift, and with noise the diffusion against `control` (a path or function of t0, t1).

        Example:
            >>> import gyrax as gx
            >>> data = gx.datasets.load("dk84")
            >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), data.connectome)
            >>> net.terms().vf(0.0, net.start(), None).shape
            (1, 84)
        """
        drift = dfx.ODETerm(self.drift)
        if self.noise is None:
            return drift
        if control is None:
            raise ValueError("a network with noise needs a control: Wiener increments of shape (noisy state, region)")
        return dfx.MultiTerm(drift, dfx.ControlTerm(self._diffusion, control))

    def _diffusion(self, t: Any, y: State, afferent: Afferent | None = None) -> lx.AbstractLinearOperator:
        assert self.noise is not None
        rows = np.array([self.model.states.index(name) for name in self.noisy])
        everywhere = self.noisy == self.model.states
        noisy = y if everywhere else y[rows]
        now = t if afferent is None else afferent.time + t
        amplitude = jnp.broadcast_to(self.noise.diffusion(now, noisy), noisy.shape)
        if everywhere:
            return lx.DiagonalLinearOperator(amplitude)
        spread = lambda dw: jnp.zeros_like(y).at[rows].set(amplitude * dw)  # noqa: E731
        return lx.FunctionLinearOperator(spread, jax.ShapeDtypeStruct(noisy.shape, noisy.dtype))

    def check_free(self, names: list[str]) -> None:
        """What a fit may not set free.

        Raises:
            ValueError: for what only delays depend on, if they round to whole steps: its gradient would be zero.
        """
        moving = [name for name in names if name.startswith("delay.") or name == "connectome.lengths"]
        if moving and self.delay is not None and self.delay.interpolation == "nearest":
            raise ValueError(
                f"{moving[0]} is free, but these delays round to whole steps and have no gradient: give the delay "
                "interpolation='linear', and bounds=(shortest, longest) in ms for what the fit may try"
            )

    def __repr__(self):
        where = "" if self.surface is None else f"{self.n_nodes} vertices in "
        lines = [f"Network of {where}{self.n_regions} regions", f"  model     {self.model!r}"]
        for name, coupling in self.couplings.items():
            label = "coupling" if name == "coupling" else f"coupling {name}:"
            lines.append(
                f"  {label}  {', '.join(coupling.source)} -> {', '.join(self.targets(coupling))}: {coupling!r}"
            )
        if self.delay is None:
            lines.append("  delay     none: instantaneous")
        else:
            low, high = self.delay.bounds or (math.nan, math.nan)
            speed = f" at {summary(self.delay.speed)} mm/ms" if isinstance(self.delay, Delay) else ""
            lines.append(f"  delay     {low:.3g} to {high:.3g} ms{speed}")
        noise = "none" if self.noise is None else f"on {', '.join(self.noisy)}: {self.noise!r}"
        return "\n".join([*lines, f"  noise     {noise}"])


def _check(net: Network) -> None:
    """Everything that can disagree, found while the names are still known."""
    model, n = net.model, net.n_nodes
    rows = model.states + model.outputs
    for name, coupling in net.couplings.items():
        for source in coupling.source:
            if source not in rows:
                raise ValueError(
                    f"{name} reads '{source}', but {type(model).__name__} has the states {model.states} and the outputs "
                    f"{model.outputs}"
                )
        for target in net.targets(coupling):
            if target not in model.inputs:
                raise ValueError(
                    f"{name} feeds '{target}', but the inputs of {type(model).__name__} are {model.inputs}"
                )
    for name in net.noisy:
        if name not in model.states:
            raise ValueError(f"noise drives '{name}', but the states of {type(model).__name__} are {model.states}")
    _check_shapes(net, n)
    _check_functions(net, n)


def _check_surface(net: Network) -> None:
    """Every region has vertices, every vertex a region."""
    if net.surface is None:
        return
    counts, labels = np.asarray(net.surface.counts), net.connectome.labels
    if len(counts) > len(labels):
        raise ValueError(f"the surface has vertices in region {len(counts) - 1}, the connectome {len(labels)} regions")
    empty = [label for label, n in zip(labels, np.pad(counts, (0, len(labels) - len(counts))), strict=True) if n == 0]
    if empty:
        raise ValueError(
            f"{len(empty)} regions have no vertex: {', '.join(empty[:5])}; give each one at least, or leave them out of the "
            "connectome with subset()"
        )


def _check_shapes(net: Network, n: int) -> None:
    """One value or one a region, and finite: XLA would broadcast or carry on with NaN in silence."""
    k = len(net.noisy)
    parts = {"model": net.model, **{f"coupling.{c}": v for c, v in net.couplings.items()}, "noise": net.noise}
    for where, part in parts.items():
        for name, leaf in zip(leaf_names(part), jax.tree.leaves(part), strict=True):
            if not eqx.is_inexact_array(leaf):
                continue
            size = net.size(part) if isinstance(part, AbstractCoupling) else n
            allowed = ((), (size,)) if where != "noise" else ((), (n,), (k, 1), (k, n))
            own = name.split(".")[0] == "weights" or (where == "model" and leaf.ndim > 1)
            if leaf.shape not in allowed and not own:
                raise ValueError(
                    f"{where}.{name} has shape {leaf.shape}: expected one value () or one a region ({size},)"
                    + (f", or ({k}, 1) for one a noisy state" if where == "noise" else "")
                )
            if not is_traced(leaf) and not np.isfinite(leaf).all():
                raise ValueError(f"{where}.{name} is not finite: {np.asarray(leaf)[~np.isfinite(leaf)][0]}")


def _check_functions(net: Network, n: int) -> None:
    """Shapes of what the user's own equations return, found by tracing them once."""
    model = net.model
    y = jax.eval_shape(net.start)
    if y.shape != (len(model.states), n):
        raise ValueError(
            f"{type(model).__name__}.start returns {y.shape}, expected (state, node) = {(len(model.states), n)}"
        )
    for name, coupling in net.couplings.items():
        size = net.size(coupling)
        sent = jax.eval_shape(lambda y, c=coupling: net.sent(c, y), y)
        if sent.ndim != 2 or sent.shape[1] != size:
            raise ValueError(f"{name}.encode returns shape {sent.shape}, expected (feature, {size})")
        decode = lambda total, y, c=coupling, k=size: c.decode(total, net.sources(c, y), jnp.zeros(k))  # noqa: E731
        fed, targets = jax.eval_shape(decode, sent, y), net.targets(coupling)
        if fed.shape != (len(targets), size):
            raise ValueError(
                f"{name} feeds {targets}, so its decode must return shape ({len(targets)}, {size}); it returns {fed.shape}. "
                "Name as many inputs with target= as it has rows"
            )
    u = jax.ShapeDtypeStruct((len(model.inputs), n), y.dtype)
    dy = jax.eval_shape(lambda y, u: model.drift(0.0, y, u), y, u)
    if getattr(dy, "shape", None) != y.shape:
        raise ValueError(
            f"{type(model).__name__}.drift must return an array of the state's shape {y.shape}, one row a state "
            f"(jnp.stack does it); it returns {dy}"
        )
