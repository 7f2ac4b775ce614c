"""What all searches have in common: moves many to a compiled call, the best kept, judged on noise that the search never saw."""

import abc
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from .._kinds import expect, random_key, refused, whole
from ..fitting.blocks import compiled_steps, in_blocks
from ..fitting.checkpoint import kept_in
from ..fitting.descent import VALIDATION_EACH, Held, Validation
from ..fitting.estimates import gain
from ..fitting.fingerprint import Fingerprint, of_objective
from ..fitting.objective import AbstractObjective, Objective, check_objective, described
from ..fitting.results import FitResult, say_edges, say_of
from ..fitting.training import held_out
from ..parameters.splitting import Fixed, join, split

#: Moves that one call into XLA may take.
_BLOCK = 64


class Moved(eqx.Module):
    """What a move came to.

    Attributes:
        free: the free leaves where the search stands now.
        state: of the method.
        new: the loss there, the terms, and whatever else the history is to have, by name.
        candidate, loss: of all points that were looked at, the one that may be the best, and its loss.
        stalled: moves in a row that led nowhere.
        ended: whether there is nothing left to gain.
    """

    free: PyTree
    state: PyTree
    new: dict[str, Array]
    candidate: PyTree
    loss: Array
    stalled: Int[Array, ""]
    ended: Bool[Array, ""]


class AbstractMethod(eqx.Module):
    """How a search moves on the real line.

    Attributes:
        objective: what is to become small.
        key: noise is made from it.
        realisations: keys that a loss is a mean over.
    """

    objective: eqx.AbstractVar[AbstractObjective]
    key: eqx.AbstractVar[Any]
    realisations: eqx.AbstractVar[int]
    #: Moves in a row that lead nowhere after which there is no hope.
    hopeless: eqx.AbstractVar[int]

    @abc.abstractmethod
    def begin(self, free: PyTree) -> PyTree:
        """The state before the first move: arrays."""

    @abc.abstractmethod
    def move(self, free: PyTree, state: PyTree, step: Int[Array, ""], stalled: Int[Array, ""]) -> Moved:
        """One move."""

    def judged(self, before: PyTree, moved: Moved) -> PyTree:
        """What validation looks at after a move: where the search stands."""
        return moved.free

    @abc.abstractmethod
    def described(self) -> dict[str, str]:
        """What a checkpoint is of, beside objective, noise and leaves."""


class Carry(eqx.Module):
    """Where a search stands."""

    free: PyTree
    state: PyTree
    best: PyTree
    best_loss: Array
    best_step: Array
    stalled: Array
    ended: Array
    step: Array


class Walk(eqx.Module):
    """What stays the same in all moves of a search."""

    method: AbstractMethod
    held: Held | None
    every: int = eqx.field(static=True)

    def step(self, carry: Carry) -> tuple[Carry, dict[str, Array]]:
        """One move, and what is best now."""
        moved = self.method.move(carry.free, carry.state, carry.step, carry.stalled)
        candidate, score, new = moved.candidate, moved.loss, dict(moved.new)
        held = self.held
        if held is not None:
            candidate = self.method.judged(carry.free, moved)
            judged = (carry.step == 0) | ((carry.step + 1) % self.every == 0)

            def look(free: PyTree):
                return held.objective.each(free, held.keys, None)

            def pass_by(free: PyTree):
                return jnp.full(len(held.keys), jnp.nan, score.dtype)

            each = jax.lax.cond(judged, look, pass_by, candidate)
            score = each.mean(-1)
            new |= {"validation": score, VALIDATION_EACH: each}
        better = score < carry.best_loss  # NaN, where nobody looked, is no better
        later = Carry(
            moved.free,
            moved.state,
            jax.tree.map(lambda a, b: jnp.where(better, a, b), candidate, carry.best),
            jnp.where(better, score, carry.best_loss),
            jnp.where(better, carry.step, carry.best_step),
            moved.stalled,
            moved.ended,
            carry.step + 1,
        )
        return later, new


@eqx.filter_jit
def _advance(walk: Walk, carry: Carry, most_steps: Array) -> tuple[Array, Carry, dict[str, Array]]:
    def go_on(carry: Carry):
        return ~carry.ended & (carry.stalled < walk.method.hopeless)

    return compiled_steps(walk.step, carry, most_steps, go_on, _BLOCK)


@eqx.filter_jit
def _begin(method: AbstractMethod, free: PyTree) -> PyTree:
    return method.begin(free)


@dataclasses.dataclass(frozen=True)
class Task:
    """What is searched for, checked."""

    model: Any
    free: PyTree
    fixed: Fixed
    objective: AbstractObjective
    key: Any
    realisations: int
    terms: list[str]
    noisy: bool


def task(model: Any, loss: Any, spec: Any, key: Any, realisations: int, progress: Any) -> Task:
    """Reads what every search is given.

    Raises:
        TypeError, ValueError: as `gx.fit`, and for realisations of a loss that hears no noise.
    """
    check_objective(model, loss, "loss", "lambda model, key: ...")
    whole("realisations", realisations)
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    key = random_key("key", 0 if key is None else key)
    free, fixed = split(model, spec)
    terms, noisy, now = described(loss, model, key)
    if realisations > 1 and not noisy:
        raise ValueError(
            "the loss does not depend on its key, so that all realisations are one: leave realisations= out"
        )
    return Task(model, free, fixed, Objective(now, fixed), key, realisations, terms, noisy)


