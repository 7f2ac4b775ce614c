"""What a study makes small: how far simulated functional connectivity, and its dynamics, are from the target."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import features, losses, monitors
from .._kinds import shown
from .._types import is_traced
from ..network.network import Network
from ..parameters.declaring import array_of, number_of
from ..simulation import simulate


class Dynamics(eqx.Module):
    """Functional connectivity dynamics that are to be met: pooled values, and the window and step they are of.

    Args:
        values: correlations between the connectivity of windows `(value,)`, of as many people and scans as there are.
        window: its length in ms.
        step: ms from one window to the next.

    Raises:
        ValueError: for values that are no correlations, or times that are not positive.

    Example:
        >>> Dynamics([0.2, 0.3, 0.6], window=60_000.0, step=3000.0).window
        60000.0
    """

    values: Float[Array, " pair"] = eqx.field(converter=array_of("values"))
    window: float = eqx.field(static=True, converter=number_of("window"))
    step: float = eqx.field(static=True, converter=number_of("step"))

    def __check_init__(self):
        values: Any = self.values
        if not is_traced(values) and (
            np.ndim(values) != 1 or not np.size(values) or not (np.abs(values) <= 1 + 1e-6).all()
        ):
            raise ValueError(f"values are correlations (value,), from -1 to 1; got {shown(values)}")
        for name in ("window", "step"):
            time = getattr(self, name)
            if time is None or not time > 0:
                raise ValueError(f"{name} is a positive number of ms, got {time}")

    def found(self, bold: Float[Array, "time node"], period: float) -> Float[Array, " pair"]:
        """The values of a recording."""
        return features.fcd_values(features.fcd(bold, self.window, self.step, period))


class FCMismatch(eqx.Module):
    """The loss: 1 - r + 2 rmse between simulated and target functional connectivity, off the diagonal.

    The correlation alone lets the level of connectivity run away, to where the network falls into another state. With dynamics
    to meet, twice the Wasserstein distance of their distributions is added: the Kolmogorov-Smirnov distance, which is reported, has no slope.

    Attributes:
        target: connectivity `(region, region)`.
        monitor: what makes BOLD.
        duration, warm_up, dt: ms.
        kept: the regions that count, by index; None for all.
        dynamics: to be met as well.
    """

    target: Float[Array, "node node"]
    monitor: monitors.AbstractMonitor
    duration: float = eqx.field(static=True)
    warm_up: float = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    kept: tuple[int, ...] | None = eqx.field(static=True, default=None)
    dynamics: Dynamics | None = None

    def record(self, network: Network, key: Any) -> Float[Array, "time node"]:
        """BOLD after the warm-up."""
        run = simulate(network, self.warm_up + self.duration, self.dt, monitors={"bold": self.monitor}, key=key)
        assert self.monitor.period is not None
        values = run["bold"].values[round(self.warm_up / self.monitor.period) :]
        return values if values.ndim == 2 else values[:, 0]

    def terms(self, network: Network, key: Any) -> dict[str, Array]:
        """Correlation and rmse with the target, and how far the dynamics are."""
        return self.compared(self.record(network, key))

    def compared(self, bold: Float[Array, "time node"]) -> dict[str, Array]:
        """The same of a recording."""
        target = self.target
        if self.kept is not None:
            chosen = np.array(self.kept)
            bold, target = bold[:, chosen], target[np.ix_(chosen, chosen)]
        found = features.fc(bold)
        terms = {"r": losses.fc_correlation(found, target), "rmse": losses.fc_rmse(found, target)}
        if self.dynamics is not None:
            assert self.monitor.period is not None
            values = self.dynamics.found(bold, self.monitor.period)
            terms["fcd"] = losses.wasserstein(values, self.dynamics.values)
            terms["ks"] = losses.ks_distance(*map(jax.lax.stop_gradient, (values, self.dynamics.values)))
        return terms

    def judged(self, network: Network, key: Any) -> dict[str, Array]:
        """The terms, and the connectivity they are of."""
        bold = self.record(network, key)
        return self.compared(bold) | {"fc": jnp.asarray(features.fc(bold))}

    def __call__(self, network: Network, key: Any) -> tuple[Array, dict[str, Array]]:
        terms = self.terms(network, key)
        return 1 - terms["r"] + 2 * terms["rmse"] + 2 * terms.get("fcd", 0.0), terms
