"""Tuning a network while it runs: pieces of a simulation, and rules between them, in one compiled loop."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._digests import digest
from .._kinds import expect, number, shown, whole
from .._pictures import draw
from .._types import State
from ..monitors import AbstractMonitor
from ..network.living import names_of
from ..network.network import Network
from ..parameters.addresses import named_leaves
from ..recordings.run import Final
from ..simulation import simulate
from .blocks import compiled_steps, in_blocks
from .checkpoint import kept_in
from .fingerprint import as_read, statics, surroundings, traced
from .rules import AbstractRule

#: Pieces that one call into XLA may take.
_BLOCK = 256
#: What a checkpoint has one of for every piece, whatever the rules report.
_PIECES = "pieces"


@dataclasses.dataclass
class TuneResult:
    """What `tune` found.

    Attributes:
        network: the tuned network.
        history: by 'rule.name', one value a piece of this call.
        final: where the run ended.
        states: what each rule remembers, by its name.
        period: ms a piece.
        seconds: wall time.
        stopped: why it ended: 'steps' or 'interrupted'.
    """

    network: Network
    history: dict[str, np.ndarray]
    final: Final
    states: dict[str, Any]
    period: float
    seconds: float
    stopped: str

    def plot(self, ax: Any = None) -> Any:
        """The history over pieces; returns the matplotlib axes."""
        return draw("fits.loss_history", self.history, ax=ax)

    def __repr__(self):
        steps = len(next(iter(self.history.values()), ()))
        shown = [f"{name} {_first(values):.4g} -> {values[-1]:.4g}" for name, values in self.history.items() if steps]
        text = f"TuneResult({steps} pieces of {self.period:g} ms in {self.seconds:.1f} s"
        text += f", stopped by {self.stopped}" if self.stopped != "steps" else ""
        return text + "".join(f"; {x}" for x in shown) + ")"


def _latest(carry: Any, history: dict[str, np.ndarray]) -> dict[str, str]:
    """What the bar shows."""
    return {name: f"{values[-1]:.4g}" for name, values in history.items()}


def _first(values: np.ndarray) -> Any:
    known = values[~np.isnan(values)]
    return known[0] if len(known) else np.nan


class _Carry(eqx.Module):
    network: Network
    states: dict[str, Any]
    final: Final
    failed_at: Array  # by node, as in a run


def tune(
    network: Network,
    rules: Any,
    *,
    steps: int,
    period: float,
    dt: float,
    key: Any = None,
    start: State | Final | TuneResult | None = None,
    solver: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> TuneResult:
    """Runs a network in pieces, and lets rules change it after each: online tuning, in one compiled loop.

    Every piece goes on exactly where the last ended, its monitors too. What is kept are the rules' memories and a few scalars
    a piece.

    Args:
        network: what to tune.
        rules: a list, such as `[gx.FIC(), gx.EIB(target, monitor=bold)]`; they act in this order.
        steps: pieces.
        period: ms a piece, usually the TR: a multiple of the periods of the rules' monitors.
        dt: ms a step.
        key: `jax.random.key(...)` for the noise; left out, that of `start`.
        start: where to begin: a state, `run.final`, or an earlier result of tuning, to go on from exactly, together with
            `result.network`. Rules that took part then go on with what they remember.
        solver: as in `gx.simulate`.
        checkpoint: a file to keep the state of the tuning in. If it exists, the tuning goes on from there, bit for bit, to `steps`
            pieces in all. While it runs, a lock beside the file keeps others away.
        progress: show a bar; a text is its title.

    Raises:
        ValueError: for rules that do not fit the network, monitors that do not fit the period, what `gx.simulate` refuses, or a
            checkpoint that is damaged or of another tuning.
        OSError: if the checkpoint cannot be written, or another process is at work with it.
        TypeError: for what is no rule, or a rule that changes the shapes in the network or its memory.
        FloatingPointError: if the activity or the network is not finite any more.

    Example:
        >>> import gyrax as gx
        >>> connectome = gx.datasets.load("dk84").connectome.normalised("max")
        >>> lre = gx.couplings.Linear(source="S_e", target="c_lre", weights=connectome.weights, strength=0.1)
        >>> net = gx.Network(gx.models.WongWangExcInh(), {"lre": lre}, connectome)
        >>> net = gx.per_region(net, "model.J_i")
        >>> result = gx.tune(net, [gx.FIC(rate=0.5)], steps=200, period=720.0, dt=4.0, progress=False)
        >>> [round(float(result.history["FIC.activity"][i]), 2) for i in (0, -1)]
        [0.15, 0.25]
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    expect("checkpoint", checkpoint, (str, os.PathLike, None), "the name of a file", "'tuning.npz'")
    whole("steps", steps)
    number("period", period, unit="ms")
    began = time.perf_counter()
    named = _named(rules)
    states = {name: rule.init(network) for name, rule in named.items()}
    if isinstance(start, TuneResult):
        states |= _remembered(start.states, states)
        start = start.final
    run = eqx.Partial(simulate, duration=period, dt=dt, solver=solver, monitors=_monitors(named, period))

    def block(carry: _Carry, most_steps: int):
        taken, later, new = _advance(run, named, carry, jnp.asarray(most_steps, jnp.int32))
        return int(taken), later, new

    def look(carry: _Carry, history: dict[str, np.ndarray], done: int) -> None:
        kept.save(carry, history | {_PIECES: np.ones(done)}, earlier + time.perf_counter() - began)
        _check_finite(carry, done, period, dt)

    options: dict[str, Any] = {"steps": steps, "room": _BLOCK, "title": "tune", "unit": "piece", "progress": progress}
    first = (run, named, network, states, start, key)
    with kept_in(checkpoint, lambda: _fingerprint(*first)) as kept:
        carry, history, done = _begun(*first)
        if done:
            _check_finite(carry, done, period, dt)
        carry, record, earlier = kept.load(carry, history | {_PIECES: np.ones(done)})
        done = len(record.pop(_PIECES))
        carry, history, stopped = in_blocks(block, carry, record, done=done, look=look, shown=_latest, **options)
    seconds = earlier + time.perf_counter() - began
    return TuneResult(carry.network, history, carry.final, carry.states, period, seconds, stopped)


