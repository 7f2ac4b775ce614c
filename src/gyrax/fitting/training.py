"""One loop that trains any Module against any loss."""

import dataclasses
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._devices import at_home
from .._kinds import choice, expect, number, random_key, refused, shown, whole
from ..parameters.splitting import Fixed, join, split
from .blocks import in_blocks
from .checkpoint import kept_in
from .descent import (
    BLOCK,
    HOPELESS,
    VALIDATION_EACH,
    Carry,
    Descent,
    Held,
    Moves,
    Optimiser,
    Validation,
    advance,
    owners_of,
)
from .estimates import gain, over_steps, window
from .evolution import Evolution, checked_gradient, explain
from .explosions import WAY_OUT
from .fingerprint import moved_by, of_fit
from .objective import AbstractObjective, Objective, check_objective, described
from .results import FitResult, say_edges, say_of


def fit(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    optimiser: Optimiser,
    *,
    steps: int,
    key: Any = None,
    realisations: int = 1,
    noise: Literal["new", "common"] = "new",
    gradient: Evolution | Literal["exact"] = "exact",
    clip: float | None = None,
    validation: Validation | Literal["auto"] | None = "auto",
    starts: Sequence[Any] | None = None,
    patience: int | None = None,
    seconds: float | None = None,
    nonfinite: Literal["skip", "raise"] = "skip",
    checkpoint: str | os.PathLike[str] | None = None,
    changed: Literal["raise", "accept"] = "raise",
    progress: bool | str = True,
) -> FitResult:
    """Minimises a loss over the free leaves of a model.

    Frozen leaves never reach the optimiser; free ones move on the real line of their domains.

    Args:
        model: a Network, any other Module, or a tuple or dict of them, such as (network, monitor).
        loss: `loss(model, key)`, a scalar, or a scalar and a dict of named scalars for the history (and of 'residuals', an array
            for least squares, which the history leaves out).
        spec: which leaves are free: `gx.select(model, ...)`.
        optimiser: any optax optimiser; one that needs the loss (`optax.lbfgs`) is given it. A dict gives each free leaf its
            own: `{"model.w": optax.adam(0.05), "coupling": optax.adam(0.01)}`, by its name or that of what it is part of.
        steps: how many to take, those before a resumption included.
        key: `jax.random.key(...)`, or a whole number as its seed; every step gets keys made from it and the step's number.
        realisations: the loss and its gradient are means over so many keys, computed side by side.
        noise: 'new' keys at every step, or 'common' ones at all.
        gradient: 'exact', by autodiff, or `gx.Evolution(pairs, sd)`: estimated from values of the loss alone, where exact gradients
            explode or there are none.
        clip: gradients longer than this (over all free leaves, on the real line) are shortened to it.
        validation: noise never trained on, by which the best model is kept. Left out, it is `gx.Validation()`, four realisations
            every fifth step, if the loss hears noise: about a fifth more time. None on purpose: the last model, or with 'common'
            noise the one with the lowest loss.
        starts: models that differ in their free leaves, such as `gx.best(...)` of a sweep, fitted side by side on the same
            noise. `model` then says what they have in common.
        patience: stop after so many steps without a better loss.
        seconds: stop when a block of steps ends after so much wall time, compilation and earlier runs included.
        nonfinite: 'skip' a step whose loss or gradient is not finite (and report it), or 'raise'.
        checkpoint: a file to keep the state of the fit in. If it exists, the fit goes on from there, bit for bit. While the fit
            runs, a lock beside it keeps others away.
        changed: what becomes of a checkpoint whose loss, optimiser, keys, domains, frozen or starting values are not those given
            now: 'raise' says which, 'accept' goes on from its parameters and begins the optimiser and the search for the best anew.
        progress: show a bar; a text is its title.

    Raises:
        ValueError: for a start outside of its domain, a spec that frees nothing, starts that differ where they are frozen, a
            free leaf without an optimiser, arguments out of range, or a checkpoint that is damaged or of another fit.
        OSError: if the checkpoint cannot be written, or another process is at work with it.
        FloatingPointError: naming the leaves, if a gradient is not finite and `nonfinite` is 'raise', or ten times in a row.
        TypeError: if the loss does not return a scalar, or its named terms are no scalars.
        KeyboardInterrupt: before the first steps were taken; later, Ctrl-C gives what there is by then.

    Example:
        >>> import gyrax as gx, optax
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: (m.gamma + 1.0) ** 2
        >>> result = gx.fit(model, loss, gx.select(model, "gamma"), optax.adam(0.1), steps=100, progress=False)
        >>> round(float(result.model.gamma), 2)
        -1.0
    """
    _check_kinds(model, loss, optimiser, validation, starts, checkpoint, progress)
    _check(steps, realisations, noise, patience, nonfinite, changed, clip, seconds, validation)
    began, key = time.perf_counter(), random_key("key", 0 if key is None else key)
    free, fixed = _begun(at_home(model), spec, at_home(starts))
    names, (terms, noisy, now) = _free_names(fixed, optimiser), described(loss, model, key)
    evolution, objective = checked_gradient(gradient), Objective(now, fixed)
    held, every = held_out(validation, noisy, steps, objective, model, key)
    count, common = None if starts is None else len(starts), noise == "common"
    shown = _losses if noisy and not common else _lowest
    descent = Descent(objective, Moves(optimiser), key, held, clip, every, realisations, common, count, evolution)
    carry, record, earlier = descent.begin(free), _blank(terms, names, held, count), 0.0
    descent = dataclasses.replace(descent, moves=moved_by(descent, carry))

    def spent() -> float:
        return earlier + time.perf_counter() - began

    def block(carry: Carry, most_steps: int):
        return _advanced(descent, carry, most_steps, patience or steps)

    def look(carry: Carry, record: dict[str, np.ndarray], done: int) -> str | None:
        kept.save(carry, record, spent())
        _check_finite(record, names, carry, nonfinite)
        if patience is not None and int(jnp.min(carry.waited)) >= patience:
            return "patience"
        return "seconds" if seconds is not None and spent() >= seconds and done < steps else None

    options: dict[str, Any] = {"steps": steps, "room": BLOCK, "title": "fit", "unit": "step", "progress": progress}
    with kept_in(checkpoint, lambda: of_fit(descent, carry, model)) as kept:
        carry, record, earlier = kept.load(carry, record, lambda saved: descent.anew(saved, steps), changed)
        done = int(carry.step)
        _forget(record, carry)
        carry, record, stopped = in_blocks(block, carry, record, done=done, look=look, shown=shown, **options)
    each = list(_each_start(carry, record, count))
    results = [_result(c, fixed, r, names, spent(), stopped, shown is _losses and held is None) for c, r in each]
    place = int(np.argmin([r.best_loss for r in results]))
    best = results[place]
    say_of(results, exact=evolution is None)
    say_edges(each[place][0].best, fixed)
    return best if count is None else dataclasses.replace(best, starts=results)


