"""Integrals over all frequencies, with as many of them as it takes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

#: Frequencies of a chunk: so many there are at first, and twice as many a level, up to 1024.
_CHUNK, LEVELS = 32, 5
#: By how much an integral may differ from that of half as many. Its error is about the square of that, unless they agree by chance.
_APART = 1e-4


class Integral(NamedTuple):
    r"""$\frac{1}{\pi} \int_0^\infty d\omega$ of a density.

    Attributes:
        value: of it.
        settled: whether twice as many frequencies changed nothing that matters.
        beside: what the density said beside its value at each frequency, in their order; where there was no more need to look, that of
            the next lower one.
    """

    value: Float[Array, "channel channel"]
    settled: Bool[Array, ""]
    beside: Complex[Array, " frequency"]


@jax.custom_batching.custom_vmap
def _of_all(settled: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether all integrals that are made side by side have settled: a condition that differs among them would have every one go through all levels."""
    return settled


@_of_all.def_vmap
def _(size: int, batched: list[bool], settled: Bool[Array, "..."]) -> tuple[Bool[Array, "..."], bool]:
    return _of_all(settled.all(0) if batched[0] else settled), False


def _chunks() -> list[tuple[int, int, bool]]:
    """Of each chunk: its first place on the finest grid, its level, and whether it is the last of it."""
    found = [(0, 0, True)]
    for level in range(1, LEVELS + 1):
        between = 2 ** (LEVELS - level)
        firsts = range(between, 2**LEVELS, 2 * between)
        found += [(first, level, first == firsts[-1]) for first in firsts]
    return found


def over_frequencies(
    density: Callable[[Array, Array], tuple[Array, Array]],
    like: Float[Array, "channel channel"],
    scale: Array,
    highest: Array,
    least: int,
) -> Integral:
    r"""An integral over frequencies, at $\omega = s \sinh u$ with even steps of u.

    These are even steps below s and even ratios above, where the trapezoidal rule converges faster than any power of the step (Trefethen &
    Weideman 2014, SIAM Rev. 56). Steps are halved until nothing changes: what swings for long needs many.

    Args:
        density: of a frequency in rad/ms, and of how far it is to the next at the least level, its value and what it says beside.
        like: what the integral will be added to: an error is small beside both.
        scale: s, in rad/ms.
        highest: beyond it there is nothing.
        least: the level that there is to be at least.
    """
    finest = jnp.arcsinh(highest / scale) / (_CHUNK * 2**LEVELS)

    def add(total, place):
        u = place * finest
        omega, apart = scale * jnp.sinh(u), scale * jnp.cosh(u) * finest
        value, beside = density(omega, apart * 2 ** (LEVELS - least))
        return total + value * jnp.where(place == 0, 0.5, 1.0) * apart / jnp.pi, beside

    one = jax.eval_shape(lambda: density(scale, scale)[1])

    def chunk(carry, now):
        total, value, settled, reached = carry
        first, level, last = now
        total, beside = jax.lax.cond(
            _of_all(settled),
            lambda total: (total, jnp.zeros(_CHUNK, one.dtype)),
            lambda total: jax.lax.scan(add, total, first + 2**LEVELS * jnp.arange(_CHUNK)),
            total,
        )
        new = total * 2.0 ** (LEVELS - level)
        near = jnp.abs(new - value).max() < _APART * jnp.abs(new + like).max()
        ends = last & ~settled
        value = jnp.where(ends, new, value)
        return (total, value, settled | (ends & near & (level >= least)), jnp.where(settled, reached, level)), beside

    firsts, levels, lasts = (jnp.array(x) for x in zip(*_chunks(), strict=True))
    nothing = jnp.zeros_like(like)
    start = nothing, nothing, jnp.array(False), jnp.array(0)
    (_, value, settled, reached), beside = jax.lax.scan(chunk, start, (firsts, levels, lasts))
    order = np.argsort([first + 2**LEVELS * k for first, _, _ in _chunks() for k in range(_CHUNK)])
    looked = 2 ** (LEVELS - reached)
    there = jnp.arange(len(order)) // looked * looked
    return Integral(value, settled, beside.reshape(-1)[order][there])
