"""A stretch of a run as a monitor sees it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._types import Sources


class Window(eqx.Module):
    """A stretch of a run as a monitor sees it: some whole strides, or a piece of one; a stride never straddles two.

    Attributes:
        path: the monitor's sources at the beginning of every step, `(step, source, node)`; of states of connections `(step, source, place, list)`.
        end: the sources at the end of the last, `(source, node)`.
        step: steps by the end of the window, counted so that strides and periods end at their multiples.
        number: the same since the first run began, whenever the monitor joined; it tells the noise of samples apart.
        key: of the monitor's own noise; None if the run has none.
        dt: ms.
        stride: steps of one of the monitor's strides.
        held: whether a source has the value `path` says throughout the step, as averages do; `end` is the last of them.
    """

    path: Float[Array, "step source *node"]
    end: Float[Array, "source *node"]
    step: Int[Array, ""] | int
    number: Int[Array, ""] | int
    key: Any
    dt: float = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    held: bool = eqx.field(static=True, default=False)

    @property
    def values(self) -> Float[Array, "step source *node"]:
        """The sources at the end of every step."""
        return self.path if self.held else jnp.concatenate([self.path[1:], self.end[None]])

    @property
    def ends(self) -> Bool[Array, ""] | bool:
        """Whether a stride ends with this window."""
        return self.step % self.stride == 0

    @property
    def whole(self) -> int:
        """Number of whole strides in this window, 0 if it is a piece of one."""
        return len(self.path) // self.stride if len(self.path) % self.stride == 0 else 0

    @property
    def last(self) -> Float[Array, "stride source *node"]:
        """The sources at the end of every stride (of a piece: at its own end)."""
        if self.held:
            return self.path[self.stride - 1 :: self.stride] if self.whole else self.path[-1:]
        return jnp.concatenate([self._first[1:], self.end[None]])

    @property
    def _first(self) -> Float[Array, "stride source *node"]:
        return self.path[:: self.stride] if self.whole else self.path[:1]

    def totals(self, carried: Any, increments: Float[Array, "step ..."]) -> tuple[Any, Float[Array, "stride ..."]]:
        """Sums over strides of a value a step.

        Args:
            carried: the sum so far of a stride that began in an earlier window, zeros otherwise.
            increments: `(step, ...)`.

        Returns:
            What to carry on, and a total for each stride that ends here. A piece gives one: meaningful if `ends`.
        """
        return self._add(carried, self._sums(increments))

    def averages(self, carried: Any) -> tuple[Any, Float[Array, "stride source node"]]:
        """Time averages of the sources over strides, by the trapezoidal rule: exact for a ramp.

        Args:
            carried: what an earlier window carried on, `(2, source, node)`; at first `nothing`.
        """
        if jnp.ndim(carried) != self.path.ndim:
            raise ValueError(f"averages carry Window.nothing(x), (2, source, node), got shape {jnp.shape(carried)}")
        sums = self._sums(self.path)
        if not self.held:
            sums = sums + 0.5 * (self.last - self._first)
        if self.whole:
            return carried, sums / self.stride
        # A sum and what rounding has kept from it (Kahan 1965): of an hour of steps, a plain one in float32 is wrong by 1e-3.
        before, lost = carried
        fresh = sums[0] - lost
        total = before + fresh
        kept = jnp.stack([total, (total - before) - fresh])
        return jnp.where(self.ends, jnp.zeros_like(kept), kept), total[None] / self.stride

    @staticmethod
    def nothing(x: Sources) -> Float[Array, "2 source node"]:
        """What averages of sources such as these carry before the first window."""
        return jnp.zeros((2, *x.shape), x.dtype)

    def normals(self, *shape: int) -> Float[Array, "stride ..."]:
        """Standard normals for the sample of each stride; the same wherever runs and windows are cut.

        Raises:
            ValueError: if the run was given no key.
        """
        if self.key is None:
            raise ValueError("this monitor draws noise: give simulate a key=jax.random.key(0)")
        samples = max(1, self.whole)
        numbers = self.number - (len(self.path) // samples) * jnp.arange(samples)[::-1]
        dtype = self.path.dtype
        return jax.vmap(lambda n: jax.random.normal(jax.random.fold_in(self.key, n), shape, dtype))(numbers)

    def _sums(self, increments: Float[Array, "step ..."]) -> Float[Array, "stride ..."]:
        # Products with ones: XLA's CPU backend is many times slower at sums over a leading axis.
        strides = increments.reshape(max(1, self.whole), -1, *increments.shape[1:])
        return jnp.einsum("s,ks...->k...", jnp.ones(strides.shape[1], increments.dtype), strides)

    def _add(self, carried: Any, sums: Float[Array, "stride ..."]) -> tuple[Any, Float[Array, "stride ..."]]:
        if self.whole:
            return carried, sums
        total = carried + sums[0]
        return jnp.where(self.ends, jnp.zeros_like(total), total), total[None]