def _advanced(descent: Descent, carry: Carry, most_steps: int, patience: int) -> tuple[int, Carry, dict[str, Any]]:
    """How many steps were taken, the carry after them, and what happened."""
    try:
        taken, later, new = advance(descent, carry, *(jnp.asarray(n, jnp.int32) for n in (most_steps, patience)))
    except (TypeError, ValueError) as error:
        explain(error)
        raise
    return int(taken), later, new


def _free_names(fixed: Fixed, optimiser: Optimiser) -> list[str]:
    """Names of the free leaves, each of which has an optimiser."""
    names = [fixed.names[rule.index] for rule in fixed.rules]
    if isinstance(optimiser, dict):
        owners_of(names, optimiser)
    return names


def held_out(
    validation: Validation | Literal["auto"] | None,
    noisy: bool,
    steps: int,
    objective: AbstractObjective,
    model: Any,
    key: Any,
) -> tuple[Held | None, int]:
    """What the fit is judged on while it runs, checked, and the steps from one look to the next."""
    if validation == "auto":
        validation = (Validation() if steps >= Validation().every else Validation(every=1)) if noisy else None
    if validation is None:
        return None, 1
    if validation.loss is not None:
        objective = Objective(described(validation.loss, model, key).loss, objective.fixed)
    return Held(objective, validation.drawn(key)), validation.every


def _blank(terms: list[str], names: list[str], held: Held | None, starts: int | None) -> dict[str, np.ndarray]:
    """The record of a fit before its first step, by name."""
    wide = () if starts is None else (starts,)
    record = {name: np.empty((0, *wide)) for name in ("loss", "gradient", *(["validation"] if held else []), *terms)}
    if held is not None:
        record[VALIDATION_EACH] = np.empty((0, *wide, len(held.keys)))
    return record | {"nonfinite": np.empty((0, *wide, len(names)), bool)}


