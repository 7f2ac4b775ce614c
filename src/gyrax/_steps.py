"""Whole numbers of steps, or of any other unit of time."""

import math


def whole_steps(duration: float, dt: float, what: str) -> int:
    """How many steps of dt ms a duration has, which must be whole.

    Args:
        duration: ms.
        dt: ms.
        what: what to call the duration in errors.

    Raises:
        ValueError: if it is not positive, or no whole number; with the durations beside it that are.

    Example:
        >>> whole_steps(0.3, 0.1, "duration")
        3
    """
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"{what} is a positive number of ms, got {duration}")
    steps = round(duration / dt)
    if steps < 1 or abs(steps * dt - duration) > 1e-6 * dt * max(1, math.sqrt(steps)):
        near = sorted({max(1, math.floor(duration / dt)) * dt, math.ceil(duration / dt) * dt})
        raise ValueError(
            f"{what} = {duration} ms is not a whole number of steps of dt = {dt} ms; take {' or '.join(f'{x:.10g}' for x in near)} ms"
        )
    return steps