def _begun(
    run: Any, rules: dict[str, AbstractRule], network: Network, states: dict[str, Any], start: Any, key: Any
) -> tuple[_Carry, dict[str, np.ndarray], int]:
    """Where the loop begins, the history until there, and how many pieces that is.

    The first piece runs by itself, for only after it has a run that goes on the structure that a loop needs. A tuning that goes
    on has it already, and begins within the loop: by itself, the same piece would be another program, with other rounding.
    """
    if key is None and isinstance(start, Final):
        shapes, values = eqx.filter_eval_shape(_piece, run, rules, network, states, start, key)
        here = _Carry(network, states, start, jnp.full(shapes.failed_at.shape, -1, shapes.failed_at.dtype))
        if _alike(here, shapes):
            return here, {name: np.empty((0, *value.shape), value.dtype) for name, value in values.items()}, 0
    carry, values = _piece(run, rules, network, states, start, key)
    return carry, {name: np.asarray(value)[None] for name, value in values.items()}, 1


def _alike(carry: _Carry, shapes: Any) -> bool:
    """Whether a loop over pieces can begin with this carry: whether a piece makes of it one of the same structure."""
    (here, tree), (there, other) = jax.tree.flatten(carry), jax.tree.flatten(shapes)

    def same(x: Any, like: Any) -> bool:
        if not isinstance(like, jax.ShapeDtypeStruct):
            return x is like or bool(x == like)
        return isinstance(x, jax.Array) and kind(x) == kind(like)

    def kind(x: Any) -> tuple[Any, ...]:
        return x.shape, x.dtype, getattr(x, "weak_type", False)  # keys have none

    return tree == other and all(map(same, here, there))


def _fingerprint(run: Any, rules: dict[str, AbstractRule], network: Network, states: Any, start: Any, key: Any) -> Any:
    """What a tuning is of: what rules and run compute, and all values that they begin with."""
    given = {
        "period": run.keywords["duration"],
        "dt": run.keywords["dt"],
        "solver": type(run.keywords["solver"]).__name__,
    }
    parts = surroundings() | {name: str(value) for name, value in given.items()}
    parts["the rules"] = traced(_piece, run, rules, network, states, start, key)
    parts["the monitors"] = f"#{digest(run.keywords['monitors'])}"
    parts["where it starts"] = f"#{digest(start, states)}"
    parts["the key"] = as_read(key)
    parts |= {name: as_read(leaf) for name, leaf in named_leaves(network).items()}
    parts |= {f"rule {name}": as_read(leaf) for name, leaf in named_leaves(rules).items()}
    return parts | statics(network) | statics(rules)


def _named(rules: Any) -> dict[str, AbstractRule]:
    """The rules by the names of their classes, numbered where there are several."""
    if isinstance(rules, AbstractRule) or not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        raise ValueError(f"rules is a list of one rule at least, such as [gx.FIC()]; got {shown(rules)}")
    named: dict[str, AbstractRule] = {}
    for rule in rules:
        if not isinstance(rule, AbstractRule):
            raise TypeError(f"{rule!r} is no rule: subclass gx.AbstractRule")
        kind = type(rule).__name__
        before = sum(type(other).__name__ == kind for other in named.values())
        named[f"{kind}_{before}" if before else kind] = rule
    return named


def _remembered(earlier: dict[str, Any], states: dict[str, Any]) -> dict[str, Any]:
    """What rules that took part before remember, if it is of the kind that they start with now."""
    found = {name: state for name, state in earlier.items() if name in states}
    for name, state in found.items():
        try:
            _like(state, states[name], "")
        except TypeError:
            raise ValueError(
                f"{name} remembers something else in start= than it does now: leave what it was made with as it was (its "
                "window, say), or start from start.final"
            ) from None
    return found


