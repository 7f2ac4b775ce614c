"""Steps many to a compiled call, and between the calls whatever Python has to see to: the bar, Ctrl-C, the clock, a file."""

import time
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from .._devices import at_home
from .._progress import tqdm

#: Seconds that one call into XLA should take.
_SECONDS = 0.5

Carry = TypeVar("Carry")


def compiled_steps(
    step: Callable[[Carry], tuple[Carry, dict[str, Array]]],
    carry: Carry,
    most_steps: Int[Array, ""],
    go_on: Callable[[Carry], Bool[Array, ""]],
    room: int,
) -> tuple[Int[Array, ""], Carry, dict[str, Array]]:
    """Steps in one compiled loop, until `go_on` of the carry is False.

    Args:
        step: makes a later carry, and named values to remember.
        carry: to begin with.
        most_steps: to take.
        go_on: whether to take another; so how many are taken does not depend on how they are cut into calls.
        room: most steps of one call: the buffers have no more.

    Returns:
        How many were taken, the carry after them, and the values by name, `(room, ...)`.
    """
    shapes = jax.eval_shape(step, carry)[1]
    buffers = jax.tree.map(lambda s: jnp.zeros((room, *s.shape), s.dtype), shapes)

    def more(x):
        taken, carry, _ = x
        return (taken < jnp.minimum(most_steps, room)) & go_on(carry)

    def body(x):
        taken, carry, buffers = x
        carry, new = step(carry)
        return taken + 1, carry, jax.tree.map(lambda b, n: b.at[taken].set(n), buffers, new)

    return jax.lax.while_loop(more, body, (jnp.zeros((), jnp.int32), carry, buffers))


def in_blocks(
    advance: Callable[[Carry, int], tuple[int, Carry, dict[str, Array]]],
    carry: Carry,
    record: dict[str, np.ndarray],
    *,
    done: int,
    steps: int,
    room: int,
    look: Callable[[Carry, dict[str, np.ndarray], int], str | None],
    shown: Callable[[Carry, dict[str, np.ndarray]], dict[str, str]],
    title: str,
    unit: str,
    progress: bool | str,
) -> tuple[Carry, dict[str, np.ndarray], str]:
    """Calls of compiled steps until all are done, as many steps to a call as take about half a second.

    Args:
        advance: `advance(carry, most_steps)`: how many steps were taken, the carry after them, and the values of each by
            name, in buffers that may be longer.
        carry: to begin with.
        record: the values of earlier steps, by name.
        done: steps taken earlier.
        steps: all there are to be.
        room: most steps of one call: the buffers have no more.
        look: after each call, of carry, record and the steps done: a reason to stop, if there is one. It may raise.
        shown: what the bar shows beside the steps.
        title: of the bar, where `progress` does not name another.
        unit: of the bar.
        progress: whether to show it.

    Returns:
        The carry, the record of all steps, and why it ended: 'steps', 'interrupted', or what `look` said.

    Raises:
        KeyboardInterrupt: if it came before anything was done.
    """
    stopped, block, compiled = "steps", 1, False
    heading = progress if isinstance(progress, str) else title
    bar = tqdm(total=steps, initial=done, desc=heading, unit=unit, disable=not progress)
    try:
        while done < steps:
            since = time.perf_counter()
            taken, later, new = advance(carry, min(block, steps - done))
            later = at_home(later)
            new = {name: np.concatenate([record[name], np.asarray(new[name])[:taken]]) for name in record}
            carry, record, done = later, new, done + taken  # together, whenever an interruption comes
            if compiled:  # the first call compiles
                block = int(np.clip(_SECONDS * max(taken, 1) / (time.perf_counter() - since), 1, room))
            compiled = True
            reason = look(carry, record, done)  # first, so that what the bar shows is on disk
            bar.update(taken)
            bar.set_postfix(shown(carry, record))
            if reason is not None:
                stopped = reason
                break
    except KeyboardInterrupt:
        if not done:
            raise KeyboardInterrupt(f"after 0 of {steps} {unit}s of '{heading}': there is no result yet") from None
        stopped = "interrupted"
    finally:
        bar.close()
    return carry, record, stopped
