"""Runs a network: checks what was asked for, lays out the loops, puts their samples in order."""

import dataclasses
import functools
import math
import warnings
from typing import Any, Literal

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._engine.backward import plain_segment, run_segment
from ._engine.carry import Carry, Parts
from ._engine.lengths import Sampling, Segment, divisors, plan
from ._engine.loops import Engine, inputs
from ._engine.prepare import assemble, stacked
from ._engine.reads import windows
from ._types import State, is_traced
from .anatomy.connectome import Connectome
from .monitors import AbstractMonitor, Raw
from .network.network import Network
from .recordings.history import History
from .recordings.recording import Recording
from .recordings.run import Final, Run
from .solvers import Heun

#: Steps whose noise is drawn at a time.
_CHUNK = 1024
#: Bytes of a run's path above which a gradient recomputes it chunk by chunk instead of keeping it.
_KEPT = 64e6
#: Rows that autodiff keeps of a step for every row of its path.
_RESIDUALS = 8


def simulate(
    network: Network,
    duration: float,
    dt: float,
    *,
    solver: dfx.AbstractSolver | None = None,
    stepsize_controller: dfx.AbstractStepSizeController | None = None,
    monitors: dict[str, AbstractMonitor] | AbstractMonitor | None = None,
    key: Any = None,
    start: State | Float[np.ndarray, "state node"] | History | Recording | Final | None = None,
    autodiff: Literal["reverse", "forward"] = "reverse",
    gradient_horizon: float | None = None,
) -> Run:
    """Simulates a network and records it.

    Works under `jit`, `grad` and `vmap`; a second call with the same shapes does not compile again, whatever the values
    of the parameters.

    Args:
        network: what to run.
        duration: ms, a whole number of steps.
        dt: ms a step.
        solver: any diffrax solver; `gx.solvers.Heun()` if left out.
        stepsize_controller: such as `diffrax.PIDController(rtol, atol)`, for a solver that estimates its error and a network
            without noise: steps as they need be, between the grid points of dt at which states are recorded and histories
            kept. Delayed input is interpolated to third order. Left out, steps of dt.
        monitors: what to record, by name; `{"raw": Raw()}` if left out, `{}` for nothing. One alone is called 'monitor'.
        key: `jax.random.key(...)` for the noise. A run that goes on from `run.final` draws on from its key, unless given another.
        start: `run.final` of an earlier run, to go on exactly, monitors included (with a stepsize_controller, which begins
            its steps anew, within its tolerances); a state `(state, node)`, which then has also been the state at all
            times before; a `gx.History`, or a recording of all states, which says what has; left out, the model's own start.
        autodiff: "reverse" for `jax.grad`; "forward" for `jax.jvp` and `jax.jacfwd` too, with slower gradients of delays.
        gradient_horizon: ms over which gradients look back: at its multiples the network's state, what it has sent and what
            it hears just then count as given, which tames them where the activity is chaotic. Monitors are not cut. Left
            out, gradients look back to the start.

    Raises:
        ValueError: if duration or a period is no multiple of dt, a key is missing, names do not exist, shapes do not match,
            a delay is outside of its bounds, or the solver needs more of the noise than its increments.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.WongWang(), gx.couplings.Linear(source="S"), gx.datasets.load("dk84").connectome)
        >>> run = gx.simulate(net, duration=100.0, dt=1.0, monitors={"mean": gx.monitors.TemporalAverage(period=10.0)})
        >>> run["mean"].values.shape
        (10, 1, 84)
    """
    if not dt > 0:
        raise ValueError(f"dt is a positive number of ms, got {dt}")
    solver = Heun() if solver is None else solver
    _check_solver(solver, network)
    monitors = {"raw": Raw()} if monitors is None else monitors
    monitors = {"monitor": monitors} if isinstance(monitors, AbstractMonitor) else dict(monitors)
    for name, monitor in monitors.items():
        _check_monitor(name, monitor, network)
    final = start if isinstance(start, Final) else None
    if final is not None and final.dt != dt:
        raise ValueError(
            f"the earlier run had dt = {final.dt} ms and this has {dt}: a history cannot go on with another step"
        )
    key = final.key if key is None and final is not None else key
    noisy = ["this network"] * bool(network.noises) + [f"monitor '{n}'" for n, m in monitors.items() if m.noisy]
    if noisy and key is None:
        raise ValueError(f"{noisy[0]} has noise: give simulate a key=jax.random.key(0)")
    if stepsize_controller is not None and network.noises:
        raise ValueError("a stepsize_controller is for networks without noise: leave it out, or the network's noise")
    if isinstance(stepsize_controller, dfx.ConstantStepSize):
        stepsize_controller = None
    network = _check_delays(network)
    steps = _whole(duration, dt, "duration")
    horizon = None if gradient_horizon is None else _whole(gradient_horizon, dt, "gradient_horizon")
    if autodiff not in ("reverse", "forward"):
        raise ValueError(f"autodiff is 'reverse' or 'forward', got {autodiff!r}")
    begin = _begin(network, monitors, start, key, dt, _depth(network, dt, stepsize_controller))
    run = _run(network, monitors, solver, stepsize_controller, begin, key, dt, steps, autodiff, horizon)
    if not is_traced(run.failed_at) and not run.finite:
        warnings.warn(run.failure, RuntimeWarning, stacklevel=2)
    return run


