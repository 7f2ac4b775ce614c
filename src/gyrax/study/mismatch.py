"""What a study makes small: how far simulated functional connectivity is from the target."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .. import features, losses, monitors
from ..network.network import Network
from ..simulation import simulate


class FCMismatch(eqx.Module):
    """The loss: 1 - r + 2 rmse between simulated and target functional connectivity, off the diagonal.

    The correlation alone lets the level of connectivity run away, to where the network falls into another state.
    """

    target: Float[Array, "node node"]
    monitor: monitors.AbstractMonitor
    duration: float = eqx.field(static=True)
    warm_up: float = eqx.field(static=True)
    dt: float = eqx.field(static=True)

    def record(self, network: Network, key: Any) -> Float[Array, "time node"]:
        """BOLD after the warm-up."""
        run = simulate(network, self.warm_up + self.duration, self.dt, monitors={"bold": self.monitor}, key=key)
        assert self.monitor.period is not None
        values = run["bold"].values[round(self.warm_up / self.monitor.period) :]
        return values if values.ndim == 2 else values[:, 0]

    def terms(self, network: Network, key: Any) -> dict[str, Array]:
        """Correlation and rmse with the target."""
        found = features.fc(self.record(network, key))
        return {"r": losses.fc_correlation(found, self.target), "rmse": losses.fc_rmse(found, self.target)}

    def __call__(self, network: Network, key: Any) -> tuple[Array, dict[str, Array]]:
        terms = self.terms(network, key)
        return 1 - terms["r"] + 2 * terms["rmse"], terms
