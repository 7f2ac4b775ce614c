"""Lyapunov exponents: how fast two runs of a network that begin side by side part."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._kinds import expect, number, whole
from .._steps import whole_steps
from ..monitors.sampling import Subsample
from ..network.living import counted
from ..network.network import Network
from ..recordings.run import Final
from ..simulation import simulate

#: Stretches of a run, after each of which what has grown is measured; the first of them turn what grows to where it will.
_STRETCHES, _TURNING = 2000, 0.2
#: Groups of stretches by which the error is told.
_GROUPS = 20
#: Standard errors by which the halves of a run differ where there is a drift.
_DRIFTING = 2
#: Of a sum of logarithms.
_ROUNDING = 1e-9


class Exponents(eqx.Module):
    """Lyapunov exponents of a network, the largest first. Made by `lyapunov_exponents`.

    Attributes:
        values: per ms, `(exponent,)`; -inf where a difference is gone at once, as of a state that is held at its limit.
        errors: standard errors, from how parts of the run differ; where the exponent still drifts, by how much its halves differ.
        duration: ms of the run that they are of.
        growth: by how much the logarithm of the fastest growing difference grew in each stretch of the run, `(stretch,)`.
    """

    values: Float[np.ndarray, " exponent"]
    errors: Float[np.ndarray, " exponent"]
    duration: float = eqx.field(static=True)
    growth: Float[np.ndarray, " stretch"]

    @property
    def chaotic(self) -> bool | None:
        """Whether the largest is above zero; None where its error leaves that open."""
        largest, error = self.values[0], 3 * self.errors[0]
        return None if abs(largest) <= error else bool(largest > 0)

    @property
    def e_folding(self) -> float:
        """ms in which a small difference, and a gradient with it, grows e-fold; infinite unless the largest is above zero."""
        return float(1 / self.values[0]) if self.values[0] > 0 else np.inf

    def gradient_horizon(self, growth: float = 10.0) -> float:
        """ms over which a gradient may look back: `gradient_horizon=` of `simulate`.

        The longest time in which a difference grew by no more than so many times: in the root mean square over where in the run it
        begins, as the variance of gradients has it. Where growth comes and goes that is less than the exponent alone would say.

        Args:
            growth: what counts as too much. Gradients that grew far more say more of the noise than of the parameters.

        Returns:
            A whole number of the run's stretches, one at least; infinite where nothing grows so much.

        Raises:
            ValueError: for a growth that is not above 1.

        Example:
            >>> Exponents(np.array([0.01]), np.array([1e-4]), 4000.0, np.full(2000, 0.02)).gradient_horizon(np.e)
            100.0
        """
        growth = number("growth", growth, "10.0")
        if not (np.isfinite(growth) and growth > 1):
            raise ValueError(f"growth is a number above 1, got {growth}")
        each, gone = self.duration / len(self.growth), np.isneginf(self.growth)
        total, ends = (np.concatenate([[0.0], np.cumsum(x)]) for x in (np.where(gone, 0, self.growth), gone))
        for length in range(1, len(self.growth) // 2 + 1):
            grown = 2 * (total[length:] - total[:-length])
            grown = np.where(ends[length:] > ends[:-length], -np.inf, grown)
            if (np.logaddexp.reduce(grown) - np.log(len(grown))) / 2 > np.log(growth) + _ROUNDING:
                return each * max(length - 1, 1)
        if self.values[0] <= 0:
            return np.inf
        return each * max(1, int(np.log(growth) * self.e_folding / each + _ROUNDING))

    def __repr__(self):
        said = {True: "chaotic", False: "not chaotic", None: "not told from zero"}[self.chaotic]
        each = ", ".join(f"{x:.4g} +- {e:.1g}" for x, e in list(zip(self.values, self.errors, strict=True))[:6])
        more = f"; differences and gradients grow e-fold in {self.e_folding:.4g} ms" if self.chaotic else ""
        if self.chaotic:
            single, double = (self.e_folding * np.log(np.finfo(kind).max) for kind in (np.float32, np.float64))
            more += f", beyond what float32 holds in {single:.3g} ms and float64 in {double:.3g} ms"
        if np.isneginf(self.values).any():
            more += "; -inf: a difference is gone at once, as where a state is held at its limit"
        return f"Exponents({each}{', ...' * (len(self.values) > 6)} per ms over {self.duration:g} ms: {said}{more})"


def lyapunov_exponents(
    network: Network,
    duration: float,
    dt: float,
    *,
    count: int = 1,
    warm_up: float = 1000.0,
    solver: dfx.AbstractSolver | None = None,
    key: Any = None,
    start: Any = None,
) -> Exponents:
    """The largest Lyapunov exponents of a network, with delays and noise as a run has them.

    Small differences are carried along the run by its derivative, the past that delays reach back to included, and made orthogonal again
    after short stretches (Benettin et al. 1980, Meccanica 15). Of a noisy network they are those of one and the same noise.

    Args:
        network: with noise it needs a key.
        duration: ms.
        dt: ms a step.
        count: how many.
        warm_up: ms before, in which the network comes to where it stays.
        solver: as of `simulate`.
        key: of its noise.
        start: as of `simulate`.

    Raises:
        ValueError: for more exponents than there are numbers in a state, a duration that is no ten steps, or a run that does not stay finite.

    Example:
        >>> import gyrax as gx
        >>> net = gx.Network(gx.models.Linear(gamma=-0.5), gx.couplings.Linear(source="x"), np.zeros((2, 2)))
        >>> lyapunov_exponents(net, 100.0, 0.1).values.round(2).tolist()
        [-0.5]
    """
    expect("network", network, Network, "a network", "gx.Network(model, coupling, connectome)")
    duration, dt, count = number("duration", duration, unit="ms"), number("dt", dt, unit="ms"), whole("count", count)
    warm_up = number("warm_up", warm_up, unit="ms")
    steps = whole_steps(duration, dt, "duration")
    if steps < 10:
        raise ValueError(
            f"duration is {duration:g} ms, {steps} steps: an exponent needs ten at least, and a thousand to be exact"
        )
    each = max(1, steps // _STRETCHES)
    whole_warm_up = max(each, each * round(warm_up / (each * dt)))
    monitor = {"state": Subsample(period=each * dt)}
    before = simulate(network, whole_warm_up * dt, dt, solver=solver, monitors=monitor, key=key, start=start)
    if not before.finite:
        raise ValueError(f"before the exponents are measured, {before.failure}")
    past = jax.tree.map(jnp.ones_like, before.final.history)
    there = ravel_pytree((counted(network, before.final.y), past))[0]
    size = int(there.sum())
    if count > size:
        raise ValueError(f"count is {count}, and a state with its past has {size} numbers")
    drawn = jax.random.normal(jax.random.key(0), (len(there), count), before.final.y.dtype)
    grown = np.asarray(_stretches(network, before.final, drawn, there, steps // each, each, dt, solver), float)
    if not (np.isfinite(grown) | np.isneginf(grown)).all():
        raise ValueError("the run does not stay finite, or what grows does not: take a smaller dt")
    kept = grown[int(_TURNING * len(grown)) :]
    groups = np.stack([part.mean(0) for part in np.array_split(kept, min(_GROUPS, len(kept)))]) / (each * dt)
    values = kept.mean(0) / (each * dt)
    order = np.argsort(-values, kind="stable")
    return Exponents(values[order], _errors(groups)[order], len(kept) * each * dt, kept[:, order[0]])


def _errors(groups: Float[np.ndarray, "group exponent"]) -> Float[np.ndarray, " exponent"]:
    """How far off means over the groups are: by their scatter, or by their drift where that is more than scatter would make.

    Where many modes die almost as slowly as the slowest one, a difference turns to it for as long as the run takes, and scatter says little.
    """
    known, half = np.where(np.isneginf(groups).any(0), 0, groups), len(groups) // 2
    scatter = known.std(0, ddof=1) / np.sqrt(len(groups))
    steps = np.sqrt((np.diff(known, axis=0) ** 2).mean(0) / 2 / len(groups))
    drift = np.abs(known[-half:].mean(0) - known[:half].mean(0))
    return np.where(drift > _DRIFTING * 2 * steps, np.maximum(drift, scatter), scatter)


@eqx.filter_jit
def _stretches(
    network: Network, final: Final, ways: Array, there: Array, stretches: int, steps: int, dt: float, solver: Any
) -> Float[Array, "stretch exponent"]:
    """By how much the logarithm of each orthogonal difference grows in each stretch, of the numbers that are there."""
    monitor = {"state": Subsample(period=steps * dt)}

    def stretch(carry, _):
        final, ways = carry
        flat, whole_ = ravel_pytree((final.y, final.history))

        def later(flat):
            start = eqx.tree_at(lambda f: (f.y, f.history), final, whole_(flat))
            end = simulate(
                network, steps * dt, dt, solver=solver, monitors=monitor, start=start, autodiff="forward"
            ).final
            return ravel_pytree((end.y, end.history))[0], end

        _, push, end = jax.linearize(later, flat, has_aux=True)
        moved = there[:, None] * jax.vmap(push, in_axes=1, out_axes=1)(ways)
        ways, triangle = jnp.linalg.qr(moved)
        # no more directions are left than numbers that move; rounding would leave something of the others
        left = jnp.arange(ways.shape[1]) < (moved != 0).any(1).sum()
        return (end, ways), jnp.log(jnp.where(left, jnp.abs(jnp.diagonal(triangle)), 0))

    return jax.lax.scan(stretch, (final, jnp.linalg.qr(there[:, None] * ways)[0]), None, length=stretches)[1]
