"""The nested loops of a run, one inside the other.

A segment, not to scale (`lengths.py` and `reads.py` choose the lengths):

    segment       |-----------------------------------------------|  equal ticks: one compiled program
    chunk         |-----------------------|-----------------------|  what a gradient recomputes at a time
    tick          |-----------|-----------|-----------|-----------|  draws its noise, runs its steps, lets monitors observe
    piece         |---|---|---|                                      what a monitor sees at a time, at most a tick
    long window   |-----|-----|                                      hears the delays that are no shorter than it
    short window  |--|--|--|--|                                      hears the shorter delays, sends what its steps made
    step          ||||||||||||                                       the solver

A window is no longer than the delays that it reads. So all that arrives within it was sent before it begins, and is read
in one go: a slice of the past for each connection, not a number for each connection and step. What regions have sent
stands in a buffer, time along its columns, the past of `depth` samples first, then room for the tick:

    columns   |<------- depth ------->|<---------- tick ---------->|slack|
               past, kept in the carry  written a short window     padded slices may touch it
                                        at a time

Column i of the tick is what was sent after step i; what the tick's first state sent is the last of the past. A connection of k
steps reads, for a window at column `at` of the tick, the columns from depth + at - k on. After the tick its last `depth`
columns are the past of the next. Of a coupling of pairs nothing is summed: what arrives along each connection is read at each step, by
one gather from the same buffer.

`backward.py` goes the same way back. Everything here takes its arrays as arguments, so that it can use the same pieces. In an
ensemble (`batches.py`) what changes during a run has the batch as its last axis; parts and key have it first, where they
differ between simulations at all.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._pairs import clock
from ..anatomy.edges import Edges
from ..monitors import AbstractMonitor, Window
from ..network.afferent import Afferent, AfferentPath
from ..network.carrying import limited, remembered, remembering, stepped, with_memory
from ..network.hearing import coupled
from ..network.living import Whole, between, finite
from ..noise import increments
from .carry import Carry, Parts, Saved
from .lengths import Sampling, Segment
from .reads import SLACK, Arrivals, Lags, WindowedSum, inner_window, stacked

#: Numbers of a state from which on several steps side by side are no faster than one by one.
_LONG = 4096
#: Steps of a controlled solver in one short window (or tick, without delays) after which it gives up.
_MOST_STEPS = 16384


class Steps(NamedTuple):
    """What the steps of a tick leave: the state after the last, what was sent, what was heard before and after each step,
    and the states before each. Of what arrives along connections of pairs only the latest, unless a monitor listens to it.
    """

    y: Any
    history: dict[str, Array]
    heard: dict[str, Array]
    path: Any


class Axes(NamedTuple):
    """What of a batch comes one a simulation, along axis 0: which leaves of the parts (0 or None), and whether the key."""

    parts: Any
    key: Any


class Reads(NamedTuple):
    """The sums of one coupling: of the delays read once a long window, and of the shorter ones. None where there are none."""

    long: WindowedSum | None
    short: WindowedSum | None


@dataclasses.dataclass(frozen=True)
class Engine:
    """The loops of one segment. Static: it holds shapes and names, no arrays.

    Attributes:
        dt: ms a step.
        segment: how many ticks, steps a tick, and steps a long window.
        sampling: how often monitors sample.
        per_chunk: ticks that a gradient recomputes at a time.
        sources: what each monitor reads.
        afferent: whether one of them reads the model's inputs.
        connections: whether one of them reads states that couplings have of their own.
        lags: fewest steps back of every connection, and which connections there are, by delayed coupling.
        depth: samples of history.
        features: rows each delayed coupling sends.
        shape: states, with what remembers, and nodes.
        living: rows of states that couplings have of their own, below them.
        regions: what delays lie between; nodes lie in them.
        edges: the connections of those delayed couplings that are of pairs.
        horizon: steps after which gradients are cut.
        diffrax_adjoint: how gradients pass diffrax's own loop, with steps that are chosen as it goes; None for steps of dt.
        known: how many of the latest delayed sums a step needs, the present one included: more than one for cubic interpolation.
        batch: simulations along the last axis of what changes during a run; None for one.
        axes: of a batch, what comes one a simulation.
    """

    dt: float
    segment: Segment
    sampling: Sampling
    per_chunk: int
    sources: dict[str, tuple[str, ...]]
    afferent: bool
    connections: bool
    lags: dict[str, Lags]
    depth: int
    features: dict[str, int]
    shape: tuple[int, int]
    living: int
    regions: int
    edges: dict[str, Edges]
    horizon: int | None = None
    diffrax_adjoint: Any = None
    known: int = 1
    batch: int | None = None
    axes: Axes | None = None

    # Batches

    def each(self, function: Callable, *axes: Any) -> Callable:
        """The function for one simulation as one for all: `axes` say where its arguments have the batch.

        -1 is the last axis, None is nowhere; 'parts', 'key' and 'noise' are as they were given.
        """
        if self.batch is None:
            return function
        parts, key = self.own
        where = {"parts": parts, "key": 0 if key else None, "noise": -1 if self._own_noise else None}
        in_axes = tuple(where.get(axis, axis) for axis in axes)
        return jax.vmap(function, in_axes=in_axes, out_axes=-1, axis_size=self.batch)

    @property
    def own(self) -> Axes:
        """The axes of a batch, where there is one."""
        assert self.axes is not None
        return self.axes

    @property
    def _own_noise(self) -> bool:
        """Whether each simulation of the batch draws numbers of its own: by its key, or by when it starts."""
        return bool(self.own.key) or self.own.parts.origin is not None

    def over_time(self, function: Callable) -> Callable:
        """The function for several steps: side by side, or one by one where a step alone has numbers enough."""
        if self.shape[0] * self.shape[1] < _LONG:
            return jax.vmap(function)

        def one_by_one(*xs):
            return jax.lax.map(lambda x: function(*x), xs)

        return one_by_one

    # What one simulation does

    def step(self, parts: Parts, y: Any, n: Any, before: Any, after: Any, noise: Any) -> Any:
        """One step of the solver, from the step's number `n` on."""
        net = parts.network
        states = net.settled(y)
        time, memory = clock(parts.origin + n, self.dt, states.dtype), None
        if net.memories:
            rows = remembering(net, y)
            memory = rows, remembered(net, rows, noise, self.dt)
        args = Afferent(time, self.dt, parts.instant, parts.degree, memory, before, after)
        terms, y = net.terms(lambda t0, t1: noise), stepped(net, y)
        if getattr(parts.solver, "coupling_once", False):
            args = dataclasses.replace(args, coupled=coupled(net, 0.0, y, args))
        state = parts.solver.init(terms, 0.0, self.dt, y, args)
        new, *_ = parts.solver.step(terms, 0.0, self.dt, y, args, state, made_jump=False)
        new = limited(net, new)
        return new if memory is None else with_memory(net, new, memory[1])

    def send(self, parts: Parts, y: Any) -> dict[str, Array]:
        """What regions send to each other, by coupling, `(feature, region)`."""
        return {name: parts.network.sent(name, y) for name in self.features}

    def seen(self, y: Any) -> Any:
        """What monitors see of what a run carries: states that couplings have of their own only if one records them."""
        return y.states if isinstance(y, Whole) and not self.connections else y

    def told(self, y: Any, keep: bool) -> Any:
        """What of it is told of every step: states of connections, many times the model's, only where a gradient or a monitor asks for them."""
        if keep or self.connections or not isinstance(y, Whole):
            return y
        return y._replace(own={name: own._replace(edges={}) for name, own in y.own.items()})

    def observe(
        self, parts: Parts, states: Any, path: Any, end: Any, heard: dict[str, Array], step: Any, key: Any
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

    def _read(self, parts: Parts, name: str, path: Any, end: Any, heard: dict[str, Array], step: Any) -> Any:
        """What a monitor listens to, before every step and after the last."""
        if parts.monitors[name].of_connections:
            read = functools.partial(between, parts.network, parts.instant, self.sources[name])
            return jax.vmap(read)(path), read(end)
        if not parts.monitors[name].afferent:
            read = functools.partial(parts.network.observed, self.sources[name])
            return jax.vmap(read)(path), read(end)
        listen = functools.partial(inputs, parts, self.sources[name], self.dt)
        steps = step - self.segment.tick + jnp.arange(self.segment.tick)
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

    def reads(self, parts: Parts, transposed: bool = False) -> dict[str, Reads]:
        """For each coupling its sums, long and short; `transposed`, those that bring cotangents back."""

        def make(name: str, mask: np.ndarray, window: int) -> WindowedSum | None:
            if not mask.any():
                return None
            return WindowedSum.prepare(
                mask,
                parts.steps[name],
                self._shares(parts, name),
                transposed=transposed,
                window=window,
                features=self.features[name],
                columns=self._columns,
                depth=self.depth,
                batch=self.batch,
            )

        found = {}
        for name, (fewest, connected) in self.lags.items():
            if name not in self.edges:
                long = connected & (fewest >= self.segment.window)
                short = make(name, connected & ~long, self.short_window)
                found[name] = Reads(make(name, long, self.segment.window), short)
        return found

    def arrivals(self, parts: Parts) -> dict[str, Arrivals]:
        """For each coupling of pairs, what arrives along its connections."""
        return {
            name: Arrivals.prepare(
                edges,
                parts.steps[name],
                self._shares(parts, name),
                self.features[name],
                self._columns,
                self.depth,
            )
            for name, edges in self.edges.items()
        }

    def _shares(self, parts: Parts, name: str) -> tuple[Array, ...]:
        """Weights of delayed samples; in a batch, with the batch last where they have one."""
        weights = parts.delayed[name]
        axes = self.own.parts.delayed[name] if self.batch else (None,) * len(weights)
        return tuple(w if a is None else jnp.moveaxis(w, 0, -1) for w, a in zip(weights, axes, strict=True))

    @property
    def _columns(self) -> int:
        return self.depth + self.segment.tick + SLACK

    @property
    def short_window(self) -> int:
        """Steps of the short windows within a long one."""
        return inner_window(*stacked(self.lags), self.segment.window) if self.lags else self.segment.window

    def zeros(self, name: str, window: int) -> Array:
        """Sums of a window in which nothing is heard."""
        return jnp.zeros((window, self.features[name], self.regions, *self.tail))

    @property
    def tail(self) -> tuple[int, ...]:
        """The last axis of everything, if there is a batch."""
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
        return increments(key, parts.origin + step, steps, (rows, self.shape[1]), self.dt)

    # Loops

    def chunk(
        self, parts: Parts, reads: dict[str, Reads], carry: Carry, key: Any, keep: bool, histories: bool = False
    ) -> tuple[Carry, tuple[dict[str, Array], Saved | None]]:
        """Ticks that a gradient recomputes together.

        Returns:
            The carry, the candidates for samples, and if they are to `keep` what the way back needs, with what was sent
            before each tick if it needs `histories`; both stacked by tick.
        """

        # Tick after tick: each begins where the last ended.
        def body(carry, _):
            new, found, saved = self.tick(parts, reads, carry, key, keep)
            if not keep:
                return new, (found, None)
            return new, (found, dataclasses.replace(saved, history=carry.history if histories else None))

        return jax.lax.scan(body, carry, None, length=self.per_chunk)

    def tick(
        self, parts: Parts, reads: dict[str, Reads], carry: Carry, key: Any, keep: bool
    ) -> tuple[Carry, dict[str, Array], Saved]:
        """One tick: its steps, then what every monitor makes of them."""
        tick = self.segment.tick
        noise = self.draw(parts, key, carry.step, tick)
        run = self.steps if self.horizon is None else self._cut
        done = run(parts, reads, carry, noise, keep)
        step = carry.step + tick
        failed_at = self._failures(parts, carry.failed_at, parts.origin + carry.step, done.y, done.path)
        observe = self.each(self.observe, "parts", -1, -1, -1, -1, None, "key")
        arrived = {name: rows[self.known - 1 :] for name, rows in done.heard.items()} if self.afferent else {}
        monitors, found = observe(parts, carry.monitors, self.seen(done.path), self.seen(done.y), arrived, step, key)
        saved = Saved(done.path, done.y, done.heard, carry.monitors, None)
        now = {name: rows[-self.known :] for name, rows in done.heard.items()}
        return Carry(done.y, done.history, now, monitors, failed_at, step), found, saved

    def _cut(self, parts: Parts, reads: dict[str, Reads], carry: Carry, noise: Any, keep: bool) -> Steps:
        """The steps of a tick for plain autodiff, which stops where the tick begins at a multiple of the horizon.

        Monitors are not cut: they see the state and what is heard there as they were.
        """
        assert self.horizon is not None
        now = (carry.step % self.horizon == 0) & (carry.step > 0)

        def stop(x):
            return jnp.where(now, jax.lax.stop_gradient(x), x)

        y, history, heard = jax.tree.map(stop, (carry.y, carry.history, carry.heard))
        done = self.steps(parts, reads, dataclasses.replace(carry, y=y, history=history, heard=heard), noise, keep)
        path = put(done.path, rows_of_one(self.told(carry.y, keep)), 0)
        whole = {name: x for name, x in carry.heard.items() if self.afferent or name not in self.edges}
        return done._replace(
            path=path, heard=done.heard | {name: put(done.heard[name], x, 0) for name, x in whole.items()}
        )

    def steps(self, parts: Parts, reads: dict[str, Reads], carry: Carry, noise: Any, keep: bool) -> Steps:
        """The steps of a tick.

        What is known of all steps stays in one place, and every step takes its own from there: handed down from window to
        window, it would be copied at every level.
        """
        tick, long, short, known = self.segment.tick, self.segment.window, self.short_window, self.known
        if not self.features:
            y, path = self._undelayed(parts, carry, noise, keep)
            return Steps(y, {}, {}, path)
        step = self.each(self.step, "parts", -1, None, -1, -1, "noise")
        send = self.each(self.send, "parts", -1)
        buffers = {name: self._with_room(name, past) for name, past in carry.history.items()}
        arrivals = self.arrivals(parts)
        heard = {name: put(self.zeros(name, tick + known), carry.heard[name], 0) for name in reads}
        late = {name: carry.heard[name][-1] for name in arrivals}
        path = jax.tree.map(lambda x: jnp.zeros((tick, *x.shape), x.dtype), self.told(carry.y, keep))

        def one_step(n, state, heard, buffers):
            y, path, late = state
            before, after = ({name: take(h, n + k) for name, h in heard.items()} for k in (0, 1))
            then = {name: arrive.read(buffers[name], n) for name, arrive in arrivals.items()}
            now = None if noise is None else take(noise, n)
            new = step(parts, y, carry.step + n, before | late, after | then, now)
            return new, put(path, rows_of_one(self.told(y, keep)), n), then

        def all_of_short(at, state):
            y, path, late, heard, buffers = state
            # Coupling after coupling: what short delays bring is added to what long ones have brought already.
            for name, sums in reads.items():
                if sums.short is not None:
                    rows = take(heard[name], at + known, short) + sums.short.read(buffers[name], at)
                    heard = heard | {name: put(heard[name], rows, at + known)}
            if self.diffrax_adjoint is None:
                # Step after step, each from the state before it.
                def body(i, state):
                    return one_step(at + i, state, heard, buffers)

                y, path, late = jax.lax.fori_loop(0, short, body, (y, path, late))
            else:
                y, path = self._solved(parts, arrivals, buffers, heard, carry.step, (y, path), at, keep)
            # What these steps have made is sent at once: the next short window may hear it.
            after = later(take(path, at, short), self.told(y, keep))
            sent = self.over_time(lambda y: send(parts, y))(after)
            buffers = {name: self.write(b, sent[name], self.depth + at) for name, b in buffers.items()}
            return y, path, late, heard, buffers

        def all_of_long(w, state):
            y, path, late, heard, buffers = state
            at = w * long
            # Coupling after coupling: what long delays bring.
            for name, sums in reads.items():
                if sums.long is not None:
                    heard = heard | {name: put(heard[name], sums.long.read(buffers[name], at), at + known)}

            # Short window after short window, within what the long delays bring.
            def body(q, state):
                return all_of_short(at + q * short, state)

            return self.loop(long // short, body, (y, path, late, heard, buffers))

        # Long window after long window.
        y, path, _, heard, buffers = self.loop(tick // long, all_of_long, (carry.y, path, late, heard, buffers))
        history = {name: self._last(name, buffer) for name, buffer in buffers.items()}
        return Steps(y, history, heard | self._arrived(arrivals, buffers), path)

    def _solved(
        self,
        parts: Parts,
        arrivals: dict[str, Arrivals],
        buffers: Any,
        rows: Any,
        first: Any,
        state: Any,
        at: Any,
        keep: bool,
    ) -> tuple[Any, Any]:
        """The steps of a short window by diffrax's own loop: the state after, and the path with them."""
        (y, path), short, known = state, self.short_window, self.known
        rows = {name: take(h, at, short + known) for name, h in rows.items()}
        late = {name: self._arrive(x, buffers[name], at - known, short + known) for name, x in arrivals.items()}
        y, some = self.solve(parts, y, first + at, rows | late, short)
        return y, put(path, self.told(some, keep), at)

    def _arrived(self, arrivals: dict[str, Arrivals], buffers: dict[str, Array]) -> dict[str, Array]:
        """What a tick tells of what arrives along connections, which it does not keep: the latest, and for monitors of it all."""
        rows = self.segment.tick * self.afferent + self.known
        first = self.segment.tick - rows
        return {name: self._arrive(x, buffers[name], first, rows) for name, x in arrivals.items()}

    def _arrive(self, arrivals: Arrivals, buffer: Array, first: Any, steps: int) -> Array:
        """What arrives along each connection after some steps, from the first on, `(step, feature, edge)`."""
        return jax.lax.map(lambda n: arrivals.read(buffer, n), first + jnp.arange(steps))

    def _with_room(self, name: str, past: Array) -> Array:
        """The past as a buffer, with room for what is sent during a tick."""
        columns = (self.segment.tick + SLACK) * self.features[name]
        return jnp.pad(past, ((0, 0), (0, columns), *((0, 0),) * len(self.tail)))

    def _last(self, name: str, buffer: Array) -> Array:
        """The last samples of a buffer: the past of the next tick."""
        tick, features = self.segment.tick, self.features[name]
        return buffer[:, tick * features : (tick + self.depth) * features]

    def solve(self, parts: Parts, y: Any, n: Any, heard: dict[str, Array], steps: int) -> tuple[Any, Any]:
        """Some steps of the grid by diffrax's own loop, from the step's number `n` on: the state after, and those before."""
        assert parts.controller is not None
        net, dtype = parts.network, parts.network.settled(y).dtype
        time = clock(parts.origin + n, self.dt, dtype)
        args = AfferentPath(time, self.dt, parts.instant, parts.degree, None, heard)
        ends = self.dt * jnp.arange(1, steps + 1, dtype=dtype)

        # A step may be as long as it likes, and limits are kept where the grid is: nothing is made of what is beyond them in between.
        def flow(t, y, args):
            return net.drift(t, limited(net, y), args)

        solution = dfx.diffeqsolve(
            dfx.ODETerm(flow),
            parts.solver,
            0.0,
            ends[-1],
            self.dt,
            y,
            args,
            saveat=dfx.SaveAt(ts=ends),
            stepsize_controller=parts.controller,
            adjoint=self.diffrax_adjoint,
            max_steps=_MOST_STEPS,
        )
        assert solution.ys is not None
        after = jax.vmap(functools.partial(limited, net))(solution.ys)
        before = jax.tree.map(lambda first, x: jnp.concatenate([first[None], x[:-1]]), y, after)
        return jax.tree.map(lambda x: x[-1], after), before

    def loop(self, length: int, body: Callable, state: Any) -> Any:
        """A loop, or what is in it, if it is only once."""
        return body(0, state) if length == 1 else jax.lax.fori_loop(0, length, body, state)

    def write(self, buffer: Array, sent: Array, column: Any) -> Array:
        """The buffer with a window's worth of `(step, feature, node)` from a column on."""
        columns = self.columns(sent)
        place = (0, column * sent.shape[1], 0)[: buffer.ndim]
        return jax.lax.dynamic_update_slice(buffer, columns, place)

    def _undelayed(self, parts: Parts, carry: Carry, noise: Any, keep: bool) -> tuple[Any, Any]:
        """The last state and those before each step. Written out after the step, XLA would compute it twice."""
        if self.diffrax_adjoint is not None:
            y, path = self.solve(parts, carry.y, carry.step, {}, self.segment.tick)
            return y, self.told(path, keep)
        step = self.each(self.step, "parts", -1, None, -1, -1, "noise")

        # Step after step; nothing is known of the others.
        def body(y, x):
            n, noise = x
            return step(parts, y, n, {}, {}, noise), self.told(y, keep)

        return jax.lax.scan(body, carry.y, (carry.step + jnp.arange(self.segment.tick), noise))

    def _failures(self, parts: Parts, failed_at: Array, first: Any, y: Any, path: Any) -> Array:
        """The step after which each region's state was first not finite, -1 where it still is."""
        bad = ~finite(parts.network, y, 0) & (failed_at < 0)

        def locate(path):
            # What is not finite stays so; by the next step a dense coupling has carried it everywhere.
            good = finite(parts.network, path, 1).sum(0)
            return jnp.where(bad, first + good, failed_at).astype(jnp.int32)

        return jax.lax.cond(bad.any(), locate, lambda path: failed_at, jax.lax.stop_gradient(path))


def inputs(parts: Parts, names: tuple[str, ...], dt: float, n: Any, y: Any, heard: dict[str, Array]) -> Array:
    """The named inputs of the model at the step's number `n`, `(input, node)`."""
    net = parts.network
    time = clock(parts.origin + n, dt, net.settled(y).dtype)
    args = Afferent(time, dt, parts.instant, parts.degree, None, heard, heard)
    return net.observed_inputs(names, net.input(0, stepped(net, y), args))


def take(rows: Any, at: Any, length: int | None = None) -> Any:
    """A row, or some, from a place on; of a tree, of each of its arrays."""
    if length is None:
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, at, keepdims=False), rows)
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, at, length), rows)


def put(rows: Any, new: Any, at: Any) -> Any:
    """The rows with new ones from a place on."""
    return jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, at, 0), rows, new)


def rows_of_one(y: Any) -> Any:
    """One as rows of one."""
    return jax.tree.map(lambda x: x[None], y)


def later(path: Any, end: Any) -> Any:
    """What is after each step, from what is before each, and the end."""
    return jax.tree.map(lambda x, last: jnp.concatenate([x[1:], last[None]]), path, end)


def _check_samples(name: str, monitor: AbstractMonitor, samples: Any, expected: int) -> None:
    shape = jnp.shape(samples)
    if len(shape) != 1 + len(monitor.dims) or shape[0] != expected:
        raise ValueError(
            f"the update of monitor '{name}' must return one sample {monitor.dims} for each stride that ends in the window "
            f"(window.whole, or one for a piece): expected {expected} along the first of {1 + len(monitor.dims)} axes, "
            f"got shape {shape}; what the axes of a sample are is said by its dims"
        )
