"""BOLD: the Balloon-Windkessel model, and its first-order Volterra kernel."""

import difflib
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Parameter, Sources, is_traced
from ..domains import Interval, Positive, parameter
from .base import AbstractMonitor, Window

#: Named constants. kappa and gamma are rates (1/s), tau a time (s): Friston et al. (2003) print the rates 0.65 and 0.41,
#: which some codes take for time constants.
_FRISTON = dict(kappa=0.65, gamma=0.41, tau=0.98, alpha=0.32, E_0=0.34)
CONSTANTS: dict[str, dict[str, Any]] = {
    "stephan2007": dict(**_FRISTON, V_0=0.04, theta_0=40.3, r_0=25.0, TE=0.04, epsilon=1.43, coefficients="revised"),
    "friston2003": dict(**_FRISTON, V_0=0.02, coefficients="classic"),
    "spm12": dict(kappa=0.64, gamma=0.32, tau=2.0, alpha=0.32, E_0=0.4, V_0=0.04, theta_0=40.3, r_0=25.0, TE=0.04)
    | dict(epsilon=1.0, coefficients="revised"),
}


class _Hemodynamic(AbstractMonitor):
    """What both monitors share: sources averaged over short steps, a state advanced by each, a signal read off it."""

    longest_step: ClassVar[float] = 20.0  # ms

    def stride(self, dt: float, period: int) -> int:
        # A divisor of the period, so that it depends on nothing but the monitor itself and dt.
        return max(k for k in range(1, period + 1) if period % k == 0 and (k * dt <= self.longest_step or k == 1))

    def _check_source(self) -> None:
        if self.source is None or len(self.source) != 1:
            raise ValueError(f"{type(self).__name__} listens to one state or output: source='S'; got {self.source}")

    def _stream(
        self, state: tuple[Array, Array], window: Window, advance: Callable[[Array, Array], Array]
    ) -> tuple[tuple[Array, Array], Float[Array, "stride variable node"]]:
        """Hemodynamic states at the end of every stride."""
        h, partial = state
        partial, means = window.averages(partial)
        drive = means[:, 0]
        if not window.whole:
            new = advance(h, drive[0])
            return (jnp.where(window.ends, new, h), partial), new[None]

        def step(h, z):
            h = advance(h, z)
            return h, h

        h, path = jax.lax.scan(step, h, drive)
        return (h, partial), path


