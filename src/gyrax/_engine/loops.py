"""The nested loops of a run: steps in windows (delays), windows in ticks (noise, monitors), ticks in chunks (memory).

Everything here takes its arrays as arguments and may carry a batch as the last axis, so that `backward.py` can run it
backwards and for ensembles.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import State
from ..monitors import AbstractMonitor, Window
from ..network.afferent import Afferent, AfferentPath
from ..noise import increments
from .carry import Carry, Parts, Saved
from .lengths import Sampling, Segment
from .prepare import stacked
from .reads import SLACK, WindowedSum, inner_window

#: Numbers of a state from which on several steps side by side are no faster than one by one.
_LONG = 4096
#: Steps of a controlled solver in one window (or tick, without delays) after which it gives up.
_MOST_STEPS = 16384


@dataclasses.dataclass(frozen=True)
class Engine:
    """The loops of one segment. Static: it holds shapes and names, no arrays.

    Attributes:
        sources: what each monitor reads.
        afferent: whether one of them reads the model's inputs.
        lags: fewest steps back of every connection, and which connections there are, by delayed coupling.
        depth: samples of history.
        features: rows each delayed coupling sends.
        shape: states and nodes.
        regions: what delays lie between; nodes lie in them.
        per_chunk: ticks that a gradient recomputes at a time.
        horizon: steps after which gradients are cut.
        adjoint: how gradients pass diffrax's own loop, with steps that are chosen as it goes; None for steps of dt.
        batch: simulations along the last axis of everything; None for one.
        axes: which leaves of the parts, and whether the key, come one a simulation, along axis 0.
    """

    dt: float
    segment: Segment
    sampling: Sampling
    per_chunk: int
    sources: dict[str, tuple[str, ...]]
    afferent: bool
    lags: dict[str, tuple[np.ndarray, np.ndarray]]
    depth: int
    features: dict[str, int]
    shape: tuple[int, int]
    regions: int
    horizon: int | None = None
    adjoint: Any = None
    batch: int | None = None
    axes: Any = None

    # Batches

    def each(self, function: Callable, *axes: Any) -> Callable:
        """The function for one simulation as one for all: `axes` say where its arguments have the batch.

        -1 is the last axis, None is nowhere; 'parts', 'key' and 'noise' are as they were given.
        """
        if self.batch is None:
            return function
        parts, key = self.axes
        own = key or parts.origin is not None
        where = {"parts": parts, "key": 0 if key else None, "noise": -1 if own else None}
        in_axes = tuple(where.get(axis, axis) for axis in axes)
        return jax.vmap(function, in_axes=in_axes, out_axes=-1, axis_size=self.batch)

    def over_time(self, function: Callable) -> Callable:
        """The function for several steps: side by side, or one by one where a step alone has numbers enough."""
        if self.shape[0] * self.shape[1] < _LONG:
            return jax.vmap(function)
        return lambda *xs: jax.lax.map(lambda x: function(*x), xs)

    # What one simulation does

    def step(self, parts: Parts, y: State, n: Any, before: Any, after: Any, noise: Any) -> State:
        """One step of the solver, from the step's number `n` on."""
        net = parts.network
        time = (parts.origin + n) * jnp.asarray(self.dt, y.dtype)
        memory, rows = None, y[len(net.model.states) :]
        if net.memories:
            memory = rows, net.remembered(rows, noise, self.dt)
        args = Afferent(time, self.dt, before, after, parts.instant, parts.degree, memory)
        terms, y = net.terms(lambda t0, t1: noise), net.settled(y)
        state = parts.solver.init(terms, 0.0, self.dt, y, args)
        new, *_ = parts.solver.step(terms, 0.0, self.dt, y, args, state, made_jump=False)
        new = net.model.limit(new)
        return new if memory is None else jnp.concatenate([new, memory[1]])

    def send(self, parts: Parts, y: State) -> dict[str, Array]:
        """What regions send to each other, by coupling, `(feature, region)`."""
        return {name: parts.network.sent(parts.network.couplings[name], y) for name in self.features}

    def observe(
        self, parts: Parts, states: Any, path: Array, end: State, heard: dict[str, Array], step: Any, key: Any
    ) -> tuple[Any, dict[str, Array]]:
        """What the monitors make of a tick: their states after it, and what may be samples (see `due`).

        Args:
            path: the state before every step.
            end: the state after the last.
            heard: delayed sums at the start and after every step, if a monitor reads inputs.
            step: number of steps taken by then.
        """
        new, found = {}, {}
        for name, monitor in parts.monitors.items():
            own = jax.random.fold_in(key, zlib.crc32(name.encode())) if monitor.noisy else None
            update = functools.partial(self._update, name, monitor, parts.origin, own)
            rows, last = self._read(parts, name, path, end, heard, step)
            piece = self.sampling.piece(name, self.segment)
            if piece == self.segment.tick:
                new[name], samples = update(states[name], (rows, last, step))
            else:
                rows = rows.reshape(-1, piece, *rows.shape[1:])
                ends = jnp.concatenate([rows[1:, 0], last[None]])
                steps = step - self.segment.tick + piece * (1 + jnp.arange(len(rows)))
                new[name], samples = jax.lax.scan(update, states[name], (rows, ends, steps))
                samples = samples.reshape(-1, *samples.shape[2:])
            found[name] = samples[self.sampling.places(name, self.segment, step)]
        return new, found

    def _read(self, parts: Parts, name: str, path: Array, end: State, heard: dict[str, Array], step: Any) -> Any:
        """What a monitor listens to, before every step and after the last."""
        if not parts.monitors[name].afferent:
            read = functools.partial(parts.network.observed, self.sources[name])
            return jax.vmap(read)(path), read(end)
        listen = functools.partial(inputs, parts, self.sources[name], self.dt)
        steps = step - self.segment.tick + jnp.arange(len(path))
        before = self.over_time(listen)(steps, path, {n: h[:-1] for n, h in heard.items()})
        return before, listen(step, end, {n: h[-1] for n, h in heard.items()})

    def _update(self, name: str, monitor: Any, origin: Any, key: Any, state: Any, x: Any) -> tuple[Any, Array]:
        """A monitor's state after a piece, and its sample at the end of each period, or at the end of the piece."""
        path, end, step = x
        period, stride = self.sampling.periods[name], self.sampling.strides[name]
        window = Window(path, end, step + self.sampling.phases[name], origin + step, key, self.dt, stride)
        state, samples = monitor.update(state, window)
        _check_samples(name, monitor, samples, max(1, window.whole))
        if self.sampling.whole(name, len(path)):
            return state, samples[period // stride - 1 :: period // stride]
        return state, samples[-1:]

    # Delayed sums

    def sums(self, parts: Parts, transposed: bool = False) -> dict[str, tuple[WindowedSum | None, WindowedSum | None]]:
        """For each coupling what is read once a window and what in the shorter windows within it."""
        columns = self.depth + self.segment.tick + SLACK
        axes = self.axes[0].delayed if self.batch else {n: (None,) * len(w) for n, w in parts.delayed.items()}

        def make(name: str, mask: np.ndarray, window: int) -> WindowedSum | None:
            if not mask.any():
                return None
            weights = tuple(
                w if axis is None else jnp.moveaxis(w, 0, -1)
                for w, axis in zip(parts.delayed[name], axes[name], strict=True)
            )
            return WindowedSum.prepare(
                mask,
                parts.steps[name],
                weights,
                transposed=transposed,
                window=window,
                features=self.features[name],
                columns=columns,
                depth=self.depth,
                batch=self.batch,
            )

        found = {}
        for name, (fewest, connected) in self.lags.items():
            long = connected & (fewest >= self.segment.window)
            found[name] = make(name, long, self.segment.window), make(name, connected & ~long, self.inner)
        return found

    @property
    def inner(self) -> int:
        """Steps of the windows within a window."""
        return inner_window(*stacked(self.lags), self.segment.window) if self.lags else self.segment.window

    def zeros(self, name: str, window: int) -> Array:
        """Sums of a window in which nothing is heard."""
        return jnp.zeros((window, self.features[name], self.regions, *self.tail))

    @property
    def known(self) -> int:
        """Sums kept from before a tick: the last one, and for cubic interpolation two more."""
        return 1 if self.adjoint is None else 3

    @property
    def tail(self) -> tuple[int, ...]:
        return () if self.batch is None else (self.batch,)

    def columns(self, sent: Float[Array, "step feature node *batch"]) -> Float[Array, "node samples *batch"]:
        """What was sent, as columns of a buffer."""
        moved = jnp.moveaxis(sent, 2, 0)
        return moved.reshape(moved.shape[0], -1, *self.tail)

    def draw(self, parts: Parts, key: Any, step: Any, steps: int) -> Any:
        """The noise of the next steps, `(step, noisy state, node)`, or None."""
        rows = len(parts.network.noisy)
        if not rows:
            return None
        shape = (rows, self.shape[1])
        draw = lambda parts, key: increments(key, parts.origin + step, steps, shape, self.dt)  # noqa: E731
        own = self.batch is not None and (self.axes[1] or self.axes[0].origin is not None)
        return self.each(draw, "parts", "key")(parts, key) if own else draw(parts, key)

    # Loops

    def chunk(self, parts: Parts, sums: Any, carry: Carry, key: Any, keep: bool, histories: bool = False) -> Any:
        """Ticks that a gradient recomputes together: `(carry, (samples, Saved or None))`, both stacked by tick."""

        def body(carry, _):
            new, found, saved = self.tick(parts, sums, carry, key)
            if not keep:
                return new, (found, None)
            return new, (found, dataclasses.replace(saved, history=carry.history if histories else None))

        return jax.lax.scan(body, carry, None, length=self.per_chunk)

    def tick(self, parts: Parts, sums: Any, carry: Carry, key: Any) -> tuple[Carry, dict[str, Array], Saved]:
        """One tick: its steps, then what every monitor makes of them."""
        tick = self.segment.tick
        if self.horizon is not None:
            carry = self.cut(carry)
        noise = self.draw(parts, key, carry.step, tick)
        y, history, heard, path, sums_heard = self.steps(parts, sums, carry, noise)
        step = carry.step + tick
        failed_at = self._failures(carry.failed_at, parts.origin + carry.step, y, path)
        observe = self.each(self.observe, "parts", -1, -1, -1, -1, None, "key")
        arrived = {n: h[self.known - 1 :] for n, h in sums_heard.items()} if self.afferent else {}
        monitors, found = observe(parts, carry.monitors, path, y, arrived, step, key)
        saved = Saved(path, y, sums_heard, carry.monitors, None)
        return Carry(y, history, heard, monitors, failed_at, step), found, saved

    def cut(self, carry: Carry) -> Carry:
        """Stops gradients where the horizon lies."""
        now = (carry.step % self.horizon == 0) & (carry.step > 0)
        stop = lambda x: jnp.where(now, jax.lax.stop_gradient(x), x)  # noqa: E731
        y, history, heard = jax.tree.map(stop, (carry.y, carry.history, carry.heard))
        return dataclasses.replace(carry, y=y, history=history, heard=heard)

    def steps(self, parts: Parts, sums: Any, carry: Carry, noise: Any) -> Any:
        """The steps of a tick: `(y, history, heard, states before each, sums heard before and after each)`.

        What is known of all steps stays in one place, and every step takes its own from there: handed down from window to
        window, it would be copied at every level.
        """
        tick, window, inner = self.segment.tick, self.segment.window, self.inner
        if not self.features:
            y, path = self._undelayed(parts, carry, noise)
            return y, {}, {}, path, {}
        step = self.each(self.step, "parts", -1, None, -1, -1, "noise")
        send = self.each(self.send, "parts", -1)
        rest = ((0, 0),) * len(self.tail)
        buffers = {
            name: jnp.pad(h, ((0, 0), (0, (tick + SLACK) * self.features[name]), *rest))
            for name, h in carry.history.items()
        }
        known = self.known
        heard = {n: put(self.zeros(n, tick + known), h, 0) for n, h in carry.heard.items()}
        path = jnp.zeros((tick, *carry.y.shape), carry.y.dtype)

        def one(n, state, heard):
            y, path = state
            before, after = ({name: take(h, n + k) for name, h in heard.items()} for k in (0, 1))
            now = None if noise is None else take(noise, n)
            return step(parts, y, carry.step + n, before, after, now), put(path, y[None], n)

        def several(at, state):
            y, path, heard, buffers = state
            for name, (_, short) in sums.items():
                if short is not None:
                    rows = take(heard[name], at + known, inner) + short.read(buffers[name], at)
                    heard = heard | {name: put(heard[name], rows, at + known)}
            if self.adjoint is None:
                y, path = jax.lax.fori_loop(0, inner, lambda i, s: one(at + i, s, heard), (y, path))
            else:
                rows = {name: take(h, at, inner + known) for name, h in heard.items()}
                y, some = self.solve(parts, y, carry.step + at, rows, inner)
                path = put(path, some, at)
            after = jnp.concatenate([take(path, at, inner)[1:], y[None]])
            sent = self.over_time(lambda y: send(parts, y))(after)
            buffers = {name: self.write(b, sent[name], self.depth + at) for name, b in buffers.items()}
            return y, path, heard, buffers

        def all_of_window(w, state):
            y, path, heard, buffers = state
            at = w * window
            for name, (long, _) in sums.items():
                if long is not None:
                    heard = heard | {name: put(heard[name], long.read(buffers[name], at), at + known)}
            return self.loop(window // inner, lambda q, s: several(at + q * inner, s), (y, path, heard, buffers))

        y, path, heard, buffers = self.loop(tick // window, all_of_window, (carry.y, path, heard, buffers))
        last = lambda name, b: b[:, tick * self.features[name] : (tick + self.depth) * self.features[name]]  # noqa: E731
        history = {name: last(name, b) for name, b in buffers.items()}
        return y, history, {name: h[tick:] for name, h in heard.items()}, path, heard

    def solve(self, parts: Parts, y: State, n: Any, heard: dict[str, Array], steps: int) -> tuple[State, Array]:
        """Some steps of the grid by diffrax's own loop, from the step's number `n` on: the state after, and those before."""
        time = (parts.origin + n) * jnp.asarray(self.dt, y.dtype)
        args = AfferentPath(time, self.dt, heard, {}, parts.instant, parts.degree)
        ends = self.dt * jnp.arange(1, steps + 1, dtype=y.dtype)
        solution = dfx.diffeqsolve(
            parts.network.terms(),
            parts.solver,
            0.0,
            ends[-1],
            self.dt,
            y,
            args,
            saveat=dfx.SaveAt(ts=ends),
            stepsize_controller=parts.controller,
            adjoint=self.adjoint,
            max_steps=_MOST_STEPS,
        )
        assert solution.ys is not None
        after = jax.vmap(parts.network.model.limit)(solution.ys)
        return after[-1], jnp.concatenate([y[None], after[:-1]])

    def loop(self, length: int, body: Callable, state: Any) -> Any:
        """A loop, or what is in it, if it is only once."""
        return body(0, state) if length == 1 else jax.lax.fori_loop(0, length, body, state)

    def write(self, buffer: Array, sent: Array, column: Any) -> Array:
        """The buffer with a window's worth of `(step, feature, node)` from a column on."""
        columns = self.columns(sent)
        place = (0, column * sent.shape[1], 0)[: buffer.ndim]
        return jax.lax.dynamic_update_slice(buffer, columns, place)

    def _undelayed(self, parts: Parts, carry: Carry, noise: Any) -> tuple[Array, Array]:
        """The last state and those before each step. Written out after the step, XLA would compute it twice."""
        if self.adjoint is not None:
            return self.solve(parts, carry.y, carry.step, {}, self.segment.tick)
        step = self.each(self.step, "parts", -1, None, -1, -1, "noise")

        def body(y, x):
            n, noise = x
            return step(parts, y, n, {}, {}, noise), y

        return jax.lax.scan(body, carry.y, (carry.step + jnp.arange(self.segment.tick), noise))

    def _failures(self, failed_at: Array, first: Any, y: Array, path: Array) -> Array:
        """The step after which each region's state was first not finite, -1 where it still is."""
        bad = ~jnp.isfinite(y).all(0) & (failed_at < 0)

        def locate(path):
            # What is not finite stays so; by the next step a dense coupling has carried it everywhere.
            finite = jnp.isfinite(path).all(1).sum(0)
            return jnp.where(bad, first + finite, failed_at).astype(jnp.int32)

        return jax.lax.cond(bad.any(), locate, lambda path: failed_at, jax.lax.stop_gradient(path))


def inputs(parts: Parts, names: tuple[str, ...], dt: float, n: Any, y: State, heard: dict[str, Array]) -> Array:
    """The named inputs of the model at the step's number `n`, `(input, node)`."""
    time = (parts.origin + n) * jnp.asarray(dt, y.dtype)
    args = Afferent(time, dt, heard, heard, parts.instant, parts.degree)
    return parts.network.observed_inputs(names, parts.network.input(0, y, args))


def take(rows: Array, at: Any, length: int | None = None) -> Array:
    """A row, or some, from a place on."""
    if length is None:
        return jax.lax.dynamic_index_in_dim(rows, at, keepdims=False)
    return jax.lax.dynamic_slice_in_dim(rows, at, length)


def put(rows: Array, new: Array, at: Any) -> Array:
    """The rows with new ones from a place on."""
    return jax.lax.dynamic_update_slice_in_dim(rows, new, at, 0)


def _check_samples(name: str, monitor: AbstractMonitor, samples: Any, expected: int) -> None:
    shape = jnp.shape(samples)
    if len(shape) != 1 + len(monitor.dims) or shape[0] != expected:
        raise ValueError(
            f"the update of monitor '{name}' must return one sample {monitor.dims} for each stride that ends in the window "
            f"(window.whole, or one for a piece): expected {expected} along the first of {1 + len(monitor.dims)} axes, "
            f"got shape {shape}; what the axes of a sample are is said by its dims"
        )
