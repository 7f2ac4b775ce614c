"""Whole numbers of steps, or of any other unit of time."""

import math

from ._kinds import number

#: Steps are counted in 32 bits, from the start of the first of several runs that go on from each other.
MOST = 2**31 - 1


def whole_steps(duration: float, dt: float, what: str) -> int:
    """How many steps of dt ms a duration has, which must be whole.

    Args:
        duration: ms.
        dt: ms.
        what: what to call the duration in errors.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is not positive, or no whole number; with the durations beside it that are. Or for more steps than
            32 bits count, whose noise would repeat.

    Example:
        >>> whole_steps(0.3, 0.1, "duration")
        3
    """
    duration = number(what, duration, unit="ms")
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"{what} is a positive number of ms, got {duration}")
    steps = round(duration / dt)
    if steps < 1 or abs(steps * dt - duration) > 1e-6 * dt * max(1, math.sqrt(steps)):
        near = sorted({max(1, math.floor(duration / dt)) * dt, math.ceil(duration / dt) * dt})
        raise ValueError(
            f"{what} = {duration} ms is not a whole number of steps of dt = {dt} ms; take {' or '.join(f'{x:.10g}' for x in near)} ms"
        )
    if steps > MOST:
        raise ValueError(f"{what} = {duration} ms is {steps} steps of dt = {dt} ms, and a run counts to {MOST}")
    return steps
