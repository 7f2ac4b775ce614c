"""Everything of a network that can disagree, found when it is built, while the names are still known."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._formats.fields import check_same
from .._jaxprs import depends
from .._types import is_traced
from ..anatomy.connectome import Connectome
from ..couplings import AbstractCoupling, AbstractPairCoupling
from ..delays import AbstractDelay, Delay, NoDelay
from ..models.groups import Groups
from ..parameters.addresses import named_leaves
from .living import names_of, source_flow
from .pairs import Messages, bare, is_foreign

if TYPE_CHECKING:
    from .network import Network


def check(net: "Network") -> None:
    """All but the names, of a network that is complete."""
    for name in net.noises:
        check_noise(net, name)
    if net.stimulus is not None:
        check_inputs(net, net.stimulus.targets, "the stimulus")
    _check_shapes(net)
    _check_functions(net)


def check_names(net: "Network") -> None:
    """Couplings read and feed what the model has."""
    model = net.model
    rows = model.states + model.outputs
    for name, coupling in net.couplings.items():
        for source in coupling.source:
            if source not in rows:
                raise ValueError(
                    f"{name} reads '{source}', but {type(model).__name__} has the states {model.states} and the outputs "
                    f"{model.outputs}"
                )
        check_inputs(net, net.targets(coupling), name)
        for side, names in (("reads", coupling.source), ("feeds", net.targets(coupling))):
            groups = {n.rpartition(".")[0] for n in names}
            if len(groups) > 1:
                raise ValueError(f"{name} {side} {names}, of more than one group: make it a coupling for each")
        if not net.targets(coupling):
            raise ValueError(f"{name} feeds no input: name one with target=; there are {model.inputs}")


def check_inputs(net: "Network", names: tuple[str, ...], who: str) -> None:
    """What somebody feeds are inputs of the model."""
    for name in names:
        if name not in net.model.inputs + net.model.fed:
            raise ValueError(
                f"{who} feeds '{name}', but the inputs of {type(net.model).__name__} are {net.model.inputs}"
            )


def check_noise(net: "Network", name: str) -> None:
    """What a noise drives exists, and its mixing fits."""
    noise, model = net.noises[name], net.model
    where = name if name == "noise" else f"noise '{name}'"
    if noise.inputs is not None:
        check_inputs(net, noise.inputs, where)
    else:
        for state in noise.states or ():
            if not set(model.meant(state)) <= set(model.states):
                raise ValueError(
                    f"{where} drives '{state}', but the states of {type(model).__name__} are {model.states}"
                )
    if noise.mixing is not None and noise.mixing.shape[0] != net.n_nodes:
        raise ValueError(
            f"{where} has a mixing of shape {noise.mixing.shape}: expected (node, source) with {net.n_nodes} nodes"
        )
    if noise.mixing is not None and noise.mixing.shape[1] > net.n_nodes:
        raise ValueError(f"{where} mixes {noise.mixing.shape[1]} sources: at most as many as nodes, {net.n_nodes}")


def check_surface(net: "Network") -> None:
    """Every region has vertices, every vertex a region."""
    if net.surface is None:
        return
    if isinstance(net.model, Groups):
        raise ValueError("Groups are of regions: a network with a surface has one model")
    counts, labels = np.asarray(net.surface.counts), net.connectome.labels
    if len(counts) > len(labels):
        raise ValueError(f"the surface has vertices in region {len(counts) - 1}, the connectome {len(labels)} regions")
    empty = [label for label, n in zip(labels, np.pad(counts, (0, len(labels) - len(counts))), strict=True) if n == 0]
    if empty:
        raise ValueError(
            f"{len(empty)} regions have no vertex: {', '.join(empty[:5])}; give each one at least, or leave them out of the "
            "connectome with subset()"
        )


def check_weights(net: "Network", name: str, coupling: AbstractCoupling) -> None:
    """A coupling's own weights and delay fit the network."""
    own = coupling.weights
    if net.local(coupling) and coupling.delay is not None and not isinstance(coupling.delay, NoDelay):
        raise ValueError(f"{name} has gx.Sparse weights, which act at once, and a delay: give it an array of weights")
    if own is None:
        return
    if isinstance(own, Connectome):
        check_same(net.connectome.labels, own.labels, "the network's connectome", f"the weights of {name}")
        return
    expected = (net.size(coupling),) * 2
    if own.shape != expected:
        other = f"there are {net.n_nodes} nodes" if net.local(coupling) else f"the connectome of {expected}"
        hint = ""
        if net.surface is not None:
            hint = "; weights between vertices are gx.Sparse, those between regions an array"
        block = net.block(coupling)
        if block is not None:
            hint = f", the groups of {tuple(len(side) for side in block)}"
        raise ValueError(f"{name} has weights of shape {own.shape}, {other}{hint}")


