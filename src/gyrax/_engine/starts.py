"""Where a run starts: at a state, after a history, or where an earlier run ended."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import owned
from ..labelled import check_same, known_names
from ..network.carrying import begin as first_rows
from ..network.carrying import names_of_rows, opened
from ..network.living import between
from ..network.pairs import edges_of
from ..recordings import Final, History, Recording
from ..recordings.carried import check_carried
from .carry import Carry, Parts
from .loops import inputs
from .prepare import Setup
from .reads import Arrivals


def begin(setup: Setup, start: Any, key: Any) -> Final:
    """The place a run starts from, in the form in which runs end.

    Args:
        setup: of the run.
        start: as `simulate` is given it.
        key: of the run's noise.

    Raises:
        ValueError: for a state, history or earlier run that does not fit.
    """
    network, ears = setup.network, setup.ears
    kinds = tuple((name, ear.kind) for name, ear in ears.items())
    if isinstance(start, Final):
        check_carried(network, start, "start=")
        _check_same_kinds(setup, start)
        states = {name: start.monitors[name] for name in ears if name in start.monitors}
        phases = {name: dict(start.phases).get(name, 0) for name in ears}
        return dataclasses.replace(start, monitors=states, key=None, phases=tuple(phases.items()), kinds=kinds)
    y, history = _state_and_history(setup, start)
    phases = tuple((name, 0) for name in ears)
    zero = jnp.zeros((), jnp.int32)
    return Final(
        first_rows(network, y, key),
        history,
        {},
        zero,
        None,
        setup.dt,
        phases,
        kinds,
        network.labels,
        names_of_rows(network),
    )


def _check_same_kinds(setup: Setup, start: Final) -> None:
    """What an earlier run kept is of the couplings and monitors that go on."""
    for name in setup.delays:
        if name not in start.history:
            raise ValueError(f"the run that start= comes from kept no history for the delayed coupling {name}")
    before = dict(start.kinds)
    for name, ear in setup.ears.items():
        if name in start.monitors and before[name] != ear.kind:
            raise ValueError(
                f"monitor '{name}' was {before[name]} in the run that start= comes from and is now "
                f"{ear.kind}: leave it as it was, or give it another name"
            )


def _state_and_history(setup: Setup, start: Any) -> tuple[Array, dict[str, Array | None]]:
    """The model's states at the start; and what was sent before, None where they have always been so."""
    network = setup.network
    expected = (len(network.model.states), network.n_nodes)
    if isinstance(start, Recording):
        start = History.of(start, network.model.states)
    if isinstance(start, History):
        check_same(start.labels, network.labels, "start", "the network")
        return start.values[-1], dict(_sent_before(setup, start, expected))
    start, names = (network.start(), ()) if start is None else known_names(start)
    check_same(names[-1] if names else None, network.labels, "start", "the network")
    y = owned(start, jnp.result_type(float))
    if y.shape != expected:
        raise ValueError(f"start has shape {y.shape}, expected (state, node) = {expected}")
    return y, dict.fromkeys(setup.delays)


def _sent_before(setup: Setup, history: History, expected: tuple[int, int]) -> dict[str, Array]:
    """What the regions have sent, `(node, depth * feature)`, by delayed coupling."""
    network = setup.network
    if history.values.shape[1:] != expected:
        raise ValueError(f"start has states of shape {history.values.shape[1:]}, expected (state, node) = {expected}")
    if not setup.delays:
        return {}
    past, found = history.ago(setup.dt * np.arange(setup.depth)[::-1]), {}
    for name in setup.delays:
        sent = jax.vmap(lambda y, name=name: network.sent(name, network.whole(y)))(past)
        found[name] = jnp.moveaxis(sent, 2, 0).reshape(network.n_regions, -1)
    return found


def filled(setup: Setup, parts: Parts, place: Final) -> Carry:
    """The carry at the start: a history that fits, where there is none yet, what is heard of it, and monitors at rest.

    Args:
        setup: of the run.
        parts: of the run.
        place: where it starts.
    """
    network, depth, y = setup.network, setup.depth, opened(setup.network, place.y)
    history, heard = {}, {}
    for name in setup.delays:
        given, sent = place.history[name], network.sent(name, y)
        history[name] = jnp.tile(sent.T, (1, depth)) if given is None else given
        expected = (network.n_regions, depth * len(sent))
        if history[name].shape != expected:
            raise ValueError(
                f"the history of '{name}' has shape {history[name].shape}, expected {expected}: start= comes from a network "
                "with other delays, or had another stepsize_controller"
            )
        past = history[name].reshape(network.n_regions, depth, len(sent))
        edges, steps, shares = edges_of(network.couplings[name]), parts.steps[name], parts.delayed[name]
        ago = reversed(range(setup.known))
        if edges is None:
            rows = [_heard(past, steps + before, shares) for before in ago]
        else:
            arrivals = Arrivals.prepare(edges, steps, shares, len(sent), depth, depth)
            rows = [arrivals.read(history[name], -1 - before) for before in ago]
        heard[name] = jnp.stack(rows)
    states = dict(place.monitors)
    for name, monitor in setup.monitors.items():
        if name not in states:
            source, now = setup.ears[name].source, {n: h[-1] for n, h in heard.items()}
            if monitor.of_connections:
                x = between(network, parts.instant, source, y)
            else:
                x = inputs(parts, source, setup.dt, 0, y, now) if monitor.afferent else network.observed(source, y)
            states[name] = monitor.begin(x, setup.dt)
    failed_at = jnp.full(network.n_nodes, -1, jnp.int32)
    return Carry(y, history, heard, states, failed_at, jnp.zeros((), jnp.int32))


def _heard(
    past: Float[Array, "node depth feature"],
    steps: Int[Array, "target source"],
    weights: tuple[Float[Array, "target source"], ...],
) -> Float[Array, "feature target"]:
    """Delayed sums, one connection at a time. What is older than the history counts as its oldest."""
    sources, total = jnp.arange(len(past))[None], 0.0
    for back, w in enumerate(weights):
        read = past[sources, jnp.maximum(past.shape[1] - 1 - steps - back, 0)]
        total = total + jnp.einsum("ts,tsf->ft", w, read)
    return jnp.asarray(total)
