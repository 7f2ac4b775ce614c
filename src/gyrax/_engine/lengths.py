"""How the steps of a run are cut: into segments of equal ticks, ticks into windows, and what monitors see into pieces."""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

#: Steps of a tick: long enough that its overhead does not count, short enough to stay in the cache.
_TICK = 512
#: What a segment (which is compiled by itself), a tick, a window and a monitor's update cost, in microseconds, roughly.
_COSTS = 20_000, 5, 6, 2

Cycle = tuple[int, int]  # a period in steps, and how much of it has passed


@dataclasses.dataclass(frozen=True)
class Segment:
    """`ticks` equal stretches of `tick` steps, each of whole windows of `window` steps."""

    ticks: int
    tick: int
    window: int

    @property
    def steps(self) -> int:
        return self.ticks * self.tick


def divisors(n: int) -> list[int]:
    """All divisors, ascending.

    Example:
        >>> divisors(12)
        [1, 2, 3, 4, 6, 12]
    """
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return small + [n // k for k in reversed(small) if k * k != n]


def piece(tick: int, cycles: Iterable[Cycle], steps: int) -> int:
    """The longest part of a tick such that none, of all these steps, straddles the end of one of the periods.

    Example:
        >>> piece(480, [(720, 0)], 60_000), piece(480, [(720, 30), (10, 0)], 60_000), piece(480, [(20, 0)], 60_000)
        (240, 30, 480)
    """

    def fits(part: int) -> bool:
        return all(
            (period % part == 0 and phase % part == 0) or (part % period == 0 and phase == 0) or phase + steps <= period
            for period, phase in cycles
        )

    return max(k for k in divisors(tick) if fits(k))


def plan(
    steps: int,
    monitors: list[list[Cycle]],
    longest_window: int,
    horizon: int | None = None,
) -> list[Segment]:
    """Cuts a run into at most three segments: a beginning, most of it, and what is left.

    Args:
        steps: of the run.
        monitors: for each one the periods whose ends none of its updates may straddle.
        longest_window: steps of delayed input that can be known at once.
        horizon: steps after which gradients are cut: a tick begins there.

    Example:
        >>> plan(60_000, [[(720, 0)]], 4)
        [Segment(ticks=125, tick=480, window=4)]
    """
    every = [*{s for monitor in monitors for s in monitor}, *([(horizon, 0)] if horizon else [])]
    periods = {period for period, _ in every}
    units = {*periods, _TICK, _TICK // 2, math.lcm(*periods, 1)}

    @functools.cache
    def cut(first: int, length: int) -> tuple[float, Segment]:
        now = [[(period, (phase + first) % period) for period, phase in monitor] for monitor in monitors]
        return _segment(length, now, max(longest_window, 1), horizon, first)

    def pieces(first: int, unit: int) -> list[tuple[int, int]]:
        main = (steps - first) // unit * unit
        return [(at, n) for at, n in ((0, first), (first, main), (first + main, steps - first - main)) if n]

    beginnings = {0} | {period - phase for period, phase in every if phase}
    options = [pieces(first, unit) for first in beginnings if first < steps for unit in units] + [[(0, steps)]]
    best = min(options, key=lambda option: (sum(cut(*part)[0] for part in option), option))
    return [cut(*part)[1] for part in best]


def _segment(
    steps: int, monitors: list[list[Cycle]], longest_window: int, horizon: int | None, passed: int
) -> tuple[float, Segment]:
    """All the steps in equal ticks, the best length, and what it costs."""
    segment, per_tick, per_window, per_update = _COSTS
    to_cut = None if horizon is None else -passed % horizon  # steps to the next place where gradients are cut

    def fits(tick: int) -> bool:
        return horizon is None or to_cut is None or to_cut >= steps or (horizon % tick == 0 and to_cut % tick == 0)

    def window(tick: int) -> int:
        return max(k for k in divisors(tick) if k <= longest_window)

    def cost(tick: int) -> float:
        updates = sum(steps / piece(tick, monitor, steps) for monitor in monitors)
        return segment + steps / tick * per_tick + steps / window(tick) * per_window + updates * per_update

    ticks = [k for k in divisors(steps) if k <= _TICK and fits(k)]
    tick = min(ticks, key=lambda k: (cost(k), -k))
    return cost(tick), Segment(steps // tick, tick, window(tick))


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How often the monitors sample, in steps, and how much of a period has passed before the run and the segment.

    `cycles` are the periods of each whose ends none of its updates may straddle.
    """

    periods: dict[str, int]
    strides: dict[str, int]
    cycles: dict[str, tuple[int, ...]]
    phases: dict[str, int]
    now: dict[str, int]

    def limits(self, name: str) -> list[Cycle]:
        """The periods whose ends no update of a monitor may straddle, and how much of them has passed."""
        return [(every, self.now[name] % every) for every in self.cycles[name]]

    def piece(self, name: str, segment: Segment) -> int:
        """Steps that a monitor sees at a time."""
        return piece(segment.tick, self.limits(name), segment.steps)

    def whole(self, name: str, steps: int) -> bool:
        """Whether so many steps at a time are whole periods."""
        return steps % self.periods[name] == 0 and self.now[name] == 0

    def places(self, name: str, segment: Segment, step: Any) -> Any:
        """Which of a tick's samples may lie at the end of a period: as many as there can be in one tick."""
        part, period = self.piece(name, segment), self.periods[name]
        if self.whole(name, part):
            return slice(None)
        passed = (step - segment.tick + self.phases[name]) % period
        at = (period - passed) // part - 1 + period // math.gcd(part, period) * jnp.arange(self._most(name, segment))
        return jnp.clip(at, 0, segment.tick // part - 1)

    def _most(self, name: str, segment: Segment) -> int:
        return -(-segment.tick // self.periods[name])

    def due(self, name: str, segment: Segment) -> Any:
        """Which of a segment's candidates are samples."""
        if self.whole(name, self.piece(name, segment)):
            return slice(None)
        period, tick = self.periods[name], segment.tick
        ends = (self.now[name] + tick * np.arange(segment.ticks + 1)) // period  # periods that have ended by each tick
        return np.flatnonzero(np.arange(self._most(name, segment)) < np.diff(ends)[:, None])
