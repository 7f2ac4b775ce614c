"""Which states lie beyond a model's `limits`, where no run goes."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._types import State
from ..network.network import Network
from .slopes import absent

Values = State | Float[np.ndarray, "state node"]


def beyond(network: Network, y: Values) -> Bool[Array, "state node"]:
    """Which values lie beyond their limits, by more than rounding."""
    return _excess(network, y) > 0


def _excess(network: Network, y: Values) -> Float[Array, "state node"]:
    """By how much beyond them, in units of a state's largest value; 0 for what is not, or there is not."""
    y = jnp.asarray(y, jnp.result_type(float))
    found = jnp.abs(network.model.limit(y) - y) / (1e-3 + jnp.abs(y).max(1, keepdims=True))
    return jnp.where((found > jnp.finfo(y.dtype).eps ** 0.5) & ~absent(network), found, 0)


def lowest_and_highest(network: Network, y: State) -> tuple[State, State]:
    """The lowest and the highest values that the limits allow; infinite where there are none."""
    far = jnp.full_like(y, jnp.finfo(y.dtype).max)
    low, high = network.model.limit(-far), network.model.limit(far)
    return jnp.where(low == -far, -jnp.inf, low), jnp.where(high == far, jnp.inf, high)


def limited(network: Network) -> bool:
    """Whether any state has limits."""
    low, high = lowest_and_highest(network, network.start())
    return bool((jnp.isfinite(low) | jnp.isfinite(high)).any())


def held(network: Network, y: State, flow: State) -> Bool[np.ndarray, "state node"]:
    """Which values are at a limit that the drift pushes them against."""
    low, high = lowest_and_highest(network, y)
    near = jnp.finfo(y.dtype).eps ** 0.5 * (1e-3 + jnp.abs(y).max(1, keepdims=True))
    against = ((y <= low + near) & (flow < 0)) | ((y >= high - near) & (flow > 0))
    return np.asarray(against) & ~absent(network)


def worst(network: Network, y: Values) -> str:
    """The value that lies furthest beyond its limits, in words."""
    s, i = np.unravel_index(int(_excess(network, y).argmax()), y.shape)
    limit = np.asarray(network.model.limit(jnp.asarray(y)))[s, i]
    return f"{network.model.states[s]} of {network.labels[i]} would be {float(y[s, i]):.4g}, and a run holds it at {limit:.4g}"
