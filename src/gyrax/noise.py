"""What drives the states at random."""

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from ._kinds import reals
from ._types import Parameter, State, owned
from .memory import AbstractMemory
from .parameters.declaring import Parametric, array_of, names_of, parameter, refuse_names
from .parameters.domains import Positive


class AbstractNoise(Parametric):
    """Independent Wiener processes, one for each noisy state of each region, with an amplitude that may depend on the state.

    With an amplitude that does, the solver decides the interpretation: Ito with `EulerMaruyama`, Stratonovich with `Heun`.

    Attributes:
        states: names of the noisy states; left out, all.
        mixing: `(node, source)`; what each region takes of independent sources, in place of a process of its own. The
            covariance between regions is mixing @ mixing.T: `gx.noise.factor` makes a mixing of a covariance.
    """

    states: tuple[str, ...] | None = eqx.field(default=None, converter=names_of("states"), static=True, kw_only=True)
    mixing: Float[Array, "node source"] | None = eqx.field(default=None, converter=array_of("mixing"), kw_only=True)
    #: Names of inputs that it adds to in place of states, for noise that can.
    inputs: ClassVar[tuple[str, ...] | None] = None

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


class Multiplicative(AbstractNoise):
    r"""White noise whose amplitude depends on the state: $dy = f\,dt + \sigma\,g(y)\,dW$.

    Args:
        function: g, of the noisy rows `(noisy state, node)`; what it returns broadcasts to them.

    Example:
        >>> sheltered = Multiplicative(lambda S: S * (1 - S), sigma=0.1, states="S")
        >>> float(sheltered.diffusion(0.0, jnp.array([[0.5]]))[0, 0])
        0.025...
    """

    function: Callable[[State], Float[Array, "..."]] = eqx.field(static=True)
    sigma: Parameter = parameter(0.01, domain=Positive(), doc="amplitude per square root of a ms where g is 1")

    def diffusion(self, t, y: State) -> Float[Array, "..."]:
        return self.sigma * self.function(y)


class OrnsteinUhlenbeck(AbstractNoise, AbstractMemory):
    r"""Coloured noise: a process with a memory that adds to the derivatives of states, or to inputs.

    $$\tau\,d\eta = -\eta\,dt + \sigma \sqrt{2 \tau}\,dW, \quad \dot y = f + \eta$$

    Its standard deviation is `sigma` whatever `tau`, and its correlation over a time t is exp(-t / tau). Steps are exact
    (Gillespie 1996, "Exact numerical simulation of the Ornstein-Uhlenbeck process and its integral", Phys. Rev. E 54):
    their length changes nothing about it. A run starts with a draw from the long run.

    Attributes:
        inputs: names of inputs that it adds to, in place of states.

    Example:
        >>> OrnsteinUhlenbeck(sigma=0.02, tau=5.0, inputs="c")
        OrnsteinUhlenbeck(inputs=('c',), sigma=0.02, tau=5 ms)
    """

    inputs: tuple[str, ...] | None = eqx.field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, converter=names_of("inputs"), static=True, kw_only=True
    )
    sigma: Parameter = parameter(0.01, domain=Positive(), doc="standard deviation, of a state per ms or of an input")
    tau: Parameter = parameter(5.0, domain=Positive(), unit="ms", doc="time constant of its memory")

    def __check_init__(self):
        if self.states is not None and self.inputs is not None:
            raise ValueError(f"noise adds to states or to inputs, got states={self.states} and inputs={self.inputs}")

    def diffusion(self, t, y: State) -> Float[Array, "..."]:
        """Amplitude of the Wiener process behind it, y being its own rows."""
        return self.sigma * jnp.sqrt(2 / self.tau)

    def begin(self, normals: State) -> State:
        return jnp.broadcast_to(self.sigma * normals, normals.shape)

    def advance(self, rows: State, increments: State, dt: Any) -> State:
        kept = jnp.exp(-dt / self.tau)
        fresh = self.sigma * jnp.sqrt(-jnp.expm1(-2 * dt / self.tau) / dt)
        return kept * rows + fresh * increments