def _check_solver(solver: dfx.AbstractSolver, network: Network) -> None:
    if network.noises and getattr(solver, "minimal_levy_area", None) not in (
        None,
        dfx.AbstractBrownianIncrement,
    ):
        raise ValueError(
            f"{type(solver).__name__} needs Levy areas of the noise, which a run does not draw: use gx.solvers.Heun()"
        )
    if isinstance(solver.term_structure, tuple):
        raise ValueError(f"{type(solver).__name__} wants separate terms for parts of the state: a network has one")


def _check_monitor(name: str, monitor: AbstractMonitor, network: Network) -> None:
    model = network.model
    if not isinstance(monitor, AbstractMonitor):
        raise TypeError(f"monitors['{name}'] is no monitor but {monitor!r}")
    there = f"the states {model.states} and the outputs {model.outputs}"
    if monitor.afferent:
        there = f"the inputs {model.inputs}"
        if not model.inputs:
            raise ValueError(f"monitor '{name}' reads inputs, but {type(model).__name__} has none")
    for source in monitor.source or ():
        if source not in (model.inputs + model.fed if monitor.afferent else model.states + model.outputs):
            raise ValueError(f"monitor '{name}' reads '{source}', but {type(model).__name__} has {there}")
    try:
        monitor.channels(network.channels(_sources(monitor, network)))
    except ValueError as error:
        raise ValueError(f"monitor '{name}' does not fit the network: {error}") from error


def _check_delays(network: Network) -> Network:
    """The network, with the runtime check tied to its weights where values are not known yet."""
    for name, delay in network.delays.items():
        coupling = network.couplings[name]
        weights: Any = network.weights(coupling)
        checked = delay.check(network.wiring(coupling), weights)
        if checked is weights:
            continue
        where = functools.partial(_weights_leaf, name=name)
        within = network.within(coupling)
        tied = checked if within is None else jnp.where(within, checked, where(network))
        network = eqx.tree_at(where, network, tied)
    return network


def _weights_leaf(network: Network, name: str) -> Any:
    """Where the weights of a coupling are kept."""
    own = network.couplings[name].weights
    return network.connectome.weights if own is None else own.weights if isinstance(own, Connectome) else own


def _sources(monitor: AbstractMonitor, network: Network) -> tuple[str, ...]:
    if monitor.source is not None:
        return monitor.source
    return network.model.inputs if monitor.afferent else network.model.states


def _whole(duration: float, dt: float, what: str) -> int:
    """Number of steps in a duration, which must be whole."""
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"{what} is a positive number of ms, got {duration}")
    steps = round(duration / dt)
    if steps < 1 or abs(steps * dt - duration) > 1e-6 * dt * max(1, math.sqrt(steps)):
        near = sorted({max(1, math.floor(duration / dt)) * dt, math.ceil(duration / dt) * dt})
        raise ValueError(
            f"{what} = {duration} ms is not a whole number of steps of dt = {dt} ms; take {' or '.join(f'{x:.10g}' for x in near)} ms"
        )
    return steps


def _begin(
    network: Network, monitors: dict[str, AbstractMonitor], start: Any, key: Any, dt: float, depth: int
) -> Final:
    """The carry of a run before its first step."""
    if isinstance(start, Final):
        y, history, step, phases = start.y, start.history, start.step, dict(start.phases)
        missing = [n for n in network.delays if n not in history]
        if missing:
            raise ValueError(f"the run that start= comes from kept no history for the delayed coupling {missing[0]}")
        states = {name: start.monitors[name] for name in monitors if name in start.monitors}
        kinds = dict(start.kinds)
        for name in states:
            if kinds[name] != _kind(monitors[name], network):
                raise ValueError(
                    f"monitor '{name}' was {kinds[name]} in the run that start= comes from and is now "
                    f"{_kind(monitors[name], network)}: leave it as it was, or give it another name"
                )
    else:
        history, step, phases, states = None, jnp.zeros((), jnp.int32), {}, {}
        if isinstance(start, Recording):
            start = History.of(start, network.model.states)
        if isinstance(start, History):
            y, history = start.values[-1], _past(network, start, dt, depth)
        else:
            y = network.start() if start is None else jnp.asarray(start, jnp.result_type(float))
        expected = (len(network.model.states), network.n_nodes)
        if y.shape != expected:
            raise ValueError(f"start has shape {y.shape}, expected (state, node) = {expected}")
        y = network.with_memory(y, key)
    if y.shape != (network.n_rows, network.n_nodes):
        raise ValueError(
            f"the run that start= comes from had {len(y)} rows of states and coloured noise in {y.shape[1]} nodes, this "
            f"network has {network.n_rows} in {network.n_nodes}"
        )
    if history is None:
        history = {name: jnp.zeros(()) for name in network.delays}  # filled in by the engine, which knows its shape
    kinds = tuple((name, _kind(monitor, network)) for name, monitor in monitors.items())
    return Final(y, history, states, step, None, dt, tuple((name, phases.get(name, 0)) for name in monitors), kinds)