def check_shared_delay(net: "Network", name: str, coupling: AbstractCoupling) -> None:
    """Delays of a coupling with a connectome of its own lie within the bounds of the network's delay, if it shares that.

    Raises:
        ValueError: if they do not, for the bounds are of the network's tract lengths, or if it has none.
    """
    own, delay = coupling.weights, net.delay
    if not isinstance(own, Connectome) or coupling.delay is not None or delay is None:
        return
    weights: Any = net.weights(coupling)
    if is_traced(weights, own.lengths, *jax.tree.leaves(delay)):
        return  # a run looks
    if own.lengths is None and net.connectome.lengths is not None and isinstance(delay, Delay):
        raise ValueError(
            f"the connectome that {name} has in weights= has no tract lengths, which the network's delay takes: give it lengths= in mm, "
            f"or {name} delay=gx.NoDelay() if it acts at once"
        )
    delays = np.asarray(delay.times(own), float)
    outside = delay.outside(delays, np.asarray(weights))
    if outside.any():
        i, j = np.argwhere(outside)[0]
        raise ValueError(
            f"the delay of {name} from {own.labels[j]} to {own.labels[i]} is {delays[i, j]:.4g} ms by the connectome that it has in weights=, outside of "
            f"what the network's delay allows, {delay.bounds} ms by the network's own tract lengths: give {name} a delay of its own, delay=gx.{type(delay).__name__}(...)"
        )


def depending(net: "Network", name: str) -> list[AbstractDelay]:
    """The delays that depend on a leaf, by its dotted name."""
    parts = name.split(".")
    if parts[0] not in ("delay", "connectome", "coupling") or not {"delay", "lengths"} & set(parts):
        return []
    using: list[Any] = list(net.delays.values())
    if parts[0] == "delay":
        using = [net.delay]
    elif parts[0] == "coupling":
        using = [net.delay_of(net.coupling_at(parts[1:]))]
    return [delay for delay in using if delay is not None]


def _check_shapes(net: "Network") -> None:
    """One value or one a region, and finite: XLA would broadcast or carry on with NaN in silence."""
    if isinstance(net.model, Groups):
        parts: dict[str, Any] = {f"model.models.{group}": model for group, model in net.model.models.items()}
    else:
        parts = {"model": net.model}
    parts |= {f"coupling.{c}": v for c, v in net.couplings.items()}
    parts |= {"noise" if name == "noise" else f"noise.{name}": noise for name, noise in net.noises.items()}
    for where, part in parts.items():
        n = net.width(where)
        k = len(net.rows(part)) if where.split(".")[0] == "noise" else 0
        foreign = {
            id(leaf)
            for module in jax.tree.leaves(part, is_leaf=is_foreign)
            if is_foreign(module)
            for leaf in jax.tree.leaves(module)
        }
        for name, leaf in named_leaves(part).items():
            if not eqx.is_inexact_array(leaf):
                continue
            allowed = ((), (n,)) if not k else ((), (n,), (k, 1), (k, n))
            first = name.split(".")[0]
            own = first in ("weights", "delay", "mixing") or (where.startswith("model") and leaf.ndim > 1)
            if isinstance(part, AbstractPairCoupling) and name in part.of_connections:
                allowed = (*allowed, (n, n))
            if leaf.shape not in allowed and not (own or id(leaf) in foreign):
                raise ValueError(
                    f"{where}.{name} has shape {leaf.shape}: expected one value () or one a region ({n},)"
                    + (f", or ({k}, 1) for one a noisy state" if k else "")
                    + (f", or one a connection, (target, source) = ({n}, {n})" if (n, n) in allowed else "")
                )
            if not is_traced(leaf) and not np.isfinite(leaf).all():
                raise ValueError(f"{where}.{name} is not finite: {np.asarray(leaf)[~np.isfinite(leaf)][0]}")


