"""States in which a network stands still."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from .._kinds import expect, random_key, reals, whole
from .._types import State
from ..labelled import LabelledArray, Names, check_same, known_names
from ..network.network import Network
from .slopes import absent, check_simple, flow
from .stability import modes
from .telling import count_of
from .within import beyond, limited, worst

#: Steps of the search, of which a few dozen are usual, and the ms from which on they are Newton's.
_MOST, _LONG = 300, 1e6
#: Of a step of Newton's, at most.
_HALVINGS = 12
#: By up to how many powers of ten some drawn starts lie nearer to where a run starts.
_NEARER = 0.5
#: Points that differ by less, in units of their largest value, are one.
_SAME = 1e-4


class FixedPoints(eqx.Module):
    """States in which a network stands still, those that most starts led to first. Made by `fixed_points`.

    Attributes:
        values: `(point, state, region)`.
        rates: of each point the largest real part of its modes' rates, per ms; negative where it is stable.
        found: how many searches led there, of two from each start: by the flow, and by Newton's method.
        lost: how many led nowhere.
        beyond: how many points were left out: they lie beyond the model's `limits`, where no run goes.
        missing: which states a region does not have, as it is of another group, `(state, region)`.
    """

    values: Float[np.ndarray, "point state node"]
    rates: Float[np.ndarray, " point"]
    found: Int[np.ndarray, " point"]
    lost: int = eqx.field(static=True)
    beyond: int = eqx.field(static=True)
    missing: Bool[np.ndarray, "state node"]
    states: Names = eqx.field(static=True)
    regions: Names = eqx.field(static=True)

    @property
    def stable(self) -> Bool[np.ndarray, " point"]:
        """Which of them a network comes back to."""
        return self.rates < 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index: int) -> LabelledArray:
        """One of the states, `(state, region)`."""
        return LabelledArray(self.values[index], (self.states, self.regions))

    def to_xarray(self) -> xr.Dataset:
        """All of it with labels; NaN where a region has no such state."""
        return xr.Dataset(
            {
                "value": (("point", "state", "region"), np.where(self.missing, np.nan, self.values)),
                "rate": ("point", self.rates, {"units": "1/ms"}),
                "stable": ("point", self.stable),
                "found": ("point", self.found),
            },
            coords={"state": list(self.states), "region": list(self.regions)},
        )

    def __repr__(self):
        lines = [f"{len(self)} fixed point{'s' * (len(self) != 1)} of {count_of(len(self.regions), 'region')}"]
        for values, rate, count in list(zip(self.values, self.rates, self.found, strict=True))[:8]:
            of = [own[~gone].mean() for own, gone in zip(values, self.missing, strict=True)]
            means = ", ".join(f"{name} {mean:.4g}" for name, mean in zip(self.states, of, strict=True))
            lines.append(
                f"  {'stable' if rate < 0 else 'unstable'}, found by {count_of(int(count), 'search', 'es')}: mean {means}"
            )
        lines += ["  ..."] * (len(self) > 8)
        if self.lost:
            lines.append(
                f"  {count_of(self.lost, 'search', 'es')} led nowhere, of two from each start: by the flow, and by Newton's method"
            )
        if self.beyond:
            lines.append(
                f"  {self.beyond} more left out, beyond the model's limits, where no run goes; states held at a limit are not looked for"
            )
        return "\n".join(lines)


def fixed_points(network: Network, starts: Any = 32, *, key: Any = None) -> FixedPoints:
    """States in which a network stands still, and whether it comes back to them; noise is left out.

    From each start by the flow, as a run would come to rest, and by Newton's method, which finds unstable ones too and often leads nowhere.
    Delays do not move fixed points, but decide whether they are stable. Not all need be found: give more starts, or your own.
    What lies beyond the model's `limits` is left out, and counted: no run goes there. A run may rest held at a limit; that is no fixed point.

    Args:
        network: without a stimulus.
        starts: from where they are looked for: states `(start, state, region)`; or how many to draw. One is where a run starts; of the
            others, half lie around it alike in all regions, by up to ten times its size (or 1 where that is more), half differ by region;
            all within the model's `limits`.
        key: of the draws; left out, key 0.

    Raises:
        ValueError: for a stimulus, states of another shape or other regions, or if no start led anywhere, or only beyond the model's limits.

    Example:
        >>> import gyrax as gx
        >>> alone = gx.Network(gx.models.WongWang(w=1.1, I_o=0.31), gx.couplings.Linear(source="S"), np.zeros((1, 1)))
        >>> found = fixed_points(alone, np.linspace(0, 1, 11).reshape(-1, 1, 1))
        >>> sorted(found.values.ravel().round(2).tolist()), sorted(found.stable.tolist())
        ([0.06, 0.4, 0.58], [False, True, True])
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    check_simple(network)
    if isinstance(starts, int | np.integer) and not isinstance(starts, bool):
        several = _drawn(network, whole("starts", starts), jax.random.key(0) if key is None else random_key("key", key))
    else:
        several = _given(network, starts)
    found, settled = _rests(network, several)
    found, settled = np.asarray(found, float), np.asarray(settled)
    points: list[np.ndarray] = []
    counts: list[int] = []
    for state in found[settled]:
        size = 1e-3 + np.abs(state).max(1, keepdims=True)
        same = [i for i, other in enumerate(points) if (np.abs(state - other) < _SAME * size).all()]
        if same:
            counts[same[0]] += 1
        else:
            points.append(state)
            counts.append(1)
    if not points:
        at_limits = "; a run may be held at the model's limits, which is not looked for" if limited(network) else ""
        raise ValueError(
            f"of {count_of(len(several), 'start')} none led to a state in which the network stands still: it may have none, as phase "
            f"oscillators do; or give starts nearer to one{at_limits}"
        )
    inside = [not np.asarray(beyond(network, point)).any() for point in points]
    if not any(inside):
        raise ValueError(
            f"the network stands still beyond the model's limits alone: {worst(network, points[0])}. Give starts nearer to a fixed point within "
            "them; states held at a limit are not looked for"
        )
    order = [i for i in np.argsort([-count for count in counts], kind="stable") if inside[i]]
    values = np.stack([points[i] for i in order])
    rates = np.array([modes(network, state, 1).rates[0].real for state in values])
    return FixedPoints(
        values,
        rates,
        np.array(counts)[order],
        int((~settled).sum()),
        len(points) - len(order),
        absent(network),
        network.model.states,
        network.labels,
    )


