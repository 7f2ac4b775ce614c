"""What every region hears during a window, read from the history in one go.

A window is at most as long as the delays it reads, so all its delayed input is known when it starts. Per connection one
contiguous slice along time is read. Its transpose, which the gradient needs, is the same read of cotangents to come.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

#: Numbers (sources x targets x window) up to which XLA's CPU backend fuses gather, product and sum (docs/design.md).
_TILE = 4096
#: Numbers a slice from which on plain sums over all targets are faster than tiles.
_LONG_SLICE = 256
#: Share of all regions that lists hear from which on neighbours in them are neighbours in the buffer.
_FEW = 0.5
_LONGEST_WINDOW = 64
#: Columns behind the end of a buffer, which a padded slice may touch.
SLACK = 8


def windows(fewest: Int[np.ndarray, "target source"], connected: Bool[np.ndarray, "target source"]) -> int:
    """The length of window that reads fastest, given the fewest steps back of every connection.

    Connections shorter than the window are read in shorter windows within it. The costs (ns for a connection and window,
    and for each number of it) were measured; they decide about speed alone.

    Example:
        >>> windows(np.array([[0, 40], [40, 0]]), np.array([[False, True], [True, False]]))
        32
    """
    if not connected.any():
        return _LONGEST_WINDOW

    def cost(window: int) -> float:
        long = connected & (fewest >= window)
        inner = inner_window(fewest, connected, window)
        padded = lambda mask: mask.shape[0] * int(mask.sum(1).max())  # noqa: E731
        return padded(long) * (0.9 / window + 0.05) + padded(connected & ~long) * (0.9 / inner + 0.1) + 500 / inner

    return min((2**k for k in range(7)), key=cost)


def inner_window(fewest: np.ndarray, connected: np.ndarray, window: int) -> int:
    """Length of the windows within one of `window` steps, at which the connections shorter than it are read."""
    short = fewest[connected & (fewest < window)]
    limit = max(int(short.min()), 1) if short.size else window
    return max(k for k in range(1, window + 1) if window % k == 0 and k <= limit)


class Pairs:
    """Connections as lists of equal length, one a receiver: who is heard, and which entries are there only to fill up.

    Static. `receiver` axis 0 for regions that hear (forward), 1 for those that are heard (the transpose).
    """

    def __init__(self, connected: np.ndarray, axis: int):
        self.axis = axis
        mask = connected if axis == 0 else connected.T
        n, length = len(mask), max(int(mask.sum(1).max(initial=0)), 1)
        heard = np.argsort(~mask, axis=1, kind="stable")[:, :length]
        self.valid = np.take_along_axis(mask, heard, 1)
        # What fills up repeats the last, so that neighbours in a list are neighbours in the buffer.
        last = np.take_along_axis(heard, np.maximum(self.valid.sum(1, keepdims=True) - 1, 0), 1)
        self.heard = np.where(self.valid, heard, last)
        self.receivers = np.broadcast_to(np.arange(n)[:, None], self.heard.shape)

    def take(self, matrix: Array) -> Array:
        """Entries `(receiver, place)` of a `(target, source)` matrix, zero where there is no connection."""
        pair = (self.receivers, self.heard) if self.axis == 0 else (self.heard, self.receivers)
        return jnp.where(self.valid, matrix[pair], 0)


class WindowedSum(eqx.Module):
    """Weighted sums over connections of slices of a buffer `(node, columns * feature [* batch])`.

    Forward, a connection of k steps reads the columns k back; transposed, those k ahead. With interpolation it reads two
    samples next to each other, each with its share of the weight.
    """

    first: Int[Array, "target_tile source_tile"]
    starts: Int[Array, "target_tile source_tile source target"]
    weights: tuple[Float[Array, "target_tile source_tile source target *batch"], ...]
    pairs: Pairs = eqx.field(static=True)
    window: int = eqx.field(static=True)
    features: int = eqx.field(static=True)
    batch: int | None = eqx.field(static=True)
    span: int | None = eqx.field(static=True)

    @classmethod
    def prepare(
        cls,
        connected: np.ndarray,
        steps: Int[Array, "target source"],
        weights: tuple[Array, ...],
        *,
        transposed: bool,
        window: int,
        features: int,
        columns: int,
        depth: int,
        batch: int | None,
    ) -> "WindowedSum":
        """Args: `weights` are those of the sample `steps` back, and of the ones before it; `(target, source[, batch])`."""
        pairs = Pairs(connected, int(transposed))
        k = jnp.clip(pairs.take(steps), 0, depth - len(weights))
        shape = _tile_shape(len(pairs.heard), pairs.heard.shape[1], _padded(window) * features * (batch or 1))
        heard = _tiles(pairs.heard, *shape)
        first, span = heard.min((2, 3)), None
        if shape[0] == 1:
            first = np.zeros_like(first)
        else:
            span = int((heard.max((2, 3)) - first).max()) + 1
            first = np.minimum(first, len(pairs.heard) - span)
        starts = (heard - first[:, :, None, None]) * columns + _tiles(k if transposed else depth - k, *shape)
        entries = [pairs.take(w) if w.ndim == 2 else jax.vmap(pairs.take, in_axes=-1, out_axes=-1)(w) for w in weights]
        tiled = tuple(_tiles(w, *shape) for w in entries)
        return cls(jnp.asarray(first), starts, tiled, pairs, window, features, batch, span)

    @property
    def _unit(self) -> int:
        return self.features * (self.batch or 1)

    def _near(self, buffer: Array, first: Any) -> Array:
        """The rows a tile reads. XLA takes a fusion that may read much for one that does, and would split every tile."""
        if self.span is None:
            return buffer.reshape(-1)
        return jax.lax.dynamic_slice_in_dim(buffer, first, self.span).reshape(-1)

    def _slices(self, buffer: Array, starts: Array, tap: int, length: int) -> Array:
        """`(*starts, length * unit)`; the shift of an interpolation's second sample is one column."""
        shift = tap if self.pairs.axis else -tap
        cut = lambda start: jax.lax.dynamic_slice(buffer, ((start + shift) * self._unit,), (length * self._unit,))  # noqa: E731
        for _ in starts.shape:
            cut = jax.vmap(cut)
        return cut(starts)

    def _weigh(self, weights: Array, slices: Array) -> Array:
        if weights.ndim < slices.ndim:
            return weights[..., None] * slices
        apart = slices.reshape(*slices.shape[:-1], -1, self.batch)
        return (weights[..., None, :] * apart).reshape(slices.shape)

    def read(self, buffer: Float[Array, "node samples *batch"], at: Any) -> Float[Array, "time feature node *batch"]:
        """Sums for a window that starts `at` columns after the buffer's first window."""
        # Tiles suit XLA's CPU backend; elsewhere a kernel for each would cost more than it does.
        by_tiles, at_once = (
            lambda *args, f=f: f(*args) for f in (self._by_tiles, self._at_once)
        )  # methods have no hash
        total = jax.lax.platform_dependent(buffer, at, cpu=by_tiles, default=at_once)
        total = total.reshape(-1, _padded(self.window), self.features, *buffer.shape[2:])
        return jnp.moveaxis(total[: len(self.pairs.heard), : self.window], 0, 2)

    def _by_tiles(self, buffer: Array, at: Any) -> Array:
        """`(target tile, target, time * unit)`."""
        padded = _padded(self.window)
        targets, alone = self.starts.shape[3], self.starts.shape[2] == 1

        def source_tile(total, tile):
            first, starts, weights = tile
            flat = self._near(buffer, first)
            for tap, w in enumerate(weights):
                part = self._weigh(w, self._slices(flat, starts + at, tap, padded))
                total = total + (part[0] if alone else jnp.sum(part, 0))
            return total, None

        def target_tile(_, tile):
            blank = jnp.zeros((targets, padded * self._unit), buffer.dtype)
            return None, jax.lax.scan(source_tile, blank, tile)[0]

        return jax.lax.scan(target_tile, None, (self.first, self.starts, self.weights))[1]

    def _at_once(self, buffer: Array, at: Any) -> Array:
        """The same as one gather."""
        flat, starts = buffer.reshape(-1), self._from_the_first_row(buffer) + at
        parts = [
            self._weigh(w, self._slices(flat, starts, tap, _padded(self.window))).sum((1, 2))
            for tap, w in enumerate(self.weights)
        ]
        return sum(parts[1:], parts[0])

    def _from_the_first_row(self, buffer: Array) -> Array:
        """Starts in the whole buffer, not from the first row that their tile reads."""
        return self.starts + self.first[:, :, None, None] * (buffer.shape[1] // self.features)

    def correlate(
        self, buffer: Float[Array, "node samples *batch"], heard: Float[Array, "time feature node *batch"]
    ) -> tuple[Float[Array, "target_tile source_tile source target *batch"], ...]:
        """Gradient of the weights: sums over time and features of what each connection carried times `heard`'s cotangent."""
        length = len(heard)
        n_tiles, targets = self.starts.shape[0], self.starts.shape[3]
        q = jnp.moveaxis(heard, 2, 0)
        q = jnp.pad(q, ((0, n_tiles * targets - len(q)), *((0, 0),) * (q.ndim - 1))).reshape(n_tiles, targets, -1)

        by_source = lambda q, buffer: self._correlate_sources(q, buffer, length)  # noqa: E731
        at_once = lambda q, buffer: self._correlate_at_once(q, buffer, length)  # noqa: E731
        return jax.lax.platform_dependent(q, buffer, cpu=by_source, default=at_once)

    def _correlate_sources(self, q: Array, buffer: Array, length: int) -> tuple[Array, ...]:
        """One source at a time: product and sum fuse."""
        targets = self.starts.shape[3]

        def target_tile(_, x):
            first, starts, q = x

            def source(_, x):
                first, starts = x
                flat = self._near(buffer, first)
                slices = (self._slices(flat, starts[None], tap, length)[0] for tap in range(len(self.weights)))
                return None, tuple(self._over_time(x * q) for x in slices)

            places = starts.reshape(-1, targets)
            firsts = jnp.repeat(first, starts.shape[1])
            found = jax.lax.scan(source, None, (firsts, places))[1]
            return None, tuple(x.reshape(*starts.shape, *x.shape[2:]) for x in found)

        return jax.lax.scan(target_tile, None, (self.first, self.starts, q))[1]

    def _correlate_at_once(self, q: Array, buffer: Array, length: int) -> tuple[Array, ...]:
        flat, starts = buffer.reshape(-1), self._from_the_first_row(buffer)
        slices = (self._slices(flat, starts, tap, length) for tap in range(len(self.weights)))
        return tuple(self._over_time(x * q[:, None, None]) for x in slices)

    def _over_time(self, product: Array) -> Array:
        apart = product if self.batch is None else product.reshape(*product.shape[:-1], -1, self.batch)
        return apart.sum(product.ndim - 1)


def _padded(window: int) -> int:
    """Slices of whole vectors read two to three times faster; what is too much is thrown away."""
    return window if window <= 2 else 4 if window <= 4 else -(-window // SLACK) * SLACK


def _tile_shape(receivers: int, places: int, length: int) -> tuple[int, int]:
    """Sources and targets a tile: two sources at least, padding as small as it can be.

    Long slices go source by source, and so do lists that jump about in a large buffer: both cores then wait for memory.
    """
    jumping = places <= _FEW * receivers and receivers * length >= _TILE
    if length >= _LONG_SLICE or jumping:
        return 1, receivers
    targets = min(receivers, max(1, _TILE // (2 * length)))
    targets = math.ceil(receivers / math.ceil(receivers / targets))
    sources = min(places, max(2, _TILE // (targets * length)))
    return math.ceil(places / math.ceil(places / sources)), targets


def _tiles(entries: Any, sources: int, targets: int) -> Any:
    """`(receiver, place, ...)` to `(target tile, source tile, source, target, ...)`, padded; NumPy stays NumPy."""
    n_targets, n_sources = math.ceil(entries.shape[0] / targets), math.ceil(entries.shape[1] / sources)
    pad = ((0, n_targets * targets - entries.shape[0]), (0, n_sources * sources - entries.shape[1]))
    rest = entries.shape[2:]
    xp: Any = np if isinstance(entries, np.ndarray) else jnp
    mode = "edge" if xp is np else "constant"
    tiles = xp.pad(entries, (*pad, *((0, 0),) * len(rest)), mode=mode).reshape(
        n_targets, targets, n_sources, sources, *rest
    )
    return xp.moveaxis(tiles, 1, 3)
