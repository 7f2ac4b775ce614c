"""How noise drives a network: the diffusion of its terms."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array

from ..noise import AbstractNoise
from .afferent import AbstractAfferent
from .living import Whole

if TYPE_CHECKING:
    from .network import Network


def indices(network: "Network", noise: AbstractNoise) -> np.ndarray:
    """The rows of the state that a noise drives."""
    return np.array([network.model.states.index(name) for name in network.rows(noise)])


def diffusion(
    network: "Network", t: Any, y: Any, afferent: AbstractAfferent | None = None
) -> lx.AbstractLinearOperator:
    """From Wiener increments, `(noisy state, node)`, to increments of what the solver steps."""
    now, states = t if afferent is None else afferent.now(t), network.settled(y)
    white = {name: noise for name, noise in network.noises.items() if name not in network.memories}
    amplitudes = {}
    for name, noise in white.items():
        noisy = states if network.rows(noise) == network.model.states else states[indices(network, noise)]
        amplitudes[name] = jnp.broadcast_to(noise.diffusion(now, noisy), noisy.shape)
    # the common case: every state of the model, and nothing else that the solver steps
    if len(network.noises) == 1 and network.noisy == network.model.states and not network.n_living:
        ((name, noise),) = white.items()
        if noise.mixing is None:
            return lx.DiagonalLinearOperator(amplitudes[name])

    def spread(increments: Array) -> Any:
        total, fresh = jnp.zeros_like(states), network.split(increments)
        for name, noise in white.items():
            total = total.at[indices(network, noise)].add(amplitudes[name] * fresh[name])
        return Whole(total, jax.tree.map(jnp.zeros_like, y.own)) if isinstance(y, Whole) else total

    # what an array of that shape is here: within one device's share of an ensemble it has a sharding too
    increments = jax.eval_shape(lambda: jnp.zeros((len(network.noisy), network.n_nodes), states.dtype))
    return lx.FunctionLinearOperator(spread, increments)
