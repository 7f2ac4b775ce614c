"""Quasi-Newton methods."""

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import optimistix as optx
from jaxtyping import PyTree

from .._kinds import choice
from ..fitting.descent import Validation
from ..fitting.results import FitResult
from .newton import STRETCH, Values
from .squares import check_start, tolerance_of
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
        FloatingPointError: if the loss or its gradient is not finite at the start.
        TypeError: for what is of another kind.

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
    method: Literal["l-bfgs", "bfgs"] = "l-bfgs",
    validation: Validation | Literal["auto"] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> FitResult:
    """`minimise`, of a task that is checked already."""
    choice("method", method, ("l-bfgs", "bfgs"))
    tol = tolerance_of(tolerance)
    absolute = tol * STRETCH
    solver = optx.BFGS(tol, absolute) if method == "bfgs" else optx.LBFGS(tol, absolute, history_length=_REMEMBERED)
    made = Values(objective=what.objective, key=what.key, solver=solver, realisations=what.realisations)

    def look(record: dict[str, np.ndarray], carry: Carry) -> None:
        check_start(record["loss"] + record["gradient"], "the loss or its gradient")

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
