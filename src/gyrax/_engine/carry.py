"""What the loops of a run carry: its parts, where it stands, what the way back needs."""

from typing import Any

import equinox as eqx


class Parts(eqx.Module):
    """What a run consists of and what is derived from it once, all that a gradient may ask for; or flags, leaf by leaf.

    Attributes:
        network: without its matrices.
        controller: of the steps between the grid's, None for steps of dt.
        instant: weights that act at once, as `prepared`.
        degree: sums of the weights that lead to each region.
        delayed: weights of the sample `steps` back and, with interpolation, of the one before it, `(target, source)`.
        steps: whole steps of every delay, by coupling.
        origin: number of the run's first step; within the run they are counted from 0.
    """

    network: Any
    monitors: dict[str, Any]
    solver: Any
    controller: Any
    instant: dict[str, Any]
    degree: dict[str, Any]
    delayed: Any
    steps: Any
    origin: Any


class Carry(eqx.Module):
    """Where a run stands; in a batch, everything but `step` has the batch as its last axis.

    Attributes:
        y: the state, `(state, node)`.
        history: what was sent, `(node, depth * feature)`, by coupling.
        heard: delayed sums now, and as many before as are `known`, `(step, feature, node)`, by coupling.
        monitors: their states.
        failed_at: the step after which a region was first not finite, `(node,)`.
        step: number of the next step.
    """

    y: Any
    history: dict[str, Any]
    heard: dict[str, Any]
    monitors: dict[str, Any]
    failed_at: Any
    step: Any


class Saved(eqx.Module):
    """What the way back needs of a tick.

    Attributes:
        path: the state before every step, `(step, state, node)`.
        end: the state after the last.
        heard: delayed sums at the start and after every step, `(step + 1, feature, node)`, by coupling.
        monitors: their states at the start.
        history: what was sent before the tick, if the weights want a gradient.
    """

    path: Any
    end: Any
    heard: dict[str, Any]
    monitors: dict[str, Any]
    history: dict[str, Any] | None