class Balloon(_Hemodynamic):
    r"""Balloon-Windkessel BOLD, Stephan et al. (2007), "Comparing hemodynamic models with DCM", NeuroImage 38, eq. 1 to 12.

    $$\dot s = z - \kappa s - \gamma (f - 1), \quad \dot f = s, \quad \tau \dot v = f - v^{1/\alpha}, \quad
    \tau \dot q = f \frac{1 - (1 - E_0)^{1/f}}{E_0} - v^{1/\alpha} \frac{q}{v}$$

    $$y = V_0 \big( k_1 (1 - q) + k_2 (1 - q/v) + k_3 (1 - v) \big)$$

    "revised" coefficients: $k_1 = 4.3\,\vartheta_0 E_0 TE$, $k_2 = \epsilon r_0 E_0 TE$, $k_3 = 1 - \epsilon$;
    "classic": $k_1 = 7 E_0$, $k_2 = 2$, $k_3 = 2 E_0 - 0.2$. Integrated with Heun steps of at most 20 ms in the logarithms
    of f, v and q, which cannot become negative. Starts at rest, where the signal is exactly zero. Samples `(region,)` at the
    end of each period. Hemodynamic parameters may be one value a region, and are trainable like all others.

    Args:
        source: the state or output that drives the vessels.
        period: repetition time (TR) in ms.
        constants: "stephan2007" (1.5 T, TE 40 ms), "friston2003" (classic coefficients) or "spm12".
        overrides: single constants by name: kappa and gamma in 1/s, tau and TE in s.

    Raises:
        ValueError: for unknown constants, revised coefficients of constants that have none, or not exactly one source.

    Example:
        >>> Balloon(source="S", period=720.0, kappa=0.7).kappa.item() > 0.69
        True
    """

    coefficients: str = eqx.field(static=True)
    kappa: Parameter = parameter(0.65, domain=Positive(), unit="1/s", doc="rate of signal decay")
    gamma: Parameter = parameter(0.41, domain=Positive(), unit="1/s", doc="rate of flow-dependent elimination")
    tau: Parameter = parameter(0.98, domain=Positive(), unit="s", doc="transit time")
    alpha: Parameter = parameter(0.32, domain=Interval(0.0, 1.0), doc="Grubb's exponent")
    E_0: Parameter = parameter(0.34, domain=Interval(0.0, 1.0), doc="resting oxygen extraction fraction")
    V_0: Parameter = parameter(0.04, domain=Positive(), doc="resting venous blood volume fraction")
    theta_0: Parameter | None = parameter(40.3, domain=Positive(), unit="1/s", doc="frequency offset")
    r_0: Parameter | None = parameter(25.0, domain=Positive(), unit="1/s", doc="slope of intravascular relaxation")
    TE: Parameter | None = parameter(0.04, domain=Positive(), unit="s", doc="echo time")
    epsilon: Parameter | None = parameter(1.43, domain=Positive(), doc="intra- over extravascular signal")

    def __init__(self, *, source: Any, period: float, constants: str = "stephan2007", **overrides: Any):
        if constants not in CONSTANTS:
            raise ValueError(f"no Balloon constants '{constants}'; there are {', '.join(CONSTANTS)}")
        values = CONSTANTS[constants]
        for name in overrides:
            if name not in values:
                close = difflib.get_close_matches(name, values, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise ValueError(f"no Balloon constant '{name}'; {hint}'{constants}' has {', '.join(values)}")
        self.source, self.period = source, period
        values = values | overrides
        if values["coefficients"] not in ("revised", "classic"):
            raise ValueError(f"coefficients are 'revised' or 'classic', got {values['coefficients']!r}")
        if values["coefficients"] == "revised" and "theta_0" not in values:
            raise ValueError(f"'{constants}' has no theta_0, r_0, TE and epsilon for the revised coefficients")
        for name in ("theta_0", "r_0", "TE", "epsilon"):
            setattr(self, name, None)
        for name, value in values.items():
            setattr(self, name, value if name == "coefficients" else jnp.asarray(value, jnp.result_type(float)))

    def __check_init__(self):
        self._check_source()

    def init(self, x: Sources) -> tuple[Array, Array]:
        return jnp.zeros((4, x.shape[1]), x.dtype), jnp.zeros_like(x)

    def update(self, state: tuple[Array, Array], window: Window):
        h = window.stride * window.dt / 1000  # s

        def advance(b, z):
            k1 = self._flow(b, z)
            k2 = self._flow(b + h * k1, z)
            return b + 0.5 * h * (k1 + k2)

        state, path = self._stream(state, window, advance)
        return state, jax.vmap(self.signal)(path)

    def _flow(self, b: Float[Array, "4 node"], z: Float[Array, " node"]) -> Float[Array, "4 node"]:
        """Time derivative (1/s) of s, log f, log v and log q."""
        s, f, v, q = b[0], jnp.exp(b[1]), jnp.exp(b[2]), jnp.exp(b[3])
        outflow = jnp.exp(b[2] / self.alpha)
        # The same expression above and below: exactly one at rest.
        left = jnp.log1p(-self.E_0)
        extraction = jnp.expm1(left / f) / jnp.expm1(left / jnp.ones_like(f))
        return jnp.stack(
            [
                z - self.kappa * s - self.gamma * (f - 1),
                s / f,
                (f - outflow) / (self.tau * v),
                (f * extraction / q - outflow / v) / self.tau,
            ]
        )

    def signal(self, b: Float[Array, "4 node"]) -> Float[Array, " node"]:
        """BOLD signal change of the hemodynamic state (s, log f, log v, log q)."""
        if self.coefficients == "classic":
            k1, k2, k3 = 7 * self.E_0, 2.0, 2 * self.E_0 - 0.2
        else:
            assert (
                self.theta_0 is not None and self.r_0 is not None and self.TE is not None and self.epsilon is not None
            )
            k1 = 4.3 * self.theta_0 * self.E_0 * self.TE
            k2 = self.epsilon * self.r_0 * self.E_0 * self.TE
            k3 = 1 - self.epsilon
        return -self.V_0 * (k1 * jnp.expm1(b[3]) + k2 * jnp.expm1(b[3] - b[2]) + k3 * jnp.expm1(b[2]))


class HRFBold(_Hemodynamic):
    r"""BOLD by the first-order Volterra kernel of the Balloon model, Friston et al. (2000), NeuroImage 12: $y = k_1 V_0 (g * z - 1)$ with

    $$g(t) = e^{-t / 2\tau_s} \sin(\omega t) / \omega, \quad \omega^2 = 1/\tau_f - 1/(4 \tau_s^2)$$

    The form is The Virtual Brain's, which scales its kernel by 1/3 and sums it without its step: amplitudes differ.
    The kernel is the response of a damped oscillator, so the convolution is two numbers a region, advanced exactly from one
    step of at most 20 ms to the next: nothing is stored and nothing truncated. Samples `(region,)` at the end of a period.

    Args:
        source: the state or output that is convolved.
        period: repetition time (TR) in ms.

    Raises:
        ValueError: if the kernel would not oscillate (tau_f >= 4 tau_s^2), or not exactly one source is given.

    Example:
        >>> HRFBold(source="S", period=1000.0)
        HRFBold(source=('S',), period=1000.0, tau_s=0.8 s, tau_f=0.4 s, k_1=5.6, V_0=0.02)
    """

    tau_s: Parameter = parameter(0.8, domain=Positive(), unit="s", doc="time constant of signal decay")
    tau_f: Parameter = parameter(0.4, domain=Positive(), unit="s", doc="time constant of feedback regulation")
    k_1: Parameter = parameter(5.6, domain=Positive(), doc="first kernel coefficient")
    V_0: Parameter = parameter(0.02, domain=Positive(), doc="resting blood volume fraction")

    def __check_init__(self):
        self._check_source()
        if is_traced(self.tau_s, self.tau_f):
            return
        if not (np.asarray(self.tau_f) < 4 * np.asarray(self.tau_s) ** 2).all():
            raise ValueError(
                f"the kernel oscillates only if tau_f < 4 tau_s^2, got tau_s={self.tau_s}, tau_f={self.tau_f} s"
            )

    def init(self, x: Sources) -> tuple[Array, Array]:
        return jnp.zeros((2, x.shape[1]), x.dtype), jnp.zeros_like(x)

    def update(self, state: tuple[Array, Array], window: Window):
        h = window.stride * window.dt / 1000  # s
        rate = 1 / (2 * self.tau_s)
        omega = jnp.sqrt(1 / self.tau_f - rate**2)
        decay, c, s = jnp.exp(-rate * h), jnp.cos(omega * h), jnp.sin(omega * h) / omega

        def advance(p, z):
            # Exact for a constant z: free motion about the resting point it pulls to.
            x, dx = p[0] - self.tau_f * z, p[1]
            y = decay * (x * c + (dx + rate * x) * s)
            dy = decay * (dx * (c - rate * s) - x * s / self.tau_f)
            return jnp.stack([y + self.tau_f * z, dy])

        state, path = self._stream(state, window, advance)
        return state, self.k_1 * self.V_0 * (path[:, 0] - 1)