def _monitors(rules: dict[str, AbstractRule], period: float) -> dict[str, AbstractMonitor]:
    """What all rules want recorded, by 'rule.name'."""
    found = {f"{name}.{key}": m for name, rule in rules.items() for key, m in rule.monitors(period).items()}
    for name, monitor in found.items():
        every = monitor.period
        if every is not None and abs(round(period / every) * every - period) > 1e-6 * every:
            raise ValueError(
                f"monitor '{name}' samples every {every:g} ms, which does not divide the pieces of period = {period:g} ms"
            )
    return found


def _check_starts(name: str, before: Network, after: Any) -> None:
    """A rule does not change where states of couplings begin: the run goes on from where they are.

    Raises:
        ValueError: if it does.
    """
    for where, coupling in before.couplings.items():
        for state in sum(names_of(coupling), ()):
            if isinstance(after, Network) and getattr(after.couplings[where], state) is not getattr(coupling, state):
                raise ValueError(
                    f"{name} changes where {where}.{state} begins, which the run has left: it would do nothing. Let the state move by itself, "
                    "in edge_drift or source_drift, or change another parameter"
                )


@eqx.filter_jit
def _piece(
    run: Any, rules: dict[str, AbstractRule], network: Network, states: dict[str, Any], start: Any, key: Any
) -> tuple[_Carry, dict[str, Array]]:
    """A piece of the run, and what the rules make of it."""
    piece = run(network, key=key, start=start)
    history, changed = {}, {}
    for name, rule in rules.items():
        own = {k.split(".", 1)[1]: r for k, r in piece.recordings.items() if k.split(".", 1)[0] == name}
        new, state, values = rule.update(network, states[name], own)
        _check_starts(name, network, new)
        network = _like(new, network, f"{name} changes the network")
        changed[name] = _like(state, states[name], f"{name} changes what it remembers")
        for what, value in values.items():
            if jnp.shape(value) != ():
                raise TypeError(f"{name} reports '{what}' of shape {jnp.shape(value)}: a history takes scalars")
            history[f"{name}.{what}"] = jnp.asarray(value, jnp.result_type(float))
    return _Carry(network, changed, piece.final, piece.failed_at), history


@eqx.filter_jit
def _advance(
    run: Any, rules: dict[str, AbstractRule], carry: _Carry, count: Array
) -> tuple[Array, _Carry, dict[str, Array]]:
    """Some pieces, at most `count` (and _BLOCK), fewer if something breaks: how many, and the history in buffers."""
    moving, fixed = eqx.partition(carry, eqx.is_array)

    def piece(moving):
        c = eqx.combine(moving, fixed)
        carry, values = _piece(run, rules, c.network, c.states, c.final, None)
        return eqx.filter(carry, eqx.is_array), values

    taken, moving, buffers = compiled_steps(piece, moving, count, _finite, _BLOCK)
    return taken, eqx.combine(moving, fixed), buffers


def _finite(carry: _Carry) -> Any:
    good = [jnp.isfinite(x).all() for x in jax.tree.leaves(carry.network) if eqx.is_inexact_array(x)]
    return jnp.stack(good).all() & (carry.failed_at < 0).all()


def _check_finite(carry: _Carry, done: int, period: float, dt: float) -> None:
    failed, labels = np.asarray(carry.failed_at), carry.network.labels
    if (failed >= 0).any():
        at = failed[failed >= 0].min()
        raise FloatingPointError(
            f"in piece {done - 1} of {period:g} ms the activity is not finite any more, from {at * dt:g} ms on, first in "
            f"{labels[int(np.argmax(failed == at))]}: take smaller rates, or a smaller dt"
        )
    for name, leaf in named_leaves(carry.network).items():
        if eqx.is_inexact_array(leaf) and not np.isfinite(leaf).all():
            raise FloatingPointError(
                f"after piece {done - 1} of {period:g} ms, a rule has made {name} {np.asarray(leaf)[~np.isfinite(leaf)][0]}: "
                "take smaller rates, and a network whose activity varies"
            )


def _kinds(tree: Any) -> dict[str, str]:
    """Dtype and shape of every array, by its name."""
    return {name: f"{x.dtype}{list(x.shape)}" for name, x in named_leaves(tree).items()}


def _like(new: Any, old: Any, what: str) -> Any:
    """The new tree, if it has the shapes and dtypes of the old; never weakly typed."""
    arrays, rest = eqx.partition(new, eqx.is_array)
    before = eqx.filter(old, eqx.is_array)
    leaves, others = jax.tree.leaves(arrays), jax.tree.leaves(before)
    same = jax.tree.structure(arrays) == jax.tree.structure(before)
    if not same or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(leaves, others, strict=True)):
        now, then = _kinds(arrays), _kinds(before)
        differ = [k for k in {**then, **now} if now.get(k) != then.get(k)]
        where = f" ({differ[0]}: {then.get(differ[0])} before, {now.get(differ[0])} after)" if differ else ""
        raise TypeError(f"{what} in shape, dtype or structure{where}: its update must leave those as they are")
    return eqx.combine(jax.tree.map(lambda a, b: jnp.asarray(a, b.dtype), arrays, before), rest)
