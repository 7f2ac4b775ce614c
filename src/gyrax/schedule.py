"""How the steps of a run are cut, so that monitors sample where they must and windows fit between."""

import dataclasses
import math

#: Steps of a tick: long enough that its overhead does not count, short enough to stay in the cache.
_TICK = 512
_SHORT = 64


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


def plan(
    steps: int, samplings: list[tuple[int, int]], longest_window: int, horizon: int | None = None, passed: int = 0
) -> list[Segment]:
    """Cuts a run into segments whose ticks never straddle the end of a period.

    Args:
        steps: of the run.
        samplings: `(period, phase)` in steps for all that must not be straddled; a phase is how much of a period has passed.
        longest_window: steps of delayed input that can be known at once.
        horizon: steps after which gradients are cut: a tick begins there.
        passed: steps of the run before these.

    Example:
        >>> plan(60_000, [(720, 0)], 4)
        [Segment(ticks=250, tick=240, window=4)]
    """
    longest_window = max(longest_window, 1)
    samplings = sorted({(period, phase % period) for period, phase in samplings})
    cut = None if horizon is None else (horizon, passed % horizon)
    whole = _segment(steps, samplings, longest_window, cut)
    if whole.tick >= min(_SHORT, steps):
        return [whole]
    # An awkward number of steps: a longer first part that is not, then the rest with what then has passed.
    heads = {period - phase for period, phase in samplings} | ({cut[0] - cut[1]} if cut else set())
    for unit in {period for period, _ in samplings} | {math.lcm(*(period for period, _ in samplings)), _TICK}:
        heads.add(steps - steps % unit)
    options = [_segment(head, samplings, longest_window, cut) for head in sorted(heads) if 0 < head < steps]
    best = max(options, key=lambda s: (min(s.tick, _SHORT), s.steps), default=whole)
    if best.tick <= whole.tick:
        return [whole]
    rest = [(period, (phase + best.steps) % period) for period, phase in samplings]
    return [best, *plan(steps - best.steps, rest, longest_window, horizon, passed + best.steps)]


def _segment(steps: int, samplings: list[tuple[int, int]], longest_window: int, cut: tuple[int, int] | None) -> Segment:
    """All the steps in equal ticks, the best length that no sampling forbids."""

    def fits(tick: int) -> bool:
        if cut is not None and not (cut[0] % tick == 0 and cut[1] % tick == 0) and cut[1] + steps > cut[0]:
            return False
        return all(
            (period % tick == 0 and phase % tick == 0) or (tick % period == 0 and phase == 0) or phase + steps <= period
            for period, phase in samplings
        )

    def window(tick: int) -> int:
        return max(k for k in divisors(tick) if k <= longest_window)

    ticks = [k for k in divisors(steps) if k <= _TICK and fits(k)]
    tick = max(ticks, key=lambda k: (min(k, 4 * _SHORT), window(k), k))
    return Segment(steps // tick, tick, window(tick))
