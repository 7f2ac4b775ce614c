"""A normal distribution on the real line in place of the posterior: at its mode (Laplace), or the nearest one."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float, PyTree

from .._kinds import expect, random_key, whole
from .._progress import tqdm
from ..fitting.space import vector_of
from .density import LogDensity, log_density, value_at
from .diagnostics import pareto_k, share_that_counts
from .posterior import Posterior, told

#: Draws that are compared with the density itself.
_COMPARED = 400
#: Evaluations of a density side by side, and of one that takes long.
_SIDE_BY_SIDE, _FEW = 64, 16
#: Seconds of one evaluation from which on it is called by itself, and of all that are left from which on it is tried whether side by side is quicker.
_SLOW, _LONG = 0.005, 30.0
#: Steps of Newton's after BFGS at most, and nats by which the density may still rise after them.
_NEWTON, _RISE = 50, 0.01
#: Of the largest curvature, what is added to all where a step of Newton's went down.
_DAMPING = 1e-4
#: What is said of a likelihood that derivatives see nothing of.
NO_SLOPE = (
    "the loss has no slope at all (nor a curvature): what rounds, counts, compares or takes an argmax has none, and this would be the prior given "
    "back; take a smooth loss, or for simulated likelihoods gx.inference.pseudo_marginal, which needs no gradient"
)
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
    progress: bool | str = True,
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
        progress: show a bar; a text is its title.

    Raises:
        ValueError: as `log_density`; if BFGS finds no mode; if the loss has neither slope nor curvature there, as what counts or rounds; or if the density does not fall off in every direction there, naming
            the direction.

    Example:
        >>> import gyrax as gx, numpyro.distributions as d
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> loss = lambda m, key: -gx.losses.gaussian_log_likelihood(m.gamma[None], jnp.array([-1.0]), sd=0.1)
        >>> found = laplace(model, loss, gx.select(model, "gamma"), priors={"gamma": d.TruncatedNormal(-1.0, 1.0, high=0.0)}, progress=False)
        >>> round(float(found.samples["gamma"].mean()), 1), round(float(found.samples["gamma"].std()), 1)
        (-1.0, 0.1)
    """
    draws, steps = whole("draws", draws, 2), whole("steps", steps)
    expect("progress", progress, (bool, str), "True, False or a title", "True")
    key = random_key("key", 0 if key is None else key)
    density = log_density(model, loss, spec, priors=priors, noise=noise, realisations=realisations, key=key)
    title = progress if isinstance(progress, str) else "laplace"
    with tqdm(total=_COMPARED, desc=title, unit="evaluation", disable=not progress) as bar:
        top = _mode_of(density, steps, bar)
        root, log_volume = _fall_off(density, top)
        evidence = {"log evidence": float(top.value + log_volume + 0.5 * len(root) * np.log(2 * np.pi))}
        start = vector_of(density.start)
        mode, root = jnp.asarray(top.vector, start.dtype), jnp.asarray(root, start.dtype)
        return of_normal(density, mode, root, draws, jax.random.fold_in(key, 1), "Laplace's method", evidence, bar=bar)


def of_normal(
    density: LogDensity,
    mean: Array,
    root: Array,
    draws: int,
    key: Any,
    method: str,
    figures: dict[str, float],
    interrupted: str = "",
    bar: Any = None,
) -> Posterior:
    """A posterior of draws from a normal distribution, and how well that stands for the density, on draws of its own."""
    normal = jax.random.normal(key, (draws + _COMPARED, mean.size), mean.dtype)
    real = mean + normal @ root.T
    target = _values(density, np.asarray(real[draws:]), bar)
    ratios = target + 0.5 * np.asarray((normal[draws:] ** 2).sum(1), float)
    figures = figures | {"pareto k": pareto_k(ratios), "share that counts": share_that_counts(ratios)}
    return told(
        Posterior(density.model, density.space, np.asarray(real[:draws])[None], {}, method, figures, interrupted)
    )


def _values(density: LogDensity, vectors: Float[np.ndarray, "draw number"], bar: Any) -> Float[np.ndarray, " draw"]:
    """The log-density of every vector; side by side only where that is quicker.

    Side by side, all branches of a density are computed for all, and small matrices are factored in no less time: for theory by linear noise of 8
    regions eight times slower than one after another. Of simulations it is the other way round.
    """
    found: list[float] = []

    def alone(count: int) -> float:
        since = time.perf_counter()
        for vector in vectors[len(found) : len(found) + count]:
            found.append(float(value_at(density, jnp.asarray(vector))))
            if bar is not None:
                bar.update()
        return (time.perf_counter() - since) / count

    def together(count: int) -> float:
        since = time.perf_counter()
        found.extend(np.asarray(_each(density, jnp.asarray(vectors[len(found) : len(found) + count])), float))
        if bar is not None:
            bar.update(count)
        return (time.perf_counter() - since) / count

    alone(1)  # whose value is compiled already, and with other data may be not
    seconds = alone(3)
    left = len(vectors) - len(found)
    if seconds < _SLOW:
        together(left)
    elif seconds * left > _LONG:
        together(_FEW)  # which compiles
        while len(vectors) - len(found) >= _FEW and together(_FEW) < seconds:
            pass
    if len(found) < len(vectors):
        alone(len(vectors) - len(found))
    return np.array(found)


@eqx.filter_jit
def _each(density: LogDensity, vectors: Float[Array, "draw number"]) -> Float[Array, " draw"]:
    """The log-density of every vector."""
    return jax.lax.map(density.at, vectors, batch_size=min(_SIDE_BY_SIDE, len(vectors)))


