"""BOLD by the Balloon-Windkessel model."""

import difflib
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .._kinds import choice, shown
from .._ranges import REPETITION, check_usual
from .._types import Parameter, Sources
from ..parameters.declaring import parameter
from ..parameters.domains import Interval, Positive
from .base import AbstractMonitor
from .window import Window

#: Named constants. kappa and gamma are rates (1/s), tau a time (s): Friston et al. (2003) print the rates 0.65 and 0.41,
#: which some codes take for time constants.
_FRISTON = dict(kappa=0.65, gamma=0.41, tau=0.98, alpha=0.32, E_0=0.34)
CONSTANTS: dict[str, dict[str, Any]] = {
    "stephan2007": dict(**_FRISTON, V_0=0.04, theta_0=40.3, r_0=25.0, TE=0.04, epsilon=1.43, coefficients="revised"),
    "friston2003": dict(**_FRISTON, V_0=0.02, coefficients="classic"),
    "spm12": dict(kappa=0.64, gamma=0.32, tau=2.0, alpha=0.32, E_0=0.4, V_0=0.04, theta_0=40.3, r_0=25.0, TE=0.04)
    | dict(epsilon=1.0, coefficients="revised"),
}
#: What depends on the field strength. theta_0 grows in proportion to it.
_FIELDS = {
    1.5: dict(theta_0=40.3, TE=0.04, r_0=25.0, epsilon=1.43),
    3.0: dict(theta_0=80.6, TE=0.03, r_0=110.0, epsilon=0.47),
    7.0: dict(theta_0=188.1, TE=0.028, r_0=340.0, epsilon=0.026),
}


