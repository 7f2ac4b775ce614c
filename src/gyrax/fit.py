"""One loop that trains any Module against any loss."""

import dataclasses
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from ._progress import tqdm
from .filters import Fixed, join, split
from .io import write_npz

#: Steps that one call into XLA may take, and seconds that it should.
_BLOCK = 64
_SECONDS = 0.5
#: Steps in a row without a finite gradient after which there is no hope.
_HOPELESS = 10


@dataclasses.dataclass
class FitResult:
    """What `fit` found.

    Attributes:
        model: the model with the lowest loss seen, at the values that this loss was computed with.
        last: the model after the last step.
        best_step, best_loss: where that was.
        history: by name, one value a step: 'loss', 'gradient' (its norm), and the named terms that the loss returns.
        skipped: for each free leaf, the steps whose gradient was not finite there, and which were not taken; under 'loss'
            those at which only the loss was not finite.
        seconds: wall time, that of interrupted earlier runs included.
        stopped: why it ended: 'steps', 'patience' or 'interrupted'.
    """

    model: Any
    last: Any
    best_step: int
    best_loss: float
    history: dict[str, np.ndarray]
    skipped: dict[str, np.ndarray]
    seconds: float
    stopped: str

    def plot(self, ax: Any = None) -> Any:
        """The loss over steps, the best one marked; returns the matplotlib axes."""
        from .plot import loss_history

        return loss_history(self.history["loss"], best=self.best_step, ax=ax)

    def __repr__(self):
        steps, skipped = len(self.history["loss"]), sum(map(len, self.skipped.values()))
        first = self.history["loss"][0] if steps else np.nan
        text = f"FitResult(loss {first:.4g} -> {self.best_loss:.4g} at step {self.best_step} of {steps}"
        text += f", {self.seconds:.1f} s" + (f", stopped by {self.stopped}" if self.stopped != "steps" else "")
        return text + (f", {skipped} gradients not finite" if skipped else "") + ")"


class _Carry(eqx.Module):
    free: PyTree
    optimiser: PyTree
    best: PyTree
    best_loss: jax.Array
    best_step: jax.Array
    step: jax.Array
    bad_in_a_row: jax.Array


