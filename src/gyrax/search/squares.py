"""Least squares."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._kinds import choice, number
from ..fitting.descent import Validation
from ..fitting.results import FitResult
from .newton import Squares
from .slopes import choose
from .walking import Carry, Task, task, walked


def least_squares(
    model: Any,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    steps: int = 50,
    method: Literal["levenberg-marquardt", "gauss-newton"] = "levenberg-marquardt",
    key: Any = None,
    realisations: int = 1,
    validation: Validation | Literal["auto"] | None = "auto",
    tolerance: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | str = True,
) -> FitResult:
    """Minimises the squares of a loss's residuals over the free leaves of a model, on the real line of their domains.

    Each step solves a linear problem with the derivatives of all residuals (optimistix's solvers), so that a few steps do what
    gradient descent does in hundreds, where the residuals bend little. A step into nonsense (NaN, infinite, or a derivative that is)
    is not taken, and a shorter one is tried. All steps hear the same noise.

    Args:
        model: a Network, any other Module, or a tuple or dict of them.
        loss: `loss(model, key)`, a pair of a scalar and a dict of named scalars in which 'residuals' is an array of any shape. The
            scalar is what the history tells and validation judges by, and must fall as the squares do.
        spec: which leaves are free: `gx.select(model, ...)`.
        steps: most of them; a trial that is not taken counts.
        method: Levenberg and Marquardt's damped one, or Gauss and Newton's, which has no way back and suits problems that are nearly linear.
        key: `jax.random.key(...)`, or a whole number as its seed.
        realisations: keys whose residuals stand side by side, each with its share.
        validation: noise never trained on, by which the best model is kept, as in `gx.fit`; looked at after every step if left out.
        tolerance: relative change of parameters and residuals below which nothing is left to gain; 1e-10 in float64 and 1e-6 in
            float32 if left out.
        checkpoint: a file to keep the state in. If it exists, the search goes on from there.
        progress: show a bar; a text is its title.

    Returns:
        A `gx.FitResult`, whose history has 'loss', 'squares', their 'gradient' (its norm), the loss's terms, and 'validation'. It was stopped by 'steps', 'converged',
        'stuck' (no step was short enough to lead down, as at the lowest point that the precision can tell), or 'interrupted'.

    Raises:
        ValueError: if the loss has no residuals or its value rises while their squares fall, for a start outside of its domain, or a
            spec that frees nothing.
        FloatingPointError: if the squares of the residuals or their derivatives are not finite at the start, or too small for the precision.
        TypeError: for what is of another kind.
        KeyboardInterrupt: before the first step was finished; later, Ctrl-C gives what there is by then.

    Example:
        >>> import gyrax as gx, jax.numpy as jnp
        >>> times = jnp.arange(5.0)
        >>> def loss(m, key):
        ...     off = jnp.exp(m.gamma * times) - jnp.exp(-0.3 * times)
        ...     return (off**2).mean(), {"residuals": off}
        >>> model = gx.models.Linear(gamma=-2.0)
        >>> found = gx.search.least_squares(model, loss, gx.select(model, "gamma"), progress=False)
        >>> round(float(found.model.gamma), 4), found.stopped
        (-0.3, 'converged')
    """
    choice("method", method, ("levenberg-marquardt", "gauss-newton"))
    tol = tolerance_of(tolerance)
    what = task(model, loss, spec, key, realisations, progress)
    _check_residuals(what)
    solver = (optx.LevenbergMarquardt if method == "levenberg-marquardt" else optx.GaussNewton)(tol, tol)
    flat, _ = ravel_pytree(what.free)
    common: dict[str, Any] = {
        "objective": what.objective,
        "key": what.key,
        "solver": solver,
        "realisations": realisations,
    }
    residuals = Squares(**common, forward=False).residuals(what.free)
    made = Squares(**common, forward=choose(lambda x: residuals(x)[0], flat))

    def look(record: dict[str, np.ndarray], carry: Carry) -> None:
        check_start((record["squares"], record["gradient"]), "the squares of the residuals or their derivatives")
        if len(record["squares"]):
            _check_small(what, residuals, abs(record["loss"][0]), record["squares"][0])
        _check_agreement(record["loss"], record["squares"])

    return walked(
        what,
        made,
        ["squares", "gradient"],
        steps=steps,
        validation=validation,
        checkpoint=checkpoint,
        look=look,
        title="least squares",
        unit="step",
        progress=progress,
        each_step=True,
    )


def tolerance_of(given: float | None) -> float:
    """How small a relative change of parameters and loss is none: as much as the precision allows, if not given.

    Raises:
        ValueError: for none between 0 and 1.
    """
    if given is not None and not 0 < number("tolerance", given, "1e-6") < 1:
        raise ValueError(f"tolerance is a relative change, between 0 and 1, such as 1e-6; got {given}")
    double = jnp.result_type(float) == jnp.float64
    return (1e-10 if double else 1e-6) if given is None else float(given)


def _check_residuals(what: Task) -> None:
    """Refuses a loss without residuals, or with such as have no squares."""
    found = eqx.filter_eval_shape(what.objective.at, what.free, what.key).residuals
    arrays = jax.tree.leaves(found)
    if not arrays or not sum(x.size for x in arrays):
        raise ValueError(
            "least squares needs residuals, and the loss returns none: return (value, {'residuals': simulated - measured}), or use "
            "gx.search.minimise, which needs the value alone"
        )
    for x in arrays:
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"residuals are real numbers, got {x.dtype}")


def least_of(what: Task) -> tuple[float, np.dtype]:
    """The least loss that the precision tells something of, and the precision.

    Where a loss of so much fell to a hundred-millionth, it is the least normal number.
    """
    dtype = np.dtype(ravel_pytree(what.free)[0].dtype)
    return 1e8 * float(np.finfo(dtype).tiny), dtype


def _check_small(what: Task, residuals: Callable[[Any], Any], loss: float, squares: float) -> None:
    """Refuses residuals whose squares are nothing beside the precision.

    Raises:
        FloatingPointError: with what to do.
    """
    least, dtype = least_of(what)
    if max(loss, squares) >= least:
        return
    largest = float(jnp.abs(residuals(ravel_pytree(what.free)[0])[0]).max())
    if largest > 0:
        raise FloatingPointError(
            f"at the start the residuals are {largest:.3g} at most, and {dtype} tells nothing of so small squares: multiply the "
            "residuals (and the loss), or take what they are of in a smaller unit (fT in place of T)"
        )


def check_start(values: Sequence[np.ndarray], what: str) -> None:
    """Refuses a start from which no step can be found.

    Raises:
        FloatingPointError: with what to look at.
    """
    if any(len(x) and not np.isfinite(x[0]) for x in values):
        raise FloatingPointError(
            f"{what} are not finite at the start, so that there is no way from it. Look at a simulation there "
            "(run.failure says when and where a state breaks), or at a term that divides by what may be zero"
        )


def _check_agreement(loss: np.ndarray, squares: np.ndarray) -> None:
    """Refuses a value that is another objective than the squares: on the way down it rises."""
    lower = squares[1:] < squares[:-1] * (1 - 1e-3)
    risen = loss[1:] > loss[:-1] + 1e-6 * np.abs(loss[:-1])
    at = np.flatnonzero(lower & risen)
    if len(at):
        i = int(at[0])
        raise ValueError(
            f"at step {i + 1} the squares of the residuals fell from {squares[i]:.4g} to {squares[i + 1]:.4g} and the loss rose from "
            f"{loss[i]:.4g} to {loss[i + 1]:.4g}: they are not one objective. Put every term of the loss into its residuals"
        )