def _forget(record: dict[str, np.ndarray], carry: Carry) -> None:
    """Where the best is looked for anew, what was judged before by another loss is no measure of it."""
    if VALIDATION_EACH in record and not np.isfinite(np.asarray(carry.best_loss)).any():
        for name in (VALIDATION_EACH, "validation"):
            record[name] = np.full_like(record[name], np.nan)


def _lowest(carry: Carry, record: dict[str, np.ndarray]) -> dict[str, str]:
    """What the bar shows where all steps have the same noise: of several starts, the best one's."""
    shown = {"loss": f"{np.min(record['loss'][-1]):.4g}"}
    return shown | {"validation" if "validation" in record else "best": f"{float(carry.best_loss.min()):.4g}"}


def _losses(carry: Carry, record: dict[str, np.ndarray]) -> dict[str, str]:
    """What it shows where every step has its own."""
    losses = record["loss"].reshape(len(record["loss"]), -1)
    shown = {"loss": str(min((over_steps(one) for one in losses.T), key=lambda found: found.mean))}
    return shown | ({"validation": f"{float(carry.best_loss.min()):.4g}"} if "validation" in record else {})


def _check_kinds(
    model: Any, loss: Any, optimiser: Any, validation: Any, starts: Any, checkpoint: Any, progress: Any
) -> None:
    """Refuses what is of another kind."""
    check_objective(model, loss, "loss", "lambda model, key: ...")
    for name, value in optimiser.items() if isinstance(optimiser, Mapping) else [("optimiser", optimiser)]:
        argument = "optimiser" if value is optimiser else f"optimiser[{name!r}]"
        if not (hasattr(value, "init") and hasattr(value, "update")) or inspect.isclass(value):
            rate = value if isinstance(value, int | float) and value > 0 else 0.01
            raise refused(argument, value, "an optimiser of optax", f"optax.adam({rate})")
    known = validation is None or isinstance(validation, Validation)
    if not known and not (isinstance(validation, str) and validation == "auto"):
        keys = value if isinstance(value := validation, int) and value > 0 else 4
        raise refused("validation", validation, "noise to be judged on", f"gx.Validation(keys={keys})")
    if starts is not None and not isinstance(starts, Sequence):
        raise refused("starts", starts, "a list of models", "gx.best(found, model, count=4)")
    expect("checkpoint", checkpoint, (str, os.PathLike, None), "the name of a file", "'fit.ckpt'")
    expect("progress", progress, (bool, str), "True, False or a title", "True")


def _check(
    steps: int,
    realisations: int,
    noise: str,
    patience: int | None,
    nonfinite: str,
    changed: str,
    clip: float | None,
    seconds: float | None,
    validation: Validation | Literal["auto"] | None,
) -> None:
    whole("steps", steps)
    whole("realisations", realisations)
    if patience is not None:
        whole("patience", patience)
    choice("noise", noise, ("new", "common"))
    choice("nonfinite", nonfinite, ("skip", "raise"))
    choice("changed", changed, ("raise", "accept"))
    for name, value in (("clip", clip), ("seconds", seconds)):
        if value is not None and not number(name, value) > 0:
            raise ValueError(f"{name} is a positive number, got {value}")
    if isinstance(validation, Validation) and validation.every > steps:
        raise ValueError(
            f"validation looks every {validation.every} steps, and the fit takes {steps}: give it a smaller every="
        )


def _begun(model: Any, spec: PyTree, starts: Sequence[Any] | None) -> tuple[PyTree, Fixed]:
    """The free leaves, those of several starts stacked, and what is fixed."""
    free, fixed = split(model, spec)
    return (free if starts is None else stacked(starts, spec, fixed)), fixed