def _past(network: Network, history: History, dt: float, depth: int) -> dict[str, Array]:
    """What the regions have sent, `(node, depth * feature)`, by delayed coupling."""
    expected = (len(network.model.states), network.n_nodes)
    if history.values.shape[1:] != expected:
        raise ValueError(f"start has states of shape {history.values.shape[1:]}, expected (state, node) = {expected}")
    if not network.delays:
        return {}
    past, found = history.ago(dt * np.arange(depth)[::-1]), {}
    for name in network.delays:
        sent = jax.vmap(lambda y, c=network.couplings[name]: network.sent(c, y))(past)
        found[name] = jnp.moveaxis(sent, 2, 0).reshape(network.n_regions, -1)
    return found


def _depth(network: Network, dt: float, controller: Any) -> int:
    """Samples of history to keep; cubic interpolation looks two sums further back."""
    if not network.delays:
        return 0
    return max(delay.depth(dt) for delay in network.delays.values()) + (0 if controller is None else 2)


def _kind(monitor: AbstractMonitor, network: Network) -> str:
    every = "" if monitor.period is None else f" every {monitor.period:g} ms"
    return f"{monitor.kind} of {', '.join(_sources(monitor, network))}{every}"


@eqx.filter_jit
def _run(
    network: Network,
    monitors: dict[str, AbstractMonitor],
    solver: dfx.AbstractSolver,
    controller: dfx.AbstractStepSizeController | None,
    begin: Final,
    key: Any,
    dt: float,
    steps: int,
    autodiff: str,
    horizon: int | None,
) -> Run:
    periods = {
        name: 1 if m.period is None else _whole(m.period, dt, f"the period of '{name}'") for name, m in monitors.items()
    }
    strides = {name: m.stride(dt, periods[name]) for name, m in monitors.items()}
    first, phases = dict(begin.phases), dict(begin.phases)
    lags = {}
    for name, delay in network.delays.items():
        assert delay.spans is not None
        lags[name] = delay.reach(dt)[0], delay.spans.connected
    cycles = {name: m.cycles(dt, periods[name]) for name, m in monitors.items()}
    limits = [Sampling(periods, strides, cycles, first, phases).limits(name) for name in monitors]
    segments = plan(steps, limits, windows(*stacked(lags)) if lags else _CHUNK, horizon)
    parts = assemble(network, monitors, solver, dt, begin.step, controller)
    adjoint = None
    if controller is not None:
        adjoint = dfx.RecursiveCheckpointAdjoint() if autodiff == "reverse" else dfx.ForwardMode()
    depth = _depth(network, dt, controller)
    carry = _carry(network, parts, begin, depth, 1 if adjoint is None else 3, dt)
    samples: dict[str, list[Array]] = {name: [] for name in monitors}
    for segment in segments:
        sampling = Sampling(periods, strides, cycles, first, phases)
        engine = dataclasses.replace(
            _engine(network, monitors, dt, segment, sampling, lags, depth), horizon=horizon, adjoint=adjoint
        )
        carry, found = _segment(engine, parts, carry, key, autodiff)
        for name, values in found.items():
            samples[name].append(values[sampling.due(name, segment)])
        phases = {name: (phases[name] + segment.steps) % periods[name] for name in monitors}
    final = dataclasses.replace(
        begin,
        y=carry.y,
        history=carry.history,
        monitors=carry.monitors,
        step=begin.step + steps,
        key=key,
        phases=tuple(phases.items()),
    )
    recordings = {}
    for name, monitor in monitors.items():
        channels = monitor.channels(network.channels(_sources(monitor, network)))
        recordings[name] = Recording(
            jnp.concatenate(samples[name]),
            # the first sample's step: what is left of a period that an earlier run began
            begin.step + periods[name] - first[name],
            periods[name] * dt,
            dt,
            monitor.stamp,
            ("time", *(channels.dim if dim == "region" else dim for dim in monitor.dims)),
            _sources(monitor, network),
            channels.labels,
            channels.dim,
            tuple(monitor.axes(dt).items()),
        )
    return Run(recordings, final, carry.failed_at, dt, steps, network.labels)


