"""Runs a network: steps in windows (delays), windows in ticks (monitors), ticks in chunks (noise, checkpoints)."""

import dataclasses
import math
import warnings
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._types import State, is_traced
from .delays import DelayedSum
from .monitors import AbstractMonitor, Raw, Window
from .network import Afferent, Network, prepared
from .noise import increments
from .recording import Recording, Run
from .schedule import Segment, divisors, plan
from .solvers import Heun

#: Steps whose noise is drawn at a time.
_CHUNK = 1024
#: Bytes of intermediate values above which a gradient recomputes them chunk by chunk instead of keeping them.
_KEPT = 128e6


class Final(eqx.Module):
    """Where a run ended: all that is needed to go on as if it had not. Pass it as `start=`."""

    y: State
    history: dict[str, Array]
    monitors: dict[str, Any]
    step: Int[Array, ""]
    key: Any
    dt: float = eqx.field(static=True)
    phases: tuple[tuple[str, int], ...] = eqx.field(static=True)
    kinds: tuple[tuple[str, str], ...] = eqx.field(static=True)

    def __repr__(self):
        at = "" if is_traced(self.step) else f" at {int(self.step) * self.dt:g} ms"
        return f"Final(state {self.y.shape}{at}, monitors: {', '.join(self.monitors) or 'none'})"