def stacked(starts: Sequence[Any], spec: PyTree, fixed: Fixed) -> PyTree:
    """Free leaves of all starts, stacked."""
    if not len(starts):
        raise ValueError("starts is empty: give one model at least, or leave it out")
    frees = []
    for i, start in enumerate(starts):
        if jax.tree.structure(start) != fixed.treedef:
            raise ValueError(
                f"starts[{i}] is built otherwise than the model: give models that differ in free leaves only, and not {shown(start)}"
            )
        try:
            free, other = split(start, spec)
        except ValueError as error:
            raise ValueError(f"starts[{i}]: {error}") from error
        if other.kept != fixed.kept:
            raise ValueError(
                f"starts[{i}] is built otherwise than the model: give models that differ in free leaves only"
            )
        frozen = [(fixed.names[at], a, b) for at, a, b in zip(fixed.kept, fixed.leaves, other.leaves, strict=True)]
        frozen += [
            (
                fixed.names[a.index],
                a.held.reshape(-1),
                b.held.reshape(-1).at[b.positions].set(a.held.reshape(-1)[a.positions]),
            )
            for a, b in zip(fixed.rules, other.rules, strict=True)
            if a.positions is not None and np.shape(a.held) == np.shape(b.held)
        ]
        for name, a, b in frozen:
            if not eqx.tree_equal(a, b):
                raise ValueError(
                    f"starts[{i}] differs from the model in {name}, which is frozen: free it, or give it one value"
                )
        frees.append(free)
    shapes = {tuple(np.shape(x) for x in jax.tree.leaves(free)) for free in frees}
    if len(shapes) > 1:
        raise ValueError(f"the free leaves of starts have different shapes: {sorted(shapes)}")
    return jax.tree.map(lambda *x: jnp.stack(x), *frees)


def _check_finite(record: dict[str, np.ndarray], names: list[str], carry: Carry, policy: str) -> None:
    loss, bad = record["loss"].reshape(len(record["loss"]), -1), record["nonfinite"]
    bad = bad.reshape(*loss.shape, len(names))
    wrong, in_a_row = bad.any(2) | ~np.isfinite(loss), np.ravel(carry.bad_in_a_row)
    if (policy == "raise" and wrong.any()) or (in_a_row >= HOPELESS).all():
        at, start = np.argwhere(wrong)[0] if policy == "raise" else (len(loss) - int(in_a_row[0]), 0)
        leaves = [name for name, x in zip(names, bad[at, start], strict=True) if x]
        which = f" of starts[{start}]" if loss.shape[1] > 1 else ""
        gradient = f" and the gradient not finite for: {', '.join(leaves)}" if leaves else ""
        raise FloatingPointError(
            f"at step {at} the loss{which} is {loss[at, start]:.4g}"
            f"{gradient}. "
            "Look at a simulation there (run.failure says when and where a state breaks), or take a smaller learning rate"
            + (f"; {WAY_OUT}" if np.isfinite(loss[at, start]) else "")
        )


def _each_start(
    carry: Carry, record: dict[str, np.ndarray], count: int | None
) -> list[tuple[Carry, dict[str, np.ndarray]]]:
    if count is None:
        return [(carry, record)]
    wide, step = dataclasses.replace(carry, step=None), carry.step

    def own(i: int) -> Carry:
        return dataclasses.replace(jax.tree.map(lambda x: x[i], wide), step=step)

    return [(own(i), {name: values[:, i] for name, values in record.items()}) for i in range(count)]


def _result(
    carry: Carry,
    fixed: Fixed,
    record: dict[str, np.ndarray],
    names: list[str],
    seconds: float,
    stopped: str,
    lucky: bool,
) -> FitResult:
    """What one start found. With `lucky`, the lowest loss of all steps is luck, and the last model is what was found."""
    history = dict(record)
    bad, each = history.pop("nonfinite"), history.pop(VALIDATION_EACH, None)
    skipped = {name: np.flatnonzero(bad[:, i]) for i, name in enumerate(names) if bad[:, i].any()}
    alone = np.flatnonzero(~np.isfinite(history["loss"]) & ~bad.any(1))
    skipped |= {"loss": alone} if len(alone) else {}
    best, last = join(carry.best, fixed), join(carry.free, fixed)
    step, loss = int(carry.best_step), float(carry.best_loss)
    if lucky:
        count = len(history["loss"])
        best, step, loss = last, count, over_steps(history["loss"][-window(count) :]).mean
    found = FitResult(best, last, step, loss, history, skipped, seconds, stopped)
    looks = [] if each is None else np.flatnonzero(np.isfinite(each).all(1))
    if each is None or not len(looks) or not np.isfinite(loss):
        return found
    gained, learnt = gain(each[looks[0]], each[step])
    return dataclasses.replace(found, gain=gained, learnt=learnt)
