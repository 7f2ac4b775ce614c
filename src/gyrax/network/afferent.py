"""What reaches a network within a step: delayed sums, weights that act at once, what remembers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Features, Matrix
from ..anatomy.sparse import Sparse, SparseSum
from ..delays import cubic


class Afferent(eqx.Module):
    """What is known of a step before it is taken: its time, and the delayed sums at both ends.

    The engine passes it as `args` to the terms. `instant` holds the weights that act without delay, as `prepared`, and
    `memory` the rows of
    what remembers at both ends. The solver's own time runs from 0 to dt within the step: absolute float32
    times lose their digits in long runs.
    """

    time: Float[Array, ""] | float
    dt: float = eqx.field(static=True)
    before: dict[str, Float[Array, "*step feature region"]]
    after: dict[str, Float[Array, "*step feature region"]]
    instant: dict[str, Float[Array, "source padded_target"] | SparseSum]
    degree: dict[str, Float[Array, " _"]]
    memory: tuple[Float[Array, "row node"], Float[Array, "row node"]] | None = None

    def remembered(self, t: Any) -> Float[Array, "row node"]:
        """Rows of memory at the time t within the step, by linear interpolation."""
        assert self.memory is not None
        return self._between(*self.memory, t)

    def delayed(self, name: str, t: Any) -> Features:
        """Delayed sums at the time t within the step, by linear interpolation."""
        return self._between(self.before[name], self.after[name], t)

    def _between(self, before: Array, after: Array, t: Any) -> Array:
        if isinstance(t, float | int) and t in (0, self.dt):  # our solvers' own stage times: nothing to interpolate
            return before if t == 0 else after
        return before + (t / self.dt) * (after - before)


class AfferentPath(Afferent):
    """The same for several steps at once: `before` holds the sums `(step, feature, node)` from two steps before on."""

    def delayed(self, name: str, t: Any) -> Features:
        """Delayed sums at the time t since the first step, by a cubic through the four latest that are known.

        The end of t's step is the last of them, wherever the window ends: its length changes nothing.
        """
        rows = self.before[name]
        place = t / self.dt + 2
        first = jnp.clip(jnp.floor(place).astype(int) - 2, 0, len(rows) - 4)
        shares = jnp.stack(cubic(place - first)).astype(rows.dtype)
        return jnp.einsum("s,s...->...", shares, jax.lax.dynamic_slice_in_dim(rows, first, 4))


def prepared(weights: Matrix | Sparse) -> Float[Array, "source padded_target"] | SparseSum:
    """Weights for `sent @ weights`: targets last and padded to whole vector registers, a third faster at 84 regions.

    Example:
        >>> prepared(jnp.ones((84, 84))).shape
        (84, 88)
    """
    if isinstance(weights, Sparse):
        return SparseSum(weights.lists.spread(weights.values), weights.lists)
    return jnp.pad(weights.T, ((0, 0), (0, -len(weights) % 8)))
