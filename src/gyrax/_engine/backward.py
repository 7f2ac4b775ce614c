"""The loops of a segment backwards: gradients by hand-written adjoint.

The work goes from right to left, from the end of the run to its beginning; cotangents (`bar`: the gradient of the result by a
value) come in at the right end. Not to scale:

    chunk         |<----------------------|<----------------------|  recomputed first, if its path was not kept
    tick          |<----------|<----------|<----------|<----------|  back through its monitors, then through its steps
    long window   |<----|<----|                                      hears from the future by the delays no shorter than it
    short window  |<-|<-|<-|<-|                                      hears from the future by the shorter delays
    step          ||||||||||||                                       taken again, linearised and transposed

What the regions of the future make of what a region sends comes back by the same windowed reads as forward, with sources and
targets exchanged and time reversed. They read `to_come`, a buffer like that of what was sent, laid out from the tick's own
steps on into the future:

    columns   |<---------- tick ---------->|<------- depth ------->|slack|
               cotangents of what is heard   those of later ticks, as far
               at each step, written here    as the longest delay reaches

Column i of the tick is of what is heard after step i. A connection of k steps reads, for a window at column `at`, the columns
from at + k on: what was sent after step i is heard after step i + k.

What arrives along connections of pairs is not kept: it is read again from what was sent, step by step, and its cotangents go into the
columns of what was sent, which for these couplings is what `to_come` holds: the past first, then the tick.

A step is taken again from its state, which is known, and pulled back through at once: what it says about the parameters is added
up as it goes. Delayed weights get their share of a whole tick.

Where gradients have a horizon, what is heard after one of its multiples says nothing of what was sent before it, nor a step
that begins there of its state. The run itself knows nothing of that, and so is the same to the bit.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jaxtyping import Array

from ..network.living import Whole
from .batches import ensemble
from .carry import Carry, Parts, Saved
from .loops import Engine, Reads, later, put, take
from .reads import SLACK, Arrivals


def run_segment(engine: Engine, parts: Parts, carry: Carry, key: Any, chunks: int, keep: bool) -> Any:
    """Chunks one after another, with the adjoint: `(carry, samples)`, samples by chunk and tick.

    `keep`: whether a gradient keeps the path of the whole run, or recomputes it chunk by chunk.
    """
    floats, rest = eqx.partition((parts, carry), eqx.is_inexact_array)
    others, static = eqx.partition((rest, key), eqx.is_array)

    def whole(floats, others):
        rest, key = eqx.combine(others, static)
        return *eqx.combine(floats, rest), key

    kinds: list[Any] = []  # what of the output are floats, which alone have cotangents

    def outputs(out):
        moving, still = eqx.partition(out, eqx.is_inexact_array)
        kinds[:] = [still]
        return moving, eqx.filter(still, eqx.is_array)

    @jax.custom_vjp
    def run(floats, others):
        def job(engine, parts, carry, key):
            return _forward(engine, parts, carry, key, chunks)

        return outputs(ensemble(engine, job, whole(floats, others))[0])

    def forward(floats, others):
        wanted = _Flags(tuple(x.perturbed for x in jax.tree.leaves(floats, is_leaf=_is_primal)))
        floats, others = jax.tree.map(lambda x: x.value, (floats, others), is_leaf=_is_primal)
        # what arrives along connections of pairs is read from what was sent
        histories = bool(engine.edges) or any(jax.tree.leaves(_asked(floats, wanted).parts.delayed))

        def job(engine, parts, carry, key):
            return _forward(engine, parts, carry, key, chunks, "path" if keep else "chunks", histories)

        out, saved = ensemble(engine, job, whole(floats, others))
        return outputs(out), (floats, others, *eqx.partition(saved, eqx.is_array), wanted)

    def backward(residuals, bars):
        floats, others, saved, plain, wanted = residuals
        asked = _asked(floats, wanted)
        moving = jax.tree.map(lambda bar: None if isinstance(bar, SymbolicZero) else bar, bars[0])

        def job(engine, parts, carry, key, *rest):
            return _Backward(engine, parts, carry, key, asked, keep).run(*rest)

        found = ensemble(engine, job, (*whole(floats, others), eqx.combine(saved, plain), moving))
        return _filled(found, floats), None

    run.defvjp(forward, backward, symbolic_zeros=True)
    moving, still = run(floats, others)
    return eqx.combine(moving, still, kinds[0])


def _is_primal(x: Any) -> bool:
    return isinstance(x, CustomVJPPrimal)


class _Asked(NamedTuple):
    """Leaf by leaf, True where a gradient is asked for."""

    parts: Any
    carry: Any


class _Flags(eqx.Module):
    """Which leaves a gradient is asked for; no array, so that it stays known."""

    flags: tuple[bool, ...] = eqx.field(static=True)


def _asked(floats: Any, wanted: _Flags) -> _Asked:
    """The flags as trees."""
    leaves, tree = jax.tree.flatten(floats, is_leaf=_is_none)
    flags = iter(wanted.flags)
    return _Asked(*jax.tree.unflatten(tree, [False if leaf is None else next(flags) for leaf in leaves]))


def plain_segment(engine: Engine, parts: Parts, carry: Carry, key: Any, chunks: int, keep: bool) -> Any:
    """The same for plain autodiff, forward mode included."""
    reads = engine.reads(parts)

    # Chunk after chunk: each begins where the last ended.
    def chunk(carry, _):
        carry, (found, _) = engine.chunk(parts, reads, carry, key, False)
        return carry, found

    if not keep:
        chunk = jax.checkpoint(chunk, prevent_cse=False)
    return jax.lax.scan(chunk, carry, None, length=chunks)


def _forward(
    engine: Engine, parts: Parts, carry: Carry, key: Any, chunks: int, save: str | None = None, histories: bool = False
) -> Any:
    """All chunks; `save` what the way back needs: the 'path' of all, or where 'chunks' began."""
    engine = _uncut(engine)
    reads = engine.reads(parts)

    # Chunk after chunk: each begins where the last ended.
    def chunk(carry, _):
        new, (found, saved) = engine.chunk(parts, reads, carry, key, save == "path", histories)
        kept = dataclasses.replace(carry, step=None) if save == "chunks" else saved
        return new, (found, kept)

    carry, (found, saved) = jax.lax.scan(chunk, carry, None, length=chunks)
    return (dataclasses.replace(carry, step=None), found), saved


def _uncut(engine: Engine) -> Engine:
    """Of a run that this file differentiates, only the way back knows a horizon."""
    return dataclasses.replace(engine, horizon=None)


@dataclasses.dataclass(frozen=True)
class _Backward:
    """The way back through one segment.

    Attributes:
        engine: its loops.
        parts: of the run.
        first: the carry that the segment began with.
        key: of the run's noise.
        asked: which leaves of the parts and of the first carry a gradient is asked for.
        keep: whether the path of the whole segment was kept, or is recomputed chunk by chunk.
    """

    engine: Engine
    parts: Parts
    first: Carry
    key: Any
    asked: _Asked
    keep: bool

    def run(self, saved: Any, bars: Any) -> Any:
        """Cotangents of parts and first carry from those of last carry and samples."""
        engine = self.engine
        end, found = bars
        given_from_outside = any(h is not None for h in end.history.values())
        end = _filled(end, dataclasses.replace(self.first, step=None))
        state = _State(
            end.y,
            {name: rows[0] for name, rows in end.heard.items()},
            {name: self._room(name, past, end.history[name]) for name, past in self.first.history.items()},
            self._of_sums(end.history) if given_from_outside else None,
            end.monitors,
            self._no_gradient(),
        )
        chunks = jax.tree.leaves(saved)[0].shape[0]
        size = engine.per_chunk
        reads = {} if self.keep else engine.reads(self.parts)  # what is kept is not computed again
        back = engine.reads(self.parts, transposed=True)

        # Chunk before chunk, the last first.
        def chunk(state, x):
            number, found, kept = x
            step = self.first.step + number * size * engine.segment.tick
            if not self.keep:
                carry = dataclasses.replace(kept, step=step)
                _, (_, kept) = _uncut(engine).chunk(self.parts, reads, carry, self.key, True, self._histories)

            # Tick before tick, the last first.
            def tick(state, x):
                return self._tick(state, back, step + x[0], *x[1:]), None

            steps = engine.segment.tick * jnp.arange(size)
            return jax.lax.scan(tick, state, (steps, found, kept), reverse=True)

        state, _ = jax.lax.scan(chunk, state, (jnp.arange(chunks), found, saved), reverse=True)
        to_come = self._within(state.to_come, self.first.step - 1, self.first.step)
        history = self._before(back, to_come, state.direct)
        heard = {name: rows[None] for name, rows in state.pending.items()}
        none: Any = None  # numbers of steps have no cotangents
        first = Carry(state.y, history, heard, state.monitors, none, none)
        return self._parts_bar(state.gradient), first

    def _room(self, name: str, past: Array, end: Array) -> Array:
        """An empty buffer of cotangents to come, for what is heard; of a coupling of pairs, one of those of what was sent, with its last."""
        features = past.shape[1] // self.engine.depth
        columns = features * (self.engine.depth + self.engine.segment.tick + SLACK)
        empty = jnp.zeros((past.shape[0], columns, *past.shape[2:]), past.dtype)
        if name not in self.engine.edges:
            return empty
        place = (0, features * self.engine.segment.tick, 0)[: empty.ndim]
        return jax.lax.dynamic_update_slice(empty, end, place)

    def _of_sums(self, by_name: Any) -> Any:
        """What belongs to couplings that are heard as sums."""
        return {name: x for name, x in by_name.items() if name not in self.engine.edges}

    @property
    def _histories(self) -> bool:
        """Whether what was sent before each tick is asked for."""
        return self._weigh or bool(self.engine.edges)

    @property
    def _weigh(self) -> bool:
        """Whether a gradient is asked for by delayed weights."""
        return any(jax.tree.leaves(self.asked.parts.delayed))

    # One tick

    def _tick(self, state: "_State", back: dict[str, Reads], step: Any, found: Any, saved: Saved) -> "_State":
        """Back through one tick: from the cotangents after it to those before it."""
        engine, tick = self.engine, self.engine.segment.tick
        noise = engine.draw(self.parts, self.key, step, tick)
        seen = self._observe(saved, step, state.monitors, found)
        gradient = state.gradient._replace(shared=_add(state.gradient.shared, seen.shared))
        pending = {n: h + seen.arrived[n][-1] if seen.arrived else h for n, h in state.pending.items()}
        after = later(saved.path, saved.end)
        direct, sent = self._given(state.direct)
        sent = sent and {name: self._rows_within(rows, step, step + tick - 1) for name, rows in sent.items()}
        going = _Going(_onto(state.y, seen.end), pending, gradient.shared, state.to_come, self._no_shares())
        began = _Began(step, saved.path, self._of_sums(saved.heard), noise, self._buffers(saved, after, engine.edges))
        going, heard = self._steps(back, began, after, _Given(seen.path, seen.arrived, sent), going)
        weights = gradient.weights
        if self._weigh:
            own = _add(weights["pairs"], going.shares)
            weights = {"sums": _add(weights["sums"], self._taps(saved, after, heard)), "pairs": own}
        to_come = {name: self._earlier(name, x) for name, x in going.to_come.items()}
        direct = self._within(direct, step - 1, step + tick - 1)
        return _State(going.y, going.pending, to_come, direct, seen.monitors, _Gradient(going.shared, weights))

    # Horizons

    def _passes(self, before: Any, after: Any) -> Any:
        """Whether no multiple of the horizon lies behind one step and not behind a later one."""
        horizon = self.engine.horizon
        assert horizon is not None
        return jnp.maximum(before, 0) // horizon == after // horizon

    def _within(self, bars: Any, before: Any, after: Any) -> Any:
        """Cotangents on their way from one step to one before it: zero if a horizon lies between."""
        if self.engine.horizon is None:
            return bars
        none = jax.tree.map(jnp.zeros_like, bars)
        return jax.lax.cond(self._passes(before, after), lambda: bars, lambda: none)

    def _rows_within(self, rows: Array, first: Any, after: Any) -> Array:
        """The same of rows that belong to a step each, from the first on."""
        if self.engine.horizon is None:
            return rows
        passes = self._passes(first + jnp.arange(len(rows)), after)
        return jnp.where(passes.reshape(-1, *(1,) * (rows.ndim - 1)), rows, 0)

    def _observe(self, saved: Saved, step: Any, bar: Any, found: Any) -> "_Seen":
        """Back through the monitors of a tick, from cotangents of their states after it and of their samples."""
        engine = self._per_run
        floats, rest = eqx.partition(saved.monitors, eqx.is_inexact_array)
        observe = engine.each(engine.observe, "parts", -1, -1, -1, -1, None, "key")
        heard = saved.heard if engine.afferent else {}

        def run(shared, floats, path, end, heard):
            states, now = eqx.combine(floats, rest), step + engine.segment.tick
            out = observe(self._with(shared), states, path, end, heard, now, self.key)
            return eqx.filter(out, eqx.is_inexact_array)

        out, pull = jax.vjp(run, self._shared, floats, engine.seen(saved.path), engine.seen(saved.end), heard)
        shared, floats, path, end, heard = pull(_filled((bar, found), out))
        return _Seen(shared, path, end, heard, floats)

    def _given(self, direct: Any) -> tuple[Any, Any]:
        """Cotangents of a history from outside: what is left for earlier ticks, and `(step, feature, node)` for this one."""
        if direct is None:
            return None, None
        tick, left, given = self.engine.segment.tick, {}, {}
        for name, bar in direct.items():
            features = self.engine.features[name]
            wide = jnp.concatenate([jnp.zeros_like(bar, shape=(bar.shape[0], tick * features, *bar.shape[2:])), bar], 1)
            left[name], given[name] = wide[:, : bar.shape[1]], self._rows(name, wide[:, bar.shape[1] :])
        return left, given

    def _rows(self, name: str, columns: Any) -> Any:
        """Columns of a buffer as `(step, feature, node)`."""
        apart = columns.reshape(columns.shape[0], -1, self.engine.features[name], *self.engine.tail)
        return jnp.moveaxis(apart, 0, 2)

    def _steps(
        self, back: dict[str, Reads], began: "_Began", after: Any, given: "_Given", going: "_Going"
    ) -> tuple["_Going", dict[str, Any]]:
        """Back through the steps of a tick, the last first.

        Args:
            back: the reads that bring cotangents back.
            began: what each step began with.
            after: the state after each step.
            given: cotangents from outside.
            going: where the way back stands after the last step.

        Returns:
            Where it stands before the first, and the cotangents of what was heard after each.
        """
        engine, tick, first = self.engine, self.engine.segment.tick, began.first
        long, short = engine.segment.window, engine.short_window

        arrivals = engine.arrivals(self.parts)

        def all_of_short(at, state):
            y, pending, shared, to_come, shares, heard, sent, arrived = state
            late = {name: to_come[name] for name in arrivals}
            sent = self._brought(back, "short", to_come, sent, at, short, first)

            # Step before step, the last first. What arrived along connections of pairs a step later goes back only now: a kernel that makes
            # it and has it scattered makes one number after another.
            def body(i, state):
                n, (y, pending, shared, heard, late, arrived) = at + short - 1 - i, state
                late = self._back_to_sent(arrivals, began, n + 1, arrived, late)
                rows = {name: take(x, n) for name, x in sent.items()}
                rows |= {name: self._column(name, late[0][name], n) for name in arrivals}
                y, pending, shared, now = self._one_step(n, y, pending, shared, rows, (arrivals, began, after, given))
                kept = {name: put(heard[name], now[name][None], n) for name in heard}
                return y, pending, shared, kept, late, {name: now[name] for name in arrived}

            state = (y, pending, shared, heard, (late, shares), arrived)
            y, pending, shared, heard, (late, shares), arrived = jax.lax.fori_loop(0, short, body, state)
            to_come = self._within(self._of_sums(to_come), first + at, first + at + short)
            for name in to_come:
                rows = self._rows_within(take(heard[name], at, short), first + at, first + at)
                to_come = to_come | {name: engine.write(to_come[name], rows, at)}
            return y, pending, shared, to_come | late, shares, heard, sent, arrived

        def all_of_long(w, state):
            *others, to_come, shares, heard, sent, arrived = state
            at = tick - (w + 1) * long
            sent = self._brought(back, "long", to_come, sent, at, long, first)

            # Short window before short window, the last first.
            def body(q, state):
                return all_of_short(at + long - (q + 1) * short, state)

            return engine.loop(long // short, body, (*others, to_come, shares, heard, sent, arrived))

        # Long window before long window, the last first.
        blank = {name: engine.zeros(name, tick) for name in back}
        none = {name: jnp.zeros_like(going.pending[name]) for name in arrivals}
        state = (*going, blank, given.sent or blank, none)
        *rest, heard, _, arrived = engine.loop(tick // long, all_of_long, state)
        going = _Going(*rest)
        late, shares = self._back_to_sent(arrivals, began, 0, arrived, (going.to_come, going.shares))
        return going._replace(to_come=late, shares=shares), heard

    def _one_step(
        self, n: Any, y: Any, pending: Any, shared: Any, rows: dict[str, Any], known: tuple[Any, ...]
    ) -> tuple[Any, Any, Any, Any]:
        """Back through a step: what its end sends, its state passes on to, and in turn what the step heard at its two ends."""
        arrivals, began, after, given = known
        more, bar = self._pull_send(take(after, n))(rows)
        y, shared = _add(y, bar), _add(shared, more)
        more, y, before, now = self._pull_step(began, n, arrivals)(y)
        heard = {name: pending[name] + now[name] for name in pending}
        if self.engine.horizon is not None:
            passes = self._passes(began.first + n - 1, began.first + n)
            y, before = jax.tree.map(lambda x: jnp.where(passes, x, 0), (y, before))
        if given.arrived:
            before = {name: h + take(given.arrived[name], n) for name, h in before.items()}
        return _onto(y, take(given.path, n)), before, _add(shared, more), heard

    def _brought(
        self, back: dict[str, Reads], kind: str, to_come: Any, sent: Any, at: Any, window: int, first: Any
    ) -> Any:
        """Cotangents of what was sent during a window, with those that long or short delays bring back."""
        for name, reads in back.items():
            sums = getattr(reads, kind)
            if sums is not None:
                read = self._rows_within(sums.read(to_come[name], at), first + at, first + at + window)
                sent = sent | {name: put(sent[name], take(sent[name], at, window) + read, at)}
        return sent

    def _back_to_sent(
        self, arrivals: dict[str, Arrivals], began: "_Began", n: Any, heard: dict[str, Any], late: tuple[Any, Any]
    ) -> tuple[Any, Any]:
        """What arrives along connections of pairs goes back to what was sent, and to the shares, at once."""
        to_come, shares = late
        for name, arrive in arrivals.items():
            column = arrive.back(to_come[name], n, heard[name])
            if self.engine.horizon is not None:
                column = jnp.where(self._passes(began.first + n - 1, began.first + n), column, 0)
            to_come = to_come | {name: column}
            if self._weigh:
                shares = shares | {name: _add(shares[name], arrive.carried(began.buffers[name], n, heard[name]))}
        return to_come, shares

    def _column(self, name: str, columns: Array, n: Any) -> Array:
        """What was sent after the n-th step of a tick, `(feature, node)`, in a buffer of it."""
        features = self.engine.features[name]
        own = jax.lax.dynamic_slice_in_dim(columns, (self.engine.depth + n) * features, features, 1)
        return jnp.moveaxis(own, 1, 0)

    def _pull_step(self, began: "_Began", n: Any, arrivals: dict[str, Arrivals]) -> Callable:
        """The n-th step, transposed: from the cotangent of the state after it to those of the parameters and of what it began with."""
        engine = self._per_run
        step = engine.each(engine.step, "parts", -1, None, -1, -1, "noise")
        noise = None if began.noise is None else take(began.noise, n)
        before, now = ({name: take(h, n + k) for name, h in began.heard.items()} for k in (0, 1))
        before |= {name: x.read(began.buffers[name], n - 1) for name, x in arrivals.items()}
        now |= {name: x.read(began.buffers[name], n) for name, x in arrivals.items()}

        def forward(shared, y, before, now):
            return step(self._with(shared), y, began.first + n, before, now, noise)

        return jax.vjp(forward, self._shared, take(began.path, n), before, now)[1]

    def _pull_send(self, y: Any) -> Callable:
        """What regions send, transposed: to the cotangents of the parameters and of their state."""
        engine = self._per_run
        send = engine.each(engine.send, "parts", -1)
        return jax.vjp(lambda shared, y: send(self._with(shared), y), self._shared, y)[1]

    def _taps(self, saved: Saved, after: Any, heard: dict[str, Any]) -> Any:
        """What a tick says about every weight: what it carried, times what its target wanted."""
        engine, found = self.engine, {}
        sums = engine.reads(self.parts)
        for name, buffer in self._buffers(saved, after, sums).items():
            found[name] = tuple(None if s is None else s.correlate(buffer, heard[name]) for s in sums[name])
        return found

    def _buffers(self, saved: Saved, after: Any, names: Any) -> dict[str, Array]:
        """What was sent before a tick and during it, in columns, by coupling."""
        engine, found = self.engine, {}
        if not names:
            return found
        assert saved.history is not None
        sent = engine.over_time(lambda y: engine.each(engine.send, "parts", -1)(self.parts, y))(after)
        for name in names:
            past = saved.history[name]
            slack = jnp.zeros((len(past), SLACK * engine.features[name], *past.shape[2:]), past.dtype)
            found[name] = jnp.concatenate([past, engine.columns(sent[name]), slack], 1)
        return found

    # Buffers

    def _earlier(self, name: str, to_come: Any) -> Any:
        """The cotangents to come as the tick before counts them."""
        features, tick, depth = self.engine.features[name], self.engine.segment.tick, self.engine.depth
        zeros = jnp.zeros_like(to_come[:, : max(tick, SLACK) * features])
        kept = to_come[:, : depth * features]
        return jnp.concatenate([zeros[:, : tick * features], kept, zeros[:, : SLACK * features]], 1)

    def _before(self, back: dict[str, Reads], to_come: Any, direct: Any) -> dict[str, Any]:
        """Cotangents of the history that the segment began with."""
        engine, found = self.engine, {}
        tick, long, short = engine.segment.tick, engine.segment.window, engine.short_window
        for name, buffer in to_come.items():
            if not self.asked.carry.history[name]:
                found[name] = None
                continue
            if name in engine.edges:  # of what was sent already
                features = engine.features[name]
                found[name] = buffer[:, tick * features : (tick + engine.depth) * features]
                continue
            pieces = []
            # A tick's worth of columns before another, until the whole depth of the history is covered.
            for _ in range(-(-engine.depth // tick)):
                total = jnp.zeros((tick, engine.features[name], engine.regions, *engine.tail), buffer.dtype)
                # What long delays bring back, then what short ones do.
                for sums, length in zip(back[name], (long, short), strict=True):
                    if sums is not None:
                        starts = length * jnp.arange(tick // length)
                        read = jax.lax.map(lambda at, s=sums, b=buffer: s.read(b, at), starts)
                        total = total + read.reshape(total.shape)
                pieces.append(engine.columns(total))
                buffer = self._earlier(name, buffer)
            bar = jnp.concatenate(pieces[::-1], 1)[:, -engine.depth * engine.features[name] :]
            found[name] = bar if direct is None else bar + direct[name]
        return found

    # Parameters: of a batch, each simulation has its own

    @property
    def _shared(self) -> Any:
        """The wanted leaves of the parts, without the delayed weights; in a batch, one a simulation."""
        wanted = dataclasses.replace(self.asked.parts, delayed=None)
        shared = jax.tree.map(lambda w, x: x if w else None, wanted, dataclasses.replace(self.parts, delayed=None))
        if self.engine.batch is None:
            return shared
        own = dataclasses.replace(self.engine.own.parts, delayed=None)
        axes = jax.tree.map(lambda w, a: a if w else None, wanted, own, is_leaf=_is_none)
        return jax.tree.map(lambda x, axis: self._one_each(axis, x), shared, axes)

    def _one_each(self, axis: int | None, x: Array) -> Array:
        """What comes one a simulation, as it is or repeated."""
        return x if axis == 0 else jnp.broadcast_to(x, (self.engine.batch, *x.shape))

    def _with(self, shared: Any) -> Parts:
        """The parts with these leaves in place of their own."""
        return eqx.combine(shared, self.parts)

    @property
    def _per_run(self) -> Engine:
        """The engine in which the wanted leaves come one a simulation, except for the delayed weights."""
        engine = self.engine
        if engine.batch is None:
            return engine
        own = engine.own
        parts = jax.tree.map(lambda w, a: 0 if w else a, self.asked.parts, own.parts, is_leaf=_is_none)
        parts = dataclasses.replace(parts, delayed=own.parts.delayed)
        return dataclasses.replace(engine, axes=own._replace(parts=parts))

    def _no_gradient(self) -> "_Gradient":
        """Zeros, before anything was said."""
        shared = jax.tree.map(jnp.zeros_like, self._shared)
        if not self._weigh:
            return _Gradient(shared, None)

        def zeros(weights):
            return jnp.zeros((*weights.shape[:3], *self.engine.tail), weights.dtype)

        sums = jax.tree.map(zeros, _grouped(self.engine, self.parts)["sums"])
        return _Gradient(shared, {"sums": sums, "pairs": self._no_shares()})

    def _no_shares(self) -> Any:
        """Zeros for the shares of couplings of pairs, where a gradient is asked for."""
        if not self._weigh:
            return {}

        def zeros(share):
            return jnp.zeros((*share.shape[:2], *self.engine.tail), share.dtype)

        return jax.tree.map(zeros, _grouped(self.engine, self.parts)["pairs"])

    def _parts_bar(self, gradient: "_Gradient") -> Any:
        """Cotangents of the parts: the delayed weights' from the groups in which they are read."""
        shared, engine, delayed = gradient.shared, self.engine, self.parts.delayed
        if engine.batch is not None:
            shared = _batch_last(shared)
        if gradient.weights is None:
            return dataclasses.replace(shared, delayed=jax.tree.map(lambda _: None, delayed))
        if engine.batch is not None:
            own = engine.own
            delayed = jax.tree.map(self._one_each, own.parts.delayed, delayed, is_leaf=_is_none)
            parts = dataclasses.replace(own.parts, delayed=jax.tree.map(lambda _: 0, delayed))
            engine = dataclasses.replace(engine, axes=own._replace(parts=parts))

        def grouped(delayed):
            return _grouped(engine, dataclasses.replace(self.parts, delayed=delayed))

        bar = jax.vjp(grouped, delayed)[1](gradient.weights)[0]
        if engine.batch is not None:
            bar = _batch_last(bar)
        bar = jax.tree.map(lambda w, x: x if w else None, self.asked.parts.delayed, bar)
        return dataclasses.replace(shared, delayed=bar)


