"""Gradients by an evolution strategy: of the mean loss around the parameters, from values of the loss alone."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._kinds import number, refused, whole
from .objective import Objective

#: What perturbations are made with: no step has this number, nor has validation noise.
_PERTURBED = np.uint32(2**32 - 2)
#: What JAX says where a loss has no gradient.
_NO_GRADIENT = ("everse-mode differentiation", "grad requires real")


@dataclasses.dataclass(frozen=True)
class Evolution:
    r"""Gradients from values of the loss alone: for activity that is chaotic, and losses that count, sort or decide.

    The free leaves x, on the real line, are moved by random pairs $\pm\sigma\varepsilon_i$, and

    $$g = \frac{1}{2 \sigma n} \sum_{i=1}^{n} \big( L(x + \sigma\varepsilon_i) - L(x - \sigma\varepsilon_i) \big) \varepsilon_i$$

    is on average the gradient of $E[L(x + \sigma\varepsilon)]$, the loss smoothed over $\sigma$ (Salimans et al. 2017,
    arXiv:1703.03864). All are simulated side by side, on the same noise. A step costs 2 pairs + 1 simulations for every realisation
    and start, and no way back. The variance falls as 1 / pairs and grows with the number of free values: take more pairs than
    a few for one value a region.

    Args:
        pairs: n, how many.
        sd: sigma, on the real line, where 1 is the size of a parameter's declared default. Small, and chaos shows; large, and
            what is found is blurred.

    Raises:
        ValueError: for no pairs, or a standard deviation that is not positive.

    Example:
        >>> import gyrax as gx, optax
        >>> model = gx.models.Linear(gamma=-0.5)
        >>> steps_down = lambda m, key: jnp.floor(100 * jnp.abs(m.gamma + 1.0))     # no gradient anywhere
        >>> fitted = gx.fit(model, steps_down, gx.select(model, "gamma"), optax.adam(0.01), steps=200, gradient=Evolution(), progress=False)
        >>> abs(float(fitted.model.gamma) + 1.0) < 0.05
        True
    """

    pairs: int = 16
    sd: float = 0.05

    def __post_init__(self):
        object.__setattr__(self, "pairs", whole("pairs", self.pairs))
        sd = float(number("sd", self.sd))
        if not (math.isfinite(sd) and sd > 0):
            raise ValueError(f"sd is a positive number, got {sd}")
        object.__setattr__(self, "sd", sd)


def checked_gradient(value: Any) -> Evolution | None:
    """How `fit` makes gradients: None for exact ones.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, Evolution) or (isinstance(value, str) and value == "exact"):
        return None if isinstance(value, str) else value
    raise refused("gradient", value, "'exact' or an evolution strategy", "gx.Evolution(pairs=16, sd=0.05)")


def explain(error: Exception) -> None:
    """Tells an error a way out, if it is that the loss has no gradient."""
    if any(words in str(error) for words in _NO_GRADIENT):
        error.add_note("gyrax: this loss has no gradient; gx.fit(..., gradient=gx.Evolution()) needs none")


def smoothed(
    objective: Objective, evolution: Evolution, keys: Array, starts: int | None, key: Any
) -> Callable[[PyTree], tuple[Array, dict[str, Array]]]:
    """`objective.means` as a function of the free leaves, with an estimate in the place of its gradient.

    Args:
        objective: what is descended.
        evolution: how its gradient is estimated.
        keys: of the noise, the same for all that are compared.
        starts: how many there are side by side; each is moved in the same ways, so that none knows of the others.
        key: of the perturbations.
    """
    pairs, sd = evolution.pairs, evolution.sd

    @jax.custom_vjp
    def means(free: PyTree):
        value, terms = objective.means(free, keys, starts)
        return _real(value), terms

    def forward(free: PyTree):
        leaves, tree = jax.tree.flatten(free)
        own = () if starts is None else (starts,)
        ways = [
            jax.random.normal(jax.random.fold_in(key, i), (pairs, *x.shape[len(own) :]), x.dtype)
            for i, x in enumerate(leaves)
        ]
        several = []
        for x, way in zip(leaves, ways, strict=True):
            moves = sd * jnp.concatenate([jnp.zeros_like(way[:1]), way, -way])
            moved = x[:, None] + moves if own else x + moves
            several.append(moved.reshape(-1, *way.shape[1:]))
        count = math.prod(own) * (2 * pairs + 1)
        out = objective.means(jax.tree.unflatten(tree, several), keys, count)
        value, terms = jax.tree.map(lambda x: x.reshape(*own, 2 * pairs + 1), (_real(out[0]), out[1]))
        ahead, behind = value[..., 1 : pairs + 1], value[..., pairs + 1 :]
        rise = (ahead - behind) / (2 * sd * pairs)
        slopes = [jnp.tensordot(rise, way, 1).astype(way.dtype) for way in ways]
        return jax.tree.map(lambda x: x[..., 0], (value, terms)), jax.tree.unflatten(tree, slopes)

    def backward(slopes: PyTree, bars: Any):
        def along(slope: Array):
            return slope * jnp.expand_dims(bars[0], tuple(range(jnp.ndim(bars[0]), slope.ndim))).astype(slope.dtype)

        return (jax.tree.map(along, slopes),)

    means.defvjp(forward, backward)
    return means


def perturbing(key: Any, step: Array) -> Any:
    """The key of a step's perturbations, in a fit with this key."""
    return jax.random.fold_in(jax.random.fold_in(key, _PERTURBED), step)


def _real(value: Array) -> Array:
    """A loss as a real number: counts are whole, and a verdict is True or False."""
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(jnp.result_type(float))