class _Top(NamedTuple):
    """A place, and the density around it.

    Attributes:
        vector: the place.
        value: of the density.
        slope: of it.
        hessian: of it.
        tells: whether the likelihood has a slope or a curvature there.
    """

    vector: Float[np.ndarray, " number"]
    value: float
    slope: Float[np.ndarray, " number"]
    hessian: Float[np.ndarray, "number number"]
    tells: bool

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.slope).all() and np.isfinite(self.hessian).all())

    @property
    def left(self) -> float:
        """How many nats a step of Newton's would go up, whatever the signs of the curvatures."""
        sizes, directions = np.linalg.eigh(self.hessian)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(0.5 * ((directions.T @ self.slope) ** 2 / np.abs(sizes)).sum())

    def step(self, damping: float) -> Float[np.ndarray, " number"]:
        """Up, by no more than curvatures and damping allow."""
        sizes, directions = np.linalg.eigh(self.hessian)
        lengths = np.abs(sizes) + damping * np.abs(sizes).max()
        with np.errstate(divide="ignore", invalid="ignore"):
            return directions @ ((directions.T @ self.slope) / lengths)


def _mode_of(density: LogDensity, steps: int, bar: Any) -> _Top:
    """Where the density is highest, on the real line, and the density around it.

    By BFGS, and on from where that stops by Newton's method, damped, which brings the digits. BFGS takes a step that its line search made
    short for an arrival. Beyond where a density ends it is NaN: there is no step into that.

    Raises:
        ValueError: if it is not found in so many steps, or the likelihood tells nothing there.
    """
    bar.set_postfix_str("BFGS")
    start = vector_of(density.start)
    vector, damping, best = np.asarray(_descended(density, start, steps), float), 0.0, None
    for count in range(_NEWTON):
        bar.set_postfix_str(f"Newton {count + 1}")
        new = _top_of(density, jnp.asarray(vector, start.dtype))
        better = new.is_finite and (best is None or new.value >= best.value)
        best = new if better else best
        damping = damping / 10 if better else 10 * max(damping, _DAMPING)
        if best is None or best.left <= _RISE / 100:
            break
        vector = best.vector + best.step(damping)
        if not np.isfinite(vector).all():
            break
    left = np.nan if best is None else best.left
    if best is None or not left <= _RISE:
        slope = np.array([np.nan]) if best is None else best.slope
        worst = density.space.names[int(np.nanargmax(np.abs(slope)))] if np.isfinite(slope).any() else "all of them"
        raise ValueError(
            f"no mode was found in {steps} steps: the density still rises by about {left:.2g} nats, steepest along {worst}; start from a "
            "fit, gx.fit(...).model, give steps=, or priors that hold what the data do not tell"
        )
    if not best.tells:
        raise ValueError(f"at the mode of the prior {NO_SLOPE}")
    bar.set_postfix_str("compares draws")
    return best


@eqx.filter_jit
def _descended(density: LogDensity, start: Array, steps: int) -> Array:
    small = float(np.sqrt(np.finfo(start.dtype).eps))
    solver = optimistix.BFGS(small, small)
    return optimistix.minimise(lambda x, _: -density.at(x), solver, start, max_steps=steps, throw=False).value


def _top_of(density: LogDensity, vector: Array) -> _Top:
    """The density around a place, in float64 from here on."""
    slopes, hessians = _around(density, vector)
    slope, hessian = (np.asarray(x, float).sum(0) for x in (slopes, hessians))
    tells = bool(np.asarray(slopes[0]).any() or np.asarray(hessians[0]).any())
    return _Top(np.asarray(vector, float), float(value_at(density, vector)), slope, (hessian + hessian.T) / 2, tells)


@eqx.filter_jit
def _around(density: LogDensity, vector: Array) -> tuple[Array, Array]:
    """Slopes and second derivatives of likelihood and prior.

    Not the value, whose own derivatives would go through all that finds a fixed point or a sum step by step, where the slope has a rule for it:
    that took a hundred times longer.
    """

    def slopes(vector: Array) -> Array:
        def of(function: Callable[..., Array]) -> Array:
            return jax.grad(lambda x: function(density.space.tree(x, density.start)))(vector)

        return jnp.stack([of(density.log_likelihood), of(density.log_prior)])

    def pushed(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(slopes, (vector,), (direction,))

    # one after another: JAX has no tangents side by side of what has a batching rule of its own, as simulations with delays have
    several, along = jax.lax.map(pushed, jnp.eye(vector.size, dtype=vector.dtype))
    return several[0], jnp.moveaxis(along, 0, -1)


def _fall_off(density: LogDensity, top: _Top) -> tuple[Float[np.ndarray, "number number"], float]:
    """The Cholesky factor of the covariance at the mode, and the logarithm of its determinant.

    Raises:
        ValueError: naming a direction in which the density does not fall off.
    """
    values, directions = np.linalg.eigh(-top.hessian)
    if values[0] <= np.finfo(jnp.result_type(float)).eps * len(values) * abs(values[-1]):
        raise ValueError(
            f"at its mode the density does not fall off along {_named(directions[:, 0], density.space.names)} (curvature {values[0]:.3g}): "
            "the data do not tell it; give a narrower prior, or free less"
        )
    root = np.linalg.cholesky((directions / values) @ directions.T)
    return root, float(np.log(np.diag(root)).sum())


def _named(direction: np.ndarray, names: tuple[str, ...]) -> str:
    """The largest parts of a direction, in words."""
    largest = [i for i in np.argsort(-np.abs(direction))[:_NAMED] if np.abs(direction[i]) >= _LARGE]
    largest = largest or [int(np.argmax(np.abs(direction)))]
    sign = np.sign(direction[largest[0]])
    return ", ".join(f"{names[i]} {sign * direction[i]:+.2f}" for i in largest)
