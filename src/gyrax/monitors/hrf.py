"""BOLD by convolution with a hemodynamic response function."""

import inspect
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Complex, Float

from .._kinds import number
from .._types import Parameter, Sources, is_traced
from ..parameters.declaring import Parametric, parameter
from ..parameters.domains import Positive, Real
from .bold import Hemodynamic
from .window import Window


class FirstOrderVolterra(Parametric):
    r"""The first kernel of the Balloon model's Volterra series, Friston et al. (2000), NeuroImage 12; BOLD is $k_1 V_0 (g * z - 1)$.

    $$g(t) = e^{-t / 2\tau_s} \sin(\omega t) / \omega, \quad \omega^2 = 1/\tau_f - 1/(4 \tau_s^2)$$

    The form and its defaults are The Virtual Brain's, whose kernel is a third of this and summed without its step.

    Raises:
        ValueError: if it would not oscillate (tau_f >= 4 tau_s^2).

    Example:
        >>> FirstOrderVolterra()(jnp.array([0.0])).item()
        0.0
    """

    tau_s: Parameter = parameter(0.8, domain=Positive(), unit="s", doc="time constant of signal decay")
    tau_f: Parameter = parameter(0.4, domain=Positive(), unit="s", doc="time constant of feedback regulation")
    k_1: Parameter = parameter(5.6, domain=Positive(), doc="first kernel coefficient")
    V_0: Parameter = parameter(0.02, domain=Positive(), doc="resting blood volume fraction")

    def __check_init__(self):
        if is_traced(self.tau_s, self.tau_f):
            return
        if not (np.asarray(self.tau_f) < 4 * np.asarray(self.tau_s) ** 2).all():
            raise ValueError(
                f"the kernel oscillates only if tau_f < 4 tau_s^2, got tau_s={self.tau_s}, tau_f={self.tau_f} s"
            )

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        omega = jnp.sqrt(1 / self.tau_f - 1 / (4 * self.tau_s**2))
        return jnp.exp(-t / (2 * self.tau_s)) * jnp.sin(omega * t) / omega

    def signal(self, convolved: Float[Array, "..."]) -> Float[Array, "..."]:
        """BOLD of the activity convolved with the kernel."""
        return self.k_1 * self.V_0 * (convolved - 1)


class Gamma(Parametric):
    r"""A gamma density with the peak $a$, Boynton et al. (1996), J. Neurosci. 16: $g \propto (t/\tau)^{n-1} e^{-t/\tau}$.

    Defaults are the paper's tau and n, and The Virtual Brain's peak.

    Example:
        >>> round(float(Gamma()(jnp.array(2 * 1.08))), 6)
        0.1
    """

    tau: Parameter = parameter(1.08, domain=Positive(), unit="s", doc="time constant")
    n: Parameter = parameter(3.0, domain=Positive(), doc="phase delay, larger than 1")
    a: Parameter = parameter(0.1, domain=Real(), doc="peak")

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        at_peak = self.n - 1
        x = jnp.maximum(t / self.tau, jnp.finfo(t.dtype).tiny)
        return self.a * jnp.exp(at_peak * jnp.log(x / at_peak) - x + at_peak)


