"""A normal distribution on the real line in place of the posterior: at its mode (Laplace), or the nearest one."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float, PyTree

from .._kinds import random_key, whole
from ..fitting.space import vector_of
from .density import LogDensity, log_density
from .diagnostics import pareto_k, share_that_counts
from .posterior import Posterior, told

#: Draws that are compared with the density itself.
_COMPARED = 400
#: Evaluations of a density side by side.
_SIDE_BY_SIDE = 64
#: Steps of Newton's after BFGS at most, and nats by which the density may still rise after them.
_NEWTON, _RISE = 50, 0.01
#: Of the largest curvature, what is added to all where a step of Newton's went down.
_DAMPING = 1e-4
#: Parts of a direction from which on they are named.
_LARGE, _NAMED = 0.3, 4


def laplace(
    model: PyTree,
    loss: Callable[[Any, Any], Any],
    spec: PyTree,
    *,
    priors: Mapping[Any, Any] | None = None,
    draws: int = 1000,
    steps: int = 500,
    noise: Literal["fixed"] | None = None,
    realisations: int = 1,
    key: Any = None,
) -> Posterior:
    r"""The posterior as a normal distribution on the real line, around its mode and as narrow as the density is there.

    The mode by BFGS from where the model is, the covariance from the second derivatives. `figures` has the logarithm of the evidence
    (Laplace's approximation of $\int p(\mathrm{data}|\theta) \pi(\theta) d\theta$; MacKay 2003, "Information Theory, Inference, and Learning
    Algorithms", chapter 27), and how well the normal distribution stands for the posterior: Pareto's k of importance ratios, best below 0.7,
    and the share of draws that would count, were they weighted by them.

    Args:
        model: a Network, any other Module, or a tuple or dict of them; from where the mode is looked for.
        loss: `loss(model, key)`, minus a log-likelihood in nats, as `log_density` has it.
        spec: which leaves are free: `gx.select(model, ...)`.
        priors: as in `log_density`.
        draws: from the normal distribution.
        steps: of BFGS at most.
        noise: of a loss that hears its key, as in `log_density`.
        realisations: of such a loss.
        key: of draws and noise; key 0 if left out.

    Raises:
        ValueError: as `log_density`; if BFGS finds no mode; or if the density does not fall off in every direction there, naming
            the direction.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: -gx.losses.gaussian_log_likelihood(m.gamma[None], jnp.array([-1.0]), sd=0.1)
        >>> found = laplace(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 1.0, high=0.0)})
        >>> round(float(found.samples["gamma"].mean()), 1), round(float(found.samples["gamma"].std()), 1)
        (-1.0, 0.1)
    """
    draws, steps = whole("draws", draws, 2), whole("steps", steps)
    key = random_key("key", 0 if key is None else key)
    density = log_density(model, loss, spec, priors=priors, noise=noise, realisations=realisations, key=key)
    mode, height, hessian = mode_of(density, steps)
    root, log_volume = _fall_off(density, mode, hessian)
    evidence = {"log evidence": float(height + log_volume + 0.5 * mode.size * np.log(2 * np.pi))}
    return of_normal(density, mode, root, draws, jax.random.fold_in(key, 1), "Laplace's method", evidence)


def of_normal(
    density: LogDensity,
    mean: Array,
    root: Array,
    draws: int,
    key: Any,
    method: str,
    figures: dict[str, float],
    interrupted: str = "",
) -> Posterior:
    """A posterior of draws from a normal distribution, and how well that stands for the density, on draws of its own."""
    normal = jax.random.normal(key, (draws + _COMPARED, mean.size), mean.dtype)
    real = mean + normal @ root.T
    target = np.asarray(_each(density, real[draws:]), float)
    ratios = target + 0.5 * np.asarray((normal[draws:] ** 2).sum(1), float)
    figures = figures | {"pareto k": pareto_k(ratios), "share that counts": share_that_counts(ratios)}
    return told(
        Posterior(density.model, density.space, np.asarray(real[:draws])[None], {}, method, figures, interrupted)
    )


@eqx.filter_jit
def _each(density: LogDensity, vectors: Float[Array, "draw number"]) -> Float[Array, " draw"]:
    """The log-density of every vector."""
    return jax.lax.map(density.at, vectors, batch_size=min(_SIDE_BY_SIDE, len(vectors)))


def mode_of(density: LogDensity, steps: int) -> tuple[Array, float, Array]:
    """Where the density is highest, on the real line, how high, and its second derivatives there.

    Raises:
        ValueError: if it is not found in so many steps.
    """
    top = _climbed(density, vector_of(density.start), steps)
    slope, left = np.asarray(top.slope, float), float(top.left)
    if not left <= _RISE:
        worst = density.space.names[int(np.nanargmax(np.abs(slope)))] if np.isfinite(slope).any() else "all of them"
        raise ValueError(
            f"no mode was found in {steps} steps: the density still rises by about {left:.2g} nats, steepest along {worst}; start from a "
            "fit, gx.fit(...).model, give steps=, or priors that hold what the data do not tell"
        )
    return top.vector, float(top.value), top.hessian


class _Top(eqx.Module):
    """A place, and the density around it."""

    vector: Array
    value: Array
    slope: Array
    hessian: Array

    @property
    def left(self) -> Array:
        """How many nats a step of Newton's would go up, whatever the signs of the curvatures."""
        sizes, directions = jnp.linalg.eigh(self.hessian)
        return 0.5 * ((directions.T @ self.slope) ** 2 / jnp.abs(sizes)).sum()

    def step(self, damping: Array) -> Array:
        """Up, by no more than curvatures and damping allow."""
        sizes, directions = jnp.linalg.eigh(self.hessian)
        lengths = jnp.abs(sizes) + damping * jnp.abs(sizes).max()
        return directions @ ((directions.T @ self.slope) / lengths)


