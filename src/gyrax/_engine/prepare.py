"""What a run needs, resolved once, before its first step."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..anatomy.sparse import Sparse, SparseSum
from ..monitors import AbstractMonitor
from ..network.afferent import prepared
from ..network.network import Network
from .carry import Parts

#: Share of all pairs below which weights that act at once are summed as lists, not as a matrix.
_FEW = 0.03


def assemble(
    network: Network,
    monitors: dict[str, AbstractMonitor],
    solver: Any,
    dt: float,
    origin: Int[Array, ""],
    controller: Any = None,
) -> Parts:
    """The parts of a run, derived from the network by ordinary operations, which autodiff knows."""
    instant, delayed, steps = {}, {}, {}
    for name, coupling in network.couplings.items():
        weights, delay = network.weights(coupling), network.delay_of(coupling)
        if delay is None or isinstance(weights, Sparse):
            instant[name] = prepared(weights)
            continue
        assert delay.spans is not None
        back, shares = delay.steps(network.wiring(coupling), dt)
        latest, *earlier = (share * weights for share in shares)
        at_once = delay.spans.connected & (delay.reach(dt)[0] == 0)
        if at_once.any():  # some delays may come to no whole step
            now = jnp.where(back == 0, latest, 0)
            few = at_once.mean() < _FEW
            instant[name] = SparseSum.of(at_once, now) if few else prepared(now)
            latest = jnp.where(back == 0, 0, latest)
        delayed[name], steps[name] = (latest, *earlier), back
    return Parts(_lean(network), monitors, solver, controller, instant, network.degree(), delayed, steps, origin)


def _lean(network: Network) -> Network:
    """The network without its matrices: the loops use what was made of them."""

    def where(n):
        return [n.connectome.weights, n.connectome.lengths, n.connectome.centres, n.delay, *own(n)]

    def own(n):  # of sparse weights, the class stays: it says where they act
        for coupling in n.couplings.values():
            weights = coupling.weights
            sparse = isinstance(weights, Sparse)
            yield from (weights.values, weights.lists) if sparse else (weights,)
            yield coupling.delay

    return eqx.tree_at(where, network, replace_fn=lambda _: None, is_leaf=lambda x: x is None)


def stacked(lags: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The connections of all couplings below each other; those of couplings that share a delay once."""
    different = {(fewest.tobytes(), connected.tobytes()): (fewest, connected) for fewest, connected in lags.values()}
    fewest, connected = zip(*different.values(), strict=True)
    return np.concatenate(fewest), np.concatenate(connected)
