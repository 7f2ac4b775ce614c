"""What reaches a network within a step: delayed sums, weights that act at once, what remembers."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._pairs import Pair, single
from .._types import Matrix
from ..anatomy.products import Product
from ..anatomy.sparse import Sparse
from ..delays import cubic


class AbstractAfferent(eqx.Module):
    """What is known of a stretch of time before the solver goes through it.

    The engine passes it as `args` to the terms. The solver's own time runs from 0 on within the stretch: absolute float32
    times lose their digits in long runs.

    Attributes:
        clock: the time at its start, in ms, with as many digits as it takes to tell steps apart.
        dt: ms a step.
        instant: the weights that act without delay, as `Network.prepared` lays them out; of couplings of pairs, late ones too.
        degree: sums of the weights that lead to each region.
        memory: rows of what remembers, at both ends of a step.
        coupled: what every coupling feeds to its targets, where that is held for the whole stretch.
    """

    clock: Pair | Float[Array, ""] | float
    dt: float = eqx.field(static=True)
    instant: dict[str, Any]
    degree: dict[str, Float[Array, " _"]]
    memory: tuple[Float[Array, "row node"], Float[Array, "row node"]] | None
    coupled: dict[str, Float[Array, "target node"]] | None = eqx.field(default=None, kw_only=True)

    def now(self, t: Any) -> Any:
        """The time in ms, t after the start."""
        return single(self.clock + t)

    @property
    @abc.abstractmethod
    def late(self) -> tuple[str, ...]:
        """The couplings of which there are delayed sums."""

    @abc.abstractmethod
    def delayed(self, name: str, t: Any) -> Array:
        """Delayed sums at the time t since the start."""

    def remembered(self, t: Any) -> Float[Array, "row node"]:
        """Rows of memory at the time t within the step, by linear interpolation."""
        assert self.memory is not None
        return self.between(*self.memory, t)

    def between(self, before: Array, after: Array, t: Any) -> Array:
        """A value at the time t within the step, by linear interpolation between its two ends."""
        if isinstance(t, float | int) and t in (0, self.dt):  # our solvers' own stage times: nothing to interpolate
            return before if t == 0 else after
        return before + (t / self.dt) * (after - before)


class Afferent(AbstractAfferent):
    """What is known of one step: the delayed sums at both ends, linear between them."""

    before: dict[str, Float[Array, "feature *hearer"]]
    after: dict[str, Float[Array, "feature *hearer"]]

    @property
    def late(self) -> tuple[str, ...]:
        return tuple(self.before)

    def delayed(self, name: str, t: Any) -> Array:
        return self.between(self.before[name], self.after[name], t)


class AfferentPath(AbstractAfferent):
    """What is known of several steps: `sums` from two steps before on, a cubic through the four latest that are known.

    The end of t's step is the last of them, wherever the window ends: its length changes nothing.
    """

    sums: dict[str, Float[Array, "step feature *hearer"]]

    @property
    def late(self) -> tuple[str, ...]:
        return tuple(self.sums)

    def delayed(self, name: str, t: Any) -> Array:
        rows = self.sums[name]
        place = t / self.dt + 2
        first = jnp.clip(jnp.floor(place).astype(int) - 2, 0, len(rows) - 4)
        shares = jnp.stack(cubic(place - first)).astype(rows.dtype)
        return jnp.einsum("s,s...->...", shares, jax.lax.dynamic_slice_in_dim(rows, first, 4))


def prepared(weights: Matrix | Sparse) -> Product:
    """Weights for `sent @ weights`, laid out once for the many steps of a run.

    Example:
        >>> (jnp.ones((1, 84)) @ prepared(jnp.ones((84, 84)))).shape
        (1, 84)
    """
    return weights.product if isinstance(weights, Sparse) else Product.of(weights)