def simulate(
    network: Network,
    duration: float,
    dt: float,
    *,
    solver: dfx.AbstractSolver | None = None,
    monitors: dict[str, AbstractMonitor] | AbstractMonitor | None = None,
    key: Any = None,
    start: State | Float[np.ndarray, "state node"] | Final | None = None,
) -> Run:
    """Simulates a network and records it.

    Works under `jit`, `grad` and `vmap`; a second call with the same shapes does not compile again, whatever the values
    of the parameters.

    Args:
        network: what to run.
        duration: ms, a whole number of steps.
        dt: ms a step.
        solver: any diffrax solver of fixed steps; `gx.solvers.Heun()` if left out.
        monitors: what to record, by name; `{"raw": Raw()}` if left out, `{}` for nothing. One alone is called 'monitor'.
        key: `jax.random.key(...)` for the noise. A run that goes on from `run.final` draws on from its key, unless given another.
        start: `run.final` of an earlier run, to go on exactly, monitors included; a state `(state, node)`, which then
            has also been the state at all times before; left out, the model's own start.

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
    if network.noise is not None and key is None:
        raise ValueError("this network has noise: give simulate a key=jax.random.key(0)")
    network = _check_delays(network)
    steps = _whole(duration, dt, "duration")
    run = _run(network, monitors, solver, _begin(network, monitors, start, dt), key, dt, steps)
    if not is_traced(run.failed_at) and not run.finite:
        warnings.warn(run.failure, RuntimeWarning, stacklevel=2)
    return run


def _check_solver(solver: dfx.AbstractSolver, network: Network) -> None:
    if network.noise is not None and getattr(solver, "minimal_levy_area", None) not in (
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
    for source in monitor.source or ():
        if source not in model.states + model.outputs:
            raise ValueError(
                f"monitor '{name}' reads '{source}', but {type(model).__name__} has the states {model.states} and the "
                f"outputs {model.outputs}"
            )


def _check_delays(network: Network) -> Network:
    """The network, with the runtime check tied to its weights where values are not known yet."""
    delay = network.delay
    if delay is None:
        return network
    for name, coupling in network.couplings.items():
        weights = network.weights(coupling)
        checked = delay.check(network.connectome, weights)
        if checked is not weights:
            where = lambda n, c=name: n.connectome.weights if n.couplings[c].weights is None else n.couplings[c].weights  # noqa: E731
            network = eqx.tree_at(where, network, checked)
    return network


def _check_samples(name: str, monitor: AbstractMonitor, samples: Any, expected: int) -> None:
    shape = jnp.shape(samples)
    if len(shape) != 1 + len(monitor.dims) or shape[0] != expected:
        raise ValueError(
            f"the update of monitor '{name}' must return one sample {monitor.dims} for each stride that ends in the window "
            f"(window.whole, or one for a piece): expected {expected} along the first of {1 + len(monitor.dims)} axes, "
            f"got shape {shape}; what the axes of a sample are is said by its dims"
        )


def _sources(monitor: AbstractMonitor, network: Network) -> tuple[str, ...]:
    return network.model.states if monitor.source is None else monitor.source


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


def _begin(network: Network, monitors: dict[str, AbstractMonitor], start: Any, dt: float) -> Final:
    """The carry of a run before its first step."""
    if isinstance(start, Final):
        y, history, step, phases = start.y, start.history, start.step, dict(start.phases)
        missing = [n for n in _delayed(network) if n not in history]
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
        y = network.start() if start is None else jnp.asarray(start, jnp.result_type(float))
        history, step, phases, states = None, jnp.zeros((), jnp.int32), {}, {}
    expected = (len(network.model.states), network.n_regions)
    if y.shape != expected:
        raise ValueError(f"start has shape {y.shape}, expected (state, node) = {expected}")
    for name, monitor in monitors.items():
        if name not in states:
            states[name] = monitor.init(network.model.read(_sources(monitor, network), y))
    if history is None:
        history = {name: jnp.zeros(()) for name in _delayed(network)}  # filled in by the engine, which knows its shape
    kinds = tuple((name, _kind(monitor, network)) for name, monitor in monitors.items())
    return Final(y, history, states, step, None, dt, tuple((name, phases.get(name, 0)) for name in monitors), kinds)


def _kind(monitor: AbstractMonitor, network: Network) -> str:
    every = "" if monitor.period is None else f" every {monitor.period:g} ms"
    return f"{type(monitor).__name__} of {', '.join(_sources(monitor, network))}{every}"


def _delayed(network: Network) -> list[str]:
    return [] if network.delay is None else list(network.couplings)


@eqx.filter_jit
def _run(
    network: Network,
    monitors: dict[str, AbstractMonitor],
    solver: dfx.AbstractSolver,
    begin: Final,
    key: Any,
    dt: float,
    steps: int,
) -> Run:
    periods = {
        name: 1 if m.period is None else _whole(m.period, dt, f"the period of '{name}'") for name, m in monitors.items()
    }
    strides = {name: m.stride(dt, periods[name]) for name, m in monitors.items()}
    phases = dict(begin.phases)
    longest = network.delay.window(dt) if network.delay is not None else _CHUNK
    segments = plan(steps, [(p[name], phases[name]) for p in (periods, strides) for name in monitors], longest)
    engine = _Engine(network, monitors, solver, key, dt, periods, strides, begin.step, dict(begin.phases))
    carry = engine.carry(begin)
    failed_at = jnp.full(network.n_regions, -1, jnp.int32)
    samples: dict[str, list[Array]] = {name: [] for name in monitors}
    for segment in segments:
        (carry, failed_at), found = engine.run((carry, failed_at), segment, phases)
        for name, values in found.items():
            samples[name].append(values)
        phases = {name: (phases[name] + segment.steps) % periods[name] for name in monitors}
    final = dataclasses.replace(carry, key=key, phases=tuple(phases.items()))
    recordings = {
        name: Recording(
            jnp.concatenate(samples[name]),
            # the first sample's step: what is left of a period that an earlier run began
            begin.step + periods[name] - dict(begin.phases)[name],
            periods[name] * dt,
            dt,
            monitor.stamp,
            ("time", *monitor.dims),
            _sources(monitor, network),
            network.connectome.labels,
        )
        for name, monitor in monitors.items()
    }
    return Run(recordings, final, failed_at, dt, steps, network.connectome.labels)


@dataclasses.dataclass
class _Engine:
    """The nested scans. Lives while a run is traced."""

    network: Network
    monitors: dict[str, AbstractMonitor]
    solver: dfx.AbstractSolver
    key: Any
    dt: float
    periods: dict[str, int]
    strides: dict[str, int]
    first_step: Array
    first_phases: dict[str, int]

    def __post_init__(self):
        net = self.network
        self.degree = net.degree()
        sources = [c.source for c in net.couplings.values()] if net.delay is not None else []
        self.sources = {name: _sources(m, net) for name, m in self.monitors.items()}
        sources += list(self.sources.values())
        self.rows = tuple(dict.fromkeys(name for names in sources for name in names))
        self.delayed: dict[str, DelayedSum] = {}
        self.instant: dict[str, Array] = {}
        for name, coupling in net.couplings.items():
            if net.delay is None:
                self.instant[name] = prepared(net.weights(coupling))
            elif net.delay.window(self.dt) == 0:  # some delays round to no step at all
                self.instant[name] = prepared(net.delay.instant(net.connectome, net.weights(coupling), self.dt))

    def carry(self, begin: Final) -> Final:
        """The start with a history that fits, where there is none yet."""
        net = self.network
        history = {}
        for name in _delayed(net):
            coupling, given = net.couplings[name], begin.history[name]
            sent = coupling.encode(net.model.read(coupling.source, begin.y))
            reader = self._reader(name, 1)
            history[name] = reader.constant(sent) if given.ndim == 0 else given
            if history[name].shape != (net.n_regions, reader.depth * reader.features):
                raise ValueError(
                    f"the history of '{name}' has shape {given.shape}, expected {(net.n_regions, reader.depth * reader.features)}: "
                    "start= comes from a network with other delays"
                )
        return dataclasses.replace(begin, history=history)

    def _reader(self, name: str, window: int) -> DelayedSum:
        net, coupling = self.network, self.network.couplings[name]
        assert net.delay is not None and net.connectome.lengths is not None
        x = jax.eval_shape(lambda: coupling.encode(net.model.read(coupling.source, net.start())))
        return DelayedSum.prepare(
            net.weights(coupling), net.connectome.lengths, net.delay, dt=self.dt, window=window, features=x.shape[0]
        )

    def run(self, carry: Any, segment: Segment, phases: dict[str, int]) -> tuple[Any, dict[str, Array]]:
        """A stretch of equal ticks: chunks of ticks, then the ticks that are left."""
        self.delayed = {name: self._reader(name, segment.window) for name in _delayed(self.network)}
        per_chunk = max(1, _CHUNK // segment.tick)
        fitting = max(k for k in divisors(segment.ticks) if k <= per_chunk)
        if fitting * 4 < per_chunk and segment.ticks > per_chunk:
            first = dataclasses.replace(segment, ticks=segment.ticks // per_chunk * per_chunk)
            rest = dataclasses.replace(segment, ticks=segment.ticks % per_chunk)
            carry, found = self._chunks(carry, first, per_chunk, phases)
            carry, more = self._chunks(carry, rest, rest.ticks, phases)
            found = {name: jnp.concatenate([found[name], more[name]]) for name in found}
        else:
            carry, found = self._chunks(carry, segment, fitting, phases)
        return carry, {name: found[name][self._due(name, segment, phases)] for name in found}

    def _due(self, name: str, segment: Segment, phases: dict[str, int]) -> Any:
        """Which of the candidate samples of a segment lie at the end of a period."""
        period = self.periods[name]
        if segment.tick % period == 0 and phases[name] == 0:
            return slice(None)
        ends = phases[name] + segment.tick * np.arange(1, segment.ticks + 1)
        return np.flatnonzero(ends % period == 0)

    def _chunks(
        self, carry: Any, segment: Segment, per_chunk: int, phases: dict[str, int]
    ) -> tuple[Any, dict[str, Array]]:
        rows = len(self.network.noisy)

        def chunk(carry, _):
            noise = None
            if rows:
                shape = (rows, self.network.n_regions)
                noise = increments(self.key, carry[0].step, per_chunk * segment.tick, shape, self.dt)
                noise = noise.reshape(per_chunk, segment.tick, *shape)
            return jax.lax.scan(lambda c, x: self._tick(c, segment, phases, x), carry, noise, length=per_chunk)

        chunks = segment.ticks // per_chunk
        if self._long(segment.steps):
            chunk = jax.checkpoint(chunk, prevent_cse=False)
        carry, found = jax.lax.scan(chunk, carry, None, length=chunks)
        return carry, {name: x.reshape(-1, *x.shape[3:]) for name, x in found.items()}

    def _long(self, steps: int) -> bool:
        """Whether a gradient had better not keep what every step needs: its state, noise and delayed input."""
        net = self.network
        rows = len(net.model.states) + len(net.noisy) + 2 * len(self.delayed) + len(self.rows)
        return steps * rows * net.n_regions * jnp.result_type(float).itemsize > _KEPT

    def _tick(self, carry: Any, segment: Segment, phases: dict[str, int], noise: Any) -> tuple[Any, Any]:
        """One tick: its steps, then what every monitor makes of them."""
        state, failed_at = carry
        y, history, path = self._steps(state, segment, noise)
        step = state.step + segment.tick
        failed_at = self._failures(failed_at, state.step, segment.tick, y, path)
        end: Any = self.network.model.read(self.rows, y) if self.rows else None
        states, found = {}, {}
        for name, monitor in self.monitors.items():
            stride, period = self.strides[name], self.periods[name]
            ends = (step - self.first_step + self.first_phases[name]) % stride == 0
            window = Window(self._pick(path, name), self._pick(end, name), ends, self.dt, stride)
            states[name], samples = monitor.update(state.monitors[name], window)
            _check_samples(name, monitor, samples, max(1, window.whole))
            if segment.tick % period == 0 and phases[name] == 0:
                found[name] = samples[period // stride - 1 :: period // stride]
            else:
                found[name] = samples[-1:]
        state = dataclasses.replace(state, y=y, history=history, monitors=states, step=step)
        return (state, failed_at), found

    def _failures(self, failed_at: Array, first: Array, steps: int, y: State, path: Any) -> Array:
        """The step after which each region's state was first not finite, -1 where it still is."""
        bad = ~jnp.isfinite(y).all(0) & (failed_at < 0)
        if path is None:
            return jnp.where(bad, first + steps, failed_at)

        def locate(path):
            # What is not finite stays so; by the next step a dense coupling has carried it everywhere.
            finite = jnp.isfinite(path).all(1).sum(0)
            return jnp.where(bad, first + finite, failed_at).astype(jnp.int32)

        return jax.lax.cond(bad.any(), locate, lambda path: failed_at, jax.lax.stop_gradient(path))

    def _pick(self, rows: Array, monitor: str) -> Array:
        sources = self.sources[monitor]
        return rows if sources == self.rows else rows[..., [self.rows.index(name) for name in sources], :]

    def _steps(self, state: Final, segment: Segment, noise: Any) -> tuple[State, dict[str, Array], Any]:
        """The steps of a tick, window by window where there are delays, and the rows before each."""
        if not self.delayed:
            (y, _), path = jax.lax.scan(self._step, (state.y, state.step), (noise, {}, {}), length=segment.tick)
            return y, {}, path
        windows = segment.tick // segment.window

        def window(carry, noise):
            y, history, step = carry
            heard = {name: d.read(history[name]) for name, d in self.delayed.items()}
            before, after = ({n: h[s] for n, h in heard.items()} for s in (slice(None, -1), slice(1, None)))
            (y, step), path = jax.lax.scan(self._step, (y, step), (noise, before, after))
            sent = jnp.concatenate([path[1:], self.network.model.read(self.rows, y)[None]])
            history = {name: d.push(history[name], self._sent(name, sent)) for name, d in self.delayed.items()}
            return (y, history, step), path

        if noise is not None:
            noise = noise.reshape(windows, segment.window, *noise.shape[1:])
        (y, history, _), path = jax.lax.scan(window, (state.y, state.history, state.step), noise, length=windows)
        return y, history, path.reshape(-1, *path.shape[2:])

    def _sent(self, name: str, path: Float[Array, "step row node"]) -> Float[Array, "step feature node"]:
        coupling = self.network.couplings[name]
        rows = [self.rows.index(s) for s in coupling.source]
        return jax.vmap(coupling.encode)(path if coupling.source == self.rows else path[:, rows])

    def _step(self, carry: tuple[State, Array], known: Any) -> tuple[tuple[State, Array], Any]:
        """One step. What it puts out is the state before it: written out after it, XLA computes the step twice."""
        (y, n), (noise, before, after) = carry, known
        args = Afferent(n * jnp.asarray(self.dt, y.dtype), self.dt, before, after, self.instant, self.degree)
        terms = self.network.terms(lambda t0, t1: noise)
        state = self.solver.init(terms, 0.0, self.dt, y, args)
        new, *_ = self.solver.step(terms, 0.0, self.dt, y, args, state, made_jump=False)
        out = self.network.model.read(self.rows, y) if self.rows else None
        return (self.network.model.limit(new), n + 1), out