def fit(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    optimiser: optax.GradientTransformation,
    *,
    steps: int,
    key: Any = None,
    realisations: int = 1,
    noise: Literal["new", "common"] = "new",
    patience: int | None = None,
    nonfinite: Literal["skip", "raise"] = "skip",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> FitResult:
    """Minimises a loss over the free leaves of a model.

    Frozen leaves never reach the optimiser; free ones move on the real line of their domains.

    Args:
        model: a Network, any other Module, or a tuple or dict of them, such as (network, monitor).
        loss: `loss(model, key)`, a scalar, or a scalar and a dict of named scalars for the history.
        spec: which leaves are free: `gx.select(model, ...)`.
        optimiser: any optax optimiser; one that needs the loss (`optax.lbfgs`) is given it.
        steps: how many to take, those before a resumption included.
        key: `jax.random.key(...)`; every step gets keys made from it and the step's number.
        realisations: the loss and its gradient are means over so many keys, computed side by side.
        noise: 'new' keys at every step, or 'common' ones at all.
        patience: stop after so many steps without a better loss.
        nonfinite: 'skip' a step whose loss or gradient is not finite (and report it), or 'raise'.
        checkpoint: a file to keep the state of the fit in. If it exists, the fit goes on from there, bit for bit.
        progress: show a bar; a text is its title.

    Raises:
        ValueError: for a start outside of its domain, a spec that frees nothing, arguments out of range, or a checkpoint
            of another fit.
        FloatingPointError: naming the leaves, if a gradient is not finite and `nonfinite` is 'raise', or ten times in a row.
        TypeError: if the loss does not return a scalar, or its named terms are no scalars.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: (m.gamma + 1.0) ** 2
        >>> result = gx.fit(model, loss, gx.select(model, "gamma"), optax.adam(0.1), steps=100, progress=False)
        >>> round(float(result.model.gamma), 2)
        -1.0
    """
    _check(steps, realisations, noise, patience, nonfinite)
    began = time.perf_counter()
    key = jax.random.key(0) if key is None else key
    free, fixed = split(model, spec)
    names = [fixed.names[rule.index] for rule in fixed.rules]
    terms = _terms(loss, model, key)
    zero = jnp.zeros((), jnp.int32)
    inf = jnp.full((), jnp.inf, jnp.result_type(float))
    carry = _Carry(free, optimiser.init(free), free, inf, zero, zero, zero)
    record = {name: np.empty(0) for name in ("loss", "gradient", *terms)} | {
        "nonfinite": np.empty((0, len(names)), bool)
    }
    earlier = 0.0
    if checkpoint is not None and Path(checkpoint).exists():
        carry, record, earlier = _load(checkpoint, carry, record, key, names)
    stopped, block = "steps", 1
    title = progress if isinstance(progress, str) else "fit"
    bar = tqdm(total=steps, initial=int(carry.step), desc=title, unit="step", disable=not progress)
    try:
        while (done := int(carry.step)) < steps:
            since = time.perf_counter()
            count = min(block, steps - done)
            limits = jnp.asarray([count, patience or steps], jnp.int32)
            later, new = _advance(carry, fixed, loss, optimiser, key, realisations, noise == "common", limits)
            count = int(later.step) - done
            new = {name: np.concatenate([record[name], np.asarray(new[name])[:count]]) for name in record}
            carry, record = later, new  # together, whenever an interruption comes
            took = (time.perf_counter() - since) / max(count, 1)
            if done > 0 or block > 1:  # the first call compiles
                block = int(np.clip(_SECONDS / took, 1, _BLOCK))
            if checkpoint is not None:
                _save(checkpoint, carry, record, key, names, earlier + time.perf_counter() - began)
            bar.update(count)
            bar.set_postfix(loss=f"{record['loss'][-1]:.4g}", best=f"{float(carry.best_loss):.4g}")
            _check_finite(record, names, carry, nonfinite)
            if patience is not None and _waited(carry) >= patience:
                stopped = "patience"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        bar.close()
    bad = record.pop("nonfinite")
    skipped = {name: np.flatnonzero(bad[:, i]) for i, name in enumerate(names) if bad[:, i].any()}
    alone = np.flatnonzero(~np.isfinite(record["loss"]) & ~bad.any(1))
    skipped |= {"loss": alone} if len(alone) else {}
    if skipped:
        text = ", ".join(f"{name} at {len(at)} steps (first {at[0]})" for name, at in skipped.items())
        warnings.warn(
            f"losses or gradients that were not finite, steps not taken: {text}", RuntimeWarning, stacklevel=2
        )
    seconds = earlier + time.perf_counter() - began
    best, last = join(carry.best, fixed), join(carry.free, fixed)
    return FitResult(best, last, int(carry.best_step), float(carry.best_loss), record, skipped, seconds, stopped)


def _check(steps: int, realisations: int, noise: str, patience: int | None, nonfinite: str) -> None:
    for name, value in (("steps", steps), ("realisations", realisations), ("patience", patience)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is a whole number from 1 on, got {value}")
    for name, value, allowed in (("noise", noise, ("new", "common")), ("nonfinite", nonfinite, ("skip", "raise"))):
        if value not in allowed:
            raise ValueError(f"{name} is one of {allowed}, got {value!r}")


def _terms(loss: Callable[..., Any], model: Any, key: Any) -> list[str]:
    """Names of the loss's terms, after a check of what it returns."""
    value, terms = _value_and_terms(eqx.filter_eval_shape(loss, model, key))
    shapes = {"the loss": value, **{f"the loss's term '{name}'": term for name, term in terms.items()}}
    for name, what in shapes.items():
        if getattr(what, "shape", None) != ():
            raise TypeError(
                f"{name} must be a scalar (or the loss a pair of a scalar and a dict of scalars), got {what}"
            )
    for name in terms:
        if name in ("loss", "gradient", "nonfinite"):
            raise ValueError(f"the history has a '{name}' of its own: call the loss's term otherwise")
    return list(terms)


def _value_and_terms(out: Any) -> tuple[Any, dict[str, Any]]:
    value, terms = out if isinstance(out, tuple) and len(out) == 2 else (out, {})
    if not isinstance(terms, dict):
        raise TypeError(f"what a loss returns beside its value is a dict of named scalars, got {terms!r}")
    return value, terms


@eqx.filter_jit
def _advance(
    carry: _Carry,
    fixed: Fixed,
    loss: Callable[..., Any],
    optimiser: optax.GradientTransformation,
    key: Any,
    realisations: int,
    common: bool,
    limits: jax.Array,
) -> tuple[_Carry, dict[str, jax.Array]]:
    """Steps, at most `limits[0]` (and _BLOCK); what happened at each goes into buffers of that length.

    It stops where patience (`limits[1]`) or hope ends, so that how many steps are taken does not depend on the block.
    """
    update = optax.with_extra_args_support(optimiser).update

    def objective(free: PyTree, step: jax.Array):
        base = key if common else jax.random.fold_in(key, step)
        one = lambda k: _value_and_terms(loss(join(free, fixed), k))  # noqa: E731
        if realisations == 1:
            return one(base)
        return jax.tree.map(lambda x: x.mean(0), jax.vmap(one)(jax.random.split(base, realisations)))

    def step(carry: _Carry):
        (value, terms), gradient = jax.value_and_grad(objective, has_aux=True)(carry.free, carry.step)
        bad = jnp.stack([~jnp.isfinite(g).all() for g in jax.tree.leaves(gradient)])
        fine = ~bad.any() & jnp.isfinite(value)
        value_fn = lambda free: objective(free, carry.step)[0]  # noqa: E731
        updates, state = update(gradient, carry.optimiser, carry.free, value=value, grad=gradient, value_fn=value_fn)
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, old)  # noqa: E731
        better = fine & (value < carry.best_loss)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), carry.free, carry.best)
        carry = _Carry(
            keep(optax.apply_updates(carry.free, updates), carry.free),
            keep(state, carry.optimiser),
            best,
            jnp.where(better, value, carry.best_loss),
            jnp.where(better, carry.step, carry.best_step),
            carry.step + 1,
            jnp.where(fine, 0, carry.bad_in_a_row + 1),
        )
        return carry, {"loss": value, "gradient": optax.tree.norm(gradient), "nonfinite": bad, **terms}

    shapes = jax.eval_shape(step, carry)[1]
    buffers = jax.tree.map(lambda s: jnp.zeros((_BLOCK, *s.shape), s.dtype), shapes)

    def go_on(x):
        i, carry, _ = x
        return (i < limits[0]) & (_waited(carry) < limits[1]) & (carry.bad_in_a_row < _HOPELESS)

    def body(x):
        i, carry, buffers = x
        carry, new = step(carry)
        return i + 1, carry, jax.tree.map(lambda b, n: b.at[i].set(n), buffers, new)

    return jax.lax.while_loop(go_on, body, (jnp.zeros((), jnp.int32), carry, buffers))[1:]