def check_validation(validation: Any) -> None:
    """Refuses what is no noise to be judged on."""
    named = isinstance(validation, str) and validation == "auto"
    if validation is not None and not named and not isinstance(validation, Validation):
        raise refused("validation", validation, "noise to be judged on", "gx.Validation(keys=4)")


def walked(
    what: Task,
    method: AbstractMethod,
    names: list[str],
    *,
    steps: int,
    validation: Validation | Literal["auto"] | None,
    checkpoint: str | os.PathLike[str] | None,
    look: Callable[[dict[str, np.ndarray], Carry], None],
    title: str,
    unit: str,
    progress: bool | str,
    each_step: bool = False,
    lucky: bool = False,
) -> FitResult:
    """Searches until all steps are done or there is nothing left to gain.

    Args:
        what: is searched for.
        method: how.
        names: of what the history has beside the loss and its terms.
        steps: most there are to be.
        validation: noise to be judged on.
        checkpoint: a file to keep the state in.
        look: after each call, of the record and the carry. It may raise.
        title: of the bar.
        unit: of the bar.
        progress: whether to show it.
        each_step: whether 'auto' validation looks after every step.
        lucky: the lowest loss of all steps is luck, so that without validation the last model is what was found.
    """
    whole("steps", steps)
    check_validation(validation)
    expect("checkpoint", checkpoint, (str, os.PathLike, None), "the name of a file", "'fit.ckpt'")
    if each_step and isinstance(validation, str) and what.noisy:
        validation = Validation(every=1)
    began, earlier = time.perf_counter(), 0.0
    held, every = held_out(validation, what.noisy, steps, what.objective, what.model, what.key)
    walk, carry, record = Walk(method, held, every), _first(method, what.free), _blank(what, names, held)

    def spent() -> float:
        return earlier + time.perf_counter() - began

    def block(carry: Carry, most_steps: int):
        taken, later, new = _advance(walk, carry, jnp.asarray(most_steps, jnp.int32))
        return int(taken), later, new

    def between(carry: Carry, record: dict[str, np.ndarray], done: int) -> str | None:
        look(record, carry)
        kept.save(carry, record, spent())
        return "converged" if bool(carry.ended) else "stuck" if int(carry.stalled) >= method.hopeless else None

    def shown(carry: Carry, record: dict[str, np.ndarray]) -> dict[str, str]:
        return {"loss": f"{record['loss'][-1]:.4g}", "best": f"{float(carry.best_loss):.4g}"}

    with kept_in(checkpoint, lambda: _of(what, method, held, every)) as kept:
        carry, record, earlier = kept.load(carry, record)
        stopped = between(carry, record, 0) if len(record["loss"]) else None
        if stopped is None:
            options: dict[str, Any] = {"steps": steps, "room": _BLOCK, "title": title, "unit": unit}
            carry, record, stopped = in_blocks(
                block,
                carry,
                record,
                done=int(carry.step),
                look=between,
                shown=shown,
                progress=progress,
                **options,
            )
    return _result(what, carry, record, spent(), stopped, lucky and held is None)


def _first(method: AbstractMethod, free: PyTree) -> Carry:
    """Before the first move."""
    zero, inf = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.result_type(float))
    return Carry(free, _begin(method, free), free, inf, zero, zero, jnp.zeros((), bool), zero)


def _blank(what: Task, names: list[str], held: Held | None) -> dict[str, np.ndarray]:
    """The record before the first move, by name."""
    record = {name: np.empty(0) for name in ("loss", *(["validation"] if held else []), *names, *what.terms)}
    return record if held is None else record | {VALIDATION_EACH: np.empty((0, len(held.keys)))}


def _of(what: Task, method: AbstractMethod, held: Held | None, every: int) -> Fingerprint:
    judged = None if held is None else (held, every)
    return of_objective(
        what.objective, what.free, judged, what.model, what.key, method.realisations, None, method.described()
    )


def _result(
    what: Task, carry: Carry, record: dict[str, np.ndarray], seconds: float, stopped: str, lucky: bool
) -> FitResult:
    """As that of a fit by gradient."""
    history = dict(record)
    each = history.pop(VALIDATION_EACH, None)
    best, last = join(carry.best, what.fixed), join(carry.free, what.fixed)
    step, loss = int(carry.best_step), float(carry.best_loss)
    if lucky and len(history["loss"]):
        best, step, loss = last, len(history["loss"]) - 1, float(history["loss"][-1])
    found = FitResult(best, last, step, loss, history, {}, seconds, stopped)
    looks = [] if each is None else np.flatnonzero(np.isfinite(each).all(1))
    if each is not None and len(looks) and np.isfinite(loss):
        gained, learnt = gain(each[looks[0]], each[step])
        found = dataclasses.replace(found, gain=gained, learnt=learnt)
    say_of([found], exact=False)
    say_edges(carry.best, what.fixed)
    return found