def _drawn(network: Network, count: int, key: Any) -> Float[Array, "start state node"]:
    """Starts within limits, spread evenly (a Latin hypercube), half of them alike in all regions; some nearer to where a run starts."""
    start, several = network.start(), max(count - 1, 0)
    states, nodes = start.shape
    for_alike, for_apart, for_near = jax.random.split(key, 3)
    alike = jnp.broadcast_to(
        _even(for_alike, several - several // 2, (states, 1)), (several - several // 2, states, nodes)
    )
    share = 2 * jnp.concatenate([alike, _even(for_apart, several // 2, (states, nodes))]) - 1
    share = share * 10 ** (-_NEARER * _even(for_near, several, (1, 1)))
    size = jnp.maximum(1.0, 10 * jnp.abs(start).max(1, keepdims=True))
    low, high = network.model.limit(start - size), network.model.limit(start + size)
    drawn = start + share.astype(start.dtype) * jnp.where(share < 0, start - low, high - start)
    return jnp.concatenate([start[None], drawn])


def _even(key: Any, count: int, shape: tuple[int, int]) -> Float[Array, "draw *shape"]:
    """Numbers between 0 and 1, of which each place gets one from each of `count` equal parts; the same in float32 and float64."""
    order, inside = jax.random.split(key)
    parts = jax.random.permutation(
        order, jnp.broadcast_to(jnp.arange(count)[:, None, None], (count, *shape)), independent=True
    )
    return (parts + jax.random.uniform(inside, (count, *shape), jnp.float32)) / max(count, 1)


def _given(network: Network, starts: Any) -> Float[Array, "start state node"]:
    values, names = known_names(starts, "starts")
    check_same(names[-1] if names else None, network.labels, "starts", "the network")
    found = jnp.asarray(reals("starts", values), jnp.result_type(float))
    wanted = (len(network.model.states), network.n_nodes)
    if found.ndim != 3 or found.shape[1:] != wanted or not len(found):
        raise ValueError(
            f"starts have shape {found.shape}, expected (start, state, region) = (..., {wanted[0]}, {wanted[1]})"
        )
    return found


@eqx.filter_jit
def _rests(network: Network, starts: Array) -> tuple[Array, Array]:
    """Where each start leads by the flow, and where by Newton's method, which finds what the flow leaves."""

    def both(start):
        return jax.tree.map(lambda *x: jnp.stack(x), rest(network, start), newton(network, start))

    found, settled = jax.lax.map(both, starts)
    return found.reshape(-1, *starts.shape[1:]), settled.reshape(-1)


def newton(network: Network, start: State) -> tuple[State, Bool[Array, ""]]:
    """The fixed point nearest to a start: Newton's steps, halved until the drift falls."""
    shape = start.shape
    weight = 1 / _sizes(network, start)

    def drift(flat):
        return flow(network, flat.reshape(shape)).reshape(-1)

    def size(flat):
        return jnp.linalg.norm(drift(flat) * weight)

    def step(carry):
        flat, _, count = carry
        move = -jnp.linalg.solve(jax.jacfwd(drift)(flat), drift(flat))
        shares = 0.5 ** jnp.arange(_HALVINGS)
        sizes = jax.lax.map(lambda share: size(flat + share * move), shares)
        share = shares[jnp.nanargmin(jnp.where(jnp.isnan(sizes), jnp.inf, sizes))]
        moved = (jnp.abs(move.reshape(shape)).max(1) / (1e-3 + jnp.abs(flat.reshape(shape)).max(1))).max()
        return flat + share * move, jnp.where(share < 1, jnp.inf, moved), count + 1

    def going(carry):
        return (carry[1] > tolerance(start.dtype)) & (carry[2] < _MOST // 3)

    flat, moved, _ = jax.lax.while_loop(going, step, (start.reshape(-1), jnp.asarray(jnp.inf, start.dtype), 0))
    return flat.reshape(shape), moved <= tolerance(start.dtype)


def _sizes(network: Network, start: State) -> Float[Array, " flat"]:
    """How large each row's drift is, so that rows of any unit count alike."""
    slope = jnp.abs(jax.jacfwd(lambda y: flow(network, y.reshape(start.shape)).reshape(-1))(start.reshape(-1))).sum(1)
    rows = slope.reshape(start.shape).mean(1, keepdims=True) * (1 + jnp.abs(start).max(1, keepdims=True))
    return jnp.broadcast_to(jnp.maximum(rows, 1e-12), start.shape).reshape(-1)


def rest(network: Network, start: State) -> tuple[State, Bool[Array, ""]]:
    """The fixed point that a start leads to, and whether the network stands still there.

    Pseudo-transient continuation: implicit Euler steps that grow as the drift falls (Kelley & Keyes 1998, SIAM J. Numer. Anal. 35).
    Short steps follow the flow where Newton's method would go astray; long ones are Newton's. Parameters have the derivative of
    the implicit function.
    """
    shape, size = start.shape, start.size
    fixed = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, network)

    def drift(flat):
        return flow(fixed, flat.reshape(shape)).reshape(-1)

    slope = jax.jacfwd(drift)

    def going(carry):
        _, _, moved, _, count = carry
        return (moved > tolerance(start.dtype)) & (count < _MOST)

    def step(carry):
        flat, now, _, h, count = carry
        move = jnp.linalg.solve(jnp.eye(size, dtype=flat.dtype) / h - slope(flat), now)
        after = drift(flat + move)
        moved = (jnp.abs(move.reshape(shape)).max(1) / (1e-3 + jnp.abs(flat.reshape(shape)).max(1))).max()
        falls = jnp.clip(jnp.linalg.norm(now) / jnp.linalg.norm(after), 0.1, 10.0)
        growth = jnp.where(moved < 0.05, 2.0, jnp.where(jnp.isnan(falls), 0.1, falls))
        # a short step moves little wherever it is
        moved = jnp.where(h < _LONG, jnp.inf, moved)
        return flat + move, after, moved, jnp.minimum(h * growth, 1e3 * _LONG), count + 1

    flat = jax.lax.stop_gradient(start.reshape(-1))
    first = 0.1 / jnp.maximum(jnp.abs(jnp.diagonal(slope(flat))).max(), 1e-9)
    carry = flat, drift(flat), jnp.asarray(jnp.inf, flat.dtype), first, 0
    flat, _, moved, *_ = jax.lax.while_loop(going, step, carry)
    newton = jnp.linalg.solve(slope(flat), flow(network, flat.reshape(shape)).reshape(-1))
    return (flat - newton).reshape(shape), moved <= tolerance(start.dtype)


def tolerance(dtype: Any) -> float:
    """By how much of its size a state moves in the last of Newton's steps."""
    return 1e-9 if dtype == jnp.float64 else 1e-5
