"""What drives the states at random."""

import abc
import math
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

    Each number depends on the key, the step's absolute number and its place in the step alone: neither the length of a
    chunk nor where a run was interrupted changes what is drawn.

    Example:
        >>> key = jax.random.key(0)
        >>> a, b = increments(key, jnp.array(0), 4, (1, 3), 1.0), increments(key, jnp.array(2), 2, (1, 3), 1.0)
        >>> bool((a[2:] == b).all())
        True
    """
    seed = jax.random.bits(key, (2,), jnp.uint32)
    step = (first + jnp.arange(steps)).astype(jnp.uint32)[:, None]
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32)[None]
    high, low = threefry(seed[0], seed[1], step, place)
    dtype = jnp.result_type(float)
    # Centres of equal cells of (-1, 1): symmetric, and never at the ends, where the normal would be infinite.
    if dtype == jnp.float32:
        uniform = ((high >> 9).astype(dtype) + 0.5) * 2.0**-22 - 1
    else:
        uniform = ((high >> 6).astype(dtype) * 2.0**26 + (low >> 6).astype(dtype) + 0.5) * 2.0**-51 - 1
    normal = math.sqrt(2) * jax.lax.erf_inv(uniform)
    return jnp.sqrt(dt) * normal.reshape(steps, *shape)


def threefry(key_0: Array, key_1: Array, x_0: Array, x_1: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds, Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".

    JAX's own runs its rounds in a loop on a CPU. Written out, XLA fuses it with what is made of the bits: less than half of
    the time (docs/design.md).

    Args:
        key_0: first word of the key, uint32.
        key_1: second word of the key, uint32.
        x_0: first word of the counter, uint32; all four broadcast.
        x_1: second word of the counter, uint32.

    Example:
        >>> zero = jnp.uint32(0)
        >>> [hex(x) for x in threefry(zero, zero, zero, zero)]
        ['0x6b200159', '0x99ba4efe']
    """
    keys = (key_0, key_1, key_0 ^ key_1 ^ jnp.uint32(0x1BD11BDA))
    x_0, x_1 = x_0 + keys[0], x_1 + keys[1]
    for i in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x_0 = x_0 + x_1
            x_1 = ((x_1 << jnp.uint32(turn)) | (x_1 >> jnp.uint32(32 - turn))) ^ x_0
        x_0, x_1 = x_0 + keys[(i + 1) % 3], x_1 + keys[(i + 2) % 3] + jnp.uint32(i + 1)
    return x_0, x_1