class DoubleExponential(Parametric):
    r"""Two damped waves with the peak $a$, Polonsky et al. (2000), Nature Neuroscience 3.

    $$g(t) \propto A_1 e^{-t/\tau_1} \sin(2\pi f_1 t) - A_2 e^{-t/\tau_2} \sin(2\pi f_2 t)$$

    Example:
        >>> round(float(DoubleExponential()(jnp.arange(0, 30, 0.01)).max()), 6)
        0.1
    """

    tau_1: Parameter = parameter(7.22, domain=Positive(), unit="s", doc="decay of the first wave")
    f_1: Parameter = parameter(0.03, domain=Positive(), unit="Hz", doc="frequency of the first wave")
    amp_1: Parameter = parameter(0.1, domain=Real(), doc="amplitude of the first wave")
    tau_2: Parameter = parameter(7.4, domain=Positive(), unit="s", doc="decay of the second wave")
    f_2: Parameter = parameter(0.12, domain=Positive(), unit="Hz", doc="frequency of the second wave")
    amp_2: Parameter = parameter(0.1, domain=Real(), doc="amplitude of the second wave")
    a: Parameter = parameter(0.1, domain=Real(), doc="peak")

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        every_10_ms = jnp.arange(0.0, 30.0, 0.01)[:, None]  # the peak has no closed form
        return self.a * self._waves(t) / self._waves(every_10_ms).max(0)

    def _waves(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        def wave(tau, f):
            return jnp.exp(-t / tau) * jnp.sin(2 * jnp.pi * f * t)

        return self.amp_1 * wave(self.tau_1, self.f_1) - self.amp_2 * wave(self.tau_2, self.f_2)


class MixtureOfGammas(Parametric):
    r"""A gamma density less a later one, after Glover (1999), NeuroImage 9; the form and defaults are The Virtual Brain's.

    $$g(t) = \frac{(\lambda t)^{a_1 - 1} e^{-\lambda t}}{\Gamma(a_1)} - c \frac{(\lambda t)^{a_2 - 1} e^{-\lambda t}}{\Gamma(a_2)}$$

    Example:
        >>> bool(MixtureOfGammas()(jnp.array(15.0)) < 0)
        True
    """

    a_1: Parameter = parameter(6.0, domain=Positive(), doc="shape of the response")
    a_2: Parameter = parameter(13.0, domain=Positive(), doc="shape of the undershoot")
    l: Parameter = parameter(1.0, domain=Positive(), unit="1/s", doc="rate")
    c: Parameter = parameter(0.4, domain=Real(), doc="size of the undershoot")

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        x = jnp.maximum(self.l * t, jnp.finfo(t.dtype).tiny)

        def density(a):
            return jnp.exp((a - 1) * jnp.log(x) - x - gammaln(a))

        return density(self.a_1) - self.c * density(self.a_2)


class _Function(eqx.Module):
    """A user's own kernel."""

    function: Any = eqx.field(static=True)

    def __call__(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.function(t)


class HRFBold(Hemodynamic):
    """BOLD by convolution of the activity with a response function: samples `(region,)` at the end of each period.

    The convolution is summed for the samples to come, from averages over at most 20 ms: what is kept is a few numbers a region,
    never the activity. Activity before the run counts as zero.

    Args:
        source: the state or output that is convolved.
        period: repetition time (TR) in ms.
        kernel: FirstOrderVolterra(), Gamma(), DoubleExponential(), MixtureOfGammas(), or any function of an array of times
            in s, `(time, 1)`; a Module's parameters may be one value a region, and are trainable. A method `signal` of it
            makes BOLD of what is convolved.
        length: ms after which the kernel counts as over, at the earliest.

    Raises:
        ValueError: if not exactly one source is given, or the length is not positive.
        TypeError: if the kernel cannot be called.

    Example:
        >>> HRFBold(source="S", period=1000.0, kernel=lambda t: t * jnp.exp(-t)).period
        1000.0
    """

    kernel: Any = eqx.field(
        default_factory=FirstOrderVolterra, converter=lambda k: k if isinstance(k, eqx.Module) else _Function(k)
    )
    length: float = eqx.field(default=32_000.0, converter=lambda x: number("length", x, unit="ms"), static=True)

    def __check_init__(self):
        kernel = getattr(self.kernel, "function", self.kernel)
        if not callable(kernel) or inspect.isclass(kernel):
            raise TypeError(f"a kernel is a function of times in s, or an instance such as Gamma(), got {kernel!r}")
        if not 0 < self.length < math.inf:
            raise ValueError(f"length is a positive number of ms, got {self.length}")

    @property
    def _samples(self) -> int:
        """How many samples to come hear of what happens now."""
        assert self.period is not None
        return math.ceil(self.length / self.period)

    def init(self, x: Sources) -> tuple[Array, Array]:
        self.check_row(x)
        return jnp.zeros((self._samples, x.shape[1]), x.dtype), Window.nothing(x)

    def update(self, state: tuple[Array, Array], window: Window):
        coming, partial = state
        assert self.period is not None
        strides = round(self.period / (window.dt * window.stride))  # in a period
        partial, means = window.averages(partial)
        drive, shares = means[:, 0], self._shares(strides, window)
        if window.whole and window.whole % strides == 0:
            heard = self._heard(shares, drive.reshape(-1, strides, drive.shape[-1]))
            coming, samples = jax.lax.scan(_next, coming, heard)
            samples = jnp.repeat(samples, strides, axis=0)
        else:
            ended = -(-window.step // window.stride)  # this one included
            now = (ended - len(drive)) % strides
            heard = self._heard(jax.lax.dynamic_slice_in_dim(shares, now, len(drive), 1), drive[None])[0]
            new = coming + heard if window.whole else jnp.where(window.ends, coming + heard, coming)
            last = window.step % (strides * window.stride) == 0
            samples = jnp.repeat(new[:1], len(drive), axis=0)
            coming = jnp.where(last, _next(new, jnp.zeros_like(new))[0], new)
        return (coming, partial), self._signal(samples)

    def at_start(self, x: Sources) -> Float[Array, " node"]:
        return self._signal(jnp.zeros_like(x[0]))

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        """The Fourier transform of the kernel, summed as a run sums it: over averages of at most 20 ms."""
        values, step, slope = self.convolution(level)
        ago = (jnp.arange(len(values), dtype=omega.dtype) + 0.5) * step
        return jnp.exp(-1j * omega[:, None] * ago) @ values * slope

    def convolution(self, level: Sources) -> tuple[Float[Array, "time #node"], float, Float[Array, " node"]]:
        """The kernel at the middle of steps of at most 20 ms, the step in it; the step in ms; the slope of the signal made of it."""
        self.check_row(level)
        assert self.period is not None
        count = self._samples * math.ceil(self.period / self.longest_step)
        step = self._samples * self.period / count
        ago = (jnp.arange(count, dtype=level.dtype) + 0.5) * step / 1000
        slope = jax.jvp(self._signal, (jnp.zeros_like(level[0]),), (jnp.ones_like(level[0]),))[1]
        return step / 1000 * self.kernel(ago[:, None]), step, slope

    def _signal(self, convolved: Array) -> Array:
        return self.kernel.signal(convolved) if hasattr(self.kernel, "signal") else convolved

    def _shares(self, strides: int, window: Window) -> Float[Array, "sample stride #node"]:
        """What each sample from the next on hears of each stride of this period."""
        h = window.stride * window.dt / 1000  # s
        ago = (jnp.arange(self._samples * strides, dtype=window.path.dtype) + 0.5) * h
        values = self.kernel(ago[:, None])
        if values.shape not in ((len(ago), 1), (len(ago), window.end.shape[1])):
            raise ValueError(
                f"the kernel makes {values.shape} of times (time, 1) = {(len(ago), 1)}: one value for each"
            )
        return h * values.reshape(self._samples, strides, -1)[:, ::-1]

    def _heard(self, shares: Array, drive: Float[Array, "period stride node"]) -> Float[Array, "period sample node"]:
        if shares.shape[-1] == 1:
            return jnp.einsum("js,qsn->qjn", shares[..., 0], drive)
        return jnp.einsum("jsn,qsn->qjn", shares, drive)


def _next(coming: Float[Array, "sample node"], heard: Float[Array, "sample node"]) -> tuple[Array, Array]:
    """One period on: the samples to come after it, and the one at its end."""
    coming = coming + heard
    return jnp.concatenate([coming[1:], jnp.zeros_like(coming[:1])]), coming[0]
