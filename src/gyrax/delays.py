"""Conduction delays: what every region hears during a window, read from the history in one go.

A window is at most as long as the shortest delay, so all its delayed input is known when it starts. Per pair of regions
one contiguous slice along time is read; the sum over sources runs in tiles small enough for XLA to fuse.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._types import Features, Matrix, Parameter, is_traced
from .connectome import Connectome
from .domains import Parametric, Positive, parameter

#: Numbers (sources x targets x window) up to which XLA's CPU backend fuses gather, product and sum (docs/design.md).
_TILE = 4096
_LONGEST_WINDOW = 64


class Delay(Parametric):
    """Conduction delays of tract length / speed, rounded to whole steps.

    Args:
        speed: conduction speed in mm/ms (= m/s).
        bounds: shortest and longest delay in ms that a run may meet. They fix array shapes, so they are static; left
            out, the network takes them from its connectome and this speed.

    Example:
        >>> Delay(speed=3.0)
        Delay(speed=3 mm/ms)
    """

    speed: Parameter = parameter(3.0, domain=Positive(), unit="mm/ms", doc="conduction speed")
    bounds: tuple[float, float] | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.speed.ndim:
            raise ValueError(f"speed is one number in mm/ms, got shape {self.speed.shape}")
        if not is_traced(self.speed) and not self.speed > 0:
            raise ValueError(f"speed is a positive number in mm/ms, got {float(self.speed)}")
        if self.bounds is not None and not 0 <= self.bounds[0] <= self.bounds[1] < math.inf:
            raise ValueError(f"bounds are (shortest, longest) delay in ms, got {self.bounds}")

    def bounded(self, connectome: Connectome, weights: Matrix) -> "Delay":
        """This delay with the bounds that the connectome gives it, where none were given."""
        if self.bounds is not None:
            return self
        if is_traced(weights, connectome.lengths, self.speed):
            raise ValueError("inside jit, a Delay needs its bounds in ms: Delay(speed, bounds=(shortest, longest))")
        delays = _milliseconds(connectome, self.speed)[np.asarray(weights) != 0]
        bounds = (float(delays.min()), float(delays.max())) if delays.size else (0.0, 0.0)
        return Delay(self.speed, bounds)

    def window(self, dt: float) -> int:
        """Steps of delayed input that can be read at once: the shortest delay that can come of rounding."""
        assert self.bounds is not None
        shortest = self.bounds[0] / dt
        return min(max(math.ceil(shortest - 0.5 - _slack(shortest)), 0), _LONGEST_WINDOW)

    def depth(self, dt: float) -> int:
        """Samples of history to keep, the present one included."""
        assert self.bounds is not None
        longest = self.bounds[1] / dt
        return math.floor(longest + 0.5 + _slack(longest)) + 1

    def steps(self, lengths: Matrix, dt: float) -> Int[Array, "node node"]:
        """Delays in whole steps."""
        return jnp.round(lengths / self.speed / dt).astype(int)

    def instant(self, connectome: Connectome, weights: Matrix, dt: float) -> Matrix:
        """The weights of connections whose delay rounds to no step at all."""
        assert connectome.lengths is not None
        return jnp.where(self.steps(connectome.lengths, dt) == 0, weights, 0.0)

    def check(self, connectome: Connectome, weights: Matrix) -> Matrix:
        """The weights, after a check that every connection's delay lies within the bounds.

        Raises:
            ValueError: naming the pair of regions and the delay (inside jit: a runtime error, without the names).
        """
        assert self.bounds is not None
        low, high = (b * (1 + s) for b, s in zip(self.bounds, (-1e-5, 1e-5), strict=True))
        if is_traced(weights, connectome.lengths, self.speed):
            assert connectome.lengths is not None
            delays = connectome.lengths / self.speed
            outside = (weights != 0) & ((delays < low) | (delays > high))
            return eqx.error_if(weights, outside.any(), f"a conduction delay left its bounds {self.bounds} ms")
        delays = _milliseconds(connectome, self.speed)
        outside = (np.asarray(weights) != 0) & ((delays < low) | (delays > high))
        if outside.any():
            i, j = np.argwhere(outside)[0]
            raise ValueError(
                f"the delay from {connectome.labels[j]} to {connectome.labels[i]} is {delays[i, j]:.4g} ms, outside of the "
                f"bounds {self.bounds} ms that this network was built with: build it anew, or with Delay(speed, bounds=...)"
            )
        return weights


def _milliseconds(connectome: Connectome, speed: Any) -> np.ndarray:
    return np.asarray(connectome.lengths, float) / float(speed)


def _slack(steps: float) -> float:
    """Room for float32 rounding of length / speed / dt at a tie."""
    return 1e-5 + 1e-6 * steps


class DelayedSum(eqx.Module):
    """The weighted sum over sources of a history, for a whole window at once. Prepared once a run.

    The history is `(node, depth * feature)`, oldest first: a slice over time is contiguous whatever the number of features.
    """

    first: Int[Array, "target_tile source_tile source target"]
    weights: Float[Array, "target_tile source_tile source target"]
    nodes: int = eqx.field(static=True)
    features: int = eqx.field(static=True)
    window: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)

    @classmethod
    def prepare(
        cls, weights: Matrix, lengths: Matrix, delay: Delay, *, dt: float, window: int, features: int
    ) -> "DelayedSum":
        """Tiles of weights and of slice starts for windows of `window` steps (at most `delay.window(dt)`)."""
        nodes, depth = len(weights), delay.depth(dt)
        steps = delay.steps(lengths, dt)
        weights = jnp.where(steps == 0, 0.0, weights)  # heard at once, not through the history
        # A pair without weight may be given any delay; one that fits makes the gradient of its weight right.
        steps = jnp.where(weights != 0, steps, jnp.clip(steps, window, depth - 1))
        sources, targets = _tile_shape(nodes, (window + 1) * features)
        tile = lambda matrix: _tiles(matrix, sources, targets)  # noqa: E731
        return cls(tile((depth - 1 - steps) * features), tile(weights), nodes, features, window, depth)

    def read(self, history: Float[Array, "node samples"]) -> Float[Array, "time feature node"]:
        """Delayed input on the window's grid points, both ends included: `(window + 1, feature, node)`."""
        n_source_tiles, sources, targets = self.first.shape[1:]
        length = (self.window + 1) * self.features
        padding = n_source_tiles * sources - self.nodes
        rows = jnp.pad(history, ((0, padding), (0, 0))).reshape(n_source_tiles, sources, -1)

        def slices(row, firsts):
            return jax.vmap(lambda first: jax.lax.dynamic_slice(row, (first,), (length,)))(firsts)

        def source_tile(total, tile):
            rows, first, weights = tile
            return total + jnp.sum(weights[:, :, None] * jax.vmap(slices)(rows, first), 0), None

        def target_tile(_, tile):
            zero = jnp.zeros((targets, length), history.dtype)
            return None, jax.lax.scan(source_tile, zero, (rows, *tile))[0]

        total = jax.lax.scan(target_tile, None, (self.first, self.weights))[1]
        total = total.reshape(-1, self.window + 1, self.features)[: self.nodes]
        return total.transpose(1, 2, 0)

    def push(
        self, history: Float[Array, "node samples"], sent: Float[Array, "step feature node"]
    ) -> Float[Array, "node samples"]:
        """The history after a window in which the regions sent `sent`."""
        new = sent.transpose(2, 0, 1).reshape(self.nodes, -1)
        return jnp.concatenate([history, new], axis=1)[:, new.shape[1] :]

    def constant(self, sent: Features) -> Float[Array, "node samples"]:
        """A history in which the regions have always sent the same."""
        return jnp.tile(sent.T, (1, self.depth))


def _tile_shape(nodes: int, length: int) -> tuple[int, int]:
    """Sources and targets a tile: two sources at least, padding as small as it can be."""
    targets = min(nodes, max(1, _TILE // (2 * length)))
    targets = math.ceil(nodes / math.ceil(nodes / targets))
    sources = min(nodes, max(2, _TILE // (targets * length)))
    return math.ceil(nodes / math.ceil(nodes / sources)), targets


def _tiles(matrix: Array, sources: int, targets: int) -> Array:
    """`(target, source)` to `(target tile, source tile, source, target)`, padded with zeros."""
    n_targets, n_sources = (math.ceil(len(matrix) / size) for size in (targets, sources))
    padding = ((0, n_targets * targets - len(matrix)), (0, n_sources * sources - len(matrix)))
    tiles = jnp.pad(matrix, padding).reshape(n_targets, targets, n_sources, sources)
    return tiles.transpose(0, 2, 3, 1)