class _Gradient(NamedTuple):
    """What the steps so far say about the parameters.

    `shared`: the parts without the delayed weights; in a batch, one a simulation. `weights`: the delayed weights, in the groups
    in which they are read; None if no gradient is asked for by them.
    """

    shared: Any
    weights: Any


class _State(NamedTuple):
    """Where the way back stands, cotangents all.

    `y`: of the state. `pending`: of the delayed sums heard at its time, as far as the steps after it heard them; the step that
    ends there hears them too, and adds its own. `to_come`: of what is heard from then on. `direct`: of what was sent, where the
    result depends on the history that a run leaves. `monitors`: of their states. `gradient`: of the parameters.
    """

    y: Any
    pending: dict[str, Any]
    to_come: dict[str, Any]
    direct: dict[str, Any] | None
    monitors: Any
    gradient: _Gradient


class _Going(NamedTuple):
    """What of `_State` changes from step to step, the parameters without the delayed weights; and a tick's shares of couplings of pairs."""

    y: Any
    pending: dict[str, Any]
    shared: Any
    to_come: dict[str, Any]
    shares: Any


class _Began(NamedTuple):
    """What the steps of a tick began with: the number of the first, states, noise; what is heard at their ends, one more; and
    what was sent by couplings of pairs.
    """

    first: Any
    path: Any
    heard: dict[str, Any]
    noise: Any
    buffers: dict[str, Any]


