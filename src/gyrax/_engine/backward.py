"""The loops backwards: gradients by hand-written adjoint.

What the regions of the future make of what a region sends comes back by the same windowed reads, with sources and
targets exchanged and time reversed. The steps of a tick are linearised together, for their path is known by then; only
the transposed linear steps run one after another. Parameters get their share of the whole tick at once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jax.extend.core import Literal

from .batches import ensemble
from .carry import Carry, Parts, Saved
from .lengths import divisors
from .loops import Engine, put, take
from .reads import SLACK

#: Numbers of the steps' states that are linearised at a time, so that it all stays in a core's cache.
_BLOCK = 2**15


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
        job = lambda e, parts, carry, key: _forward(e, parts, carry, key, chunks)  # noqa: E731
        return outputs(ensemble(engine, job, whole(floats, others))[0])

    def forward(floats, others):
        is_primal = lambda x: isinstance(x, CustomVJPPrimal)  # noqa: E731
        wanted = _Flags(tuple(x.perturbed for x in jax.tree.leaves(floats, is_leaf=is_primal)))
        floats, others = jax.tree.map(lambda x: x.value, (floats, others), is_leaf=is_primal)
        histories = any(jax.tree.leaves(_asked(floats, wanted)[0].delayed))
        save = "path" if keep else "chunks"
        job = lambda e, parts, carry, key: _forward(e, parts, carry, key, chunks, save, histories)  # noqa: E731
        out, saved = ensemble(engine, job, whole(floats, others))
        return outputs(out), (floats, others, *eqx.partition(saved, eqx.is_array), wanted)

    def backward(residuals, bars):
        floats, others, saved, plain, wanted = residuals
        asked = _asked(floats, wanted)
        moving = jax.tree.map(lambda bar: None if isinstance(bar, SymbolicZero) else bar, bars[0])
        job = lambda e, parts, carry, key, *rest: _Backward(e, parts, carry, key, asked, keep).run(*rest)  # noqa: E731
        found = ensemble(engine, job, (*whole(floats, others), eqx.combine(saved, plain), moving))
        return _filled(found, floats), None

    run.defvjp(forward, backward, symbolic_zeros=True)
    moving, still = run(floats, others)
    return eqx.combine(moving, still, kinds[0])


class _Flags(eqx.Module):
    """Which leaves a gradient is asked for; no array, so that it stays known."""

    flags: tuple[bool, ...] = eqx.field(static=True)


def _asked(floats: Any, wanted: _Flags) -> Any:
    """The flags as a tree, True where a gradient is asked for."""
    leaves, tree = jax.tree.flatten(floats, is_leaf=lambda x: x is None)
    flags = iter(wanted.flags)
    return jax.tree.unflatten(tree, [False if leaf is None else next(flags) for leaf in leaves])


def plain_segment(engine: Engine, parts: Parts, carry: Carry, key: Any, chunks: int, keep: bool) -> Any:
    """The same for plain autodiff, forward mode included."""
    sums = engine.sums(parts)

    def chunk(carry, _):
        carry, (found, _) = engine.chunk(parts, sums, carry, key, False)
        return carry, found

    if not keep:
        chunk = jax.checkpoint(chunk, prevent_cse=False)
    return jax.lax.scan(chunk, carry, None, length=chunks)


def _forward(
    engine: Engine, parts: Parts, carry: Carry, key: Any, chunks: int, save: str | None = None, histories: bool = False
) -> Any:
    sums = engine.sums(parts)

    def chunk(carry, _):
        new, (found, saved) = engine.chunk(parts, sums, carry, key, save == "path", histories)
        kept = dataclasses.replace(carry, step=None) if save == "chunks" else saved
        return new, (found, kept)

    carry, (found, saved) = jax.lax.scan(chunk, carry, None, length=chunks)
    return (dataclasses.replace(carry, step=None), found), saved


@dataclasses.dataclass(frozen=True)
class _Backward:
    """The way back through one segment."""

    engine: Engine
    parts: Parts
    first: Carry
    key: Any
    wanted: Any
    keep: bool

    def run(self, saved: Any, bars: Any) -> Any:
        """Cotangents of parts and first carry from those of last carry and samples."""
        engine = self.engine
        end, found = bars
        end = _filled(end, dataclasses.replace(self.first, step=None))
        direct = bars[0].history if any(h is not None for h in bars[0].history.values()) else None
        room = lambda h: jnp.zeros((h.shape[0], self._columns(h), *h.shape[2:]), h.dtype)  # noqa: E731
        to_come = {name: room(h) for name, h in self.first.history.items()}
        if direct is not None:
            direct = end.history
        heard = {name: h[0] for name, h in end.heard.items()}
        state = (end.y, heard, to_come, direct, end.monitors, self._no_gradient())
        chunks = jax.tree.leaves(saved)[0].shape[0]
        size = engine.per_chunk
        sums = None if self.keep else engine.sums(self.parts)
        back = engine.sums(self.parts, transposed=True)

        def chunk(state, x):
            number, found, kept = x
            step = self.first.step + number * size * engine.segment.tick
            if not self.keep:
                carry = dataclasses.replace(kept, step=step)
                _, (_, kept) = engine.chunk(self.parts, sums, carry, self.key, True, self._weigh)
            steps = engine.segment.tick * jnp.arange(size)
            x = (steps, found, kept)
            return jax.lax.scan(lambda s, x: self._tick(s, back, step + x[0], *x[1:]), state, x, reverse=True)

        state, _ = jax.lax.scan(chunk, state, (jnp.arange(chunks), found, saved), reverse=True)
        y, heard, to_come, direct, monitors, gradient = state
        history = self._before(back, to_come, direct)
        heard = {name: h[None] for name, h in heard.items()}
        return self._parts_bar(gradient), Carry(y, history, heard, monitors, None, None)  # type: ignore[arg-type]

    @property
    def _weigh(self) -> bool:
        return any(jax.tree.leaves(self.wanted[0].delayed))

    def _columns(self, history: Any) -> int:
        return history.shape[1] // self.engine.depth * (self.engine.depth + self.engine.segment.tick + SLACK)

    # One tick

    def _tick(self, state: Any, back: Any, step: Any, found: Any, saved: Saved) -> Any:
        engine, tick, block = self.engine, self.engine.segment.tick, self._block
        y, pending, to_come, direct, monitors, (shared, weights) = state
        noise = engine.draw(self.parts, self.key, step, tick)
        observed, path_bar, end_bar, arrived, monitors = self._observe(saved, step, monitors, found)
        shared = _add(shared, observed)
        pending = {name: h + arrived[name][-1] if arrived else h for name, h in pending.items()}
        after = jnp.concatenate([saved.path[1:], saved.end[None]])
        heard = saved.heard
        direct, sent = self._given(direct)

        def several(b, state):
            """A block of steps, few enough for what is known of them to stay in the cache."""
            y, pending, to_come, shared = state
            at = tick - (b + 1) * block
            some = lambda rows: take(rows, at, block)  # noqa: E731
            before, now = ({name: take(h, at + k, block) for name, h in heard.items()} for k in (0, 1))
            known = (some(saved.path), before, now, jax.tree.map(some, noise), step + at + jnp.arange(block))
            y, pending, to_come, bars, given = self._steps(
                y, pending, to_come, back, at, known, some(after), *jax.tree.map(some, (path_bar, arrived, sent))
            )
            return y, pending, to_come, _add(shared, self._shares(known, some(after), bars, given))

        state = (y + end_bar, pending, to_come, shared)
        y, pending, to_come, shared = engine.loop(tick // block, several, state)
        if self._weigh:
            weights = _add(weights, self._taps(saved, after, to_come))
        to_come = {name: self._earlier(name, x) for name, x in to_come.items()}
        if engine.horizon is not None:
            keep = lambda x: jnp.where((step % engine.horizon == 0) & (step > 0), jnp.zeros_like(x), x)  # noqa: E731
            y, pending, to_come, direct = jax.tree.map(keep, (y, pending, to_come, direct))
        return (y, pending, to_come, direct, monitors, (shared, weights)), None

    @property
    def _block(self) -> int:
        """Steps whose linearisation is held at a time."""
        segment, (states, n) = self.engine.segment, self.engine.shape
        fitting = [
            k
            for k in divisors(segment.tick // segment.window)
            if k * segment.window * states * n * (self.engine.batch or 1) <= _BLOCK
        ]
        return segment.window * max(fitting, default=1)

    def _observe(self, saved: Saved, step: Any, bar: Any, found: Any) -> Any:
        """Back through the monitors of a tick."""
        engine = self._per_run
        floats, rest = eqx.partition(saved.monitors, eqx.is_inexact_array)
        observe = engine.each(engine.observe, "parts", -1, -1, -1, -1, None, "key")
        heard = saved.heard if engine.afferent else {}

        def run(shared, floats, path, end, heard):
            states, now = eqx.combine(floats, rest), step + engine.segment.tick
            out = observe(self._with(shared), states, path, end, heard, now, self.key)
            return eqx.filter(out, eqx.is_inexact_array)

        out, pull = jax.vjp(run, self._shared, floats, saved.path, saved.end, heard)
        shared, floats, path, end, heard = pull(_filled((bar, found), out))
        return shared, path, end, heard, floats

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
        self,
        y: Any,
        pending: Any,
        to_come: Any,
        back: Any,
        origin: Any,
        known: Any,
        after: Any,
        path_bar: Any,
        arrived: Any,
        sent: Any,
    ) -> Any:
        """Back through a block of steps, the last first: linear by now. `origin`: where in the tick it begins.

        `path_bar`, `arrived` and `sent`: cotangents, by step, of states, delayed sums and what was sent.
        """
        engine, parts = self.engine, self.parts
        block, window, inner = self._block, engine.segment.window, engine.inner
        step = engine.each(engine.step, "parts", -1, None, -1, -1, "noise")
        send = engine.each(engine.send, "parts", -1)

        def linear_step(y, before, heard, noise, n):
            return jax.vjp(lambda y, before, heard: step(parts, y, n, before, heard, noise), y, before, heard)[1]

        steps, pull_step = _over_time(engine, linear_step, *known)
        sends, pull_send = _over_time(engine, lambda y: jax.vjp(lambda y: send(parts, y), y)[1], after)

        def one(n, state, sent):
            y, pending, bars, heard = state
            y = y + pull_send([take(x, n) for x in sends])({name: take(x, n) for name, x in sent.items()})[0]
            before_y, before, now = pull_step([take(x, n) for x in steps])(y)
            heard = {name: put(h, (pending[name] + now[name])[None], n) for name, h in heard.items()}
            before = {name: h + take(arrived[name], n) if arrived else h for name, h in before.items()}
            return before_y + take(path_bar, n), before, put(bars, y[None], n), heard

        def several(at, state):
            y, pending, bars, heard, sent, to_come = state
            for name, (_, short) in back.items():
                if short is not None:
                    rows = take(sent[name], at, inner) + short.read(to_come[name], origin + at)
                    sent = sent | {name: put(sent[name], rows, at)}
            backwards = lambda i, s: one(at + inner - 1 - i, s, sent)  # noqa: E731
            y, pending, bars, heard = jax.lax.fori_loop(0, inner, backwards, (y, pending, bars, heard))
            to_come = {name: engine.write(x, take(heard[name], at, inner), origin + at) for name, x in to_come.items()}
            return y, pending, bars, heard, sent, to_come

        def all_of_window(w, state):
            *others, sent, to_come = state
            at = block - (w + 1) * window
            for name, (long, _) in back.items():
                if long is not None:
                    rows = take(sent[name], at, window) + long.read(to_come[name], origin + at)
                    sent = sent | {name: put(sent[name], rows, at)}
            backwards = lambda q, s: several(at + window - (q + 1) * inner, s)  # noqa: E731
            return engine.loop(window // inner, backwards, (*others, sent, to_come))

        blank = {name: engine.zeros(name, block) for name in engine.features}
        state = (y, pending, jnp.zeros_like(path_bar), blank, sent or blank, to_come)
        y, pending, bars, _, sent, to_come = engine.loop(block // window, all_of_window, state)
        return y, pending, to_come, bars, sent

    def _shares(self, known: Any, after: Any, bars: Any, sent: Any) -> Any:
        """What the steps of a tick say about the parameters."""
        if not jax.tree.leaves(self._shared):
            return self._shared
        engine = self._per_run
        step = engine.each(engine.step, "parts", -1, None, -1, -1, "noise")
        send = engine.each(engine.send, "parts", -1)

        def run(shared):
            parts = self._with(shared)
            new = engine.over_time(lambda y, before, heard, noise, n: step(parts, y, n, before, heard, noise))(*known)
            return new, engine.over_time(lambda y: send(parts, y))(after)

        return jax.vjp(run, self._shared)[1]((bars, sent))[0]

    def _taps(self, saved: Saved, after: Any, to_come: Any) -> Any:
        """What a tick says about every weight: what it carried, times what its target wanted."""
        engine, found = self.engine, {}
        sent = engine.over_time(lambda y: engine.each(engine.send, "parts", -1)(self.parts, y))(after)
        for name, sums in engine.sums(self.parts).items():
            assert saved.history is not None
            features = engine.features[name]
            past = saved.history[name]
            slack = jnp.zeros((len(past), SLACK * features, *past.shape[2:]), past.dtype)
            buffer = jnp.concatenate([past, engine.columns(sent[name]), slack], 1)
            heard = self._rows(name, to_come[name][:, : engine.segment.tick * features])
            found[name] = tuple(None if s is None else s.correlate(buffer, heard) for s in sums)
        return found

    # Buffers

    def _earlier(self, name: str, to_come: Any) -> Any:
        """The cotangents to come as the tick before counts them."""
        features, tick, depth = self.engine.features[name], self.engine.segment.tick, self.engine.depth
        zeros = jnp.zeros_like(to_come[:, : max(tick, SLACK) * features])
        kept = to_come[:, : depth * features]
        return jnp.concatenate([zeros[:, : tick * features], kept, zeros[:, : SLACK * features]], 1)

    def _before(self, back: Any, to_come: Any, direct: Any) -> dict[str, Any] | None:
        """Cotangents of the history that the segment began with."""
        engine, found = self.engine, {}
        tick, window, inner = engine.segment.tick, engine.segment.window, engine.inner
        for name, buffer in to_come.items():
            if not self.wanted[1].history[name]:
                found[name] = None
                continue
            pieces = []
            for _ in range(-(-engine.depth // tick)):
                total = jnp.zeros((tick, engine.features[name], engine.regions, *engine.tail), buffer.dtype)
                for sums, length in zip(back[name], (window, inner), strict=True):
                    if sums is not None:
                        read = jax.lax.map(
                            lambda at, s=sums, b=buffer: s.read(b, at), length * jnp.arange(tick // length)
                        )
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
        wanted = dataclasses.replace(self.wanted[0], delayed=None)
        shared = jax.tree.map(lambda w, x: x if w else None, wanted, dataclasses.replace(self.parts, delayed=None))
        if self.engine.batch is None:
            return shared
        spread = lambda x, axis: x if axis == 0 else jnp.broadcast_to(x, (self.engine.batch, *x.shape))  # noqa: E731
        axes = jax.tree.map(lambda w, a: a if w else None, wanted, self._axes(None), is_leaf=lambda x: x is None)
        return jax.tree.map(spread, shared, axes)

    def _axes(self, delayed: Any) -> Any:
        return dataclasses.replace(self.engine.axes[0], delayed=delayed)

    def _with(self, shared: Any) -> Parts:
        return eqx.combine(shared, self.parts)

    @property
    def _per_run(self) -> Engine:
        """The engine in which the wanted leaves come one a simulation, except for the delayed weights."""
        engine = self.engine
        if engine.batch is None:
            return engine
        axes = jax.tree.map(lambda w, a: 0 if w else a, self.wanted[0], engine.axes[0], is_leaf=lambda x: x is None)
        axes = dataclasses.replace(axes, delayed=engine.axes[0].delayed)
        return dataclasses.replace(engine, axes=(axes, engine.axes[1]))

    def _no_gradient(self) -> Any:
        shared = jax.tree.map(jnp.zeros_like, self._shared)
        if not self._weigh:
            return shared, None
        weights = {
            n: tuple(None if s is None else s.weights for s in sums) for n, sums in self.engine.sums(self.parts).items()
        }
        tail = self.engine.tail
        zeros = lambda w: jnp.zeros((*w.shape[:3], *tail), w.dtype)  # noqa: E731
        return shared, jax.tree.map(zeros, weights)

    def _parts_bar(self, gradient: Any) -> Any:
        shared, taps = gradient
        if self.engine.batch is not None:
            shared = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), shared)
        if taps is None:
            return dataclasses.replace(shared, delayed=jax.tree.map(lambda _: None, self.parts.delayed))
        engine, delayed = self.engine, self.parts.delayed
        if engine.batch is not None:
            own = engine.axes[0]
            spread = lambda a, x: x if a == 0 else jnp.broadcast_to(x, (engine.batch, *x.shape))  # noqa: E731
            delayed = jax.tree.map(spread, own.delayed, delayed, is_leaf=lambda x: x is None)
            axes = dataclasses.replace(own, delayed=jax.tree.map(lambda _: 0, delayed))
            engine = dataclasses.replace(engine, axes=(axes, engine.axes[1]))

        def weights(delayed):
            sums = engine.sums(dataclasses.replace(self.parts, delayed=delayed))
            return {n: tuple(None if s is None else s.weights for s in each) for n, each in sums.items()}

        bar = jax.vjp(weights, delayed)[1](taps)[0]
        if engine.batch is not None:
            bar = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), bar)
        bar = jax.tree.map(lambda w, x: x if w else None, self.wanted[0].delayed, bar)
        return dataclasses.replace(shared, delayed=bar)


def _filled(bars: Any, like: Any) -> Any:
    """Cotangents with zeros where there are none."""
    fill = lambda bar, x: jnp.zeros_like(x) if bar is None and x is not None else bar  # noqa: E731
    return jax.tree.map(fill, bars, like, is_leaf=lambda x: x is None)


def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


def _over_time(engine: Engine, function: Callable, *xs: Any) -> tuple[list[Any], Callable]:
    """`engine.over_time(function)(*xs)`, but what of its result does not depend on `xs` is made once.

    The weights of a product, say.

    Returns:
        What varies, one an x, for a scan to go over; and a function that makes of one of them what `function` returned.
    """
    trees = []

    def leaves(*x):
        flat, tree = jax.tree.flatten(function(*x))
        trees.append(tree)
        return flat

    first = jax.tree.map(lambda x: x[0], xs)
    jaxpr = jax.make_jaxpr(leaves)(*first).jaxpr
    varying = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in varying for v in equation.invars):
            varying.update(equation.outvars)
    varies = [not isinstance(v, Literal) and v in varying for v in jaxpr.outvars]
    pick = lambda flat, which: [leaf for leaf, v in zip(flat, varies, strict=True) if v is which]  # noqa: E731
    moving = engine.over_time(lambda *x: pick(leaves(*x), True))(*xs)
    fixed = pick(leaves(*first), False)

    def restore(moving):
        moving, rest = iter(moving), iter(fixed)
        return jax.tree.unflatten(trees[-1], [next(moving if v else rest) for v in varies])

    return moving, restore
