"""The normal distribution that is nearest to the posterior: variational inference."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from .._devices import mapped
from .._kinds import choice, expect, number, random_key, whole
from ..fitting.blocks import compiled_steps, in_blocks
from ..fitting.space import vector_of
from .density import LogDensity, log_density
from .normal import NO_SLOPE, of_normal
from .posterior import Posterior

#: Steps that one call into XLA may take.
_BLOCK = 64
#: Standard deviation on the real line to begin with.
_NARROW = 0.1
#: The part of the steps over which the bound is averaged.
_LATE = 0.1


class _Guide(eqx.Module):
    """A normal distribution: its mean, the logarithms of the diagonal of its root, and what is below that."""

    mean: Float[Array, " number"]
    log_diagonal: Float[Array, " number"]
    below: Float[Array, "number number"] | None

    @property
    def root(self) -> Float[Array, "number number"]:
        lower = jnp.diag(jnp.exp(self.log_diagonal))
        return lower if self.below is None else lower + jnp.tril(self.below, -1)


class _Carry(eqx.Module):
    guide: _Guide
    optimiser: PyTree
    step: Array


def svi(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    guide: Literal["multivariate", "independent"] = "multivariate",
    steps: int = 2000,
    particles: int = 8,
    learning_rate: float = 0.05,
    draws: int = 1000,
    noise: Literal["fixed"] | None = None,
    realisations: int = 1,
    key: Any = None,
    progress: bool | str = True,
) -> Posterior:
    r"""The posterior as the normal distribution on the real line that is nearest to it, by stochastic variational inference.

    Nearest is what has the highest evidence lower bound, $E_q[\log p - \log q]$ (Kucukelbir et al. 2017, "Automatic differentiation variational
    inference", JMLR 18), with the gradient of Roeder et al. (2017, "Sticking the landing", NeurIPS), which does not scatter where the
    fit is perfect; Adam, at a rate that falls to zero as a cosine. `figures` has the bound, and how well the distribution stands for the
    posterior, as `laplace`. Narrower than the posterior where that is not normal.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; where the mean begins.
        loss: `loss(model, key)`, minus a log-likelihood in nats, as `log_density` has it.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: as in `log_density`.
        guide: a normal distribution with all covariances ('multivariate'), or one of each number by itself ('independent'), which
            is too narrow where parameters trade against each other.
        steps: of Adam.
        particles: draws of a step, evaluated side by side.
        learning_rate: of Adam to begin with, on the real line.
        draws: from the distribution that was found.
        noise: of a loss that hears its key, as in `log_density`.
        realisations: of such a loss.
        key: of all that is random; key 0 if left out.
        progress: show a bar; a text is its title.

    Returns:
        The posterior; Ctrl-C ends it with the distribution of then, which it says.

    Raises:
        ValueError: as `log_density`; if the bound is not finite in the end; if the loss has no slope around the start, as what counts or rounds.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: -gx.losses.gaussian_log_likelihood(m.gamma[None], jnp.array([-1.0]), sd=0.1)
        >>> found = svi(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 1.0, high=0.0)}, progress=False)
        >>> round(float(found.samples["gamma"].mean()), 1), round(float(found.samples["gamma"].std()), 1)
        (-1.0, 0.1)
    """
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    choice("guide", guide, ("multivariate", "independent"))
    steps, draws, particles = whole("steps", steps, 10), whole("draws", draws, 2), whole("particles", particles)
    rate = number("learning_rate", learning_rate, "0.05")
    if not 0 < rate < np.inf:
        raise ValueError(f"learning_rate is a positive number, got {rate}")
    key = random_key("key", 0 if key is None else key)
    density = log_density(model, loss, spec, priors=priors, noise=noise, realisations=realisations, key=key)
    start = vector_of(density.start)
    below = jnp.zeros((start.size, start.size), start.dtype) if guide == "multivariate" else None
    begun = _Guide(start, jnp.full_like(start, np.log(_NARROW)), below)
    schedule = jnp.asarray([rate, steps], start.dtype)
    found, bound, stopped = _climbed(density, begun, schedule, jax.random.fold_in(key, 1), particles, steps, progress)
    late = max(int(_LATE * len(bound)), 1)
    last = bound[-late:]
    if not np.isfinite(last).all():
        raise ValueError(
            "the evidence lower bound is not finite in the end: give a smaller learning_rate=, or start from a fit"
        )
    figures = {"evidence lower bound": float(last.mean())}
    kind = "a multivariate normal" if guide == "multivariate" else "independent normals"
    own, ended = jax.random.fold_in(key, 2), ""
    if stopped == "interrupted":
        ended = f"after {len(bound)} of {steps} steps"
    return of_normal(density, found.mean, found.root, draws, own, f"SVI with {kind}", figures, ended)


def _optimiser(schedule: Array) -> optax.GradientTransformation:
    def rate(step: Any) -> Array:
        return schedule[0] * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / schedule[1], 1.0)))

    return optax.adam(rate)


def _vectors(guide: _Guide, normal: Float[Array, "particle number"]) -> Float[Array, "particle number"]:
    return guide.mean + normal @ guide.root.T


def _likelihood(guide: _Guide, density: LogDensity, normal: Float[Array, "particle number"]) -> Array:
    """The mean log-likelihood of some draws."""
    return mapped(
        lambda x: density.log_likelihood(density.space.tree(x, density.start)), _vectors(guide, normal)
    ).mean()


def _rest(guide: _Guide, density: LogDensity, normal: Float[Array, "particle number"]) -> Array:
    """The rest of the evidence lower bound; the distribution itself is held in the density that it has (Roeder et al. 2017)."""
    held, vectors = jax.lax.stop_gradient(guide), _vectors(guide, normal)
    away = jax.scipy.linalg.solve_triangular(held.root, (vectors - held.mean).T, lower=True)
    own = -0.5 * (away**2).sum(0) - held.log_diagonal.sum() - 0.5 * guide.mean.size * jnp.log(2 * jnp.pi)
    prior = jax.vmap(lambda x: density.log_prior(density.space.tree(x, density.start)))(vectors)
    return (prior - own).mean()


@eqx.filter_jit
def _advance(
    density: LogDensity, schedule: Array, key: Array, particles: int, carry: _Carry, most_steps: Array
) -> tuple[Array, _Carry, dict[str, Array]]:
    def step(carry: _Carry) -> tuple[_Carry, dict[str, Array]]:
        shape = (particles, carry.guide.mean.size)
        normal = jax.random.normal(jax.random.fold_in(key, carry.step), shape, carry.guide.mean.dtype)
        likelihood, told = eqx.filter_value_and_grad(_likelihood)(carry.guide, density, normal)
        rest, known = eqx.filter_value_and_grad(_rest)(carry.guide, density, normal)
        bound, slope = likelihood + rest, jax.tree.map(jnp.add, told, known)
        tells = jnp.any(jnp.array([(g != 0).any() for g in jax.tree.leaves(told)]))
        fine = jnp.isfinite(bound) & jnp.all(jnp.array([jnp.isfinite(g).all() for g in jax.tree.leaves(slope)]))
        down = jax.tree.map(lambda g: jnp.where(fine, -g, 0.0), slope)
        updates, state = _optimiser(schedule).update(down, carry.optimiser)
        return _Carry(eqx.apply_updates(carry.guide, updates), state, carry.step + 1), {"bound": bound, "tells": tells}

    return compiled_steps(step, carry, most_steps, lambda carry: jnp.array(True), _BLOCK)


def _climbed(
    density: LogDensity, guide: _Guide, schedule: Array, key: Array, particles: int, steps: int, progress: bool | str
) -> tuple[_Guide, np.ndarray, str]:
    """The guide after all steps, the bound at each, and why it ended."""

    def block(carry: _Carry, most_steps: int) -> tuple[int, _Carry, dict[str, Array]]:
        taken, later, new = _advance(density, schedule, key, particles, carry, jnp.asarray(most_steps, jnp.int32))
        return int(taken), later, new

    def look(carry: _Carry, record: dict[str, np.ndarray], done: int) -> None:
        if not record["tells"].any():
            raise ValueError(f"at {particles} draws around the start {NO_SLOPE}")

    tree: Any = guide  # as optax's types call what it takes
    carry, record, stopped = in_blocks(
        block,
        _Carry(guide, _optimiser(schedule).init(tree), jnp.zeros((), jnp.int32)),
        {"bound": np.zeros(0), "tells": np.zeros(0, bool)},
        done=0,
        steps=steps,
        room=_BLOCK,
        look=look,
        shown=lambda carry, record: {"bound": f"{record['bound'][-20:].mean():.4g}"},
        title="svi",
        unit="step",
        progress=progress,
    )
    if stopped == "interrupted" and len(record["bound"]) < 1 / _LATE:
        raise KeyboardInterrupt(f"after {len(record['bound'])} of {steps} steps, before there was anything to keep")
    return carry.guide, record["bound"], stopped