@eqx.filter_jit
def _climbed(density: LogDensity, start: Array, steps: int) -> _Top:
    """By BFGS, and on from where that stops by Newton's method, damped, which brings the digits; the highest place.

    BFGS takes a step that its line search made short for an arrival. Beyond where a density ends it is NaN: there is no step into that.
    """
    small = float(np.sqrt(np.finfo(start.dtype).eps))
    found = optimistix.minimise(
        lambda vector, _: -density.at(vector), optimistix.BFGS(small, small), start, max_steps=steps, throw=False
    )

    def around(vector: Array) -> tuple[Array, tuple[Array, Array]]:
        value, slope = jax.value_and_grad(density.at)(vector)
        return slope, (value, slope)

    def newton(carry: tuple[Array, Array, Array, _Top]) -> tuple[Array, Array, Array, _Top]:
        count, vector, damping, best = carry
        hessian, (value, slope) = jax.jacfwd(around, has_aux=True)(vector)
        new = _Top(vector, value, slope, (hessian + hessian.T) / 2)
        fine = jnp.isfinite(value) & jnp.isfinite(slope).all() & jnp.isfinite(hessian).all()
        better = fine & (value >= best.value)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)
        damping = jnp.where(better, damping / 10, 10 * jnp.maximum(damping, _DAMPING))
        return count + 1, best.vector + best.step(damping), damping, best

    def go_on(carry: tuple[Array, Array, Array, _Top]) -> Array:
        count, vector, _, best = carry
        moves = jnp.isfinite(vector).all() & ~(best.left <= _RISE / 100)
        return (count == 0) | ((count < _NEWTON) & moves)

    nowhere = jnp.full_like(start, jnp.nan)
    none = _Top(found.value, jnp.asarray(-jnp.inf, start.dtype), nowhere, nowhere * nowhere[:, None])
    begun = jnp.zeros((), jnp.int32), found.value, jnp.zeros((), start.dtype), none
    return jax.lax.while_loop(go_on, newton, begun)[-1]


def _fall_off(density: LogDensity, mode: Array, hessian: Array) -> tuple[Array, float]:
    """The Cholesky factor of the covariance at the mode, and the logarithm of its determinant.

    Raises:
        ValueError: naming a direction in which the density does not fall off.
    """
    curvature = -np.asarray(hessian, float)
    values, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    if values[0] <= np.finfo(np.asarray(mode).dtype).eps * len(curvature) * abs(values[-1]):
        raise ValueError(
            f"at its mode the density does not fall off along {_named(directions[:, 0], density.space.names)} (curvature {values[0]:.3g}): "
            "the data do not tell it; give a narrower prior, or free less"
        )
    root = np.linalg.cholesky((directions / values) @ directions.T)
    return jnp.asarray(root, mode.dtype), float(np.log(np.diag(root)).sum())


def _named(direction: np.ndarray, names: tuple[str, ...]) -> str:
    """The largest parts of a direction, in words."""
    largest = [i for i in np.argsort(-np.abs(direction))[:_NAMED] if np.abs(direction[i]) >= _LARGE]
    largest = largest or [int(np.argmax(np.abs(direction)))]
    sign = np.sign(direction[largest[0]])
    return ", ".join(f"{names[i]} {sign * direction[i]:+.2f}" for i in largest)