def _features(network: Network) -> dict[str, int]:
    """Rows that each delayed coupling sends."""
    sent = lambda c: jax.eval_shape(lambda: network.sent(c, network.start()))  # noqa: E731
    return {name: sent(network.couplings[name]).shape[0] for name in network.delays}


def _carry(network: Network, parts: Parts, begin: Final, depth: int, known: int, dt: float) -> Carry:
    """The start with a history that fits, where there is none yet, what is heard of it, and monitors at rest."""
    history, heard = {}, {}
    for name in network.delays:
        given, sent = begin.history[name], network.sent(network.couplings[name], begin.y)
        history[name] = jnp.tile(sent.T, (1, depth)) if given.ndim == 0 else given
        expected = (network.n_regions, depth * len(sent))
        if history[name].shape != expected:
            raise ValueError(
                f"the history of '{name}' has shape {given.shape}, expected {expected}: start= comes from a network with "
                "other delays, or had another stepsize_controller"
            )
        past = history[name].reshape(network.n_regions, depth, len(sent))
        rows = [_heard(past, parts.steps[name] + before, parts.delayed[name]) for before in reversed(range(known))]
        heard[name] = jnp.stack(rows)
    states = dict(begin.monitors)
    for name, monitor in parts.monitors.items():
        if name not in states:
            names, now = _sources(monitor, network), {n: h[-1] for n, h in heard.items()}
            x = inputs(parts, names, dt, 0, begin.y, now) if monitor.afferent else network.observed(names, begin.y)
            states[name] = monitor.begin(x, dt)
    failed_at = jnp.full(network.n_nodes, -1, jnp.int32)
    return Carry(begin.y, history, heard, states, failed_at, jnp.zeros((), jnp.int32))


def _heard(past: Float[Array, "node depth feature"], steps: Array, weights: tuple[Array, ...]) -> Array:
    """Delayed sums, one connection at a time: `(feature, node)`. What is older than the history counts as its oldest."""
    sources, total = jnp.arange(len(past))[None], 0.0
    for back, w in enumerate(weights):
        read = past[sources, jnp.maximum(past.shape[1] - 1 - steps - back, 0)]
        total = total + jnp.einsum("ts,tsf->ft", w, read)
    return jnp.asarray(total)


def _engine(
    network: Network,
    monitors: dict[str, AbstractMonitor],
    dt: float,
    segment: Segment,
    sampling: Sampling,
    lags: Any,
    depth: int,
) -> Engine:
    features = _features(network)
    states, n = network.n_rows, network.n_nodes
    # Memory of a gradient that recomputes: first values of every chunk, path of one. Equal shares are the least.
    ahead = states + depth * sum(features.values())
    path = 3 * (states + len(network.noisy) + sum(features.values()))
    best = max(_CHUNK // 4, min(8 * _CHUNK, math.isqrt(segment.steps * ahead // path)))
    return Engine(
        dt,
        segment,
        sampling,
        max(1, best // segment.tick),
        {name: _sources(m, network) for name, m in monitors.items()},
        any(m.afferent for m in monitors.values()),
        lags,
        depth,
        features,
        (states, n),
        network.n_regions,
    )


def _segment(engine: Engine, parts: Any, carry: Carry, key: Any, autodiff: str) -> tuple[Carry, dict[str, Array]]:
    """All ticks: chunks of equal length, then the ticks that are left; samples by tick."""
    segment = engine.segment
    per_chunk = min(engine.per_chunk, segment.ticks)
    fitting = max(k for k in divisors(segment.ticks) if k <= per_chunk)
    if fitting * 4 >= per_chunk:
        per_chunk = fitting
    lengths = [(segment.ticks // per_chunk, per_chunk), (1, segment.ticks % per_chunk)]
    rows = sum(engine.features.values()) + engine.shape[0]
    # Without delays there is nothing for the adjoint to win (docs/design.md).
    by_hand = autodiff == "reverse" and engine.features and engine.adjoint is None
    rows *= 1 if by_hand else _RESIDUALS
    keep = segment.steps * rows * engine.shape[1] * jnp.result_type(float).itemsize <= _KEPT
    run = run_segment if by_hand else plain_segment
    pieces = []
    for chunks, ticks in lengths:
        if chunks * ticks:
            step = carry.step + chunks * ticks * segment.tick
            carry, found = run(dataclasses.replace(engine, per_chunk=ticks), parts, carry, key, chunks, keep)
            carry = dataclasses.replace(carry, step=step)
            pieces.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), found))
    return carry, jax.tree.map(lambda *x: jnp.concatenate(x), *pieces)