def _check_functions(net: "Network") -> None:
    """Shapes of what the user's own equations return, found by tracing them once."""
    model, n = net.model, net.n_nodes
    y = jax.eval_shape(lambda: model.start(n))
    if y.shape != (len(model.states), n):
        raise ValueError(
            f"{type(model).__name__}.start returns {y.shape}, expected (state, node) = {(len(model.states), n)}"
        )
    for name, coupling in net.couplings.items():
        try:
            _check_coupling(net, name, coupling, y)
        except TypeError as error:
            handed = [*coupling.source_states, *getattr(coupling, "of_connections", ())]
            if handed and "NoneType" in str(error):
                error.add_note(
                    f"gyrax: {', '.join(handed)} of {type(coupling).__name__} are no attributes of self within its methods: encode, source_drift, "
                    "message and edge_drift take them as arguments of these names; decode has none of them"
                )
            raise
    u = jax.ShapeDtypeStruct((len(model.inputs), n), y.dtype)
    dy = jax.eval_shape(lambda y, u: model.drift(0.0, y, u), y, u)
    if getattr(dy, "shape", None) != y.shape:
        raise ValueError(
            f"{type(model).__name__}.drift must return an array of the state's shape {y.shape}, one row a state "
            f"(jnp.stack does it); it returns {dy}"
        )
    if net.stimulus is not None:
        for target, row in jax.eval_shape(net.stimulus, jax.ShapeDtypeStruct((), y.dtype)).items():
            if row.shape not in ((), (n,)):
                raise ValueError(f"the stimulus of '{target}' has shape {row.shape}, expected one value a node ({n},)")


def _check_coupling(net: "Network", name: str, coupling: AbstractCoupling, y: Any) -> None:
    """What a coupling sends, and makes of what it hears, has the shapes that are wanted."""
    size = net.size(coupling)
    _check_own(net, name, coupling)
    whole = jax.eval_shape(net.whole, y)
    sent = jax.eval_shape(lambda y: net.sent(name, y), whole)
    if sent.ndim != 2 or sent.shape[1] != size:
        raise ValueError(f"{name}.encode returns shape {sent.shape}, expected (feature, {size})")
    own = jax.eval_shape(lambda y: net.sources(coupling, y), y)
    degree = jax.ShapeDtypeStruct((size,), y.dtype)
    total = _total(name, coupling, sent, own)
    fed, targets = jax.eval_shape(bare(coupling).decode, total, own, degree), net.targets(coupling)
    if fed.shape != (len(targets), size):
        raise ValueError(
            f"{name} feeds {targets}, so its decode must return shape ({len(targets)}, {size}); it returns {fed.shape}. "
            "Name as many inputs with target= as it has rows"
        )
    _check_own_values(net, name, coupling, total, sent, own)


def _check_own(net: "Network", name: str, coupling: AbstractCoupling) -> None:
    """States that a coupling has of its own are of the network's regions, and their derivatives fit."""
    sources, edges = names_of(coupling)
    if unknown := [state for state in coupling.limits if state not in (*sources, *edges)]:
        raise ValueError(f"{name} has limits for '{unknown[0]}', and its states are {(*sources, *edges)}")
    if not (sources or edges):
        return
    if net.surface is not None:
        raise ValueError(
            f"{name} ({type(coupling).__name__}) has states of its own, {', '.join((*sources, *edges))}, one a region or connection, and a "
            "network with a surface carries one a vertex: leave surface= out"
        )
    if both := set(sources) & set(edges):
        raise ValueError(
            f"{name} has '{both.pop()}' twice, as a state of sources and of connections: call one of them otherwise"
        )
    if taken := {f"{name}.{state}" for state in (*sources, *edges)} & {*net.model.states, *net.model.outputs}:
        raise ValueError(f"'{taken.pop()}' is of the model and of the coupling '{name}': call the coupling otherwise")
    x = jax.eval_shape(lambda: net.sources(coupling, net.start()))
    node = (x.shape[1],)
    states = {state: jax.ShapeDtypeStruct((1, *node), x.dtype) for state in sources}
    flow = jax.eval_shape(lambda x, own: source_flow(coupling, x, own), x, states)
    _check_flow(f"{name}.source_drift", flow, sources, node, "region")


def _check_flow(who: str, flow: Any, states: tuple[str, ...], shape: tuple[int, ...], each: str) -> None:
    """Derivatives are of the states that there are, one for each.

    Raises:
        ValueError: for others, or of another shape.
    """
    if not isinstance(flow, dict) or set(flow) != set(states):
        got = tuple(flow) if isinstance(flow, dict) else type(flow).__name__
        line = "{" + ", ".join(f'"{state}": ...' for state in states) + "}"
        raise ValueError(f"{who} returns time derivatives by name, {line}; it returned {got}")
    for state, what in flow.items():
        if getattr(what, "shape", None) != shape:
            raise ValueError(
                f"{who} returns for '{state}' shape {getattr(what, 'shape', what)}: expected {shape}, one number a {each}"
            )


