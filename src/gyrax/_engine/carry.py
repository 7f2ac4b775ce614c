"""What the loops of a run carry: its parts, where it stands, what the way back needs."""

from typing import TYPE_CHECKING, Any, Never, TypeAlias

import diffrax as dfx
import equinox as eqx
from jaxtyping import Array, Float, Int

from ..anatomy.products import Product
from ..monitors import AbstractMonitor
from ..network import Network
from ..network.pairs import Messages

if TYPE_CHECKING:  # in a run every leaf is there
    Mark: TypeAlias = Never
else:
    #: What stands at a leaf in trees of the same classes that say something of each: a flag, an axis, or nothing.
    Mark: TypeAlias = bool | int | None


class Parts(eqx.Module):
    """What a run consists of and what is derived from it once, all that a gradient may ask for; or flags, leaf by leaf.

    In a batch, what comes one a simulation has an axis more: the first, in cotangents the last.

    Attributes:
        network: without its matrices.
        monitors: by name.
        solver: of the steps.
        controller: of the steps between the grid's, None for steps of dt.
        instant: weights that act at once, as `prepared`; of couplings of pairs, the connections, late ones too.
        degree: sums of the weights that lead to each region, `(target,)`.
        delayed: weights of the sample `steps` back and, with interpolation, of the one before it, `(target, source)`.
        steps: whole steps of every delay, `(target, source)`, by coupling.
        origin: number of the run's first step; within the run they are counted from 0.
    """

    network: Network
    monitors: dict[str, AbstractMonitor]
    solver: dfx.AbstractSolver
    controller: dfx.AbstractStepSizeController | Mark | None
    instant: dict[str, Product | Messages | Mark]
    degree: dict[str, Float[Array, "..."] | Mark]
    delayed: dict[str, tuple[Float[Array, "..."] | Mark, ...]] | Mark
    steps: dict[str, Int[Array, "..."] | Mark]
    origin: Int[Array, "..."] | Mark


class Carry(eqx.Module):
    """Where a run stands; in a batch, everything but `step` has the batch as its last axis.

    Attributes:
        y: the state, and below it the rows of what remembers; where couplings have states of their own, a tree with those too.
        history: what was sent, `depth` samples of each feature, by coupling.
        heard: the last `known` delayed sums, the present one last, by coupling.
        monitors: their states.
        failed_at: the step after which a region was first not finite, -1 where it still is.
        step: number of the next step.
    """

    y: Any
    history: dict[str, Float[Array, "region column ..."] | Mark]
    heard: dict[str, Float[Array, "step feature hearer ..."] | Mark]
    monitors: dict[str, Any]
    failed_at: Int[Array, "node ..."] | Mark
    step: Any  # () of int32, which JAX may hand on as a literal


class Saved(eqx.Module):
    """What the way back needs of a tick.

    Attributes:
        path: the state before every step.
        end: the state after the last.
        heard: delayed sums at the start and after every step, by coupling; of pairs, what arrives along each connection.
        monitors: their states at the start.
        history: what was sent before the tick, if the weights want a gradient.
    """

    path: Any
    end: Any
    heard: dict[str, Float[Array, "known_step feature hearer ..."]]
    monitors: dict[str, Any]
    history: dict[str, Float[Array, "region column ..."]] | None