def factor(covariance: Any) -> Float[Array, "node source"]:
    """A mixing for noise of this covariance between regions: its symmetric square root, which may be singular.

    Raises:
        ValueError: if it is not square, not symmetric or has negative variances in some direction.

    Example:
        >>> mixing = factor([[1.0, 0.5], [0.5, 1.0]])
        >>> bool(jnp.allclose(mixing @ mixing.T, jnp.array([[1.0, 0.5], [0.5, 1.0]]), atol=1e-6))
        True
        >>> White(sigma=0.01, mixing=mixing).mixing.shape
        (2, 2)
    """
    refuse_names(covariance, "a mixing")
    matrix = reals("covariance", covariance)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a covariance is (node, node), got shape {matrix.shape}")
    size = np.abs(matrix).max(initial=0)
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, atol=1e-6 * size):
        raise ValueError("a covariance is finite and symmetric")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values.min(initial=0) < -1e-6 * size:
        raise ValueError(f"a covariance has no negative eigenvalue, got {values.min():.3g}")
    return owned((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T, jnp.result_type(float))


def increments(
    key: PRNGKeyArray | Any, first: Int[Array, "*_"], steps: int, shape: tuple[int, ...], dt: Any
) -> Float[Array, "step ..."]:
    """Wiener increments of the steps from `first` on, `(step, *shape)`.

    Each number depends on the key, the step's absolute number and its place in the step alone: neither the length of a
    chunk nor where a run was interrupted changes what is drawn. Of a batch, with a key or a first step for each simulation, the
    batch is the last axis; `vmap` would draw with it first, and move all that was drawn.

    Example:
        >>> key = jax.random.key(0)
        >>> a, b = increments(key, jnp.array(0), 4, (1, 3), 1.0), increments(key, jnp.array(2), 2, (1, 3), 1.0)
        >>> bool((a[2:] == b).all())
        True
    """
    seed = _seed(key)
    batch = jnp.broadcast_shapes(seed.shape[1:], jnp.shape(first))
    lead = jnp.arange(max(steps, math.prod(shape))).reshape(-1, *(1 for _ in batch))
    step = (first + lead[:steps]).astype(jnp.uint32)[:, None]
    place = lead[: math.prod(shape)].astype(jnp.uint32)[None]
    high, low = threefry(seed[0], seed[1], step, place)
    dtype = jnp.result_type(float)
    # Centres of equal cells of (-1, 1): symmetric, and never at the ends, where the normal would be infinite.
    if dtype == jnp.float32:
        normal = _normal(((high >> 9).astype(dtype) + 0.5) * 2.0**-22 - 1)
    else:
        uniform = ((high >> 6).astype(dtype) * 2.0**26 + (low >> 6).astype(dtype) + 0.5) * 2.0**-51 - 1
        normal = math.sqrt(2) * jax.lax.erf_inv(uniform)
    return jnp.sqrt(dt) * normal.reshape(steps, *shape, *batch)


#: sqrt(2) erfinv(x) / x as a quotient of polynomials of w = -log(1 - x**2), lowest power first: within 1e-8 of it up to w = 15.5,
#: which is beyond the last cell of float32. Lawson's weighted least squares (tests/test_noise.py has what it is held to).
_ABOVE = (1.2533141, 0.43250971, 0.084016475, 0.010948813, 0.00090863553, 3.4910597e-05)
_BELOW = (1.0, 0.08329372, 0.032195874, 0.00185860063, 0.00018098534, 1.3189121e-06)
#: log(1 + m) / m for m within 1/3 of 0, by the same method: the logarithm is within 3e-8.
_LOG = (0.99999934, -0.49999751, 0.33341747, -0.25017599, 0.19726126, -0.16266786, 0.1746919, -0.1607961)


def _normal(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(2) erfinv(x) in float32, at centres of cells of (-1, 1).

    XLA's takes two thirds of the time of a normal number, and has 6e-6 relative error in the tails, where it makes 1 - x**2
    of a rounded square; the product of its factors, which are exact, leaves 3e-7 everywhere (docs/design.md).
    """
    y = (1 - x) * (1 + x)
    # y = 2**e (1 + m), with 2/3 <= 1 + m < 4/3: the bits of a float are its exponent and, linear in it, its mantissa.
    lowest = 0x3F2AAAAB  # of 2/3
    bits = jax.lax.bitcast_convert_type(y, jnp.int32) - lowest
    e = (bits >> 23).astype(x.dtype)
    m = jax.lax.bitcast_convert_type((bits & 0x7FFFFF) + lowest, x.dtype) - 1
    w = -(e * math.log(2) + m * _polynomial(_LOG, m))
    return x * (_polynomial(_ABOVE, w) / _polynomial(_BELOW, w))


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "..."]) -> Float[Array, "..."]:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def _seed(key: PRNGKeyArray | Any) -> UInt32[Array, "2 *batch"]:
    """Two words of a key, or of each of several."""

    def words(key):
        return jax.random.bits(key, (2,), jnp.uint32)

    several = key.ndim > (0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1)
    return jax.vmap(words, out_axes=-1)(key) if several else words(key)


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