class _Given(NamedTuple):
    """Cotangents from outside of a tick, by step: of the states before it, of delayed sums then, of what was sent after."""

    path: Any
    arrived: dict[str, Any]
    sent: dict[str, Any] | None


class _Seen(NamedTuple):
    """Cotangents of what the monitors of a tick have seen, and of their states before it."""

    shared: Any
    path: Any
    end: Any
    arrived: dict[str, Any]
    monitors: Any


def _is_none(x: Any) -> bool:
    return x is None


def _batch_last(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), tree)


def _grouped(engine: Engine, parts: Parts) -> dict[str, Any]:
    """The delayed weights in the groups in which they are read, long and short, by coupling; and the shares of couplings of pairs."""
    sums = {
        name: tuple(None if sums is None else sums.weights for sums in each)
        for name, each in engine.reads(parts).items()
    }
    return {"sums": sums, "pairs": {name: arrive.shares for name, arrive in engine.arrivals(parts).items()}}


def _filled(bars: Any, like: Any) -> Any:
    """Cotangents with zeros where there are none."""

    def fill(bar, x):
        return jnp.zeros_like(x) if bar is None and x is not None else bar

    return jax.tree.map(fill, bars, like, is_leaf=_is_none)


def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


def _onto(y: Any, seen: Any) -> Any:
    """The cotangent of what a run carries, with that of what monitors saw of it."""
    if isinstance(y, Whole) and not isinstance(seen, Whole):
        return y._replace(states=y.states + seen)
    return _add(y, seen)
