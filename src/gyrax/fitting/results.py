"""What a fit found, and what is said of it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._pictures import draw
from .._warned import warn
from ..parameters.splitting import Fixed
from .estimates import WINDOW, Estimate, over_steps, smoothed, window
from .explosions import exploded, warn_of

#: By how much the logarithm of the slope of a domain falls towards its end.
_EDGE = -15.0


@dataclasses.dataclass
class FitResult:
    """What `fit` found.

    Attributes:
        model: what was found: the model with the lowest loss on validation noise. Without validation, the one with the lowest
            loss of all steps if all had the same noise (or none), and the last one if each had its own: the lowest would be luck.
        last: the model after the last step.
        best_step, best_loss: where that was, and its loss; without validation and with new noise the mean of the last steps.
        gain: how much lower the loss of `model` is than that of the start, on the same validation noise, with its standard error.
        history: by name, one value a step: 'loss', 'gradient' (its norm, before clipping), 'validation' (NaN where it was not
            looked at), and the named terms that the loss returns.
        skipped: for each free leaf, the steps whose gradient was not finite there, and which were not taken; under 'loss'
            those at which only the loss was not finite.
        seconds: wall time, that of interrupted earlier runs included.
        stopped: why it ended: 'steps', 'patience', 'seconds' or 'interrupted'.
        starts: of several starts, what each one found, in their order; what stands here is the best of them.
        learnt: False if that is no more than noise; True where nothing tells.
    """

    model: Any
    last: Any
    best_step: int
    best_loss: float
    history: dict[str, np.ndarray]
    skipped: dict[str, np.ndarray]
    seconds: float
    stopped: str
    starts: list["FitResult"] = dataclasses.field(default_factory=list)
    gain: Estimate | None = None
    learnt: bool = True

    def plot(self, ax: Any = None) -> Any:
        """The loss over steps, and on validation noise, the one chosen marked; returns the matplotlib axes."""
        loss = self.history["loss"]
        shown = {"loss": loss} | ({f"mean of {WINDOW} steps": smoothed(loss)} if len(loss) > 2 * WINDOW else {})
        if "validation" in self.history:
            return draw(
                "fits.loss_history", {"validation": self.history["validation"]} | shown, best=self.best_step, ax=ax
            )
        best = self.best_step if self.best_step < len(loss) else None
        return draw("fits.loss_history", shown if len(shown) > 1 else loss, best=best, ax=ax)

    def __repr__(self):
        loss, skipped = self.history["loss"], sum(map(len, self.skipped.values()))
        if "validation" in self.history:
            text = (
                f"validation loss {_first(self.history['validation']):.4g} -> {self.best_loss:.4g}"
                if len(loss)
                else "no loss of 0 steps"
            )
            text += f" at step {self.best_step} of {len(loss)}"
            if not self.learnt and self.gain is not None:
                text += f": nothing learnt, {self.gain.mean:.2g} less with a standard error of {self.gain.scatter:.1g}"
        elif self.best_step < len(loss):
            text = f"loss {loss[0]:.4g} -> {self.best_loss:.4g} at step {self.best_step} of {len(loss)}"
        else:
            text = (
                f"loss {over_steps(loss[: window(len(loss))])} -> {over_steps(loss[-window(len(loss)) :])} in {len(loss)} steps"
                if len(loss)
                else "no loss of 0 steps"
            )
        text += f", {self.seconds:.1f} s" + (f", stopped by {self.stopped}" if self.stopped != "steps" else "")
        text += f", best of {len(self.starts)} starts" if self.starts else ""
        return f"FitResult({text}" + (f", {skipped} gradients not finite" if skipped else "") + ")"


def _first(losses: np.ndarray) -> float:
    """The first that there is: a fit that went on after a change has none of before."""
    return next(iter(losses[np.isfinite(losses)]), float("nan"))


def say_of(results: list[FitResult], exact: bool) -> None:
    """Says what a user would rather not overlook: exploded gradients, steps not taken, nothing learnt."""
    if exact:
        worst = max((_exploded(result) for result in results), key=np.sum)
        warn_of(worst)
    for i, result in enumerate(results):
        which = f"starts[{i}]: " if len(results) > 1 else ""
        if result.skipped:
            text = ", ".join(f"{name} at {len(at)} steps (first {at[0]})" for name, at in result.skipped.items())
            warn(f"{which}losses or gradients that were not finite, steps not taken: {text}")
        if "validation" in result.history and len(result.history["loss"]) and not np.isfinite(result.best_loss):
            warn(f"{which}the loss was never finite on validation noise: model= is the start")
        elif not result.learnt and result.gain is not None:
            warn(
                f"{which}nothing was learnt: on validation noise the loss became {result.gain.mean:.2g} lower, with a standard error of "
                f"{result.gain.scatter:.1g}, which chance alone may do or is next to nothing beside the scatter of the loss; take more steps (or larger ones), more realisations, or longer recordings"
            )


def _exploded(result: FitResult) -> np.ndarray:
    loss, bad = result.history["loss"], np.zeros(len(result.history["loss"]), bool)
    bad[np.concatenate([np.zeros(0, int), *result.skipped.values()])] = True
    return exploded(loss, result.history["gradient"], bad)


def say_edges(free: PyTree, fixed: Fixed) -> None:
    """Says which free numbers ran to the end of their domain, where no step moves them any more."""
    for rule, real in zip(fixed.rules, jax.tree.leaves(free), strict=True):
        values = np.asarray(real, float)
        moves = np.asarray(rule.domain.log_slope(jnp.asarray(values)) - rule.domain.log_slope(jnp.zeros(values.shape)))
        count = int((moves < _EDGE).sum()) if rule.basis is None else 0
        if count:
            which = f"{count} of {values.size} numbers of " if values.size > 1 else ""
            warn(
                f"{which}{fixed.names[rule.index]} ran to the end of the domain, {rule.domain}: what the loss wants lies on its edge or beyond; "
                "free it with a wider one, gx.Free(..., domain=...), or look whether the loss tells anything of it"
            )