def _waited(carry: _Carry) -> Any:
    """Steps since the best one."""
    return carry.step - 1 - carry.best_step


def _check_finite(record: dict[str, np.ndarray], names: list[str], carry: _Carry, policy: str) -> None:
    wrong = record["nonfinite"].any(1) | ~np.isfinite(record["loss"])
    if (policy == "raise" and wrong.any()) or int(carry.bad_in_a_row) >= _HOPELESS:
        at = int(np.argmax(wrong)) if policy == "raise" else len(wrong) - int(carry.bad_in_a_row)
        leaves = [name for name, bad in zip(names, record["nonfinite"][at], strict=True) if bad]
        raise FloatingPointError(
            f"at step {at} the loss is {record['loss'][at]:.4g} and the gradient not finite for: {', '.join(leaves) or 'no leaf'}. "
            "Look at a simulation there (run.failure says when and where a state breaks), or take a smaller learning rate"
        )


def _save(path: Any, carry: _Carry, record: dict[str, np.ndarray], key: Any, names: list[str], seconds: float) -> None:
    """All of the fit's state into one file."""
    leaves = {f"carry_{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(carry))}
    history = {f"history_{name}": values for name, values in record.items()}
    about = json.dumps({"names": names, "seconds": seconds})
    write_npz(path, {"about": np.array(about), "key": _key_data(key), **leaves, **history})


def _key_data(key: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key)


def _load(path: Any, carry: _Carry, record: dict[str, np.ndarray], key: Any, names: list[str]) -> Any:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        leaves, treedef = jax.tree.flatten(carry)
        saved = [file[f"carry_{i}"] for i in range(len(leaves)) if f"carry_{i}" in file]
        same = about["names"] == names and len(saved) == len([k for k in file if k.startswith("carry_")]) == len(leaves)
        same = same and all(a.shape == b.shape and a.dtype == b.dtype for a, b in zip(saved, leaves, strict=True))
        if not same or {k[8:] for k in file if k.startswith("history_")} != set(record):
            raise ValueError(
                f"{path} is the checkpoint of another fit (free there: {', '.join(about['names'])}; here: {', '.join(names)}), "
                "or of another optimiser, loss or precision: give another file, or delete it"
            )
        if not np.array_equal(file["key"], _key_data(key)):
            raise ValueError(
                f"{path} is the checkpoint of a fit with another key: give that key, another file, or delete it"
            )
        record = {name: file[f"history_{name}"] for name in record}
    return jax.tree.unflatten(treedef, [jnp.asarray(x) for x in saved]), record, float(about["seconds"])
