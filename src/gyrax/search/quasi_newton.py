"""Quasi-Newton methods."""

import os
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, PyTree

from .._kinds import choice
from ..fitting.descent import Validation
from ..fitting.objective import AbstractObjective, keys_of
from ..fitting.results import FitResult
from .newton import STRETCH, Values
from .squares import check_start, least_of, tolerance_of
from .walking import Carry, Task, task, walked

#: Steps whose curvature is kept. Ten, as is usual, take up to seven times as many where numbers differ much in how far they reach.
_REMEMBERED = 100


def minimise(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    steps: int = 100,
    method: Literal["l-bfgs", "bfgs"] = "l-bfgs",
    key: Any = None,
    realisations: int = 1,
    validation: Validation | Literal["auto"] | None = "auto",
    tolerance: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> FitResult:
    """Minimises a loss over the free leaves of a model by a quasi-Newton method, on the real line of their domains.

    Gradients of the way so far tell the curvature (Broyden, Fletcher, Goldfarb and Shanno's; optimistix's solvers), and each step is shortened
    until the loss falls. There is no learning rate. A step into nonsense (NaN, infinite, or a gradient that is) is shortened as
    well. All steps hear the same noise; where noise must be new at every step, use `gx.fit`.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        loss: `loss(model, key)`, a scalar, or a scalar and a dict of named scalars for the history.
        spec: which leaves are free: `gx.select(model, ...)`.
        steps: most of them; a trial that is not taken counts.
        method: 'l-bfgs' keeps the last hundred steps and learns anew at each how large curvatures are, 'bfgs' a matrix of all pairs of free
            numbers, which begins with one size for all and takes about twice as many steps to learn others.
        key: `jax.random.key(...)`, or a whole number as its seed.
        realisations: the loss and its gradient are means over so many keys, computed side by side.
        validation: noise never trained on, by which the best model is kept, as in `gx.fit`; looked at after every step if left out.
        tolerance: relative change of parameters and loss below which nothing is left to gain; 1e-10 in float64 and 1e-6 in
            float32 if left out.
        checkpoint: a file to keep the state in. If it exists, the search goes on from there.
        progress: show a bar; a text is its title.

    Returns:
        A `gx.FitResult`, whose history has 'loss', 'gradient' (its norm), the loss's terms, and 'validation'. It was stopped by
        'steps', 'converged', 'stuck' (no step was short enough to lead down, as at the lowest point that the precision can tell), or 'interrupted'.

    Raises:
        ValueError: for a start outside of its domain, a spec that frees nothing, or arguments out of range.
        FloatingPointError: if the loss or its gradient is not finite at the start, or both are too small for the precision.
        TypeError: for what is of another kind.
        KeyboardInterrupt: before the first step was finished; later, Ctrl-C gives what there is by then.

    Example:
        >>> import gyrax as gx
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> found = gx.search.minimise(model, lambda m, key: (m.gamma + 1.0) ** 2, gx.select(model, "gamma"), progress=False)
        >>> round(float(found.model.gamma), 4), found.stopped
        (-1.0, 'converged')
    """
    what = task(model, loss, spec, key, realisations, progress)
    return descended(
        what,
        steps=steps,
        method=method,
        small="refuse",
        validation=validation,
        tolerance=tolerance,
        checkpoint=checkpoint,
        progress=progress,
    )


def descended(
    what: Task,
    *,
    steps: int,
    tolerance: float | None,
    progress: bool | str,
    small: Literal["refuse", "take"] = "take",
    method: Literal["l-bfgs", "bfgs"] = "l-bfgs",
    validation: Validation | Literal["auto"] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> FitResult:
    """`minimise`, of a task that is checked already.

    Args:
        what: the task.
        steps: as there, and all others.
        tolerance: as there.
        progress: as there.
        small: whether to refuse a start whose loss and gradient are too small for the precision. A profile is not small for being
            next to nothing where it is lowest.
        method: as there.
        validation: as there.
        checkpoint: as there.
    """
    choice("method", method, ("l-bfgs", "bfgs"))
    tol = tolerance_of(tolerance)
    absolute = tol * STRETCH
    solver = optx.BFGS(tol, absolute) if method == "bfgs" else optx.LBFGS(tol, absolute, history_length=_REMEMBERED)
    made = Values(objective=what.objective, key=what.key, solver=solver, realisations=what.realisations)

    def look(record: dict[str, np.ndarray], carry: Carry) -> None:
        check_start((record["loss"], record["gradient"]), "the loss or its gradient")
        if small == "refuse" and len(record["loss"]):
            _check_small(what, abs(record["loss"][0]), record["gradient"][0])

    return walked(
        what,
        made,
        ["gradient"],
        steps=steps,
        validation=validation,
        checkpoint=checkpoint,
        look=look,
        title="minimise",
        unit="step",
        progress=progress,
        each_step=True,
    )


def _check_small(what: Task, loss: float, gradient: float) -> None:
    """Refuses a start of which the precision tells no more than that it is small.

    Raises:
        FloatingPointError: with by how much to multiply the loss.
    """
    least, dtype = least_of(what)
    if max(loss, gradient) >= least:
        return
    if loss == gradient == 0:
        keys = keys_of(what.key, what.realisations)
        if np.asarray(_around(what.objective, what.free, keys)).any():
            return  # a start where there is nothing left to gain
    raise FloatingPointError(
        f"at the start the loss is {loss:.3g} and its gradient {gradient:.3g} long, less than {dtype} tells anything of ({least:.1g}): "
        "multiply the loss, or take what it is of in a smaller unit (fT in place of T)"
    )


@eqx.filter_jit
def _around(objective: AbstractObjective, free: PyTree, keys: Array) -> Array:
    """The loss a step of one to either side, on the real line."""
    return jnp.stack([objective.mean(jax.tree.map(lambda x, by=by: x + by, free), keys)[0] for by in (-1.0, 1.0)])
