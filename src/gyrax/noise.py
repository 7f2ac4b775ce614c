"""What drives the states at random."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._types import Parameter, State
from .couplings import as_names
from .domains import Parametric, Positive, parameter


class AbstractNoise(Parametric):
    """Independent Wiener processes, one for each noisy state of each region, with an amplitude that may depend on the state.

    With an amplitude that does, the solver decides the interpretation: Ito with `EulerMaruyama`, Stratonovich with `Heun`.

    Attributes:
        states: names of the noisy states; left out, all.
    """

    states: tuple[str, ...] | None = eqx.field(default=None, converter=as_names, static=True, kw_only=True)

    @abc.abstractmethod
    def diffusion(self, t, y: State) -> Float[Array, "..."]:
        """Amplitude per square root of a ms of the noisy rows; it broadcasts to `(noisy state, node)`.

        Args:
            t: time in ms.
            y: the noisy rows of the state.
        """


class White(AbstractNoise):
    r"""Additive white noise: $dy = f\,dt + \sigma\,dW$ with W in ms, so a step adds N(0, $\sigma^2 dt$).

    `sigma` is one number, `(node,)` for one a region, `(state, 1)` for one a noisy state, or `(state, node)`. In The
    Virtual Brain's terms, $\sigma = \sqrt{2\,nsig}$.

    Example:
        >>> White(sigma=0.01, states="S")
        White(states=('S',), sigma=0.01)
    """

    sigma: Parameter = parameter(0.01, domain=Positive(), doc="amplitude per square root of a ms")

    def diffusion(self, t, y: State) -> Float[Array, "..."]:
        return self.sigma


def increments(
    key: PRNGKeyArray | Any, first: Int[Array, ""], steps: int, shape: tuple[int, ...], dt: Any
) -> Float[Array, "step ..."]:
    """Wiener increments of the steps from `first` on, `(step, *shape)`.

    Each step has a key of its own, made from its absolute number: neither the length of a chunk nor where a run was
    interrupted changes what is drawn.

    Example:
        >>> key = jax.random.key(0)
        >>> a, b = increments(key, jnp.array(0), 4, (1, 3), 1.0), increments(key, jnp.array(2), 2, (1, 3), 1.0)
        >>> bool((a[2:] == b).all())
        True
    """
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(first + jnp.arange(steps))
    return jnp.sqrt(dt) * jax.vmap(lambda k: jax.random.normal(k, shape))(keys)
