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
from jaxtyping import Array, Bool, Float, Int, UInt

from ..anatomy.edges import Edges

#: Sources whose slices are added up in one kernel, for all targets (docs/design.md).
_TOGETHER = 8
_LONGEST_WINDOW = 64
#: Fewest whole steps back of every connection, and which connections there are, `(target, source)`.
Lags = tuple[np.ndarray, np.ndarray]
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

    def padded(mask: np.ndarray) -> int:  # connections, with what fills lists up to equal length
        return mask.shape[0] * int(mask.sum(1).max())

    def cost(window: int) -> float:
        long = connected & (fewest >= window)
        inner = inner_window(fewest, connected, window)
        return padded(long) * (0.9 / window + 0.05) + padded(connected & ~long) * (0.9 / inner + 0.1) + 500 / inner

    return min((2**k for k in range(_LONGEST_WINDOW.bit_length())), key=cost)


def stacked(lags: dict[str, Lags]) -> tuple[np.ndarray, np.ndarray]:
    """The connections of all couplings below each other; those of couplings that share a delay once."""
    different = {(fewest.tobytes(), connected.tobytes()): (fewest, connected) for fewest, connected in lags.values()}
    fewest, connected = zip(*different.values(), strict=True)
    return np.concatenate(fewest), np.concatenate(connected)


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

    starts: Int[Array, "group source target"]
    weights: tuple[Float[Array, "group source target *batch"], ...]
    pairs: Pairs = eqx.field(static=True)
    window: int = eqx.field(static=True)
    features: int = eqx.field(static=True)
    batch: int | None = eqx.field(static=True)

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
        starts = pairs.heard * columns + (k if transposed else depth - k)
        entries = (pairs.take(w) if w.ndim == 2 else jax.vmap(pairs.take, in_axes=-1, out_axes=-1)(w) for w in weights)
        grouped = tuple(_groups(w) for w in entries)
        return cls(_groups(starts, "edge"), grouped, pairs, window, features, batch)

    @property
    def _unit(self) -> int:
        return self.features * (self.batch or 1)

    def _slices(self, buffer: Array, starts: Array, tap: int, length: int) -> Array:
        """`(*starts, length * unit)`; the shift of an interpolation's second sample is one column."""
        shift = tap if self.pairs.axis else -tap

        def cut(start):
            return jax.lax.dynamic_slice(buffer, ((start + shift) * self._unit,), (length * self._unit,))

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
        # XLA's CPU backend makes one kernel of a group; elsewhere kernels would cost more than what they do.
        by_group, at_once = (
            lambda *args, f=f: f(*args) for f in (self._by_group, self._at_once)
        )  # methods have no hash
        total = jax.lax.platform_dependent(buffer, at, cpu=by_group, default=at_once)
        total = total.reshape(-1, _padded(self.window), self.features, *buffer.shape[2:])
        return jnp.moveaxis(total[:, : self.window], 0, 2)

    def _by_group(self, buffer: Array, at: Any) -> Array:
        """`(target, time * unit)`."""
        flat, padded = buffer.reshape(-1), _padded(self.window)

        def group(total, x):
            starts, weights = x
            for tap, w in enumerate(weights):
                for source in range(len(starts)):
                    total = total + self._weigh(w[source], self._slices(flat, starts[source] + at, tap, padded))
            return total, None

        blank = jnp.zeros((self.starts.shape[2], padded * self._unit), buffer.dtype)
        return jax.lax.scan(group, blank, (self.starts, self.weights))[0]

    def _at_once(self, buffer: Array, at: Any) -> Array:
        """The same as one gather."""
        flat, padded = buffer.reshape(-1), _padded(self.window)
        slices = (self._slices(flat, self.starts + at, tap, padded) for tap in range(len(self.weights)))
        parts = [self._weigh(w, x).sum((0, 1)) for w, x in zip(self.weights, slices, strict=True)]
        return sum(parts[1:], parts[0])

    def correlate(
        self, buffer: Float[Array, "node samples *batch"], heard: Float[Array, "time feature node *batch"]
    ) -> tuple[Float[Array, "group source target *batch"], ...]:
        """Gradient of the weights: sums over time and features of what each connection carried times `heard`'s cotangent."""
        length, q = len(heard), jnp.moveaxis(heard, 2, 0).reshape(heard.shape[2], -1)
        by_source, at_once = (
            lambda *args, f=f: f(*args, length) for f in (self._correlate_places, self._correlate_at_once)
        )
        return jax.lax.platform_dependent(q, buffer, cpu=by_source, default=at_once)

    def _correlate_places(self, q: Array, buffer: Array, length: int) -> tuple[Array, ...]:
        """One place of the lists at a time, another source for each target: product and sum fuse."""
        flat = buffer.reshape(-1)

        def source(_, starts):
            slices = (self._slices(flat, starts, tap, length) for tap in range(len(self.weights)))
            return None, tuple(self._summed(x * q) for x in slices)

        found = jax.lax.scan(source, None, self.starts.reshape(-1, len(q)))[1]
        return tuple(x.reshape(*self.starts.shape, *x.shape[2:]) for x in found)

    def _correlate_at_once(self, q: Array, buffer: Array, length: int) -> tuple[Array, ...]:
        flat = buffer.reshape(-1)
        slices = (self._slices(flat, self.starts, tap, length) for tap in range(len(self.weights)))
        return tuple(self._summed(x * q) for x in slices)

    def _summed(self, product: Array) -> Array:
        apart = product if self.batch is None else product.reshape(*product.shape[:-1], -1, self.batch)
        return apart.sum(product.ndim - 1)