def _constants(name: str, tesla: float | None, overrides: dict[str, Any]) -> dict[str, Any]:
    """All constants by name, None for those that the coefficients do without."""
    if not isinstance(name, str) or name not in CONSTANTS:
        raise ValueError(f"constants: no Balloon constants {shown(name)}; there are {', '.join(CONSTANTS)}")
    values = CONSTANTS[name]
    for given in overrides:
        if given not in values:
            close = difflib.get_close_matches(given, values, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise ValueError(f"no Balloon constant '{given}'; {hint}'{name}' has {', '.join(values)}")
    if tesla is not None:
        if not isinstance(tesla, int | float) or tesla not in _FIELDS:
            raise ValueError(f"tesla is 1.5, 3 or 7, got {tesla}; for other fields give theta_0, r_0, TE and epsilon")
        if "theta_0" not in values:
            raise ValueError(
                f"'{name}' does not depend on the field strength: leave tesla out, or choose 'stephan2007'"
            )
        values = values | _FIELDS[tesla]
    values = values | overrides
    if values["coefficients"] not in ("revised", "classic"):
        raise ValueError(f"coefficients are 'revised' or 'classic', got {values['coefficients']!r}")
    if values["coefficients"] == "revised" and "theta_0" not in values:
        raise ValueError(f"'{name}' has no theta_0, r_0, TE and epsilon for the revised coefficients")
    return dict.fromkeys(("theta_0", "r_0", "TE", "epsilon")) | values


class Hemodynamic(AbstractMonitor):
    """BOLD of one source, in steps of at most `longest_step`."""

    longest_step: ClassVar[float] = 20.0  # ms

    def __check_init__(self):
        if self.source is not None and len(self.source) != 1:
            raise ValueError(f"{type(self).__name__} listens to one state or output: source='S'; got {self.source}")
        if self.period is not None and self.period > 0:
            check_usual(self.period, REPETITION)

    def stride(self, dt: float, period: int) -> int:
        # A divisor of the period, so that it depends on nothing but the monitor itself and dt.
        return max(k for k in range(1, period + 1) if period % k == 0 and (k * dt <= self.longest_step or k == 1))

    def check_row(self, x: Sources) -> None:
        """Refuses more than one source, where none was named."""
        if len(x) != 1:
            raise ValueError(
                f"{type(self).__name__} listens to one state or output, and hears {len(x)}: name one, such as source='S'"
            )

    def at_start(self, x: Sources) -> Float[Array, " node"]:
        return jnp.zeros_like(x[0])


class Balloon(Hemodynamic):
    r"""Balloon-Windkessel BOLD, Stephan et al. (2007), "Comparing hemodynamic models with DCM", NeuroImage 38, eq. 1 to 12.

    $$\dot s = z - \kappa s - \gamma (f - 1), \quad \dot f = s, \quad \tau \dot v = f - v^{1/\alpha}, \quad
    \tau \dot q = f \frac{1 - (1 - E_0)^{1/f}}{E_0} - v^{1/\alpha} \frac{q}{v}$$

    $$y = V_0 \big( k_1 (1 - q) + k_2 (1 - q/v) + k_3 (1 - v) \big)$$

    "revised" coefficients: $k_1 = 4.3\,\vartheta_0 E_0 TE$, $k_2 = \epsilon r_0 E_0 TE$, $k_3 = 1 - \epsilon$;
    "classic": $k_1 = 7 E_0$, $k_2 = 2$, $k_3 = 2 E_0 - 0.2$. Integrated in steps of at most 20 ms in the logarithms
    of f, v and q, which cannot become negative. Starts at rest, where the signal is exactly zero. Samples `(region,)` at the
    end of each period. Hemodynamic parameters may be one value a region, and are trainable like all others.

    Args:
        source: the state or output that drives the vessels.
        period: repetition time (TR) in ms.
        constants: "stephan2007" (1.5 T, TE 40 ms), "friston2003" (classic coefficients) or "spm12".
        tesla: field strength of the scanner, 1.5, 3 or 7: theta_0, r_0, epsilon and TE as in Heinzle et al. (2016), "A
            hemodynamic model for layered BOLD signals", NeuroImage 125. Left out, those of the constants, at 1.5 T.
        scheme: "heun", of second order, or "euler", of first, as many codes have it.
        overrides: single constants by name: kappa and gamma in 1/s, tau and TE in s.

    Raises:
        ValueError: for unknown constants, field strengths or schemes, revised coefficients of constants that have none, or
            not exactly one source.

    Example:
        >>> Balloon(source="S", period=720.0, kappa=0.7).kappa.item() > 0.69
        True
    """

    coefficients: str = eqx.field(static=True)
    scheme: str = eqx.field(static=True)
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

    def __init__(
        self,
        *,
        source: Any = None,
        period: float,
        constants: str = "stephan2007",
        tesla: float | None = None,
        scheme: str = "heun",
        **overrides: Any,
    ):
        self.source, self.period, self.scheme = source, period, scheme
        choice("scheme", scheme, ("heun", "euler"))
        for name, value in _constants(constants, tesla, overrides).items():
            setattr(self, name, value)

    def init(self, x: Sources) -> tuple[Array, Array]:
        self.check_row(x)
        return jnp.zeros((4, x.shape[1]), x.dtype), Window.nothing(x)

    def update(self, state: tuple[Array, Array], window: Window):
        h = window.stride * window.dt / 1000  # s

        def advance(b, z):
            k1 = self._flow(b, z)
            if self.scheme == "euler":
                return b + h * k1
            k2 = self._flow(b + h * k1, z)
            return b + 0.5 * h * (k1 + k2)

        def both(b, z):
            b = advance(b, z)
            return b, b

        b, partial = state
        partial, means = window.averages(partial)
        drive = means[:, 0]
        if window.whole:
            b, path = jax.lax.scan(both, b, drive)
        else:
            path = advance(b, drive[0])[None]
            b = jnp.where(window.ends, path[0], b)
        return (b, partial), jax.vmap(self.signal)(path)

    def response(self, omega: Float[Array, " frequency"], level: Sources) -> Complex[Array, "frequency #node"]:
        """That of the equations around where the level holds them."""
        self.check_row(level)
        z, ones = level[0], jnp.ones_like(level[0])
        f = 1 + z / self.gamma
        left = jnp.log1p(-self.E_0)
        v = f**self.alpha
        rest = jnp.stack([0 * f, jnp.log(f), jnp.log(v), jnp.log(jnp.expm1(left / f) / jnp.expm1(left * ones) * v)])
        units = jnp.eye(4, dtype=rest.dtype)[:, :, None] * ones
        slopes = jax.vmap(lambda unit: jax.jvp(lambda b: self._flow(b, z), (rest,), (unit,))[1], out_axes=-1)(units)
        seen = jax.vmap(lambda unit: jax.jvp(self.signal, (rest,), (unit,))[1], out_axes=-1)(units)
        drive = jax.jvp(lambda z: self._flow(rest, z), (z,), (ones,))[1]

        def at(w):  # rad/s
            matrix = 1j * w * jnp.eye(4) - jnp.moveaxis(slopes, 1, 0)
            return (seen * jnp.linalg.solve(matrix, drive.T[..., None] + 0j)[..., 0]).sum(-1)

        return jax.vmap(at)(1000 * omega)

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
