"""Gradients that grew along a run until they say nothing: told from the losses and gradients of a fit."""

import numpy as np
from jaxtyping import Bool, Float

from .._warned import warn

#: A gradient so many times longer than is usual around it is none of the loss at the scale of a step.
_SPIKE = 1e3
#: Steps on either side by which it is known what is usual.
_AROUND = 5
#: Spikes that chance alone may make.
_FEW = 1
#: What to do.
WAY_OUT = (
    "where activity is chaotic, gradients grow along a run until they say nothing of the parameters: "
    "gx.analysis.lyapunov_exponents(network, ...).gradient_horizon() tells over how many ms they hold, for "
    "simulate(gradient_horizon=), or fit by gradient=gx.Evolution()"
)


def exploded(
    loss: Float[np.ndarray, " step"], gradient: Float[np.ndarray, " step"], nonfinite: Bool[np.ndarray, " step"]
) -> Bool[np.ndarray, " step"]:
    """Steps at which the loss was finite and its gradient not, or a thousand times longer than at the steps around.

    Args:
        loss: of every step.
        gradient: its length.
        nonfinite: where it was not finite.

    Example:
        >>> length = np.ones(20)
        >>> length[[3, 9]] = 1e5
        >>> np.flatnonzero(exploded(np.ones(20), length, np.zeros(20, bool))).tolist()
        [3, 9]
    """
    known = np.isfinite(gradient) & ~nonfinite
    spikes = np.zeros(len(loss), bool)
    for step in np.flatnonzero(known):
        around = slice(max(0, step - _AROUND), step + _AROUND + 1)
        spikes[step] = gradient[step] > _SPIKE * np.median(gradient[around][known[around]])
    lost = nonfinite & np.isfinite(loss)
    return lost | (spikes if lost.any() or spikes.sum() > _FEW else np.zeros_like(spikes))


def warn_of(steps: Bool[np.ndarray, " step"]) -> None:
    """Says so, if there are any."""
    if steps.any():
        warn(
            f"at {steps.sum()} of {len(steps)} steps (first {int(np.argmax(steps))}) the loss was finite and its gradient was not, or was a "
            f"thousand times longer than around it; {WAY_OUT}"
        )