class Arrivals(eqx.Module):
    """What arrives along each connection of a coupling of pairs, one step at a time.

    Nothing is summed, so that nothing is won by reading several steps at once: one gather a step takes as long as contiguous slices, keeps
    nothing, and its transpose is a scatter into what was sent.

    Attributes:
        starts: where in the buffer of what was sent, one column after another, stands what arrives after step 0.
        shares: of that sample, and of those before it.
        features: rows that are sent.
    """

    starts: Int[Array, "place list"]
    shares: tuple[Float[Array, "place list *batch"], ...]
    features: int = eqx.field(static=True)

    @classmethod
    def prepare(
        cls,
        edges: Edges,
        steps: Int[Array, "place list"],
        shares: tuple[Array, ...],
        features: int,
        columns: int,
        depth: int,
    ) -> "Arrivals":
        """Args: as `WindowedSum.prepare`; of one value a connection."""
        back = jnp.clip(steps, 0, depth - len(shares))
        return cls(jnp.asarray(edges.heard * columns + depth) - back, shares, features)

    def _places(self, at: Any, tap: int) -> UInt[Array, "feature place list"]:
        """Where each number stands: one by one, for XLA's CPU backend is ten times slower at gathers of slices."""
        columns = jax.lax.optimization_barrier(self.starts + (at - tap))
        places = columns * self.features + jnp.arange(self.features)[:, None, None]
        return places.astype(jnp.uint32)  # of which none is negative, and counts from the end

    def _weighed(
        self, share: Array, x: Float[Array, "feature place list *batch"]
    ) -> Float[Array, "feature place list *batch"]:
        return (share if share.ndim == x.ndim - 1 else share[..., None]) * x

    def _heard(self, buffer: Array, at: Any, tap: int) -> Float[Array, "feature place list *batch"]:
        return buffer.reshape(-1, *buffer.shape[2:]).at[self._places(at, tap)].get(mode="promise_in_bounds")

    def read(self, buffer: Float[Array, "node samples *batch"], at: Any) -> Float[Array, "feature place list *batch"]:
        """What arrives after the step `at` of a tick; -1 for when it begins."""
        parts = [self._weighed(share, self._heard(buffer, at, tap)) for tap, share in enumerate(self.shares)]
        return sum(parts[1:], parts[0])

    def back(
        self, sent: Float[Array, "node samples *batch"], at: Any, bar: Float[Array, "feature place list *batch"]
    ) -> Float[Array, "node samples *batch"]:
        """The cotangent of what was sent, with that of what arrived after the step `at`."""
        flat = sent.reshape(-1, *sent.shape[2:])
        for tap, share in enumerate(self.shares):
            flat = flat.at[self._places(at, tap)].add(self._weighed(share, bar), mode="promise_in_bounds")
        return flat.reshape(sent.shape)

    def carried(
        self, buffer: Float[Array, "node samples *batch"], at: Any, bar: Float[Array, "feature place list *batch"]
    ) -> tuple[Float[Array, "place list *batch"], ...]:
        """The cotangents of the shares, of what arrived after the step `at`."""
        return tuple((self._heard(buffer, at, tap) * bar).sum(0) for tap in range(len(self.shares)))


def _padded(window: int) -> int:
    """Slices of whole vectors read two to three times faster; what is too much is thrown away."""
    return window if window <= 2 else 4 if window <= 4 else -(-window // SLACK) * SLACK


def _groups(entries: Any, mode: Any = "constant") -> Any:
    """`(receiver, place, ...)` to `(group, source, receiver, ...)`, filled up to groups of equal length."""
    n, places = entries.shape[:2]
    count = math.ceil(places / _TOGETHER)
    together = math.ceil(places / count)
    entries = jnp.pad(entries, ((0, 0), (0, count * together - places), *((0, 0),) * (entries.ndim - 2)), mode=mode)
    return jnp.moveaxis(entries, 0, 1).reshape(count, together, n, *entries.shape[2:])
