"""Draws from the posterior of a loss that is itself an estimate, with new noise at every step."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._devices import mapped
from .._kinds import expect, random_key, whole
from ..fitting.blocks import compiled_steps, in_blocks
from ..fitting.space import vector_of
from .density import LogDensity, log_density
from .posterior import Posterior, told

#: Steps that one call into XLA may take.
_BLOCK = 64
#: The share of proposals that are best accepted with an estimate that scatters by about a nat (Sherlock et al. 2015).
_ACCEPTED = 0.2
#: Standard deviation on the real line of what is proposed to begin with.
_NARROW = 0.1
#: Estimates that tell how far the log-likelihood scatters.
_ESTIMATES = 32


class _Walk(eqx.Module):
    """One chain: where it is, the estimate that it holds, and what it has learnt of the covariance."""

    vector: Float[Array, " number"]
    likelihood: Array
    prior: Array
    mean: Float[Array, " number"]
    covariance: Float[Array, "number number"]
    log_scale: Array
    step: Array
    key: Array


def pseudo_marginal(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    realisations: int = 1,
    chains: int = 4,
    warmup: int = 2000,
    draws: int = 4000,
    key: Any = None,
    progress: bool | str = True,
) -> Posterior:
    """Draws from the posterior of a simulated likelihood, by a random walk whose every proposal hears new noise.

    Pseudo-marginal Metropolis-Hastings (Andrieu and Roberts 2009, "The pseudo-marginal approach for efficient Monte Carlo computations",
    Ann. Stat. 37): where exp(-loss) is an unbiased estimate of the likelihood, the draws are of the exact posterior, however few realisations
    there are. With few, chains get stuck at lucky estimates: so many as bring the standard deviation of the
    log-likelihood to one or two nats are best, and `figures` tells it. The covariance of proposals is learnt while it warms up
    (Haario et al. 2001, "An adaptive Metropolis algorithm", Bernoulli 7). It takes no gradient.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; where chains begin, so best that of a fit.
        loss: `loss(model, key)`, minus the logarithm of an unbiased estimate of a likelihood, in nats.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: as in `log_density`.
        realisations: keys of an estimate; the mean of their likelihoods is one.
        chains: how many, side by side.
        warmup: steps of each that are thrown away.
        draws: of each that are kept.
        key: of all that is random; key 0 if left out.
        progress: show a bar; a text is its title.

    Returns:
        The posterior; Ctrl-C ends it with the draws that there are, which it says.

    Raises:
        ValueError: as `log_density`, and for a loss that does not hear its key.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-1.0)
        >>> def loss(m, key):
        ...     return 0.5 * ((m.gamma + 1.0) / 0.1 + 0.3 * jax.random.normal(key)) ** 2
        >>> found = pseudo_marginal(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 1.0, high=0.0)}, progress=False)
        >>> round(float(found.samples["gamma"].mean()), 1)
        -1.0
    """
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    chains, realisations = whole("chains", chains), whole("realisations", realisations)
    warmup, draws = whole("warmup", warmup, 10), whole("draws", draws, 4)
    key = random_key("key", 0 if key is None else key)
    density = log_density(model, loss, spec, priors=priors, noise="fixed", realisations=realisations, key=key)
    begun, estimated = jax.random.split(jax.random.fold_in(key, 1))
    count = (warmup, realisations)
    walks = _begin(density, count, jax.random.split(begun, chains))
    record, stopped = _run(density, count, walks, warmup + draws, progress)
    if stopped == "interrupted" and len(record["real"]) < warmup + 4:
        raise KeyboardInterrupt(f"after {len(record['real'])} steps, before there was a draw")
    kept = {name: np.moveaxis(values[warmup:], 0, 1) for name, values in record.items()}
    real = kept.pop("real")
    middle = jnp.asarray(real.reshape(-1, real.shape[-1]).mean(0))
    spread = float(_scatter(density, realisations, middle, jax.random.split(estimated, _ESTIMATES)))
    figures = {"accepted": float(kept["acceptance"].mean()), "sd of the log-likelihood": spread}
    method = f"pseudo-marginal Metropolis with {realisations} new realisation{'s' * (realisations > 1)} a step"
    ended = f"after {real.shape[1]} of {draws} draws of each chain" if stopped == "interrupted" else ""
    return told(Posterior(density.model, density.space, real, kept, method, figures, ended))


def _estimate(density: LogDensity, realisations: int, vector: Array, key: Array) -> tuple[Array, Array]:
    """An estimate of the log-likelihood, and the log-prior; what is not finite is impossible."""
    free = density.space.tree(vector, density.start)
    found = density.log_likelihood(free, jax.random.split(key, realisations))
    return jnp.where(jnp.isnan(found), -jnp.inf, found), density.log_prior(free)


@eqx.filter_jit
def _scatter(density: LogDensity, realisations: int, vector: Array, keys: Array) -> Array:
    return jnp.std(jax.lax.map(lambda key: _estimate(density, realisations, vector, key)[0], keys, batch_size=8))


@eqx.filter_jit
def _begin(density: LogDensity, count: tuple[int, int], keys: Array) -> _Walk:
    start = vector_of(density.start)

    def one(key: Array) -> _Walk:
        place, noise, later = jax.random.split(key, 3)
        vector = start + _NARROW * jax.random.normal(place, start.shape, start.dtype)
        likelihood, prior = _estimate(density, count[1], vector, noise)
        covariance = _NARROW**2 * jnp.eye(start.size, dtype=start.dtype)
        scale = jnp.asarray(np.log(2.38 / np.sqrt(start.size)), start.dtype)  # Haario's
        return _Walk(vector, likelihood, prior, vector, covariance, scale, jnp.zeros((), jnp.int32), later)

    return mapped(one, keys)


def _moved(density: LogDensity, count: tuple[int, int], walk: _Walk) -> tuple[_Walk, dict[str, Array]]:
    """One step of a chain."""
    key, place, noise, chance = jax.random.split(walk.key, 4)
    n, dtype = walk.vector.size, walk.vector.dtype
    tiny = jnp.finfo(dtype).eps * jnp.trace(walk.covariance) * jnp.eye(n, dtype=dtype)
    root = jnp.linalg.cholesky(walk.covariance + tiny)
    proposed = walk.vector + jnp.exp(walk.log_scale) * (root @ jax.random.normal(place, (n,), dtype))
    likelihood, prior = _estimate(density, count[1], proposed, noise)
    ratio = likelihood + prior - walk.likelihood - walk.prior
    accepted = jnp.where(jnp.isnan(ratio), 0.0, jnp.minimum(1.0, jnp.exp(ratio)))
    yes = jax.random.uniform(chance, dtype=dtype) < accepted
    vector = jnp.where(yes, proposed, walk.vector)
    # Learnt less and less, and no more once draws count: only then they are of one chain.
    rate = jnp.where(walk.step < count[0], (walk.step + 1.0) ** -0.6, 0.0).astype(dtype)
    away = vector - walk.mean
    new = _Walk(
        vector,
        jnp.where(yes, likelihood, walk.likelihood),
        jnp.where(yes, prior, walk.prior),
        walk.mean + rate * away,
        walk.covariance + rate * (away[:, None] * away - walk.covariance) * (walk.step > 20),
        walk.log_scale + rate * (accepted - _ACCEPTED).astype(dtype),
        walk.step + 1,
        key,
    )
    return new, {"real": new.vector, "log density": new.likelihood + new.prior, "acceptance": accepted}


@eqx.filter_jit
def _advance(
    density: LogDensity, count: tuple[int, int], walks: _Walk, most_steps: Array
) -> tuple[Array, _Walk, dict[str, Array]]:
    def step(walks: _Walk) -> tuple[_Walk, dict[str, Array]]:
        return mapped(lambda walk: _moved(density, count, walk), walks)

    return compiled_steps(step, walks, most_steps, lambda walks: jnp.array(True), _BLOCK)


def _run(
    density: LogDensity, count: tuple[int, int], walks: _Walk, steps: int, progress: bool | str
) -> tuple[dict[str, np.ndarray], str]:
    """All steps, in calls between which a bar moves."""
    chains, size = walks.vector.shape
    record = {"real": np.zeros((0, chains, size), np.asarray(walks.vector).dtype)}
    record |= {name: np.zeros((0, chains), record["real"].dtype) for name in ("log density", "acceptance")}

    def block(walks: _Walk, most_steps: int) -> tuple[int, _Walk, dict[str, Array]]:
        taken, later, new = _advance(density, count, walks, jnp.asarray(most_steps, jnp.int32))
        return int(taken), later, new

    def shown(walks: _Walk, record: dict[str, np.ndarray]) -> dict[str, str]:
        warm = {"": "warm-up"} if len(record["acceptance"]) < count[0] else {}
        return warm | {"accepted": f"{record['acceptance'][-200:].mean():.2f}"}

    options: dict[str, Any] = {"title": "pseudo-marginal", "unit": "step", "progress": progress}
    _, record, stopped = in_blocks(
        block, walks, record, done=0, steps=steps, room=_BLOCK, look=lambda *_: None, shown=shown, **options
    )
    return record, stopped