def _total(name: str, coupling: AbstractCoupling, sent: Any, x: Any) -> Any:
    """What a coupling decodes: sums of what is sent, or of the messages of pairs.

    Raises:
        ValueError: if its message does not answer each pair.
    """
    if not isinstance(coupling, AbstractPairCoupling):
        return sent
    source, own, states = _at_connections(coupling, sent, x)
    places = source.shape[1:]
    made = jax.eval_shape(lambda c, *given: Messages.of(c).made(c, *given), coupling, (source, own), states)
    flow = jax.eval_shape(lambda c, *given: Messages.of(c).flow(c, *given), coupling, (source, own), states)
    _check_flow(f"{name}.edge_drift", flow, coupling.edge_states, places, "connection")
    if getattr(made, "shape", ())[1:] != places or len(made.shape) != 3:
        raise ValueError(
            f"the message of {name} is of each pair by itself, (message, ...) of ends (source, ...): of ends of shape {source.shape} it "
            f"returns {getattr(made, 'shape', made)}"
        )
    _check_apart(name, coupling, len(sent), len(x))
    return jax.ShapeDtypeStruct((len(made), x.shape[1]), made.dtype)


def _at_connections(coupling: AbstractPairCoupling, sent: Any, x: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Shapes of what a coupling of pairs is handed: both ends of its connections, and their states by name."""
    assert coupling.edges is not None
    places = coupling.edges.shape
    source, own = (jax.ShapeDtypeStruct((len(rows), *places), rows.dtype) for rows in (sent, x))
    return source, own, {name: jax.ShapeDtypeStruct(places, x.dtype) for name in coupling.edge_states}


def _check_apart(name: str, coupling: AbstractPairCoupling, sent: int, own: int) -> None:
    """What a connection hands on and how it moves is its own: another one's values change nothing of it. Tried with random numbers.

    Raises:
        ValueError: if they do, as a sum over connections would, in which places that are none would count too.
    """
    assert coupling.edges is not None
    places = coupling.edges.shape
    if is_traced(*jax.tree.leaves(eqx.filter(coupling, eqx.is_array))) or places[0] * places[1] < 2:
        return
    rng, messages = np.random.default_rng(0), Messages.of(coupling)
    given = {"": rng.uniform(0.1, 0.9, (sent, *places)), " ": rng.uniform(0.1, 0.9, (own, *places))}
    given |= {state: rng.uniform(0.1, 0.9, places) for state in coupling.edge_states}

    def made(given: dict[str, Any]) -> dict[str, Any]:
        x = {state: jnp.asarray(values) for state, values in given.items()}
        ends = x.pop(""), x.pop(" ")
        return {"message": messages.made(coupling, ends, x)} | messages.flow(coupling, ends, x)

    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        first = made(given)
        for x in given.values():
            x[..., 0, 0] += 3.0
        second = made(given)
    for what, before in first.items():
        apart = ~np.isclose(before, second[what], rtol=1e-6, equal_nan=True)
        apart[..., 0, 0] = False
        if apart.any():
            where = f"the message of {name}" if what == "message" else f"{name}.edge_drift of '{what}'"
            raise ValueError(
                f"{where} is of each connection by itself, and one's values change another's: it is written element by element, without sums or "
                "other steps across connections"
            )


def _check_own_values(net: "Network", name: str, coupling: AbstractCoupling, total: Any, sent: Any, x: Any) -> None:
    """A coupling from one group to another cannot compare with a target's own value: it has none."""
    block = net.block(coupling)
    if block is None or set(block[0]) <= set(block[1]):
        return

    def made(x, total):
        if not isinstance(coupling, AbstractPairCoupling):
            return bare(coupling).decode(total, x, jnp.zeros(x.shape[1]))
        messages = Messages.of(coupling)
        source, _, states = jax.tree.map(
            lambda like: jnp.ones(like.shape, like.dtype), _at_connections(coupling, sent, x)
        )
        ends = source, messages.everywhere(x)
        heard = messages.made(coupling, ends, states), messages.flow(coupling, ends, states)
        return heard, bare(coupling).decode(total, x, jnp.zeros(x.shape[1]))

    jaxpr = jax.make_jaxpr(made)(x, total).jaxpr
    if any(depends(jaxpr, jaxpr.invars[:1])):
        raise ValueError(
            f"{name} ({type(coupling).__name__}) compares what a region hears with its own {coupling.source}, which the "
            f"regions that have {net.targets(coupling)} do not have"
        )
